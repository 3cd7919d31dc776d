"""The largest entries of each row, exactly k of them, as a mask.

A mask needs no order, so nothing is sorted: all that is needed is a threshold with k entries at or above it. Where ties
straddle it, their columns are bisected next, counted from the right.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxgossip.compression.blocks import by_blocks
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import Rows

MAX_DESCENT_K = 24
"""Up to this k, taking the largest entries one after another is faster than bisection."""
Order = Int[Array, "n p"]
"""Integers in the order of the sizes of a row."""


def largest(sizes: Rows, k: int) -> Bool[Array, "n p"]:
    """Return (n, p) bool, true at the k < p largest entries of each row of ``sizes`` ≥ 0; ties go to the lower columns.

    Tied zeros are all true, for those to whom it does not matter which of them are kept.
    """
    read = materialize(sizes)  # by every pass
    return _kept(sizes, *by_blocks(lambda rows: _threshold(rows, k), read, row_bytes=_row_bytes(read)))


def largest_among(
    among: Bool[Array, "n p"] | Literal[True], sizes: Rows, k: Int[Array, ""] | int
) -> Bool[Array, "n p"]:
    """Return (n, p) bool, true at exactly k entries of each row: the largest ``sizes`` ≥ 0 where ``among`` is true.

    Args:
        among: (n, p), with at least k true entries in each row; True for all.
        sizes: (n, p); NaN is the largest of all.
        k: at least 0, perhaps known in the compiled program alone.
    """
    order = materialize(jnp.where(among, _as_integers(sizes), -1))

    def threshold(rows: Order) -> tuple[Array, Array]:
        at, counted = _bisection(rows, k)
        return at, _last_columns(rows, at, k, counted)

    return _kept(order, *by_blocks(threshold, order, row_bytes=_row_bytes(order)))


def _row_bytes(rows: Array) -> int:
    return rows.shape[1] * rows.dtype.itemsize


def _threshold(sizes: Rows, k: int) -> tuple[Array, Array]:
    """Return (n, 1) the k-th largest entry of each row, and the number of last columns that are excluded at it."""
    if k <= MAX_DESCENT_K:
        threshold, counted = _descent(sizes, k)
    else:
        at, counted = _bisection(_as_integers(sizes), k)
        threshold = jax.lax.bitcast_convert_type(at, sizes.dtype)
    counted = jnp.where(threshold > 0, counted, k)  # whatever is tied at zero is kept
    return threshold, _last_columns(sizes, threshold, k, counted)


def _last_columns(sizes: Array, threshold: Array, k: Any, counted: Array) -> Array:
    """Return (n, 1) the number of last columns without whose entries at the threshold k are counted."""
    none = jnp.zeros_like(counted)

    def ties(threshold: Array) -> Array:
        most = jnp.where(counted > k, sizes.shape[1] + 1, none)
        return _bisect(lambda column: _counts(_kept(sizes, threshold, column)), k, none, most)

    return jax.lax.cond(jnp.any(counted > k), ties, lambda _: none, threshold)


def _kept(sizes: Array, threshold: Array, column: Array) -> Array:
    """Return (n, p) bool: above the threshold, or at it and not among the last ``column`` columns."""
    from_right = jnp.arange(sizes.shape[1] - 1, -1, -1, dtype=jnp.int32)
    return (sizes > threshold) | ((sizes == threshold) & (from_right >= column))


def _descent(sizes: Rows, k: int) -> tuple[Array, Array]:
    """Return (n, 1) the k-th largest magnitude of each row, and the number of entries at or above it, in k + 1 passes.

    Every pass finds the largest magnitude below the previous one. It skips ties together, so the k-th pass may be too low;
    then the earlier thresholds are tried, upwards, until every row has its own.
    """
    tops = [jnp.max(sizes, 1, keepdims=True)]
    for _ in range(1, k):
        tops.append(jnp.max(jnp.where(sizes < tops[-1], sizes, 0), 1, keepdims=True))
    steps = jnp.stack(tops)

    def climb(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        at, threshold, counted, settled = carry
        higher = steps[at]
        at_higher = _counts(sizes >= higher)
        climbs = ~settled & (at_higher >= k)
        threshold, counted = jnp.where(climbs, higher, threshold), jnp.where(climbs, at_higher, counted)
        return at - 1, threshold, counted, ~climbs | (counted == k)

    counted = _counts(sizes >= tops[-1])
    start = (jnp.int32(k - 2), tops[-1], counted, counted == k)
    _, threshold, counted, _ = jax.lax.while_loop(lambda carry: (carry[0] >= 0) & ~jnp.all(carry[-1]), climb, start)
    return threshold, counted


def _bisection(order: Order, k: Any) -> tuple[Array, Array]:
    """Return (n, 1) the k-th largest integer ≥ 0 of each row, and the number of entries at or above it, by bisection."""
    high = jnp.max(order, 1, keepdims=True) + 1
    at = _bisect(lambda at: _counts(order >= at), k, jnp.zeros_like(high), high)
    return at, _counts(order >= at)


def _as_integers(sizes: Rows) -> Order:
    """Return the bits of numbers ≥ 0, which as integers have the same order."""
    return jax.lax.bitcast_convert_type(sizes, jnp.int64 if sizes.dtype == jnp.float64 else jnp.int32)


def _counts(mask: Array) -> Int[Array, "n 1"]:
    """Return (n, 1) int32, the number of true entries in each row of ``mask`` (n, p).

    CPUs add floats faster than integers, and write ones of 16 bits in half the time.
    """
    return jnp.where(mask, jnp.bfloat16(1), 0).astype(jnp.float32).sum(1, keepdims=True).astype(jnp.int32)


def _bisect(count: Callable[[Array], Array], k: Any, low: Array, high: Array) -> Array:
    """Return (n, 1) the largest thresholds with k entries, or any that has exactly k.

    Rows that are done wait for the others; with few ties, all are done after two thirds of the steps.

    Args:
        count: thresholds (n, 1) -> counts (n, 1), not increasing.
        k: number of entries to count.
        low: (n, 1) integers ≥ 0 at which at least k entries are counted.
        high: (n, 1) larger integers at which fewer are, or none.
    """

    def halve(bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = low + ((high - low) >> 1)
        counted = count(middle)
        # A row is done when both ends are one.
        return jnp.where(counted >= k, middle, low), jnp.where(counted > k, high, middle)

    return jax.lax.while_loop(lambda bracket: jnp.any(bracket[1] - bracket[0] > 1), halve, (low, high))[0]
