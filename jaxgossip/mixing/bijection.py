"""Random permutations of 0..n-1: written out where n is small, and else a keyed bijection, evaluated where it is asked for.

Up to ``WRITTEN`` numbers, the order of n random words: all n! permutations are equally likely, but for ties of 32 bits, of
probability below n²/2³³.

Above, a generalised Feistel network on Z_a × Z_b with a·b ≥ n (Black and Rogaway 2002, "Ciphers with arbitrary finite
domains"), walked along its cycles until the value falls below n. One pass over the numbers costs a few integer operations
each, where a sort-based shuffle of a million takes twenty times as long. The law is near-uniform: where one number goes,
where two go together and whom a number is paired with, 400,000 draws cannot tell from uniform. The shorter the halves,
the more rounds that takes: with six, partners among 24 nodes would be up to 7 % too likely.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32

from jaxgossip.core.typing import PRNGKey

WRITTEN = 16
"""Up to so many numbers, comparing all words with all costs no more than the rounds."""
SHORT = 1024
"""Up to so many numbers there are ``SHORT_ROUNDS`` rounds, above ``ROUNDS``."""
SHORT_ROUNDS, ROUNDS = 10, 6
FREE_SIDES = 10_000
"""From so many numbers on, one side may be up to half as long again as the root: it still has enough values to mix."""


class Bijection(NamedTuple):
    """A permutation of 0..n-1, as its round keys.

    Attributes:
        keys: (rounds,) uint32, an even number.
        n: how many numbers are permuted.
    """

    keys: UInt32[Array, " rounds"]
    n: int

    def __call__(self, numbers: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
        """Return π(numbers), uint32 below n."""
        return self._walk(numbers, inverse=False)

    def inverse(self, numbers: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
        """Return π⁻¹(numbers), uint32 below n."""
        return self._walk(numbers, inverse=True)

    def _walk(self, numbers: Array, *, inverse: bool) -> Array:
        numbers, n = numbers.astype(jnp.uint32), jnp.uint32(self.n)
        a, b = _sides(self.n)
        once = functools.partial(_feistel, keys=self.keys, a=a, b=b, inverse=inverse)
        images, excess = once(numbers), a * b - self.n
        if excess == 0:
            return images
        # Whoever lands above n walks on. Where to depends on where it landed alone, and these are few places. Cycles
        # that stay among them are walked in vain, for nobody enters one: so many steps as places are enough.
        landed, _ = jax.lax.while_loop(
            lambda walk: jnp.any(walk[0] >= n) & (walk[1] < excess),
            lambda walk: (jnp.where(walk[0] >= n, once(walk[0]), walk[0]), walk[1] + 1),
            (once(n + jnp.arange(excess, dtype=jnp.uint32)), jnp.int32(0)),
        )
        images, landed = jax.lax.optimization_barrier((images, landed))
        return jnp.where(images < n, images, landed[jnp.minimum(images - n, excess - 1)])


class Written(NamedTuple):
    """A permutation of 0..n-1, written out.

    Attributes:
        images: (n,) uint32, π.
        origins: (n,) uint32, π⁻¹.
    """

    images: UInt32[Array, " n"]
    origins: UInt32[Array, " n"]

    def __call__(self, numbers: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
        """Return π(numbers), uint32 below n."""
        return self.images[numbers]

    def inverse(self, numbers: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
        """Return π⁻¹(numbers), uint32 below n."""
        return self.origins[numbers]


def random_bijection(key: PRNGKey, n: int) -> Bijection | Written:
    """Draw a permutation of 0..n-1, 1 ≤ n < 2³¹."""
    if n > WRITTEN:
        return Bijection(jax.random.bits(key, (SHORT_ROUNDS if n <= SHORT else ROUNDS,), jnp.uint32), n)
    words, number = jax.random.bits(key, (n,), jnp.uint32), jnp.arange(n, dtype=jnp.uint32)
    tied = (words == words[:, None]) & (number < number[:, None])
    images = ((words < words[:, None]) | tied).sum(1, dtype=jnp.uint32)
    return Written(images, jnp.zeros(n, jnp.uint32).at[images].set(number, unique_indices=True))


def _sides(n: int) -> tuple[int, int]:
    """Return (a, b) with a·b ≥ n, as little above as near-square sides allow; small n keep the squarest."""
    root = math.isqrt(n - 1) + 1
    sides = ((a, -(-n // a)) for a in range(root, root + (root // 2 if n >= FREE_SIDES else 1)))
    return min(sides, key=lambda sides: sides[0] * sides[1])


def _feistel(value: Array, keys: Array, a: int, b: int, *, inverse: bool) -> Array:
    """Permute Z_a × Z_b: even rounds add F(right) to the left half, odd rounds F(left) to the right half."""
    left, right = value // b, value % b
    rounds = range(keys.shape[0])
    for step in reversed(rounds) if inverse else rounds:
        if step % 2 == 0:
            shift = _hash(right, keys[step]) % a
            left = _below(left + (a - shift if inverse else shift), a)
        else:
            shift = _hash(left, keys[step]) % b
            right = _below(right + (b - shift if inverse else shift), b)
    return left * b + right


def _below(sum_: Array, bound: int) -> Array:
    """Return ``sum_`` modulo ``bound``, for sums below twice the bound: a comparison in place of a division."""
    return jnp.where(sum_ >= bound, sum_ - bound, sum_)


def _hash(value: Array, key: Array) -> Array:
    """Mix 32 bits: the finaliser of MurmurHash3, keyed before and between its two multiplications."""
    value = (value ^ key) * jnp.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13) ^ (key >> 7)) * jnp.uint32(0xC2B2AE35)
    return value ^ (value >> 16)
