"""Who can have heard of whom: time-respecting paths through contacts.

A node's news spreads to all that it is in contact with, directly or by others at the same time, and from these in later
contacts (Holme and Saramäki 2012, "Temporal networks"). No transfer takes any time here, so that nothing can be anywhere
earlier: this bounds what any gossip over the same contacts can have merged.
"""

from dataclasses import dataclass

import numpy as np

from jaxgossip.schedule.contacts.contacts import Contacts

MOST_ARRIVALS = 2**24
"""Largest number of pairs of a node and a source that are followed: 128 MiB."""


@dataclass(frozen=True, eq=False)
class Reachability:
    """When news can be where.

    Attributes:
        sources: (s,) int, the nodes whose news is followed, from time 0.
        arrives_s: (n, s) float64, when the news of each source can first be at each node, in seconds; 0 at the source
            itself, infinity where it never can be.
    """

    sources: np.ndarray
    arrives_s: np.ndarray

    @property
    def delays_s(self) -> np.ndarray:
        """(r,) float64, the delays of all pairs of a source and another node that can be reached, ascending."""
        others = self.arrives_s[np.arange(len(self.arrives_s))[:, None] != self.sources]
        return np.sort(others[np.isfinite(others)])

    @property
    def share(self) -> float:
        """Fraction of the pairs of a source and another node that can be reached; 1 in a network of one node."""
        pairs = self.arrives_s.size - self.sources.size
        return self.delays_s.size / pairs if pairs else 1.0


def reachability(contacts: Contacts, sources: np.ndarray | None = None) -> Reachability:
    """Return when news can be where, from time 0 on.

    Args:
        contacts: the contacts.
        sources: (s,) distinct nodes whose news is followed; None for all, or for as many at random as memory allows.
    """
    n = contacts.n_nodes
    if sources is None:
        most = max(1, MOST_ARRIVALS // n)
        sources = np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    size = sources.size
    arrives_s = np.full((n, size), np.inf)
    arrives_s[sources, np.arange(size)] = 0.0
    knows = [0] * n  # as bits: 1 << j for source j
    for j, source in enumerate(sources.tolist()):
        knows[source] |= 1 << j
    near: list[set[int]] = [set() for _ in range(n)]
    time_s, begins, first, second = _changes(contacts)
    for now_s, begun, u, v in zip(time_s.tolist(), begins.tolist(), first.tolist(), second.tolist(), strict=True):
        if not begun:
            near[u].discard(v)
            near[v].discard(u)
            continue
        near[u].add(v)
        near[v].add(u)
        if knows[u] == knows[v]:  # so do all that are in contact with either
            continue
        union = knows[u] | knows[v]
        for node in _component(near, u):
            fresh = union & ~knows[node]
            if fresh:
                knows[node] = union
                arrives_s[node, _bits(fresh, size)] = now_s
    return Reachability(sources, arrives_s)


def _changes(contacts: Contacts) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (time, whether a contact begins, u, v) of all beginnings and ends in order of time, ends first."""
    time_s = np.concatenate([contacts.t_s, contacts.end_s])
    begins = np.arange(time_s.size) < len(contacts)
    order = np.lexsort((begins, time_s))
    u, v = (np.tile(column, 2)[order] for column in (contacts.u, contacts.v))
    return time_s[order], begins[order], u, v


def _component(near: list[set[int]], start: int) -> set[int]:
    """Return all nodes that are connected with ``start`` at present."""
    found, ahead = {start}, [start]
    while ahead:
        more = near[ahead.pop()] - found
        found |= more
        ahead += more
    return found


def _bits(number: int, size: int) -> np.ndarray:
    """Return the places of the bits of a number below 2^size that are set."""
    array = np.frombuffer(number.to_bytes((size + 7) // 8, "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(array, bitorder="little"))
