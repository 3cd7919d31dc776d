"""Every random draw is a function of (seed, round, purpose, node).

No random state is carried from round to round, so chunk sizes, resuming, sharding and the number of replicas cannot
change a bit. Device draws are counter-based threefry: element i of a draw depends only on its key and on i.
"""

import math
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry2x32_p
from jaxtyping import Array, Float32, Integer, UInt32

from jaxgossip.core.devices.blocks import at_hand, own, row_numbers
from jaxgossip.core.typing import PRNGKey


def run_key(seed: int) -> PRNGKey:
    """Return the key of a run, 0 ≤ seed < 2⁶⁴: the same with and without 64-bit mode, and distinct for distinct seeds."""
    key = jax.random.key(np.uint32(seed & 0xFFFFFFFF))
    return jax.random.fold_in(key, np.uint32(seed >> 32)) if seed >> 32 else key


def purpose_key(key: PRNGKey, purpose: str) -> PRNGKey:
    """Return the key for a named ``purpose``; distinct names give independent draws."""
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))


def host_rng(seed: int, purpose: str) -> np.random.Generator:
    """Return a NumPy generator for a named ``purpose`` of a run: graphs and partitions are drawn on the host."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def hashed_bits(key: PRNGKey, nodes: Integer[Array, " n"], n_columns: int) -> UInt32[Array, "n columns"]:
    """Return 32 random bits for each entry of (n, columns), a function of (key, node number, column) alone.

    Threefry takes some twenty nanoseconds per word on a CPU: at one word per parameter, many times the cost of the mixing
    that it serves. This is a counter-based hash instead, two 32-bit finalisers, the first keyed by node and column and the
    second by node again: a handful of integer operations, which XLA fuses into their consumer, so that the words never
    reach memory. It is good enough for rounding and masks, but is not cryptographic and must not be used for privacy.

    Args:
        key: any key; four threefry words drawn from it key the hash.
        nodes: (n,) the node number of each row.
        n_columns: number of columns.
    """
    words = jax.random.bits(key, (4,), jnp.uint32)
    first = _finalise(_finalise(nodes.astype(jnp.uint32) ^ words[0]) ^ words[1])
    second = _finalise(first ^ words[2])
    column = _finalise(jnp.arange(n_columns, dtype=jnp.uint32) ^ words[3])
    # The barrier keeps XLA from recomputing the words of a node for each of its columns.
    first, second, column = jax.lax.optimization_barrier((first, second, column))
    return _finalise(_finalise(first[:, None] ^ column) ^ second[:, None])


def hashed_uniform(key: PRNGKey, nodes: Integer[Array, " n"], n_columns: int) -> Float32[Array, "n columns"]:
    """Return (n, columns) numbers, uniform on the multiples of 2⁻²⁴ in [0, 1): see :func:`hashed_bits`.

    Args:
        key: any key.
        nodes: (n,) the node number of each row; permuting it permutes the rows of the result bit for bit.
        n_columns: number of columns.
    """
    # Via int32: CPUs have vector instructions to convert signed integers, but not unsigned ones.
    high = (hashed_bits(key, nodes, n_columns) >> 8).astype(jnp.int32)
    return high.astype(jnp.float32) * jnp.float32(2**-24)


def _finalise(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Mix 32 bits bijectively: ``lowbias32`` of Wellons 2018, "Prospecting for hash functions"."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)


def pair_words(key: PRNGKey, first: UInt32[Array, "..."], second: UInt32[Array, "..."]) -> tuple[Array, Array]:
    """Return two words of 32 random bits for every pair of numbers: one threefry block, whose counter is the pair.

    The words depend only on the key and the pair, not on its position in the arrays.

    Args:
        key: key of the draw.
        first: uint32 of any shape.
        second: uint32 of the same shape.
    """
    k1, k2 = jax.random.key_data(key)
    # The primitive's loop carries both words: under vmap, both must have the same axes.
    first, second = first + (second - second), second + (first - first)
    one, other = threefry2x32_p.bind(k1, k2, first, second)
    return one, other


def to_unit(words: UInt32[Array, "..."]) -> Float32[Array, "..."]:
    """Return float32 numbers in [0, 1), made of the upper 24 bits of each word."""
    return (words >> 8).astype(np.float32) * np.float32(2.0**-24)


class NodeDraws:
    """Draws by node: those of ``jax.random`` for all nodes in order, of which rows at hand take those of their nodes.

    In a program for one block, they are computed for its rows alone: an entry of a draw depends on its place in it only.

    Args:
        n_nodes: n, number of nodes.
        nodes: (n,) the node of each row; None if row i is node i.
    """

    def __init__(self, n_nodes: int, nodes: np.ndarray | Array | None = None) -> None:
        self._n, self._nodes = n_nodes, nodes

    def numbers(self) -> Array:
        """Return (rows,) int32: the node of each row at hand."""
        return row_numbers(self._n) if self._nodes is None else own(self._nodes)

    def uniform(self, key: PRNGKey) -> Array:
        """Return (rows,) in [0, 1): of ``jax.random.uniform(key, (n,))``, in JAX's default type of floats."""
        if at_hand() is None:
            return self._by_row(jax.random.uniform(key, (self._n,)))
        return _unit(self._words(key, (), 8 * jnp.result_type(float).itemsize))

    def bits(self, key: PRNGKey, columns: tuple[int, ...]) -> Array:
        """Return (rows, …) uint32: of ``jax.random.bits(key, (n, …))``."""
        if at_hand() is None:
            return self._by_row(jax.random.bits(key, (self._n, *columns), jnp.uint32))
        return self._words(key, columns, 32)

    def normal(self, key: PRNGKey, columns: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Return (rows, …): of ``jax.random.normal(key, (n, …), dtype)``, in float32 or float64."""
        if at_hand() is None:
            return self._by_row(jax.random.normal(key, (self._n, *columns), dtype))
        kind = np.dtype(dtype)
        low = np.nextafter(np.array(-1.0, kind), np.array(0.0, kind), dtype=kind)
        span = np.array(1.0, kind) - low
        uniform = jnp.maximum(low, _unit(self._words(key, columns, 8 * kind.itemsize)) * span + low)
        return jnp.asarray(np.sqrt(2), kind) * jax.lax.erf_inv(uniform)

    def integers(self, key: PRNGKey, below: Array) -> Array:
        """Return (rows,) int32, below (rows,) bounds: of ``jax.random.randint(key, (n,), 0, bounds of all nodes)``."""
        if at_hand() is None:
            bounds = below if self._nodes is None else jnp.zeros_like(below).at[self._nodes].set(below)
            return self._by_row(jax.random.randint(key, (self._n,), 0, bounds, jnp.int32))
        high, low = (self._words(part, (), 32) for part in jax.random.split(key))
        span = below.astype(jnp.uint32)
        factor = jnp.uint32(2**16) % span
        factor = factor * factor % span
        return ((high % span * factor + low % span) % span).astype(jnp.int32)

    def _by_row(self, drawn: Array) -> Array:
        return drawn if self._nodes is None else drawn[self._nodes]

    def _words(self, key: PRNGKey, columns: tuple[int, ...], n_bits: int) -> Array:
        """Return (rows, …) words of 32 or 64 bits: those of ``jax.random.bits``, whose counter is the place in the draw."""
        width = math.prod(columns)
        node, place = self.numbers().astype(jnp.uint32)[:, None], jnp.arange(width, dtype=jnp.uint32)
        low = node * jnp.uint32(width) + place
        high = jnp.broadcast_to(_high_product(node, width), low.shape) + (low < place).astype(jnp.uint32)
        first, second = pair_words(key, high, low)
        words = first.astype(jnp.uint64) << 32 | second.astype(jnp.uint64) if n_bits == 64 else first ^ second
        return words.reshape(-1, *columns)


def _unit(words: Array) -> Array:
    """Return numbers in [0, 1), float32 or float64, as ``jax.random.uniform`` makes them of words."""
    bits, mantissa, kind = (32, 23, jnp.float32) if words.dtype == jnp.uint32 else (64, 52, jnp.float64)
    one = jax.lax.bitcast_convert_type(jnp.ones((), kind), words.dtype)
    drawn = words >> np.array(bits - mantissa, words.dtype) | one
    return jax.lax.bitcast_convert_type(drawn, kind) - jnp.ones((), kind)


def _high_product(number: Array, factor: int) -> Array:
    """Return the upper 32 bits of the product of a uint32 and a factor below 2³²."""
    low, high, a, b = number & 0xFFFF, number >> 16, factor & 0xFFFF, factor >> 16
    middle = low * jnp.uint32(b)
    carry = (low * jnp.uint32(a) >> 16) + (high * jnp.uint32(a) & 0xFFFF) + (middle & 0xFFFF)
    return high * jnp.uint32(b) + (high * jnp.uint32(a) >> 16) + (middle >> 16) + (carry >> 16)
