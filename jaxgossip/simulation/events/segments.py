"""Cuts a schedule into segments of whole cycles, and sorts the messages of each into waves.

A message sent in a segment that arrives later is copied, and the copy is kept for the next segment; a message scheduled in a
segment that is sent later waits unchanged. Every message sent is delivered, lost for a recorded reason, or in flight.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxgossip.schedule import Fate, Kind, Messages, Schedule, Source
from jaxgossip.schedule.peers import Preferences
from jaxgossip.simulation.events.waves import Segment, in_order, waves

LOCAL_KINDS = (Kind.SPLIT, Kind.LEARN)
"""Kinds of local actions, which are scheduled like messages but sent to no other node."""


@dataclass
class Tally:
    """Counts of the messages so far.

    Attributes:
        lost: messages lost, by reason.
        sent: messages sent.
        models: messages sent that carry a model: all but requests, which count no bytes.
        delivered: messages delivered; a request is delivered when it arrives.
    """

    lost: dict[Fate, int]
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
        kept: (k,) int32, slots of copies that are kept for a later segment; they move to slots 0..k−1.
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
    kept: np.ndarray
    n_slots: int
    n_waves: int


class _Numbered(NamedTuple):
    """Messages with their running numbers, (m,) int64."""

    messages: Messages
    number: np.ndarray

    def take(self, which: np.ndarray) -> "_Numbered":
        return _Numbered(self.messages.take(which), self.number[which])

    @classmethod
    def concatenated(cls, *batches: "_Numbered") -> "_Numbered":
        messages = Messages.together([batch.messages for batch in batches])
        return cls(messages, np.concatenate([batch.number for batch in batches]))


NO_MESSAGES = _Numbered(Messages.none(), np.empty(0, np.int64))


class MessageStream:
    """Reads a schedule segment by segment, tracking messages in flight and counts.

    Args:
        source: the schedule.

    Attributes:
        tally: counts of the messages so far.
        cycle: cycles read.
    """

    def __init__(self, source: Source) -> None:
        self.tally, self.cycle = Tally(dict.fromkeys([fate for fate in Fate if fate != Fate.DELIVERED], 0)), 0
        self._source, self._preferences = source, Preferences()
        self._cycles = source.cycles(self._preferences)
        self._numbered = 0
        self._unsent = self._waiting = NO_MESSAGES
        self._request_arrivals = np.empty(0)  # of requests in flight, in seconds
        self._liar_shares = source.liar_shares() if isinstance(source, Schedule) else iter(())
        self._liars: tuple[int, dict[str, float]] = (-1, {})

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of messages that can occur."""
        return self._source.kinds

    @property
    def period_s(self) -> float:
        """Length of a cycle in virtual seconds."""
        return self._source.period_s

    @property
    def waiting(self) -> int:
        """Number of copies kept for a later segment, in slots 0, 1, … in the order of their messages' numbers."""
        return len(self._waiting.messages)

    def liar_shares(self) -> dict[str, float]:
        """Return the shares of liars in the schedule's overlay after the cycles read; empty if no node lies to it."""
        cycle, shares = self._liars
        while cycle < self.cycle:
            cycle, shares = cycle + 1, next(self._liar_shares, {})
        self._liars = cycle, shares
        return shares

    def prefer(self, prefers: np.ndarray) -> None:
        """From the next cycle on, let nodes call the peers that they prefer, given as an (n, n) bool mask."""
        self._preferences.prefers = prefers

    def skip(self, cycles: int) -> None:
        """Read ``cycles`` cycles without planning them, since they have been executed before."""
        active, arriving = self._read(cycles)
        self._keep_in_flight(active, arriving)

    def next(self, cycles: int) -> WavePlan:
        """Return the plan of the next ``cycles`` cycles."""
        held = self.waiting
        active, arriving = self._read(cycles)
        plan = _planned(self._source.n_nodes, active, arriving, held)
        slots = plan.kept
        order = self._keep_in_flight(active, arriving)
        return plan._replace(kept=slots[order])

    def _read(self, cycles: int) -> tuple[_Numbered, np.ndarray]:
        """Read a segment; return (its messages: kept copies, then those sent in it; mask of those that arrive in it)."""
        end_s = (self.cycle + cycles) * self._source.period_s
        batches = [self._unsent]
        for _ in range(cycles):
            messages = next(self._cycles)
            batches.append(_Numbered(messages, self._numbered + np.arange(len(messages))))
            self._numbered += len(messages)
        self.cycle += cycles
        scheduled = _Numbered.concatenated(NO_MESSAGES, *batches)
        now = scheduled.messages.sent_s < end_s
        self._unsent, sent = scheduled.take(~now), scheduled.take(now)
        self._count(sent.messages, end_s)
        acts = (sent.messages.fate == Fate.DELIVERED) & (sent.messages.kind != Kind.REQUEST)
        active = _Numbered.concatenated(self._waiting, sent.take(acts))
        arriving = active.messages.arrives_s < end_s
        self.tally.delivered += int((arriving & ~_is_local(active.messages)).sum())
        return active, arriving

    def _count(self, sent: Messages, end_s: float) -> None:
        tally, remote = self.tally, ~_is_local(sent)
        requests = sent.kind == Kind.REQUEST
        tally.sent += int(remote.sum())
        tally.models += int((remote & ~requests).sum())
        for fate, count in enumerate(np.bincount(sent.fate[remote], minlength=len(Fate)).tolist()):
            if fate != Fate.DELIVERED:
                tally.lost[Fate(fate)] += count
        new = sent.arrives_s[requests & (sent.fate == Fate.DELIVERED)]
        arrivals = np.concatenate([self._request_arrivals, new])
        self._request_arrivals = arrivals[arrivals >= end_s]
        tally.delivered += arrivals.size - self._request_arrivals.size

    def _keep_in_flight(self, active: _Numbered, arriving: np.ndarray) -> np.ndarray:
        """Keep the messages that do not arrive yet, sorted by number; return the permutation that sorts them."""
        in_flight = active.take(~arriving)
        order = np.argsort(in_flight.number)
        self._waiting = in_flight.take(order)
        return order


