"""The graph: who hears whom, as host-side NumPy values.

Row ``i`` of a graph lists the nodes whose messages node ``i`` receives, sorted and without ``i`` itself. Undirected
graphs list every edge in both rows. A graph with a regular structure stores that, and builds its lists only on demand: a
ring of ten million nodes is two offsets.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import GraphError
from jaxgossip.core.units import counted
from jaxgossip.topology.checks import whole_number
from jaxgossip.topology.memory_check import check_links
from jaxgossip.topology.order import Order
from jaxgossip.topology.structures import Circulant, Complete, Hypercube, Lattice, Star, Structure

TABLE_SHARE = 0.1
"""Memory of a link of a regular structure, whose lists are one table, relative to other links: 4 to 5 bytes."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A fixed communication graph.

    Attributes:
        n_nodes: number of nodes.
        name: name of the graph in reports.
        structure: the regular pattern, if there is one; mixing then needs no indices.
        directed: whether a node may hear another that does not hear it.
        lists: (indptr (n+1,) int64, indices (m,) int32) in CSR form; None if the structure can generate them.
        labels: the user's names of the nodes, if they are not 0..n-1; node i is ``labels[i]``.
        positions: (n, D) float64, positions of the nodes in space, for graphs that have them.
        order: the rows of memory that hold the nodes' models; None if row i holds node i.

    Raises:
        GraphError: there is no node, neither ``lists`` nor a ``structure``, a structure that does not fit the number of
            nodes, or labels or positions of another number of nodes.
    """

    n_nodes: int
    name: str
    structure: Structure | None = None
    directed: bool = False
    lists: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)
    labels: tuple[str, ...] | None = field(default=None, repr=False)
    positions: np.ndarray | None = field(default=None, repr=False)
    order: Order | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        whole_number("graph", "n_nodes", self.n_nodes, 1)
        if self.lists is None and self.structure is None:
            raise GraphError("a graph needs its neighbour lists or a structure that makes them")
        if self.structure is not None:
            self.structure.check(self.n_nodes, directed=self.directed)
        for name, rows in (("labels", self.labels), ("positions", self.positions)):
            if rows is not None and len(rows) != self.n_nodes:
                raise GraphError(f"{self.name}: {len(rows)} {name} for {self.n_nodes} nodes")

    def __repr__(self) -> str:
        words = [counted(self.n_nodes, "node")]
        degree = None if self.structure is None else self.structure.regular_degree(self.n_nodes)
        if degree is not None:
            words.append(f"degree {degree:,}")
        elif self.lists is not None:  # none are made for the sake of a name
            words.append(counted(self.n_edges, "link" if self.directed else "edge"))
        return f"Graph({self.name}: {', '.join([*words, *['directed'] * self.directed])})"

    @cached_property
    def _csr(self) -> tuple[np.ndarray, np.ndarray]:
        if self.lists is not None:
            return self.lists
        assert self.structure is not None
        degree = self.structure.regular_degree(self.n_nodes)
        if degree is None:
            axes = len(self.structure.shape) if isinstance(self.structure, Lattice) else 1
            check_links(self.name, self.n_nodes, 2 * axes * self.n_nodes)
            pairs = [np.empty((2, 0), np.int64), *map(np.stack, self.structure.sources(self.n_nodes))]
            receivers, sources = np.concatenate(pairs, axis=1)
            return csr_lists(self.n_nodes, receivers, sources)
        if isinstance(self.structure, Complete):
            self.structure.require_room(self.n_nodes)
        check_links(self.name, self.n_nodes, self.n_nodes * degree, share=TABLE_SHARE)
        # Rows of equal length form a table, which needs no sort by receiver and a third of the memory.
        if isinstance(self.structure, Complete):
            table = self.structure.table(self.n_nodes)
        else:
            table = np.empty((self.n_nodes, degree), np.int32)
            for slot, (receivers, sources) in enumerate(self.structure.sources(self.n_nodes)):
                table[receivers, slot] = sources
            table.sort(axis=1)
        return np.arange(self.n_nodes + 1, dtype=np.int64) * degree, table.ravel()

    @property
    def indptr(self) -> np.ndarray:
        """(n+1,) int64: row i is ``indices[indptr[i]:indptr[i+1]]``."""
        return self._csr[0]

    @property
    def indices(self) -> np.ndarray:
        """(m,) int32: the nodes heard, row by row, each row sorted."""
        return self._csr[1]

    @cached_property
    def degrees(self) -> np.ndarray:
        """(n,) int64: how many nodes each node hears."""
        return np.full(self.n_nodes, self.regular_degree) if self.regular_degree is not None else np.diff(self.indptr)

    @cached_property
    def out_degrees(self) -> np.ndarray:
        """(n,) int64: how many nodes hear each node."""
        if not self.directed or isinstance(self.structure, Circulant):
            return self.degrees
        return np.bincount(self.indices, minlength=self.n_nodes)

    @cached_property
    def regular_degree(self) -> int | None:
        """The common degree of all nodes, or None."""
        if self.structure is not None:
            known = self.structure.regular_degree(self.n_nodes)
            if known is not None:
                return known
        degrees = np.diff(self.indptr)
        return int(degrees[0]) if (degrees == degrees[0]).all() else None

    @property
    def n_links(self) -> int:
        """Number of directed links: messages per round if every node sends to all who hear it."""
        return self.n_nodes * self.regular_degree if self.regular_degree is not None else int(self.degrees.sum())

    @property
    def n_edges(self) -> int:
        """Number of edges, where an undirected edge and a directed link both count once."""
        return self.n_links if self.directed else self.n_links // 2

    @cached_property
    def n_components(self) -> int:
        """Number of (weakly) connected components."""
        if isinstance(self.structure, Complete | Hypercube | Lattice | Star):
            return 1
        if isinstance(self.structure, Circulant):
            return int(np.gcd.reduce([self.n_nodes, *self.structure.offsets]))
        return int(csgraph.connected_components(self.to_scipy(), directed=self.directed, connection="weak")[0])

    @property
    def is_connected(self) -> bool:
        """Whether information from any node can reach any other; for directed graphs, strong connectivity."""
        if not self.directed or isinstance(self.structure, Circulant):
            return self.n_components == 1
        return int(csgraph.connected_components(self.to_scipy(), directed=True, connection="strong")[0]) == 1

    def name_of(self, node: int) -> str:
        """Return the user's name of a node: its label, or else its number."""
        return self.labels[node] if self.labels is not None else str(node)

    def to_scipy(self) -> sp.csr_array:
        """Return the adjacency matrix as a scipy CSR array (n, n) of float64: row i has ones at the nodes that i hears."""
        ones = np.ones(self.indices.size)
        return sp.csr_array((ones, self.indices, self.indptr), shape=(self.n_nodes, self.n_nodes))

    def edges(self) -> np.ndarray:
        """Return the edges, (m, 2) int: the lower node first if undirected, (receiver, source) if directed."""
        receivers = np.repeat(np.arange(self.n_nodes), np.diff(self.indptr))
        pairs = np.stack([receivers, self.indices], axis=1)
        return pairs if self.directed else pairs[pairs[:, 0] < pairs[:, 1]]

    def describe(self) -> dict[str, Any]:
        """Return the graph's entries of a report: name, nodes, edges, degrees and components."""
        return {
            "name": self.name,
            "nodes": self.n_nodes,
            "edges": self.n_edges,
            "directed": self.directed,
            "degree_min": int(self.degrees.min()),
            "degree_mean": float(self.degrees.mean()),
            "degree_max": int(self.degrees.max()),
            "components": self.n_components,
        }


