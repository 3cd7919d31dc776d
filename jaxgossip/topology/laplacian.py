"""Eigenvalues of graph Laplacians L = D − A: in closed form for structures that have one, otherwise numerically.

If all links have the same weight α, then W = I − αL, so these closed forms also give the spectrum of W.
"""

from functools import reduce

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import GraphError
from jaxgossip.topology.graph import Circulant, Complete, Graph, Hypercube, Lattice, Star
from jaxgossip.topology.krylov import (
    Multiply,
    compact,
    conjugate_gradients,
    extreme_eigenvalues,
    largest_eigenvalue,
    no_convergence,
)

DENSE_NODES = 500
"""Matrices up to this size are handled as dense ones."""
FACTOR_NODES = 200_000
"""Matrices up to this size may be factorised if Lanczos does not converge."""
INNER_STEPS = 300
"""Steps of conjugate gradients to try on a system before it is factorised instead."""


@guarded
def closed_form(graph: Graph) -> np.ndarray | None:
    """Return all eigenvalues of L = D − A in closed form, or None if there is none.

    Circulant: μ_k = Σ_o (1 − e^{2πi k o/n}). Torus: Σ_a (2 − 2 cos(2π k_a/n_a)). Path and grid:
    Σ_a (2 − 2 cos(π k_a/n_a)). Hypercube: 2 · popcount. Star: 0, 1 (n − 2 times), n. Complete: 0, n.

    Returns:
        (n,) float64 in ascending order; for directed circulants complex128 in the order of k. μ_0 = 0 comes first.
    """
    n, structure = graph.n_nodes, graph.structure
    match structure:
        case Circulant(offsets):
            frequency = np.arange(n)
            # 1 − cos is computed as 2 sin², and k·o reduced mod n first, so that small eigenvalues keep all their digits.
            angles = [np.pi * (frequency * (offset % n) % n) / n for offset in offsets]
            real = sum((2 * np.sin(angle) ** 2 for angle in angles), np.zeros(n))
            if graph.directed:
                return real - 1j * sum((np.sin(2 * angle) for angle in angles), np.zeros(n))
            return np.sort(real)
        case Lattice(shape, periodic):
            axes = [4 * np.sin(np.pi * np.arange(side) / (side if periodic else 2 * side)) ** 2 for side in shape]
            return np.sort(reduce(np.add.outer, axes).ravel())
        case Hypercube():
            return np.sort(2.0 * np.bitwise_count(np.arange(n)))
        case Complete():
            return np.concatenate([[0.0], np.full(n - 1, float(n))])
        case Star():
            return np.concatenate([[0.0], np.ones(n - 2), [float(n)]])
        case _:
            return None


def closed_extremes(graph: Graph) -> tuple[float, float] | None:
    """Return (μ₂, μ_n) in closed form, or None if there is none or they are complex; n >= 2."""
    n, structure = graph.n_nodes, graph.structure
    match structure:
        case Circulant((1, -1)):
            return closed_extremes(Graph(n, "ring", Lattice((n,), periodic=True)))
        case Circulant() if graph.directed:
            return None
        case Lattice(shape, periodic):
            sides = np.array(shape)
            turn = sides if periodic else 2 * sides
            top = sides // 2 if periodic else sides - 1
            return float(4 * np.sin(np.pi / turn.max()) ** 2), float((4 * np.sin(np.pi * top / turn) ** 2).sum())
        case Hypercube(dimension):
            return 2.0, 2.0 * dimension
        case Complete():
            return float(n), float(n)
        case Star():
            return (1.0 if n > 2 else 2.0), float(n)
        case _:
            values = closed_form(graph)
            return None if values is None else (float(values[1]), float(values[-1]))


@guarded
def laplacian_extremes(graph: Graph) -> tuple[float, float]:
    """Return (μ₂, μ_n), the smallest and the largest eigenvalue of L = D − A apart from the 0 of the constant vector.

    Args:
        graph: undirected, at least 2 nodes.

    Raises:
        GraphError: the graph is directed or has a single node, or the eigenvalues do not converge.
    """
    if graph.directed or graph.n_nodes < 2:
        what = "directed" if graph.directed else "a single node"
        raise GraphError(f"{graph.name} is {what}: its Laplacian has no smallest and largest eigenvalue to speak of")
    known = closed_extremes(graph)
    if known is not None:
        return known
    return symmetric_extremes(sp.csr_array(sp.diags_array(graph.degrees.astype(float)) - graph.to_scipy()))


