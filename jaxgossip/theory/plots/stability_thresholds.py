"""Stability thresholds: DGD in the step size, D² in the smallest eigenvalue of W.

DGD multiplies mode λ by λ − ηa: stable while ηa < 1 + λ_min. D² has z² = λ(2 − ηa)z − λ(1 − ηa), whose root passes −1 at
λ = −1/(3 − 2ηa): −1/3 for η → 0. Exact diffusion, D² on (I + W)/2, never gets there. The weights are I − αL on a ring of
even n, with λ_min = 1 − 4α.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import d2, dsgd, exact_diffusion
from jaxgossip.learning.quadratics import isotropic_quadratic
from jaxgossip.mixing import Operator, metropolis_hastings, operator
from jaxgossip.theory import drawing, predictions
from jaxgossip.theory.measuring import late_rate
from jaxgossip.theory.plot import Claim, Plot, at_most

N = 16
ACCURACY = 5e-4
"""Half-width of the last bracket of a threshold: a twentieth of the tolerance of the claims."""


class Thresholds(NamedTuple):
    """Thresholds of growth.

    Attributes:
        dgd: λ_min -> step size; the ring with Metropolis–Hastings weights has λ_min = −1/3.
        d2: step size -> λ_min.
        lazy: step size -> rate of exact diffusion on W with λ_min = −0.98.
    """

    dgd: dict[float, float]
    d2: dict[float, float]
    lazy: dict[float, float]


def lowest(quick: bool) -> list[float]:
    """Return the values of λ_min for DGD."""
    return [-0.6, -1 / 3, 0.2] if quick else [-0.9, -0.75, -0.6, -1 / 3, -0.1, 0.2, 0.5]


def steps(quick: bool) -> list[float]:
    """Return the step sizes for D²."""
    return [0.001, 0.4, 0.8] if quick else [0.001, 0.2, 0.4, 0.6, 0.8, 0.9]


def ring(lambda_min: float) -> Operator:
    """Return I − αL on the ring, α = (1 − λ_min)/4."""
    L = np.eye(N) * 2 - np.roll(np.eye(N), 1, 0) - np.roll(np.eye(N), -1, 0)
    return operator(topology.from_matrix(np.eye(N) - (1 - lambda_min) / 4 * L))


def predict(quick: bool) -> Thresholds:
    """Return 1 + λ_min and −1/(3 − 2ηa)."""
    return Thresholds(
        {low: predictions.largest_step("dgd", low) for low in lowest(quick)},
        {eta: predictions.d2_lowest(eta) for eta in steps(quick)},
        dict.fromkeys(steps(quick), 1.0),
    )


def measure(quick: bool) -> Thresholds:
    """Bisect between decay and growth of the disagreement, which is renormalised in every round."""
    problem = isotropic_quadratic(N, dimension=2, heterogeneity=0.0, noise=0.0, init="independent", dtype=jnp.float64)
    rounds = 4000 if quick else 8000

    def growth_rate_of(make: Callable[..., Any], *leaves: str, **form: str) -> Callable[[Operator, float], float]:
        # W and η are arguments, so that all runs of a method share one compiled program.
        return jax.jit(lambda W, eta: late_rate(make(problem, optax.sgd(eta), W, **form), leaves, rounds))

    dgd, exact, lazy = (
        growth_rate_of(dsgd, "x", form="dgd"),
        growth_rate_of(d2, "x", "c"),
        growth_rate_of(exact_diffusion, "x", "c"),
    )
    by_step, by_weights = {}, {}
    for low in lowest(quick):
        W = metropolis_hastings(topology.ring(N)) if low == -1 / 3 else ring(low)
        by_step[low] = predictions.crossing(lambda eta, W=W: float(dgd(W, eta)) > 1, 0.01, 2.0, 2 * ACCURACY)
    for eta in steps(quick):
        threshold = predictions.crossing(
            lambda low, eta=eta: float(exact(ring(-low), eta)) > 1, 0.05, 0.99, 2 * ACCURACY
        )
        by_weights[eta] = -threshold
    return Thresholds(by_step, by_weights, {eta: float(lazy(ring(-0.98), eta)) for eta in steps(quick)})


def draw(_: Thresholds, measured: Thresholds) -> Figure:
    """Left: largest step size of DGD against λ_min. Right: lowest λ_min of D² against the step size."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.8)
    low = np.linspace(-1, 0.6, 50)
    drawing.points(left, list(measured.dgd), list(measured.dgd.values()), 0, "DGD begins to diverge")
    drawing.theory(left, low, 1 + low, r"theory, $ηa = 1 + λ_{\min}$", claimed="DGD diverges from ηa")
    left.fill_between(low, 1 + low, 1.7, color="#dddddd", alpha=0.6, linewidth=0)
    left.text(-0.9, 1.15, "diverges", color="#555555")
    left.set(ylim=(0, 1.7), xlabel=r"smallest eigenvalue of W, $λ_{\min}$", ylabel="step size × curvature, ηa")
    drawing.legend(left, loc="lower right")
    eta = np.linspace(0, 0.95, 50)
    edge = np.array([predictions.d2_lowest(step) for step in eta])
    drawing.points(right, list(measured.d2), list(measured.d2.values()), 1, "D² begins to diverge")
    drawing.theory(right, eta, edge, r"theory, $λ_{\min} = -1/(3 - 2ηa)$", claimed="D² diverges below λ_min")
    right.fill_between(eta, edge, -1, color="#dddddd", alpha=0.6, linewidth=0)
    right.text(0.05, -0.75, "diverges", color="#555555")
    right.set(
        xlim=(-0.02, 0.95),
        ylim=(-1, 0),
        xlabel="step size × curvature, ηa",
        ylabel=r"smallest eigenvalue of W, $λ_{\min}$",
    )
    drawing.legend(right, loc="upper right")
    return figure


def claims(predicted: Thresholds, measured: Thresholds) -> list[Claim]:
    """Return the claims: every threshold within 1 %, and exact diffusion stable where D² has long diverged."""
    checks = [
        Claim(f"DGD diverges from ηa, λ_min = {low:.3g}", measured.dgd[low], value, 0.01)
        for low, value in predicted.dgd.items()
    ]
    checks += [
        Claim(f"D² diverges below λ_min, ηa = {eta:g}", measured.d2[eta], value, 0.01)
        for eta, value in predicted.d2.items()
    ]
    smallest = min(measured.d2)
    checks.append(Claim(f"D² diverges below −1/3 for η → 0 (here {smallest:g})", measured.d2[smallest], -1 / 3, 0.01))
    checks += [
        at_most(f"exact diffusion decays, λ_min = −0.98, ηa = {eta:g}", measured.lazy[eta], value)
        for eta, value in predicted.lazy.items()
    ]
    return checks


def stability_thresholds() -> Plot:
    """DGD diverges exactly from ηa = 1 + λ_min on, and D² with small steps exactly below λ_min = −1/3."""
    source = "Yuan, Ling and Yin 2016 (DGD); Tang et al. 2018 (D²)"
    return Plot("Stability thresholds (ring of 16)", source, predict, measure, draw, claims)
