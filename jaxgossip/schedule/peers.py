"""Whom a node calls.

    uniform    any of its neighbours alike
    weighted   neighbour j with probability W_ij of a weight rule; with probability W_ii nobody
    matching   its partner in a random perfect matching of all nodes, drawn anew every cycle
    newscast   any of a view of some twenty nodes, which gossip keeps fresh (:mod:`.newscast`)

Row i of a graph lists whom i hears. What i pushes goes to those who hear it, along the links' direction; when it pulls, it
asks those that it hears. An exchange goes both ways, and needs links that do.

Pairwise averaging with probabilities W is randomised gossip (Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip
algorithms"); uniform choice among neighbours is the walk of gossip learning (Ormándi, Hegedűs and Jelasity 2013).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.arguments import guarded, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry
from jaxgossip.schedule import newscast as views
from jaxgossip.topology import WEIGHT_RULES, Graph
from jaxgossip.topology.graph import csr_lists, transposed
from jaxgossip.topology.structures import Circulant, Complete

Way = Literal["push", "pull", "both"]
"""Which way models travel on a call: to the one that is called, from it, or both."""

Choice = Callable[[int, np.ndarray, np.random.Generator, np.ndarray | None], np.ndarray]
"""(cycle, node (m,) int32, rng, online (n,) bool or None for everybody) -> (m,) int32 whom each calls; −1 for nobody."""


@dataclass(frozen=True)
class Peers:
    """Whom nodes call.

    Attributes:
        begin: way -> a choice, which may remember what it was asked in earlier cycles of a run, and knows of no other run.
        changes: whether the choice depends on the cycle and on who is online.
        n_nodes: of how many nodes it knows; None: of any.
    """

    begin: Callable[[Way], Choice]
    changes: bool = False
    n_nodes: int | None = None


@dataclass
class Preferences:
    """Whom nodes have come to prefer, which nobody knows before the models have run.

    Attributes:
        prefers: (n, n) bool, row i: whom node i calls from now on, if there is one of them among those it may call; None:
            nobody prefers anybody yet.
    """

    prefers: np.ndarray | None = None


def preferred(graph: Graph, way: Way, prefers: np.ndarray) -> Choice:
    """Return a uniform choice among those that nodes prefer; who prefers none of its neighbours calls all of them.

    Args:
        graph: who hears whom.
        way: which way models travel.
        prefers: (n, n) bool.
    """
    called = _called(graph, way)
    caller = np.repeat(np.arange(graph.n_nodes), called.degrees)
    kept = prefers[caller, called.indices]
    content = np.bincount(caller[kept], minlength=graph.n_nodes) > 0
    kept |= ~content[caller]
    lists = csr_lists(graph.n_nodes, caller[kept], called.indices[kept])
    return _any_of(Graph(graph.n_nodes, graph.name, directed=True, lists=lists))


def checked(choice: Choice, n_nodes: int) -> Choice:
    """Return a choice that says so where it calls a node which does not exist, or the caller itself.

    Args:
        choice: any, a user's own perhaps.
        n_nodes: number of nodes.
    """

    def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, online: np.ndarray | None) -> np.ndarray:
        peer = choice(cycle, node, rng, online)
        if peer.size and (peer.max() >= n_nodes or (peer == node).any()):
            wrong = int(np.argmax((peer >= n_nodes) | (peer == node)))
            raise InputError(
                f"peers: node {node[wrong]} calls node {peer[wrong]}",
                hint=f"call another of the nodes 0 to {n_nodes - 1}, or -1 for nobody",
            )
        return peer

    return choose


@guarded
def uniform(graph: Graph) -> Peers:
    """Return a random neighbour.

    Args:
        graph: who hears whom.
    """
    return Peers(lambda way: _any_of(_called(graph, way)), n_nodes=graph.n_nodes)


@guarded
def weighted(graph: Graph, *, weights: str = "metropolis_hastings") -> Peers:
    """Return a random neighbour, each with the probability that a weight rule gives it; what is left over is silence.

    Args:
        graph: who hears whom.
        weights: the weight rule.

    Raises:
        InputError: a rule with negative weights, or weights of which those that a node gives add up to more than one.
    """
    W = WEIGHT_RULES[weights](graph)
    if np.min(W.edge, initial=0.0) < 0 or np.min(W.self_weight) < 0:
        raise InputError(
            f"weighted peers: {weights} gives negative weights on {graph.name}", hint="metropolis_hastings"
        )

    def begin(way: Way) -> Choice:
        called = _called(graph, way)
        if np.ndim(W.edge) == 0 and graph.regular_degree is not None and not graph.directed:
            return _sometimes(_any_of(called), float(W.edge) * graph.regular_degree)
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


@guarded
def matching(n_nodes: int) -> Peers:
    """Return a partner for every node (but one, if their number is odd), drawn anew every cycle.

    In a two-way exchange only one of the two calls. Made for the synchronous clock; needs no graph.

    Args:
        n_nodes: number of nodes.
    """

    def begin(way: Way) -> Choice:
        partner = np.full(n_nodes, -1, np.int32)
        drawn = -1

        def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, _: np.ndarray | None) -> np.ndarray:
            nonlocal drawn
            if drawn != cycle:
                drawn = cycle
                one, other = rng.permutation(np.arange(n_nodes, dtype=np.int32))[: n_nodes // 2 * 2].reshape(2, -1)
                partner.fill(-1)
                partner[one] = other
                if way != "both":
                    partner[other] = one
            return partner[node]

        return choose

    return Peers(begin, changes=True, n_nodes=n_nodes)


@guarded
def newscast(n_nodes: int, rng: np.random.Generator, *, view: int = 20) -> Peers:
    """Return a random member of a view that nodes keep fresh by gossip: no graph, and a network that mends itself.

    Args:
        n_nodes: number of nodes.
        rng: draws the first views.
        view: how many nodes each knows.
    """
    size = min(whole("newscast peers", "view", view, 1), n_nodes - 1)
    first = views.random_views(n_nodes, size, rng)

    def begin(_: Way) -> Choice:
        state = first
        stepped = -1

        def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, online: np.ndarray | None) -> np.ndarray:
            nonlocal state, stepped
            while stepped < cycle:
                stepped += 1
                state = views.step(state, stepped, online, rng)
            return views.draw(state, node, rng)

        return choose

    return Peers(begin, changes=True, n_nodes=n_nodes)


def _called(graph: Graph, way: Way) -> Graph:
    """Return the graph of which row i lists whom i calls."""
    if way == "both" and graph.directed:
        raise InputError(
            f"{graph.name} is directed: not every node can answer whom it hears",
            hint="use an undirected graph, or exchange 'push', 'pull' or 'split_push'",
        )
    return transposed(graph) if way == "push" else graph


def _any_of(graph: Graph) -> Choice:
    """Return a uniform choice from the rows of a graph, of whose lists none is made where its structure tells."""
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


def _sometimes(choice: Choice, probability: float) -> Choice:
    def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, online: np.ndarray | None) -> np.ndarray:
        peer = choice(cycle, node, rng, online)
        return np.where(rng.random(node.size) < probability, peer, np.int32(-1))

    return choose


def _with_probabilities(W: sp.csr_array) -> Choice:
    """Return a choice of j by node i with probability W_ij (n, n); of nobody with what is left."""
    row, peer = W.nonzero()
    linked = row != peer
    probability = W.data[W.data != 0][linked]
    row, peer = row[linked], np.append(peer[linked], -1).astype(np.int32)
    end = np.cumsum(np.bincount(row, minlength=W.indptr.size - 1))
    # Row i's sums lie in [i, i + 1): all rows are one ascending list, and one bisection serves all nodes.
    sums = np.cumsum(probability)
    sums += row - np.concatenate([[0.0], sums])[np.concatenate([[0], end[:-1]])][row]

    def choose(_: int, node: np.ndarray, rng: np.random.Generator, __: np.ndarray | None) -> np.ndarray:
        place = np.searchsorted(sums, node + rng.random(node.size), side="right")
        return np.where(place < end[node], peer[place], np.int32(-1))

    return choose


PEERS = Registry("peer choice", [uniform, weighted, matching, newscast])
"""Whom nodes call, by name."""
