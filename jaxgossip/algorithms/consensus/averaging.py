"""Pure averaging, without learning, X (n, p): fast ways from the rows of the nodes to their mean.

    averaging        X⁺ = W X                                  W fixed, or random pairs: randomised gossip
    shift_register   X⁺ = ω W X + (1 − ω) X₋,                  ω = 2/(1 + √(1 − ρ²))
    chebyshev        X⁺ = 2 r M X − r r₋ X₋,  M = (W − c I)/h,  r = 1/(2 μ − r₋),  μ = (1 − c)/h
                     with c = (λ₂ + λ_min)/2, h = (λ₂ − λ_min)/2;  X⁺ = M X/μ and r = 1/μ in the first round

ρ, λ₂ and λ_min refer to the eigenvalues of W other than 1. After K rounds Chebyshev leaves at most 1/T_K(μ) of the distance
to the mean, the least possible for any polynomial in W; the shift register contracts at rate √(ω − 1) without knowing K.

Randomised gossip: Boyd, Ghosh, Prabhakar and Shah 2006. Shift register: Muthukrishnan, Ghosh and Schultz 1998, "First- and
second-order diffusive methods for rapid, coarse, distributed load balancing". Chebyshev: Golub and Varga 1961; Scaman et
al. 2017, "Optimal algorithms for smooth and strongly convex distributed optimization in networks", algorithm 2.
"""

from typing import NamedTuple, override

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    check_agreement,
    fixed_operator,
    nodes_of,
    start_models,
    with_optimizer,
)
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.arguments import number
from jaxgossip.core.typing import PRNGKey, Rows, accumulator
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.mixing.optimized.extremes import extreme_eigenvalues
from jaxgossip.network import Round, Traffic


class TwoTermState(NamedTuple):
    """State of averaging with memory.

    Attributes:
        x: (n, p) models.
        last: (n, p) X₋, the models of the previous round.
        r: scalar, Chebyshev's ratio T_{k−1}(μ)/T_k(μ) of the previous round; 0 initially.
    """

    x: Rows
    last: Rows
    r: Float[Array, ""]


