"""Decentralised SGD in its three forms, X (n, p), G = stochastic gradients row by row:

    ATC, adapt then combine    X⁺ = W (X − η G(X))
    CTA, combine then adapt    Ψ = W X,  X⁺ = Ψ − η G(Ψ)
    DGD, also D-PSGD           X⁺ = W X − η G(X)

With τ > 1 local steps, "− η G" stands for what τ steps of the optimizer change: local SGD with gossip.

ATC and CTA: Sayed 2014, "Adaptation, learning, and optimization over networks", chapter 7. DGD: Nedić and Ozdaglar 2009,
"Distributed subgradient methods for multi-agent optimization"; Lian et al. 2017, "Can decentralized algorithms outperform
centralized algorithms?", algorithm 1.
"""

from typing import Literal, override

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, at_least_one, descend, needs_agreement, start
from jaxgossip.core.typing import PRNGKey
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class DSGD(Method):
    """See :func:`dsgd`."""

    optimizer: Transformation
    form: Literal["atc", "cta", "dgd"]
    local_steps: int

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        return start(problem, self.optimizer, key)

    @override
    def step(self, problem: Problem, W: Mixing, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        links = round_.links(W, problem.n_shared)
        if self.form == "atc":
            adapted = descend(problem, self.optimizer, state, round_, self.local_steps)
            new = adapted._replace(x=links.mix(adapted.x))
        elif self.form == "cta":
            mixed = state._replace(x=links.mix(state.x))
            new = descend(problem, self.optimizer, mixed, round_, self.local_steps)
        else:
            adapted = descend(problem, self.optimizer, state, round_, self.local_steps)
            new = adapted._replace(x=links.mix(state.x) + (adapted.x - state.x))
        return round_.keep_offline(new, state), links.sent(state.x)


@algorithm
def dsgd(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    form: Literal["atc", "cta", "dgd"] = "atc",
    local_steps: int = 1,
) -> Algorithm:
    """Run decentralised SGD: gradient steps on each node, mixed over the graph every round.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation, applied to each node by itself.
        W: mixing, fixed or time-varying.
        form: the order of adapting and combining.
        local_steps: optimizer steps a round on each node.

    Raises:
        InputError: fewer than one local step.
    """
    at_least_one("local_steps", local_steps)
    needs_agreement("dsgd", W)

    return Algorithm(DSGD(optimizer, form, local_steps), problem, W, name=f"D-SGD ({form.upper()})")
