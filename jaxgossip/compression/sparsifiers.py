"""Sparsifiers: a node sends k of its p columns, the rest counts as zero."""

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

FEW = 24
"""Up to so many columns, the k largest are cheaper taken one after the other than found by bisection."""


@guarded
def top_k(*, fraction: float = 0.1) -> Compressor:
    """The k columns of largest magnitude of each row, exactly k: of equal ones the lower columns.

    Stich, Cordonnier and Jaggi 2018, "Sparsified SGD with memory", definition 2.2. Contraction with δ ≥ k/p, met by
    rows whose entries are all of one magnitude; biased. A message holds k values and k indices of ⌈log₂ p⌉ bits.

    Args:
        fraction: k/p, above 0 and at most 1; k is the nearest whole number, at least one.

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
    """Random columns, k of p, a fresh uniformly random set for each node and round.

    Stich, Cordonnier and Jaggi 2018, definition 2.2. Contraction with δ = k/p, exactly and whatever the row:
    E‖Q(x) − x‖² = (1 − k/p)‖x‖². With ``rescale`` it is unbiased instead, E‖Q(x) − x‖² = (p/k − 1)‖x‖², and a
    contraction only for k > p/2, with δ = 2 − p/k.

    Drawn cheaply: one random permutation π of the columns a round, and for each node i a cyclic shift sᵢ, uniform on
    0..p-1; node i keeps column c iff (π(c) + sᵢ) mod p < k. Each node's set is a uniformly random one of k columns, as
    π is uniform. Whether i keeps c and whether j ≠ i keeps d are independent for all c and d, as sᵢ and sⱼ are; two
    whole sets are not independent, being windows of one circle. A message holds k values and the 4 bytes of a shift:
    the permutation is randomness that all nodes share.

    Args:
        fraction: k/p, above 0 and at most 1; k is the nearest whole number, at least one.
        rescale: multiply what is kept by p/k.

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
    """Return (n, p) bool, true at the k < p entries of largest magnitude of each row, of equal ones the lower columns.

    A mask needs no order, so nothing is sorted: it needs a threshold with k entries at or above. Where equal entries
    straddle it, their columns are bisected next, counted from the right. Of equal zeros all are true, since it shows in no
    result which are kept.
    """
    row_bytes = x.shape[1] * x.dtype.itemsize
    sizes = jax.lax.optimization_barrier(jnp.abs(x))  # every pass reads them
    return _kept(jnp.abs(x), *by_blocks(lambda rows: _threshold(rows, k), sizes, row_bytes=row_bytes))


def _threshold(sizes: Rows, k: int) -> tuple[Array, Array]:
    """Return (n, 1) the k-th largest magnitude of each row, and how many of the last columns are left out at it."""
    threshold, counted = (_descent if k <= FEW else _bisected)(sizes, k)
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
    """Return the k-th largest magnitude of each row, (n, 1), and how many entries are at or above it: k passes, and one.

    Every pass finds the largest magnitude below the last one. Equal ones are passed together, so that the k-th pass may be
    too low: then the thresholds before it are tried, upwards, until all rows have theirs.
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


def _bisected(sizes: Rows, k: int) -> tuple[Array, Array]:
    """Return the same by bisection: the bits of magnitudes, read as whole numbers, are in their order."""
    whole = jnp.int64 if sizes.dtype == jnp.float64 else jnp.int32

    def bits(of: Array) -> Array:
        return jax.lax.bitcast_convert_type(of, whole)

    high = bits(jnp.max(sizes, 1, keepdims=True)) + 1
    counted = jnp.full(high.shape, sizes.shape[1], jnp.int32)
    at, counted = _bisect(lambda at: _counts(bits(sizes) >= at), k, jnp.zeros_like(high), high, counted)
    return jax.lax.bitcast_convert_type(at, sizes.dtype), counted


def _counts(mask: Array) -> Int[Array, "n 1"]:
    """Return (n, 1) int32, how many entries of each row of ``mask`` (n, p) are true; as floats, which CPUs add faster."""
    return jnp.where(mask, jnp.float32(1), 0).sum(1, keepdims=True).astype(jnp.int32)


def _bisect(count: Callable[[Array], Array], k: int, low: Array, high: Array, counted: Array) -> tuple[Array, Array]:
    """Return (n, 1) the largest thresholds at which k entries are counted, or any that has exactly k, and the counts.

    Rows that have their k wait for the others: where few entries are equal, all have it after two thirds of the steps.

    Args:
        count: thresholds (n, 1) -> (n, 1), not increasing.
        k: how many entries to count.
        low: (n, 1) whole numbers at which at least k are counted.
        high: (n, 1) larger ones at which fewer are.
        counted: (n, 1) what is counted at ``low``.
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
