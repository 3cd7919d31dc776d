"""Cuts a schedule into segments of whole cycles, and sorts the messages of each into waves.

A message sent in a segment that arrives later is copied, and the copy waits in its slot; a message scheduled in a segment that
is sent later waits unchanged. Every message sent is delivered, lost for a recorded reason, or in flight.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jaxgossip.schedule import Fate, Kind, Messages, Schedule, Source
from jaxgossip.schedule.peers import Preferences
from jaxgossip.simulation.events.chronology import chronological
from jaxgossip.simulation.events.metered import MeteredSource
from jaxgossip.simulation.events.waiting import Numbered, Waiting
from jaxgossip.simulation.events.waves import Segment, Slots, by_wave, waves

LOCAL_KINDS = (Kind.SPLIT, Kind.LEARN)
"""Kinds of local actions, which are scheduled like messages but sent to no other node."""
LOSSES = tuple(fate for fate in Fate if fate != Fate.DELIVERED)
"""The fates of messages that are lost."""


@dataclass(frozen=True)
class Tally:
    """Counts of the messages so far.

    Attributes:
        lost: messages lost, by reason.
        sent: messages sent.
        models: messages sent that carry a model: all but requests, which count no bytes.
        delivered: messages delivered; a request is delivered when it arrives.
    """

    lost: Mapping[Fate, int] = field(default_factory=lambda: MappingProxyType(dict.fromkeys(LOSSES, 0)))
    sent: int = 0
    models: int = 0
    delivered: int = 0

    @property
    def requests(self) -> int:
        """Messages sent that only request a model."""
        return self.sent - self.models

    @property
    def in_flight(self) -> int:
        """Messages sent that have neither arrived nor been lost."""
        return self.sent - self.delivered - sum(self.lost.values())


class Standing(NamedTuple):
    """How far a schedule has been executed.

    Attributes:
        cycle: cycles completed.
        tally: counts of the messages so far.
        in_flight: messages whose copies wait in slots.
    """

    cycle: int
    tally: Tally
    in_flight: Waiting


class WavePlan(NamedTuple):
    """The operations of a segment, with c copies and d deliveries sorted by wave.

    Wave l makes the copies ``copy_ends[l-1]:copy_ends[l]`` and then the deliveries ``ends[l-1]:ends[l]``.

    Attributes:
        copy_ends: (n_waves+1,) int64, end of each wave's copies; wave 0 is empty.
        copy_sender: (c,) int32, node whose row is copied.
        copy_slot: (c,) int32, slot into which it is copied.
        ends: (n_waves+1,) int64, end of each wave's deliveries; wave 0 is empty.
        sender: (d,) int32, sender, whose own row is read if the slot is −1.
        slot: (d,) int32, slot of the copy to deliver, or −1.
        receiver: (d,) int32, node whose row is rewritten.
        kind: (d,) int32, :class:`~jaxgossip.schedule.Kind` of the message.
        part: (d,) int32, part of the model that the message carries.
        number: (d,) uint32, running number of the message.
        n_slots: number of slots needed.
        n_waves: number of waves.
    """

    copy_ends: np.ndarray
    copy_sender: np.ndarray
    copy_slot: np.ndarray
    ends: np.ndarray
    sender: np.ndarray
    slot: np.ndarray
    receiver: np.ndarray
    kind: np.ndarray
    part: np.ndarray
    number: np.ndarray
    n_slots: int
    n_waves: int


class MessageStream:
    """Reads a schedule segment by segment, tracking messages in flight and counts.

    Args:
        source: the schedule.

    Attributes:
        standing: how far it has been read, a value that does not change when it is read on.
    """

    def __init__(self, source: Source) -> None:
        self.standing = Standing(0, Tally(), Waiting())
        self._source, self._preferences = source, Preferences()
        self._cycles = source.cycles(self._preferences)
        self._numbered = 0
        self._unsent = Waiting()
        self._slots = Slots()
        self._request_arrivals = np.empty(0)  # of requests in flight, in seconds
        self._liar_shares = source.liar_shares() if isinstance(source, Schedule | MeteredSource) else iter(())
        self._liars: tuple[int, dict[str, float]] = (-1, {})

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of messages that can occur."""
        return self._source.kinds

    @property
    def period_s(self) -> float:
        """Length of a cycle in virtual seconds."""
        return self._source.period_s

    def liar_shares(self, cycle: int) -> dict[str, float]:
        """Return the shares of liars in the schedule's overlay after cycle ``cycle`` − 1; empty if no node lies to it.

        Cycles are asked for in ascending order.
        """
        reached, shares = self._liars
        while reached < cycle:
            reached, shares = reached + 1, next(self._liar_shares, {})
        self._liars = reached, shares
        return shares

    def prefer(self, prefers: np.ndarray) -> None:
        """From the next cycle on, let nodes call the peers that they prefer, given as an (n, n) bool mask."""
        self._preferences.prefers = prefers

    def skip(self, cycles: int) -> None:
        """Read ``cycles`` cycles without planning them, since they have been executed before.

        The copies in flight are then in slots 0, 1, … in the order of their messages' numbers.
        """
        _, sent, later = self._read(cycles)
        left = self._with_later(sent.take(later), cycles).all()
        slot = np.arange(left.number.size, dtype=np.int32)
        self._slots = Slots(slot.size)
        self._wait(Waiting().with_more(left._replace(slot=slot), left.messages.arrives_s, *self._times(cycles)))

    def next(self, cycles: int) -> WavePlan:
        """Return the plan of the next ``cycles`` cycles."""
        arriving, sent, later = self._read(cycles)
        active = Numbered.together(arriving, sent) if arriving.number.size else sent
        arrives = np.ones(active.number.size, bool)
        arrives[arriving.number.size :] = ~later
        end_s, held = self.standing.cycle * self.period_s, arriving.number.size
        start_s = end_s - cycles * self.period_s
        order = chronological(active.messages, active.number, arrives, held, start_s, end_s)
        segment = Segment(active.messages.sender, active.messages.receiver, order, held)
        plan = _planned(self._source.n_nodes, active, arrives, segment, self._slots)
        self._wait(self._with_later(active.take(~arrives), cycles))
        return plan

    def _read(self, cycles: int) -> tuple[Numbered, Numbered, np.ndarray]:
        """Read a segment.

        Returns:
            (messages of earlier segments that arrive in it, messages that are sent in it, mask of those that arrive later).
        """
        cycle, tally, in_flight = self.standing
        end_s = (cycle + cycles) * self.period_s
        drawn = Messages.together([next(self._cycles) for _ in range(cycles)])
        scheduled = Numbered.unsent(drawn, self._numbered)
        self._numbered += len(drawn)
        soon_s = max(1, cycles) * self.period_s
        due, unsent = self._unsent.due(end_s, soon_s)
        later = drawn.sent_s >= end_s
        if later.any():
            unsent = unsent.with_more(scheduled.take(later), drawn.sent_s[later], end_s, soon_s)
            scheduled = scheduled.take(~later)
        self._unsent = unsent
        sent = Numbered.together(due, scheduled) if due.number.size else scheduled
        tally = self._counted(tally, sent.messages, end_s)
        acts = (sent.messages.fate == Fate.DELIVERED) & (sent.messages.kind != Kind.REQUEST)
        sent = sent if acts.all() else sent.take(acts)
        arriving, in_flight = in_flight.due(end_s, soon_s)
        later = sent.messages.arrives_s >= end_s
        delivered = int((~_is_local(arriving.messages)).sum() + (~later & ~_is_local(sent.messages)).sum())
        self.standing = Standing(cycle + cycles, replace(tally, delivered=tally.delivered + delivered), in_flight)
        return arriving, sent, later

    def _counted(self, tally: Tally, sent: Messages, end_s: float) -> Tally:
        """Return the counts after messages were sent, with the requests delivered before ``end_s``."""
        remote, requests = ~_is_local(sent), sent.kind == Kind.REQUEST
        fates = np.bincount(sent.fate[remote], minlength=len(Fate)).tolist()
        arrivals = np.concatenate([self._request_arrivals, sent.arrives_s[requests & (sent.fate == Fate.DELIVERED)]])
        self._request_arrivals = arrivals[arrivals >= end_s]
        return Tally(
            MappingProxyType({fate: count + fates[fate] for fate, count in tally.lost.items()}),
            sent=tally.sent + sum(fates),
            models=tally.models + int((remote & ~requests).sum()),
            delivered=tally.delivered + arrivals.size - self._request_arrivals.size,
        )

    def _times(self, cycles: int) -> tuple[float, float]:
        """Return (the present time, the seconds that ``cycles`` cycles take)."""
        return self.standing.cycle * self.period_s, max(1, cycles) * self.period_s

    def _with_later(self, messages: Numbered, cycles: int) -> Waiting:
        """Return the messages in flight, and some that were sent in the last ``cycles`` cycles."""
        return self.standing.in_flight.with_more(messages, messages.messages.arrives_s, *self._times(cycles))

    def _wait(self, in_flight: Waiting) -> None:
        self.standing = self.standing._replace(in_flight=in_flight)


