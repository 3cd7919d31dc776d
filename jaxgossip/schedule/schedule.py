"""The event schedule of an asynchronous network: every message of a run, cycle by cycle, before any model is touched.

Clock, peers, delays, faults, exchange and reactions are put together here. A node that is offline at its tick does
nothing. Messages come in cycles: item k holds all that is decided by the ticks in [kΔ, (k+1)Δ), replies included, which
may be sent later; whatever is sent before (k+1)Δ has come by item k. Cycle k draws from generators of (seed, purpose, k)
alone, so that a schedule can be read any number of times.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from jaxgossip.core.arguments import MOST_SEED, fits, guarded, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import nearest
from jaxgossip.schedule.churn import Churn
from jaxgossip.schedule.clocks import Clock
from jaxgossip.schedule.delays import Delay
from jaxgossip.schedule.exchanges import EXCHANGES, STEPS, Calls
from jaxgossip.schedule.faults import Faults
from jaxgossip.schedule.messages import Kind, Messages
from jaxgossip.schedule.peers import Choice, Peers, Preferences, checked, preferred, uniform
from jaxgossip.schedule.post import Run
from jaxgossip.schedule.reactions import Useful, cached_messages, token_messages
from jaxgossip.schedule.tokens import TokenAccount
from jaxgossip.topology import Graph

Exchange = Literal["push", "pull", "push_pull", "pairwise", "split_push", "compute_pairwise"]
Receive = Literal["at_once", "pass_through", "cached"]
ANSWERED = ("push", "pull", "push_pull")
"""Exchanges whose models are merged one by one: they can be passed through, and travel in parts."""


@runtime_checkable
class Source(Protocol):
    """Whatever messages come from: a schedule, a file, a recording of either."""

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        ...

    @property
    def period_s(self) -> float:
        """The cycle, in seconds."""
        ...

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of messages that can occur."""
        ...

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        """Yield the messages of cycle 0, 1, …, without end; each call starts anew and yields the same.

        Args:
            preferences: looked at before each cycle.
        """
        ...


@dataclass(frozen=True, eq=False)
class Schedule:
    """An asynchronous network; made by :func:`schedule`, which checks what goes together.

    Attributes:
        graph: who hears whom.
        clock: when nodes act.
        delay: how long messages travel; None: not at all.
        peers: whom nodes call.
        faults: what becomes of messages and nodes.
        exchange: what travels on a call.
        receive: what a node does with a model that arrives.
        tokens: how much is sent in reaction; None: nothing.
        useful: which models count as useful to token accounts.
        parts: in how many parts a model travels, one at a time.
        compute_s: (n,) float64, how long each node computes.
        seed: of all draws.
    """

    graph: Graph
    clock: Clock
    delay: Delay | None
    peers: Peers
    faults: Faults
    exchange: Exchange
    receive: Receive
    tokens: TokenAccount | None
    useful: Useful
    parts: int
    compute_s: np.ndarray
    seed: int

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.clock.n_nodes

    @property
    def period_s(self) -> float:
        """The cycle, in seconds."""
        return self.clock.period_s

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of messages that can occur."""
        own, passing = EXCHANGES[self.exchange].kinds, {Kind.PASSED} if self.receive == "pass_through" else set()
        return own | passing

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        """Yield the messages of cycle 0, 1, …, without end; each call starts anew and yields the same.

        Args:
            preferences: looked at before each cycle: from when it has some, nodes call whom they prefer.
        """
        choice = checked(self.peers.begin(EXCHANGES[self.exchange].way), self.n_nodes)
        if preferences is not None:
            choice = self._preferring(choice, preferences)
        for cycle, messages in enumerate(self._cycles(choice)):
            messages = self._passed(messages, cycle) if self.receive == "pass_through" else messages  # noqa: PLW2901
            yield self._in_parts(messages, cycle) if self.parts > 1 else messages

    def _preferring(self, usual: Choice, preferences: Preferences) -> Choice:
        found: list[Choice] = []

        def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, online: np.ndarray | None) -> np.ndarray:
            if preferences.prefers is not None and not found:
                found.append(preferred(self.graph, EXCHANGES[self.exchange].way, preferences.prefers))
            return (found[0] if found else usual)(cycle, node, rng, online)

        return choose

    def _cycles(self, choice: Choice) -> Iterator[Messages]:
        if self.tokens is None and self.receive != "cached":
            return self._called(choice)
        online = self._online if self.peers.changes else None
        run = Run(self.period_s, self._sorted, choice, online, self.delay, self.faults, self._rng)
        return cached_messages(run) if self.tokens is None else token_messages(run, self.tokens, self.useful)

    def _called(self, choice: Choice) -> Iterator[Messages]:
        exchange = EXCHANGES[self.exchange].messages
        first = 0
        for cycle in count():
            node, time_s = self._ticks(cycle)
            peer = choice(cycle, node, self._rng("peers", cycle), self._online(cycle))
            rng = partial(self._rng, cycle=cycle)
            together = self.clock.together
            yield exchange(Calls(node, time_s, peer, first, together, self.delay, self.faults, self.compute_s, rng))
            first += STEPS * node.size

    def _ticks(self, cycle: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ticks of nodes that are online then."""
        node, time_s = self.clock.ticks(cycle, self._rng("ticks", cycle))
        online = self.faults.online(node, time_s)
        if online is None:
            return node, time_s
        which = np.flatnonzero(online)
        return node[which], time_s[which]

    def _sorted(self, cycle: int) -> tuple[np.ndarray, np.ndarray]:
        node, time_s = self._ticks(cycle)
        order = np.argsort(time_s, kind="stable")
        return node[order], time_s[order]

    def _online(self, cycle: int) -> np.ndarray | None:
        """Return who is online as a cycle starts, where the choice of peers wants to know."""
        if not self.peers.changes:
            return None
        everybody = np.arange(self.n_nodes, dtype=np.int32)
        return self.faults.online(everybody, np.full(self.n_nodes, cycle * self.period_s))

    def _passed(self, messages: Messages, cycle: int) -> Messages:
        """Return the messages, of which a receiver merges a model with probability min(1, d_sender/d_receiver).

        The others it takes over as they are, and hands on (Giaretta and Girdzijauskas 2019): so models are
        merged at all nodes alike, whatever their degrees.
        """
        degrees = self.graph.degrees
        luck = self._rng("pass", cycle).random(len(messages))
        passed = (luck * degrees[messages.receiver] >= degrees[messages.sender]) & (messages.kind == Kind.MODEL)
        return replace(messages, kind=np.where(passed, np.int8(Kind.PASSED), messages.kind))

    def _in_parts(self, messages: Messages, cycle: int) -> Messages:
        drawn = self._rng("parts", cycle).integers(self.parts, size=len(messages), dtype=np.int16)
        carries = (messages.kind == Kind.MODEL) | (messages.kind == Kind.PASSED)
        return replace(messages, part=np.where(carries, drawn, np.int16(0)))

    def _rng(self, purpose: str, cycle: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(f"schedule {purpose}".encode()), cycle])


