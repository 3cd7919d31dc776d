"""The schedule of an asynchronous network: every message of a run, cycle by cycle, before any model is computed.

It combines clock, peers, delays, faults, exchange and reactions. A node that is offline at its tick does nothing. Messages
come in cycles: item k holds all messages caused by ticks in [kΔ, (k+1)Δ), including replies, which may be sent later;
every message sent before (k+1)Δ is in an item up to k. Cycle k draws only from generators of (seed, purpose, k), so that
a schedule can be iterated any number of times.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from jaxgossip.core.arguments import MOST_SEED, fits, guarded, number, reals, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import nearest
from jaxgossip.schedule.churn import Churn
from jaxgossip.schedule.clocks import Clock
from jaxgossip.schedule.contacts import ContactSource
from jaxgossip.schedule.contacts.timeline import Timeline
from jaxgossip.schedule.delays import Delay
from jaxgossip.schedule.event_queue import Network
from jaxgossip.schedule.exchanges import EXCHANGES, STEPS, Calls
from jaxgossip.schedule.faults import Faults
from jaxgossip.schedule.messages import Kind, Messages
from jaxgossip.schedule.peers import Choice, Peers, Preferences, checked, preferred, uniform
from jaxgossip.schedule.reactions import Useful, cached_messages, token_messages
from jaxgossip.schedule.tokens import TokenAccount
from jaxgossip.topology import Graph

Exchange = Literal["push", "pull", "push_pull", "pairwise", "split_push", "compute_pairwise"]
Receive = Literal["at_once", "pass_through", "cached"]
ANSWERED = ("push", "pull", "push_pull")
"""Exchanges whose models are merged one by one, so that they can be passed through or sent in parts."""


@runtime_checkable
class Source(Protocol):
    """A source of messages: a schedule, a file, or a recording of either."""

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        ...

    @property
    def period_s(self) -> float:
        """Length of a cycle in seconds."""
        ...

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of messages that can occur."""
        ...

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        """Yield the messages of cycle 0, 1, …, endlessly; every call restarts and yields the same messages.

        Args:
            preferences: the nodes' preferences, which are consulted before each cycle.
        """
        ...