def symmetric_extremes(matrix: sp.csr_array) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue on the complement of the constant vector, which maps to 0.

    Computed densely up to ``DENSE_NODES``; then by Lanczos with the constant vector shifted out of the way, and by
    Lanczos on the inverse where small eigenvalues are clustered; beyond ``FACTOR_NODES`` by plain Lanczos.

    Args:
        matrix: (n, n) symmetric, with rows that sum to 0, n >= 2.

    Raises:
        GraphError: the eigenvalues do not converge.
    """
    n = matrix.indptr.size - 1
    bound = float(abs(matrix).sum(axis=1).max())
    if n <= DENSE_NODES:
        values = np.linalg.eigvalsh(matrix.toarray() + 2 * bound / n)  # the constant vector's 0 becomes the largest
        return float(values[0]), float(values[-2])
    off_diagonal = matrix.indices != np.repeat(np.arange(n), np.diff(matrix.indptr))
    positive_semidefinite = bool((matrix.data[off_diagonal] <= 0).all())
    if n > FACTOR_NODES:
        return _lanczos_extremes(matrix, n, separable=positive_semidefinite)
    above = bound * (1 + 1e-9)  # no eigenvalue is that large
    try:
        largest = largest_eigenvalue(lambda x: matrix @ x - bound * x.mean(), n)
    except GraphError:
        shifted = sp.csr_array(above * sp.eye_array(n) - matrix)
        largest = above - 1 / largest_eigenvalue(_inverse(shifted, singular=False), n, tolerance=1e-8)
    if positive_semidefinite and connected_components(matrix, directed=False, return_labels=False) > 1:
        return 0.0, largest
    try:
        smallest = bound - largest_eigenvalue(lambda x: bound * (x - 2 * x.mean()) - matrix @ x, n, restarts=30)
    except GraphError:
        # Only a Laplacian of positive weights is sure to have no eigenvalue below that of the constant vector.
        offset = 0.0 if positive_semidefinite else above
        shifted = matrix if positive_semidefinite else sp.csr_array(above * sp.eye_array(n) + matrix)
        inverse = _inverse(shifted, singular=positive_semidefinite)
        smallest = 1 / largest_eigenvalue(inverse, n, tolerance=1e-8) - offset
    return smallest, largest


def _lanczos_extremes(matrix: sp.csr_array, n: int, *, separable: bool) -> tuple[float, float]:
    """Return both extremes of a matrix too large to factorise; for a disconnected Laplacian the smallest is 0."""
    small = compact(matrix)
    disconnected = separable and connected_components(matrix, directed=False, return_labels=False) > 1
    return extreme_eigenvalues(lambda x: small @ x, n, smallest=0.0 if disconnected else None)


def _inverse(matrix: sp.csr_array, *, singular: bool) -> Multiply:
    """Return b -> x with matrix @ x = b; if ``singular``, a connected graph's Laplacian, of b − mean(b) and mean(x) = 0.

    Conjugate gradients are used if few steps suffice: such graphs have hubs and short paths, as with power-law degrees,
    and their factors would fill in. If many steps are needed, the graph resembles a path or a map, and factorises well.
    """
    n = matrix.indptr.size - 1
    diagonal = matrix.diagonal()

    def centred(x: np.ndarray) -> np.ndarray:
        return x - x.mean() if singular else x

    def iterate(b: np.ndarray) -> np.ndarray:
        x, converged = conjugate_gradients(
            lambda v: matrix @ v, diagonal, centred(b), tolerance=1e-11, steps=INNER_STEPS
        )
        if not converged:
            raise no_convergence(n)
        return centred(x)

    try:
        iterate(np.random.default_rng(1).standard_normal(n))
    except GraphError:
        if n > FACTOR_NODES:
            raise
    else:
        return iterate
    # Grounding one node of a singular Laplacian leaves a positive definite matrix.
    first = int(singular)
    kept = sp.csc_array(matrix[first:, first:])
    factors = splu(kept, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})

    def solve(b: np.ndarray) -> np.ndarray:
        return centred(np.concatenate([np.zeros(first), factors.solve(centred(b)[first:])]))

    return solve
