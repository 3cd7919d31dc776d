"""Rules that combine rows column by column: median and trimmed mean, by a network of comparisons."""

import functools
import operator
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import NodeInts, Rows
from jaxgossip.network.aggregation.heard import Aggregation, Heard


@guarded
def median() -> Aggregation:
    """Take the column-wise median of a node's own row and the rows it hears."""

    def combine(heard: Heard) -> Rows:
        return median_of(*sorted_columns(heard))

    return Aggregation("median", combine)


@guarded
def trimmed_mean(*, trim: int = 1) -> Aggregation:
    """Average a node's own row and the rows it hears, column by column, without the extremes.

    Args:
        trim: b, number of values left out at either end; nodes that hear too few leave out as many as possible.

    Raises:
        InputError: ``trim`` is negative.
    """
    if trim < 0:
        raise InputError(f"aggregation trimmed_mean: trim must not be negative, not {trim}")

    def combine(heard: Heard) -> Rows:
        columns, number = sorted_columns(heard)
        left_out = jnp.minimum(trim, (number - 1) // 2)
        kept = sum_over_ranks(columns, lambda rank: (rank >= left_out) & (rank < number - left_out))
        return kept / (number - 2 * left_out).astype(kept.dtype)[:, None]

    return Aggregation("trimmed_mean", combine)


def sorted_columns(heard: Heard) -> tuple[list[Rows], NodeInts]:
    """Return (columns, counts): each node's own and heard rows, sorted column by column, and their number (n,).

    ``columns`` are k + 1 arrays (n, p) in ascending order, infinite for rows that did not arrive.
    """
    arrived = heard.arrived
    columns = [heard.x, *(jnp.where(arrived[:, k, None], row, jnp.inf) for k, row in enumerate(heard.rows))]
    return ascending(columns), 1 + arrived.sum(1)


def ascending(columns: list[Rows]) -> list[Rows]:
    """Return arrays (n, p) sorted entry by entry.

    They are sorted by a network of comparisons of whole arrays, which XLA fuses, unlike a sort along an axis.
    """
    columns = list(columns)
    for a, b in comparators(len(columns)):
        columns[a], columns[b] = jnp.minimum(columns[a], columns[b]), jnp.maximum(columns[a], columns[b])
    return columns


def ascending_in_size(columns: list[Rows]) -> list[Rows]:
    """Return arrays (n, p) sorted entry by entry by their absolute values, as :func:`ascending` does."""
    columns = list(columns)
    for a, b in comparators(len(columns)):
        ordered = jnp.abs(columns[a]) <= jnp.abs(columns[b])
        columns[a], columns[b] = (
            jnp.where(ordered, columns[a], columns[b]),
            jnp.where(ordered, columns[b], columns[a]),
        )
    return columns


def median_of(columns: list[Rows], number: NodeInts) -> Rows:
    """Return (n, p): the median of the first ``number`` (n,) of sorted ``columns``."""
    low, high = (number - 1) // 2, number // 2
    return (sum_over_ranks(columns, lambda rank: rank == low) + sum_over_ranks(columns, lambda rank: rank == high)) / 2


def sum_over_ranks(columns: list[Rows], which: Callable[[int], Array | bool]) -> Rows:
    """Return (n, p): the sum of ``columns`` over the ranks for which ``which``(rank), scalar or (n,) bool, holds."""
    return functools.reduce(
        operator.add, (jnp.where(jnp.asarray(which(rank))[:, None], column, 0) for rank, column in enumerate(columns))
    )


def comparators(n: int) -> list[tuple[int, int]]:
    """Return the comparators (a, b), a < b, of Batcher's odd-even merge sort on n wires (Knuth, TAOCP 3, 5.2.2 M)."""
    pairs, top = [], 1 << max(0, (n - 1).bit_length() - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            q, d, r = q // 2, q - p, p
        p //= 2
    return pairs