@dataclass(frozen=True, eq=False)
class Schedule:
    """The schedule of an asynchronous network, made by :func:`schedule`, which checks that its options are compatible.

    Attributes:
        graph: who hears whom.
        clock: when nodes act.
        delay: how long messages travel; None for no delay.
        peers: whom nodes call.
        faults: faults of messages and nodes.
        exchange: what is sent on a call.
        receive: what a node does with a model that arrives.
        tokens: how much is sent at ticks and in reaction; None for a call at every tick and nothing in reaction.
        useful: which models count as useful to token accounts.
        parts: number of parts of a model, of which each message carries one.
        compute_s: (n,) float64, seconds that a gradient takes on each node, for ``compute_pairwise``.
        seed: seed of all draws.
        contacts: who is in contact when, in place of graph and peers; None if everybody always is.
        transfer_s: seconds that a model, or a part of it, takes in a contact.
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
    contacts: ContactSource | None = None
    transfer_s: float = 0.0

    def __repr__(self) -> str:
        where = f"on {self.graph!r}" if self.contacts is None else f"among {self.n_nodes:,} nodes that meet"
        words = [f"{self.exchange} {where}", f"cycles of {self.period_s:g} s"]
        words += ["messages take time"] * (self.delay is not None) + ["churn"] * (self.faults.churn is not None)
        words += [f"{self.faults.drop:.0%} of messages lost"] * bool(self.faults.drop)
        return f"Schedule({', '.join([*words, f'seed {self.seed}'])})"

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.clock.n_nodes

    @property
    def period_s(self) -> float:
        """Length of a cycle in seconds."""
        return self.clock.period_s

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of messages that can occur."""
        own, passing = EXCHANGES[self.exchange].kinds, {Kind.PASSED} if self.receive == "pass_through" else set()
        return own | passing

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        """Yield the messages of cycle 0, 1, …, endlessly; every call restarts and yields the same messages.

        Args:
            preferences: the nodes' preferences, consulted before each cycle; once set, nodes call whom they prefer.
        """
        for cycle, messages in enumerate(self._cycles(preferences or Preferences())):
            messages = self._pass_through(messages, cycle) if self.receive == "pass_through" else messages  # noqa: PLW2901
            # Nodes that meet send all parts, which are chosen already.
            drawn = self.parts > 1 and self.contacts is None
            yield self._draw_parts(messages, cycle) if drawn else messages

    def liar_shares(self) -> Iterator[dict[str, float]]:
        """Yield the shares of liars among what honest nodes hold in the overlay: at first, and after cycle 0, 1, …, endlessly.

        Returns:
            Iterator over {``views``: share, and of Brahms ``samples``: share}; the overlay is gossiped anew for it. It is
            empty if nodes call others than members of an overlay, or no node lies.
        """
        overlay = self.peers.overlay
        if overlay is None or overlay.liars is None:
            return iter(())
        return overlay.liar_shares(partial(self._rng, "peers"), self._online)

    def _choice(self, preferences: Preferences) -> Choice:
        """Return whom nodes call: by the choice of peers, or whom they prefer once they do."""
        usual = checked(self.peers.begin(EXCHANGES[self.exchange].way), self.n_nodes)
        preferred_choice: list[Choice] = []  # at most one, once there are preferences

        def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, online: np.ndarray | None) -> np.ndarray:
            if preferences.prefers is not None and not preferred_choice:
                way = EXCHANGES[self.exchange].way
                preferred_choice.append(preferred(self.graph, way, preferences.prefers))
            return (preferred_choice[0] if preferred_choice else usual)(cycle, node, rng, online)

        return choose

    def _cycles(self, preferences: Preferences) -> Iterator[Messages]:
        if self.contacts is not None:
            return self._met(self.contacts, preferences)
        choice = self._choice(preferences)
        if self.tokens is None and self.receive != "cached":
            return self._exchanged(choice)
        online = self._online if self.peers.changes else None
        network = Network(self.period_s, self._sorted_ticks, choice, online, self.delay, self.faults, self._rng)
        return cached_messages(network) if self.tokens is None else token_messages(network, self.tokens, self.useful)

    def _exchanged(self, choice: Choice) -> Iterator[Messages]:
        first = 0
        for cycle in count():
            node, time_s = self._ticks(cycle)
            peer = choice(cycle, node, self._rng("peers", cycle), self._online(cycle))
            yield EXCHANGES[self.exchange].messages(self._calls(cycle, node, time_s, peer, first))
            first += STEPS * node.size

    def _met(self, contacts: ContactSource, preferences: Preferences) -> Iterator[Messages]:
        """Yield the messages of nodes that call whom they are in contact with."""
        timeline, first = Timeline(contacts, self.period_s), 0
        for cycle in count():
            timeline.forget(cycle * self.period_s)
            node, time_s = self._ticks(cycle)
            peer = timeline.choose(node, time_s, self._rng("peers", cycle), preferences.prefers)
            calls = self._calls(cycle, node, time_s, peer, first)
            met = replace(calls, contacts=timeline, transfer_s=self.transfer_s, parts=self.parts)
            yield EXCHANGES[self.exchange].messages(met)
            first += STEPS * node.size

    def _calls(self, cycle: int, node: np.ndarray, time_s: np.ndarray, peer: np.ndarray, first: int) -> Calls:
        rng, together = partial(self._rng, cycle=cycle), self.clock.together
        return Calls(node, time_s, peer, first, together, self.delay, self.faults, self.compute_s, rng)

    def _ticks(self, cycle: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ticks at which their nodes are online."""
        node, time_s = self.clock.ticks(cycle, self._rng("ticks", cycle))
        online = self.faults.online(node, time_s)
        if online is None:
            return node, time_s
        which = np.flatnonzero(online)
        return node[which], time_s[which]

    def _sorted_ticks(self, cycle: int) -> tuple[np.ndarray, np.ndarray]:
        node, time_s = self._ticks(cycle)
        order = np.argsort(time_s, kind="stable")
        return node[order], time_s[order]

    def _online(self, cycle: int) -> np.ndarray | None:
        """Return (n,) bool: who is online at the start of a cycle; None if the choice of peers does not depend on it."""
        if not self.peers.changes:
            return None
        everybody = np.arange(self.n_nodes, dtype=np.int32)
        return self.faults.online(everybody, np.full(self.n_nodes, cycle * self.period_s))

    def _pass_through(self, messages: Messages, cycle: int) -> Messages:
        """Mark the models that receivers pass through: each is merged with probability min(1, d_sender/d_receiver).

        The others are adopted as they are and passed on (Giaretta and Girdzijauskas 2019), so that models are merged
        equally often at all nodes, whatever their degrees.
        """
        degrees = self.graph.degrees
        uniforms = self._rng("pass", cycle).random(len(messages))
        passed = (uniforms * degrees[messages.receiver] >= degrees[messages.sender]) & (messages.kind == Kind.MODEL)
        return replace(messages, kind=np.where(passed, np.int8(Kind.PASSED), messages.kind))

    def _draw_parts(self, messages: Messages, cycle: int) -> Messages:
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
    contacts: ContactSource | None = None,
    transfer_s: float = 0.0,
    seed: int = 0,
) -> Schedule:
    """Return the schedule of an asynchronous network.

    Args:
        graph: who hears whom.
        clock: when nodes act.
        delay: how long messages travel; None for no delay.
        churn: when nodes are online; None if they always are.
        peers: whom nodes call; None for a random neighbour.
        exchange: what is sent on a call: see :mod:`.exchanges`.
        receive: ``at_once`` merges a model as it arrives, ``pass_through`` either merges it or adopts it as it is,
            depending on the degrees of both nodes, and ``cached`` keeps it until the node's own tick.
        tokens: how much is sent at ticks and in reaction; None for a call at every tick and nothing in reaction.
        useful: which models are useful to token accounts: ``always`` all, ``newer`` those of an age above the receiver's.
        drop: probability that a message is dropped.
        split: number of sides into which the network splits; 1 for no split.
        split_at_s: time at which it splits, in seconds.
        heal_at_s: time at which the split ends, in seconds.
        parts: number of parts of a model, of which each message carries a random one.
        compute_s: (n,) seconds that a gradient takes on each node, for ``compute_pairwise``; None for half a cycle.
        contacts: who is in contact when: nodes call any of those, of the graph only the number of nodes matters, and a
            message that is not transferred when the contact ends is lost. None if everybody always is in contact. Models
            in parts are then sent with all their parts, one after the other.
        transfer_s: seconds that a model, or each part of it, takes in a contact: its bytes by bytes a second.
        seed: seed of all draws.

    Raises:
        InputError: a number is out of range, a part is for another number of nodes, or options are incompatible.
    """
    components = {
        "a clock": clock, "a churn": churn, "a choice of peers": peers, "a delay": delay, "a source of contacts": contacts,
    }  # fmt: skip
    for what, part in components.items():
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
    seconds = (
        np.full(graph.n_nodes, clock.period_s / 2) if compute_s is None else reals("schedule", "compute_s", compute_s)
    )
    if seconds.shape != (graph.n_nodes,) or not (seconds >= 0).all() or not np.isfinite(seconds).all():
        raise InputError(
            f"schedule: compute_s has to hold {graph.n_nodes} finite numbers of seconds", hint="one a node, at least 0"
        )
    check_contacts(contacts, peers=peers, tokens=tokens, receive=receive, transfer_s=transfer_s)
    faults = Faults(graph.n_nodes, churn, drop, split, split_at_s, heal_at_s)
    chosen = peers or uniform(graph)
    if contacts is None:
        chosen.begin(
            EXCHANGES[exchange].way
        )  # raises now, rather than in the run, if the graph does not suit the exchange
    return Schedule(
        graph, clock, delay, chosen, faults, exchange, receive, tokens, useful, parts, seconds,
        whole("schedule", "seed", seed, 0, MOST_SEED), contacts, transfer_s,
    )  # fmt: skip


def check_contacts(
    contacts: ContactSource | None,
    *,
    peers: Peers | None,
    tokens: TokenAccount | None,
    receive: Receive,
    transfer_s: float,
) -> None:
    """Check that other options are compatible with contacts, or with there being none.

    Raises:
        InputError: they are not, or ``transfer_s`` is negative.
    """
    if number("schedule", "transfer_s", transfer_s) and contacts is None:
        raise InputError(
            "schedule: transfer_s is the time of a transfer in a contact, and there are no contacts",
            hint="give contacts, or a delay",
        )
    if contacts is None:
        return
    if peers is not None:
        raise InputError("nodes that meet call whom they are in contact with", hint="leave out the peers")
    if tokens is not None or receive != "at_once":
        culprit = "token accounts know" if tokens is not None else f"receive '{receive}' knows"
        raise InputError(f"{culprit} no contacts", hint="receive 'at_once', without tokens")
