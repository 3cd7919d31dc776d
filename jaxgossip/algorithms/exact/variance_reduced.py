"""Gradient tracking of gradients with less and less noise, X, Y, V (n, p), each node's objective a mean over its m samples:

    V from a minibatch ξ; then ATC      Y⁺ = W (Y + V⁺ − V)     X⁺ = W (X − η Y⁺)
                          or DIGing     Y⁺ = W Y + V⁺ − V       X⁺ = W X − η Y⁺             with Y₀ = V₋₁ = 0

    GT-SAGA    V⁺ = ∇f(X; ξ) − Z(ξ) + mean Z,  then Z(ξ) ← ∇f(X; ξ)                         ATC; Z gradients of all samples
    GT-SARAH   V⁺ = ∇f(X) every q rounds, else V + ∇f(X; ξ) − ∇f(X₋; ξ)                     DIGing
    GT-VR      V⁺ = ∇f(X; ξ) − ∇f(T; ξ) + ∇f(T),  with T ← X, by a coin of probability P    ATC

With constant steps they end at the optimum, where stochastic gradients leave a floor. On quadratics of equal curvature GT-VR is
gradient tracking of exact gradients whatever is drawn, and so is GT-SARAH. The coin is one for all nodes, by a common seed.

GT-SAGA: Xin, Khan and Kar 2020, "Variance-reduced decentralized stochastic optimization with accelerated convergence".
GT-SARAH: Xin, Khan and Kar 2022, "Fast decentralized nonconvex finite-sum optimization with recursive variance reduction".
GT-VR: Jiang, Zeng, Sun and Chen 2023, "Distributed stochastic gradient tracking algorithm with variance reduction for
non-convex optimization".
"""

from typing import Any, Literal, NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one
from jaxgossip.algorithms.base import Algorithm, check_agreement, check_share
from jaxgossip.algorithms.exact.gradient_tracking import GradientTracking, TrackingState
from jaxgossip.algorithms.local_steps import batches_of
from jaxgossip.algorithms.model_state import has_state, with_state_of
from jaxgossip.core.errors import InputError
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import NodeMask, PRNGKey, Rows, narrowed, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import FiniteSum, Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, chosen


class Gradients(NamedTuple):
    """Gradients of samples.

    Attributes:
        each: (n, m, p) Z, the last gradient of every sample; beyond a node's own number of samples, any.
        mean: (n, p) their mean.
    """

    each: Float[Array, "n m p"]
    mean: Rows


class Saga(GradientTracking):
    """See :func:`gt_saga`.

    Attributes:
        most: m, number of training samples of the node that has most.
    """

    most: int

    @override
    def init(self, problem: Any, key: PRNGKey) -> TrackingState:
        state = super().init(problem, key)
        counts = problem.sample_counts.astype(jnp.int32)
        x = widened(state.x)

        def fill(j: Any, gradients: Gradients) -> Gradients:
            g = problem.sample_gradient(x, jnp.minimum(j, counts - 1), key)
            mean = gradients.mean + jnp.where((j < counts)[:, None], g / counts[:, None], 0)
            return Gradients(gradients.each.at[:, j].set(g.astype(state.x.dtype)), mean)

        empty = Gradients(jnp.zeros((len(x), self.most, x.shape[1]), state.x.dtype), jnp.zeros_like(x))
        return state._replace(of_samples=jax.lax.fori_loop(0, self.most, fill, empty))

    @override
    def estimate(self, problem: Any, state: TrackingState, round_: Round) -> tuple[Rows, Gradients]:
        draw, x, before = _draw(problem, round_), materialize(widened(state.x)), state.of_samples
        numbers, used = problem.draw_samples(draw)
        used = jnp.ones(numbers.shape, bool) if used is None else used
        rows, counts = jnp.arange(len(x)), problem.sample_counts[:, None]
        # All old gradients are read before the first is replaced: of a sample that is drawn twice, both times the same one.
        old = materialize(before.each[rows[:, None], numbers])
        active = _active(round_)
        writes = used if active is None else used & active[:, None]

        def one(j: Any, sums: tuple[Gradients, Rows]) -> tuple[Gradients, Rows]:
            (each, mean), change = sums
            number = numbers[:, j]
            g, now = problem.sample_gradient(x, number, draw), each[rows, number]
            stored = jnp.where(writes[:, j, None], narrowed(g, state.x), now)
            mean = mean + (widened(stored) - widened(now)) / counts
            change = change + jnp.where(used[:, j, None], g - old[:, j], 0)
            return Gradients(each.at[rows, number].set(stored), mean), change

        start = Gradients(before.each, widened(before.mean)), jnp.zeros_like(x)
        after, change = jax.lax.fori_loop(0, numbers.shape[1], one, start)
        v = before.mean + change / used.sum(1, keepdims=True)
        return _at_work(round_, v, state), after


