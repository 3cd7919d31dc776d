"""Gradients with less noise for objectives that are means over samples: SAGA's table Z (n, m, p) of a gradient of each sample.

    V = mean over ξ of (∇f(X; ξ) − Z(ξ)) + mean Z,   then Z(ξ) ← ∇f(X; ξ)                         ξ the samples of a minibatch

Defazio, Bach and Lacoste-Julien 2014, "SAGA: a fast incremental gradient method with support for non-strongly convex composite
objectives". V has no bias, and no noise once models and table are at rest.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgossip.algorithms.base import TrainState, apply, repeated
from jaxgossip.algorithms.local_steps import Steps, batches_of
from jaxgossip.algorithms.model_state import has_state
from jaxgossip.core.errors import InputError
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import NodeMask, PRNGKey, PyTree, Rows, narrowed, widened
from jaxgossip.learning.epochs import Draw
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import FiniteSum, Problem
from jaxgossip.network import Round, both, chosen


class Gradients(NamedTuple):
    """Gradients of samples.

    Attributes:
        each: (n, m, p) Z, the last gradient of every sample; beyond a node's own number of samples, any.
        mean: (n, p) their mean.
    """

    each: Float[Array, "n m p"]
    mean: Rows


def all_gradients(problem: Any, x: Rows, key: PRNGKey | Draw, most: int) -> Gradients:
    """Return the gradients of all samples at X (n, p), in the dtype of X; their mean in the accumulator's.

    Args:
        problem: a :class:`.FiniteSum`.
        x: (n, p) models.
        key: what is random in gradients beside the samples; a :class:`.Draw` where nodes go through epochs.
        most: m, number of training samples of the node that has most.
    """
    counts = problem.sample_counts.astype(jnp.int32)
    wide = widened(x)

    def fill(j: Any, gradients: Gradients) -> Gradients:
        stored = problem.sample_gradient(wide, jnp.minimum(j, counts - 1), key).astype(x.dtype)
        mean = gradients.mean + jnp.where((j < counts)[:, None], widened(stored) / counts[:, None], 0)
        return Gradients(gradients.each.at[:, j].set(stored), mean)

    empty = Gradients(jnp.zeros((len(x), most, x.shape[1]), x.dtype), jnp.zeros_like(wide))
    return jax.lax.fori_loop(0, most, fill, empty)


def saga_gradient(
    problem: Any, x: Rows, draw: PRNGKey | Draw, before: Gradients, active: NodeMask | None
) -> tuple[Rows, Gradients]:
    """Return V (n, p) at X, and the table with the gradients of the minibatch.

    Args:
        problem: a :class:`.FiniteSum`.
        x: (n, p) models, in the dtype of the accumulator.
        draw: what the minibatch is drawn with.
        before: the table.
        active: (n,) whose tables change; None for all.
    """
    numbers, used = problem.draw_samples(draw)
    used = jnp.ones(numbers.shape, bool) if used is None else used
    rows, counts = jnp.arange(len(x)), problem.sample_counts[:, None]
    # All old gradients are read before the first is replaced: of a sample that is drawn twice, both times the same one.
    old = materialize(before.each[rows[:, None], numbers])
    writes = used if active is None else used & active[:, None]

    def one(j: Any, sums: tuple[Gradients, Rows]) -> tuple[Gradients, Rows]:
        (each, mean), change = sums
        number = numbers[:, j]
        g, now = problem.sample_gradient(x, number, draw), each[rows, number]
        stored = jnp.where(writes[:, j, None], narrowed(g, each), now)
        mean = mean + (widened(stored) - widened(now)) / counts
        change = change + jnp.where(used[:, j, None], g - old[:, j], 0)
        return Gradients(each.at[rows, number].set(stored), mean), change

    start = Gradients(before.each, widened(before.mean)), jnp.zeros_like(x)
    after, change = jax.lax.fori_loop(0, numbers.shape[1], one, start)
    return before.mean + change / used.sum(1, keepdims=True), after


def saga_displacement(
    problem: Problem,
    optimizer: Transformation,
    state: TrainState,
    round_: Round,
    n_steps: Steps,
    before: Gradients,
    drift: Rows,
) -> tuple[Rows, PyTree, Gradients]:
    """Return (U, optimizer states, table): as :func:`.displacement`, with V in the place of stochastic gradients.

    Args:
        problem: a :class:`.FiniteSum`.
        optimizer: any optax transformation.
        state: models and optimizer states.
        round_: provides the stragglers, and the minibatches.
        n_steps: number of local steps, or epochs.
        before: the table, which nodes keep that do not work.
        drift: (n, p), added to the models after every step.
    """
    batches, active = batches_of(problem, round_, n_steps), active_nodes(round_)
    wide = widened(materialize(state.x))

    def step(number: Any, state: TrainState) -> TrainState:
        (opt_state, table), takes = state.opt_state, batches.takes(number)
        v, table = saga_gradient(problem, state.x, batches.draw(problem, number), table, both(active, takes))
        old = TrainState(state.x, opt_state)
        new = apply(optimizer, v, old)
        x, opt_state = chosen(takes, new._replace(x=new.x + drift), old)
        return TrainState(x, (opt_state, table))

    # The table goes along with the optimizer states.
    after = repeated(step, TrainState(wide, (state.opt_state, before)), batches.most)
    opt_state, table = after.opt_state
    x, opt_state = chosen(round_.works, TrainState(after.x, opt_state), TrainState(wide, state.opt_state))
    return x - wide, opt_state, table


def active_nodes(round_: Round) -> NodeMask | None:
    """Return (n,) whether nodes compute in this round; None if all do."""
    return both(round_.online, round_.works)


def most_samples(problem: Any) -> int:
    """Return the number of training samples of the node that has most, which is the height of tables of samples."""
    return int(np.asarray(problem.sample_counts).max())


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


def check_single_samples(name: str, problem: Any, instead: str) -> None:
    """Check that gradients of single samples can be had.

    Args:
        name: the function that takes them, as named in messages.
        problem: the learning problem.
        instead: what to choose where models have batch statistics, for the hint.

    Raises:
        InputError: models have batch statistics, or :func:`check_finite_sum` finds fault with the problem.
    """
    check_finite_sum(name, problem)
    if has_state(problem):
        raise InputError(
            f"{name} takes gradients of single samples, and these have no batch statistics",
            hint=f"{instead}, or a model without them",
        )
