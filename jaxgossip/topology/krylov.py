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
LOOKS = 40
"""Steps of a plain Lanczos iteration between two looks at its eigenvalues."""


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


def lanczos(multiply: Multiply, start: np.ndarray) -> Iterator[tuple[float, float]]:
    """Yield the tridiagonal matrix of Lanczos (1950) on the complement of the constant vector, an entry a step.

    Three vectors and no reorthogonalisation: eigenvalues are found again and again, but none is false, and the spectral
    measure of the start stays right (Greenbaum 1989, "Behavior of slightly perturbed Lanczos and conjugate-gradient
    recurrences"). On millions of rows, keeping more vectors orthogonal costs many times the products.

    Args:
        multiply: the matrix, which maps the constant vector to a multiple of itself, as its product with a vector.
        start: (n,) float64 of length 1 and mean 0.

    Yields:
        (α_k, β_k): diagonal and next off-diagonal element; it ends where the start's invariant subspace is whole.
    """
    before, here, last = np.zeros_like(start), start.copy(), 0.0
    while True:
        image = multiply(here)
        daxpy(before, image, a=-last)
        along = float(image @ here)
        daxpy(here, image, a=-along)
        image -= image.mean()  # rounding would let the constant vector back in
        last = float(np.sqrt(image @ image))
        yield along, last
        if last < 1e-12:
            return
        image *= 1 / last
        before, here = here, image


def both_ends(
    multiply: Multiply, n: int, *, smallest: float | None = None, steps: int = 2000, tolerance: float = 1e-5
) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue on the complement of the constant vector, by plain Lanczos.

    A Ritz pair with residual r, whose eigenvalue lies δ from the next, has an error below min(r, r²/δ).

    Args:
        multiply: a symmetric matrix that maps the constant vector to a multiple of itself.
        n: number of rows.
        smallest: the smallest eigenvalue, if it is known: the other is found alone then.
        steps: products at most.
        tolerance: bound of the error of each eigenvalue relative to itself, so that neither may be 0; the error is
            mostly far below.

    Raises:
        GraphError: no convergence.
    """
    start = np.random.default_rng(0).standard_normal(n)
    start -= start.mean()
    diagonal: list[float] = []
    beside: list[float] = []
    for along, next_to in lanczos(multiply, start / np.linalg.norm(start)):
        diagonal.append(along)
        beside.append(next_to)
        if next_to >= 1e-12 and len(diagonal) % LOOKS and len(diagonal) < steps:
            continue
        ends = [_ritz(diagonal, beside, place) for place in (0, len(diagonal) - 1)]
        if smallest is not None:
            ends[0] = smallest, 0.0
        if all(error <= tolerance * abs(value) for value, error in ends):
            return ends[0][0], ends[1][0]
        if len(diagonal) >= steps:
            break
    raise no_convergence(n)


def _ritz(diagonal: list[float], beside: list[float], place: int) -> tuple[float, float]:
    """Return the lowest (place 0) or highest eigenvalue of a tridiagonal matrix, and what it can be wrong by."""
    if len(diagonal) == 1:
        return diagonal[0], beside[0]
    first = max(0, min(place, len(diagonal) - 2))
    values, vectors = eigh_tridiagonal(diagonal, beside[:-1], select="i", select_range=(first, first + 1))
    mine = int(place > 0)
    residual = beside[-1] * abs(float(vectors[-1, mine]))
    distance = float(values[1] - values[0])
    return float(values[mine]), min(residual, residual**2 / distance if distance > 0 else residual)


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


def compact(matrix: sp.csr_array) -> sp.csr_array:
    """Return the matrix with indices of 32 bits where they do: products read a third less."""
    if matrix.nnz >= 2**31:
        return matrix
    parts = (matrix.data, matrix.indices.astype(np.int32, copy=False), matrix.indptr.astype(np.int32, copy=False))
    return sp.csr_array(parts, shape=matrix.shape)


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
