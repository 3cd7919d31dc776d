"""Brahms: an overlay whose views liars cannot fill, and samplers that hold nodes uniformly at random.

Each node has a view V of l₁ entries, which may repeat, and s samplers (:mod:`.samplers`). In every cycle it

    pushes its own number to α l₁ random entries of V, and pulls the views of β l₁ random entries of V;
    replaces V by α l₁ random entries of the pushes received, β l₁ of the views pulled and γ l₁ of its samplers, each
        drawn independently, if it received at least one push, at most α l₁ of them, and at least one view;
    tells its samplers of all that it received.

α + β + γ = 1. A node that liars flood with pushes keeps its view; what liars send otherwise is a part of the view at most;
and samplers, which hold each node that they ever heard of with equal probability, bring back honest ones. Pushes are taken
to be limited: a liar sends F times as many as an honest node.

Bortnikov, Gurevich, Keidar, Kliot and Shraer 2009, "Brahms: Byzantine resilient random membership sampling".

Liars answer pulls with l₁ random liars, push to honest nodes alone, to each of them or of a part (``targets``) equally
often, and call honest nodes alone. Let f be the share of liars, p = F f / (F f + 1 − f) their share of all pushes, and x
their share of the entries of honest views. Honest pushes go to honest nodes with probability 1 − x, so that of the pushes
that those receive, p / (p + (1 − p)(1 − x)) are of liars. Of the views that they pull, x are of liars, and hold liars alone;
the others hold a share x of them. With samplers that have heard of all nodes, the share after the next cycle is

    x⁺ = α p / (p + (1 − p)(1 − x)) + β (x + (1 − x) x) + γ f

Its least fixed point is :func:`liar_share`. For α = β = ½ it is (p + √(4 p − 3 p²)) / (2 (1 − p)) if p < ⅓, and one
otherwise. The formula takes every node to receive the mean number of pushes. Those that receive fewer honest ones renew their
views more often, and push more to liars themselves, so that views hold more liars, the smaller they are: with f = 0.1 and
the defaults, the formula says 0.304, where views of 100 entries hold 0.32, and of 20 some 0.44.

Nodes probe their samplers once a cycle: one that holds an offline node gets a new key, and is told of the view. Messages of
the overlay itself are not counted.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from jaxgossip.core.arguments import guarded, number, numbers, whole
from jaxgossip.core.errors import InputError
from jaxgossip.schedule.peers.choice import Overlay, Peers, members_of
from jaxgossip.schedule.peers.liars import Liars, drawn_liars, random_subset
from jaxgossip.schedule.peers.newscast import random_views
from jaxgossip.schedule.peers.samplers import Samplers, new_samplers, renew, tell, tell_one_by_one

NODES_AT_ONCE = 1024
"""Nodes whose pulled views are held at the same time."""
CYCLES = 100_000
"""Most cycles until the formula for the share of liars is taken to have converged."""


class State(NamedTuple):
    """The state of the overlay.

    Attributes:
        view: (n, l₁) int32, other nodes.
        samplers: the samplers of all nodes.
    """

    view: np.ndarray
    samplers: Samplers


class _Pushes(NamedTuple):
    """The pushes of a cycle that arrive at honest nodes, in order of their receivers.

    Attributes:
        sender: (m,) int32.
        receiver: (m,) int32.
        received: (n,) int64, how many each node received.
    """

    sender: np.ndarray
    receiver: np.ndarray
    received: np.ndarray

    def some(self, node: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return (m, count) int32: for each node, all of which received any, random senders, each drawn independently."""
        received = self.received[node][:, None]
        first = (np.cumsum(self.received) - self.received)[node][:, None]
        return self.sender[first + (rng.random((node.size, count)) * received).astype(np.int64)]


