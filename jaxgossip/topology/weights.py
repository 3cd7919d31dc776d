"""Weight rules: the weights with which nodes average the models that they hear.

A rule turns a graph into the mixing matrix W: W_ij > 0 only if i hears j (or i = j), and every row sums to one, so
that consensus is preserved. If the columns sum to one as well, W preserves the mean of the models.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from jaxgossip.core.arguments import check_fields, guarded, reals
from jaxgossip.core.errors import GraphError
from jaxgossip.topology.balancing import balance, balance_symmetric
from jaxgossip.topology.checks import square_matrix
from jaxgossip.topology.graph import Circulant, Graph, from_pattern
from jaxgossip.topology.laplacian import laplacian_extremes
from jaxgossip.topology.memory_check import check_links

TOLERANCE = 1e-9
"""Largest deviation of a sum of weights from one."""


@dataclass(frozen=True, eq=False)
class Weights:
    """The mixing matrix W of a graph, whose rows are checked to sum to one.

    A weight common to all links is stored as one number, so that a structured graph needs no list; then W = I − edge·L.
    Weights may be negative (the best constant gives some nodes a negative self-weight).

    Attributes:
        graph: who hears whom.
        edge: weight of each link: a float common to all, or (m,) float64 aligned with ``graph.indices``.
        self_weight: weight of each node's own model: a float common to all, or (n,) float64.
        rule: name of the weights in reports.
        doubly_stochastic: whether the columns are claimed to sum to one too, which is then checked.

    Raises:
        GraphError: an array has the wrong shape, a row does not sum to one, or a claimed column sum is wrong.
    """

    graph: Graph
    edge: float | np.ndarray = field(repr=False)
    self_weight: float | np.ndarray = field(repr=False)
    rule: str
    doubly_stochastic: bool = False

    def __post_init__(self) -> None:
        check_fields("weights", self)
        for name, value, size in (
            ("edge", self.edge, self.graph.n_links),
            ("self_weight", self.self_weight, self.graph.n_nodes),
        ):
            if reals(self.rule, name, value).ndim and np.shape(value) != (size,):
                raise GraphError(f"{self.rule}: {name} has shape {np.shape(value)}, not ({size},)")
        _check_sums(self.rule, "row", self._sums(columns=False))
        if self.doubly_stochastic:
            _check_sums(self.rule, "column", self._sums(columns=True))

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether W = Wᵀ up to rounding."""
        if np.ndim(self.edge) == 0 and not self.graph.directed:
            return True
        matrix = self.to_scipy()
        difference = matrix - matrix.T
        return bool(np.abs(difference.data).max(initial=0.0) <= 1e-12)

    @cached_property
    def is_doubly_stochastic(self) -> bool:
        """Whether the columns sum to one as the rows do, so that mixing preserves the mean of the models."""
        return bool(np.abs(self._sums(columns=True) - 1).max() <= TOLERANCE)

    def to_scipy(self) -> sp.csr_array:
        """Return W as a scipy CSR array (n, n) of float64, the diagonal included."""
        n = self.graph.n_nodes
        return sp.csr_array(self._links() + sp.diags_array(np.broadcast_to(np.float64(self.self_weight), n)))

    def _links(self) -> sp.csr_array:
        graph = self.graph
        data = np.broadcast_to(np.float64(self.edge), graph.indices.shape)
        return sp.csr_array((data, graph.indices, graph.indptr), shape=(graph.n_nodes, graph.n_nodes))

    def _sums(self, *, columns: bool) -> np.ndarray:
        """Return the sums of the rows or columns: (n,) float64, or (1,) if all are equal."""
        graph = self.graph
        if np.ndim(self.edge):
            return self.self_weight + self._links().sum(axis=0 if columns else 1)
        if graph.regular_degree is not None and (not columns or _is_balanced(graph)):
            return np.atleast_1d(self.self_weight + self.edge * graph.regular_degree)
        return self.self_weight + self.edge * (graph.out_degrees if columns else graph.degrees)


