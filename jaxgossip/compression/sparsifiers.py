"""Sparsifiers: k of p columns are sent, the others are taken as zero."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.compression.compressor import (
    Compressor,
    Size,
    bytes_of_bits,
    check_fraction,
    index_bits,
    kept_columns,
)
from jaxgossip.compression.largest import largest
from jaxgossip.core.arguments import guarded
from jaxgossip.core.random import hashed_bits
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows


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
        return x if k == x.shape[1] else jnp.where(largest(jnp.abs(x), k), x, 0)

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
