"""Extreme eigenvalues of a fixed symmetric W, apart from the eigenvalue 1 of the constant vector."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from jaxgossip.core.errors import GraphError
from jaxgossip.mixing.operator import Operator

DENSE_NODES = 500
"""Most nodes for which all eigenvalues are computed, by a dense solver; above, Lanczos iteration finds the extremes."""


def extreme_eigenvalues(W: Operator) -> tuple[float, float]:
    """Return (λ_min, λ₂) of a symmetric W whose rows sum to one: its extreme eigenvalues on vectors that sum to zero.

    Raises:
        GraphError: the iteration does not converge.
    """
    n = W.n_nodes
    if n == 1:
        return 0.0, 0.0
    matrix = W.to_scipy()
    if n <= DENSE_NODES:
        values = np.linalg.eigvalsh(matrix.toarray() - 1 / n)
        # Subtracting J turned the eigenvalue 1 into a 0, which is removed; a 0 of W itself remains.
        values = np.delete(values, np.abs(values).argmin())
        return float(values[0]), float(values[-1])

    # The eigenvalue 1 is replaced by the mean of the others, which always lies between their extremes.
    middle = (matrix.diagonal().sum() - 1) / (n - 1)

    def centred(x: np.ndarray) -> np.ndarray:
        mean = x.mean()
        return matrix @ (x - mean) + middle * mean

    try:
        # SciPy's stubs accept neither a function instead of a subclass nor a tolerance that is not an int.
        centre: Any = LinearOperator((n, n), matvec=centred, dtype=np.float64)  # pyright: ignore[reportCallIssue]
        tolerance: Any = 1e-9
        low, high = eigsh(centre, k=2, which="BE", tol=tolerance, return_eigenvectors=False)
    except ArpackError as error:
        raise GraphError(f"the eigenvalues of W on {n:,} nodes were not found: {error}", hint="give them") from error
    return float(low), float(high)
