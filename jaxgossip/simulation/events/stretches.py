"""From messages to work: a schedule cut into stretches of whole cycles, each of them levelled into waves.

A stretch ends at the end of a cycle. What is sent in it and arrives later is copied and kept for the next; what was decided
in it and is sent later waits, untouched. Every message that was sent is delivered, lost for a reason, or in flight.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxgossip.schedule import Fate, Kind, Messages, Source
from jaxgossip.schedule.peers import Preferences
from jaxgossip.simulation.events.waves import Stretch, in_order, waves

OWN_DOING = (Kind.SPLIT, Kind.LEARN)
"""Kinds that no other node hears of: no messages."""


@dataclass
class Tally:
    """What became of the messages so far.

    Attributes:
        sent: messages sent.
        models: those of them that carry a model: all but requests, which are messages of no bytes.
        delivered: those that have acted on their receiver; a request acts when it is answered.
        lost: how many, by reason.
    """

    lost: dict[Fate, int]
    sent: int = 0
    models: int = 0
    delivered: int = 0

    @property
    def requests(self) -> int:
        """Messages that only ask for a model."""
        return self.sent - self.models

    @property
    def in_flight(self) -> int:
        """Messages that were sent, and neither arrived nor were lost."""
        return self.sent - self.delivered - sum(self.lost.values())


class Work(NamedTuple):
    """A stretch, wave by wave: wave l copies entries ``copy_ends[l-1]:copy_ends[l]``, and delivers likewise.

    Attributes:
        copy_ends: (l+1,) int64.
        copy_sender: (c,) int32, whose row is copied.
        copy_slot: (c,) int32, where the copy goes.
        ends: (l+1,) int64.
        sender: (d,) int32, whose row is read where it stands, if the slot is −1.
        slot: (d,) int32, where the copy waits.
        receiver: (d,) int32, who is rewritten.
        kind: (d,) int32.
        part: (d,) int32.
        number: (d,) uint32, the messages' own numbers.
        kept: (k,) int32, the slots of copies that wait for a later stretch: they move to slots 0..k−1.
        n_slots: slots that are needed.
        n_waves: number of waves, l.
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
    """Messages with their own running numbers, (m,) int64."""

    messages: Messages
    number: np.ndarray

    def take(self, which: np.ndarray) -> "_Numbered":
        return _Numbered(self.messages.take(which), self.number[which])

    def and_then(self, *others: "_Numbered") -> "_Numbered":
        every = (self, *others)
        messages = Messages.together([one.messages for one in every])
        return _Numbered(messages, np.concatenate([one.number for one in every]))


NOTHING = _Numbered(Messages.none(), np.empty(0, np.int64))


