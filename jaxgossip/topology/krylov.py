"""Sparse linear algebra by matrix–vector products: the largest eigenvalue, and positive definite systems."""

from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from jaxgossip.errors import GraphError

Multiply = Callable[[np.ndarray], np.ndarray]
"""The product of a symmetric matrix with a vector (n,)."""

LANCZOS_VECTORS = 40


def largest_eigenvalue(multiply: Multiply, n: int, *, restarts: int = 100, tolerance: float = 1e-12) -> float:
    """Return the largest eigenvalue of a symmetric (n, n) matrix, by Lanczos with implicit restarts (ARPACK).

    Args:
        multiply: the matrix, as its product with a vector.
        n: number of rows, more than ``LANCZOS_VECTORS``.
        restarts: each takes some 20 products.
        tolerance: residual of the eigenvector relative to the eigenvalue, whose own error is no larger.

    Raises:
        GraphError: no convergence.
    """
    try:
        found = eigsh(
            _Product(multiply, n),
            k=1,
            which="LA",
            v0=np.random.default_rng(0).standard_normal(n),  # ARPACK's own start would differ from call to call
            ncv=LANCZOS_VECTORS,
            maxiter=restarts,
            tol=tolerance,  # pyright: ignore[reportArgumentType] - inferred from the default 0, but a float
            return_eigenvectors=False,
        )
    except ArpackNoConvergence as error:
        raise no_convergence(n) from error
    return float(found[0])


def conjugate_gradients(
    multiply: Multiply, diagonal: np.ndarray, target: np.ndarray, *, tolerance: float, steps: int
) -> tuple[np.ndarray, bool]:
    """Return (v, whether it converged) with M v ≈ target, by conjugate gradients preconditioned with the diagonal.

    Args:
        multiply: M, symmetric and positive semidefinite, as its product with a vector.
        diagonal: (n,) float64, that of M.
        target: (n,) float64, in the range of M.
        tolerance: norm of the residual relative to that of ``target``.
        steps: products at most.
    """
    v, residual = np.zeros_like(target), target
    direction = preconditioned = residual / diagonal
    product = float(residual @ preconditioned)
    goal = tolerance * float(np.linalg.norm(target))
    for _ in range(steps):
        image = multiply(direction)
        length = product / float(direction @ image)
        v = v + length * direction
        residual = residual - length * image
        if np.linalg.norm(residual) <= goal:
            return v, True
        preconditioned = residual / diagonal
        product, previous = float(residual @ preconditioned), product
        direction = preconditioned + product / previous * direction
    return v, False


def no_convergence(n: int) -> GraphError:
    """Return the error that says so of a matrix of ``n`` rows."""
    return GraphError(
        f"the extreme eigenvalues of a matrix of {n:,} rows did not converge: they lie too close to others",
        hint="metropolis_hastings weights need no eigenvalues; rho needs fewer nodes or a structured graph",
    )


class _Product(LinearOperator):
    """A matrix that is known by its product with a vector alone."""

    def __init__(self, multiply: Multiply, n: int) -> None:
        super().__init__(np.float64, (n, n))
        self._multiply = multiply

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._multiply(x.ravel())
