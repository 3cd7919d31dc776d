"""Scaling of non-negative matrices to unit row and column sums."""

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.errors import GraphError
from jaxgossip.topology.krylov import conjugate_gradients

MAX_NEWTON_STEPS = 100
MAX_INNER_STEPS = 1000
MAX_SINKHORN_STEPS = 10_000
TOLERANCE = 1e-11
"""Largest deviation of a row sum from one."""


def balance_symmetric(matrix: sp.csr_array) -> np.ndarray:
    """Return x > 0 such that x_i M_ij x_j has unit row sums, for a symmetric M ≥ 0 with a positive diagonal.

    x = e^u minimises the convex φ(u) = ½ Σ e^{u_i} M_ij e^{u_j} − Σ u_i, whose gradient is r − 1 with the row sums r
    of the scaled matrix S, and whose Hessian is diag(r) + S. Newton's method with conjugate gradients (after Knight and
    Ruiz 2013, "A fast algorithm for matrix balancing") takes about ten steps even where Sinkhorn's iteration, which
    contracts by ρ² per step, takes millions.

    Args:
        matrix: (n, n), M.

    Returns:
        x, (n,) float64.

    Raises:
        GraphError: the iteration does not converge.
    """
    diagonal = matrix.diagonal()
    log_scale = -0.5 * np.log(matrix.sum(axis=1))
    worst = np.inf
    for _ in range(MAX_NEWTON_STEPS):
        scale = np.exp(log_scale)
        sums = scale * (matrix @ scale)
        gap = 1 - sums
        worst = float(np.abs(gap).max())
        if worst <= TOLERANCE:
            return scale
        # Far from the solution a rough direction suffices; near it, the error is squared in each step.
        step, _ = conjugate_gradients(
            lambda v, scale=scale, sums=sums: sums * v + scale * (matrix @ (scale * v)),
            sums + scale**2 * diagonal,
            gap,
            tolerance=min(0.1, worst),
            steps=MAX_INNER_STEPS,
        )
        log_scale = log_scale + _damped(matrix, log_scale, step, float(gap @ step))
    raise _no_convergence(worst)


def _damped(matrix: sp.csr_array, log_scale: np.ndarray, step: np.ndarray, slope: float) -> np.ndarray:
    """Return the longest of step, step/2, step/4, … that decreases φ sufficiently (Armijo's rule)."""

    def phi(u: np.ndarray) -> float:
        scale = np.exp(u)
        return float(0.5 * scale @ (matrix @ scale) - u.sum())

    size = min(1.0, 5.0 / float(np.abs(step).max()))
    start = phi(log_scale)
    # Rounding errors of φ must not shorten the last, tiny steps.
    while phi(log_scale + size * step) > start - 1e-4 * size * slope + 1e-12 * abs(start) and size > 1e-8:
        size /= 2
    return size * step


def balance(matrix: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, columns) > 0 such that rows_i M_ij columns_j has unit row and column sums (Sinkhorn, Knopp 1967).

    Args:
        matrix: (n, n), M ≥ 0 with total support.

    Raises:
        GraphError: the iteration does not converge.
    """
    transposed = sp.csr_array(matrix.T)
    columns = np.ones(matrix.indptr.size - 1)
    worst = np.inf
    for _ in range(MAX_SINKHORN_STEPS):
        rows = np.reciprocal(matrix @ columns)
        sums = columns * (transposed @ rows)
        worst = float(np.abs(sums - 1).max())
        if worst <= TOLERANCE:
            return rows, columns
        columns = columns / sums
    raise _no_convergence(worst)


def _no_convergence(worst: float) -> GraphError:
    return GraphError(
        f"sinkhorn: the scaling did not converge, row sums are still wrong by {worst:.1e}",
        hint="use metropolis_hastings on undirected graphs, or uniform",
    )
