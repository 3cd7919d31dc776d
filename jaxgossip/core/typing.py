"""Shapes, named once. ``n`` nodes, ``p`` parameters of one model, ``k`` neighbours, ``s`` evaluated nodes, ``b`` samples."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Int, Key, UInt32

PRNGKey = Key[Array, ""]
Rows = Float[Array, "n p"]
"""All models: one row a node."""
Row = Float[Array, "p"]
"""One model."""
NodeFloats = Float[Array, "n"]
NodeInts = Int[Array, "n"]
NodeMask = Bool[Array, "n"]
SlotInts = Int[Array, "n k"]
SlotMask = Bool[Array, "n k"]
DrawNumbers = UInt32[Array, " b"]
"""What numbers the draws of a batch: one number an entry."""
Align = Callable[[Rows, Rows], Rows]
"""(own (b, p), heard (b, p)) -> heard (b, p), the parts of each heard model in the order of one's own."""
NodeScores = Mapping[str, Float[Array, " s"]]
"""Named measurements, one value an evaluated node."""
PyTree = Any
"""Any nesting of tuples, lists, dicts and registered classes with arrays as leaves."""


def derived[T](function: Callable[[Any], T]) -> T:
    """Return a property that type checkers take for an attribute: what one class stores, another derives."""
    return cast("T", property(function))


def accumulator(dtype: DTypeLike) -> np.dtype:
    """Return the type in which numbers of ``dtype`` are summed and models computed: float32 for narrower ones."""
    return np.dtype(jnp.promote_types(dtype, jnp.float32))
