"""LED, local exact diffusion, X, C (n, p), H local steps of rate η, G stochastic gradients:

    Φ ← Φ − η G(Φ) + β C, H times from Φ = X;   X⁺ = W Φ,   C⁺ = C − (Φ − X⁺),   C₀ = 0      Σ_i c_i = 0 in every round

With β = 1/H, the default, the rate for equal η H hardly depends on H. H = 1 is exact diffusion with W itself, D², in another
form; with (I + W)/2 in the place of W it is exact diffusion, or NIDS.

Alghunaim 2024, "Local exact-diffusion for decentralized optimization and learning", algorithm 1, whose y is −C.
"""

from typing import override

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, TrainState, check_agreement, check_share, displacement
from jaxgossip.algorithms.exact.d2 import Corrected, CorrectedState
from jaxgossip.algorithms.local_steps import Steps, by_step, chosen_steps
from jaxgossip.core.rows import materialize
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class LED(Corrected):
    """See :func:`led`."""

    local_steps: Steps
    correction: float
    lazy: bool

    @override
    def step(self, problem: Problem, W: Mixing, state: CorrectedState, round_: Round) -> tuple[CorrectedState, Traffic]:
        links, trained = round_.links(W, problem.n_shared), TrainState(state.x, state.opt_state)
        drift = by_step(problem, self.local_steps, self.correction * state.c)
        moved, opt_state = displacement(problem, self.optimizer, trained, round_, self.local_steps, drift=drift)
        half = links.as_sent(state.x + moved)
        x = links.mix(half)
        x = materialize((half + x) / 2 if self.lazy else x)
        new = CorrectedState(x, opt_state, state.c - (half - x))
        return round_.keep_offline(new, state), links.sent(half)


@algorithm
def led(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    correction: float = 1.0,
    lazy: bool = False,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run LED: exact diffusion with several local steps per round, and still without bias.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the local steps; the theory assumes a constant step size.
        W: symmetric mixing, fixed or time-varying; neither symmetry nor λ_min > −1/3 is checked.
        correction: β H, the share of the correction that the local steps of a round apply together.
        lazy: whether (I + W)/2 takes the place of W, which needs no λ_min > −1/3.
        local_steps: H, optimizer steps per node and round; 4 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``correction`` is outside (0, 1], the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is
            push-sum mixing.
    """
    steps = chosen_steps("led", problem, local_steps, local_epochs, default=4)
    check_share("led", correction=correction)
    check_agreement("led", W)

    return Algorithm(LED(optimizer, steps, correction, lazy), problem, W, name="LED")
