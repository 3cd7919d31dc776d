"""What travels when nodes call each other: from ticks to messages, all nodes of a cycle at once.

    push              the caller's model
    pull              a request, and if that arrives the other's model, sent at that instant; a request is a message of no
                      bytes, and gets lost like any other: where all do, messages are sent but no bytes
    push_pull         the caller's model, and if that arrives the other's model, after it has taken the caller's in
    pairwise          both models at once, both or neither: no other event comes between
    split_push        the caller divides its mass and sends a half; it keeps all of it if the half will not arrive
    compute_pairwise  the caller computes a gradient at what it is; that done, both models cross, then the caller learns

Push, pull and push-pull: Demers et al. 1987, "Epidemic algorithms for replicated database maintenance"; pairwise: Boyd,
Ghosh, Prabhakar and Shah 2006, "Randomized gossip algorithms"; split_push: Kempe, Dobra and Gehrke 2003, "Gossip-based
computation of aggregate information"; compute_pairwise: Lian, Zhang, Zhang and Liu 2018, "Asynchronous decentralized
parallel stochastic gradient descent" (AD-PSGD).

Each node's acts of a cycle are numbered in up to three steps: all first ones, then all second ones. Where all nodes tick
at one instant, a step of theirs is one event: all send before anything arrives. Two models that cross are an event of
their own in any case, since an exchange takes both nodes as they are after their earlier ones.
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
"""Event numbers that a tick may need."""


@dataclass(frozen=True, eq=False)
class Calls:
    """Who calls whom, and on what network; all arrays are (m,).

    Attributes:
        node: int32, online at its time.
        time_s: float64.
        peer: int32; −1 where a node has nobody to call.
        first: the first event number that is free.
        together: whether all are one instant.
        delay: how long messages travel; None: not at all.
        faults: what becomes of them.
        compute_s: (n,) float64, how long each node computes.
        rng: purpose -> its generator for this cycle.
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

    def events(self, step: int, *, alone: bool = False) -> np.ndarray:
        """Return (m,) int64 event numbers of one step; ``alone``: of every node its own."""
        first, count = self.first + step * self.node.size, self.node.size
        return np.full(count, first) if self.together and not alone else np.arange(first, first + count)

    def reached(self) -> "np.ndarray | slice":
        """Return which nodes have somebody to call, as an index."""
        silent = self.peer < 0
        return np.flatnonzero(~silent) if silent.any() else slice(None)

    def arrival(self, sender: np.ndarray, receiver: np.ndarray, sent_s: np.ndarray, leg: str) -> np.ndarray:
        """Return (m,) float64: when messages arrive; ``leg`` names the draw."""
        return sent_s if self.delay is None else sent_s + self.delay.draw(sender, receiver, self.rng(f"delay {leg}"))

    def messages(
        self, sender: np.ndarray, receiver: np.ndarray, sent_s: np.ndarray, event: np.ndarray, kind: Kind, leg: str
    ) -> Messages:
        """Return messages as they travel and get lost; ``leg`` names the draws."""
        arrives_s = self.arrival(sender, receiver, sent_s, leg)
        fate = self.faults.fates(sender, receiver, sent_s, arrives_s, self.rng(f"fate {leg}"))
        return Messages.of(sender, receiver, sent_s, arrives_s, event, kind=kind, fate=fate)


def push(calls: Calls) -> Messages:
    """Return the callers' models."""
    which = calls.reached()
    node, peer = calls.node[which], calls.peer[which]
    return calls.messages(node, peer, calls.time_s[which], calls.events(0)[which], Kind.MODEL, "there")


def pull(calls: Calls) -> Messages:
    """Return requests, and the models that answer those which arrive."""
    return _answered(calls, Kind.REQUEST)


def push_pull(calls: Calls) -> Messages:
    """Return the callers' models, and those that answer the ones which arrive."""
    return _answered(calls, Kind.MODEL)


def pairwise(calls: Calls) -> Messages:
    """Return models that cross."""
    which = calls.reached()
    return _crossing(calls, which, calls.time_s[which])


def split_push(calls: Calls) -> Messages:
    """Return halves of masses, and before those which will arrive the dividing."""
    which = calls.reached()
    node, peer, time_s = calls.node[which], calls.peer[which], calls.time_s[which]
    halves = calls.messages(node, peer, time_s, calls.events(1)[which], Kind.MODEL, "there")
    arriving = halves.fate == Fate.DELIVERED
    node, time_s, event = node[arriving], time_s[arriving], calls.events(0)[which][arriving]
    return Messages.together([Messages.of(node, node, time_s, time_s, event, kind=Kind.SPLIT), halves])


def compute_pairwise(calls: Calls) -> Messages:
    """Return gradients, and models that cross when these are computed."""
    node, done_s = calls.node, calls.time_s + calls.compute_s[calls.node]
    there = calls.faults.online(node, done_s)
    fate = 0 if there is None else np.where(there, Fate.DELIVERED, Fate.OFFLINE)
    learning = Messages.of(node, node, calls.time_s, done_s, calls.events(1), kind=Kind.LEARN, fate=fate)
    which = np.arange(node.size)[calls.reached()]
    which = which if there is None else which[there[which]]
    return Messages.together([_crossing(calls, which, done_s[which]), learning])


def _answered(calls: Calls, kind: Kind) -> Messages:
    which = calls.reached()
    node, peer, time_s = calls.node[which], calls.peer[which], calls.time_s[which]
    there = calls.messages(node, peer, time_s, calls.events(0)[which], kind, "there")
    heard = np.flatnonzero(there.fate == Fate.DELIVERED)
    event = calls.events(1)[which][heard]
    back = calls.messages(peer[heard], node[heard], there.arrives_s[heard], event, Kind.MODEL, "back")
    return Messages.together([there, back])


def _crossing(calls: Calls, which: "np.ndarray | slice", sent_s: np.ndarray) -> Messages:
    node, peer = calls.node[which], calls.peer[which]
    arrives_s = calls.arrival(node, peer, sent_s, "there")
    fate = calls.faults.fates(node, peer, sent_s, arrives_s, calls.rng("fate there"), both_ways=True)
    event = calls.events(0, alone=True)[which]
    ways = ((node, peer), (peer, node))
    return Messages.together([Messages.of(*ends, sent_s, arrives_s, event, fate=fate) for ends in ways])


class Exchange(NamedTuple):
    """An exchange.

    Attributes:
        messages: ticks to messages.
        way: which way models travel on a call.
        kinds: of messages that occur.
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