@dataclass(frozen=True, eq=False)
class Protocol:
    """The numbers of the protocol, and the attack on it.

    Attributes:
        pushed: α l₁, entries of a view from pushes.
        pulled: β l₁, entries from views pulled.
        sampled: γ l₁, entries from samplers.
        liars: nodes that lie; None if all are honest.
        pushes: number of pushes of a liar in a cycle, F α l₁.
        targets: (t,) int32, the honest nodes that liars push to.
    """

    pushed: int
    pulled: int
    sampled: int
    liars: Liars | None
    pushes: float
    targets: np.ndarray

    def step(self, state: State, _: int, online: np.ndarray | None, rng: np.random.Generator) -> State:
        """Return the state after a cycle, of which all messages are sent at its start.

        Args:
            state: the state before it.
            online: (n,) bool; None if all nodes are online.
            rng: generator of all draws.
        """
        view, samplers = self._answers(state.view, rng), state.samplers.copied()
        online = np.ones(len(view), bool) if online is None else online
        acts = online if self.liars is None else online & ~self.liars.lies
        pushes, node, renewed = self._pushes(view, online, acts, rng), np.flatnonzero(acts), view.copy()
        unlimited = (pushes.received == 0) | (pushes.received > self.pushed)
        for here in np.split(node, range(NODES_AT_ONCE, node.size, NODES_AT_ONCE)):
            heard = self._pull(view, here, online, rng)
            has_heard = (heard >= 0).any(axis=1)
            renews = has_heard & ~unlimited[here]
            mine, held = here[renews], state.samplers.of(here[renews])
            sampler = rng.integers(held.shape[1], size=(mine.size, self.sampled))
            parts = (
                pushes.some(mine, self.pushed, rng),
                _some(heard[renews], self.pulled, rng),
                np.take_along_axis(held, sampler, axis=1),
            )
            renewed[mine] = np.concatenate(parts, axis=1)
            tell(samplers, here[has_heard], _filled(heard[has_heard]))
        tell_one_by_one(samplers, pushes.receiver, pushes.sender)
        renew(samplers, node, ~online, view, rng)
        return State(renewed, samplers)

    def _answers(self, view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return (n, l₁) int32, what nodes answer to pulls: their views; liars, random liars."""
        if self.liars is None:
            return view
        answers, nodes = view.copy(), self.liars.nodes
        answers[nodes] = rng.choice(nodes, (nodes.size, view.shape[1]))
        return answers

    def _pushes(self, view: np.ndarray, online: np.ndarray, acts: np.ndarray, rng: np.random.Generator) -> _Pushes:
        """Return the pushes of all nodes that act, and of liars, to nodes that act."""
        n_nodes, size = view.shape
        sender = np.repeat(np.flatnonzero(acts).astype(np.int32), self.pushed)
        receiver = view[sender, rng.integers(size, size=sender.size)]
        if self.liars is not None:
            liars, targets = self.liars.nodes[online[self.liars.nodes]], self.targets[online[self.targets]]
            lies = round(self.pushes * liars.size) if targets.size else 0
            if lies:
                dealt = np.tile(rng.permutation(targets), -(-lies // targets.size))[:lies]
                sender = np.concatenate([sender, rng.choice(liars, lies)])
                receiver = np.concatenate([receiver, dealt])
        arrives = np.flatnonzero(acts[receiver])
        order = arrives[np.argsort(receiver[arrives], kind="stable")]
        return _Pushes(sender[order], receiver[order], np.bincount(receiver[order], minlength=n_nodes))

    def _pull(self, view: np.ndarray, node: np.ndarray, online: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return (m, β l₁ · l₁) int32: members of the views that nodes pull; −1 for oneself and where nobody answers."""
        asked = view[node[:, None], rng.integers(view.shape[1], size=(node.size, self.pulled))]
        heard = np.where(online[asked][:, :, None], view[asked], np.int32(-1))
        heard = heard.reshape(node.size, self.pulled * view.shape[1])
        heard[heard == node[:, None]] = -1
        return heard


def _some(heard: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return (m, count) int32: random entries of each row, but −1, each drawn independently; every row has others."""
    row = np.arange(len(heard))[:, None]
    chosen = heard[row, rng.integers(heard.shape[1], size=(len(heard), count))]
    while (missing := np.nonzero(chosen < 0))[0].size:
        chosen[missing] = heard[missing[0], rng.integers(heard.shape[1], size=missing[0].size)]
    return chosen


def _filled(heard: np.ndarray) -> np.ndarray:
    """Return rows with another entry of the row in the place of −1; every row has others."""
    first = np.take_along_axis(heard, np.argmax(heard >= 0, axis=1)[:, None], axis=1)
    return np.where(heard >= 0, heard, first)


@guarded
def brahms(
    n_nodes: int,
    rng: np.random.Generator,
    *,
    view: int = 20,
    samples: int = 20,
    alpha: float = 0.45,
    beta: float = 0.45,
    gamma: float = 0.1,
    call: Literal["view", "sample"] = "view",
    liars: float = 0.0,
    force: float = 1.0,
    targets: float = 1.0,
    liars_rng: np.random.Generator | int = 0,
) -> Peers:
    """Return a random member of a view that liars cannot fill, or of uniform samples of all nodes; uses no graph.

    Bortnikov, Gurevich, Keidar, Kliot and Shraer 2009, "Brahms: Byzantine resilient random membership sampling".

    Args:
        n_nodes: number of nodes.
        rng: generator of the first views, of the samplers and of the targets.
        view: number of entries of each view, at most n − 1.
        samples: number of samplers of each node, at least 1.
        alpha: fraction of the view that is from pushes; a node pushes to, and accepts pushes from, as many nodes.
        beta: fraction of the view that is from views pulled; as many are pulled.
        gamma: fraction of the view that is from samplers; alpha + beta + gamma = 1. Entries are whole: fractions are rounded.
        call: whom nodes call: a random member of their ``view``, or one of a ``sample``, which without churn stays the
            same once a node has heard of all others.
        liars: share of the nodes that lie: they push to honest nodes, and answer pulls with liars alone.
        force: pushes of a liar, as a multiple of those of an honest node.
        targets: fraction of the honest nodes that liars push to, each equally often; 1 for the balanced attack.
        liars_rng: random generator of the draw of the liars, or its seed; an adversary's draws the same ones.

    Raises:
        InputError: a number is out of range, the view has no room for pushes or pulls, or ``force`` or ``targets`` is given
            without liars.
    """
    what = "brahms peers"
    size, count = whole(what, "view", view, 1), whole(what, "samples", samples, 1)
    numbers(what, {"alpha": alpha, "beta": beta, "gamma": gamma, "force": force})
    number(what, "targets", targets, above=True, most=1.0)
    number(what, "liars", liars, most=1.0)
    if size > n_nodes - 1:
        raise InputError(
            f"{what}: a view of {size:,} is larger than the number of other nodes, {n_nodes - 1:,}",
            hint=f"view = {n_nodes - 1}" if n_nodes > 2 else "more nodes",
        )
    pushed, pulled, sampled = _parts(what, size, alpha, beta, gamma)
    lying = drawn_liars(what, n_nodes, liars, liars_rng)
    if lying is None and (force != 1 or targets != 1):
        name = "force" if force != 1 else "targets"
        raise InputError(f"{what}: {name} is that of liars, and there are none", hint="liars = 0.1")
    first = random_views(n_nodes, size, rng).member
    state = State(first, new_samplers(first, count, rng))
    honest = np.empty(0, np.int32) if lying is None else lying.honest
    aimed_at = honest[random_subset(honest.size, targets, rng)] if honest.size else honest
    protocol = Protocol(pushed, pulled, sampled, lying, force * pushed, aimed_at)

    def called(state: State, node: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        held = state.view[node] if call == "view" else state.samplers.of(node)
        return held[np.arange(node.size), rng.integers(held.shape[1], size=node.size)]

    overlay = Overlay(
        state, protocol.step, called, lambda state: {"views": state.view, "samples": state.samplers.nodes}, lying
    )
    return members_of(overlay, n_nodes)


def _parts(what: str, view: int, alpha: float, beta: float, gamma: float) -> tuple[int, int, int]:
    """Return the numbers of entries of a view from pushes, pulls and samplers.

    Raises:
        InputError: their sum is not 1, or there is no entry from pushes or pulls.
    """
    if abs(alpha + beta + gamma - 1) > 1e-6:
        raise InputError(
            f"{what}: alpha + beta + gamma = {alpha + beta + gamma:g}, not 1",
            hint="alpha = 0.45, beta = 0.45, gamma = 0.1",
        )
    pushed, sampled = round(alpha * view), round(gamma * view)
    pulled = view - pushed - sampled
    if pushed < 1 or pulled < 1:
        part = "pushes" if pushed < 1 else "pulls"
        raise InputError(
            f"{what}: a view of {view:,} has no entry from {part}", hint="a larger view, or larger alpha and beta"
        )
    return pushed, pulled, sampled


@guarded
def liar_share(
    liars: float, *, force: float = 1.0, alpha: float = 0.45, beta: float = 0.45, gamma: float = 0.1
) -> float:
    """Return the share of liars in large views of Brahms under the balanced attack, once samplers have heard of all nodes.

    The least fixed point of x = α p / (p + (1 − p)(1 − x)) + β x (2 − x) + γ f with p = F f / (F f + 1 − f): see
    :mod:`.brahms`. The right-hand side increases with x, so that iterating from 0 reaches it.

    Args:
        liars: f, share of the nodes that lie.
        force: F, pushes of a liar, as a multiple of those of an honest node.
        alpha: α, fraction of the view that is from pushes.
        beta: β, fraction from views pulled.
        gamma: γ, fraction from samplers.

    Raises:
        InputError: a number is out of range.
    """
    number("liar_share", "liars", liars, most=1.0)
    numbers("liar_share", {"force": force, "alpha": alpha, "beta": beta, "gamma": gamma})
    if liars == 1:
        return 1.0
    p, share = force * liars / (force * liars + 1 - liars), 0.0
    for _ in range(CYCLES):
        of_pushes = p / (p + (1 - p) * (1 - share)) if p else 0.0
        following = alpha * of_pushes + beta * share * (2 - share) + gamma * liars
        if following - share < 1e-12:
            break
        share = following
    return share
