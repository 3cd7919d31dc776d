"""Exchanges: what is sent when nodes call each other, from ticks to messages, for all nodes of a cycle at once.

    push              the caller's model
    pull              a request, and on its arrival the other's model; a request is a message of no bytes, and can be lost
                      like any other
    push_pull         the caller's model, and on its arrival the other's model, after it has merged the caller's
    pairwise          both models at once, both or neither: no other event comes between
    split_push        the caller halves its mass and sends one half; it keeps all of it if the half will not arrive
    compute_pairwise  the caller computes a gradient at its present state; then both models are exchanged and the caller
                      takes its step

Push, pull and push-pull: Demers et al. 1987, "Epidemic algorithms for replicated database maintenance"; pairwise: Boyd,
Ghosh, Prabhakar and Shah 2006, "Randomized gossip algorithms"; split_push: Kempe, Dobra and Gehrke 2003, "Gossip-based
computation of aggregate information"; compute_pairwise: Lian, Zhang, Zhang and Liu 2018, "Asynchronous decentralized
parallel stochastic gradient descent" (AD-PSGD).

The actions of a cycle are numbered in up to three steps: the first actions of all nodes, then the second ones. If all nodes
tick at the same instant, each step is one event: all nodes send before anything arrives. A pairwise exchange is always an
event of its own, since it takes both nodes as they are after their earlier exchanges.

Between nodes that meet, a model takes some time to transfer, and arrives if the contact lasts until then. Models in parts
are sent part by part, all of them in random order, one as soon as the one before is transferred. The part under way when
the contact ends is lost, and those behind it are not sent. Whatever answers a model answers its last part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jaxgossip.schedule.contacts.timeline import Timeline
from jaxgossip.schedule.delays import Delay
from jaxgossip.schedule.faults import Faults
from jaxgossip.schedule.messages import Fate, Kind, Messages
from jaxgossip.schedule.peers import Way

STEPS = 3
"""Largest number of events of a tick."""


@dataclass(frozen=True, eq=False)
class Calls:
    """The calls of a cycle, and the network that they are made on; all arrays are (m,) unless noted.

    Attributes:
        node: int32, the callers, each online at its time.
        time_s: float64, times of the calls in seconds.
        peer: int32, the nodes called; −1 if a caller has nobody to call.
        first: the first unused event number.
        together: whether all calls are made at the same instant.
        delay: how long messages travel; None for no delay.
        faults: faults of messages and nodes.
        compute_s: (n,) float64, seconds that a gradient takes on each node.
        rng: purpose -> generator of its draws in this cycle.
        contacts: who is in contact; None if everybody always is.
        transfer_s: seconds that a model, or a part of it, takes in a contact.
        parts: number of parts of a model that are sent one after the other in a contact.
    """

    node: np.ndarray
    time_s: np.ndarray
    peer: np.ndarray
    first: int
    together: bool
    delay: Delay | None
    faults: Faults
    compute_s: np.ndarray
    rng: Callable[[str], np.random.Generator]
    contacts: Timeline | None = None
    transfer_s: float = 0.0
    parts: int = 1

    def events(self, step: int, *, separate: bool = False) -> np.ndarray:
        """Return (m,) int64 event numbers of a step; if ``separate``, every node has one of its own."""
        first, count = self.first + step * self.node.size, self.node.size
        return np.full(count, first) if self.together and not separate else np.arange(first, first + count)

    def with_peer(self) -> "np.ndarray | slice":
        """Return the index of the calls whose caller has somebody to call."""
        silent = self.peer < 0
        return np.flatnonzero(~silent) if silent.any() else slice(None)

    def arrival(self, sender: np.ndarray, receiver: np.ndarray, sent_s: np.ndarray, leg: str) -> np.ndarray:
        """Return the arrival times of messages, (m,) float64, not counting their transfer; ``leg`` names the draw."""
        return sent_s if self.delay is None else sent_s + self.delay.draw(sender, receiver, self.rng(f"delay {leg}"))

    def messages(
        self, sender: np.ndarray, receiver: np.ndarray, sent_s: np.ndarray, event: np.ndarray, kind: Kind, leg: str
    ) -> Messages:
        """Return messages with their delays and fates; ``leg`` names the draws."""
        return self.transfers(sender, receiver, sent_s, event, kind, leg).messages

    def transfers(
        self, sender: np.ndarray, receiver: np.ndarray, sent_s: np.ndarray, event: np.ndarray, kind: Kind, leg: str
    ) -> "Transfers":
        """Return messages as :meth:`messages` does, those of models in parts with what they belong to."""
        m, part, takes_s = sender.size, 0, self.transfer_s if kind == Kind.MODEL else 0.0  # a request has no bytes
        parts = self.parts if kind == Kind.MODEL else 1
        call, turn = np.arange(m), np.zeros(m, np.int64)
        if parts > 1:
            call, turn = np.divmod(np.arange(m * parts), parts)
            sender, receiver, sent_s, event = (column[call] for column in (sender, receiver, sent_s, event))
            order = np.broadcast_to(np.arange(parts, dtype=np.int16), (m, parts))
            part, sent_s = self.rng(f"parts {leg}").permuted(order, axis=1).ravel(), sent_s + takes_s * turn
        arrives_s = self.arrival(sender, receiver, sent_s, leg)
        arrives_s = arrives_s + takes_s if takes_s else arrives_s
        fate = self.faults.fates(sender, receiver, sent_s, arrives_s, self.rng(f"fate {leg}"))
        ends_s = self.parted(fate, sender, receiver, sent_s - takes_s * turn if parts > 1 else sent_s, arrives_s)
        messages = Messages.of(sender, receiver, sent_s, arrives_s, event, kind=kind, fate=fate, part=part)
        transfers = Transfers(messages, call, turn == parts - 1)
        return transfers if parts == 1 else transfers.take((turn == 0) | (sent_s < ends_s))

    def parted(
        self, fate: np.ndarray, sender: np.ndarray, receiver: np.ndarray, begun_s: np.ndarray, arrives_s: np.ndarray
    ) -> np.ndarray:
        """Mark in ``fate`` the messages whose contacts do not last.

        Args:
            fate: (m,) int8.
            sender: (m,) int32.
            receiver: (m,) int32.
            begun_s: (m,) float64, when the first message of each call was sent, which has to be in the same contact.
            arrives_s: (m,) float64, times of arrival.

        Returns:
            (m,) float64, when their contacts end.
        """
        if self.contacts is None:
            return np.broadcast_to(np.inf, sender.shape)
        ends_s = self.contacts.ends_s(sender, receiver, begun_s, float(arrives_s.max(initial=0.0)))
        fate[arrives_s > ends_s] = Fate.PARTED
        return ends_s


class Transfers(NamedTuple):
    """The messages of calls, of which each takes as many as a model has parts.

    Attributes:
        messages: m messages.
        call: (m,) int64, the call that each belongs to.
        last: (m,) bool, whether it is the last of its call.
    """

    messages: Messages
    call: np.ndarray
    last: np.ndarray

    def take(self, which: np.ndarray) -> "Transfers":
        """Return the messages that a mask selects."""
        return Transfers(self.messages.take(which), self.call[which], self.last[which])


def push(calls: Calls) -> Messages:
    """Return the messages that carry the callers' models."""
    which = calls.with_peer()
    node, peer = calls.node[which], calls.peer[which]
    return calls.messages(node, peer, calls.time_s[which], calls.events(0)[which], Kind.MODEL, "there")


