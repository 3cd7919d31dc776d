"""State of models that no gradient moves, as methods see it: it has no part in what they remember of gradients.

Such state, as batch statistics are, lies in columns of the rows. Its "gradient" is what it loses in a step,
which optimizers leave as it is; momentum, corrections, trackers and duals would add up these losses as if they were slopes.
Fields of a method's state that accumulate gradients or displacements are therefore named in ``Method.memory``, and are kept
at zero in these columns. So mixed statistics become those of the batch by one step, and are mixed where parameters are: by W,
or as what is sent instead of models.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PyTree, Rows
from jaxgossip.learning.problem import Problem


def has_state(problem: Problem) -> bool:
    """Return whether models have state that no gradient moves."""
    layout = getattr(problem, "layout", None)
    return layout is not None and bool(layout.state)


def with_state_of(problem: Problem, rows: Rows, other: Rows | float) -> Rows:
    """Return ``rows`` (n, p), with the columns of state that no gradient moves from ``other``."""
    if not has_state(problem):
        return rows
    return jnp.where(problem.layout.is_state, jnp.asarray(other, rows.dtype), rows)  # pyright: ignore[reportAttributeAccessIssue]


def in_mass(problem: Problem, displacement: Rows, w: Float[Array, "n 1"]) -> Rows:
    """Return the displacement (n, p) of masses, given that of models of weights w (n, 1), for push-sum methods.

    Slopes are those of the mass, as published. What state loses is its model's: w times as much of the mass.
    """
    if not has_state(problem):
        return displacement
    shared = jnp.arange(problem.n_params) < problem.n_shared
    return with_state_of(problem, displacement, jnp.where(shared, w, 1) * displacement)


def forgetful(problem: Problem, state: PyTree, memory: Sequence[str]) -> PyTree:
    """Return a method's state with zeros for the state of models in the fields ``memory``, each (n, p)."""
    if not memory or not has_state(problem):
        return state
    return state._replace(**{name: with_state_of(problem, getattr(state, name), 0) for name in memory})


def check_state_stays(name: str, problem: Problem, why: str) -> None:
    """Check that no state of the models travels, for methods that cannot mix it.

    Raises:
        InputError: it does.
    """
    layout: Any = getattr(problem, "layout", None)
    if has_state(problem) and layout.is_state[: problem.n_shared].any():
        raise InputError(
            f"{name} does not go with mixed batch statistics: {why}",
            hint="state = 'private' or 'recalibrated' where the model is made",
        )
