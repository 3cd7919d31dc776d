"""Newscast: an overlay network that gossip keeps random, up to date and connected.

Each node has a view, c descriptors (node, time of creation). Once a cycle a node picks a random member of its view; both
form the union of their views and of a fresh descriptor of each other, and keep the c freshest of distinct nodes. Nodes
that have left create no more descriptors, so that their old ones vanish after some cycles.

Tölgyesi and Jelasity 2009, "Adaptive peer sampling with Newscast", Euro-Par; Jelasity, Montresor and Babaoglu 2005,
"Gossip-based aggregation in large dynamic networks".

The exchanges of a cycle are executed as if one at a time, in an order drawn anew every cycle; members are picked at its
start. Remaining exchanges that are the next ones of both their nodes involve no node twice, and are executed together:
about ten steps per cycle instead of n.

Liars begin their exchanges with honest nodes, any of them alike, and in every exchange send c liars in the place of their
views, drawn anew every cycle (all of them, if they are fewer), whose descriptors are as fresh as the exchange itself:
nothing that an honest node knows is fresher, so that its view is of liars alone. It then calls liars alone, until an honest
node calls it. Once no honest node does, no descriptor of an honest node is made any more: the share of liars in views goes
to one, if they are at least c; fewer, k, hold at most k of the c places. This is the hub attack of Jesi, Hales and van Steen
2007, "Identifying malicious peers before it's too late: a decentralized secure peer sampling service".
"""

from typing import NamedTuple

import numpy as np

from jaxgossip.core.arguments import guarded, whole
from jaxgossip.schedule.peers.choice import Overlay, Peers, members_of
from jaxgossip.schedule.peers.liars import Liars, drawn_liars

AGE_BITS, NODE_BITS = 32, 31
"""A descriptor is packed into one int64, such that older descriptors compare larger."""
NODE_MASK = (1 << NODE_BITS) - 1
OLDEST = (1 << AGE_BITS) - 1
NOBODY = np.iinfo(np.int64).max
FRESH = np.iinfo(np.int64).max
"""The time of creation of forged descriptors, which are of age 0 in any exchange."""


class Views(NamedTuple):
    """The views of all nodes.

    Attributes:
        member: (n, c) int32, distinct within a row and different from its node; −1 in empty places.
        made: (n, c) int64, times at which the descriptors were created, counted in exchanges of the whole network.
    """

    member: np.ndarray
    made: np.ndarray


@guarded
def newscast(
    n_nodes: int,
    rng: np.random.Generator,
    *,
    view: int = 20,
    liars: float = 0.0,
    liars_rng: np.random.Generator | int = 0,
) -> Peers:
    """Return a random member of a view that gossip keeps up to date: a self-healing network that uses no graph.

    Tölgyesi and Jelasity 2009, "Adaptive peer sampling with Newscast".

    Args:
        n_nodes: number of nodes.
        rng: generator of the first views.
        view: number of nodes in each view, at least 1; at most n − 1 are held.
        liars: share of the nodes that lie: they exchange views of liars alone, always as fresh as can be.
        liars_rng: random generator of the draw of the liars, or its seed; an adversary's draws the same ones.

    Raises:
        InputError: ``view`` is below 1, ``liars`` is outside [0, 1], or no node is honest.
    """
    size = min(whole("newscast peers", "view", view, 1), n_nodes - 1)
    lying = drawn_liars("newscast peers", n_nodes, liars, liars_rng)

    def stepped(views: Views, cycle: int, online: np.ndarray | None, rng: np.random.Generator) -> Views:
        return step(views, cycle, online, rng, lying)

    overlay = Overlay(random_views(n_nodes, size, rng), stepped, draw, lambda views: {"views": views.member}, lying)
    return members_of(overlay, n_nodes)


def random_views(n_nodes: int, size: int, rng: np.random.Generator) -> Views:
    """Return views of ``size`` distinct random other nodes, with descriptors of the cycle before the first.

    They are drawn by Floyd's algorithm (Bentley and Floyd 1987). Ages are random, so that no node is favoured by number.
    """
    member = np.empty((n_nodes, size), np.int32)
    for place in range(size):
        # The others of node i are numbered 0..n−2, where i and above stand for the next higher node.
        last = n_nodes - 1 - size + place
        drawn = rng.integers(last + 1, size=n_nodes, dtype=np.int32)
        known = (member[:, :place] == drawn[:, None]).any(axis=1)
        member[:, place] = np.where(known, last, drawn)
    member += member >= np.arange(n_nodes)[:, None]
    return Views(member, rng.integers(-n_nodes, 0, size=(n_nodes, size)))


