"""Distances between nodes in hops, by breadth-first search, and the diameter, by as few searches as possible."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from jaxgossip.core.arguments import guarded
from jaxgossip.topology.graph import Circulant, Complete, Graph, Hypercube, Lattice, Star

EXACT_NODES = 3000
"""Up to this size the diameter is always exact, at one search per node at most."""
SEARCHES = 40
"""Limit on the searches for the diameter of a larger graph; if they do not determine it, it is a lower bound."""

Search = Callable[[int], np.ndarray]
"""(node) -> (n,) int64, the distance of the node to every node; −1 for those that cannot be reached."""


@dataclass(frozen=True)
class Diameter:
    """The length of the longest shortest path.

    Attributes:
        hops: the diameter, or a lower bound on it.
        exact: whether ``hops`` is the diameter.
    """

    hops: int
    exact: bool


def distances(graph: Graph, node: int) -> np.ndarray:
    """Return (n,) int64: the number of hops from every node to ``node``, along links; −1 if there is no path.

    Args:
        graph: any graph.
        node: the node that hears.
    """
    return _searcher(graph)(node)


@guarded
def diameter(graph: Graph) -> Diameter | None:
    """Return the diameter, or None if the graph is not (strongly) connected and the diameter infinite.

    It has a closed form for lattices, hypercubes, stars and complete graphs, and takes one search on circulants, whose
    nodes are all equivalent. Otherwise each search bounds the eccentricity of every node by ε(v) ≤ ε(u) + d(u, v) and
    ε(v) ≥ max(d(u, v), ε(u) − d(u, v)), until no node can exceed the largest one so far (Takes and Kosters 2011,
    "Determining the diameter of small world networks"); the first two searches are the double sweep. Directed graphs are
    searched from all nodes, or beyond ``EXACT_NODES`` from random ones.

    Args:
        graph: any graph.
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
    largest, node, farthest = 0, int(np.argmax(degrees)), True
    for count in range(searches):
        hops = search(node)
        reach = int(hops.max())
        largest = max(largest, reach)
        low = np.maximum(low, np.maximum(hops, reach - hops))
        high = np.minimum(high, reach + hops)
        low[node] = high[node] = reach
        open_nodes &= (high > largest) & (low < high)
        if not open_nodes.any():
            return Diameter(largest, exact=True)
        # Alternate: a node of high upper bound raises the lower bound of the diameter, one of low lower bound reduces the
        # upper bounds of the others.
        if count == 0:
            node = int(np.argmax(np.where(open_nodes, hops, -1)))
        elif farthest:
            node = int(np.argmin(np.where(open_nodes, low * n - degrees, np.iinfo(np.int64).max)))
        else:
            node = int(np.argmax(np.where(open_nodes, high * n + degrees, -1)))
        farthest = not farthest
    return Diameter(largest, exact=False)


def _searcher(graph: Graph) -> Search:
    n = graph.n_nodes
    ones = np.ones(graph.indices.size)
    csr = (ones, graph.indices, graph.indptr.astype(np.int32) if ones.size < 2**31 else graph.indptr)
    links = sp.csr_array(csr, shape=(n, n))

    def search(node: int) -> np.ndarray:
        order, before = csgraph.breadth_first_order(links, node, directed=True, return_predecessors=True)
        place = np.empty(n, np.int64)
        place[order] = np.arange(order.size)
        # In breadth-first order the places of the predecessors never decrease, so bisection finds where each level ends.
        parent = place[before[order[1:]]]
        ends = [0, 1]
        while ends[-1] < order.size:
            ends.append(1 + int(np.searchsorted(parent, ends[-1])))
        hops = np.full(n, -1)
        hops[order] = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        return hops

    return search