class Flow:
    """A schedule, taken cycle by cycle.

    Args:
        source: where messages come from.

    Attributes:
        tally: what became of the messages so far.
        cycle: cycles taken.
    """

    def __init__(self, source: Source) -> None:
        self.tally, self.cycle = Tally(dict.fromkeys([fate for fate in Fate if fate != Fate.DELIVERED], 0)), 0
        self._source, self._preferences = source, Preferences()
        self._cycles = source.cycles(self._preferences)
        self._numbered = 0
        self._later = self._waiting = NOTHING
        self._asking = np.empty(0)  # when requests arrive

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of messages that can occur."""
        return self._source.kinds

    @property
    def period_s(self) -> float:
        """A cycle, in seconds."""
        return self._source.period_s

    @property
    def waiting(self) -> int:
        """How many copies wait for a later stretch, in slots 0, 1, … in the order of their messages' numbers."""
        return len(self._waiting.messages)

    def prefer(self, prefers: np.ndarray) -> None:
        """From the next cycle on, let nodes call whom they prefer, (n, n) bool."""
        self._preferences.prefers = prefers

    def skip(self, cycles: int) -> None:
        """Take so many cycles without preparing any work, for they were executed before."""
        flowing, arriving = self._take(cycles)
        self._leave(flowing, arriving)

    def next(self, cycles: int) -> Work:
        """Return the work of the next ``cycles`` cycles."""
        held = self.waiting
        flowing, arriving = self._take(cycles)
        work = _levelled(self._source.n_nodes, flowing, arriving, held)
        slots = work.kept
        order = self._leave(flowing, arriving)
        return work._replace(kept=slots[order])

    def _take(self, cycles: int) -> tuple[_Numbered, np.ndarray]:
        """Return (what flows: copies that wait, then what is sent now; which of it arrives)."""
        end_s = (self.cycle + cycles) * self._source.period_s
        parts = [self._later]
        for _ in range(cycles):
            messages = next(self._cycles)
            parts.append(_Numbered(messages, self._numbered + np.arange(len(messages))))
            self._numbered += len(messages)
        self.cycle += cycles
        decided = NOTHING.and_then(*parts)
        now = decided.messages.sent_s < end_s
        self._later, sent = decided.take(~now), decided.take(now)
        self._count(sent.messages, end_s)
        acts = (sent.messages.fate == Fate.DELIVERED) & (sent.messages.kind != Kind.REQUEST)
        flowing = self._waiting.and_then(sent.take(acts))
        arriving = flowing.messages.arrives_s < end_s
        self.tally.delivered += int((arriving & ~_alone(flowing.messages)).sum())
        return flowing, arriving

    def _count(self, sent: Messages, end_s: float) -> None:
        tally, told = self.tally, ~_alone(sent)
        requests = sent.kind == Kind.REQUEST
        tally.sent += int(told.sum())
        tally.models += int((told & ~requests).sum())
        for fate, count in enumerate(np.bincount(sent.fate[told], minlength=len(Fate)).tolist()):
            if fate != Fate.DELIVERED:
                tally.lost[Fate(fate)] += count
        asking = np.concatenate([self._asking, sent.arrives_s[requests & (sent.fate == Fate.DELIVERED)]])
        self._asking = asking[asking >= end_s]
        tally.delivered += asking.size - self._asking.size

    def _leave(self, flowing: _Numbered, arriving: np.ndarray) -> np.ndarray:
        """Keep what does not arrive yet, by number; return its order."""
        left = flowing.take(~arriving)
        order = np.argsort(left.number)
        self._waiting = left.take(order)
        return order


def _alone(messages: Messages) -> np.ndarray:
    """Return which are a node's own doing."""
    return np.isin(messages.kind, OWN_DOING)


def _levelled(n_nodes: int, flowing: _Numbered, arriving: np.ndarray, held: int) -> Work:
    """Return a stretch as work; ``kept`` has the slots of what does not arrive, in the order of ``flowing``."""
    messages, m = flowing.messages, len(flowing.messages)
    found = waves(n_nodes, Stretch(messages.sender, messages.receiver, _in_time(flowing, arriving, held), held))
    copies = np.flatnonzero(found.slot >= 0)
    copies = copies[copies >= held]
    copies = copies[in_order(found.copied[copies], found.n_waves + 1)]
    delivered = np.flatnonzero(arriving)
    delivered = delivered[in_order(found.level[delivered], found.n_waves + 1)]
    assert m < 2**30
    return Work(
        copy_ends=_ends(found.copied[copies], found.n_waves),
        copy_sender=messages.sender[copies],
        copy_slot=found.slot[copies],
        ends=_ends(found.level[delivered], found.n_waves),
        sender=messages.sender[delivered],
        slot=found.slot[delivered],
        receiver=messages.receiver[delivered],
        kind=messages.kind[delivered].astype(np.int32),
        part=messages.part[delivered].astype(np.int32),
        number=flowing.number[delivered].astype(np.uint32),
        kept=found.slot[~arriving],
        n_slots=found.n_slots,
        n_waves=found.n_waves,
    )


def _ends(wave: np.ndarray, n_waves: int) -> np.ndarray:
    """Return where each wave ends, from wave 0 (empty) on."""
    return np.cumsum(np.bincount(wave, minlength=n_waves + 1))


def _in_time(flowing: _Numbered, arriving: np.ndarray, held: int) -> np.ndarray:
    """Return sends k and deliveries m + k in the order of time.

    At equal times by event, sends before deliveries; and then by number, so that it does not matter where stretches end.
    """
    messages, m = flowing.messages, len(flowing.messages)
    delivered = np.flatnonzero(arriving)
    operation = np.concatenate([np.arange(held, m), m + delivered]).astype(np.int32)
    time_s = np.concatenate([messages.sent_s[held:], messages.arrives_s[delivered]])
    order = np.argsort(time_s)
    at = time_s[order]
    if (at[1:] == at[:-1]).any():
        turn = np.concatenate([2 * messages.event[held:], 2 * messages.event[delivered] + 1])
        number = np.concatenate([flowing.number[held:], flowing.number[delivered]])
        order = np.lexsort((number, turn, time_s))
    return operation[order]
