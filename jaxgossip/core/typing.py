"""Array types by shape: ``n`` nodes, ``p`` parameters of a model, ``k`` neighbours, ``s`` evaluated nodes, ``b`` samples."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Int, Key, UInt32

PRNGKey = Key[Array, ""]
Rows = Float[Array, "n p"]
"""All models, one row per node."""
Row = Float[Array, "p"]
"""One model."""
NodeFloats = Float[Array, "n"]
NodeInts = Int[Array, "n"]
NodeMask = Bool[Array, "n"]
SlotInts = Int[Array, "n k"]
SlotMask = Bool[Array, "n k"]
DrawNumbers = UInt32[Array, " b"]
"""The number of the draw for each entry of a batch."""
Align = Callable[[Rows, Rows], Rows]
"""(own (b, p), received (b, p)) -> (b, p): each received model with its parts permuted to match the receiver's own."""
NodeScores = Mapping[str, Float[Array, " s"]]
"""Named measurements, one value per evaluated node."""
PyTree = Any
"""Any nesting of tuples, lists, dicts and registered classes with arrays as leaves."""


def accumulator(dtype: DTypeLike) -> np.dtype:
    """Return the dtype in which values of ``dtype`` are summed and models evaluated: at least float32."""
    return np.dtype(jnp.promote_types(dtype, jnp.float32))
