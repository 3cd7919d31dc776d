"""EXTRA: decentralised gradient descent that sums up its disagreement, X (n, p), G stochastic gradients:

    X⁺ = W X − η G(X) + C,   C⁺ = C − ½ (X − W X),   C₀ = 0

which is X⁺ = X + W X − ½ (I + W) X₋ − η (G − G₋) from the second round on: C has taken in Σ (W − (I + W)/2) X of all
rounds before. W symmetric; η < (1 + λ_min(W))/L.

Shi, Ling, Wu and Yin 2015, "EXTRA: an exact first-order algorithm for decentralized consensus optimization", equations
(2.13) and (2.14), with W̃ = (I + W)/2.
"""

from typing import override

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, TrainState, displacement, needs_agreement, once
from jaxgossip.algorithms.d2 import Corrected, CorrectedState
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
        mixed = once(links.mix(state.x))
        x = mixed + u + state.c
        new = CorrectedState(x, opt_state, state.c - (state.x - mixed) / 2)
        return round_.keep_offline(new, state), links.sent(state.x)


@algorithm
def extra(problem: Problem, optimizer: Transformation, W: Mixing) -> Algorithm:
    """Run EXTRA: exact for different data, one mixing and one correction a round.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation, applied to each node by itself; the theory is that of constant steps.
        W: mixing, fixed or time-varying, symmetric.

    Raises:
        InputError: W keeps mass instead of agreement.
    """
    needs_agreement("extra", W)

    return Algorithm(EXTRA(optimizer), problem, W, name="EXTRA")
