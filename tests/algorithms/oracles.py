"""Formulas that no plot draws: what tests of methods compare with, NumPy alone; see :mod:`jaxgossip.theory.predictions`."""

import numpy as np

from jaxgossip.theory.predictions import Mode


def dsgd_mode(form: str, eta: float, a: float = 1.0) -> Mode:
    """X⁺ = W(X − ηG), and CTA alike: λ(1 − ηa). DGD, X⁺ = WX − ηG: λ − ηa."""
    return lambda lam: np.array([[lam - eta * a if form == "dgd" else lam * (1 - eta * a)]])


def k_gt_mode(eta: float, steps: int, outer: float, a: float = 1.0) -> Mode:
    """K steps x ← qx + c, q = 1 − ηa, move x by Δ = (q^K − 1)x + (1 − q^K)/(1 − q) c; x⁺ = λ(x + η_sΔ), c⁺ = c − (1 − λ)Δ/K."""

    def mode(lam: float) -> np.ndarray:
        q = 1 - eta * a
        delta = np.array([q**steps - 1, (1 - q**steps) / (1 - q)])
        return np.array([lam * (np.array([1, 0]) + outer * delta), np.array([0, 1]) - (1 - lam) * delta / steps])

    return mode


def admm_mode(eta: float, steps: int, penalty: float, own: float, a: float = 1.0) -> Mode:
    """α⁺ = α + ρ(1 − λ)x; K steps to z = (hx − α⁺ − ρ(1 − λ)x)/(a + h), h = 2ρ(1 − W_ii).

    Each step multiplies x − z by 1 − η(a + h).
    """

    def mode(lam: float) -> np.ndarray:
        h, pull = 2 * penalty * (1 - own), penalty * (1 - lam)
        dual = np.array([pull, 1])
        goal = (np.array([h - pull, 0]) - dual) / (a + h)
        return np.array([goal + (1 - eta * (a + h)) ** steps * (np.array([1, 0]) - goal), dual])

    return mode


def momentum_mode(name: str, eta: float, beta: float, a: float = 1.0) -> Mode:
    """In (x, v), v = −ηm: local m⁺ = βm + g, x⁺ = λ(x − ηm⁺); the other three as their updates say."""

    def mode(lam: float) -> np.ndarray:
        q = 1 - eta * a
        return np.array(
            {
                "dsgdm": [[lam * q, lam * beta], [-eta * a, beta]],
                "dmsgd": [[lam * q, lam * beta], [-lam * eta * a, lam * beta]],
                "qg_dsgdm": [[lam * q, lam * beta], [(1 - beta) * (lam * q - 1), beta + (1 - beta) * lam * beta]],
                "decentlam": [[lam * q, beta], [lam * q - 1, beta]],
            }[name]
        )

    return mode


def without_neutral(values: np.ndarray) -> np.ndarray:
    """Return eigenvalues without the one nearest to 1: the invariant that an exact method starts on, and stays on."""
    return np.delete(values, np.abs(values - 1).argmin())


def push_diging_map(A: np.ndarray, eta: float, a: float = 1.0) -> np.ndarray:
    """U⁺ = A(U − ηY), Y⁺ = AY + a D⁻¹(U⁺ − U) in (U, Y), where D = n · diag π are the weights that A leaves as they are."""
    weights = push_weights(A)[:, None]
    n = len(A)
    u = np.hstack([A, -eta * A])
    return np.vstack([u, np.hstack([np.zeros((n, n)), A]) + a * (u - np.eye(n, 2 * n)) / weights])


def push_weights(A: np.ndarray) -> np.ndarray:
    """Return w = Aw with Σ w_i = n: what push-sum's weights become."""
    values, vectors = np.linalg.eig(A)
    w = np.real(vectors[:, np.abs(values - 1).argmin()])
    return w / w.mean()


def sgp_fixed_point(A: np.ndarray, targets: np.ndarray, eta: float, a: float = 1.0) -> np.ndarray:
    """Return X = U/w with U = A(U − ηa(U/w − B)), w = Aw: a linear system."""
    w = push_weights(A)[:, None]
    u = np.linalg.solve(np.eye(len(A)) - A @ (np.eye(len(A)) - eta * a * np.diag(1 / w[:, 0])), eta * a * A @ targets)
    return u / w


def message_drop_drift(alpha: float, mu: float, q: float, n: int) -> float:
    """E(mean of (I − αL_q)x)²/‖x‖² where messages are lost one by one, mean x = 0: α²q(1 − q) · 2μ/n²."""
    return alpha**2 * q * (1 - q) * 2 * mu / n**2
