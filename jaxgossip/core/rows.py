"""Rows of arrays: gathered by index, and evaluated in blocks whose intermediate results stay bounded and in cache."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxgossip.core.typing import PyTree

BLOCK_BYTES = 2**25
"""Bytes of intermediate results per block, about the size of a shared cache: for minibatch gradients, evaluated rows and
the samples of a mean gradient."""


def gather(x: Array, index: Int[Array, "..."] | slice | tuple[Int[Array, "..."], ...]) -> Array:
    """Return ``x[index]`` for indices in 0..len(x)-1, which spares the code that would clamp and wrap them."""
    return x.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def settle(index: Array) -> Array:
    """Return ``index``, computed once: fused into a gather of rows it would be computed anew for every column."""
    return jax.lax.optimization_barrier(index)


def in_blocks(row_program: Callable[[Any], PyTree], rows: PyTree) -> PyTree:
    """Return vmap(row_program)(rows), computed in blocks whose intermediate results stay bounded and in cache."""
    batched = jax.vmap(row_program)
    length, block = _length(rows), _block(batched, rows)
    if length <= block:
        return batched(rows)

    def fill(results: PyTree, start: Array) -> tuple[PyTree, None]:
        part = batched(jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, block), rows))
        put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=start, axis=0)
        return jax.tree.map(put, results, part), None

    # The last block overlaps its predecessor: jax.lax.map's batches would copy all rows, and compile twice.
    starts = jnp.minimum(jnp.arange(0, length, block), length - block)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(batched, rows))
    return jax.lax.scan(fill, empty, starts)[0]


def sum_of_blocks(program: Callable[[Any], Array], rows: PyTree) -> Array:
    """Return program(rows), which is a sum over rows, computed block by block; rows of zeros must contribute zero."""
    length, block = _length(rows), _block(program, rows)
    if length <= block:
        return program(rows)
    fill = -length % block
    blocks = jax.tree.map(lambda leaf: jnp.pad(leaf, (0, fill)).reshape(-1, block), rows)
    first, rest = (jax.tree.map(lambda leaf, part=part: leaf[part], blocks) for part in (0, slice(1, None)))
    return jax.lax.scan(lambda total, rows: (total + program(rows), None), program(first), rest)[0]


def _length(rows: PyTree) -> int:
    return jax.tree.leaves(rows)[0].shape[0]


def _block(program: Callable[[Any], PyTree], rows: PyTree) -> int:
    """Return how many rows ``program`` can process at a time, judged by the size of its intermediate results."""

    def bytes_of(n: int) -> int:
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((n, *leaf.shape[1:]), leaf.dtype), rows)
        return _intermediate_bytes(jax.make_jaxpr(program)(shapes).jaxpr)

    return max(1, BLOCK_BYTES // max(1, bytes_of(3) - bytes_of(2)))  # the difference leaves out fixed costs


def _intermediate_bytes(jaxpr: Any) -> int:
    """Return the bytes of all intermediate results of a program, as if no two shared memory."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [getattr(value, "jaxpr", value) for value in equation.params.values()]
        inside = [_intermediate_bytes(part) for part in inner if hasattr(part, "eqns")]
        total += sum(inside) or sum(out.aval.size * out.aval.dtype.itemsize for out in equation.outvars)
    return total
