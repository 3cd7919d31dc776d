"""Conflict-free waves: which deliveries of a schedule can be executed together, and equal one at a time in order.

A delivery rewrites its receiver from what the sender was when it sent. With p the delivery before it to its receiver, and q
the last one to the sender before it sent,

    level = 1 + max(level(p), level(q)),      level of nothing = 0.

Wave l first copies all senders whose message was sent after q with level(q) = l − 1, then executes the deliveries of level
l. No two of them rewrite one node; what any of them reads is older than all that they write; so they commute. A copy waits
in a slot until it is delivered; where nobody rewrites the sender until then, its row is read in place.

A schedule is executed stretch by stretch: copies may have been made in an earlier one, and may be left for a later one.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Int

Numbers = Int[np.ndarray, " m"]
NEVER = np.iinfo(np.int32).max
LEAST = 1024
"""Arrays of a stretch have at least so many entries: what is shorter need not be told apart by a program of its own."""


class Stretch(NamedTuple):
    """The messages of a stretch of time; number k is sent by operation k and delivered by operation m + k.

    Attributes:
        sender: (m,) int32, who is copied.
        receiver: (m,) int32, who is rewritten.
        order: (o,) the operations in the order of time. What was sent before has no operation k, and comes first among the
            messages: message k of those waits in slot k. What is delivered later has no operation m + k.
        n_waiting: how many messages were sent before.
    """

    sender: Numbers
    receiver: Numbers
    order: Numbers
    n_waiting: int = 0


class Waves(NamedTuple):
    """A stretch in waves.

    Attributes:
        level: (m,) int32, the wave of each delivery, from 1; of no use where it is delivered later.
        copied: (m,) int32, the wave that copies its sender, at most its level; 0 where that was done before.
        slot: (m,) int32, where the copy waits; −1 where the sender's own row is read.
        n_slots: how many copies wait at once, at most.
        n_waves: number of waves.
    """

    level: Numbers
    copied: Numbers
    slot: Numbers
    n_slots: int
    n_waves: int


def waves(n_nodes: int, stretch: Stretch) -> Waves:
    """Divide deliveries into waves, at some millions a second: counting sorts, and loops that are compiled.

    Args:
        n_nodes: number of nodes.
        stretch: what is sent and delivered.
    """
    sender, receiver, order, held = stretch
    m = sender.size
    node = np.concatenate([sender, receiver]).astype(np.int32)[order]
    steps = padded(order.astype(np.int32), node)
    size = 2 * recurring(m)
    reached = _levels(*steps, order.size, m, *(np.zeros(count, np.int32) for count in (n_nodes, size)))
    found = np.array(reached)[: 2 * m]  # of operations that are not in the stretch: 0
    copied, level = found[:m], found[m:]
    n_waves = int(level.max(initial=0))
    delivered = level > 0
    level[~delivered] = copied[~delivered]  # copied and left for later
    never = (np.full(count, NEVER, np.int32) for count in (n_nodes, size))
    after = np.asarray(_rewritten(*steps, order.size, m, reached, *never))[:m]
    # A node that acts alone rewrites itself: what it was just before need not be copied.
    waits = (after < level) | ((after == level) & (sender != receiver)) | ~delivered
    waits[:held] = True
    n_waves = max(n_waves, int(copied.max(initial=0)))
    slot, n_slots = _given_slots(copied, level, waits, delivered, held, n_waves)
    return Waves(level, copied, slot, n_slots, n_waves)


def _given_slots(
    copied: Numbers, level: Numbers, waits: np.ndarray, delivered: np.ndarray, held: int, n_waves: int
) -> tuple[Numbers, int]:
    """Return (the slot of each message, how many there are): a slot that is read in one wave is free for the next."""
    waiting, read = np.flatnonzero(waits), np.flatnonzero(waits & delivered)
    m = copied.size
    taken = waiting[held:]  # those before have a slot
    when = np.concatenate([2 * copied[taken], 2 * level[read] + 1])
    steps = np.concatenate([taken, m + read])[in_order(when, 2 * n_waves + 2)]
    start = np.where(np.arange(m) < held, np.arange(m), -1)
    steps, start = (padded(one.astype(np.int32))[0] for one in (steps, start))
    slot, n_slots = _slots(steps, when.size, m, start, held)
    found = np.array(slot)[:m]
    found[~waits] = -1
    return found, int(n_slots)


def in_order(keys: Numbers, below: int) -> Numbers:
    """Return what sorts whole numbers from 0 to ``below`` − 1, stable: one pass, as a sparse matrix is transposed."""
    row = (np.arange(keys.size, dtype=np.int32), keys.astype(np.int32), np.array([0, keys.size], np.int32))
    return sp.csr_array(row, shape=(1, max(1, below))).tocsc().data


def recurring(size: int, least: int = LEAST) -> int:
    """Return the power of two from ``size`` on: lengths that recur, so that one program serves many stretches."""
    return 1 << (max(least, size) - 1).bit_length()


def padded(*arrays: np.ndarray, size: int = 0) -> tuple[Array, ...]:
    """Return arrays of at least ``size`` entries, of a length that recurs, on the device: zeros follow what there is."""
    length = recurring(max(size, arrays[0].size))
    return tuple(jnp.asarray(np.concatenate([one, np.zeros(length - one.size, one.dtype)])) for one in arrays)


@jax.jit
def _levels(order: Array, node: Array, steps: Array, m: Array, start: Any, found: Any) -> Array:
    """Return the waves of all sends, then those of all deliveries; ``start`` (n,) zeros: that of each node's last delivery."""

    def step(t: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        now, found = carry
        this, v = order[t], node[t]
        delivered = this >= m
        wave = now[v] + 1
        wave = jnp.where(delivered, jnp.maximum(wave, found[jnp.where(delivered, this - m, this)]), wave)
        # What is read is read once, before both arrays are written: else each is copied in every step.
        wave, mine = jax.lax.optimization_barrier((wave, jnp.where(delivered, wave, now[v])))
        return now.at[v].set(mine), found.at[this].set(wave)

    return jax.lax.fori_loop(0, steps, step, (start, found))[1]


@jax.jit
def _rewritten(order: Array, node: Array, steps: Array, m: Array, reached: Array, start: Any, found: Any) -> Array:
    """Return the wave in which each sender is next rewritten, by send; NEVER if it is not."""

    def step(t: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        following, found = carry
        t = steps - 1 - t
        this, v = order[t], node[t]
        delivered = this >= m
        after = following[v]
        mine, after = jax.lax.optimization_barrier((jnp.where(delivered, reached[this], after), after))
        return following.at[v].set(mine), found.at[this].set(after)

    return jax.lax.fori_loop(0, steps, step, (start, found))[1]


@jax.jit
def _slots(order: Array, steps: Array, m: Array, start: Array, held: Array) -> tuple[Array, Array]:
    """Return (the slot of each message, how many slots there are): a stack of those that are free.

    ``order`` has copies, and reads from ``m`` on, wave by wave; ``start`` has the slots that are taken already.
    """

    def step(t: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        slot, free, height, used = carry
        this = order[t]
        read = this >= m
        mine = jnp.where(read, this - m, this)
        fresh = ~read & (height == 0)
        given = jnp.where(read, slot[mine], jnp.where(fresh, used, free[jnp.maximum(height - 1, 0)]))
        top = jnp.where(read, height, free.size - 1)  # the last place is nobody's
        given, top = jax.lax.optimization_barrier((given, top))
        height = jnp.where(read, height + 1, jnp.maximum(height - 1, 0))
        return slot.at[mine].set(given), free.at[top].set(given), height, used + fresh

    free = jnp.zeros(order.size + 1, jnp.int32)
    slot, _, _, used = jax.lax.fori_loop(0, steps, step, (start, free, jnp.int32(0), jnp.int32(held)))
    return slot, used
