"""K-GT: gradient tracking with local steps, X (n, p), corrections C (n, p), G stochastic gradients, K local steps:

    X₀ = X,   X_{k+1} = X_k − η (G(X_k) + C),   Δ = X_K − X                       on each node
    X⁺ = W (X + η_s Δ),   C⁺ = C + (Δ − W Δ)/(K η)                                Σ_i c_i = 0 in every round

The correction is stored as the displacement −η C, so that any optimizer can take the steps.

Liu, Lin, Koloskova and Stich 2024, "Decentralized gradient tracking with local steps", algorithm 1, with C₀ = 0.
"""

from typing import override

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    TrainState,
    check_agreement,
    check_share,
    displacement,
)
from jaxgossip.algorithms.exact.d2 import Corrected, CorrectedState
from jaxgossip.algorithms.local_steps import Steps, by_step, chosen_steps
from jaxgossip.core.typing import widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class KGT(Corrected):
    """See :func:`k_gt`."""

    local_steps: Steps
    outer_rate: float

    @override
    def step(self, problem: Problem, W: Mixing, state: CorrectedState, round_: Round) -> tuple[CorrectedState, Traffic]:
        links, current = round_.links(W, problem.n_shared), TrainState(state.x, state.opt_state)
        delta, opt_state = displacement(problem, self.optimizer, current, round_, self.local_steps, drift=state.c)
        x = links.mix(state.x + self.outer_rate * delta)
        drift = links.as_sent(by_step(problem, self.local_steps, delta))
        c = widened(state.c) - drift + links.mix(drift, payload="drift")
        new = CorrectedState(x, opt_state, c)
        return round_.keep_offline(new, state), links.sent(x, drift)


@algorithm
def k_gt(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    local_steps: int | None = None,
    local_epochs: int | None = None,
    outer_rate: float = 1.0,
) -> Algorithm:
    """Run K-GT: gradient tracking with several local steps per round, and still without bias.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the local steps; the theory assumes a constant step size.
        W: doubly stochastic mixing, fixed or time-varying.
        local_steps: K, optimizer steps per node and round; 4 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.
        outer_rate: η_s, the factor on the displacement by the local steps.

    Raises:
        InputError: the local steps or epochs cannot be taken (:func:`.chosen_steps`), ``outer_rate`` is outside
            (0, 1], or W is push-sum mixing.
    """
    steps = chosen_steps("k_gt", problem, local_steps, local_epochs, default=4)
    check_share("k_gt", outer_rate=outer_rate)
    check_agreement("k_gt", W)

    return Algorithm(KGT(optimizer, steps, outer_rate), problem, W, name="K-GT", mixings=2)
