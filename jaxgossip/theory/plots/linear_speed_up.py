"""Linear speed-up: on the complete graph n nodes are n times as accurate as one.

x̄⁺ = (1 − ηa)x̄ + noise of variance η²s²/n in each of d coordinates, so E‖x̄ − x*‖² = dηs²/(na(2 − ηa)); all nodes agree.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import dsgd
from jaxgossip.learning.quadratics import isotropic_quadratic
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.theory import drawing, predictions
from jaxgossip.theory.measuring import Errors, stationary
from jaxgossip.theory.plot import Claim, Plot

D, S = 400, 1.0
STEPS = (0.1, 0.4)


class Speed(NamedTuple):
    """Squared errors (steps, sizes)."""

    sizes: np.ndarray
    errors: np.ndarray


def sizes(quick: bool) -> np.ndarray:
    """Return the numbers of nodes."""
    return 2 ** np.arange(1, 5 if quick else 9)


def predict(quick: bool) -> Speed:
    """Return dηs²/(na(2 − ηa))."""
    n = sizes(quick)
    return Speed(n, np.array([[predictions.mean_error(int(k), D, eta, S) for k in n] for eta in STEPS]))


def measure(quick: bool) -> Speed:
    """Return time averages of D-SGD on complete graphs; each of the 400 columns is an independent run."""
    rounds = 600 if quick else 1200
    columns = []
    for n in map(int, sizes(quick)):
        W = metropolis_hastings(topology.complete(n))
        problem = isotropic_quadratic(n, dimension=D, heterogeneity=0.0, noise=S, dtype=jnp.float64)

        def run(eta: jax.Array, problem=problem, W=W) -> Errors:  # noqa: ANN001
            return stationary(dsgd(problem, optax.sgd(eta), W), rounds, 100)

        columns.append(np.asarray(jax.jit(jax.vmap(run))(jnp.asarray(STEPS)).total))
    return Speed(sizes(quick), np.array(columns).T)


def draw(predicted: Speed, measured: Speed) -> Figure:
    """Error against the number of nodes, on logarithmic axes: a line of slope −1."""
    figure, (axes,) = drawing.page(width=5.6, height=4.0)
    for number, eta in enumerate(STEPS):
        drawing.series(axes, measured.sizes, measured.errors[number] / D, number, f"D-SGD, η = {eta:g}")
        drawing.theory(axes, predicted.sizes, predicted.errors[number] / D, claimed="squared error, n = ")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    drawing.ticks(axes, measured.sizes)
    axes.set(xlabel="nodes n of a complete graph", ylabel="squared error of a coordinate, E‖x − x*‖² / d")
    drawing.legend(axes)
    return figure


def claims(predicted: Speed, measured: Speed) -> list[Claim]:
    """Return the claims: slope −1 ± 0.03, and every value within 3 %."""
    checks = []
    for row, eta in enumerate(STEPS):
        slope = np.polyfit(np.log(measured.sizes), np.log(measured.errors[row]), 1)[0]
        checks.append(Claim(f"slope of log error by log n, η = {eta:g}", float(slope), -1.0, 0.03, "absolute"))
        checks += [
            Claim(f"squared error, n = {n}, η = {eta:g}", measured.errors[row, k], predicted.errors[row, k], 0.03)
            for k, n in enumerate(measured.sizes)
        ]
    return checks


def linear_speed_up() -> Plot:
    """At a fixed step size, n nodes that agree have 1/n of the squared error of one: linear speed-up."""
    source = "Lian et al. 2017, Can decentralized algorithms outperform centralized algorithms?"
    return Plot("Linear speed-up", source, predict, measure, draw, claims)
