"""Random graphs: the threshold of connectedness, and spectral gaps as functions of p, β and r."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_least
from jaxgossip.topology import erdos_renyi, uniform

NODES, SWEPT = 1000, 400
"""Numbers of nodes for connectedness and for spectral gaps."""
C = (-2, -1, 0, 1, 2, 3, 4)
MEAN_DEGREES = (10, 15, 20, 30, 40, 60, 80, 120)
BETAS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
RADII = (0.15, 0.2, 0.25, 0.3)
RING_DEGREE = 6
LEAST_DEGREE, LEAST_REACH = 20, 0.2
"""Limits from which graphs are dense enough for the laws of dense graphs, which are drawn only there."""


class SweepResults(NamedTuple):
    """Results of the sweeps.

    Attributes:
        connected: (c,) probability that G(n, (ln n + c)/n) is connected.
        p: (p,) gap of G(n, p) against p.
        beta: (β,) gap of Watts–Strogatz graphs; in theory at β = 0 only.
        r: (r,) gap of random geometric graphs.
    """

    connected: np.ndarray
    p: np.ndarray
    beta: np.ndarray
    r: np.ndarray


def predict(_: bool) -> SweepResults:
    """Return the limits known from theory.

    G(n, p): A has one eigenvalue np, and Wigner's semicircle of radius R = 2√(np(1 − p)): with W = (A + I)/(d + 1) the gap is
    1 − (R + 1)/(np + 1). Watts–Strogatz, β = 0: the circulant (1 + 2Σ_{j≤3} cos(2πj/n))/7. Geometric: a step inside a disc
    has variance r²/4 in each coordinate, and the slowest mode of the square, cos πx, decays by π²/2 times that: π²r²/8.
    """
    c, degree, r = (np.array(values, float) for values in (C, MEAN_DEGREES, RADII))
    ring = (1 + 2 * np.cos(2 * np.pi * np.arange(1, RING_DEGREE // 2 + 1) / SWEPT).sum()) / (RING_DEGREE + 1)
    return SweepResults(
        np.exp(-np.exp(-c)),
        1 - (2 * np.sqrt(degree * (1 - degree / SWEPT)) + 1) / (degree + 1),
        np.array([1 - ring]),
        np.pi**2 * r**2 / 8,
    )


def measure(quick: bool) -> SweepResults:
    """Sample graphs, and measure connectedness and gaps."""
    replicas, graphs = (400, 2) if quick else (1000, 4)
    connected = [
        np.mean([erdos_renyi(NODES, p=(np.log(NODES) + c) / NODES, rng=seed).is_connected for seed in range(replicas)])
        for c in C
    ]

    def gaps(make: Callable[..., topology.Graph], values: tuple[float, ...]) -> np.ndarray:
        gap_samples = [[_gap(make(value, seed)) for seed in range(graphs)] for value in values]
        return np.array(gap_samples).mean(1)

    return SweepResults(
        np.array(connected),
        gaps(lambda degree, seed: erdos_renyi(SWEPT, p=degree / SWEPT, rng=seed), MEAN_DEGREES),
        gaps(lambda beta, seed: topology.watts_strogatz(SWEPT, RING_DEGREE, beta, rng=seed), BETAS),
        gaps(lambda r, seed: topology.random_geometric(SWEPT, radius=r, rng=seed), RADII),
    )


def _gap(graph: topology.Graph) -> float:
    """Return 1 − max(λ₂, −λ_min) of W = (A + I)/(d + 1), whose eigenvalues are those of the symmetric D^½ W D^−½."""
    root = np.sqrt(graph.degrees + 1)
    lam = np.linalg.eigvalsh(uniform(graph).to_scipy().toarray() * root[:, None] / root)
    return 1 - float(max(lam[-2], -lam[0]))


def draw(predicted: SweepResults, measured: SweepResults) -> Figure:
    """Connectedness and the three gaps."""
    figure, (first, second, third, fourth) = drawing.page(4, width=3.0, height=3.5)
    drawing.series(first, C, measured.connected, 0, f"measured, n = {NODES}")
    fine = np.linspace(C[0], C[-1], 100)
    drawing.theory(first, fine, np.exp(-np.exp(-fine)), "theory, exp(−e⁻ᶜ)", claimed="share connected, c = ")
    first.set(ylabel="share of graphs that are connected", xlabel="c, where p = (ln n + c)/n")
    drawing.title(first, "Erdős–Rényi: connected")
    drawing.legend(first, loc="lower right", borderaxespad=0.6)
    drawing.title(second, "Erdős–Rényi: gap")
    drawing.series(second, np.array(MEAN_DEGREES) / SWEPT, measured.p, 1, f"measured, n = {SWEPT}")
    dense = np.array(MEAN_DEGREES) >= LEAST_DEGREE
    drawing.theory(
        second,
        np.array(MEAN_DEGREES)[dense] / SWEPT,
        predicted.p[dense],
        "theory, semicircle",
        claimed="gap of G(n, p), ",
    )
    second.set(xlabel="p, probability of an edge", ylim=(0, 1))
    drawing.title(third, "Watts–Strogatz: gap")
    betas = np.maximum(BETAS, 3e-4)
    drawing.series(third, betas, measured.beta, 2, f"measured, n = {SWEPT}, {RING_DEGREE} links")
    drawing.theory(
        third, [2e-4, 5e-4], predicted.beta[[0, 0]], "theory, the ring, β = 0", claimed="gap of Watts–Strogatz, β = 0"
    )
    third.set_xscale("log")
    third.set_xticks([3e-4, 1e-3, 1e-2, 0.1, 1], ["0", "0.001", "0.01", "0.1", "1"])
    third.set_xlabel("β, share of links rewired")
    drawing.title(fourth, "Geometric: gap")
    drawing.series(fourth, RADII, measured.r, 3, f"measured, n = {SWEPT}")
    reaches_far = np.array(RADII) >= LEAST_REACH
    drawing.theory(
        fourth,
        np.array(RADII)[reaches_far],
        predicted.r[reaches_far],
        "theory, π²r²/8",
        claimed="gap of geometric graphs, r = ",
    )
    fourth.set_xscale("log")
    fourth.set_xticks(RADII, [f"{r:g}" for r in RADII])
    fourth.set_xticks([], minor=True)
    fourth.set_xlabel("r, reach on the unit square")
    for axes in (third, fourth):
        axes.set_yscale("log")
    for axes, where in ((second, "lower right"), (third, "upper left"), (fourth, "upper left")):
        axes.set_ylabel("gap of W = (A + I)/(d + 1)")
        drawing.legend(axes, loc=where, borderaxespad=0.6)
    return figure


def claims(predicted: SweepResults, measured: SweepResults) -> list[Claim]:
    """Return the claims.

    Connectedness by the limit law, gaps by closed forms where they hold, and gaps that grow with p, β and r.
    """
    checks = [
        Claim(f"share connected, c = {c}", float(share), float(limit), 0.07, "absolute")
        for c, share, limit in zip(C, measured.connected, predicted.connected, strict=True)
    ]
    checks.append(Claim("gap of Watts–Strogatz, β = 0", float(measured.beta[0]), float(predicted.beta[0]), 1e-6))
    # Laws of dense graphs: sparse graphs have rare nodes of low degree, and a small reach leaves barely connected corners.
    checks += [
        Claim(f"gap of G(n, p), mean degree {degree:g}", float(gap), float(theory), 0.05)
        for degree, gap, theory in zip(MEAN_DEGREES, measured.p, predicted.p, strict=True)
        if degree >= LEAST_DEGREE
    ]
    checks += [
        Claim(f"gap of geometric graphs, r = {r}", float(gap), float(theory), 0.15)
        for r, gap, theory in zip(RADII, measured.r, predicted.r, strict=True)
        if r >= LEAST_REACH
    ]
    for name, gaps in (("p", measured.p), ("β", measured.beta), ("r", measured.r)):
        growth = float((gaps[1:] / gaps[:-1]).min())
        checks.append(at_least(f"the gap opens with {name}: smallest growth from one to the next", growth, 1.0))
    return checks


def random_graph_thresholds() -> Plot:
    """G(n, (ln n + c)/n) is connected with probability exp(−e⁻ᶜ), and the gaps of random graphs open with p, β and r."""
    source = "Erdős and Rényi 1959, On random graphs; Füredi and Komlós 1981; Watts and Strogatz 1998"
    return Plot("Thresholds of random graphs", source, predict, measure, draw, claims)