@guarded
def metropolis_hastings(graph: Graph) -> Weights:
    """Return W_ij = 1/(1 + max(d_i, d_j)), with the remainder on the diagonal: symmetric and doubly stochastic.

    Each node needs only its neighbours' degrees (Xiao, Boyd and Kim 2007, "Distributed average consensus with
    least-mean-square deviation").

    Args:
        graph: undirected, or directed with one in- and out-degree common to all nodes.

    Raises:
        GraphError: a directed graph has unequal degrees.
    """
    if graph.regular_degree is not None and _is_balanced(graph):
        return _with_own(graph, 1 / (1 + graph.regular_degree), "metropolis_hastings", doubly_stochastic=True)
    if graph.directed:
        raise _needs_undirected("metropolis_hastings", graph, "equal degrees")
    degrees = graph.degrees
    edge = 1 / (1 + np.maximum(np.repeat(degrees, degrees), degrees[graph.indices]))
    return _with_own(graph, edge, "metropolis_hastings", doubly_stochastic=True)


@guarded
def max_degree(graph: Graph) -> Weights:
    """Return W = I − L/(d_max + 1): one weight for all links, symmetric and doubly stochastic.

    Args:
        graph: undirected, or directed with equal in- and out-degree at every node.

    Raises:
        GraphError: the in- and out-degree of some node differ.
    """
    if not _is_balanced(graph):
        raise _needs_undirected("max_degree", graph, "as many hearing as heard at every node")
    largest = graph.regular_degree if graph.regular_degree is not None else int(graph.degrees.max())
    return _with_own(graph, 1 / (1 + largest), "max_degree", doubly_stochastic=True)


@guarded
def best_constant(graph: Graph) -> Weights:
    """Return W = I − αL with α = 2/(μ₂ + μ_n), which contracts fastest among all constant α.

    ρ = (μ_n − μ₂)/(μ_n + μ₂) with the Laplacian's eigenvalues μ (Xiao and Boyd 2004, "Fast linear iterations for
    distributed averaging"). Self-weights can be negative.

    Args:
        graph: undirected and connected.

    Raises:
        GraphError: the graph is directed or disconnected, or the eigenvalues do not converge.
    """
    if graph.directed:
        raise _needs_undirected("best_constant", graph)
    if not graph.is_connected:
        raise GraphError(
            f"best_constant: {graph.name} has {graph.n_components} components, so no weight makes it agree",
            hint="use metropolis_hastings, or a connected graph",
        )
    alpha = 2 / sum(laplacian_extremes(graph)) if graph.n_nodes > 1 else 0.0
    return _with_own(graph, alpha, "best_constant", doubly_stochastic=True)


@guarded
def uniform(graph: Graph) -> Weights:
    """Return W_ij = 1/(1 + d_i): a node averages itself and all it hears. Doubly stochastic on regular graphs only.

    Args:
        graph: any graph.
    """
    if graph.regular_degree is not None:
        return _with_own(graph, 1 / (1 + graph.regular_degree), "uniform")
    share = 1 / (1 + graph.degrees)
    return Weights(graph, np.repeat(share, graph.degrees), share, "uniform")


@guarded
def sinkhorn(graph: Graph) -> Weights:
    """Return A + I scaled to be doubly stochastic (Sinkhorn and Knopp 1967); symmetric for undirected graphs.

    Args:
        graph: undirected, or directed with every component strongly connected.

    Raises:
        GraphError: no path leads back along some link, so that no scaling exists, or the scaling does not converge.
    """
    if graph.regular_degree is not None and _is_balanced(graph):
        return _with_own(graph, 1 / (1 + graph.regular_degree), "sinkhorn", doubly_stochastic=True)
    adjacency = graph.to_scipy()
    matrix = sp.csr_array(adjacency + sp.eye_array(graph.n_nodes))
    receivers = np.repeat(np.arange(graph.n_nodes), graph.degrees)
    if graph.directed:
        _, component = connected_components(adjacency, directed=True, connection="strong")
        one_way = np.flatnonzero(component[receivers] != component[graph.indices])
        if one_way.size:
            listener, speaker = (graph.name_of(int(ends[one_way[0]])) for ends in (receivers, graph.indices))
            raise GraphError(
                f"sinkhorn: node {listener} hears node {speaker}, but no way leads back: no scaling has unit sums",
                hint="use uniform weights, or a strongly connected graph",
            )
        rows, columns = balance(matrix)
    else:
        rows = columns = balance_symmetric(matrix)
    return _with_own(graph, rows[receivers] * columns[graph.indices], "sinkhorn", doubly_stochastic=True)


