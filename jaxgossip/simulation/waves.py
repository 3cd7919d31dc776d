"""Conflict-free waves: which deliveries of a schedule can be executed together, and equal one at a time in order.

A delivery rewrites its receiver from what the sender was when it sent. With p the delivery before it to its receiver, and q
the last one to the sender before it sent,

    level = 1 + max(level(p), level(q)),      level of nothing = 0.

Wave l first copies all senders whose message was sent after q with level(q) = l − 1, then executes the deliveries of level
l. No two of them rewrite one node; what any of them reads is older than all that they write; so they commute. A copy waits
in a slot until it is delivered; where nobody rewrites the sender until then, its row is read in place.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

Numbers = Int[np.ndarray, " d"]


class Deliveries(NamedTuple):
    """What is delivered, in the order in which it arrives.

    Attributes:
        sender: (d,) int64, who sent it.
        receiver: (d,) int64, who is rewritten.
        sent: (d,) int64, how many of these deliveries came before it was sent: number k has arrived if k < sent.
    """

    sender: Numbers
    receiver: Numbers
    sent: Numbers


class Waves(NamedTuple):
    """A schedule in waves.

    Attributes:
        level: (d,) int64, the wave of each delivery, from 1.
        copied: (d,) int64, the wave that copies its sender, at most its level.
        slot: (d,) int64, where the copy waits; −1 where the sender's own row is read.
        n_slots: how many copies wait at once, at most.
        n_waves: number of waves.
    """

    level: Numbers
    copied: Numbers
    slot: Numbers
    n_slots: int
    n_waves: int


def waves(n_nodes: int, deliveries: Deliveries) -> Waves:
    """Divide deliveries into waves.

    Args:
        n_nodes: number of nodes.
        deliveries: what is delivered, in order; ``sent`` of delivery k is at most k.
    """
    before, after_send = _previous(n_nodes, deliveries)
    level = _levels(before, after_send)
    copied = np.where(after_send >= 0, level[after_send], 0) + 1
    # The sender's next delivery after the send; it is rewritten in that wave.
    rewritten = _next_level(n_nodes, deliveries, level)
    slot, n_slots = _slots(copied, level, waits=rewritten <= level)
    return Waves(level, copied, slot, n_slots, int(level.max(initial=0)))


def _previous(n_nodes: int, deliveries: Deliveries) -> tuple[Numbers, Numbers]:
    """Return (p, q) of every delivery: numbers of deliveries, −1 for none."""
    count = deliveries.receiver.size
    order = np.argsort(deliveries.receiver, kind="stable")
    ranked = deliveries.receiver[order]
    before = np.full(count, -1)
    same = np.flatnonzero(ranked[1:] == ranked[:-1]) + 1
    before[order[same]] = order[same - 1]
    # Deliveries by (receiver, number) are sorted; the last one below (sender, sent) is q.
    keys = ranked * (count + 1) + order
    place = np.searchsorted(keys, deliveries.sender * (count + 1) + deliveries.sent) - 1
    found = (place >= 0) & (ranked[place] == deliveries.sender) if count else np.zeros(0, bool)
    return before, np.where(found, order[place] if count else -1, -1)


def _next_level(n_nodes: int, deliveries: Deliveries, level: Numbers) -> Numbers:
    """Return the level of the first delivery to the sender that comes after the send; beyond all if there is none."""
    count = deliveries.receiver.size
    order = np.argsort(deliveries.receiver, kind="stable")
    ranked = deliveries.receiver[order]
    keys = ranked * (count + 1) + order
    place = np.searchsorted(keys, deliveries.sender * (count + 1) + deliveries.sent)
    inside = np.minimum(place, max(0, count - 1))
    found = (place < count) & (ranked[inside] == deliveries.sender) if count else np.zeros(0, bool)
    return np.where(found, level[order[inside]] if count else 0, level.max(initial=0) + 1)


def _levels(before: Numbers, after_send: Numbers) -> Numbers:
    """Return the length of the longest chain that ends in each delivery, wave by wave: a vectorised topological sort."""
    count = before.size
    ends = np.concatenate([before, after_send])
    starts = np.tile(np.arange(count), 2)
    there = ends >= 0
    ends, starts = ends[there], starts[there]
    waiting = np.bincount(starts, minlength=count)
    order = np.argsort(ends, kind="stable")
    follower, first = starts[order], np.searchsorted(ends[order], np.arange(count + 1))
    level, front, now = np.zeros(count, np.int64), np.flatnonzero(waiting == 0), 0
    while front.size:
        now += 1
        level[front] = now
        sizes = first[front + 1] - first[front]
        places = np.repeat(first[front] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        freed = follower[places]
        np.subtract.at(waiting, freed, 1)
        freed = freed[waiting[freed] == 0]
        front = np.unique(freed)
    return level


def _slots(copied: Numbers, level: Numbers, waits: np.ndarray) -> tuple[Numbers, int]:
    """Return the slot of every delivery that waits (−1 of the others), and how many there are.

    A slot that is read in wave l is free from wave l + 1 on.
    """
    slot = np.full(copied.size, -1)
    waiting = np.flatnonzero(waits)
    by_copy = waiting[np.argsort(copied[waiting], kind="stable")]
    by_read = waiting[np.argsort(level[waiting], kind="stable")]
    n_waves = int(level.max(initial=0))
    copies = np.searchsorted(copied[by_copy], np.arange(1, n_waves + 2))
    reads = np.searchsorted(level[by_read], np.arange(1, n_waves + 2))
    free, n_slots = np.empty(0, np.int64), 0
    for wave in range(n_waves):
        new = by_copy[copies[wave] : copies[wave + 1]]
        fresh = max(0, new.size - free.size)
        taken = np.concatenate([free[: new.size], np.arange(n_slots, n_slots + fresh)])
        slot[new], free, n_slots = taken, free[new.size :], n_slots + fresh
        free = np.concatenate([free, slot[by_read[reads[wave] : reads[wave + 1]]]])
    return slot, n_slots
