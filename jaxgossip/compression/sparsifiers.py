"""Sparsifiers: k of p columns are sent, the others are taken as zero."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxgossip.compression.blocks import by_blocks
from jaxgossip.compression.compressor import (
    Compressor,
    Size,
    bytes_of_bits,
    check_fraction,
    index_bits,
    kept_columns,
)
from jaxgossip.core.arguments import guarded
from jaxgossip.core.random import hashed_bits
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows

MAX_DESCENT_K = 24
"""Up to this k, taking the largest entries one after another is faster than bisection."""


@guarded
def top_k(*, fraction: float = 0.1) -> Compressor:
    """The k columns of largest magnitude in each row, exactly k; ties go to the lower columns.

    Stich, Cordonnier and Jaggi 2018, "Sparsified SGD with memory", definition 2.2. A contraction with δ ≥ k/p, with equality
    for rows whose entries all have the same magnitude; biased. A message holds k values and k indices of ⌈log₂ p⌉ bits.

    Args:
        fraction: k/p, above 0 and at most 1; k is rounded to the nearest integer, at least one.

    Raises:
        InputError: a fraction outside that range.
    """
    check_fraction("top_k", fraction)

    def apply(x: Rows, key: PRNGKey, nodes: NodeInts) -> Rows:
        del key, nodes  # nothing is drawn
        k = kept_columns(fraction, x.shape[1])
        return x if k == x.shape[1] else jnp.where(_largest(x, k), x, 0)

    def size(p: int, dtype: np.dtype) -> Size:
        k = kept_columns(fraction, p)
        return Size(k * dtype.itemsize, bytes_of_bits(k * index_bits(p)))

    return Compressor("top_k", apply, size)


@guarded
def random_k(*, fraction: float = 0.1, rescale: bool = False) -> Compressor:
    """Random k of p columns, a fresh uniformly random set for each node and round.

    Stich, Cordonnier and Jaggi 2018, definition 2.2. A contraction with exactly δ = k/p for every row:
    E‖Q(x) − x‖² = (1 − k/p)‖x‖². With ``rescale`` it is unbiased instead, E‖Q(x) − x‖² = (p/k − 1)‖x‖², and a
    contraction only for k > p/2, with δ = 2 − p/k.

    Sets are cheap to draw: each round draws one random permutation π of the columns, and for each node i a cyclic shift sᵢ,
    uniform on 0..p-1; node i keeps column c iff (π(c) + sᵢ) mod p < k. Each node's set is uniformly random, as π is. Whether
    i keeps c and whether j ≠ i keeps d are independent for all c and d, as sᵢ and sⱼ are; two whole sets are not independent,
    being windows of one circle. A message holds k values and the 4 bytes of a shift: the permutation is randomness shared by
    all nodes.

    Args:
        fraction: k/p, above 0 and at most 1; k is rounded to the nearest integer, at least one.
        rescale: whether to multiply the kept columns by p/k.

    Raises:
        InputError: a fraction outside that range.
    """
    check_fraction("random_k", fraction)

    def apply(x: Rows, key: PRNGKey, nodes: NodeInts) -> Rows:
        p = x.shape[1]
        k = kept_columns(fraction, p)
        places = jax.random.permutation(jax.random.fold_in(key, 0), p).astype(jnp.int32)
        # 32 bits modulo p: the shifts' probabilities differ by less than 2⁻³².
        shifts = (hashed_bits(jax.random.fold_in(key, 1), nodes, 1) % jnp.uint32(p)).astype(jnp.int32)
        place = places + jax.lax.optimization_barrier(shifts)
        kept = jnp.where(place >= p, place - p, place) < k
        return jnp.where(kept, x * (p / k) if rescale else x, 0)

    def size(p: int, dtype: np.dtype) -> Size:
        return Size(kept_columns(fraction, p) * dtype.itemsize, 4)

    return Compressor("random_k", apply, size)


def _largest(x: Rows, k: int) -> Array:
    """Return (n, p) bool, true at the k < p entries of largest magnitude in each row; ties go to the lower columns.

    A mask needs no order, so nothing is sorted: all that is needed is a threshold with k entries at or above it. Where ties
    straddle it, their columns are bisected next, counted from the right. Tied zeros are all true, since no result depends on
    which of them are kept.
    """
    row_bytes = x.shape[1] * x.dtype.itemsize
    sizes = jax.lax.optimization_barrier(jnp.abs(x))  # every pass reads them
    return _kept(jnp.abs(x), *by_blocks(lambda rows: _threshold(rows, k), sizes, row_bytes=row_bytes))


def _threshold(sizes: Rows, k: int) -> tuple[Array, Array]:
    """Return (n, 1) the k-th largest magnitude of each row, and the number of last columns that are excluded at it."""
    threshold, counted = (_descent if k <= MAX_DESCENT_K else _bisection)(sizes, k)
    none = jnp.zeros_like(counted)

    def tie(threshold: Array) -> Array:
        high = jnp.where(threshold == 0, 1, sizes.shape[1]).astype(counted.dtype)
        return _bisect(lambda column: _counts(_kept(sizes, threshold, column)), k, none, high, counted)[0]

    tied = jnp.any((counted > k) & (threshold > 0))
    return threshold, jax.lax.cond(tied, tie, lambda _: none, threshold)


def _kept(sizes: Rows, threshold: Array, column: Array) -> Array:
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


def _bisection(sizes: Rows, k: int) -> tuple[Array, Array]:
    """Return the same as :func:`_descent` by bisection: the bits of magnitudes, read as integers, have the same order."""
    whole = jnp.int64 if sizes.dtype == jnp.float64 else jnp.int32

    def bits(of: Array) -> Array:
        return jax.lax.bitcast_convert_type(of, whole)

    high = bits(jnp.max(sizes, 1, keepdims=True)) + 1
    counted = jnp.full(high.shape, sizes.shape[1], jnp.int32)
    at, counted = _bisect(lambda at: _counts(bits(sizes) >= at), k, jnp.zeros_like(high), high, counted)
    return jax.lax.bitcast_convert_type(at, sizes.dtype), counted


def _counts(mask: Array) -> Int[Array, "n 1"]:
    """Return (n, 1) int32, the number of true entries in each row of ``mask`` (n, p); as floats, which CPUs add faster."""
    return jnp.where(mask, jnp.float32(1), 0).sum(1, keepdims=True).astype(jnp.int32)


def _bisect(count: Callable[[Array], Array], k: int, low: Array, high: Array, counted: Array) -> tuple[Array, Array]:
    """Return (n, 1) the largest thresholds with k entries, or any that has exactly k, and the counts at them.

    Rows that are done wait for the others; with few ties, all are done after two thirds of the steps.

    Args:
        count: thresholds (n, 1) -> counts (n, 1), not increasing.
        k: number of entries to count.
        low: (n, 1) integers at which at least k entries are counted.
        high: (n, 1) larger integers at which fewer are.
        counted: (n, 1) the counts at ``low``.
    """

    def unfinished(low: Array, high: Array, counted: Array) -> Array:
        return (counted > k) & (high - low > 1)

    def halve(bracket: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        low, high, counted = bracket
        middle = jnp.where(unfinished(*bracket), low + (high - low) // 2, low)
        at_middle = count(middle)
        enough = at_middle >= k
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle), jnp.where(enough, at_middle, counted)

    start = (low, high, counted)
    low, _, counted = jax.lax.while_loop(lambda bracket: jnp.any(unfinished(*bracket)), halve, start)
    return low, counted
