"""Work on rows block by block, where several passes over them would each go to main memory."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Num

from jaxgossip.typing import PyTree

BLOCK_BYTES = 2_500_000
"""About what the caches of two cores hold: of 0.6 to 6 MB the quickest for rows of 64 numbers."""


def by_blocks(function: Callable[[Num[Array, "m p"]], PyTree], x: Num[Array, "n p"]) -> PyTree:
    """Return ``function(x)`` for a function of rows: (m, p) -> pytree of (m, ...), row i of which depends on row i alone.

    On CPUs it is called in a loop with blocks of rows that stay in the cache, which also lets a loop inside it end sooner
    where a block is done. Other devices get all rows at once.
    """
    n, p = x.shape
    rows = min(n, max(1, BLOCK_BYTES // (p * x.dtype.itemsize)))
    if rows == n:
        return function(x)

    def looped(x: Array) -> PyTree:
        def block(number: Array, done: PyTree) -> PyTree:
            first = jnp.minimum(number * rows, n - rows)  # the last block overlaps the one before it, to the same effect
            found = function(jax.lax.dynamic_slice_in_dim(x, first, rows))
            return jax.tree.map(lambda one, all_: jax.lax.dynamic_update_slice_in_dim(all_, one, first, 0), found, done)

        like = jax.eval_shape(function, x)
        return jax.lax.fori_loop(0, -(-n // rows), block, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), like))

    return jax.lax.platform_dependent(x, cpu=looped, default=function)
