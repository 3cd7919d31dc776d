"""What an algorithm is: a pair of pure functions over an explicit state. It never owns the loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgossip.errors import InputError
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Round, Traffic
from jaxgossip.typing import PRNGKey, PyTree, Rows, accumulator


def state_x(state: Any) -> Rows:
    """Return ``state.x``, where algorithms keep their models."""
    return state.x


@dataclass(frozen=True)
class Algorithm:
    """A decentralised learning algorithm on one problem.

    Attributes:
        init: key -> state, a pytree whose per-node leaves have the node axis first.
        step: (state, round) -> (state, traffic): one round. Randomness comes from ``round.key(purpose)``, mixing from
            ``round.links(W)``, and nothing else varies.
        problem: what is learnt.
        models: state -> (n, p), the models that are evaluated.
        name: what reports call it.
    """

    init: Callable[[PRNGKey], PyTree]
    step: Callable[[PyTree, Round], tuple[PyTree, Traffic]]
    problem: Problem
    models: Callable[[PyTree], Rows] = state_x
    name: str = "algorithm"


class TrainState(NamedTuple):
    """The state of plain local training.

    Attributes:
        x: (n, p) models.
        opt_state: the optimizer's state of each node, every leaf with the node axis first.
    """

    x: Rows
    opt_state: PyTree


def start(problem: Problem, optimizer: optax.GradientTransformation, key: PRNGKey) -> TrainState:
    """Return the initial models with a fresh optimizer state a node."""
    return with_optimizer(problem.init(key), optimizer)


def with_optimizer(x: Rows, optimizer: optax.GradientTransformation) -> TrainState:
    """Return the models x with a fresh optimizer state each, of 32 bits where the models have 16."""
    return TrainState(x, jax.vmap(optimizer.init)(x.astype(accumulator(x.dtype))))


def descend(
    problem: Problem, optimizer: optax.GradientTransformation, state: TrainState, key: PRNGKey, n_steps: int
) -> TrainState:
    """Return the state after ``n_steps`` of X ← X + update(G(X; ξ)), each node by itself.

    Models of 16 bits take their steps in float32 and are rounded once, at the end.

    Args:
        problem: gives G.
        optimizer: any optax transformation; it is vmapped, so that each node is clipped, scaled and decayed alone.
        state: models and optimizer states.
        key: draws the minibatches; step s uses ``fold_in(key, s)``.
        n_steps: local steps τ.
    """

    def one(number: Any, state: TrainState) -> TrainState:
        gradient = problem.gradient(state.x, jax.random.fold_in(key, number))
        return apply(optimizer, gradient, state)

    # A gradient reads its model twice: what made the model would otherwise be computed twice, a gather among it.
    x = jax.lax.optimization_barrier(state.x)
    wide = state._replace(x=x.astype(accumulator(x.dtype)))
    done = one(0, wide) if n_steps == 1 else jax.lax.fori_loop(0, n_steps, one, wide)
    return done._replace(x=done.x.astype(x.dtype))


def apply(optimizer: optax.GradientTransformation, gradient: Rows, state: TrainState) -> TrainState:
    """Return the state after one optimizer step along ``gradient`` (n, p), each node by itself."""
    gradient, x = (rows.astype(accumulator(rows.dtype)) for rows in (gradient, state.x))
    updates, opt_state = jax.vmap(optimizer.update)(gradient, state.opt_state, x)
    return TrainState(jnp.asarray(optax.apply_updates(x, updates)).astype(state.x.dtype), opt_state)


def at_least_one(name: str, value: int) -> None:
    """Raise InputError unless ``value`` is 1 or more."""
    if value < 1:
        raise InputError(f"{name} must be at least 1, not {value}")
