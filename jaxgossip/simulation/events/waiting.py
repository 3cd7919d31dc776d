"""Messages that wait for a time, grouped so that those that are due are found without a look at all others."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxgossip.schedule import Messages

GROUPS = 64
"""Largest number of groups into which messages are divided; the last one has all that are due much later."""


class Numbered(NamedTuple):
    """Messages with their running numbers and the slots of their copies.

    Attributes:
        messages: m messages.
        number: (m,) int64.
        slot: (m,) int32; −1 for messages that have not been copied.
    """

    messages: Messages
    number: np.ndarray
    slot: np.ndarray

    def take(self, which: np.ndarray) -> "Numbered":
        """Return the messages selected by ``which``: a mask, or indices."""
        if which.dtype == bool:
            which = np.flatnonzero(which)  # once, rather than column by column
        return Numbered(self.messages.take(which), self.number[which], self.slot[which])

    @classmethod
    def together(cls, *parts: "Numbered") -> "Numbered":
        """Concatenate several sets of messages, in their order."""
        if len(parts) == 1:
            return parts[0]
        messages = Messages.together([part.messages for part in parts])
        number, slot = ([getattr(part, name) for part in parts] for name in ("number", "slot"))
        return cls(messages, np.concatenate(number), np.concatenate(slot))

    @classmethod
    def unsent(cls, messages: Messages, first: int = 0) -> "Numbered":
        """Return messages numbered from ``first``, of which there are no copies."""
        return cls(messages, np.arange(first, first + len(messages)), np.full(len(messages), -1, np.int32))


NO_MESSAGES = Numbered.unsent(Messages.none())


class _Group(NamedTuple):
    """Messages that are due at ``time_s`` (m,), from ``first_s`` to ``last_s``."""

    messages: Numbered
    time_s: np.ndarray
    first_s: float
    last_s: float


@dataclass(frozen=True, eq=False)
class Waiting:
    """Messages that wait for a time; a value: adding and removing messages makes another."""

    groups: tuple[_Group, ...] = ()

    def __len__(self) -> int:
        return sum(group.time_s.size for group in self.groups)

    def with_more(self, messages: Numbered, time_s: np.ndarray, now_s: float, soon_s: float) -> "Waiting":
        """Return these messages and others.

        Args:
            messages: m messages.
            time_s: (m,) float64, the time at which each is due, not before ``now_s``.
            now_s: the present time in seconds.
            soon_s: seconds until messages are likely to be asked for again.
        """
        if not time_s.size:
            return self
        key = np.minimum((time_s - now_s) / soon_s, GROUPS - 1).astype(np.int8)
        order = np.argsort(key, kind="stable")  # a radix sort
        ends = np.cumsum(np.bincount(key))
        groups = []
        for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            if end > start:  # each has arrays of its own: a group that waits long keeps no other's in memory
                which = order[start:end]
                at_s = time_s[which]
                groups.append(_Group(messages.take(which), at_s, float(at_s.min()), float(at_s.max())))
        return Waiting((*self.groups, *groups))

    def due(self, until_s: float, soon_s: float) -> tuple[Numbered, "Waiting"]:
        """Return (the messages due before ``until_s``, those that wait on).

        Args:
            until_s: the time in seconds.
            soon_s: seconds until messages are likely to be asked for again.
        """
        due, waiting, divided = [], [], []
        for group in self.groups:
            if group.first_s >= until_s:
                waiting.append(group)
            elif group.last_s < until_s:
                due.append(group.messages)
            else:
                divided.append(group)
        left = Waiting(tuple(waiting))
        for messages, time_s, _, _ in divided:
            later = time_s >= until_s
            due.append(messages.take(~later))
            left = left.with_more(messages.take(later), time_s[later], until_s, soon_s)
        return Numbered.together(NO_MESSAGES, *due), left

    def all(self) -> Numbered:
        """Return all messages that wait, in the order of their numbers."""
        everything = Numbered.together(NO_MESSAGES, *(group.messages for group in self.groups))
        return everything.take(np.argsort(everything.number))
