"""SGD with a step size for each column: columns of an isotropic quadratic are independent, so one run covers many."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def sgd_by_column(etas: np.ndarray) -> optax.GradientTransformation:
    """Return SGD that uses the step size ``etas[k]`` in column k of every node's model."""
    return optax.GradientTransformation(optax.init_empty_state, jax.tree_util.Partial(_update, jnp.asarray(etas)))


def _update(etas: jax.Array, gradient: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
    del params
    return -etas.astype(gradient.dtype) * gradient, state
