"""Exact counts beyond 32 bits without 64-bit mode: a count is two uint32 limbs, value = high · 2³² + low.

A million nodes that send 232 bytes to twenty neighbours each exceed 2³² bytes in the first round, and float32 is inexact
long before. The host reads a count back as a Python integer.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt32

from jaxgossip.core.devices.blocks import at_hand
from jaxgossip.core.devices.exchanges import only_nodes, sum_over_nodes

Count = UInt32[Array, "2"]


def count(value: int) -> Count:
    """Return a Python integer as a count, 0 ≤ value < 2⁶⁴."""
    return jnp.asarray([value >> 32, value & 0xFFFFFFFF], jnp.uint32)


def add(a: Count, b: Count) -> Count:
    """Return a + b."""
    low = a[1] + b[1]
    return jnp.stack([a[0] + b[0] + (low < b[1]).astype(jnp.uint32), low])


def times(a: Count, factor: int) -> Count:
    """Return a · factor, 0 ≤ factor < 2³¹, by schoolbook multiplication of 16-bit digits."""
    digits = [a[1] & 0xFFFF, a[1] >> 16, a[0] & 0xFFFF, a[0] >> 16]
    result, shifts = count(0), (0, 16, 32, 48)
    for part, part_shift in ((factor & 0xFFFF, 0), (factor >> 16, 16)):
        for digit, digit_shift in zip(digits, shifts, strict=True):
            result = add(result, _shifted(digit * jnp.uint32(part), part_shift + digit_shift))
    return result


def _shifted(product: Array, shift: int) -> Count:
    """Return product · 2^shift modulo 2⁶⁴; shift is a multiple of 16."""
    zero = jnp.uint32(0)
    if shift >= 64:
        return jnp.stack([zero, zero])
    if shift >= 32:
        return jnp.stack([product << (shift - 32), zero])
    if shift == 0:
        return jnp.stack([zero, product])
    return jnp.stack([product >> (32 - shift), product << shift])


def exceeds(a: Count, bound: int) -> Array:
    """Return whether a > bound as a boolean scalar, 0 ≤ bound < 2⁶⁴."""
    high, low = jnp.uint32(bound >> 32), jnp.uint32(bound & 0xFFFFFFFF)
    return (a[0] > high) | ((a[0] == high) & (a[1] > low))


def total(counts: Int[Array, " n"] | UInt32[Array, " n"]) -> Count:
    """Return the exact sum over all nodes of (n,) non-negative integers below 2³²."""
    counts = only_nodes(counts)
    low = counts.astype(jnp.uint32)
    zero = jnp.uint32(0)

    def add_pairs(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        low = a[1] + b[1]
        return a[0] + b[0] + (low < b[1]).astype(jnp.uint32), low

    sums = jax.lax.reduce((jnp.zeros_like(low), low), (zero, zero), add_pairs, (0,))
    return jnp.stack(sums) if at_hand() is None else _over_blocks(*sums)


def _over_blocks(high: Array, low: Array) -> Count:
    """Return the sum over all blocks of a count each, by sums of 16-bit digits, which do not exceed 32 bits."""
    digits = sum_over_nodes(jnp.stack([low & 0xFFFF, low >> 16, high & 0xFFFF, high >> 16]))
    result = count(0)
    for digit, shift in zip(digits, (0, 16, 32, 48), strict=True):
        result = add(result, _shifted(digit & 0xFFFF, shift))
        result = add(result, _shifted(digit >> 16, shift + 16))
    return result


def to_int(a: Count | np.ndarray) -> int:
    """Return a count as a Python integer (on the host)."""
    high, low = np.asarray(a)
    return (int(high) << 32) | int(low)
