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

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one
from jaxgossip.algorithms.base import Algorithm, check_agreement, check_share
from jaxgossip.algorithms.exact.finite_sums import (
    Gradients,
    active_nodes,
    all_gradients,
    check_finite_sum,
    check_single_samples,
    most_samples,
    saga_gradient,
)
from jaxgossip.algorithms.exact.gradient_tracking import GradientTracking, TrackingState
from jaxgossip.algorithms.local_steps import batches_of
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, Rows, narrowed, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, chosen


class Saga(GradientTracking):
    """See :func:`gt_saga`.

    Attributes:
        most: m, number of training samples of the node that has most.
    """

    most: int

    @override
    def init(self, problem: Any, key: PRNGKey) -> TrackingState:
        state = super().init(problem, key)
        return state._replace(of_samples=all_gradients(problem, state.x, key, self.most))

    @override
    def estimate(self, problem: Any, state: TrackingState, round_: Round) -> tuple[Rows, Gradients]:
        draw, x = _draw(problem, round_), materialize(widened(state.x))
        v, after = saga_gradient(problem, x, draw, state.of_samples, active_nodes(round_))
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
        return _at_work(round_, v, state), chosen(active_nodes(round_), x, state.of_samples)


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
        draw, x, active = _draw(problem, round_), materialize(state.x), active_nodes(round_)

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


def _at_work(round_: Round, v: Rows, state: TrackingState) -> Rows:
    """Return the estimate (n, p) as it is kept; stragglers keep their last."""
    return materialize(chosen(round_.works, narrowed(v, state.g), state.g))


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
    check_agreement("gt_saga", W)
    check_single_samples("gt_saga", problem, instead="algorithm.kind = 'gt_sarah' or 'gt_vr'")
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