@guarded
def schedule(
    graph: Graph,
    *,
    clock: Clock,
    delay: Delay | None = None,
    churn: Churn | None = None,
    peers: Peers | None = None,
    exchange: Exchange = "push",
    receive: Receive = "at_once",
    tokens: TokenAccount | None = None,
    useful: Useful = "always",
    drop: float = 0.0,
    split: int = 1,
    split_at_s: float = 0.0,
    heal_at_s: float = 0.0,
    parts: int = 1,
    compute_s: np.ndarray | None = None,
    seed: int = 0,
) -> Schedule:
    """Return the schedule of an asynchronous network.

    Args:
        graph: who hears whom.
        clock: when nodes act.
        delay: how long messages travel; None: not at all.
        churn: who is online when; None: everybody always.
        peers: whom nodes call; None: a random neighbour.
        exchange: what travels on a call: see :mod:`.exchanges`.
        receive: ``at_once`` merges a model as it arrives, ``pass_through`` merges it or takes it over as it is, by the
            degrees of both ends, ``cached`` keeps it until the node's own tick.
        tokens: how much is sent in reaction to what arrives; None: nothing.
        useful: which models are useful to token accounts: ``always`` all, ``newer`` those of an age above the receiver's.
        drop: probability that a message is lost.
        split: sides into which the network falls apart; 1: it does not.
        split_at_s: when it falls apart, in seconds.
        heal_at_s: when it is whole again.
        parts: in how many parts models travel, one drawn for each message.
        compute_s: (n,) seconds that each node computes, for ``compute_pairwise``; None: half a cycle each.
        seed: of all draws.

    Raises:
        InputError: a number out of range, or parts that do not go together.
    """
    for what, part in (("a clock", clock), ("a churn", churn), ("a choice of peers", peers), ("a delay", delay)):
        fits(what, None if part is None else part.n_nodes, graph.name, graph.n_nodes)
    if tokens is not None and receive != "at_once":
        raise InputError(
            f"token accounts react as models arrive, receive '{receive}' does otherwise", hint="receive 'at_once'"
        )
    if exchange != "push" and (tokens is not None or receive == "cached"):
        culprit = "receive 'cached' keeps" if tokens is None else "token accounts react to"
        raise InputError(
            f"{culprit} models that are pushed, not those of exchange '{exchange}'", hint="exchange 'push'"
        )
    if whole("schedule", "parts", parts, 1) > 1 and exchange not in ANSWERED:
        raise InputError(f"models do not travel in parts by exchange '{exchange}'", hint=nearest("", list(ANSWERED)))
    if receive == "pass_through" and exchange not in ANSWERED:
        raise InputError(f"exchange '{exchange}' passes no model through", hint=nearest("", list(ANSWERED)))
    if parts > np.iinfo(np.int16).max:
        raise InputError(f"schedule: {parts} parts are too many", hint=f"at most {np.iinfo(np.int16).max}")
    seconds = np.full(graph.n_nodes, clock.period_s / 2) if compute_s is None else np.asarray(compute_s, np.float64)
    if seconds.shape != (graph.n_nodes,) or not (seconds >= 0).all() or not np.isfinite(seconds).all():
        raise InputError(
            f"schedule: compute_s has to hold {graph.n_nodes} finite numbers of seconds", hint="one a node, at least 0"
        )
    faults = Faults(graph.n_nodes, churn, drop, split, split_at_s, heal_at_s)
    found = peers or uniform(graph)
    found.begin(EXCHANGES[exchange].way)  # says now, not in the run, where the graph cannot serve the exchange
    number = whole("schedule", "seed", seed, 0, MOST_SEED)
    return Schedule(graph, clock, delay, found, faults, exchange, receive, tokens, useful, parts, seconds, number)
