"""The effective number of neighbours, and D-SGD on random quadratics: theory beyond the spectral gap, in NumPy and SciPy.

n_W(γ) is the number of nodes over which a decaying average is effectively taken: z⁺ = W(√γ z + ξ) has n_W(γ) times less
variance than without neighbours. Random quadratics f(x) = ½(aᵀx)², with a fresh a ~ N(0, I_d) in every step, have gradient
noise that grows with the distance to the optimum: E‖(I − ηaaᵀ)x‖² = (1 − 2η + ζη²)‖x‖² with ζ = d + 2, while the draws of
two nodes are independent, so that C = E⟨x_i, x_j⟩ obeys

    C⁺ = W ((1 − η)² C + (ζ − 1)η² diag C) Wᵀ.

Vogels, Hendrikx and Jaggi 2022, "Beyond spectral gap: the role of the topology in decentralized learning".
"""

import numpy as np
from scipy.optimize import minimize_scalar


def periodic_neighbours(lam: np.ndarray, gamma: float) -> float:
    """Return n_W(γ) of a periodic sequence of commuting normal W_t, λ (period, n), averaged over a stationary period.

    c_k ← |λ_{t,k}|²(γ c_k + 1) is mode k's variance after each round.
    """
    squares, variance = np.abs(lam) ** 2, np.zeros(lam.shape[1])
    total, periods = 0.0, int(40 / (1 - gamma) / len(squares)) + 1
    for period in range(periods):
        for square in squares:
            variance = square * (gamma * variance + 1)
            total += variance.mean() * (period == periods - 1)
    return float(len(squares) / ((1 - gamma) * total))


def random_quadratic_rate(lam: np.ndarray, eta: float | np.ndarray, zeta: float) -> np.ndarray:
    """Return r, with E‖x‖² multiplied by 1 − r per round: the fixed point r = 1 − (1 − η)² − (ζ − 1)η²/n_W((1 − η)²/(1 − r)).

    With m = 1 − r and equivalent nodes, mode k of C⁺ = mC is C_k = |λ|²(ζ − 1)η²c/(m − |λ|²(1 − η)²), c the mean of all C_k.
    So (ζ − 1)η²(1/n)Σ|λ|²/(m − |λ|²(1 − η)²) = 1, whose left side decreases in m, from ∞ at (1 − η)².
    """
    squares = np.abs(lam) ** 2
    eta = np.asarray(eta, float)
    q, fresh = (1 - eta) ** 2, (zeta - 1) * eta**2
    low, high = q, q + fresh
    for _ in range(60):
        m = (low + high) / 2
        above = fresh * (squares / (m[..., None] - squares * q[..., None])).mean(-1) > 1
        low, high = np.where(above, m, low), np.where(above, high, m)
    return 1 - (low + high) / 2


def covariance_rate(W: np.ndarray, eta: float, zeta: float, rounds: int = 4000) -> float:
    """Return r of the exact map of C by iteration, for any W; nodes need not be equivalent."""
    C = np.ones_like(W)
    for _ in range(rounds):
        C = C / np.trace(C)
        C = W @ ((1 - eta) ** 2 * C + (zeta - 1) * eta**2 * np.diag(np.diag(C))) @ W.T
    return float(1 - np.trace(C))


def covariance_window(W: np.ndarray, eta: float, zeta: float, first: int, last: int) -> float:
    """Return the mean rate of E‖x‖² between two rounds under the exact map, from nodes that start at one point.

    The start still affects it, on a star, where modes decay nearly alike, for hundreds of rounds.
    """
    C, sizes = np.ones_like(W), []
    for _ in range(last):
        C = W @ ((1 - eta) ** 2 * C + (zeta - 1) * eta**2 * np.diag(np.diag(C))) @ W.T
        sizes.append(np.trace(C))
    return float(1 - (sizes[last - 1] / sizes[first - 1]) ** (1 / (last - first)))


def best_step(lam: np.ndarray, zeta: float) -> float:
    """Return the step size η of the highest rate on a fine grid."""
    eta = np.geomspace(0.2 / zeta, 0.9, 1500)
    return float(eta[random_quadratic_rate(lam, eta, zeta).argmax()])


def exact_best(W: np.ndarray, zeta: float, near: float) -> tuple[float, float]:
    """Return (η, r) at the highest rate of the exact map, for η between ``near``/2 and 1.5 ``near``."""
    optimum = minimize_scalar(
        lambda eta: -covariance_rate(W, eta, zeta),
        bounds=(near / 2, 1.5 * near),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(optimum.x), -float(optimum.fun)
