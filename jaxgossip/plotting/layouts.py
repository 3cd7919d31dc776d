"""Layouts of small graphs: by structure if the graph has one, otherwise force-directed."""

import numpy as np

from jaxgossip.topology.graph import Circulant, Complete, Graph, Hypercube, Lattice, Star

STEPS = 300
"""Steps of the force layout."""


def layout(graph: Graph) -> np.ndarray:
    """Return the positions of the nodes in a picture, (n, 2) float64.

    Graphs with positions in space keep them. Rings, rewired rings and complete graphs are drawn on circles, lattices as
    boxes, hypercubes with one direction per bit, stars and trees on concentric circles, and all others force-directed.

    Args:
        graph: any graph of few nodes.
    """
    n = graph.n_nodes
    if graph.positions is not None and graph.positions.shape[1] >= 2:
        return graph.positions[:, :2]
    match graph.structure:
        case Circulant() | Complete():
            return _circle(n)
        case Lattice((_,), periodic):
            return _circle(n) if periodic else _circle(n, turn=0.9)
        case Lattice((_, columns), _):
            row, column = np.divmod(np.arange(n), columns)
            return np.stack([column, -row], axis=1).astype(np.float64)
        case Hypercube(dimension) if dimension:
            bits = np.arange(n)[:, None] >> np.arange(dimension) & 1
            # Slightly unequal lengths keep nodes from coinciding.
            angle, length = np.pi * np.arange(dimension) / dimension, 1 + 0.17 * np.arange(dimension)
            return bits @ np.stack([length * np.cos(angle), length * np.sin(angle)], axis=1)
        case Star():
            return np.concatenate([np.zeros((1, 2)), _circle(n - 1)])
        case _:
            pass
    if graph.name == "watts_strogatz":
        return _circle(n)
    if not graph.directed and graph.n_edges == n - 1 and graph.is_connected:
        return _tree(graph)
    return _forces(graph)


def _circle(n: int, turn: float = 1.0) -> np.ndarray:
    angle = np.pi / 2 - 2 * np.pi * turn * np.arange(n) / max(1, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _tree(graph: Graph) -> np.ndarray:
    """Place a tree's nodes on circles around the first; the sector of a subtree is proportional to its leaves."""
    n = graph.n_nodes
    parent, depth, order = np.full(n, -1), np.zeros(n, int), [0]
    for node in order:
        for other in graph.indices[graph.indptr[node] : graph.indptr[node + 1]].tolist():
            if other != parent[node]:
                parent[other], depth[other] = node, depth[node] + 1
                order.append(other)
    leaves = (np.bincount(parent[1:], minlength=n) == 0).astype(float)
    for node in reversed(order[1:]):
        leaves[parent[node]] += leaves[node]
    start, used = np.zeros(n), np.zeros(n)
    for node in order[1:]:
        above = parent[node]
        start[node] = start[above] + used[above]
        used[above] += leaves[node]
    angle = 2 * np.pi * (start + leaves / 2) / leaves[0]
    return depth[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _forces(graph: Graph) -> np.ndarray:
    """Place nodes by springs along links and repulsion between all nodes (Fruchterman and Reingold 1991).

    The iteration starts from the eigenvectors of the Laplacian's two smallest nonzero eigenvalues (Hall 1970), slightly
    perturbed, so that the blocks of a graph separate.
    """
    n = graph.n_nodes
    if n < 3:
        return _circle(n)
    linked = graph.to_scipy().toarray()
    linked = np.maximum(linked, linked.T)
    _, vectors = np.linalg.eigh(np.diag(linked.sum(axis=1)) - linked)
    x = vectors[:, 1:3] * np.sqrt(n) + 0.05 * np.random.default_rng(0).standard_normal((n, 2))
    length = 2 / np.sqrt(n)
    for heat in np.linspace(0.2, 0.002, STEPS):
        apart = x[:, None] - x[None]
        distance = np.maximum(np.sqrt((apart**2).sum(axis=2)), 1e-3)
        pull = linked * distance / length - length**2 / distance**2
        # A weak pull to the centre keeps components on the page.
        force = -(apart * pull[:, :, None]).sum(axis=1) - 0.5 * x
        size = np.maximum(np.linalg.norm(force, axis=1, keepdims=True), 1e-12)
        x = x + force / size * np.minimum(size, heat)
    return x
