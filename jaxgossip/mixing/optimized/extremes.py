"""The eigenvalues of a fixed W beside that of agreement, by Lanczos iteration on its links."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from jaxgossip.core.errors import GraphError
from jaxgossip.mixing.operator import Operator

DENSE_NODES = 500
"""Up to here all eigenvalues are found at once, and exactly."""


def extreme_eigenvalues(W: Operator) -> tuple[float, float]:
    """Return (λ_min, λ₂) of a symmetric W whose rows sum to one: its extreme eigenvalues on what sums to zero.

    Raises:
        GraphError: no convergence.
    """
    n = W.n_nodes
    if n == 1:
        return 0.0, 0.0
    matrix = W.to_scipy()
    if n <= DENSE_NODES:
        values = np.linalg.eigvalsh(matrix.toarray() - 1 / n)
        # The mean has become an eigenvalue 0, which is one of W's only if it is there twice.
        values = np.delete(values, np.abs(values).argmin())
        return float(values[0]), float(values[-1])

    # Agreement gets the mean of the other eigenvalues in the place of its 1: between the extremes, whatever they are.
    middle = (matrix.diagonal().sum() - 1) / (n - 1)

    def centred(x: np.ndarray) -> np.ndarray:
        mean = x.mean()
        return matrix @ (x - mean) + middle * mean

    try:
        # scipy's stubs know neither the function in place of a subclass nor a tolerance that is no int.
        centre: Any = LinearOperator((n, n), matvec=centred, dtype=np.float64)  # pyright: ignore[reportCallIssue]
        tolerance: Any = 1e-9
        low, high = eigsh(centre, k=2, which="BE", tol=tolerance, return_eigenvectors=False)
    except ArpackError as error:
        raise GraphError(f"the eigenvalues of W on {n:,} nodes were not found: {error}", hint="give them") from error
    return float(low), float(high)
