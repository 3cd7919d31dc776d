"""Dense groups with few links between them: barbell, lollipop, two cliques, connected caveman."""

import numpy as np

from jaxgossip.core.errors import GraphError
from jaxgossip.topology.checks import node_count, whole_number
from jaxgossip.topology.graph import Graph, from_links
from jaxgossip.topology.memory_check import check_links
from jaxgossip.topology.structures import MAX_COMPLETE_EDGES


def barbell(nodes: int, *, path: int = 0) -> Graph:
    """Return two cliques of equal size, joined by an edge or by a path of nodes between them.

    Nodes are numbered from one end to the other. With cliques of m = n/2 nodes and one edge between them (path = 0), the
    gap under Metropolis–Hastings weights is (m + 2 − √(m² + 4m − 4))/(2(m + 1)), about 8/n²: few graphs mix more slowly.

    Args:
        nodes: number of nodes, including the path.
        path: number of nodes between the cliques; 0 joins them by an edge.

    Raises:
        GraphError: the cliques would have fewer than 2 nodes or unequal sizes, or there are too many links.
    """
    nodes = node_count("barbell", nodes, 4, hint="each clique needs two nodes")
    path = whole_number("barbell", "path", path, 0)
    if path > nodes - 4:
        raise GraphError(
            f"barbell: a path of {path} leaves {nodes - path} of {nodes} nodes for two cliques",
            hint=f"path at most {nodes - 4}, or at least {path + 4} nodes",
        )
    if (nodes - path) % 2:
        raise GraphError(
            f"barbell: {nodes} nodes without a path of {path} are no two cliques of equal size",
            hint=f"{nodes + 1} nodes, or path = {path + 1}",
        )
    size = (nodes - path) // 2
    first, second = _cliques("barbell", nodes, np.array([0, nodes - size]), size)
    chain = np.arange(size - 1, nodes - size)
    return _joined(nodes, (first, second), (chain, chain + 1), "barbell")


def two_cliques(nodes: int, *, bridges: int = 1) -> Graph:
    """Return two cliques of n/2 nodes each, joined by ``bridges`` edges that share no node.

    One bridge gives the :func:`barbell` without a path; with n/2 bridges every node has one neighbour on the other side.

    Args:
        nodes: number of nodes, even.
        bridges: number of edges between the cliques, at most n/2.

    Raises:
        GraphError: the number of nodes is odd or below 4, or there are too many bridges or links.
    """
    nodes = node_count("two_cliques", nodes, 4, hint="each clique needs two nodes")
    if nodes % 2:
        raise GraphError(
            f"two_cliques: {nodes} nodes are no two cliques of equal size", hint=f"{nodes - 1} or {nodes + 1} nodes"
        )
    size = nodes // 2
    bridges = whole_number("two_cliques", "bridges", bridges, 1, hint="without a bridge the cliques never agree")
    if bridges > size:
        raise GraphError(
            f"two_cliques: {bridges} bridges between cliques of {size} nodes share nodes",
            hint=f"bridges at most {size}",
        )
    links = np.arange(bridges)
    inside = _cliques("two_cliques", nodes, np.array([0, size]), size)
    return _joined(nodes, inside, (size - 1 - links, size + links), "two_cliques")


def lollipop(nodes: int, *, clique: int | None = None) -> Graph:
    """Return a clique with a path attached to its last node, the graph that random walks take longest to cover.

    Under Metropolis–Hastings weights ρ = 0.99656 with a clique of 16 and a path of 16 nodes.

    Args:
        nodes: number of nodes, clique and path together.
        clique: number of nodes in the clique, which are numbered first; half of all if left out.

    Raises:
        GraphError: the clique has fewer than 2 nodes or more than there are, or there are too many links.
    """
    nodes = node_count("lollipop", nodes, 2, hint="one node is a complete graph")
    size = whole_number("lollipop", "clique", max(2, nodes // 2) if clique is None else clique, 2, hint="an edge")
    if size > nodes:
        raise GraphError(f"lollipop: a clique of {size} has no room on {nodes} nodes", hint=f"clique at most {nodes}")
    inside = _cliques("lollipop", nodes, np.zeros(1, np.int64), size)
    tail = np.arange(size - 1, nodes - 1)
    return _joined(nodes, inside, (tail, tail + 1), "lollipop")


def connected_caveman(nodes: int, cliques: int) -> Graph:
    """Return a circle of cliques, in each of which one edge is rewired to the previous clique (Watts 1999).

    Every clique is a run of consecutive nodes. The edge between its first and its second node is rewired to join the first
    with the last node of the previous run. With cliques of size s = n/cliques, all nodes have s − 1 neighbours except the
    second (s − 2) and the last (s). "Networks, dynamics, and the small-world phenomenon".

    Args:
        nodes: number of nodes, a multiple of cliques.
        cliques: number of cliques, at least 2.

    Raises:
        GraphError: cliques does not divide nodes, the cliques have fewer than 3 nodes, or there are too many links.
    """
    nodes = node_count("connected_caveman", nodes, 6, hint="two cliques of three are the smallest")
    cliques = whole_number("connected_caveman", "cliques", cliques, 2, hint="one clique is a complete graph")
    size = nodes // cliques
    if nodes % cliques:
        around = [value for value in (size * cliques, (size + 1) * cliques) if value >= 3 * cliques]
        raise GraphError(
            f"connected_caveman: {nodes} nodes are no {cliques} cliques of equal size",
            hint=f"{' or '.join(map(str, around)) or 3 * cliques} nodes",
        )
    if size < 3:
        raise GraphError(
            f"connected_caveman: {cliques} cliques of {nodes} nodes have {size} each",
            hint=f"each needs three: at most {nodes // 3} cliques, or use ring",
        )
    starts = np.arange(cliques) * size
    first, second = _cliques("connected_caveman", nodes, starts, size)
    kept = (first % size != 0) | (second != first + 1)
    inside = (first[kept], second[kept])
    return _joined(nodes, inside, (starts, (starts - 1) % nodes), "connected_caveman")


def _cliques(topology: str, nodes: int, starts: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (first, second), first < second: all pairs within the runs of ``size`` nodes that begin at ``starts``.

    Raises:
        GraphError: there are more links than a complete graph may list, or than fit into memory.
    """
    links = starts.size * size * (size - 1)
    if links > MAX_COMPLETE_EDGES:
        raise GraphError(
            f"{topology}: cliques of {size:,} nodes have {links:,} directed links, too many to list",
            hint="fewer nodes, or smaller cliques",
        )
    check_links(topology, nodes, links + 2 * nodes, hint="fewer nodes, or smaller cliques")
    lower, higher = np.triu_indices(size, 1)
    return (starts[:, None] + lower).ravel(), (starts[:, None] + higher).ravel()


def _joined(nodes: int, inside: tuple[np.ndarray, ...], between: tuple[np.ndarray, ...], name: str) -> Graph:
    first, second = (np.concatenate(pair) for pair in zip(inside, between, strict=True))
    return from_links(nodes, first, second, name=name)
