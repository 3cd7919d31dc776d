"""Sparsifiers: a node sends k of its p columns, the rest counts as zero."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgossip.compression.compressor import (
    Compressor,
    Size,
    bytes_of_bits,
    check_fraction,
    index_bits,
    kept_columns,
)
from jaxgossip.compression.reduce import row_counts, row_maxima
from jaxgossip.random import hashed_bits
from jaxgossip.typing import NodeInts, PRNGKey, Rows

FEW = 16
"""Up to so many columns, the k largest are cheaper taken one after the other than found by bisection."""


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

    A mask needs no order, so nothing is sorted: it needs a threshold with k entries at or above. The bits of |x|, read as
    whole numbers, are in the order of |x|, and are bisected. Where equal entries straddle the threshold, their columns
    are bisected next, counted from the right. Of equal zeros all are true, since it shows in no result which are kept.
    """
    p = x.shape[1]
    bits = jax.lax.bitcast_convert_type(jnp.abs(x), jnp.int64 if x.dtype == jnp.float64 else jnp.int32)
    largest = row_maxima(bits)
    low = jnp.zeros_like(largest)
    if k <= FEW:
        # The k-th largest of the distinct values is at or below the k-th largest of all, and is it unless some are equal.
        below = jax.lax.fori_loop(1, k, lambda _, top: row_maxima(jnp.where(bits < top, bits, -1)), largest)
        low = jnp.maximum(below, low)
    counted = row_counts(bits >= low)
    threshold, counted = _bisect(lambda at: row_counts(bits >= at), k, low, largest + 1, counted)

    from_right = jnp.arange(p - 1, -1, -1, dtype=jnp.int32)

    def kept(column: Array) -> Array:
        return (bits > threshold) | ((bits == threshold) & (from_right >= column))

    low, high = jnp.zeros_like(counted), jnp.where(threshold == 0, 1, p).astype(counted.dtype)
    column, _ = _bisect(lambda column: row_counts(kept(column)), k, low, high, counted)
    return kept(column)


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
