"""Random permutations of 0..n-1: tabulated if n is small, otherwise a keyed bijection that is evaluated on demand.

Up to ``TABULATED`` numbers, the permutation is the order of n random words: all n! are equally likely except for 32-bit
ties, whose probability is below n²/2³³.

Above, it is a generalised Feistel network on Z_a × Z_b with a·b ≥ n (Black and Rogaway 2002, "Ciphers with arbitrary
finite domains"), walked along its cycles until the value is below n. It costs a few integer operations per number; a
sort-based shuffle of a million numbers takes twenty times as long. Its law is near-uniform: 400,000 draws cannot
distinguish the images of one number, the joint images of two, or the partner of a number in a matching from uniform
ones. Short halves need more rounds: with six, some partners among 24 nodes would be up to 7 % too likely.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32

from jaxgossip.core.typing import PRNGKey

TABULATED = 16
"""Largest n that is tabulated: comparing all pairs of words then costs no more than the Feistel rounds."""
SHORT = 1024
"""Largest n that takes ``SHORT_ROUNDS`` Feistel rounds; above, there are ``ROUNDS``."""
SHORT_ROUNDS, ROUNDS = 10, 6
FREE_SIDES = 10_000
"""Least n for which one side may be up to 1.5 times √n: the other still has enough values to mix."""


class Bijection(NamedTuple):
    """A permutation of 0..n-1, given by its round keys.

    Attributes:
        keys: (rounds,) uint32; the number of rounds is even.
        n: number of elements.
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
        # Values that land at n or above walk on. Where they end depends only on where they landed, so it is tabulated for
        # these few places. A cycle among these places never ends, but no value enters it: ``excess`` steps suffice.
        landed, _ = jax.lax.while_loop(
            lambda walk: jnp.any(walk[0] >= n) & (walk[1] < excess),
            lambda walk: (jnp.where(walk[0] >= n, once(walk[0]), walk[0]), walk[1] + 1),
            (once(n + jnp.arange(excess, dtype=jnp.uint32)), jnp.int32(0)),
        )
        images, landed = jax.lax.optimization_barrier((images, landed))
        return jnp.where(images < n, images, landed[jnp.minimum(images - n, excess - 1)])


class Tabulated(NamedTuple):
    """A permutation of 0..n-1, given by its table.

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


def random_bijection(key: PRNGKey, n: int) -> Bijection | Tabulated:
    """Draw a near-uniform permutation of 0..n-1, 1 ≤ n < 2³¹.

    It is tabulated up to ``TABULATED``, and above it a keyed Feistel bijection (Black and Rogaway 2002).
    """
    if n > TABULATED:
        return Bijection(jax.random.bits(key, (SHORT_ROUNDS if n <= SHORT else ROUNDS,), jnp.uint32), n)
    words, number = jax.random.bits(key, (n,), jnp.uint32), jnp.arange(n, dtype=jnp.uint32)
    tied = (words == words[:, None]) & (number < number[:, None])
    images = ((words < words[:, None]) | tied).sum(1, dtype=jnp.uint32)
    return Tabulated(images, jnp.zeros(n, jnp.uint32).at[images].set(number, unique_indices=True))


def _sides(n: int) -> tuple[int, int]:
    """Return (a, b) with a·b ≥ n, as close to n as near-square sides allow; as square as possible for small n."""
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
    """Return ``sum_`` modulo ``bound`` for sums below twice the bound: a comparison instead of a division."""
    return jnp.where(sum_ >= bound, sum_ - bound, sum_)


def _hash(value: Array, key: Array) -> Array:
    """Hash 32 bits by the finaliser of MurmurHash3, keyed before and between its two multiplications."""
    value = (value ^ key) * jnp.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13) ^ (key >> 7)) * jnp.uint32(0xC2B2AE35)
    return value ^ (value >> 16)