class Sarah(GradientTracking):
    """See :func:`gt_sarah`; ``of_samples`` are the models (n, p) of the last estimate."""

    period: int

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrackingState:
        state = super().init(problem, key)
        return state._replace(of_samples=state.x)

    @override
    def estimate(self, problem: Any, state: TrackingState, round_: Round) -> tuple[Rows, Rows]:
        draw, x = _draw(problem, round_), materialize(state.x)

        def recursive() -> Rows:
            g = widened(problem.gradient(x, draw))
            return with_state_of(problem, widened(state.g) + g - problem.gradient(state.of_samples, draw), g)

        restarts = round_.number % self.period == 0
        v = jax.lax.cond(restarts, lambda: widened(problem.full_gradient(x, draw)), recursive)
        return _at_work(round_, v, state), chosen(_active(round_), x, state.of_samples)


class Anchor(NamedTuple):
    """Models whose gradients over all samples are known.

    Attributes:
        x: (n, p) T.
        g: (n, p) ∇f(T).
    """

    x: Rows
    g: Rows


class LooplessSVRG(GradientTracking):
    """See :func:`gt_vr`."""

    probability: float

    @override
    def init(self, problem: Any, key: PRNGKey) -> TrackingState:
        state = super().init(problem, key)
        return state._replace(
            of_samples=Anchor(state.x, narrowed(problem.full_gradient(widened(state.x), key), state.x))
        )

    @override
    def estimate(self, problem: Any, state: TrackingState, round_: Round) -> tuple[Rows, Anchor]:
        draw, x, active = _draw(problem, round_), materialize(state.x), _active(round_)

        def renewed() -> Anchor:
            anchor = Anchor(x, narrowed(problem.full_gradient(widened(x), draw), x))
            return chosen(active, anchor, state.of_samples)

        coin = jax.random.uniform(round_.key("coin")) < self.probability
        anchor = materialize(jax.lax.cond(coin, renewed, lambda: state.of_samples))
        g = widened(problem.gradient(x, draw))
        v = with_state_of(problem, g - problem.gradient(anchor.x, draw) + anchor.g, g)
        return _at_work(round_, v, state), anchor


def _draw(problem: Problem, round_: Round) -> Any:
    """Return what the minibatch of a round is drawn with."""
    return batches_of(problem, round_, 1).draw(problem, 0)


def _active(round_: Round) -> NodeMask | None:
    """Return (n,) whether nodes compute in this round; None if all do."""
    if round_.online is None or round_.works is None:
        return round_.works if round_.online is None else round_.online
    return round_.online & round_.works


def _at_work(round_: Round, v: Rows, state: TrackingState) -> Rows:
    """Return the estimate (n, p) as it is kept; stragglers keep their last."""
    return materialize(chosen(round_.works, narrowed(v, state.g), state.g))


