"""Conflict-free waves: sets of deliveries that can be executed together with the result of executing them in order.

A delivery rewrites its receiver, given the state of the sender at the time of sending. Let p be the previous delivery to the
same receiver, and q the last delivery to the sender before it sent. Then

    level = 1 + max(level(p), level(q)),      where the level of a missing delivery is 0.

Wave l first copies every sender whose message was sent after a delivery q with level(q) = l − 1, then executes the deliveries
of level l. No two of them rewrite the same node, and everything that they read precedes everything that they write, so they
commute. A copy waits in a slot until it is delivered; if the sender is not rewritten before then, its row is read in place.

A schedule is executed in segments: a copy may be made in one segment and delivered in a later one.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from jaxgossip.core.host_loops import host_loop

Numbers = Int[np.ndarray, " m"]
NEVER = np.iinfo(np.int32).max


class Segment(NamedTuple):
    """The m messages of a segment of time; message k is sent by operation k and delivered by operation m + k.

    Attributes:
        sender: (m,) int32, nodes that are copied.
        receiver: (m,) int32, nodes that are rewritten.
        order: (o,) int32, operations in chronological order. Messages sent in earlier segments come first in ``sender`` and
            ``receiver`` and have no operation k. Messages delivered in later segments have no operation m + k.
        n_waiting: number of messages sent in earlier segments.
    """

    sender: Numbers
    receiver: Numbers
    order: Numbers
    n_waiting: int = 0


class Waves(NamedTuple):
    """A segment divided into waves.

    Attributes:
        level: (m,) int32, wave of each delivery, from 1; 0 for messages delivered in a later segment.
        copied: (m,) int32, wave in which the sender is copied, at most the level; 0 if copied in an earlier segment.
        waits: (m,) bool, whether the message is a copy in a slot; if not, its sender's own row is read.
        n_waves: number of waves.
    """

    level: Numbers
    copied: Numbers
    waits: Bool[np.ndarray, " m"]
    n_waves: int


def waves(n_nodes: int, segment: Segment) -> Waves:
    """Divide the deliveries of a segment into waves, at some ten million messages a second.

    Args:
        n_nodes: number of nodes.
        segment: the messages sent and delivered.
    """
    sender, receiver, order = (np.ascontiguousarray(column, np.int32) for column in segment[:3])
    level, copied, waits = _levels(n_nodes, sender, receiver, order)
    return Waves(level, copied, waits, max(int(level.max(initial=0)), int(copied.max(initial=0))))


class InWaves(NamedTuple):
    """Messages sorted by wave.

    Attributes:
        which: (m,) int32, the messages, those of a wave in the order in which they were given.
        ends: (n_waves+1,) int64, end of each wave; wave 0 is empty.
    """

    which: Numbers
    ends: Numbers


def by_wave(which: Bool[np.ndarray, " m"], wave: Numbers, n_waves: int) -> InWaves:
    """Return the messages marked in ``which``, sorted by their waves.

    Args:
        which: (m,) bool, the messages to sort.
        wave: (m,) int32, from 1 to ``n_waves`` for these.
        n_waves: number of waves.
    """
    return InWaves(*_sorted_by_wave(which, wave, n_waves))


class Slots:
    """The slots in which copies wait; a slot that is read in one wave can be reused in the next, in this segment or later.

    Args:
        taken: number of slots that are in use, the first ones.

    Attributes:
        count: number of slots that have ever been in use.
    """

    def __init__(self, taken: int = 0) -> None:
        self.count, self._free = taken, np.empty(0, np.int32)

    def give(self, slot: Numbers, copies: InWaves, reads: InWaves) -> None:
        """Write the slot of every copy into ``slot``, and take back those that are read.

        Args:
            slot: (m,) int32, the slots of copies that were made in earlier segments; −1 for all other messages.
            copies: the messages that are copied into slots.
            reads: the messages that are delivered, some of them from slots.
        """
        self._free, self.count = _given(slot, *copies, *reads, self._free, self.count)


@host_loop
def _levels(
    n_nodes: int, sender: np.ndarray, receiver: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (level, copied, waits) of all messages, as in :class:`Waves`."""
    m = sender.size
    level, copied = np.zeros(m, np.int32), np.zeros(m, np.int32)
    last = np.zeros(n_nodes, np.int32)  # the last wave that rewrites each node
    for operation in order:
        if operation < m:
            copied[operation] = last[sender[operation]] + 1
        else:
            k = operation - m
            v = receiver[k]
            wave = max(last[v] + 1, copied[k])
            level[k] = last[v] = wave
    waits = np.ones(m, np.bool_)
    following = np.full(n_nodes, NEVER, np.int32)  # going back, the wave in which each node is next rewritten
    for t in range(order.size - 1, -1, -1):
        operation = order[t]
        if operation >= m:
            following[receiver[operation - m]] = level[operation - m]
        else:
            after, wave = following[sender[operation]], level[operation]
            # A local action rewrites the node that it reads: no copy is needed.
            at_once = after > wave or (after == wave and sender[operation] == receiver[operation])
            waits[operation] = wave == 0 or not at_once
    return level, copied, waits


@host_loop
def _sorted_by_wave(which: np.ndarray, wave: np.ndarray, n_waves: int) -> tuple[np.ndarray, np.ndarray]:
    ends = np.zeros(n_waves + 1, np.int64)
    for k in range(which.size):
        if which[k]:
            ends[wave[k]] += 1
    ends[:] = np.cumsum(ends)
    place = np.empty(n_waves + 1, np.int64)
    place[0], place[1:] = 0, ends[:-1]
    ordered = np.empty(ends[-1], np.int32)
    for k in range(which.size):
        if which[k]:
            ordered[place[wave[k]]] = k
            place[wave[k]] += 1
    return ordered, ends


@host_loop
def _given(
    slot: np.ndarray,
    copies: np.ndarray,
    copy_ends: np.ndarray,
    reads: np.ndarray,
    read_ends: np.ndarray,
    free: np.ndarray,
    count: int,
) -> tuple[np.ndarray, int]:
    """Write ``slot``; return (the stack of free slots, number of slots)."""
    stack = np.empty(free.size + reads.size, np.int32)
    height = free.size
    stack[:height] = free
    for wave in range(1, copy_ends.size):
        for k in copies[copy_ends[wave - 1] : copy_ends[wave]]:
            if height:
                height -= 1
                slot[k] = stack[height]
            else:
                slot[k] = count
                count += 1
        for k in reads[read_ends[wave - 1] : read_ends[wave]]:
            if slot[k] >= 0:
                stack[height] = slot[k]
                height += 1
    return stack[:height].copy(), count
