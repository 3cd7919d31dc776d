"""Many step sizes in one run: the columns of an isotropic quadratic do not see each other, so each may have its own."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax


def by_column(etas: np.ndarray) -> optax.GradientTransformation:
    """Return SGD with the step size ``etas[k]`` in column k of every node's model."""

    def moved(gradient: Any, _: Any) -> Any:
        return -jnp.asarray(etas, gradient.dtype) * gradient

    return optax.stateless(moved)
