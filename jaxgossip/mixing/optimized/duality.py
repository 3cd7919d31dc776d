"""How small ρ = ‖W − J‖₂ can be made on a graph: lower bounds that weights themselves prove.

Let Y = Σ_i s_i v_i v_iᵀ with Σ|s_i| ≤ 1 and Y1 = 0. For all symmetric weights W(w) = I − Σ_e w_e b_e b_eᵀ,
ρ(w) ≥ ⟨Y, W(w) − J⟩ = ⟨Y, I − J⟩ − Σ_e w_e b_eᵀ Y b_e, and at the optimum |w_e| ≤ 1, so that
ρ ≥ ⟨Y, I − J⟩ − Σ_e |b_eᵀ Y b_e|. The v_i are eigenvectors of W, and a linear program finds their best s_i.
"""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

SOLVED = 1e-6
"""To this the linear program is solved, and a bound is lowered by it."""
COLUMNS = 48
"""Eigenvectors that the program starts with; it takes in at most as many as it has."""
GAIN = 1e-9
"""What an eigenvector promises at least that is taken in."""


def rho_bound(W: np.ndarray, ends: np.ndarray, above: float = -np.inf) -> float:
    """Return the largest lower bound of ρ that the eigenvectors of W prove, or ``above`` if that is no larger.

    The program in (s⁺, s⁻, |b_eᵀ Y b_e|) has two columns an eigenvector, of which few matter: it starts with those whose
    eigenvalues are largest in modulus, and takes in others until none improves it, by the prices of its dual. Those also
    say how far it can come, so that it ends early where that is not above ``above``.

    Args:
        W: (n, n), symmetric and doubly stochastic.
        ends: (m, 2) int, the nodes of each edge.
        above: a bound that is known.
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
    """Return ``compute()``, which compiled code takes long for, and let Ctrl-C end the wait for it."""
    found: Future[T] = Future()

    def run() -> None:
        try:
            found.set_result(compute())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return found.result()


def _program(along: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Return the optimum over the (m, k) columns, the (m,) prices of the edges and that of Σ|s_i| ≤ 1."""
    m, k = along.shape
    both, own = sp.csc_array(np.hstack([along, -along])), sp.eye_array(m)
    total = sp.csc_array(np.concatenate([np.ones(2 * k), np.zeros(m)])[None])
    limits = sp.vstack([sp.hstack([both, -own]), sp.hstack([-both, -own]), total], format="csc")
    worth = np.concatenate([np.ones(k), -np.ones(k), -np.ones(m)])
    right = np.concatenate([np.zeros(2 * m), [1.0]])
    # The interior point method: ten times as fast as the simplex method where there are hundreds of edges.
    found = linprog(-worth, A_ub=limits, b_ub=right, bounds=(0, None), method="highs-ipm")
    duals = -found.ineqlin.marginals
    return -float(found.fun), duals[:m] - duals[m : 2 * m], float(duals[-1])