class Averaging(Method):
    """See :func:`averaging`."""

    takes_steps = False
    optimizer: Transformation | None

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        return with_optimizer(start_models(problem, self.optimizer, key), optax.identity(), nodes_of(problem))

    @override
    def step(self, problem: Problem, W: Mixing, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        links = round_.links(W, problem.n_shared)
        return state._replace(x=links.mix(state.x)), links.sent(state.x)


class TwoTerm(Method):
    """Averaging with memory."""

    takes_steps = False
    optimizer: Transformation | None

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TwoTermState:
        x = start_models(problem, self.optimizer, key)
        return TwoTermState(x, x, jnp.zeros((), accumulator(problem.dtype)))


class ShiftRegister(TwoTerm):
    """See :func:`shift_register`."""

    omega: float

    @override
    def step(self, problem: Problem, W: Mixing, state: TwoTermState, round_: Round) -> tuple[TwoTermState, Traffic]:
        links = round_.links(W, problem.n_shared)
        mixed = links.mix(state.x)
        x = jnp.where(state.r == 0, mixed, self.omega * mixed + (1 - self.omega) * state.last)
        new = TwoTermState(_shared(x, mixed, problem), state.x, jnp.ones_like(state.r))
        return _online(new, state, round_), links.sent(state.x)


class Chebyshev(TwoTerm):
    """See :func:`chebyshev`."""

    c: float
    h: float
    mu: float

    @override
    def step(self, problem: Problem, W: Mixing, state: TwoTermState, round_: Round) -> tuple[TwoTermState, Traffic]:
        links = round_.links(W, problem.n_shared)
        mixed = links.mix(state.x)
        r = 1 / (jnp.where(state.r == 0, self.mu, 2 * self.mu) - state.r)
        moved = (mixed - self.c * state.x) / self.h
        x = jnp.where(state.r == 0, moved * r, 2 * r * moved - r * state.r * state.last)
        return _online(TwoTermState(_shared(x, mixed, problem), state.x, r), state, round_), links.sent(state.x)


@algorithm
def averaging(problem: Problem, optimizer: Transformation | None, W: Mixing) -> Algorithm:
    """Average the initial models by mixing them repeatedly; with ``pairwise`` mixing, this is randomised gossip.

    Args:
        problem: provides the initial models and measures them ("averaging" measures the distance to their mean).
        optimizer: any optax transformation, used only for the start steps of the problem; None if it has none.
        W: mixing, fixed or time-varying.

    Raises:
        InputError: W is push-sum mixing.
    """
    check_agreement("averaging", W)

    return Algorithm(Averaging(optimizer), problem, W, name="averaging")


@algorithm
def shift_register(
    problem: Problem, optimizer: Transformation | None, W: Mixing, *, rho: float | None = None
) -> Algorithm:
    """Average the initial models by second-order diffusion: with one round of memory, in the square root of the time.

    Args:
        problem: provides the initial models and measures them ("averaging" measures the distance to their mean).
        optimizer: any optax transformation, used only for the start steps of the problem; None if it has none.
        W: symmetric mixing, the same in every round.
        rho: ρ, the second largest modulus of the eigenvalues of W; computed by default.

    Raises:
        InputError: W is time-varying, push-sum mixing or not symmetric, or ``rho`` is outside [0, 1].
        GraphError: the eigenvalues of W are not found.
    """
    if rho is not None:
        number("shift_register", "rho", rho, most=1.0)
    operator = fixed_operator("shift_register", W)
    omega = register_weight(max(map(abs, extreme_eigenvalues(operator))) if rho is None else rho)

    return Algorithm(ShiftRegister(optimizer, omega), problem, W, name="shift register")


@algorithm
def chebyshev(
    problem: Problem,
    optimizer: Transformation | None,
    W: Mixing,
    *,
    lambda_min: float | None = None,
    lambda_2: float | None = None,
) -> Algorithm:
    """Average the initial models by Chebyshev polynomials of W, optimal for a given number of mixings.

    Args:
        problem: provides the initial models and measures them ("averaging" measures the distance to their mean).
        optimizer: any optax transformation, used only for the start steps of the problem; None if it has none.
        W: symmetric mixing, the same in every round.
        lambda_min: smallest eigenvalue of W; computed by default.
        lambda_2: second largest eigenvalue of W; computed by default.

    Raises:
        InputError: W is time-varying, push-sum mixing or not symmetric, or an eigenvalue is outside [−1, 1].
        GraphError: the eigenvalues of W are not found.
    """
    for name, value in (("lambda_min", lambda_min), ("lambda_2", lambda_2)):
        if value is not None:
            number("chebyshev", name, value, least=-1.0, most=1.0)
    low, high = lambda_min, lambda_2
    operator = fixed_operator("chebyshev", W)
    if low is None or high is None:
        extremes = extreme_eigenvalues(operator)
        low, high = extremes[0] if low is None else low, extremes[1] if high is None else high
    c, h = (high + low) / 2, max((high - low) / 2, 1e-6)
    mu = (1 - c) / h

    return Algorithm(Chebyshev(optimizer, c, h, mu), problem, W, name="Chebyshev averaging")


def register_weight(rho: float) -> float:
    """Return ω = 2/(1 + √(1 − ρ²)), the weight of the shift register for second largest modulus ρ."""
    return 2 / (1 + max(0.0, 1 - rho**2) ** 0.5)


def _shared(x: Rows, mixed: Rows, problem: Problem) -> Rows:
    """Return x in the shared columns, and ``mixed``, which is unchanged by mixing, in the private ones.

    Batch statistics are ``mixed``, too: extrapolated variances could be negative.
    """
    x = with_state_of(problem, x, mixed)
    return x if problem.n_shared == x.shape[1] else jnp.where(jnp.arange(x.shape[1]) < problem.n_shared, x, mixed)


def _online(new: TwoTermState, old: TwoTermState, round_: Round) -> TwoTermState:
    x, last = round_.keep_offline((new.x, new.last), (old.x, old.last))
    return TwoTermState(x, last, jax.lax.convert_element_type(new.r, old.r.dtype))
