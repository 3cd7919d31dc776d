"""Predictions for isotropic quadratics f_i(x) = (a/2)‖x − b_i‖² with gradient noise N(0, s²I), in NumPy.

For symmetric W the modes decouple: along an eigenvector with eigenvalue λ, every linear method is a small matrix that acts
on (x, second variable). λ = 1 is the mode of the mean, where exact methods have a neutral root z = 1, a conserved quantity.
"""

from collections.abc import Callable

import numpy as np

Mode = Callable[[float], np.ndarray]


# Rings: eigenvectors are Fourier modes.


def ring_spectrum(n: int) -> np.ndarray:
    """Return (n,) (1 + 2 cos(2πk/n))/3, the eigenvalues under Metropolis–Hastings weights by Fourier mode, n ≥ 3."""
    return (1 + 2 * np.cos(2 * np.pi * np.arange(n) / n)) / 3


def mode_energy(rows: np.ndarray) -> np.ndarray:
    """Return (n,) ‖b̂_k‖² of (n, d) rows, by Fourier mode; they sum to ‖b‖²."""
    return np.square(np.abs(np.fft.fft(rows, axis=0))).sum(1) / len(rows)


# Linear rates: one mode of each method.


def roots(linear: float, constant: float) -> np.ndarray:
    """Return the matrix whose eigenvalues solve z² = linear · z − constant."""
    return np.array([[linear, -constant], [1, 0]])


def diging_mode(eta: float, a: float = 1.0) -> Mode:
    """X⁺ = WX − ηY; Y⁺ = WY + a(X⁺ − X), with X⁺ substituted."""
    return lambda lam: np.array([[lam, -eta], [a * (lam - 1), lam - eta * a]])


def atc_tracking_mode(eta: float, a: float = 1.0) -> Mode:
    """X⁺ = W(X − ηY); Y⁺ = W(Y + a(X⁺ − X)), with X⁺ substituted."""
    return lambda lam: np.array([[lam, -eta * lam], [a * lam * (lam - 1), lam * (1 - eta * a * lam)]])


def extra_mode(eta: float, a: float = 1.0) -> Mode:
    """X⁺ = X + WX − ½(I + W)X₋ − ηa(X − X₋)."""
    return lambda lam: roots(1 + lam - eta * a, (1 + lam) / 2 - eta * a)


def d2_mode(eta: float, a: float = 1.0) -> Mode:
    """X⁺ = W(2X − X₋ − ηa(X − X₋))."""
    return lambda lam: roots(lam * (2 - eta * a), lam * (1 - eta * a))


def exact_diffusion_mode(eta: float, a: float = 1.0) -> Mode:
    """D² on (I + W)/2."""
    return lambda lam: d2_mode(eta, a)((1 + lam) / 2)


def nesterov_mode(alpha: float, momentum: float, left: float) -> Mode:
    """X⁺ = X − α(D + μM⁺), M⁺ = μM + D, D = X − WY, with Y what local steps make of X: ``left`` of its distance, q."""

    def mode(lam: float) -> np.ndarray:
        kept = 1 - alpha * (1 - lam * left)
        return roots((1 + momentum) * kept, momentum * kept)

    return mode


def led_mode(eta: float, steps: int, correction: float, a: float = 1.0) -> Mode:
    """H steps φ ← φ − ηaφ − βy from x, then X⁺ = Wφ, y⁺ = y + φ − X⁺."""
    q = (1 - eta * a) ** steps
    total = (1 - q) / (eta * a)
    return lambda lam: np.array(
        [[lam * q, -lam * correction * total], [(1 - lam) * q, 1 - (1 - lam) * correction * total]]
    )


def wang_elia_mode(eta: float, a: float = 1.0) -> Mode:
    """X⁺ = X − K(X + z) − ηaX, z⁺ = z + KX, K = (I − W)/2."""

    def mode(lam: float) -> np.ndarray:
        k = (1 - lam) / 2
        return roots(2 - k - eta * a, 1 - k + k**2 - eta * a)

    return mode


