"""What rows at hand need of others: sums over nodes, rows by their numbers, sums of what was sent, tables of columns.

Without a mesh these are plain operations. In a program for one block they are exchanges between blocks, which are carried
out between devices (see :mod:`.transport`); their results do not depend on the number of devices, to the bit.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jaxtyping import Array, Bool, Int

from jaxgossip.core.devices.blocks import are_nodes, at_hand, row_numbers
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import accumulator


class Result(NamedTuple):
    """What an exchange gives.

    Attributes:
        shape: its shape.
        dtype: its dtype.
        per_block: whether every block has its own; else all blocks of a device, or of all, have the same.
    """

    shape: tuple[int, ...]
    dtype: Any
    per_block: bool


exchange_p = Primitive("exchange")
exchange_p.multiple_results = True


@exchange_p.def_abstract_eval
def _shapes(*_: Any, results: tuple[Result, ...], **__: Any) -> list[Any]:
    return [ShapedArray(result.shape, result.dtype) for result in results]


def exchanged(kind: str, results: Sequence[Result], *arrays: Array, **options: Any) -> list[Array]:
    """Return the results of an exchange between the blocks, of a ``kind`` that :mod:`.transport` carries out."""
    return exchange_p.bind(*arrays, kind=kind, results=tuple(results), options=tuple(sorted(options.items())))


def node_sum(values: Array) -> Array:
    """Return (…): the sum over all nodes of values (rows, …), in a fixed order of additions."""
    if at_hand() is None:
        return values.sum(0)
    return _reduced("sum", values, of_rows=True)


def node_mean(values: Array, n_nodes: int) -> Array:
    """Return (1, …): the mean over all nodes of values (rows, …), in programs of a block at least float32."""
    if at_hand() is None:
        return values.mean(0, keepdims=True)
    return node_sum(values.astype(accumulator(values.dtype)))[None] / n_nodes


def node_max(values: Array) -> Array:
    """Return (…): the largest value over all nodes, of values (rows, …)."""
    if at_hand() is None:
        return values.max(0)
    lowest = False if values.dtype == bool else jnp.finfo if jnp.issubdtype(values.dtype, jnp.floating) else jnp.iinfo
    fill = lowest if isinstance(lowest, bool) else lowest(values.dtype).min
    if values.dtype == bool:
        return _reduced("max", _counted(values, fill).astype(jnp.int32)).astype(bool)
    return _reduced("max", _counted(values, fill))


def node_min(values: Array) -> Array:
    """Return (…): the smallest value over all nodes, of values (rows, …) of a type with a sign."""
    return values.min(0) if at_hand() is None else -node_max(-values)


def sum_over_nodes(part: Array) -> Array:
    """Return (…): the sum over all blocks, in order, of what each adds up (…); without blocks, the sum itself."""
    if at_hand() is None:
        return part
    return _reduced("sum", part[None])


def only_nodes(values: Array) -> Array:
    """Return values (rows, …), with zeros in rows that only fill up."""
    return _counted(values, 0)


def of_row(values: Array, row: int) -> Array:
    """Return (1, …): those of one row, of values (rows, …)."""
    block = at_hand()
    if block is None:
        return values[row : row + 1]
    mine = _where(row_numbers(block.n_nodes) == row, values, 0)
    return _reduced("sum", mine)[None]


def everyone(values: Array) -> Array:
    """Return (n, …): small values of all nodes, of values (rows, …), on every device."""
    block = at_hand()
    return values if block is None else collected(values, block.n_nodes)


def collected(values: Array, number: int) -> Array:
    """Return the first ``number`` of the small values (q, …) that each block has, one block after the other."""
    if at_hand() is None:
        return values[:number]
    return exchanged("everyone", [Result((number, *values.shape[1:]), values.dtype, per_block=False)], values)[0]


def fetch(values: Array, rows: Int[Array, "..."]) -> Array:
    """Return (…): values (rows, …) of the rows of these numbers, which may be of any block.

    Only rows of other devices are moved, to them and in buffers of bounded size, as often as it takes.
    """
    block = at_hand()
    if block is None:
        return gather(values, rows)
    result = Result((*rows.shape, *values.shape[1:]), values.dtype, per_block=True)
    return exchanged("fetch", [result], values, rows.astype(jnp.int32))[0]


def sum_of_sent(
    rows: Array, targets: Int[Array, "rows k"], sent: Bool[Array, "rows k"]
) -> tuple[Array, Int[Array, " rows"]]:
    """Return (sums (rows, p), counts (rows,)): at every row, the sum of the rows that are sent to it, and their number.

    They are added in the order of their senders.

    Args:
        rows: (rows, p), what each row sends.
        targets: (rows, k), the numbers of the rows that each sends to.
        sent: (rows, k), whether it does.
    """
    block = at_hand()
    if block is not None:
        results = [Result(rows.shape, rows.dtype, per_block=True), Result(rows.shape[:1], jnp.int32, per_block=True)]
        sums, counts = exchanged("send", results, rows, targets, sent)
        return sums, counts
    heard, counts = jnp.zeros_like(rows), jnp.zeros(rows.shape[0], jnp.int32)
    for slot in range(targets.shape[1]):
        places = jnp.where(sent[:, slot], targets[:, slot], rows.shape[0])
        heard, counts = heard.at[places].add(rows, mode="drop"), counts.at[places].add(1, mode="drop")
    return heard, counts


def by_columns(program: Callable[[Array], Array], rows: Array, *, by_index: bool = False) -> Array:
    """Return (rows, p): ``program(all rows)`` for the rows at hand, computed some columns at a time.

    Args:
        program: table (n, c) -> (rows, c), each of whose columns depends on that column of the table alone.
        rows: (rows, p), of which the program sees those of all nodes.
        by_index: whether the program only adds multiples of single rows of the table, in a fixed order. Its results then do
            not depend on the number of columns at a time, and it may have as many as there is room for, of a table of n rows
            or more.
    """
    block = at_hand()
    if block is None:
        return program(rows)
    width, length = column_width(rows.shape[1]), block.n_nodes
    if by_index:
        width, length = column_width(rows.shape[1], block.n_devices), block.n_blocks * block.n_rows
    traced = jax.make_jaxpr(program)(jax.ShapeDtypeStruct((length, width), rows.dtype))
    out: Any = traced.out_avals[0]
    result = Result(rows.shape, out.dtype, per_block=True)
    # What the program takes from around it are constants of the trace, and arguments of the exchange.
    return exchanged("columns", [result], rows, *traced.consts, program=traced.jaxpr, width=width)[0]


PARTS = 8
"""Tables of all rows are made of at most this part, 1/8, of the columns at a time, unless more columns have the same bits …"""
LEAST_COLUMNS = 8
"""… but of no fewer columns than this."""


def column_width(n_columns: int, n_parts: int = PARTS) -> int:
    """Return the number of columns at a time, if a device holds those of all rows in ``n_parts`` parts."""
    return min(n_columns, max(LEAST_COLUMNS, -(-n_columns // n_parts)))


def _reduced(how: str, values: Array, **options: Any) -> Array:
    return exchanged(how, [Result(values.shape[1:], values.dtype, per_block=False)], values, **options)[0]


def _counted(values: Array, fill: Any) -> Array:
    """Return the values with ``fill`` in rows that only fill up."""
    block = at_hand()
    mask = None if block is None else are_nodes(block.n_nodes)
    return values if mask is None else _where(mask, values, fill)


def _where(mask: Array, values: Array, fill: Any) -> Array:
    return jnp.where(mask.reshape(-1, *[1] * (values.ndim - 1)), values, jnp.asarray(fill, values.dtype))
