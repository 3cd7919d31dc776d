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
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

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

    def events(self, step: int, *, separate: bool = False) -> np.ndarray:
        """Return (m,) int64 event numbers of a step; if ``separate``, every node has one of its own."""
        first, count = self.first + step * self.node.size, self.node.size
        return np.full(count, first) if self.together and not separate else np.arange(first, first + count)

    def with_peer(self) -> "np.ndarray | slice":
        """Return the index of the calls whose caller has somebody to call."""
        silent = self.peer < 0
        return np.flatnonzero(~silent) if silent.any() else slice(None)

    def arrival(self, sender: np.ndarray, receiver: np.ndarray, sent_s: np.ndarray, leg: str) -> np.ndarray:
        """Return the arrival times of messages, (m,) float64; ``leg`` names the draw."""
        return sent_s if self.delay is None else sent_s + self.delay.draw(sender, receiver, self.rng(f"delay {leg}"))

    def messages(
        self, sender: np.ndarray, receiver: np.ndarray, sent_s: np.ndarray, event: np.ndarray, kind: Kind, leg: str
    ) -> Messages:
        """Return messages with their delays and fates; ``leg`` names the draws."""
        arrives_s = self.arrival(sender, receiver, sent_s, leg)
        fate = self.faults.fates(sender, receiver, sent_s, arrives_s, self.rng(f"fate {leg}"))
        return Messages.of(sender, receiver, sent_s, arrives_s, event, kind=kind, fate=fate)


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
    outbound = calls.messages(node, peer, time_s, calls.events(0)[which], kind, "there")
    heard = np.flatnonzero(outbound.fate == Fate.DELIVERED)
    event = calls.events(1)[which][heard]
    replies = calls.messages(peer[heard], node[heard], outbound.arrives_s[heard], event, Kind.MODEL, "back")
    return Messages.together([outbound, replies])


def _exchanged(calls: Calls, which: "np.ndarray | slice", sent_s: np.ndarray) -> Messages:
    node, peer = calls.node[which], calls.peer[which]
    arrives_s = calls.arrival(node, peer, sent_s, "there")
    fate = calls.faults.fates(node, peer, sent_s, arrives_s, calls.rng("fate there"), both_ways=True)
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
