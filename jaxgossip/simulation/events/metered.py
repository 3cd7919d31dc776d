"""Counts of what every node does in a run by events, from its schedule: models sent and received, and what arrives to act on.

A model has been sent when its sender's clock says so, whatever becomes of it, and reaches a node unless it is lost on the way:
one that is replaced in a cache before it is used has been received.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxgossip.algorithms.protocols.protocol import Arrived, GossipProtocol
from jaxgossip.network import Energy
from jaxgossip.schedule import Fate, Kind, Messages, Schedule, Source
from jaxgossip.schedule.peers import Preferences

ACTS = (Kind.MODEL, Kind.PASSED, Kind.LEARN)
"""Kinds of what arrives at a node and acts on it; requests carry no bytes, and a node halves its mass for nothing."""
CARRY = (Kind.MODEL, Kind.PASSED)
"""Kinds of messages with bytes."""


class _Due(NamedTuple):
    """Events that are not counted yet, (m,) each: at which node, of which kind, when, and whether they act on it."""

    node: np.ndarray
    kind: np.ndarray
    time_s: np.ndarray
    acts: np.ndarray

    def split(self, end_s: float) -> tuple["_Due", "_Due"]:
        """Return those before ``end_s``, and the others."""
        now = self.time_s < end_s
        return _Due(*(values[now] for values in self)), _Due(*(values[~now] for values in self))

    def number(self, which: np.ndarray, n_nodes: int) -> Int[np.ndarray, " n"]:
        """Return (n,) how many of ``which`` (m,) bool there are at every node."""
        return np.bincount(self.node[which], minlength=n_nodes)


NOTHING_DUE = _Due(np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0), np.empty(0, bool))


class MeteredSource:
    """A schedule that counts what it has yielded.

    Args:
        source: the schedule.

    Attributes:
        sent: (n,) int64, models that every node has sent.
        received: (n,) int64, models that have reached it.
        arrived: what has arrived at every node and acted on it.
    """

    def __init__(self, source: Source) -> None:
        self.n_nodes, self.period_s, self.kinds = source.n_nodes, source.period_s, source.kinds
        none = np.zeros(source.n_nodes, np.int64)
        self.sent, self.received, self.arrived = none, none, Arrived(none, none, none)
        self._source, self._settled = source, False
        self._read: deque[Messages] = deque()
        self._sends = self._arrivals = NOTHING_DUE

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        """Yield the messages of one cycle after the other."""
        for messages in self._source.cycles(preferences):
            self._read.append(messages)
            yield messages

    def liar_shares(self) -> Iterator[dict[str, float]]:
        """Yield the shares of liars in the schedule's overlay (see :meth:`.Schedule.liar_shares`); nothing without one."""
        return self._source.liar_shares() if isinstance(self._source, Schedule) else iter(())

    def settle(self) -> None:
        """Count from now on what arrives after nodes have settled on the peers that they prefer."""
        self._settled = True

    def count(self, end_s: float) -> None:
        """Count what has been sent and has arrived before ``end_s`` virtual seconds, of what has been yielded so far."""
        new = []
        while self._read:
            new.append(self._read.popleft())
        messages = Messages.together(new) if new else Messages.none()
        carries = np.isin(messages.kind, CARRY)
        reaches = np.isin(messages.fate, (Fate.DELIVERED, Fate.REPLACED)) & np.isin(messages.kind, ACTS)
        yes, acts = np.ones(len(messages), bool), messages.fate == Fate.DELIVERED
        sends = _Due(messages.sender, messages.kind, messages.sent_s, yes)
        arrivals = _Due(messages.receiver, messages.kind, messages.arrives_s, acts)
        sent, self._sends = _together(self._sends, sends, carries).split(end_s)
        came, self._arrivals = _together(self._arrivals, arrivals, reaches).split(end_s)
        n = self.n_nodes
        self.sent = self.sent + sent.number(sent.acts, n)
        self.received = self.received + came.number(np.isin(came.kind, CARRY), n)
        models = came.number(came.acts & (came.kind == Kind.MODEL), n)
        self.arrived = Arrived(
            self.arrived.models + models,
            self.arrived.learn + came.number(came.acts & (came.kind == Kind.LEARN), n),
            self.arrived.settled + models * self._settled,
        )

    def record(self, protocol: GossipProtocol, energy: Energy, seconds: float) -> dict[str, float | int]:
        """Return what a record has of energy, after so many virtual seconds of all nodes."""
        works, size = protocol.method.updates(self.arrived), protocol.bytes[0]
        return energy.record(energy.spent(works, size * self.sent, size * self.received, seconds))


def _together(due: _Due, new: _Due, which: np.ndarray) -> _Due:
    return _Due(*(np.concatenate([old, values[which]]) for old, values in zip(due, new, strict=True)))
