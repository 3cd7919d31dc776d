"""The event queue of an asynchronous network that is simulated in order: messages sent, in flight and arriving.

Every message is an event of its own, numbered as it is sent. Peers and delays are drawn ahead, and fates for all messages
in flight at once, so that a message costs only a few microseconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np

from jaxgossip.core.errors import InputError
from jaxgossip.schedule.delays import Delay
from jaxgossip.schedule.faults import Faults
from jaxgossip.schedule.messages import Fate, Messages
from jaxgossip.schedule.peers import Choice

MOST_MESSAGES = 1000
"""Messages per node and cycle beyond which they are taken to multiply without bound."""
AHEAD = 4
"""Calls of every node that are drawn ahead."""


@dataclass(frozen=True, eq=False)
class Network:
    """The asynchronous network that is simulated.

    Attributes:
        period_s: length of a cycle in seconds.
        ticks: cycle -> (t,) nodes that are online at their ticks, and (t,) seconds, in order of time.
        choice: whom nodes call.
        online: cycle -> who is online at its start, if the choice depends on it; else None.
        delay: how long messages travel; None for no delay.
        faults: faults of messages and nodes.
        rng: (purpose, cycle) -> generator of its draws.
    """

    period_s: float
    ticks: Callable[[int], tuple[np.ndarray, np.ndarray]]
    choice: Choice
    online: Callable[[int], np.ndarray | None] | None
    delay: Delay | None
    faults: Faults
    rng: Callable[[str, int], np.random.Generator]


@dataclass(eq=False)
class _SentMessages:
    """The messages sent in a cycle, as lists of equal length; ``first`` is the first event number."""

    first: int
    sender: list[int] = field(default_factory=list)
    receiver: list[int] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)
    arrives_s: list[float] = field(default_factory=list)


class EventQueue:
    """The messages in flight in one simulation.

    Its state: ``waiting``, the heap of (arrives_s, event, cycle, sender, receiver, age); ``sent``, the messages of the
    present cycle; ``fates`` of the first of these; ``lost``, events in flight that will not arrive; and ``ready``, the
    calls drawn ahead.
    """

    def __init__(self, network: Network) -> None:
        self.network, self.n_nodes = network, network.faults.n_nodes
        self.waiting: list[tuple[float, int, int, int, int, int]] = []
        self.lost: set[int] = set()
        self.ready: list[list[tuple[int, float]]] = [[] for _ in range(self.n_nodes)]
        self.sent = _SentMessages(0)
        self.fates: list[int] = []
        self.cycle = -1

    def begin(self, cycle: int) -> None:
        """Begin a cycle."""
        self.cycle = cycle
        self.sent = _SentMessages(self.sent.first + len(self.sent.sender))
        self.fates = []
        self.peers_rng, self.delay_rng, self.fate_rng = (
            self.network.rng(purpose, cycle) for purpose in ("peers", "delay", "fate")
        )
        self.online = None
        if self.network.online is not None:
            self.online = self.network.online(cycle)
            for calls in self.ready:
                calls.clear()
        self._draw([node for node, calls in enumerate(self.ready) if len(calls) < AHEAD // 2], AHEAD)

    def _draw(self, nodes: list[int], calls: int) -> None:
        """Draw a number of calls ahead for each of the given nodes."""
        sender = np.repeat(np.asarray(nodes, np.int32), calls)
        peer = self.network.choice(self.cycle, sender, self.peers_rng, self.online)
        delay_s = np.zeros(sender.size)
        if self.network.delay is not None:
            called = peer >= 0
            delay_s[called] = self.network.delay.draw(sender[called], peer[called], self.delay_rng)
        drawn = list(zip(peer.tolist(), delay_s.tolist(), strict=True))
        for place, node in enumerate(nodes):
            self.ready[node] += drawn[place * calls : (place + 1) * calls]

    def send(self, node: int, time_s: float, age: int = 0) -> None:
        """Send the model of a node to a peer, if it has anybody to call."""
        ready = self.ready[node]
        if not ready:
            self._draw([node], 4 * AHEAD)
        peer, delay_s = ready.pop()
        if peer < 0:
            return
        sent = self.sent
        event = sent.first + len(sent.sender)
        arrives_s = time_s + delay_s
        sent.sender.append(node)
        sent.receiver.append(peer)
        sent.sent_s.append(time_s)
        sent.arrives_s.append(arrives_s)
        heappush(self.waiting, (arrives_s, event, self.cycle, node, peer, age))

    def arrivals(self, until_s: float, *, inclusive: bool) -> Iterator[tuple[float, int, int, int, int, int]]:
        """Yield the messages that arrive up to a time, in order, including those sent in the meantime.

        Each is (arrives_s, event, cycle, sender, receiver, age).

        Args:
            until_s: the time, in seconds.
            inclusive: whether messages that arrive at this time are among them.

        Raises:
            InputError: the messages multiply without bound.
        """
        waiting, most = self.waiting, MOST_MESSAGES * self.n_nodes
        while waiting and (waiting[0][0] < until_s or (inclusive and waiting[0][0] == until_s)):
            message = heappop(waiting)
            event = message[1]
            if event >= self.sent.first + len(self.fates):
                self.settle()
            if event in self.lost:
                self.lost.discard(event)
                continue
            yield message
            if len(self.sent.sender) > most:
                raise InputError(
                    f"tokens: more than {MOST_MESSAGES} messages a node within one cycle: they multiply",
                    hint="a token account with a capacity, or reactive with k = 1 and some delay",
                )

    def settle(self) -> None:
        """Draw the fates of all messages sent so far, so that losses are known before the messages would arrive."""
        known = len(self.fates)
        if self.network.faults.lossless:
            self.fates += [int(Fate.DELIVERED)] * (len(self.sent.sender) - known)
            return
        columns = (self.sent.sender, self.sent.receiver, self.sent.sent_s, self.sent.arrives_s)
        fresh = [np.array(column[known:], dtype) for column, dtype in zip(columns, "iidd", strict=True)]
        fates = self.network.faults.fates(fresh[0], fresh[1], fresh[2], fresh[3], self.fate_rng)
        self.lost.update((np.flatnonzero(fates != Fate.DELIVERED) + self.sent.first + known).tolist())
        self.fates += fates.tolist()

    def messages(self) -> Messages:
        """Return the messages sent in the present cycle."""
        self.settle()
        sent, size = self.sent, len(self.fates)
        return Messages(
            np.array(sent.sender, np.int32),
            np.array(sent.receiver, np.int32),
            np.array(sent.sent_s, np.float64),
            np.array(sent.arrives_s, np.float64),
            np.arange(sent.first, sent.first + size, dtype=np.int64),
            np.zeros(size, np.int8),
            np.array(self.fates, np.int8),
            np.zeros(size, np.int16),
        )