def draw(views: Views, node: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (m,) int32: a random member of each node's view, −1 if it is empty."""
    size = views.member.shape[1]
    if not size:
        return np.full(node.size, -1, np.int32)
    # Views are full from the first cycle on, unless fewer than c descriptors exist, which then come first.
    known = (views.member[node] >= 0).sum(axis=1)
    place = (rng.random(node.size) * known).astype(np.int64)
    return views.member[node, place]


def step(
    views: Views, cycle: int, online: np.ndarray | None, rng: np.random.Generator, liars: Liars | None = None
) -> Views:
    """Return the views after a cycle in which every online node begins one exchange; those with offline nodes fail.

    Args:
        views: the views before the cycle.
        cycle: number of the cycle.
        online: (n,) bool; None if all nodes are online.
        rng: generator of the partners and of the order, and of lies.
        liars: nodes that lie; None if all are honest.
    """
    n_nodes, size = views.member.shape
    caller = rng.permutation(np.arange(n_nodes, dtype=np.int32))
    peer = draw(views, caller, rng)
    if liars is not None:
        lying = liars.lies[caller]
        peer[lying] = liars.victims(int(lying.sum()), rng)
    succeeds = peer >= 0
    if online is not None:
        succeeds &= online[caller] & online[peer]
    caller, peer = caller[succeeds], peer[succeeds]
    if not size or not caller.size:
        return views
    turn = np.arange(caller.size)
    after = Views(views.member.copy(), views.made.copy())
    if liars is not None:
        _forge(after, liars, rng)
    next_turn = np.empty(n_nodes, np.int64)
    while turn.size:
        first, second = caller[turn], peer[turn]
        # Assigned in reverse order, so that each node keeps the first turn that involves it.
        next_turn[np.stack([first, second], axis=1).ravel()[::-1]] = np.repeat(turn, 2)[::-1]
        ready = (next_turn[first] == turn) & (next_turn[second] == turn)
        _exchange(after, first[ready], second[ready], cycle * n_nodes + turn[ready], liars)
        turn = turn[~ready]
    return after


def _forge(views: Views, liars: Liars, rng: np.random.Generator) -> None:
    """Make the views of liars, in place, those that they send in this cycle: of c other liars at random, forever fresh."""
    n_liars, size = liars.nodes.size, views.member.shape[1]
    circle, others = rng.permutation(liars.nodes), min(size, n_liars - 1)
    following = (np.arange(n_liars)[:, None] + np.arange(1, others + 1)) % n_liars
    views.member[liars.nodes] = -1
    views.member[circle, :others] = circle[following]
    views.made[liars.nodes] = FRESH


def _exchange(views: Views, first: np.ndarray, second: np.ndarray, now: np.ndarray, liars: Liars | None = None) -> None:
    """Merge the views of disjoint pairs (p,) of nodes in place, at the times ``now`` (p,); those of liars stay."""
    size = views.member.shape[1]
    member = np.concatenate([views.member[first], views.member[second], first[:, None], second[:, None]], axis=1)
    made = np.concatenate([views.made[first], views.made[second], now[:, None], now[:, None]], axis=1)
    age = np.clip(now[:, None] - made, 0, OLDEST)
    # Sorted by node, freshest first: of each node, only the first descriptor is kept.
    by_node = np.where(member >= 0, (member.astype(np.int64) << AGE_BITS) | age, NOBODY)
    by_node.sort(axis=1)
    node, age = by_node >> AGE_BITS, by_node & OLDEST
    by_age = (age << NODE_BITS) | (node & NODE_MASK)
    by_age[:, 1:][node[:, 1:] == node[:, :-1]] = NOBODY
    by_age[by_node == NOBODY] = NOBODY
    for owner in (first, second):
        kept = np.where(node == owner[:, None], NOBODY, by_age)
        kept = np.sort(np.partition(kept, size - 1, axis=1)[:, :size], axis=1)
        merges = slice(None) if liars is None else ~liars.lies[owner]
        views.member[owner[merges]] = np.where(kept == NOBODY, -1, kept & NODE_MASK)[merges]
        views.made[owner[merges]] = np.where(kept == NOBODY, -1, now[:, None] - (kept >> NODE_BITS))[merges]
