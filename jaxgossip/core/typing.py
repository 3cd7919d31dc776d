"""Array types by shape: ``n`` nodes, ``p`` parameters of a model, ``k`` neighbours, ``s`` evaluated nodes, ``b`` samples."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
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


def derived[T](function: Callable[[Any], T]) -> T:
    """Return a property that type checkers take for an attribute: what one class stores, another derives."""
    return cast("T", property(function))


def accumulator(dtype: DTypeLike) -> np.dtype:
    """Return the dtype in which values of ``dtype`` are summed and models evaluated: at least float32."""
    return np.dtype(jnp.promote_types(dtype, jnp.float32))


def widened(rows: Array) -> Array:
    """Return ``rows`` in the type in which they are computed with: 16-bit numbers as float32, others as they are."""
    return rows.astype(accumulator(rows.dtype))


def rounded(rows: Array, dtype: DTypeLike) -> Array:
    """Return ``rows`` in a 16-bit ``dtype`` if they were widened from it; all others as they are."""
    kind = np.dtype(dtype)
    return rows.astype(kind) if rows.dtype == accumulator(kind) != kind else rows


def narrowed(new: PyTree, old: PyTree) -> PyTree:
    """Return ``new`` with those leaves rounded that have 16 bits in ``old`` and were widened since."""
    if jax.tree.structure(new) != jax.tree.structure(old):
        return new  # an error, which is reported where the two are compared

    def leaf(after: Any, before: Any) -> Any:
        both = hasattr(after, "dtype") and hasattr(before, "dtype")
        return rounded(after, before.dtype) if both and jnp.issubdtype(before.dtype, jnp.floating) else after

    return jax.tree.map(leaf, new, old)