def pull(calls: Calls) -> Messages:
    """Return requests, and the models that answer those that arrive."""
    return _answered(calls, Kind.REQUEST)


def push_pull(calls: Calls) -> Messages:
    """Return the callers' models, and the models that answer those that arrive."""
    return _answered(calls, Kind.MODEL)


def pairwise(calls: Calls) -> Messages:
    """Return the models that both nodes of each call exchange at once."""
    which = calls.with_peer()
    return _exchanged(calls, which, calls.time_s[which])


def split_push(calls: Calls) -> Messages:
    """Return the halves that are sent, and before each that will arrive the split of its sender's mass."""
    which = calls.with_peer()
    node, peer, time_s = calls.node[which], calls.peer[which], calls.time_s[which]
    halves = calls.messages(node, peer, time_s, calls.events(1)[which], Kind.MODEL, "there")
    arriving = halves.fate == Fate.DELIVERED
    node, time_s, event = node[arriving], time_s[arriving], calls.events(0)[which][arriving]
    return Messages.together([Messages.of(node, node, time_s, time_s, event, kind=Kind.SPLIT), halves])


def compute_pairwise(calls: Calls) -> Messages:
    """Return the gradient steps, and the models exchanged when the gradients have been computed."""
    node, done_s = calls.node, calls.time_s + calls.compute_s[calls.node]
    online = calls.faults.online(node, done_s)
    fate = 0 if online is None else np.where(online, Fate.DELIVERED, Fate.OFFLINE)
    learning = Messages.of(node, node, calls.time_s, done_s, calls.events(1), kind=Kind.LEARN, fate=fate)
    which = np.arange(node.size)[calls.with_peer()]
    which = which if online is None else which[online[which]]
    return Messages.together([_exchanged(calls, which, done_s[which]), learning])


def _answered(calls: Calls, kind: Kind) -> Messages:
    which = calls.with_peer()
    node, peer, time_s = calls.node[which], calls.peer[which], calls.time_s[which]
    outbound, call, last = calls.transfers(node, peer, time_s, calls.events(0)[which], kind, "there")
    heard = np.flatnonzero((outbound.fate == Fate.DELIVERED) & last)
    answered = call[heard]
    event = calls.events(1)[which][answered]
    replies = calls.messages(peer[answered], node[answered], outbound.arrives_s[heard], event, Kind.MODEL, "back")
    return Messages.together([outbound, replies])


def _exchanged(calls: Calls, which: "np.ndarray | slice", sent_s: np.ndarray) -> Messages:
    node, peer = calls.node[which], calls.peer[which]
    arrives_s = calls.arrival(node, peer, sent_s, "there") + calls.transfer_s
    fate = calls.faults.fates(node, peer, sent_s, arrives_s, calls.rng("fate there"), both_ways=True)
    calls.parted(fate, node, peer, sent_s, arrives_s)
    event = calls.events(0, separate=True)[which]
    directions = ((node, peer), (peer, node))
    return Messages.together([Messages.of(*ends, sent_s, arrives_s, event, fate=fate) for ends in directions])


class Exchange(NamedTuple):
    """An exchange.

    Attributes:
        messages: calls -> messages.
        way: direction in which models are sent on a call.
        kinds: kinds of messages that occur.
    """

    messages: Callable[[Calls], Messages]
    way: Way
    kinds: frozenset[Kind] = frozenset({Kind.MODEL})


EXCHANGES: "MappingProxyType[str, Exchange]" = MappingProxyType(
    {
        "push": Exchange(push, "push"),
        "pull": Exchange(pull, "pull", frozenset({Kind.MODEL, Kind.REQUEST})),
        "push_pull": Exchange(push_pull, "both"),
        "pairwise": Exchange(pairwise, "both"),
        "split_push": Exchange(split_push, "push", frozenset({Kind.MODEL, Kind.SPLIT})),
        "compute_pairwise": Exchange(compute_pairwise, "both", frozenset({Kind.MODEL, Kind.LEARN})),
    }
)
"""Exchanges by name."""
