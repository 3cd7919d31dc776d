"""Rows of arrays: gathered by index, and evaluated in blocks whose intermediate results stay bounded and in cache."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal, jaxpr_as_fun
from jaxtyping import Array, Int

from jaxgossip.core.typing import PyTree

BLOCK_BYTES = 2**25
"""Bytes of intermediate results per block on a CPU, about the size of a shared cache: for minibatch gradients, evaluated rows
and the samples of a mean gradient."""
SHARE_OF_MEMORY = 8
"""The part of the memory of other devices, 1/8, that the intermediate results of a block may take: kernels then are large."""


def gather(x: Array, index: Int[Array, "..."] | slice | tuple[Int[Array, "..."], ...]) -> Array:
    """Return ``x[index]`` for indices in 0..len(x)-1, which spares the code that would clamp and wrap them."""
    return x.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def materialize[T](arrays: T) -> T:
    """Return ``arrays``, any pytree, kept from being fused into its uses.

    Fused into a gather of rows, an index would be recomputed for every column; mixed rows or steps that are used several
    times would be recomputed in each use, with their gathers and gradients.
    """
    return jax.lax.optimization_barrier(arrays)


def keep_sums(primitive: Any, *_: Any, **__: Any) -> bool:
    """Return whether to keep a primitive's result from the forward pass: only results that reduce many numbers.

    It is a policy of :func:`jax.checkpoint`.
    """
    return primitive.name.startswith(("reduce", "dot", "conv", "arg", "cum"))


def in_blocks(row_program: Callable[[Any], PyTree], rows: PyTree, at_a_time: int = 0) -> PyTree:
    """Return vmap(row_program)(rows), computed in blocks whose intermediate results stay bounded and in cache.

    Args:
        row_program: one row -> results.
        rows: arrays with the rows first.
        at_a_time: number of rows of a block; 0 chooses it by the device.
    """
    traced = _Traced(jax.vmap(row_program), rows)
    block = at_a_time or traced.block
    if block > 1:
        return _in_blocks(traced, rows, block)
    # Not batched at all: products and convolutions of one row have faster forms than those of several.
    if _length(rows) > 1:
        # Two rows a step: while small operations of one keep a core busy, others compute those of the next.
        return jax.lax.scan(lambda _, row: (None, row_program(row)), None, rows, unroll=2)[1]
    return jax.tree.map(lambda leaf: leaf[None], row_program(jax.tree.map(lambda leaf: leaf[0], rows)))


def rows_at_a_time(row_program: Callable[[Any], PyTree], rows: PyTree) -> int:
    """Return the number of rows of a block that :func:`in_blocks` chooses; ``rows`` may be shapes."""
    return _Traced(jax.vmap(row_program), rows).block


def bytes_a_row(row_program: Callable[[Any], PyTree], rows: PyTree) -> int:
    """Return the bytes of the intermediate results of one row; ``rows`` may be shapes."""
    row = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), rows)
    return _intermediate_bytes(jax.make_jaxpr(row_program)(row).jaxpr)


def blockwise(program: Callable[[Any], PyTree], rows: PyTree) -> PyTree:
    """Return program(rows), each of whose results is of one row, computed in blocks as :func:`in_blocks` does."""
    traced = _Traced(program, rows)
    return _in_blocks(traced, rows, traced.block)


def _in_blocks(whole: "_Traced", rows: PyTree, block: int) -> PyTree:
    length = _length(rows)
    if length <= block:
        return whole(rows)

    def fill(results: PyTree, start: Array) -> tuple[PyTree, None]:
        part = whole.program(jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, block), rows))
        put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=start, axis=0)
        return jax.tree.map(put, results, part), None

    # The last block overlaps its predecessor: jax.lax.map's batches would copy all rows, and compile twice.
    starts = jnp.minimum(jnp.arange(0, length, block), length - block)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), whole.results)
    return jax.lax.scan(fill, empty, starts)[0]


def sum_of_blocks(program: Callable[[Any], Array], rows: PyTree) -> Array:
    """Return program(rows), which is a sum over rows, computed block by block; rows of zeros must contribute zero."""
    whole = _Traced(program, rows)
    length, block = _length(rows), whole.block
    if length <= block:
        return whole(rows)
    fill = -length % block
    blocks = jax.tree.map(lambda leaf: jnp.pad(leaf, (0, fill)).reshape(-1, block), rows)
    first, rest = (jax.tree.map(lambda leaf, part=part: leaf[part], blocks) for part in (0, slice(1, None)))
    return jax.lax.scan(lambda total, rows: (total + program(rows), None), program(first), rest)[0]


class _Traced:
    """A program of rows, traced for all of them: most often they fit one block, and tracing again would take as long."""

    def __init__(self, program: Callable[[Any], PyTree], rows: PyTree) -> None:
        self.program, self._rows = program, rows
        self._jaxpr, self.results = jax.make_jaxpr(program, return_shape=True)(rows)

    @property
    def block(self) -> int:
        """How many rows can be processed at a time, judged by the size of the intermediate results."""
        most, size_of = _room()
        length, whole = _length(self._rows), size_of(self._jaxpr.jaxpr)
        if length == 1 or whole <= most:
            return length
        # The difference of two sizes leaves out fixed costs.
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype), self._rows)
        each = (whole - size_of(jax.make_jaxpr(self.program)(one).jaxpr)) // (length - 1)
        return min(length, max(1, most // max(1, each)))

    def __call__(self, rows: PyTree) -> PyTree:
        flat = jaxpr_as_fun(self._jaxpr)(*jax.tree.leaves(rows))
        return jax.tree.unflatten(jax.tree.structure(self.results), flat)


def _room() -> tuple[int, Callable[[Any], int]]:
    """Return how many bytes of intermediate results a block may have on the device at hand, and how they are counted.

    All of them pass through the cache of a CPU, but memory holds at once only those that are still needed.
    """
    if jax.default_backend() == "cpu":
        return BLOCK_BYTES, _intermediate_bytes
    stats = jax.local_devices()[0].memory_stats() or {}
    return max(BLOCK_BYTES, stats.get("bytes_limit", 0) // SHARE_OF_MEMORY), live_bytes


def _length(rows: PyTree) -> int:
    return jax.tree.leaves(rows)[0].shape[0]


def _intermediate_bytes(jaxpr: Any) -> int:
    """Return the bytes of all intermediate results of a program, as if no two shared memory."""
    total = 0
    for equation in jaxpr.eqns:
        inside = [_intermediate_bytes(part) for part in _inner(equation)]
        total += sum(inside) or sum(_bytes(out) for out in equation.outvars)
    return total


def live_bytes(jaxpr: Any) -> int:
    """Return the largest number of bytes of intermediate results that are needed at once, in the order of the program."""
    uses = [*((number, equation.invars) for number, equation in enumerate(jaxpr.eqns)), (-1, jaxpr.outvars)]
    last = {entry: number for number, entries in uses for entry in entries if not isinstance(entry, Literal)}
    kept: dict[Any, int] = {}
    live = most = 0
    for number, equation in enumerate(jaxpr.eqns):
        made = {out: _bytes(out) for out in equation.outvars}
        inside = max((live_bytes(part) for part in _inner(equation)), default=0)
        most = max(most, live + sum(made.values()) + inside)
        kept |= {out: size for out, size in made.items() if out in last}
        over = {entry for entry in equation.invars if not isinstance(entry, Literal) and last[entry] == number}
        live += sum(size for out, size in made.items() if out in last) - sum(kept.pop(entry, 0) for entry in over)
    return most


def _inner(equation: Any) -> list[Any]:
    """Return the programs within an operation."""
    found = [getattr(value, "jaxpr", value) for value in equation.params.values()]
    return [part for part in found if hasattr(part, "eqns")]


def _bytes(entry: Any) -> int:
    return entry.aval.size * entry.aval.dtype.itemsize
