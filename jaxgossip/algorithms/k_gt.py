"""K-GT: gradient tracking with local steps, X (n, p), corrections C (n, p), G stochastic gradients, K local steps:

    X₀ = X,   X_{k+1} = X_k − η (G(X_k) + C),   Δ = X_K − X                       on each node
    X⁺ = W (X + η_s Δ),   C⁺ = C + (Δ − W Δ)/(K η)                                Σ_i c_i = 0 in every round

The correction is held as the displacement −η C, so that any optimizer makes the steps.

Liu, Lin, Koloskova and Stich 2024, "Decentralized gradient tracking with local steps", algorithm 1, with C₀ = 0.
"""

from typing import override

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, TrainState, at_least_one, between, displacement, needs_agreement
from jaxgossip.algorithms.d2 import Corrected, CorrectedState
from jaxgossip.core.typing import widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class KGT(Corrected):
    """See :func:`k_gt`."""

    local_steps: int
    outer_rate: float

    @override
    def step(self, problem: Problem, W: Mixing, state: CorrectedState, round_: Round) -> tuple[CorrectedState, Traffic]:
        links, begun = round_.links(W, problem.n_shared), TrainState(state.x, state.opt_state)
        delta, opt_state = displacement(problem, self.optimizer, begun, round_, self.local_steps, drift=state.c)
        x = links.mix(state.x + self.outer_rate * delta)
        drift = links.as_sent(delta / self.local_steps)
        c = widened(state.c) - drift + links.mix(drift, payload="drift")
        new = CorrectedState(x, opt_state, c)
        return round_.keep_offline(new, state), links.sent(x, drift)


@algorithm
def k_gt(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    local_steps: int = 4,
    outer_rate: float = 1.0,
) -> Algorithm:
    """Run K-GT: gradient tracking that talks once in several local steps, and still has no bias.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation, for the local steps; the theory is that of constant steps.
        W: mixing, fixed or time-varying, doubly stochastic.
        local_steps: K, optimizer steps a round on each node.
        outer_rate: η_s, how much of the local steps is taken over.

    Raises:
        InputError: fewer than one local step, an outer rate outside (0, 1], or W keeps mass instead of agreement.
    """
    at_least_one("local_steps", local_steps)
    between("outer_rate", outer_rate, 0, 1)
    needs_agreement("k_gt", W)

    return Algorithm(KGT(optimizer, local_steps, outer_rate), problem, W, name="K-GT", mixings=2)
