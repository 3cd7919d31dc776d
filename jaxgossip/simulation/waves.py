"""Conflict-free waves: which deliveries of a schedule can be executed together, and equal one at a time in order.

A delivery rewrites its receiver from what the sender was when it sent. With p the delivery before it to its receiver, and q
the last one to the sender before it sent,

    level = 1 + max(level(p), level(q)),      level of nothing = 0.

Wave l first copies all senders whose message was sent after q with level(q) = l − 1, then executes the deliveries of level
l. No two of them rewrite one node; what any of them reads is older than all that they write; so they commute. A copy waits
in a slot until it is delivered; where nobody rewrites the sender until then, its row is read in place.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Int

Numbers = Int[np.ndarray, " d"]
NEVER = np.iinfo(np.int32).max


class Deliveries(NamedTuple):
    """What is delivered, in the order in which it arrives.

    Attributes:
        sender: (d,) int, who sent it.
        receiver: (d,) int, who is rewritten.
        sent: (d,) int, how many of these deliveries came before it was sent: number k has arrived if k < sent.
    """

    sender: Numbers
    receiver: Numbers
    sent: Numbers


class Waves(NamedTuple):
    """A schedule in waves.

    Attributes:
        level: (d,) int32, the wave of each delivery, from 1.
        copied: (d,) int32, the wave that copies its sender, at most its level.
        slot: (d,) int32, where the copy waits; −1 where the sender's own row is read.
        n_slots: how many copies wait at once, at most.
        n_waves: number of waves.
    """

    level: Numbers
    copied: Numbers
    slot: Numbers
    n_slots: int
    n_waves: int


def waves(n_nodes: int, deliveries: Deliveries) -> Waves:
    """Divide deliveries into waves, at some millions a second: counting sorts, and loops that are compiled.

    Args:
        n_nodes: number of nodes.
        deliveries: what is delivered, in order; ``sent`` of delivery k is at most k.
    """
    count = deliveries.receiver.size
    # Sends and deliveries in one order: what is sent after k deliveries stands before delivery k.
    order = _in_order(np.concatenate([2 * deliveries.sent, 2 * np.arange(count) + 1]), 2 * count)
    node = np.concatenate([deliveries.sender, deliveries.receiver]).astype(np.int32)[order]
    steps = _padded(order, node)
    reached = _levels(*steps, 2 * count, count, jnp.zeros(n_nodes, jnp.int32))
    copied, level = np.asarray(reached[:count]), np.asarray(reached[count : 2 * count])
    rewritten = _rewritten(*steps, 2 * count, count, reached, jnp.full(n_nodes, NEVER, jnp.int32))
    waiting = np.flatnonzero(np.asarray(rewritten[:count]) <= level)
    order = _in_order(np.concatenate([2 * copied[waiting], 2 * level[waiting] + 1]), 2 * int(level.max(initial=0)) + 2)
    (steps,) = _padded(order)
    taken, n_slots = _slots(steps, order.size, waiting.size)
    slot = np.full(count, -1, np.int32)
    slot[waiting] = np.asarray(taken)[: waiting.size]
    return Waves(level, copied, slot, int(n_slots), int(level.max(initial=0)))


def _in_order(keys: Numbers, below: int) -> Numbers:
    """Return what sorts whole numbers from 0 to ``below`` − 1, stable: one pass, as a sparse matrix is transposed."""
    row = (np.arange(keys.size, dtype=np.int32), keys.astype(np.int32), np.array([0, keys.size], np.int32))
    return sp.csr_array(row, shape=(1, max(1, below))).tocsc().data


def _padded(*arrays: np.ndarray) -> tuple[Array, ...]:
    """Return int32 arrays of lengths that recur, so that one program serves many schedules."""
    size = 1 << (max(1, arrays[0].size) - 1).bit_length()
    return tuple(jnp.asarray(np.concatenate([one, np.zeros(size - one.size, one.dtype)]), jnp.int32) for one in arrays)


@jax.jit
def _levels(order: Array, node: Array, steps: int, count: int, start: Array) -> Array:
    """Return the waves of all sends, then those of all deliveries; ``start`` (n,) zeros: that of each node's last delivery."""

    def step(t: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        now, found = carry
        this, v = order[t], node[t]
        delivered = this >= count
        wave = now[v] + 1
        wave = jnp.where(delivered, jnp.maximum(wave, found[jnp.where(delivered, this - count, this)]), wave)
        # What is read is read once, before both arrays are written: else each is copied in every step.
        wave, mine = jax.lax.optimization_barrier((wave, jnp.where(delivered, wave, now[v])))
        return now.at[v].set(mine), found.at[this].set(wave)

    return jax.lax.fori_loop(0, steps, step, (start, jnp.zeros_like(order)))[1]


@jax.jit
def _rewritten(order: Array, node: Array, steps: int, count: int, reached: Array, start: Array) -> Array:
    """Return the wave in which each sender is next rewritten, by send; NEVER if it is not."""

    def step(t: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        following, found = carry
        t = steps - 1 - t
        this, v = order[t], node[t]
        delivered = this >= count
        after = following[v]
        mine, after = jax.lax.optimization_barrier((jnp.where(delivered, reached[this], after), after))
        return following.at[v].set(mine), found.at[this].set(after)

    return jax.lax.fori_loop(0, steps, step, (start, jnp.zeros_like(order)))[1]


@jax.jit
def _slots(order: Array, steps: int, count: int) -> tuple[Array, Array]:
    """Return (the slot of each copy, how many slots there are): a stack of those that are free.

    ``order`` has copies, and reads from ``count`` on, wave by wave: a slot that is read in one is free for the next.
    """

    def step(t: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        slot, free, height, used = carry
        this = order[t]
        read = this >= count
        mine = jnp.where(read, this - count, this)
        fresh = ~read & (height == 0)
        given = jnp.where(read, slot[mine], jnp.where(fresh, used, free[jnp.maximum(height - 1, 0)]))
        top = jnp.where(read, height, free.size - 1)  # the last place is nobody's
        given, top = jax.lax.optimization_barrier((given, top))
        height = jnp.where(read, height + 1, jnp.maximum(height - 1, 0))
        return slot.at[mine].set(given), free.at[top].set(given), height, used + fresh

    zero = jnp.int32(0)
    free = jnp.zeros(order.size + 1, jnp.int32)
    slot, _, _, used = jax.lax.fori_loop(0, steps, step, (jnp.zeros_like(order), free, zero, zero))
    return slot, used
