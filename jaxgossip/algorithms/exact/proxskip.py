"""ProxSkip, decentralised: a coin that all nodes share says in which rounds they talk, X, C (n, p), G stochastic gradients:

    Z = X − η G(X) + C
    with probability P:   X⁺ = W̃ Z,   C⁺ = C − β (Z − X⁺),   W̃ = I − (I − W)/(2 χ)       Σ_i c_i = 0 in every round
    else:                 X⁺ = Z,     C⁺ = C                                              and nothing is sent

P = χ = β = 1 is exact diffusion. The expected number of rounds in which nodes talk can be far below that of gradient steps at
the same accuracy.

Guo, Alghunaim, Yuan, Condat and Cao 2023, "Revisiting decentralized ProxSkip: achieving linear speedup", algorithm 1, whose y
is −C. With a server: Mishchenko, Malinovsky, Stich and Richtárik 2022, "ProxSkip".
"""

from typing import override

import jax
import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, TrainState, check_agreement, check_share, displacement
from jaxgossip.algorithms.exact.d2 import Corrected, CorrectedState
from jaxgossip.core.errors import InputError
from jaxgossip.core.rows import materialize
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class ProxSkip(Corrected):
    """See :func:`proxskip`."""

    probability: float
    correction: float
    relaxation: float

    @override
    def step(self, problem: Problem, W: Mixing, state: CorrectedState, round_: Round) -> tuple[CorrectedState, Traffic]:
        links = round_.links(W, problem.n_shared)
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        z = links.as_sent(state.x + u + state.c)
        talk = jax.random.uniform(round_.key("coin")) < self.probability
        mixed = materialize(z - (z - links.mix(z)) / (2 * self.relaxation))
        x = jnp.where(talk, mixed, z)
        new = CorrectedState(x, opt_state, state.c - self.correction * (z - x))
        return round_.keep_offline(new, state), links.sent(z).only_if(talk)


@algorithm
def proxskip(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    probability: float = 0.2,
    correction: float | None = None,
    relaxation: float = 1.0,
) -> Algorithm:
    """Run decentralised ProxSkip: nodes talk in a random part of the rounds, and their bias is corrected all the same.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately; the theory assumes a constant step size.
        W: symmetric mixing, fixed or time-varying; symmetry is not checked.
        probability: P, with which nodes talk in a round, all or none.
        correction: β, factor of what a mixing changes in the correction; P if left out, as in the paper.
        relaxation: χ, at least 1.

    Raises:
        InputError: ``probability`` or ``correction`` is outside (0, 1], ``relaxation`` is below 1, or W is push-sum mixing.
    """
    correction = probability if correction is None else correction
    check_share("proxskip", probability=probability, correction=correction)
    if relaxation < 1:
        raise InputError(f"proxskip: relaxation must be at least 1, not {relaxation}")
    check_agreement("proxskip", W)

    return Algorithm(ProxSkip(optimizer, probability, correction, relaxation), problem, W, name="ProxSkip")
