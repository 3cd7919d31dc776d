"""Accelerated averaging: Chebyshev polynomials and the shift register need only the square root of the time.

Chebyshev reduces mode λ to T_K((λ − c)/h)/T_K(μ) after K rounds, at most 1/T_K(μ), with μ = (1 − c)/h and c and h the
centre and half-width of [λ_min, λ₂]. The shift register's slowest mode has the double root √(ω − 1) = ρ/(1 + √(1 − ρ²)) and
decays as t·cᵗ: a fit without the factor t would give a slower rate than the true one.
"""

from typing import NamedTuple

import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import averaging, chebyshev, shift_register
from jaxgossip.learning import quadratics
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.theory import drawing, predictions
from jaxgossip.theory.measuring import trajectory, worst_case_distance
from jaxgossip.theory.plot import Claim, Plot, at_most, farthest
from jaxgossip.theory.predictions import ring_spectrum

ROUNDS, SHOWN = 60, "ring 32"
METHODS = ("plain averaging", "shift register", "Chebyshev")


class Results(NamedTuple):
    """‖M_t − J‖₂, (rounds + 1,), by graph and method, and the shift register's late rate by size of a ring."""

    left: dict[str, dict[str, np.ndarray]]
    rates: dict[int, float]


def graphs() -> dict[str, topology.Graph]:
    """Return the graphs on which Chebyshev is compared with its bound."""
    return {"ring 32": topology.ring(32), "path 32": topology.path(32), "torus 4×8": topology.torus(32, shape=(4, 8))}


def sizes(quick: bool) -> list[int]:
    """Return the sizes of the rings on which the shift register's rate is measured."""
    return [32, 256] if quick else [16, 32, 64, 128, 256]


def slowest(n: int) -> float:
    """Return ρ of the ring."""
    return float(ring_spectrum(n)[1])


def predict(quick: bool) -> Results:
    """Return ρᵗ, the register's double root from ρ, and the bound 1/T_K(μ)."""
    t, left = range(ROUNDS + 1), {}
    for name, graph in graphs().items():
        W = topology.metropolis_hastings(graph)
        lam, rho = topology.eigenvalues(W), topology.second_largest_modulus(W)
        left[name] = {
            "plain averaging": rho ** np.array(t),
            "shift register": np.array([predictions.register_left(rho, k) for k in t]),
            # At the end of the interval the polynomial is ±1, so this is the bound itself.
            "Chebyshev": np.array([abs(predictions.chebyshev_left(lam[1], lam[-1], lam[1], k)) for k in t]),
        }
    return Results(left, {n: slowest(n) / (1 + np.sqrt(1 - slowest(n) ** 2)) for n in sizes(quick)})


def measure(quick: bool) -> Results:
    """Average the n unit vectors by each method, and let the slowest mode of rings decay under the shift register."""
    idle, left = optax.identity(), {}
    for name, graph in graphs().items():
        W, unit = metropolis_hastings(graph), quadratics.averaging(32, values=np.eye(32), dtype=np.float64)
        algorithms = (build(unit, idle, W) for build in (averaging, shift_register, chebyshev))
        left[name] = {
            method: worst_case_distance(trajectory(algorithm, ROUNDS))
            for method, algorithm in zip(METHODS, algorithms, strict=True)
        }
    return Results(left, {n: _register_rate(n) for n in sizes(quick)})


def _register_rate(n: int) -> float:
    """Fit t·cᵗ to the slowest mode, from where the factor t dominates to where rounding does."""
    start = np.cos(2 * np.pi * np.arange(n) / n)[:, None]
    problem = quadratics.averaging(n, values=start, dtype=np.float64)
    rounds = 6 * n
    x = trajectory(shift_register(problem, optax.identity(), metropolis_hastings(topology.ring(n))), rounds)
    left = np.abs(x[:, :, 0] @ start[:, 0]) / (start[:, 0] @ start[:, 0])
    late = np.flatnonzero((np.arange(rounds + 1) >= n) & (left > 1e-10))
    return float(np.exp(np.polyfit(late, np.log(left[late] / late), 1)[0]))


def draw(predicted: Results, measured: Results) -> Figure:
    """Left: remainder of the worst start. Right: reduction by a late round, against n."""
    figure, (left, right) = drawing.page(2, width=4.5, height=3.9)
    t = np.arange(ROUNDS + 1)
    for number, method in enumerate(METHODS):
        drawing.series(left, t, measured.left[SHOWN][method], number, method)
        drawing.theory(left, t, predicted.left[SHOWN][method], claimed=f"{method}, ‖M − J‖₂ in any round, {SHOWN}")
    left.set(yscale="log", xlabel=f"round ({SHOWN})", ylabel="left of the worst start, ‖M − J‖₂")
    drawing.legend(left, loc="lower left")
    n = np.array(list(measured.rates))
    plain = np.array([1 - slowest(nodes) for nodes in measured.rates])
    drawing.reference(right, n, plain, "beside it: 1 − ρ of plain averaging")
    drawing.series(right, n, 1 - np.array(list(measured.rates.values())), 1, "shift register")
    drawing.theory(right, n, 1 - np.array(list(predicted.rates.values())), "theory, shift register, 1 − √(ω − 1)",
                   claimed="1 − rate of the shift register, ring ")  # fmt: skip
    right.set_xscale("log", base=2)
    right.set_yscale("log")
    drawing.ticks(right, n)
    right.set(xlabel="nodes n of a ring", ylabel="1 − rate of a late round")
    drawing.legend(right, loc="lower left")
    return figure


def claims(predicted: Results, measured: Results) -> list[Claim]:
    """Return the claims: Chebyshev respects its bound in every round, and the shift register's rate is within 2 %."""
    checks = []
    for name, methods in measured.left.items():
        bound = predicted.left[name]["Chebyshev"]
        # The slowest mode attains the bound: the tolerance covers rounding only, and a bound near rounding is meaningless.
        above_rounding = bound > 1e-6
        worst = (methods["Chebyshev"] / bound)[above_rounding].max()
        checks.append(at_most(f"Chebyshev, greatest ‖M − J‖₂ · T_K(μ), {name}", worst, 1.0, 1e-9))
        last = int(np.flatnonzero(above_rounding)[-1])
        checks.append(
            Claim(f"Chebyshev, ‖M − J‖₂ after {last} rounds, {name}", methods["Chebyshev"][last], bound[last], 1e-6)
        )
        checks += [
            farthest(f"{method}, ‖M − J‖₂ in any round, {name}", left, predicted.left[name][method], 1e-12, "absolute")
            for method, left in methods.items()
        ]
    checks += [
        Claim(f"rate of the shift register against t·cᵗ, ring {n}", measured.rates[n], rate, 0.02)
        for n, rate in predicted.rates.items()
    ]
    # Two per cent of a rate near 1 is much of its distance from 1, which is what matters.
    checks += [
        Claim(f"1 − rate of the shift register, ring {n}", 1 - measured.rates[n], 1 - rate, 0.02)
        for n, rate in predicted.rates.items()
    ]
    return checks


def acceleration() -> Plot:
    """Chebyshev never exceeds 1/T_K(μ), and the shift register's rate has the square root of the gap: acceleration."""
    source = "Golub and Varga 1961; Muthukrishnan, Ghosh and Schultz 1998"
    return Plot("Accelerated averaging", source, predict, measure, draw, claims)