def transposed(graph: Graph) -> Graph:
    """Return the graph with every link reversed; an undirected graph is returned as it is."""
    if not graph.directed:
        return graph
    if isinstance(graph.structure, Circulant):
        opposite = Circulant(tuple(-offset for offset in graph.structure.offsets))
        return Graph(graph.n_nodes, graph.name, opposite, directed=True)
    receivers = np.repeat(np.arange(graph.n_nodes), graph.degrees)
    lists = csr_lists(graph.n_nodes, graph.indices, receivers)
    return Graph(graph.n_nodes, graph.name, directed=True, lists=lists, order=graph.order)


def csr_lists(n_nodes: int, receivers: np.ndarray, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted CSR lists without duplicates from link arrays (m,): ``receivers[e]`` hears ``sources[e]``."""
    matrix = sp.csr_array((np.ones(receivers.size, np.int8), (receivers, sources)), shape=(n_nodes, n_nodes))
    matrix.sum_duplicates()
    matrix.sort_indices()
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)


@guarded
def from_links(
    n_nodes: int,
    first: np.ndarray,
    second: np.ndarray,
    *,
    name: str,
    directed: bool = False,
) -> Graph:
    """Return the graph in which ``first[e]`` hears ``second[e]`` (and the reverse, unless directed).

    Args:
        n_nodes: number of nodes.
        first: (m,) int, receivers.
        second: (m,) int, sources.
        name: name of the graph in reports.
        directed: whether links keep their direction; otherwise each is entered in both rows. Duplicates count once.

    Raises:
        GraphError: a node number is outside 0..n-1, or a node has a link to itself.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 1 or first.shape != second.shape:
        raise GraphError(
            f"{name}: links from {first.shape} to {second.shape} nodes", hint="one receiver and one source a link"
        )
    for ends in (first, second):
        if ends.size and ends.dtype.kind not in "iu":
            raise GraphError(f"{name}: nodes are given as {ends.dtype}", hint="node numbers are integers")
        if ends.size and (ends.min() < 0 or ends.max() >= n_nodes):
            culprit = int(ends.min() if ends.min() < 0 else ends.max())
            raise GraphError(f"{name}: node {culprit} does not exist", hint=f"nodes are numbered 0 to {n_nodes - 1}")
    if (first == second).any():
        raise GraphError(
            f"{name}: node {int(first[first == second][0])} has a link to itself",
            hint="a node's own weight is the weight rule's business: leave self-links out",
        )
    if not directed:
        first, second = np.concatenate([first, second]), np.concatenate([second, first])
    return Graph(n_nodes, name, directed=directed, lists=csr_lists(n_nodes, first, second))


def from_pattern(matrix: sp.csr_array, name: str) -> Graph:
    """Return the graph in which node i hears node j if ``matrix[i, j]`` is nonzero; the diagonal is ignored.

    Args:
        matrix: (n, n) of any numbers; an asymmetric pattern gives a directed graph.
        name: name of the graph in reports.
    """
    n_nodes = matrix.indptr.size - 1
    rows, columns = matrix.nonzero()
    linked = rows != columns
    lists = csr_lists(n_nodes, rows[linked], columns[linked])
    reverse = csr_lists(n_nodes, columns[linked], rows[linked])
    directed = not all(np.array_equal(*pair) for pair in zip(lists, reverse, strict=True))
    return Graph(n_nodes, name, directed=directed, lists=lists)
