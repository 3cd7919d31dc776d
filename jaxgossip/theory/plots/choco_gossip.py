"""CHOCO gossip with random-k: the exact rate of its second moments, and the largest consensus rate γ.

With p = k/d, u = x − h (h the public copy) and independent masks of different nodes:

    E h⁺h⁺ᵀ = C + p·sym + p²U + p(1 − p) diag U,   C = E hhᵀ,  sym = E(huᵀ + uhᵀ),  U = E uuᵀ;    x⁺ = x + γ(W − I)h⁺

On a ring every moment is circulant, so the map acts on three numbers per mode, coupled only by diag U; its spectral radius
is the rate of E‖Πx‖². On the ring of 25 with p = 0.1 it is 0.997887 at γ = 0.05 (0.997868 has been quoted, but runs give
0.997886), 0.995733 at γ = 0.1, and 1 at γ = 0.1577.

Koloskova, Stich and Jaggi 2019, CHOCO-Gossip.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import choco
from jaxgossip.compression import random_k
from jaxgossip.learning import averaging
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import moment_growth
from jaxgossip.theory.plot import Claim, Plot
from jaxgossip.theory.predictions import choco_second_moment, crossing, radius, ring_spectrum

N, KEPT = 25, 0.1
QUOTED = ((0.1, 0.995733),)
LARGEST = 0.1577


class Rates(NamedTuple):
    """Rates by consensus rate.

    Attributes:
        gammas: (g,) consensus rates.
        rates: (g,) factor by which a late round multiplies E‖Πx‖².
        largest: γ at which that factor is 1.
    """

    gammas: np.ndarray
    rates: np.ndarray
    largest: float


def gammas(quick: bool) -> np.ndarray:
    """Return the consensus rates that are run; the last two are on either side of the largest that converges."""
    return np.array([0.05, 0.1, 0.155, 0.161] if quick else [0.02, 0.05, 0.08, 0.1, 0.12, 0.135, 0.155, 0.161])


def moment_rate(gamma: float) -> float:
    """Return the spectral radius of the map of second moments."""
    return radius(choco_second_moment(ring_spectrum(N), gamma, KEPT))


def predict(quick: bool) -> Rates:
    """Return the rate of the second moments, and γ at which it is 1."""
    tried = gammas(quick)
    largest = crossing(lambda gamma: moment_rate(gamma) > 1, 0.01, 1.0, 1e-7)
    return Rates(tried, np.array([moment_rate(gamma) for gamma in tried]), largest)


def measure(quick: bool) -> Rates:
    """Run CHOCO gossip at each γ; the largest is interpolated between the last two."""
    tried = gammas(quick)
    # Beyond γ = 0.14 rare columns dominate the mean, which takes longer to settle.
    runs = [((8000, 3000) if quick else (12_000, 6000)) if gamma > 0.14 else (2000, 800) for gamma in tried]
    rates = np.array([_late_rate(float(gamma), *size) for gamma, size in zip(tried, runs, strict=True)])
    return Rates(tried, rates, float(np.interp(1.0, rates[-2:], tried[-2:])))


def _late_rate(gamma: float, rounds: int, dimension: int) -> float:
    """Return the factor on second moments per late round, started at the slowest mode, where x and its copy agree."""
    problem = averaging(N, dimension=dimension, dtype=jnp.float64)
    W = metropolis_hastings(topology.ring(N))
    algorithm = choco(problem, optax.sgd(0.0), W, random_k(fraction=KEPT), consensus_rate=gamma)
    x = jnp.cos(2 * jnp.pi * (jnp.arange(N)[:, None] / N + jnp.arange(dimension) / dimension))
    return moment_growth(algorithm, x, rounds, rounds // 4)


def draw(predicted: Rates, measured: Rates) -> Figure:
    """1 − rate against γ; the method converges above 0."""
    figure, (axes,) = drawing.page(width=5.6, height=3.9)
    fine = np.linspace(0.01, predicted.gammas[-1] + 0.005, 60)
    drawing.points(axes, measured.gammas, (1 - measured.rates) * 1e3, 0, "CHOCO gossip, random-k")
    drawing.theory(axes, fine, np.array([1 - moment_rate(gamma) for gamma in fine]) * 1e3,
                   claimed="rate at γ = ")  # fmt: skip
    axes.axhline(0, color="#777777", linewidth=0.8)
    axes.axvline(predicted.largest, color="#777777", linewidth=0.8, linestyle=":")
    axes.annotate(
        f"largest γ\n{predicted.largest:.4f} predicted\n{measured.largest:.4f} measured",
        (predicted.largest, -2.5),
        xytext=(-14, 0),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    axes.set_xlabel(f"consensus rate γ (ring of {N}, a tenth of the columns sent)")
    axes.set_ylabel("lost by E‖Πx‖² a round, 1 − rate, in 10⁻³")
    drawing.legend(axes, loc="upper left")
    return figure


def claims(predicted: Rates, measured: Rates) -> list[Claim]:
    """Return the claims.

    Each rate within 10⁻⁴, and hence the largest γ within 2.2·10⁻⁴, as the rate rises by 0.45 γ there.
    """
    at = dict(zip(measured.gammas, measured.rates, strict=True))
    return [
        *(
            Claim(f"rate at γ = {gamma}", rate, theory, 1e-4, "absolute")
            for gamma, rate, theory in zip(measured.gammas, measured.rates, predicted.rates, strict=True)
        ),
        *(Claim(f"rate at γ = {gamma}, as quoted", at[gamma], rate, 1e-4, "absolute") for gamma, rate in QUOTED),
        Claim("largest γ", measured.largest, predicted.largest, 2.2e-4, "absolute"),
        Claim("largest γ, as quoted", measured.largest, LARGEST, 2.2e-4, "absolute"),
    ]


def choco_gossip() -> Plot:
    """CHOCO gossip contracts at the rate of its exact second moments, up to a largest consensus rate that they give."""
    source = "Koloskova, Stich and Jaggi 2019, CHOCO-Gossip; second moments: here, exact"
    return Plot("CHOCO gossip", source, predict, measure, draw, claims)
