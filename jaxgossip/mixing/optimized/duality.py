"""Lower bounds, by duality, on ρ = ‖W − J‖₂ of any symmetric weights on a graph.

Let Y = Σ_i s_i v_i v_iᵀ with Σ|s_i| ≤ 1 and Y1 = 0. For all symmetric weights W(w) = I − Σ_e w_e b_e b_eᵀ,
ρ(w) ≥ ⟨Y, W(w) − J⟩ = ⟨Y, I − J⟩ − Σ_e w_e b_eᵀ Y b_e, and |w_e| ≤ 1 at the optimum, hence
ρ ≥ ⟨Y, I − J⟩ − Σ_e |b_eᵀ Y b_e|. The v_i are eigenvectors of given weights; a linear program finds the best s_i.
"""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

SOLVED = 1e-6
"""Tolerance of the linear program, by which bounds are lowered."""
COLUMNS = 48
"""Number of eigenvectors in the first program; each later one at most doubles it."""
GAIN = 1e-9
"""Least reduced cost of an eigenvector that is added."""


def rho_bound(W: np.ndarray, ends: np.ndarray, above: float = -np.inf) -> float:
    """Return the largest lower bound, from the eigenvectors of W, on ρ over all symmetric weights on these edges.

    The weights are those with |w_e| ≤ 1. The bound is lowered by ``SOLVED``; if it does not exceed ``above``, that is
    returned.

    The program in (s⁺, s⁻, |b_eᵀ Y b_e|) has two columns per eigenvector, of which few matter. Column generation starts
    from the eigenvalues of largest modulus and adds columns, by their reduced costs, until none improves the bound. The
    reduced costs also limit the bound that can be reached, so it stops early if this does not exceed ``above``.

    Args:
        W: (n, n) symmetric and doubly stochastic.
        ends: (m, 2) int, the nodes of each edge.
        above: a known lower bound.
    """
    n = len(W)
    values, vectors = np.linalg.eigh(W + 3 / n)  # the constant vector, of eigenvalue 4, comes last
    values, vectors = values[:-1], vectors[:, :-1]
    along = (vectors[ends[:, 0]] - vectors[ends[:, 1]]) ** 2
    taken = np.zeros(n - 1, bool)
    taken[np.argsort(-np.abs(values))[:COLUMNS]] = True
    while True:
        bound, prices, limit = _interruptible(functools.partial(_program, along[:, taken]))
        gain = np.abs(1 - along.T @ prices) - limit
        gain[taken] = -np.inf
        if bound + max(0.0, gain.max()) - SOLVED <= above:
            return above
        if gain.max() <= GAIN:
            return max(above, bound - SOLVED)
        best = np.argsort(-gain)[: taken.sum()]
        taken[best[gain[best] > GAIN]] = True


def _interruptible[T](compute: Callable[[], T]) -> T:
    """Return ``compute()``, run in a thread so that Ctrl-C can interrupt the wait for compiled code."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(compute())
        except BaseException as error:  # noqa: BLE001 - raised again by future.result()
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result()


def _program(along: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Return the optimum over the (m, k) columns, the (m,) dual prices of the edges, and that of Σ|s_i| ≤ 1."""
    m, k = along.shape
    both, own = sp.csc_array(np.hstack([along, -along])), sp.eye_array(m)
    total = sp.csc_array(np.concatenate([np.ones(2 * k), np.zeros(m)])[None])
    limits = sp.vstack([sp.hstack([both, -own]), sp.hstack([-both, -own]), total], format="csc")
    worth = np.concatenate([np.ones(k), -np.ones(k), -np.ones(m)])
    right = np.concatenate([np.zeros(2 * m), [1.0]])
    # With hundreds of edges the interior point method is ten times as fast as the simplex method.
    result = linprog(-worth, A_ub=limits, b_ub=right, bounds=(0, None), method="highs-ipm")
    duals = -result.ineqlin.marginals
    return -float(result.fun), duals[:m] - duals[m : 2 * m], float(duals[-1])
