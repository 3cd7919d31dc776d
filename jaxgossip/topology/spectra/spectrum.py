"""Eigenvalues of mixing matrices, which determine how fast a network reaches consensus."""

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import GraphError
from jaxgossip.topology.krylov import largest_eigenvalue
from jaxgossip.topology.laplacian import DENSE_NODES, closed_extremes, closed_form, symmetric_extremes
from jaxgossip.topology.weights import Weights

MAX_DENSE_NODES = 5000
"""Up to this size all eigenvalues of a matrix without closed form are computed (a minute, 0.4 GB)."""

ROUNDING = 1e-10
"""Imaginary parts up to this are attributed to rounding of real eigenvalues."""


@guarded
def eigenvalues(weights: Weights) -> np.ndarray:
    """Return all eigenvalues of W.

    They have a closed form if all links of a structured graph have the same weight, and are otherwise computed densely.

    Args:
        weights: any weights.

    Returns:
        (n,) float64 in descending order, λ₁ = 1 first, if they are real; else complex128 in descending order of |λ|.

    Raises:
        GraphError: there are more than ``MAX_DENSE_NODES`` nodes and no closed form.
    """
    laplacian = closed_laplacian(weights)
    if laplacian is not None:
        return _descending(1 - weights.edge * laplacian)
    n = weights.graph.n_nodes
    if n > MAX_DENSE_NODES:
        raise GraphError(
            f"all eigenvalues of {weights.rule} on {weights.graph.name} with {n:,} nodes need a dense matrix",
            hint=f"at most {MAX_DENSE_NODES:,} nodes; second_largest_modulus and spectral_gap work for any number",
        )
    matrix = weights.to_scipy().toarray()
    return _descending(np.linalg.eigvalsh(matrix) if weights.is_symmetric else np.linalg.eigvals(matrix))


def closed_laplacian(weights: Weights) -> np.ndarray | None:
    """Return the eigenvalues μ of the Laplacian in closed form if W = I − edge·L; None if there is none."""
    return closed_form(weights.graph) if np.ndim(weights.edge) == 0 else None


@guarded
def second_largest_modulus(weights: Weights) -> float:
    """Return ρ = ‖W − J‖₂, J = 11ᵀ/n: the worst-case contraction of the distance to the mean in one round.

    For symmetric W it is the second largest |λ|. If W does not preserve the mean (columns do not sum to one), it can
    exceed 1.

    Args:
        weights: any weights.

    Raises:
        GraphError: the iteration does not converge (large graphs without closed form).
    """
    return 1 - spectral_gap(weights)


@guarded
def spectral_gap(weights: Weights) -> float:
    """Return 1 − ρ = 1 − ‖W − J‖₂; closed forms keep all digits of small gaps.

    Args:
        weights: any weights.

    Raises:
        GraphError: the iteration does not converge (large graphs without closed form).
    """
    graph = weights.graph
    if graph.n_nodes == 1:
        return 1.0
    ends = complement_extremes(weights)
    if ends is not None:
        return gap_between(*ends)
    laplacian = closed_laplacian(weights)
    if laplacian is not None:  # directed circulants are normal: the norm is the largest modulus
        return float(1 - np.abs(1 - float(weights.edge) * laplacian[1:]).max())
    matrix = weights.to_scipy()
    if graph.n_nodes <= DENSE_NODES:
        return float(1 - np.linalg.norm(matrix.toarray() - 1 / graph.n_nodes, 2))
    transposed = sp.csr_array(matrix.T)

    def squared(x: np.ndarray) -> np.ndarray:
        """Return (W − J)ᵀ (W − J) x."""
        y = matrix @ x - x.mean()
        return transposed @ y - y.mean()

    return float(1 - np.sqrt(largest_eigenvalue(squared, graph.n_nodes)))


def complement_extremes(weights: Weights) -> tuple[float, float] | None:
    """Return (1 − λ₂, 1 − λ_n) of a symmetric W: the ends of the spectrum of I − W apart from the 0 of the constant vector.

    Args:
        weights: any weights of at least 2 nodes.

    Returns:
        The smaller first, where closed forms keep all digits of small values; None if W is not symmetric.

    Raises:
        GraphError: the iteration does not converge (large graphs without closed form).
    """
    graph = weights.graph
    if np.ndim(weights.edge) == 0 and not graph.directed:
        edge, extremes = float(weights.edge), closed_extremes(graph)
        if extremes is not None:
            low, high = sorted((edge * extremes[0], edge * extremes[1]))
            return low, high
    if not weights.is_symmetric:
        return None
    low, high = symmetric_extremes(sp.csr_array(sp.eye_array(graph.n_nodes) - weights.to_scipy()))
    return min(low, high), max(low, high)


def gap_between(low: float, high: float) -> float:
    """Return 1 − ρ from (1 − λ₂, 1 − λ_n)."""
    return float(min(low, 2 - high))


def _descending(values: np.ndarray) -> np.ndarray:
    real, imaginary = np.real(values), np.imag(values)
    if np.abs(imaginary).max() <= ROUNDING:
        return np.sort(real)[::-1]
    return values[np.lexsort((imaginary, -real, -np.abs(values).round(12)))]
