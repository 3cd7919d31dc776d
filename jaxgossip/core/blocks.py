"""Programs over many rows in blocks, so that what they hold on the way stays bounded, and in a shared cache."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.typing import PyTree

BLOCK_BYTES = 2**25
"""What is computed in blocks holds about this much at a time, a shared cache: minibatch gradients, evaluated rows, and
the samples of a mean gradient."""


def in_blocks(one: Callable[[Any], PyTree], rows: PyTree) -> PyTree:
    """Return vmap(one)(rows), so many rows at a time that what is held stays bounded, and in the cache."""
    every = jax.vmap(one)
    length, block = _length(rows), _block(every, rows)
    if length <= block:
        return every(rows)

    def fill(found: PyTree, start: Array) -> tuple[PyTree, None]:
        part = every(jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, block), rows))
        put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=start, axis=0)
        return jax.tree.map(put, found, part), None

    # The last block reaches back over its predecessor: jax.lax.map's own batches copy all rows, and compile twice.
    starts = jnp.minimum(jnp.arange(0, length, block), length - block)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(every, rows))
    return jax.lax.scan(fill, empty, starts)[0]


def sum_of_blocks(program: Callable[[Any], Array], rows: PyTree) -> Array:
    """Return program(rows), the sum of what it gives for each block; rows of zeros must give zero."""
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
    """Return how many rows ``program`` can take at a time, by the size of all that it computes on the way."""

    def held(n: int) -> int:
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((n, *leaf.shape[1:]), leaf.dtype), rows)
        return _held_bytes(jax.make_jaxpr(program)(shapes).jaxpr)

    return max(1, BLOCK_BYTES // max(1, held(3) - held(2)))  # what does not grow with the rows is there once


def _held_bytes(jaxpr: Any) -> int:
    """Return the bytes of all intermediate results of a program, as if none shared memory."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [getattr(value, "jaxpr", value) for value in equation.params.values()]
        inside = [_held_bytes(part) for part in inner if hasattr(part, "eqns")]
        total += sum(inside) or sum(out.aval.size * out.aval.dtype.itemsize for out in equation.outvars)
    return total
