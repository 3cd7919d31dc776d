"""The post of an asynchronous network that is played through in order: what is sent, on its way, and arrives.

Every message is an event of its own, numbered as it is sent. Whom nodes call and how long that takes is drawn ahead, and
what becomes of messages is drawn at once for all that are under way, so that a message costs a few microseconds.
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
"""Messages a node and cycle; beyond, they multiply without end."""
AHEAD = 4
"""So many calls of every node are drawn ahead."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a play is made of.

    Attributes:
        period_s: the cycle, in seconds.
        ticks: cycle -> (t,) nodes that are online at their ticks, and (t,) seconds, in order of time.
        choice: whom they call.
        online: cycle -> who is online as it starts, which a choice wants to know that changes; None if it does not.
        delay: how long messages travel; None: not at all.
        faults: what becomes of them.
        rng: (purpose, cycle) -> the generator of that.
    """

    period_s: float
    ticks: Callable[[int], tuple[np.ndarray, np.ndarray]]
    choice: Choice
    online: Callable[[int], np.ndarray | None] | None
    delay: Delay | None
    faults: Faults
    rng: Callable[[str, int], np.random.Generator]


@dataclass(eq=False)
class _Sent:
    """What a cycle has sent, message by message; all lists are of one length."""

    first: int
    sender: list[int] = field(default_factory=list)
    receiver: list[int] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)
    arrives_s: list[float] = field(default_factory=list)


class Post:
    """Messages under way in one play.

    What evolves: ``waiting`` the heap of (arrives_s, event, cycle, sender, receiver, age); ``sent`` by the present cycle;
    ``fates`` of the first of these, and ``lost``, events under way that will not arrive; ``ready`` the calls drawn ahead.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.n_nodes = run, run.faults.n_nodes
        self.waiting: list[tuple[float, int, int, int, int, int]] = []
        self.lost: set[int] = set()
        self.ready: list[list[tuple[int, float]]] = [[] for _ in range(self.n_nodes)]
        self.sent = _Sent(0)
        self.fates: list[int] = []
        self.cycle = -1

    def begin(self, cycle: int) -> None:
        """Begin a cycle."""
        self.cycle = cycle
        self.sent = _Sent(self.sent.first + len(self.sent.sender))
        self.fates = []
        self.peers_rng, self.delay_rng, self.fate_rng = (
            self.run.rng(purpose, cycle) for purpose in ("peers", "delay", "fate")
        )
        self.online = None
        if self.run.online is not None:
            self.online = self.run.online(cycle)
            for calls in self.ready:
                calls.clear()
        self._draw([node for node, calls in enumerate(self.ready) if len(calls) < AHEAD // 2], AHEAD)

    def _draw(self, nodes: list[int], calls: int) -> None:
        """Draw so many calls of each of these nodes ahead."""
        sender = np.repeat(np.asarray(nodes, np.int32), calls)
        peer = self.run.choice(self.cycle, sender, self.peers_rng, self.online)
        delay_s = np.zeros(sender.size)
        if self.run.delay is not None:
            called = peer >= 0
            delay_s[called] = self.run.delay.draw(sender[called], peer[called], self.delay_rng)
        drawn = list(zip(peer.tolist(), delay_s.tolist(), strict=True))
        for place, node in enumerate(nodes):
            self.ready[node] += drawn[place * calls : (place + 1) * calls]

    def send(self, node: int, time_s: float, age: int = 0) -> None:
        """Send the model of a node to one that it calls, if it has anybody to call."""
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

    def arrived(self, until_s: float, *, inclusive: bool) -> Iterator[tuple[float, int, int, int, int, int]]:
        """Yield what arrives up to a time, in order; what is sent meanwhile is waited for too."""
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
        """Draw what becomes of all that has been sent: whatever is lost is known before it would arrive."""
        known = len(self.fates)
        if self.run.faults.lossless:
            self.fates += [int(Fate.DELIVERED)] * (len(self.sent.sender) - known)
            return
        columns = (self.sent.sender, self.sent.receiver, self.sent.sent_s, self.sent.arrives_s)
        fresh = [np.array(column[known:], dtype) for column, dtype in zip(columns, "iidd", strict=True)]
        fates = self.run.faults.fates(fresh[0], fresh[1], fresh[2], fresh[3], self.fate_rng)
        self.lost.update((np.flatnonzero(fates != Fate.DELIVERED) + self.sent.first + known).tolist())
        self.fates += fates.tolist()

    def messages(self) -> Messages:
        """Return what this cycle has sent."""
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
