"""Models whose functions are computed in 16 bits, while parameters, losses and what gradients add up to stay wider."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.typing import PyTree
from jaxgossip.learning.models.model import Model


@dataclass(frozen=True)
class Narrowed:
    """A function of (params, x, …) that is computed in another dtype; equal to another of the same function and dtype.

    Attributes:
        function: returns arrays in any pytree.
        dtype: dtype in which it is computed; its results have that of the parameters.
    """

    function: Callable[..., PyTree]
    dtype: np.dtype

    def __call__(self, params: PyTree, x: Any, *rest: Any) -> PyTree:
        """Return what the function returns, in the dtype of ``params``."""
        wide = jax.tree.leaves(params)[0].dtype
        return _cast(self.function(_cast(params, self.dtype), _cast(x, self.dtype), *rest), wide)


def computed_in(model: Model, dtype: np.dtype | None) -> Model:
    """Return the model with its functions computed in ``dtype``; itself if that is None.

    Mixed precision as in Micikevicius et al. 2018, "Mixed precision training": parameters, their gradients and losses keep
    their dtype.
    """
    if dtype is None:
        return model
    return replace(
        model,
        apply=Narrowed(model.apply, dtype),
        forward=model.forward and Narrowed(model.forward, dtype),
        objective=model.objective and Narrowed(model.objective, dtype),
    )


def _cast(tree: PyTree, dtype: np.dtype) -> PyTree:
    """Return a tree with its floats in ``dtype``."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)
