"""EXTRA: decentralised gradient descent with accumulated disagreement, X (n, p), G stochastic gradients:

    X⁺ = W X − η G(X) + C,   C⁺ = C − ½ (X − W X),   C₀ = 0

which equals X⁺ = X + W X − ½ (I + W) X₋ − η (G − G₋) from the second round on: C is Σ (W − (I + W)/2) X over all earlier
rounds. W symmetric; η < (1 + λ_min(W))/L.

Shi, Ling, Wu and Yin 2015, "EXTRA: an exact first-order algorithm for decentralized consensus optimization", equations
(2.13) and (2.14), with W̃ = (I + W)/2.
"""

from typing import override

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, TrainState, check_agreement, displacement
from jaxgossip.algorithms.exact.d2 import Corrected, CorrectedState
from jaxgossip.core.rows import materialize
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class EXTRA(Corrected):
    """See :func:`extra`."""

    @override
    def step(self, problem: Problem, W: Mixing, state: CorrectedState, round_: Round) -> tuple[CorrectedState, Traffic]:
        links = round_.links(W, problem.n_shared)
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        mixed = materialize(links.mix(state.x))
        x = mixed + u + state.c
        new = CorrectedState(x, opt_state, state.c - (state.x - mixed) / 2)
        return round_.keep_offline(new, state), links.sent(state.x)


@algorithm
def extra(problem: Problem, optimizer: Transformation, W: Mixing) -> Algorithm:
    """Run EXTRA: no bias with heterogeneous data, one mixing and one correction per round.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately; the theory assumes a constant step size.
        W: symmetric mixing, fixed or time-varying.

    Raises:
        InputError: W is push-sum mixing.
    """
    check_agreement("extra", W)

    return Algorithm(EXTRA(optimizer), problem, W, name="EXTRA")