def _is_local(messages: Messages) -> np.ndarray:
    """Return a mask of the local actions, which are sent to no other node."""
    first, second = LOCAL_KINDS
    return (messages.kind == first) | (messages.kind == second)


def _planned(n_nodes: int, active: Numbered, arriving: np.ndarray, segment: Segment, slots: Slots) -> WavePlan:
    """Return the plan of a segment, and write the slots of copies into ``active``."""
    messages, slot = active.messages, active.slot
    found = waves(n_nodes, segment)
    new = found.waits.copy()
    new[: segment.n_waiting] = False
    copies, deliveries = (
        by_wave(which, wave, found.n_waves) for which, wave in ((new, found.copied), (arriving, found.level))
    )
    slots.give(slot, copies, deliveries)
    delivered = deliveries.which
    return WavePlan(
        copy_ends=copies.ends,
        copy_sender=messages.sender[copies.which],
        copy_slot=slot[copies.which],
        ends=deliveries.ends,
        sender=messages.sender[delivered],
        slot=slot[delivered],
        receiver=messages.receiver[delivered],
        kind=messages.kind[delivered].astype(np.int32),
        part=messages.part[delivered].astype(np.int32),
        number=active.number[delivered].astype(np.uint32),
        n_slots=slots.count,
        n_waves=found.n_waves,
    )
