"""How far apart the nodes of a graph are, in hops: breadth-first searches, and the diameter by as few as it takes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from jaxgossip.topology.graph import Circulant, Complete, Graph, Hypercube, Lattice, Star

EXACT_NODES = 3000
"""Up to this size a diameter is found whatever it takes: one search a node at most."""
SEARCHES = 40
"""Searches for the diameter of a larger graph; where they do not settle it, it is an estimate."""

Search = Callable[[int], np.ndarray]
"""From a node to (n,) int64, its distance to every node; −1 where no way leads."""


@dataclass(frozen=True)
class Diameter:
    """The longest of all shortest ways.

    Attributes:
        hops: the diameter, or the longest shortest way that was found.
        exact: whether no longer one exists; if not, ``hops`` is a lower bound.
    """

    hops: int
    exact: bool


def distances(graph: Graph, node: int) -> np.ndarray:
    """Return (n,) int64: hops that ``node``'s hearing reaches back to every node; −1 where no way leads.

    Args:
        graph: any.
        node: where the search begins.
    """
    return _searcher(graph)(node)


def diameter(graph: Graph) -> Diameter | None:
    """Return the diameter; None if the graph is not (strongly) connected: it is infinite then.

    In closed form for lattices, hypercubes, stars and complete graphs, by one search on circulants, where every node sees
    the same. Else the searches begin at far ends and bound the eccentricity of every node by ε(v) ≤ ε(u) + d(u, v),
    ε(v) ≥ max(d(u, v), ε(u) − d(u, v)), until no node can have a larger one than was found (Takes and Kosters 2011,
    "Determining the diameter of small world networks"); the first two are the double sweep. Directed graphs beyond
    ``EXACT_NODES`` are searched from random nodes.

    Args:
        graph: any.
    """
    n, structure = graph.n_nodes, graph.structure
    if not graph.is_connected:
        return None
    match structure:
        case Lattice(shape, periodic):
            return Diameter(sum(side // 2 if periodic else side - 1 for side in shape), exact=True)
        case Hypercube(dimension):
            return Diameter(dimension, exact=True)
        case Complete():
            return Diameter(int(n > 1), exact=True)
        case Star():
            return Diameter(min(n - 1, 2), exact=True)
        case _:
            pass
    search = _searcher(graph)
    if isinstance(structure, Circulant):
        return Diameter(int(search(0).max()), exact=True)
    if graph.directed:
        exact = n <= EXACT_NODES
        nodes = np.arange(n) if exact else np.random.default_rng(0).choice(n, SEARCHES, replace=False)
        return Diameter(max(int(search(int(node)).max()) for node in nodes), exact=exact)
    return _bounded(search, graph.degrees, n if n <= EXACT_NODES else SEARCHES)


def _bounded(search: Search, degrees: np.ndarray, searches: int) -> Diameter:
    n = degrees.size
    low, high = np.zeros(n, np.int64), np.full(n, 2 * n)
    open_nodes = np.ones(n, bool)
    found, node, farthest = 0, int(np.argmax(degrees)), True
    for count in range(searches):
        from_here = search(node)
        reach = int(from_here.max())
        found = max(found, reach)
        low = np.maximum(low, np.maximum(from_here, reach - from_here))
        high = np.minimum(high, reach + from_here)
        low[node] = high[node] = reach
        open_nodes &= (high > found) & (low < high)
        if not open_nodes.any():
            return Diameter(found, exact=True)
        # In turns: the most that a node could see raises the bound below, the least lowers the bounds above.
        if count == 0:
            node = int(np.argmax(np.where(open_nodes, from_here, -1)))
        elif farthest:
            node = int(np.argmin(np.where(open_nodes, low * n - degrees, np.iinfo(np.int64).max)))
        else:
            node = int(np.argmax(np.where(open_nodes, high * n + degrees, -1)))
        farthest = not farthest
    return Diameter(found, exact=False)


def _searcher(graph: Graph) -> Search:
    n = graph.n_nodes
    ones = np.ones(graph.indices.size)
    parts = (ones, graph.indices, graph.indptr.astype(np.int32) if ones.size < 2**31 else graph.indptr)
    links = sp.csr_array(parts, shape=(n, n))

    def search(node: int) -> np.ndarray:
        order, before = csgraph.breadth_first_order(links, node, directed=True, return_predecessors=True)
        place = np.empty(n, np.int64)
        place[order] = np.arange(order.size)
        # In the order of a search, predecessors never step back: a level ends where the next one's begin.
        parent = place[before[order[1:]]]
        ends = [0, 1]
        while ends[-1] < order.size:
            ends.append(1 + int(np.searchsorted(parent, ends[-1])))
        found = np.full(n, -1)
        found[order] = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        return found

    return search
