"""Sparse linear algebra by matrix–vector products: extreme eigenvalues, and positive definite systems."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh_tridiagonal
from scipy.linalg.blas import daxpy  # pyright: ignore[reportAttributeAccessIssue] - made by f2py, without types
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from jaxgossip.core.errors import GraphError

Multiply = Callable[[np.ndarray], np.ndarray]
"""The product of a symmetric matrix with a vector (n,)."""

LANCZOS_VECTORS = 40
CHECK_INTERVAL = 40
"""Steps of a plain Lanczos iteration between two tests for convergence."""


def largest_eigenvalue(multiply: Multiply, n: int, *, restarts: int = 100, tolerance: float = 1e-12) -> float:
    """Return the largest eigenvalue of a symmetric (n, n) matrix, by Lanczos with implicit restarts (ARPACK).

    Args:
        multiply: the matrix, as its product with a vector.
        n: number of rows, more than ``LANCZOS_VECTORS``.
        restarts: largest number of restarts, of some 20 products each.
        tolerance: residual of the eigenvector relative to the eigenvalue, which bounds the error of the latter.

    Raises:
        GraphError: the iteration does not converge.
    """
    try:
        largest = eigsh(
            _Product(multiply, n),
            k=1,
            which="LA",
            v0=np.random.default_rng(0).standard_normal(n),  # ARPACK's own start would vary from call to call
            ncv=LANCZOS_VECTORS,
            maxiter=restarts,
            tol=tolerance,  # pyright: ignore[reportArgumentType] - inferred from the default 0, but a float
            return_eigenvectors=False,
        )
    except ArpackNoConvergence as error:
        raise no_convergence(n) from error
    return float(largest[0])


def lanczos(multiply: Multiply, start: np.ndarray) -> Iterator[tuple[float, float]]:
    """Yield the tridiagonal matrix of Lanczos (1950) on the complement of the constant vector, one row per step.

    Only three vectors are kept, without reorthogonalisation: eigenvalues appear repeatedly, but none is spurious, and the
    spectral measure of the start stays right (Greenbaum 1989, "Behavior of slightly perturbed Lanczos and
    conjugate-gradient recurrences"). With millions of rows, keeping more vectors orthogonal would cost many times the
    products.

    Args:
        multiply: the matrix, as its product with a vector; the constant vector must be an eigenvector.
        start: (n,) float64 of length 1 and mean 0.

    Yields:
        (α_k, β_k): diagonal and next off-diagonal element; stops once the invariant subspace of the start is exhausted.
    """
    previous, vector, beta = np.zeros_like(start), start.copy(), 0.0
    while True:
        image = multiply(vector)
        daxpy(previous, image, a=-beta)
        alpha = float(image @ vector)
        daxpy(vector, image, a=-alpha)
        image -= image.mean()  # rounding reintroduces the constant vector
        beta = float(np.sqrt(image @ image))
        yield alpha, beta
        if beta < 1e-12:
            return
        image *= 1 / beta
        previous, vector = vector, image


def extreme_eigenvalues(
    multiply: Multiply, n: int, *, smallest: float | None = None, steps: int = 2000, tolerance: float = 1e-5
) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue on the complement of the constant vector, by plain Lanczos.

    The error of a Ritz value with residual r, at distance δ from the next, is below min(r, r²/δ).

    Args:
        multiply: a symmetric matrix, as its product with a vector; the constant vector must be an eigenvector.
        n: number of rows.
        smallest: the smallest eigenvalue, if it is known; only the largest is then computed.
        steps: largest number of products.
        tolerance: bound on the relative error of each eigenvalue, so that neither may be 0; mostly the error is far
            smaller.

    Raises:
        GraphError: the iteration does not converge.
    """
    start = np.random.default_rng(0).standard_normal(n)
    start -= start.mean()
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    for alpha, beta in lanczos(multiply, start / np.linalg.norm(start)):
        diagonal.append(alpha)
        off_diagonal.append(beta)
        if beta >= 1e-12 and len(diagonal) % CHECK_INTERVAL and len(diagonal) < steps:
            continue
        ends = [_ritz(diagonal, off_diagonal, place) for place in (0, len(diagonal) - 1)]
        if smallest is not None:
            ends[0] = smallest, 0.0
        if all(error <= tolerance * abs(value) for value, error in ends):
            return ends[0][0], ends[1][0]
        if len(diagonal) >= steps:
            break
    raise no_convergence(n)


def _ritz(diagonal: list[float], off_diagonal: list[float], place: int) -> tuple[float, float]:
    """Return the lowest (place 0) or highest eigenvalue of a tridiagonal matrix, and a bound on its error."""
    if len(diagonal) == 1:
        return diagonal[0], off_diagonal[0]
    first = max(0, min(place, len(diagonal) - 2))
    values, vectors = eigh_tridiagonal(diagonal, off_diagonal[:-1], select="i", select_range=(first, first + 1))
    wanted = int(place > 0)
    residual = off_diagonal[-1] * abs(float(vectors[-1, wanted]))
    distance = float(values[1] - values[0])
    return float(values[wanted]), min(residual, residual**2 / distance if distance > 0 else residual)


def conjugate_gradients(
    multiply: Multiply, diagonal: np.ndarray, target: np.ndarray, *, tolerance: float, steps: int
) -> tuple[np.ndarray, bool]:
    """Return (v, whether it converged) with M v ≈ target, by conjugate gradients preconditioned with the diagonal.

    Args:
        multiply: M, symmetric and positive semidefinite, as its product with a vector.
        diagonal: (n,) float64, the diagonal of M.
        target: (n,) float64, in the range of M.
        tolerance: norm of the residual relative to that of ``target``.
        steps: largest number of products.
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


def compact(matrix: sp.csr_array) -> sp.csr_array:
    """Return the matrix with 32-bit indices if they suffice: products then read a third less memory."""
    if matrix.nnz >= 2**31:
        return matrix
    csr = (matrix.data, matrix.indices.astype(np.int32, copy=False), matrix.indptr.astype(np.int32, copy=False))
    return sp.csr_array(csr, shape=matrix.shape)


def no_convergence(n: int) -> GraphError:
    """Return the error that reports an eigenvalue iteration on ``n`` rows as not converged."""
    return GraphError(
        f"the extreme eigenvalues of a matrix of {n:,} rows did not converge: they lie too close to others",
        hint="metropolis_hastings weights need no eigenvalues; rho needs fewer nodes or a structured graph",
    )


class _Product(LinearOperator):
    """A matrix given only by its product with a vector."""

    def __init__(self, multiply: Multiply, n: int) -> None:
        super().__init__(np.float64, (n, n))
        self._multiply = multiply

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._multiply(x.ravel())
