"""Decentralised SGD in its three forms, X (n, p), G stochastic gradients:

    ATC, adapt then combine    X⁺ = W (X − η G(X))
    CTA, combine then adapt    Ψ = W X,  X⁺ = Ψ − η G(Ψ)
    DGD, also D-PSGD           X⁺ = W X − η G(X)

With τ > 1 local steps, − η G is replaced by the change over τ optimizer steps: local SGD with gossip.

ATC and CTA: Sayed 2014, "Adaptation, learning, and optimization over networks", chapter 7. DGD: Nedić and Ozdaglar 2009,
"Distributed subgradient methods for multi-agent optimization"; Lian et al. 2017, "Can decentralized algorithms outperform
centralized algorithms?", algorithm 1.
"""

from typing import Literal, override

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, descend, start
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.core.typing import PRNGKey
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class DSGD(Method):
    """See :func:`dsgd`."""

    optimizer: Transformation
    form: Literal["atc", "cta", "dgd"]
    local_steps: Steps

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
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run decentralised SGD: every round, gradient steps on each node and mixing over the graph.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: mixing, fixed or time-varying.
        form: order of the steps: adapt then combine, combine then adapt, or both from the same models (D-PSGD).
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is push-sum mixing.
    """
    steps = chosen_steps("dsgd", problem, local_steps, local_epochs)
    check_agreement("dsgd", W)

    return Algorithm(DSGD(optimizer, form, steps), problem, W, name=f"D-SGD ({form.upper()})")
