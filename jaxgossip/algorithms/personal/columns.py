"""Local steps that move some columns of a row and leave the others as they are."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxgossip.algorithms.base import TrainState, apply, repeated
from jaxgossip.algorithms.local_steps import Batches
from jaxgossip.core.typing import widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import chosen


def descend_within(
    columns: Bool[Array, "*rows p"], problem: Problem, optimizer: Transformation, state: TrainState, batches: Batches
) -> TrainState:
    """Return the state after a step with each of the minibatches, of which optimizers see and move ``columns`` alone.

    Args:
        columns: (p,) or (n, p), the columns that move.
        problem: provides the gradients.
        optimizer: any optax transformation, vmapped over nodes; gradients of the other columns are zero for it.
        state: models and optimizer states.
        batches: the minibatches; a node without a further one keeps its state.
    """

    def step(number: Any, state: TrainState) -> TrainState:
        gradient = problem.gradient(state.x, batches.draw(problem, number))
        after = apply(optimizer, jnp.where(columns, gradient, 0), state)
        return chosen(batches.takes(number), after._replace(x=jnp.where(columns, after.x, widened(state.x))), state)

    most = batches.most
    return state if isinstance(most, int) and most == 0 else repeated(step, state, most)
