"""Many step sizes in one run: the columns of an isotropic quadratic do not see each other, so each may have its own."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def by_column(etas: np.ndarray) -> optax.GradientTransformation:
    """Return SGD with the step size ``etas[k]`` in column k of every node's model."""
    return optax.GradientTransformation(optax.init_empty_state, jax.tree_util.Partial(_moved, jnp.asarray(etas)))


def _moved(etas: jax.Array, gradient: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
    del params
    return -etas.astype(gradient.dtype) * gradient, state
