"""Epochs: every node goes through its own samples in an order that is shuffled anew each time, without replacement.

An order is a keyed bijection of 0..m-1 for a node with m samples: a function of (key, node, epoch) that is evaluated for the
samples of one step, so that nothing is stored and a resumed run goes on within an epoch. It is a Feistel network on Z_a × Z_a,
a = ⌈√m⌉, walked along its cycles until the value is below m (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt32

from jaxgossip.core.random import pair_words
from jaxgossip.core.typing import PRNGKey

FEISTEL_ROUNDS = 10
"""As many as :mod:`jaxgossip.mixing.bijection` takes for short halves: with six, some places would be likelier than others."""


class Draw(NamedTuple):
    """What the batches of one step are drawn with where nodes go through epochs.

    Attributes:
        key: key of the step, for what is random beside the samples.
        orders: key of the run, from which the orders of all epochs follow.
        step: number of earlier steps of the run, of all nodes or (n,) of each.
        takes: (n,) whether each row's node takes the step; None if all do.
    """

    key: PRNGKey
    orders: PRNGKey
    step: Int[Array, ""] | Int[Array, " n"]
    takes: Bool[Array, " n"] | None = None


def epoch_ranks(
    key: PRNGKey,
    nodes: UInt32[Array, " n"],
    sizes: Int[Array, " n"],
    step: Int[Array, ""] | Int[Array, " n"],
    batch_size: int,
) -> tuple[Int[Array, "n b"], Bool[Array, "n b"]]:
    """Return the ranks of the samples of every node's batch, (n, b) within 0..size-1, and which of them count.

    An epoch of a node with m samples has ⌈m/b⌉ steps, of which the last takes what is left.

    Args:
        key: key of the run's orders.
        nodes: (n,) number of each row's node.
        sizes: (n,) m, number of samples of each row's node, at least 1.
        step: number of earlier steps, of all nodes or (n,) of each.
        batch_size: b.
    """
    steps = (sizes + batch_size - 1) // batch_size
    epoch, place = step // steps, step % steps
    rank = place[:, None] * batch_size + jnp.arange(batch_size, dtype=sizes.dtype)
    counts = rank < sizes[:, None]
    within = jnp.where(counts, rank, 0).astype(jnp.uint32)
    shuffled = shuffled_ranks(key, nodes[:, None], epoch[:, None].astype(jnp.uint32), within, sizes[:, None])
    return shuffled.astype(jnp.int32), counts


def shuffled_ranks(
    key: PRNGKey,
    node: UInt32[Array, "n 1"],
    epoch: UInt32[Array, "n 1"],
    rank: UInt32[Array, "n b"],
    size: Int[Array, "n 1"],
) -> UInt32[Array, "n b"]:
    """Return π(rank), π being the order of 0..size-1 of (key, node, epoch).

    Args:
        key: key of the run's orders.
        node: number of each row's node.
        epoch: number of each row's epoch.
        rank: places in the order, each below the row's size.
        size: number of each row's samples, from 1 to 2³⁰.
    """
    words = pair_words(key, *jnp.broadcast_arrays(node.astype(jnp.uint32), epoch))
    bound = size.astype(jnp.uint32)
    side = _side(bound)

    def once(value: Array) -> Array:
        left, right = value // side, value % side
        for number in range(FEISTEL_ROUNDS):
            if number % 2 == 0:
                left = (left + _hash(right, *words, number) % side) % side
            else:
                right = (right + _hash(left, *words, number) % side) % side
        return left * side + right

    # A value that lands at ``size`` or above walks on; the cycle leads back below it, at the latest to where it began.
    return jax.lax.while_loop(
        lambda value: jnp.any(value >= bound), lambda value: jnp.where(value >= bound, once(value), value), once(rank)
    )


def _side(size: Array) -> Array:
    """Return ⌈√size⌉, exactly."""
    root = jnp.sqrt(size.astype(jnp.float32)).astype(jnp.uint32)
    root = jnp.maximum(root, 1)
    root = jnp.where(root * root > size, root - 1, root)  # rounded up
    root = jnp.where((root + 1) * (root + 1) <= size, root + 1, root)  # rounded down
    return jnp.where(root * root < size, root + 1, root)


def _hash(value: Array, first: Array, second: Array, number: int) -> Array:
    """Hash 32 bits by the finaliser of MurmurHash3, keyed by two words and the number of the round."""
    value = (value ^ (first + jnp.uint32(0x9E3779B9 * (number + 1) % 2**32))) * jnp.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13) ^ second) * jnp.uint32(0xC2B2AE35)
    return value ^ (value >> 16)
