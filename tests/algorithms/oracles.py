"""Formulas that no plot draws: what tests of methods compare with, NumPy alone; see :mod:`jaxgossip.theory.predictions`."""

from collections.abc import Callable

import numpy as np

from jaxgossip.theory.predictions import Mode


def dsgd_mode(form: str, eta: float, a: float = 1.0) -> Mode:
    """X⁺ = W(X − ηG), and CTA alike: λ(1 − ηa). DGD, X⁺ = WX − ηG: λ − ηa."""
    return lambda lam: np.array([[lam - eta * a if form == "dgd" else lam * (1 - eta * a)]])


def semi_atc_mode(eta: float, a: float = 1.0) -> Mode:
    """X⁺ = W(X − ηY); Y⁺ = WY + a(X⁺ − X), with X⁺ substituted."""
    return lambda lam: np.array([[lam, -eta * lam], [a * (lam - 1), lam * (1 - eta * a)]])


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


def beer_moments(
    lam: np.ndarray, eta: float, gamma: float, density: float, beta: float = 1.0, a: float = 1.0
) -> np.ndarray:
    """Return the exact map of the second moments of BEER (β = 1) and MoTEF with random-k, in (x, v, m, h, s); see :func:`moments`.

    q = mask(x − h), r = mask(v − s); h⁺ = h + q, s⁺ = s + r; m⁺ = (1 − β)m + βax; v⁺ = v + γ(λ − 1)s⁺ + m⁺ − m;
    x⁺ = x + γ(λ − 1)h⁺ − ηv⁺.
    """
    x, v, m, h, s = np.eye(5)

    def mode(lam: float) -> tuple[np.ndarray, np.ndarray]:
        pull = gamma * (lam - 1)
        new_m = (1 - beta) * m + beta * a * x
        new_v = v + pull * s + new_m - m
        still = np.array([x + pull * h - eta * new_v, new_v, new_m, h, s])
        return still, np.array([[pull, 0, 0, 1, 0], [-eta * pull, pull, 0, 0, 1]])

    return moments(lam, mode, np.array([x - h, v - s]), density, density * (1 - density))


def lead_moments(lam: np.ndarray, eta: float, gamma: float, alpha: float, density: float, a: float = 1.0) -> np.ndarray:
    """Return the exact map of the second moments of LEAD with random-k of mean 1, in (x, ηd, h); see :func:`moments`.

    y = (1 − ηa)x − ηd, q = mask(y − h)/ρ; h⁺ = h + αq; ηd⁺ = ηd + γ(1 − λ)(h + q)/2; x⁺ = y − γ(1 − λ)(h + q)/2.
    """
    x, d, h = np.eye(3)
    y = (1 - eta * a) * x - d

    def mode(lam: float) -> tuple[np.ndarray, np.ndarray]:
        push = gamma * (1 - lam) / 2
        return np.array([y - push * h, d + push * h, h]), np.array([[-push, push, alpha]])

    return moments(lam, mode, np.array([y - h]), 1.0, (1 - density) / density)


def moments(
    lam: np.ndarray,
    mode: Callable[[float], tuple[np.ndarray, np.ndarray]],
    sent: np.ndarray,
    mean: float,
    variance: float,
) -> np.ndarray:
    """Return the exact map of E zzᵀ, summed over the modes of each eigenvalue of a circulant W, z⁺ = A z + Σ_k b_k (M_k f_kᵀ z).

    It is of (eigenvalues · m · m) numbers, from the smallest eigenvalue on. The entries of the masks M_k, one for every node
    and message, are independent. Of their covariance only the diagonal over nodes sees their variance; of a circulant matrix it
    is the mean of the eigenvalues.

    Args:
        lam: (n,) eigenvalues of W.
        mode: eigenvalue -> (A (m, m), the b_k (messages, m)).
        sent: (messages, m) the f_k.
        mean: mean of an entry of a mask.
        variance: its variance.
    """
    n, m = len(lam), sent.shape[1]
    distinct, modes = np.unique(lam.round(12), return_counts=True)
    whole = np.zeros((len(distinct), m * m, len(distinct), m * m))
    for number, eigenvalue in enumerate(distinct):
        still, by = mode(eigenvalue)
        expected = still + mean * by.T @ sent
        whole[number, :, number] += np.kron(expected, expected)
        for b, f in zip(by, sent, strict=True):
            whole[number] += modes[number] * variance / n * np.outer(np.kron(b, b), np.kron(f, f))[:, None]
    return whole.reshape(len(distinct) * m * m, -1)


def slowest(moments: np.ndarray) -> float:
    """Return the largest modulus of the eigenvalues without the neutral one, 1: what a conserved mean is off by, squared."""
    return float(np.abs(without_neutral(np.linalg.eigvals(moments))).max())
