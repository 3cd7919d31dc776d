"""Conflict-free waves: sets of deliveries that can be executed together with the result of executing them in order.

A delivery rewrites its receiver, given the state of the sender at the time of sending. Let p be the previous delivery to the
same receiver, and q the last delivery to the sender before it sent. Then

    level = 1 + max(level(p), level(q)),      where the level of a missing delivery is 0.

Wave l first copies every sender whose message was sent after a delivery q with level(q) = l − 1, then executes the deliveries
of level l. No two of them rewrite the same node, and everything that they read precedes everything that they write, so they
commute. A copy waits in a slot until it is delivered; if the sender is not rewritten before then, its row is read in place.

A schedule is executed in segments: a copy may be made in one segment and delivered in a later one.
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
"""Minimum length of the padded arrays of a segment, so that all shorter segments share one program."""


class Segment(NamedTuple):
    """The m messages of a segment of time; message k is sent by operation k and delivered by operation m + k.

    Attributes:
        sender: (m,) int32, nodes that are copied.
        receiver: (m,) int32, nodes that are rewritten.
        order: (o,) operations in chronological order. Messages sent in earlier segments come first in ``sender`` and
            ``receiver`` and have no operation k; message k among them waits in slot k. Messages delivered in later segments
            have no operation m + k.
        n_waiting: number of messages sent in earlier segments.
    """

    sender: Numbers
    receiver: Numbers
    order: Numbers
    n_waiting: int = 0


class Waves(NamedTuple):
    """A segment divided into waves.

    Attributes:
        level: (m,) int32, wave of each delivery, from 1; meaningless for messages delivered in a later segment.
        copied: (m,) int32, wave in which the sender is copied, at most the level; 0 if copied in an earlier segment.
        slot: (m,) int32, slot of the copy; −1 if the sender's own row is read.
        n_slots: largest number of copies that wait at the same time.
        n_waves: number of waves.
    """

    level: Numbers
    copied: Numbers
    slot: Numbers
    n_slots: int
    n_waves: int


def waves(n_nodes: int, segment: Segment) -> Waves:
    """Divide the deliveries of a segment into waves.

    It uses counting sorts and compiled loops, and processes several million messages per second.

    Args:
        n_nodes: number of nodes.
        segment: the messages sent and delivered.
    """
    sender, receiver, order, held = segment
    m = sender.size
    node = np.concatenate([sender, receiver]).astype(np.int32)[order]
    steps = padded(order.astype(np.int32), node)
    size = 2 * recurring(m)
    reached = _levels(*steps, order.size, m, *(np.zeros(count, np.int32) for count in (n_nodes, size)))
    levels = np.array(reached)[: 2 * m]  # 0 for operations that are not in the segment
    copied, level = levels[:m], levels[m:]
    n_waves = int(level.max(initial=0))
    delivered = level > 0
    level[~delivered] = copied[~delivered]  # copied now, delivered in a later segment
    never = (np.full(count, NEVER, np.int32) for count in (n_nodes, size))
    after = np.asarray(_rewritten(*steps, order.size, m, reached, *never))[:m]
    # A local action rewrites the node that it reads: no copy is needed.
    waits = (after < level) | ((after == level) & (sender != receiver)) | ~delivered
    waits[:held] = True
    n_waves = max(n_waves, int(copied.max(initial=0)))
    slot, n_slots = _given_slots(copied, level, waits, delivered, held, n_waves)
    return Waves(level, copied, slot, n_slots, n_waves)


def _given_slots(
    copied: Numbers, level: Numbers, waits: np.ndarray, delivered: np.ndarray, held: int, n_waves: int
) -> tuple[Numbers, int]:
    """Return (slot of each message, number of slots); a slot that is read in one wave can be reused in the next."""
    waiting, read = np.flatnonzero(waits), np.flatnonzero(waits & delivered)
    m = copied.size
    new = waiting[held:]  # the others already have a slot
    when = np.concatenate([2 * copied[new], 2 * level[read] + 1])
    steps = np.concatenate([new, m + read])[in_order(when, 2 * n_waves + 2)]
    start = np.where(np.arange(m) < held, np.arange(m), -1)
    steps, start = (padded(array.astype(np.int32))[0] for array in (steps, start))
    slot, n_slots = _slots(steps, when.size, m, start, held)
    slots = np.array(slot)[:m]
    slots[~waits] = -1
    return slots, int(n_slots)


def in_order(keys: Numbers, below: int) -> Numbers:
    """Return the permutation that sorts integers in [0, ``below``) stably: a counting sort, by transposing a sparse matrix."""
    row = (np.arange(keys.size, dtype=np.int32), keys.astype(np.int32), np.array([0, keys.size], np.int32))
    return sp.csr_array(row, shape=(1, max(1, below))).tocsc().data


def recurring(size: int, least: int = LEAST) -> int:
    """Return the smallest power of two that is at least ``size`` and ``least``; padded lengths recur, and so do programs."""
    return 1 << (max(least, size) - 1).bit_length()


def padded(*arrays: np.ndarray, size: int = 0) -> tuple[Array, ...]:
    """Return the arrays on the device, zero-padded to a :func:`recurring` length of at least ``size``."""
    length = recurring(max(size, arrays[0].size))
    return tuple(jnp.asarray(np.concatenate([array, np.zeros(length - array.size, array.dtype)])) for array in arrays)


@jax.jit
def _levels(order: Array, node: Array, steps: Array, m: Array, start: Any, wave_of: Any) -> Array:
    """Return the waves of all sends, then those of all deliveries; ``start`` is (n,) zeros, each node's last wave so far."""

    def step(t: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        last_wave, wave_of = carry
        operation, v = order[t], node[t]
        delivered = operation >= m
        wave = last_wave[v] + 1
        wave = jnp.where(delivered, jnp.maximum(wave, wave_of[jnp.where(delivered, operation - m, operation)]), wave)
        # The barrier forces all reads before both writes; otherwise XLA copies the arrays in every step.
        wave, new_last = jax.lax.optimization_barrier((wave, jnp.where(delivered, wave, last_wave[v])))
        return last_wave.at[v].set(new_last), wave_of.at[operation].set(wave)

    return jax.lax.fori_loop(0, steps, step, (start, wave_of))[1]


@jax.jit
def _rewritten(order: Array, node: Array, steps: Array, m: Array, reached: Array, start: Any, rewritten: Any) -> Array:
    """Return, for each send, the wave in which its sender is next rewritten; NEVER if it is not."""

    def step(t: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        following, rewritten = carry
        t = steps - 1 - t
        operation, v = order[t], node[t]
        delivered = operation >= m
        after = following[v]
        new_following, after = jax.lax.optimization_barrier((jnp.where(delivered, reached[operation], after), after))
        return following.at[v].set(new_following), rewritten.at[operation].set(after)

    return jax.lax.fori_loop(0, steps, step, (start, rewritten))[1]


@jax.jit
def _slots(order: Array, steps: Array, m: Array, start: Array, held: Array) -> tuple[Array, Array]:
    """Return (slot of each message, number of slots), using a stack of free slots.

    ``order`` lists copies k and reads m + k, wave by wave; ``start`` has the slots that are already taken, and −1 elsewhere.
    """

    def step(t: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        slot, free, height, used = carry
        operation = order[t]
        read = operation >= m
        message = jnp.where(read, operation - m, operation)
        fresh = ~read & (height == 0)
        chosen = jnp.where(read, slot[message], jnp.where(fresh, used, free[jnp.maximum(height - 1, 0)]))
        top = jnp.where(read, height, free.size - 1)  # the last entry is a dummy
        chosen, top = jax.lax.optimization_barrier((chosen, top))
        height = jnp.where(read, height + 1, jnp.maximum(height - 1, 0))
        return slot.at[message].set(chosen), free.at[top].set(chosen), height, used + fresh

    free = jnp.zeros(order.size + 1, jnp.int32)
    slot, _, _, used = jax.lax.fori_loop(0, steps, step, (start, free, jnp.int32(0), jnp.int32(held)))
    return slot, used