def dlm_mode(eta: float, penalty: float, degree: int = 2, a: float = 1.0) -> Mode:
    """EXTRA with I − 2ηρL in the place of W, where W = I − L/(degree + 1), ρ the ``penalty`` of a link."""
    return lambda lam: extra_mode(eta, a)(1 - 2 * eta * penalty * (degree + 1) * (1 - lam))


def spectrum(mode: Mode, eigenvalues: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of a method: those of all its modes."""
    return np.concatenate([np.linalg.eigvals(mode(lam)) for lam in eigenvalues])


# Thresholds: ηa at which a root passes z = −1.


def largest_step(name: str, lowest: float) -> float:
    """Return ηa at which the mode λ_min has the root −1.

    DGD: λ − ηa = −1. DIGing: p(−1) = (1 + λ)² − 2ηa. EXTRA: p(−1) = 1 + 3(1 + λ)/2 − 2ηa.

    Args:
        name: "dgd", "diging" or "extra".
        lowest: λ_min.
    """
    return {"dgd": 1 + lowest, "diging": (1 + lowest) ** 2 / 2, "extra": (5 + 3 * lowest) / 4}[name]


def d2_lowest(eta: float, a: float = 1.0) -> float:
    """Return the λ_min at which D² has the root −1: p(−1) = 1 + λ(3 − 2ηa); −1/3 for η → 0."""
    return -1 / (3 - 2 * eta * a)


# Stationary errors.


def mean_error(n: int, d: int, eta: float, s: float, a: float = 1.0) -> float:
    """E‖x̄ − x*‖² = dηs²/(na(2 − ηa)): x̄⁺ = (1 − ηa)x̄ + noise of variance η²s²/n."""
    return d * eta * s**2 / (n * a * (2 - eta * a))


def net_error(form: str, lam: np.ndarray, d: int, eta: float, s: float, *, a: float = 1.0, steps: int = 1) -> float:
    """(1/n)Σ_{k≥2} c_k, c = r²c + noise being each mode's Lyapunov equation; ``lam`` is descending, with 1 first.

    With τ local steps between mixings, q = (1 − ηa)^τ and the noise of one step is multiplied by Σ_{j<τ}(1 − ηa)^{2j}.

    Args:
        form: "atc", "cta" or "dgd".
        lam: (n,) eigenvalues of W.
        d: number of dimensions.
        eta: step size.
        s: standard deviation of the gradient noise.
        a: curvature.
        steps: τ.
    """
    k = lam[1:]
    q = (1 - eta * a) ** steps
    noise = d * eta**2 * s**2 * sum((1 - eta * a) ** (2 * j) for j in range(steps))
    net = {
        "atc": noise * k**2 / (1 - k**2 * q**2),
        "cta": noise / (1 - k**2 * q**2),
        "dgd": noise / (1 - (k - 1 + q) ** 2),
    }[form]
    return float(net.sum()) / len(lam)


def bias_factor(form: str, lam: np.ndarray, eta: float | np.ndarray, a: float = 1.0) -> np.ndarray:
    """(x − x*)/b̂ of each mode at the noiseless fixed point; for ATC, x = λ((1 − ηa)x + ηab̂).

    Args:
        form: "atc", "cta" or "dgd".
        lam: (n,) eigenvalues of W.
        eta: step size, or step sizes that broadcast with ``lam``.
        a: curvature.
    """
    if form == "dgd":
        return eta * a / (1 - lam + eta * a)
    factor = eta * a / (1 - lam * (1 - eta * a))
    return lam * factor if form == "atc" else factor


def momentum_step(name: str, lam: np.ndarray, eta: float, beta: float) -> np.ndarray:
    """Return the step η_k at which ATC D-SGD has the fixed point of a momentum method in mode λ_k.

    Local momentum: v = βv − ηg, η/(1 − β). Mixed momentum: v½ = βλv½ − ηg, η/(1 − βλ). At their fixed points DecentLaM has
    G̃ = 0 and QG V = 0: η.

    Args:
        name: "dsgdm", "dmsgd", "decentlam" or "qg_dsgdm".
        lam: (n,) eigenvalues of W.
        eta: η.
        beta: β.
    """
    return {"dsgdm": eta / (1 - beta) + 0 * lam, "dmsgd": eta / (1 - beta * lam)}.get(name, eta + 0 * lam)


def random_graph_consensus(beta: float, n: int, d: int, eta: float, s: float, a: float = 1.0) -> float:
    """C = β((1 − ηa)²C + dη²s²(n − 1)/n): a fresh exchangeable W leaves β of the disagreement each round."""
    return beta * d * eta**2 * s**2 * (n - 1) / n / (1 - beta * (1 - eta * a) ** 2)


def oracle_beta(n: int, s: int) -> float:
    """E‖ΠWx‖²/‖Πx‖² if each node averages with its neighbours in a fresh s-regular graph.

    This is EL-Oracle (de Vos et al. 2023). It is the variance of the mean of s + 1 of n values without replacement,
    relative to that of one.
    """
    return (1 - s / (n - 1)) / (s + 1)


def local_beta(n: int, s: int) -> float:
    """E‖Wx − x̄‖²/‖x − x̄‖² if each node sends to s of the others and averages what it receives.

    E[1/M](1 + 1/(n − 1)) − 1/(n − 1), where M − 1 ~ Bin(n − 1, s/(n − 1)) arrive and E[1/M] = (1 − (1 − s/(n−1))ⁿ)(n − 1)/(ns).
    """
    return (1 - (1 - s / (n - 1)) ** n) / s - 1 / (n - 1)


def matching_beta(n: int) -> float:
    """Half of the disagreement, minus the part that two partners share: ½(1 − 1/(n − 1))."""
    return (n - 2) / (n - 1) / 2


def local_sgd_consensus(steps: int, n: int, d: int, eta: float, s: float, a: float = 1.0) -> float:
    """Mean over j < τ of dη²s²(1 − 1/n)(1 − q^j)/(1 − q), q = (1 − ηa)²: drift j steps after an averaging."""
    q = (1 - eta * a) ** 2
    j = np.arange(steps)
    return float(np.mean(d * eta**2 * s**2 * (1 - 1 / n) * (1 - q**j) / (1 - q)))


# Averaging.


def chebyshev_left(lam: float, low: float, high: float, rounds: int) -> float:
    """T_K((λ − c)/h)/T_K((1 − c)/h), c and h centre and half-width of [λ_min, λ₂]: a mode's remainder after K rounds."""
    c, h = (high + low) / 2, (high - low) / 2

    def polynomial(x: float) -> float:
        return (
            np.cos(rounds * np.arccos(x))
            if abs(x) <= 1
            else np.sign(x) ** rounds * np.cosh(rounds * np.arccosh(abs(x)))
        )

    return float(polynomial((lam - c) / h) / polynomial((1 - c) / h))


def register_left(rho: float, rounds: int) -> float:
    """Remainder of the slowest mode after t rounds of the shift register.

    z² = ωρz + 1 − ω has the double root c = √(ω − 1) = ρ/(1 + √(1 − ρ²)); x₀ = 1 and x₁ = ρ give (1 + t(ρ/c − 1))cᵗ.
    """
    c = rho / (1 + np.sqrt(1 - rho**2))
    return float((1 + rounds * (rho / c - 1)) * c**rounds)


def push_sum_ratio(n: int) -> float:
    """E Φ⁺/Φ of push-sum that keeps ½ and sends ½ to a random other node, Φ = Σ‖v_i − w_i/n‖².

    u_i = v_i − w_i/n sum to 0, so Σ_{i≠j} u_i·u_j = −Φ; ¼ E Σ_i‖u_i + Σ_{j→i} u_j‖² has two squares, twice u_i·u_j with
    probability 1/(n−1), and u_j·u_k of two senders that meet with probability (n−2)/(n−1)².
    """
    return 1 / 2 - 1 / (2 * (n - 1)) - (n - 2) / (4 * (n - 1) ** 2)


def pairwise_ratio(n: int) -> float:
    """E‖Πx⁺‖²/‖Πx‖² when one random pair of n nodes averages: ½(x_i − x_j)² is lost, ‖Πx‖²/(n − 1) on average."""
    return 1 - 1 / (n - 1)


def pairwise_expected(adjacency: np.ndarray) -> np.ndarray:
    """W̄ = I − D/(2n) + (P + Pᵀ)/(2n), the expected matrix of Boyd's ticks; P_ij = 1/d_i, D_ii = Σ_j(P_ij + P_ji)."""
    P = adjacency / adjacency.sum(1, keepdims=True)
    symmetric = P + P.T
    return np.eye(len(P)) - (np.diag(symmetric.sum(1)) - symmetric) / (2 * len(P))


def averaging_time_bounds(adjacency: np.ndarray, epsilon: float) -> tuple[float, float]:
    """(½, 3) · ln(1/ε)/ln(1/λ₂(W̄)) ticks, bounds on when all but ε of the runs have ‖x − x̄‖ below ε of the start.

    Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip algorithms", bounds on the averaging time.
    """
    unit = np.log(1 / epsilon) / np.log(1 / np.linalg.eigvalsh(pairwise_expected(adjacency))[-2])
    return unit / 2, 3 * unit


def link_drop_moment[M: (float, np.ndarray)](alpha: float, mu: M, q: float) -> M:
    """E‖(I − αL_q)x‖²/‖x‖², Lx = μx, where each link fails with probability q.

    E L_q = (1 − q)L, E L_q² = (1 − q)²L² + 2q(1 − q)L, as (b_e b_eᵀ)² = 2 b_e b_eᵀ. Losing messages independently gives
    the same: then E‖L_q x‖² = (1 − q)²‖Lx‖² + q(1 − q) Σ over directed links of (x_i − x_j)².
    """
    return 1 - 2 * alpha * (1 - q) * mu + alpha**2 * ((1 - q) ** 2 * mu**2 + 2 * q * (1 - q) * mu)


# Compression.


def choco_second_moment(lam: np.ndarray, gamma: float, p: float) -> np.ndarray:
    """Return the exact map of CHOCO gossip's second moments with random-k, p = k/d, on a circulant W.

    Per mode (E xxᵀ, E xhᵀ, E hhᵀ), h = X̂, u = x − h. h⁺ = h + Mu, with independent masks of different nodes: E h⁺h⁺ᵀ =
    C + p·sym + p²U + p(1 − p) diag U, where diag U of a circulant U is the mean of its eigenvalues; E xh⁺ᵀ = E xhᵀ + p E xuᵀ.
    Then x⁺ = x + γ(W − I)h⁺. The mean of x, which is conserved, is left out.
    """
    n = len(lam)
    xx, xh, hh = np.eye(3 * n).reshape(3, n, 3 * n)
    U = xx - 2 * xh + hh
    new_hh = hh + 2 * p * (xh - hh) + p**2 * U + p * (1 - p) * U.mean(0)
    new_xh = xh + p * (xx - xh)
    k = gamma * (lam - 1)[:, None]
    whole = np.concatenate([xx + 2 * k * new_xh + k**2 * new_hh, new_xh + k * new_hh, new_hh])
    disagreement = np.ones(3 * n, bool)
    disagreement[[np.argmax(lam), n + np.argmax(lam)]] = False
    return whole[np.ix_(disagreement, disagreement)]


def radius(matrix: np.ndarray) -> float:
    """Return the spectral radius of a matrix."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def crossing(passed: Callable[[float], bool], low: float, high: float, tolerance: float = 1e-9) -> float:
    """Return the point where ``passed`` turns from false (at ``low``) to true (at ``high``), by bisection."""
    while high - low > tolerance and low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if passed(middle) else (middle, high)
    return (low + high) / 2
