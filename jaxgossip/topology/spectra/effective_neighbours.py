"""The effective number of neighbours n_W(γ): how many nodes' noise a node averages while information decays.

A walk y ← W (√γ y + ξ) with white noise ξ of unit variance has the covariance C = Σ_k γ^k W^{k+1} (Wᵀ)^{k+1}, and

    1/n_W(γ) = (1 − γ) tr(C)/n,     for symmetric (and all normal) W: (1 − γ) (1/n) Σ_i |λ_i|²/(1 − γ |λ_i|²).

It is 1 for an isolated node and n if everybody averages with everybody (Vogels, Hendrikx and Jaggi 2022, "Beyond spectral
gap: the role of the topology in decentralized learning", definition A and appendix A).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh_tridiagonal

from jaxgossip.core.arguments import guarded, reals, whole
from jaxgossip.core.errors import GraphError
from jaxgossip.topology.krylov import compact, lanczos
from jaxgossip.topology.spectra.spectrum import closed_laplacian, eigenvalues
from jaxgossip.topology.weights import Weights

GAMMAS = (0.5, 0.9, 0.99)
"""Decays shown in reports."""
ALL_EIGENVALUES_NODES = 2000
"""Up to this size all eigenvalues are computed densely."""
LYAPUNOV_NODES = 1000
"""Up to this size the covariance of a W that is not symmetric is computed densely."""
LANCZOS_STEPS = 60
"""Nodes of the quadrature; at γ = 0.99 its relative error is about 1e-6."""
PROBES = (5, 60)
"""Smallest and largest number of random vectors of an estimate."""
TARGET_ERROR = 2e-3
"""Relative standard error at which an estimate draws no further vector."""
CONVERGED = 1e-9
"""Relative change of a norm below which a power of W counts as converged."""


@dataclass(frozen=True)
class EffectiveNeighbours:
    """n_W at one decay.

    Attributes:
        gamma: γ, the decay.
        value: n_W(γ).
        standard_error: standard error of ``value`` if it is an estimate; 0 if it is exact up to rounding.
    """

    gamma: float
    value: float
    standard_error: float = 0.0


@guarded
def effective_neighbours(
    weights: Weights, gammas: Sequence[float] = GAMMAS, *, rng: np.random.Generator | int = 0
) -> tuple[EffectiveNeighbours, ...]:
    """Return n_W(γ) at each decay: exact if that is cheap, else an estimate with its standard error.

    It is computed from all eigenvalues if they have a closed form or the network is small, from the discrete Lyapunov
    equation if W is small and not symmetric, and otherwise by Hutchinson's trace estimator over random signs, with
    Lanczos quadrature for symmetric W (Ubaru, Chen and Saad 2017, "Fast estimation of tr(f(A)) via stochastic Lanczos
    quadrature").

    Args:
        weights: any weights.
        gammas: decays, 0 ≤ γ < 1.
        rng: generator of the signs, or its seed.

    Raises:
        GraphError: a decay is outside [0, 1).
    """
    decay = reals("n_W", "gammas", gammas)
    if not ((decay >= 0) & (decay < 1)).all():
        raise GraphError(f"n_W needs decays from 0 to below 1, not {', '.join(map(str, gammas))}")
    n = weights.graph.n_nodes
    closed = closed_laplacian(weights) is not None
    if closed or (weights.is_symmetric and n <= ALL_EIGENVALUES_NODES):
        inverse = 1 / neighbours_of_spectrum(eigenvalues(weights), decay)
        return _from_inverse(decay, inverse, np.zeros_like(inverse))
    if not weights.is_symmetric and n <= LYAPUNOV_NODES:
        matrix = weights.to_scipy().toarray()
        inverse = np.array([(1 - g) * np.trace(_covariance(matrix, float(g))) / n for g in decay])
        return _from_inverse(decay, inverse, np.zeros_like(inverse))
    generator = np.random.default_rng(rng)
    draws = (
        _lanczos_draws(weights, decay, generator) if weights.is_symmetric else _power_draws(weights, decay, generator)
    )
    return _from_inverse(decay, *_mean_and_error(draws))


def neighbours_of_spectrum(lam: np.ndarray, gamma: float | np.ndarray) -> np.ndarray:
    """Return n_W(γ), of γ's shape, for a normal W with eigenvalues λ: 1/n_W = (1 − γ)(1/n)Σ|λ|²/(1 − γ|λ|²)."""
    squares, gamma = np.abs(lam) ** 2, np.asarray(gamma)[..., None]
    return np.asarray(1 / ((1 - gamma) * squares / (1 - gamma * squares)).mean(-1))  # not a scalar, also for one γ


def _from_inverse(decay: np.ndarray, inverse: np.ndarray, error: np.ndarray) -> tuple[EffectiveNeighbours, ...]:
    # An error e of 1/v is an error e·v² of v.
    return tuple(
        EffectiveNeighbours(float(g), float(1 / value), float(spread / value**2))
        for g, value, spread in zip(decay, inverse, error, strict=True)
    )


def _covariance(matrix: np.ndarray, gamma: float) -> np.ndarray:
    """Return C = W (γ C + I) Wᵀ by doubling: C ← C + A C Aᵀ, A ← A², from A = √γ W (Smith 1968)."""
    factor, covariance = np.sqrt(gamma) * matrix, matrix @ matrix.T
    while True:
        more = factor @ covariance @ factor.T
        covariance = covariance + more
        if np.trace(more) <= 1e-14 * np.trace(covariance):
            return covariance
        factor = factor @ factor


def _mean_and_error(draws: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard error, (g,) each, of as many draws (g,) as reach TARGET_ERROR."""
    least, most = PROBES
    drawn: list[np.ndarray] = []
    for draw in draws:
        drawn.append(draw)
        if len(drawn) >= least:
            error = np.std(drawn, axis=0, ddof=1) / np.sqrt(len(drawn))
            if len(drawn) == most or (error <= TARGET_ERROR * np.mean(drawn, axis=0)).all():
                break
    return np.mean(drawn, axis=0), np.std(drawn, axis=0, ddof=1) / np.sqrt(len(drawn))


def _lanczos_draws(weights: Weights, decay: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield unbiased draws (g,) of 1/n_W(γ) for a symmetric W.

    The constant vector, whose eigenvalue is 1, contributes exactly 1/n and is removed from the probe z; the rest is
    (1 − γ)/n · zᵀ f(W) z with f(λ) = λ²/(1 − γλ²), by the Gauss quadrature of the Lanczos tridiagonal matrix.
    """
    matrix, n = compact(weights.to_scipy()), weights.graph.n_nodes
    while True:
        probe = rng.choice((-1.0, 1.0), n)
        probe -= probe.mean()
        size = float(np.linalg.norm(probe))
        nodes, masses = _quadrature(matrix, probe / size)
        squares = nodes**2
        values = [(masses * squares / (1 - g * squares)).sum() for g in decay]
        yield (1 + (1 - decay) * size**2 * np.array(values)) / n


def _quadrature(matrix: sp.csr_array, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights, (k,) each, of the spectral measure of a unit vector of mean zero, k ≤ LANCZOS_STEPS."""
    entries = islice(lanczos(lambda x: matrix @ x, start), LANCZOS_STEPS)
    diagonal, off_diagonal = map(np.array, zip(*entries, strict=True))
    nodes, vectors = eigh_tridiagonal(diagonal, off_diagonal[:-1])
    return nodes, vectors[0] ** 2


def _power_draws(weights: Weights, decay: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield unbiased draws (g,) of 1/n_W(γ) for any W: 1/n + (1 − γ)/n Σ_k γ^k ‖W^{k+1} z‖² over random signs z.

    As rows sum to one, the constant vector contributes exactly 1/n and is removed from z.
    """
    matrix, n = compact(weights.to_scipy()), weights.graph.n_nodes
    while True:
        image = rng.choice((-1.0, 1.0), n)
        image -= image.mean()
        total, power, last = np.zeros_like(decay), np.ones_like(decay), np.inf
        while True:
            image = matrix @ image
            square = float(image @ image)
            # Either the powers of W have converged, or the remaining terms are negligible.
            is_negligible = (power * square <= CONVERGED * (1 - decay) * (1 + total)).all()
            if abs(square - last) <= CONVERGED * square or is_negligible:
                total += power * square / (1 - decay)
                break
            total += power * square
            power, last = power * decay, square
        yield (1 + (1 - decay) * total) / n


@guarded
def spectral_measure(
    weights: Weights, *, probes: int = 1, rng: np.random.Generator | int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the spectral density of a symmetric W: (values, shares), (k,) float64 each, in descending order of values.

    Args:
        weights: symmetric, of at least 2 nodes; the eigenvalue 1 of the constant vector is left out.
        probes: number of random vectors, each of ``LANCZOS_STEPS`` products.
        rng: generator of the signs, or its seed.
    """
    whole("spectral_measure", "probes", probes, 1)
    matrix, generator = compact(weights.to_scipy()), np.random.default_rng(rng)
    quadratures: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(probes):
        probe = generator.choice((-1.0, 1.0), weights.graph.n_nodes)
        probe -= probe.mean()
        quadratures.append(_quadrature(matrix, probe / np.linalg.norm(probe)))
    values = np.concatenate([nodes for nodes, _ in quadratures])
    shares = np.concatenate([masses for _, masses in quadratures]) / probes
    order = np.argsort(-values)
    return values[order], shares[order]
