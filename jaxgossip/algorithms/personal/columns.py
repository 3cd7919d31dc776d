"""Local steps that move some columns of a row and leave the others as they are."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxgossip.algorithms.base import TrainState, apply, repeated
from jaxgossip.algorithms.local_steps import Batches
from jaxgossip.core.typing import widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem


def descend_within(
    columns: Bool[Array, "*rows p"],
    problem: Problem,
    optimizer: Transformation,
    state: TrainState,
    batches: Batches,
    n_steps: int,
    first: int = 0,
) -> TrainState:
    """Return the state after ``n_steps`` in which every node's optimizer sees and moves its ``columns`` alone.

    Args:
        columns: (p,) or (n, p), the columns that move.
        problem: provides the gradients.
        optimizer: any optax transformation, vmapped over nodes; gradients of the other columns are zero for it.
        state: models and optimizer states.
        batches: the minibatches of the round.
        n_steps: number of steps.
        first: number of the minibatch that the first step takes.
    """

    def step(number: Any, state: TrainState) -> TrainState:
        gradient = problem.gradient(state.x, batches.draw(problem, first + number))
        after = apply(optimizer, jnp.where(columns, gradient, 0), state)
        return after._replace(x=jnp.where(columns, after.x, widened(state.x)))

    return repeated(step, state, n_steps) if n_steps else state