def _is_local(messages: Messages) -> np.ndarray:
    """Return a mask of the local actions, which are sent to no other node."""
    return np.isin(messages.kind, LOCAL_KINDS)


def _planned(n_nodes: int, active: _Numbered, arriving: np.ndarray, held: int) -> WavePlan:
    """Return the plan of a segment; ``kept`` has the slots of messages that do not arrive, in the order of ``active``."""
    messages, m = active.messages, len(active.messages)
    order = _chronological(active, arriving, held)
    levels = waves(n_nodes, Segment(messages.sender, messages.receiver, order, held))
    copies = np.flatnonzero(levels.slot >= 0)
    copies = copies[copies >= held]
    copies = copies[in_order(levels.copied[copies], levels.n_waves + 1)]
    delivered = np.flatnonzero(arriving)
    delivered = delivered[in_order(levels.level[delivered], levels.n_waves + 1)]
    assert m < 2**30
    return WavePlan(
        copy_ends=_ends(levels.copied[copies], levels.n_waves),
        copy_sender=messages.sender[copies],
        copy_slot=levels.slot[copies],
        ends=_ends(levels.level[delivered], levels.n_waves),
        sender=messages.sender[delivered],
        slot=levels.slot[delivered],
        receiver=messages.receiver[delivered],
        kind=messages.kind[delivered].astype(np.int32),
        part=messages.part[delivered].astype(np.int32),
        number=active.number[delivered].astype(np.uint32),
        kept=levels.slot[~arriving],
        n_slots=levels.n_slots,
        n_waves=levels.n_waves,
    )


def _ends(wave: np.ndarray, n_waves: int) -> np.ndarray:
    """Return the index at which each wave ends, starting with wave 0, which is empty."""
    return np.cumsum(np.bincount(wave, minlength=n_waves + 1))


def _chronological(active: _Numbered, arriving: np.ndarray, held: int) -> np.ndarray:
    """Return sends k and deliveries m + k in chronological order.

    Ties are broken by event, sends before deliveries, and then by number, so that the order is the same wherever segments end.
    """
    messages, m = active.messages, len(active.messages)
    delivered = np.flatnonzero(arriving)
    operation = np.concatenate([np.arange(held, m), m + delivered]).astype(np.int32)
    time_s = np.concatenate([messages.sent_s[held:], messages.arrives_s[delivered]])
    order = np.argsort(time_s)
    at = time_s[order]
    if (at[1:] == at[:-1]).any():
        turn = np.concatenate([2 * messages.event[held:], 2 * messages.event[delivered] + 1])
        number = np.concatenate([active.number[held:], active.number[delivered]])
        order = np.lexsort((number, turn, time_s))
    return operation[order]