def check_finite_sum(name: str, problem: Any) -> None:
    """Check that the objectives are means over samples whose gradients can be had one by one, and all.

    Raises:
        InputError: they are not, or gradients are private: the noise of a key would cancel in differences.
    """
    if not isinstance(problem, FiniteSum):
        raise InputError(
            f"{name}: {type(problem).__name__} is no mean over samples",
            hint="give the problem full_gradient, draw_samples and sample_gradient: see jg.learning.FiniteSum",
        )
    if getattr(problem, "privacy", None) is not None:
        raise InputError(
            f"{name}: differences of private gradients, with the same noise in both, are not private",
            hint="no [privacy], or another algorithm",
        )


def most_samples(problem: Any) -> int:
    """Return the number of training samples of the node that has most, which is the height of tables of samples."""
    return int(np.asarray(problem.sample_counts).max())


def _check(name: str, problem: Problem, W: Mixing) -> None:
    check_agreement(name, W)
    check_finite_sum(name, problem)


@algorithm
def gt_saga(
    problem: Problem, optimizer: Transformation, W: Mixing, *, form: Literal["diging", "atc"] = "atc"
) -> Algorithm:
    """Run GT-SAGA: gradient tracking with a table of the last gradient of every sample, which takes the noise away.

    The table has as many rows as the node with most samples has samples: (n, m, p) numbers.

    Args:
        problem: a learning problem whose objectives are means over samples; a minibatch renews as many rows of the table.
        optimizer: any optax transformation, applied to the tracker instead of the gradient.
        W: doubly stochastic mixing, fixed or time-varying.
        form: diging mixes before the step, atc after it.

    Raises:
        InputError: the problem has no samples, private gradients or models with batch statistics, or W is push-sum mixing.
    """
    _check("gt_saga", problem, W)
    if has_state(problem):
        raise InputError(
            "gt_saga takes gradients of single samples, and these have no batch statistics",
            hint="algorithm.kind = 'gt_sarah' or 'gt_vr', or a model without them",
        )
    return Algorithm(Saga(optimizer, form, most_samples(problem)), problem, W, name="GT-SAGA", mixings=2)


@algorithm
def gt_sarah(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    period: int = 10,
    form: Literal["diging", "atc"] = "diging",
) -> Algorithm:
    """Run GT-SARAH: gradient tracking with gradients that are corrected from round to round, and exact every so many.

    A round with gradients over all samples costs as much more computation; virtual clocks count it like the others.

    Args:
        problem: a learning problem whose objectives are means over samples.
        optimizer: any optax transformation, applied to the tracker instead of the gradient.
        W: doubly stochastic mixing, fixed or time-varying.
        period: q, rounds from one gradient over all samples to the next.
        form: diging mixes before the step, atc after it.

    Raises:
        InputError: ``period`` is below 1, the problem has no samples or private gradients, or W is push-sum mixing.
    """
    check_at_least_one("gt_sarah", period=period)
    _check("gt_sarah", problem, W)
    return Algorithm(Sarah(optimizer, form, period), problem, W, name="GT-SARAH", mixings=2)


@algorithm
def gt_vr(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    probability: float = 0.1,
    form: Literal["diging", "atc"] = "atc",
) -> Algorithm:
    """Run GT-VR: gradient tracking with gradients that are compared with those at an earlier model, known over all samples.

    A round with gradients over all samples costs as much more computation; virtual clocks count it like the others.

    Args:
        problem: a learning problem whose objectives are means over samples.
        optimizer: any optax transformation, applied to the tracker instead of the gradient.
        W: doubly stochastic mixing, fixed or time-varying.
        probability: P, with which a round begins with gradients over all samples, at all nodes or none.
        form: diging mixes before the step, atc after it.

    Raises:
        InputError: ``probability`` is outside (0, 1], the problem has no samples or private gradients, or W is push-sum mixing.
    """
    check_share("gt_vr", probability=probability)
    _check("gt_vr", problem, W)
    return Algorithm(LooplessSVRG(optimizer, form, probability), problem, W, name="GT-VR", mixings=2)
