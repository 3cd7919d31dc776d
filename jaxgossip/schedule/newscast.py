"""Newscast: a network that gossip keeps random, fresh and connected.

Each node has a view, c descriptors (node, when it was made). Once a cycle a node picks a random member of its view; both
take the union of their two views and of two fresh descriptors, each of the other, and keep the c freshest of distinct
nodes. Descriptors of nodes that left are made no more, and are gone after some cycles.

Tölgyesi and Jelasity 2009, "Adaptive peer sampling with Newscast", Euro-Par; Jelasity, Montresor and Babaoglu 2005,
"Gossip-based aggregation in large dynamic networks".

A cycle's exchanges are executed as if one at a time, in an order drawn anew every cycle; members are picked at its
start. Of the exchanges that remain, those that are the next ones of both their nodes touch no node twice, and are done
together: some ten steps a cycle, in the place of n.
"""

from typing import NamedTuple

import numpy as np

AGE_BITS, NODE_BITS = 32, 31
"""A descriptor is one int64: older descriptors compare larger."""
NODE_MASK = (1 << NODE_BITS) - 1
OLDEST = (1 << AGE_BITS) - 1
NOBODY = np.iinfo(np.int64).max


class Views(NamedTuple):
    """Whom nodes know.

    Attributes:
        member: (n, c) int32 distinct within a row, none of them its node; −1 in places without.
        made: (n, c) int64, when the descriptors were made, counted in exchanges of the whole network.
    """

    member: np.ndarray
    made: np.ndarray


def random_views(n_nodes: int, size: int, rng: np.random.Generator) -> Views:
    """Return views of ``size`` distinct random others, made within the cycle before the first.

    By the sampling of Floyd (Bentley and Floyd 1987). Ages are drawn, so that no node is preferred for its number.
    """
    member = np.empty((n_nodes, size), np.int32)
    for place in range(size):
        last = (
            n_nodes - 1 - size + place
        )  # the others of node i are 0..n−2, of which those from i on stand for one more
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
    # Views are full from the first cycle on, except where fewer than c descriptors exist: these stand first.
    known = (views.member[node] >= 0).sum(axis=1)
    place = (rng.random(node.size) * known).astype(np.int64)
    return views.member[node, place]


def step(views: Views, cycle: int, online: np.ndarray | None, rng: np.random.Generator) -> Views:
    """Return the views after a cycle in which every online node has begun one exchange; those with offline ones fail.

    Args:
        views: before it.
        cycle: its number.
        online: (n,) bool; None for everybody.
        rng: draws partners and the order.
    """
    n_nodes, size = views.member.shape
    caller = rng.permutation(np.arange(n_nodes, dtype=np.int32))
    peer = draw(views, caller, rng)
    going = peer >= 0
    if online is not None:
        going &= online[caller] & online[peer]
    caller, peer = caller[going], peer[going]
    if not size or not caller.size:
        return views
    turn = np.arange(caller.size)
    after = Views(views.member.copy(), views.made.copy())
    next_turn = np.empty(n_nodes, np.int64)
    while turn.size:
        one, other = caller[turn], peer[turn]
        # Written backwards, so that each node keeps the first turn that names it.
        next_turn[np.stack([one, other], axis=1).ravel()[::-1]] = np.repeat(turn, 2)[::-1]
        ready = (next_turn[one] == turn) & (next_turn[other] == turn)
        _exchange(after, one[ready], other[ready], cycle * n_nodes + turn[ready])
        turn = turn[~ready]
    return after


def _exchange(views: Views, one: np.ndarray, other: np.ndarray, now: np.ndarray) -> None:
    """Merge the views of disjoint pairs (p,), in place; ``now`` (p,) is when."""
    size = views.member.shape[1]
    member = np.concatenate([views.member[one], views.member[other], one[:, None], other[:, None]], axis=1)
    made = np.concatenate([views.made[one], views.made[other], now[:, None], now[:, None]], axis=1)
    age = np.minimum(now[:, None] - made, OLDEST)
    # By node, freshest first: all but the first of a node go.
    by_node = np.where(member >= 0, (member.astype(np.int64) << AGE_BITS) | age, NOBODY)
    by_node.sort(axis=1)
    node, age = by_node >> AGE_BITS, by_node & OLDEST
    by_age = (age << NODE_BITS) | (node & NODE_MASK)
    by_age[:, 1:][node[:, 1:] == node[:, :-1]] = NOBODY
    by_age[by_node == NOBODY] = NOBODY
    for mine in (one, other):
        kept = np.where(node == mine[:, None], NOBODY, by_age)
        kept = np.sort(np.partition(kept, size - 1, axis=1)[:, :size], axis=1)
        views.member[mine] = np.where(kept == NOBODY, -1, kept & NODE_MASK)
        views.made[mine] = np.where(kept == NOBODY, -1, now[:, None] - (kept >> NODE_BITS))
