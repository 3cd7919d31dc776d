"""Neighbours in a graph: drawn uniformly, by weights, or among those that a node prefers."""

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import InputError
from jaxgossip.schedule.peers.choice import Choice, Peers, Way
from jaxgossip.topology import WEIGHT_RULES, Graph
from jaxgossip.topology.graph import csr_lists, transposed
from jaxgossip.topology.structures import Circulant, Complete


@guarded
def uniform(graph: Graph) -> Peers:
    """Return a random neighbour.

    Args:
        graph: who hears whom.
    """
    return Peers(lambda way: _any_of(_call_graph(graph, way)), n_nodes=graph.n_nodes)


@guarded
def weighted(graph: Graph, *, weights: str = "metropolis_hastings") -> Peers:
    """Return a random neighbour, drawn with the weights of a weight rule; with its self-weight, a node calls nobody.

    Args:
        graph: who hears whom.
        weights: the weight rule.

    Raises:
        InputError: the rule is unknown or does not suit the graph, a weight is negative, or nodes push and the weights
            are not doubly stochastic.
    """
    W = WEIGHT_RULES[weights](graph)
    if np.min(W.edge, initial=0.0) < 0 or np.min(W.self_weight) < 0:
        raise InputError(
            f"weighted peers: {weights} gives negative weights on {graph.name}", hint="metropolis_hastings"
        )

    def begin(way: Way) -> Choice:
        callable_graph = _call_graph(graph, way)
        if np.ndim(W.edge) == 0 and graph.regular_degree is not None and not graph.directed:
            return _thinned(_any_of(callable_graph), float(W.edge) * graph.regular_degree)
        matrix = W.to_scipy()
        if way != "pull":
            matrix = matrix.T.tocsr()
            if not W.is_doubly_stochastic:
                raise InputError(
                    f"weighted peers: {weights} on {graph.name} is not doubly stochastic",
                    hint="a node pushes to j with probability W_ji, which have to sum to one: use metropolis_hastings or pull",
                )
        return _with_probabilities(sp.csr_array(matrix))

    return Peers(begin, n_nodes=graph.n_nodes)


def preferred(graph: Graph, way: Way, prefers: np.ndarray) -> Choice:
    """Return a uniform choice among preferred neighbours, or among all neighbours of nodes that prefer none of them.

    Args:
        graph: who hears whom.
        way: direction in which models are sent.
        prefers: (n, n) bool, whether the node of the row prefers that of the column.
    """
    callable_graph = _call_graph(graph, way)
    caller = np.repeat(np.arange(graph.n_nodes), callable_graph.degrees)
    kept = prefers[caller, callable_graph.indices]
    has_preferred = np.bincount(caller[kept], minlength=graph.n_nodes) > 0
    kept |= ~has_preferred[caller]
    lists = csr_lists(graph.n_nodes, caller[kept], callable_graph.indices[kept])
    return _any_of(Graph(graph.n_nodes, graph.name, directed=True, lists=lists))


def _call_graph(graph: Graph, way: Way) -> Graph:
    """Return the graph whose row i lists the nodes that i may call."""
    if way == "both" and graph.directed:
        raise InputError(
            f"{graph.name} is directed: not every node can answer whom it hears",
            hint="use an undirected graph, or exchange 'push', 'pull' or 'split_push'",
        )
    return transposed(graph) if way == "push" else graph


def _any_of(graph: Graph) -> Choice:
    """Return a uniform choice from the rows of a graph, without listing them if its structure makes that unnecessary."""
    n, degree, structure = graph.n_nodes, graph.regular_degree, graph.structure

    def nobody(_: int, node: np.ndarray, __: np.random.Generator, ___: np.ndarray | None) -> np.ndarray:
        return np.full(node.size, -1, np.int32)

    def others(_: int, node: np.ndarray, rng: np.random.Generator, __: np.ndarray | None) -> np.ndarray:
        peer = rng.integers(n - 1, size=node.size, dtype=np.int32)
        peer += peer >= node
        return peer

    if degree == 0:
        return nobody
    if isinstance(structure, Complete):
        return others
    if isinstance(structure, Circulant):
        offsets = np.unique(np.asarray(structure.offsets) % n)

        def shifted(_: int, node: np.ndarray, rng: np.random.Generator, __: np.ndarray | None) -> np.ndarray:
            peer = node + offsets[rng.integers(offsets.size, size=node.size, dtype=np.int32)]
            peer -= np.where(peer >= n, n, 0)
            return peer.astype(np.int32)

        return shifted
    indices = graph.indices
    if degree is not None:

        def of_table(_: int, node: np.ndarray, rng: np.random.Generator, __: np.ndarray | None) -> np.ndarray:
            place = node * np.int64(degree)
            place += rng.integers(degree, size=node.size, dtype=np.int32)
            return indices[place]

        return of_table
    indptr, degrees = graph.indptr, graph.degrees

    def of_lists(_: int, node: np.ndarray, rng: np.random.Generator, __: np.ndarray | None) -> np.ndarray:
        own = degrees[node]
        place = indptr[node] + (rng.random(node.size) * own).astype(np.int64)
        return np.where(own > 0, indices[np.minimum(place, indices.size - 1)], np.int32(-1))

    return of_lists


def _thinned(choice: Choice, probability: float) -> Choice:
    """Return a choice that calls with the given probability, and otherwise nobody."""

    def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, online: np.ndarray | None) -> np.ndarray:
        peer = choice(cycle, node, rng, online)
        return np.where(rng.random(node.size) < probability, peer, np.int32(-1))

    return choose


def _with_probabilities(W: sp.csr_array) -> Choice:
    """Return a choice of j by node i with probability W_ij, j ≠ i, and of nobody with the remaining probability."""
    row, peer = W.nonzero()
    linked = row != peer
    probability = W.data[W.data != 0][linked]
    row, peer = row[linked], np.append(peer[linked], -1).astype(np.int32)
    end = np.cumsum(np.bincount(row, minlength=W.indptr.size - 1))
    # The cumulative sums of row i lie in [i, i + 1), so that all rows form one ascending list for a single bisection.
    sums = np.cumsum(probability)
    sums += row - np.concatenate([[0.0], sums])[np.concatenate([[0], end[:-1]])][row]

    def choose(_: int, node: np.ndarray, rng: np.random.Generator, __: np.ndarray | None) -> np.ndarray:
        place = np.searchsorted(sums, node + rng.random(node.size), side="right")
        return np.where(place < end[node], peer[place], np.int32(-1))

    return choose