@guarded
def equal_links(graph: Graph) -> Weights:
    """Return W_ij = 1/(1 + d_max) on every link of any graph.

    On directed graphs it is row-stochastic only; :func:`max_degree` is the same rule with the claim to preserve the mean.

    Args:
        graph: any graph.
    """
    largest = graph.regular_degree if graph.regular_degree is not None else int(graph.degrees.max())
    return _with_own(graph, 1 / (1 + largest), "equal_links")


@guarded
def lazy(weights: Weights) -> Weights:
    """Return (I + W)/2: its eigenvalues are (1 + λ)/2, in [0, 1] if W is symmetric without negative entries.

    Args:
        weights: any weights.
    """
    return Weights(
        weights.graph,
        weights.edge / 2,
        (1 + weights.self_weight) / 2,
        f"lazy {weights.rule}",
        doubly_stochastic=weights.doubly_stochastic,
    )


def circulant(rule: str, share: np.ndarray, *, directed: bool) -> Weights:
    """Return the circulant W, doubly stochastic: node i hears i + a (mod n) with weight ``share[a]``.

    Args:
        rule: name of the graph and the weights in reports.
        share: (n,) float64 that sums to one; entry 0 is the self-weight, and zero entries are no links.
        directed: whether the graph counts as directed; if not, ``share`` must be symmetric.
    """
    offsets = np.flatnonzero(share[1:]) + 1
    links = share[offsets]
    # The pattern of a directed graph may be symmetric by chance, as with both offsets on three nodes.
    graph = Graph(share.size, rule, Circulant(tuple(offsets.tolist())), directed=directed)
    if not offsets.size or not np.ptp(links):
        return Weights(graph, float(links.max(initial=0.0)), float(share[0]), rule, doubly_stochastic=True)
    check_links(rule, share.size, share.size * offsets.size, "fewer nodes, or fewer offsets")
    offset = graph.indices - np.repeat(np.arange(graph.n_nodes), graph.degrees)
    return Weights(graph, share[offset], float(share[0]), rule, doubly_stochastic=True)


def from_matrix(matrix: Any) -> Weights:
    """Return a user's own W as weights; the graph is its off-diagonal pattern.

    Args:
        matrix: (n, n) numbers, a dense or scipy sparse array; ``matrix[i, j]`` is the weight that i gives to j.

    Raises:
        GraphError: the matrix is not square or holds anything but finite numbers, or a row does not sum to one.
    """
    square = square_matrix("from_matrix", matrix)
    graph = from_pattern(square, "matrix")
    links = square.tocoo()
    off_diagonal = links.row != links.col
    return Weights(graph, links.data[off_diagonal], square.diagonal(), "from_matrix")


def _with_own(graph: Graph, edge: float | np.ndarray, rule: str, *, doubly_stochastic: bool = False) -> Weights:
    """Return the weights with self-weights that make the rows sum to one; equal weights of all links become one number."""
    if isinstance(edge, np.ndarray):
        if edge.size and (edge == edge[0]).all():
            edge = float(edge[0])
        else:
            receivers = np.repeat(np.arange(graph.n_nodes), graph.degrees)
            own = 1 - np.bincount(receivers, weights=edge, minlength=graph.n_nodes)
            return Weights(graph, edge, own, rule, doubly_stochastic=doubly_stochastic)
    degrees = graph.regular_degree if graph.regular_degree is not None else graph.degrees
    return Weights(graph, edge, 1 - edge * degrees, rule, doubly_stochastic=doubly_stochastic)


def _is_balanced(graph: Graph) -> bool:
    """Return whether the in- and out-degree of every node are equal."""
    if not graph.directed or isinstance(graph.structure, Circulant):
        return True
    return bool((graph.degrees == graph.out_degrees).all())


def _needs_undirected(rule: str, graph: Graph, otherwise: str = "") -> GraphError:
    return GraphError(
        f"{rule}: {graph.name} is directed" + (f" without {otherwise}" if otherwise else ""),
        hint="use uniform weights, or sinkhorn if every link has a way back",
    )


def _check_sums(rule: str, kind: str, sums: np.ndarray) -> None:
    error = np.abs(sums - 1)
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    if not error[worst] <= TOLERANCE:
        raise GraphError(
            f"{rule}: {kind} {worst} of the weights sums to {sums[worst]:.12g}, not 1",
            hint=f"divide every {kind} by its sum, in float64"
            if kind == "row"
            else "do not claim that the weights are doubly stochastic",
        )
