"""Exact methods: heterogeneous data bias D-SGD, but not gradient tracking, EXTRA, D² and exact diffusion.

Each method is linear on f_i = ½‖x − b_i‖² without noise: at eigenvalue λ of W it is a 2 × 2 matrix
(:mod:`jaxgossip.theory.predictions`), and the largest modulus over all λ is its rate. λ = 1 also has a neutral root, the
invariant on which the method starts and stays.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.learning.quadratics import isotropic_quadratic
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.simulation import simulate
from jaxgossip.theory import drawing, predictions
from jaxgossip.theory.measuring import late_rate, trajectory
from jaxgossip.theory.plot import Claim, Plot, at_most

N, D, ETA, LARGE = 16, 4, 0.2, 0.6
SHOWN, ROUNDS = 1000, 3000


class Method(NamedTuple):
    """A method and how to build it.

    Attributes:
        algorithm: name in the registry.
        form: form of the method, if it has several.
        leaves: leaves of the state on which the rate is measured.
    """

    algorithm: str
    form: str | None
    leaves: tuple[str, ...]

    def make(self, eta: float | jax.Array, *, heterogeneity: float = 1.0) -> Algorithm:
        """Return the algorithm on the ring, without noise, with a different start at each node."""
        problem = isotropic_quadratic(
            N, dimension=D, targets=heterogeneity * targets(), noise=0.0, init="independent", dtype=jnp.float64
        )
        options = {} if self.form is None else {"form": self.form}
        return ALGORITHMS[self.algorithm](problem, optax.sgd(eta), metropolis_hastings(topology.ring(N)), **options)


def targets() -> np.ndarray:
    """Return (n, d), the targets b_i."""
    return np.random.default_rng(0).normal(size=(N, D))


def methods() -> dict[str, Method]:
    """Return the exact methods, and D-SGD last."""
    return {
        "DIGing": Method("gradient_tracking", "diging", ("x", "y", "g")),
        "ATC tracking": Method("gradient_tracking", "atc", ("x", "y", "g")),
        "EXTRA": Method("extra", None, ("x", "c")),
        "D²": Method("d2", None, ("x", "c")),
        "exact diffusion": Method("exact_diffusion", None, ("x", "c")),
        "D-SGD": Method("dsgd", "atc", ("x",)),
    }


class Course(NamedTuple):
    """Predicted or measured course of a method.

    Attributes:
        rate: factor on the disagreement per late round.
        large: the same at the large step size.
        floor: √((1/n)Σ‖x_i − x*‖²) at the end.
    """

    rate: float
    large: float
    floor: float


class Results(NamedTuple):
    """Courses by method, errors (rounds + 1,) by method, and whether the engine reports that DIGing diverged."""

    courses: dict[str, Course]
    errors: dict[str, np.ndarray]
    diverged: bool


def predict(quick: bool) -> Results:
    """Return rates from the matrices of the modes, and the floor of D-SGD from its fixed point."""
    del quick
    lam = predictions.ring_spectrum(N)
    modes = {
        "DIGing": predictions.diging_mode,
        "ATC tracking": predictions.atc_tracking_mode,
        "EXTRA": predictions.extra_mode,
        "D²": predictions.d2_mode,
        "exact diffusion": predictions.exact_diffusion_mode,
    }
    courses = {}
    for name, mode in modes.items():
        # The mode of the mean, λ = 1, is no disagreement; its own root 1 − η is smaller here.
        rate, large = (float(np.abs(predictions.spectrum(mode(eta), lam[1:])).max()) for eta in (ETA, LARGE))
        courses[name] = Course(rate, large, 0.0)
    energy = predictions.mode_energy(targets())[1:]
    bias = (predictions.bias_factor("atc", lam[1:], ETA) ** 2 * energy).sum() / N
    courses["D-SGD"] = Course(float(lam[1] * (1 - ETA)), float(lam[1] * (1 - LARGE)), float(np.sqrt(bias)))
    return Results(courses, {}, diverged=True)


def measure(quick: bool) -> Results:
    """Run every method on heterogeneous data, on identical data for its rate, and DIGing at the large step size."""
    courses, errors = {}, {}
    for name, method in methods().items():
        algorithm = method.make(ETA)
        optimum = np.asarray(algorithm.problem.optimum)  # pyright: ignore[reportAttributeAccessIssue] # a quadratic
        x = trajectory(algorithm, ROUNDS)
        errors[name] = np.sqrt(np.square(x - optimum).sum(2).mean(1))

        def rate(eta: jax.Array, method: Method = method) -> jax.Array:
            return late_rate(method.make(eta, heterogeneity=0.0), method.leaves, 2000 if quick else 6000)

        rates = jax.jit(jax.vmap(rate))(jnp.array([ETA, LARGE]))
        courses[name] = Course(float(rates[0]), float(rates[1]), float(errors[name][-1]))
    result = simulate(methods()["DIGing"].make(LARGE), ROUNDS, evaluate_every=ROUNDS)
    return Results(courses, errors, result.status == "diverged")


def draw(predicted: Results, measured: Results) -> Figure:
    """Error against rounds; dashed, the predicted slopes and the floor of D-SGD."""
    figure, (axes,) = drawing.page(width=6.4, height=4.2)
    t = np.arange(SHOWN + 1)
    for number, (name, error) in enumerate(measured.errors.items()):
        drawing.series(axes, t, error[: SHOWN + 1], number, name)
        course = predicted.courses[name]
        if course.floor:
            drawing.theory(axes, t[[0, -1]], [course.floor] * 2, claimed=f"floor of {name}")
            continue
        # Where the error is between these bounds and above the floor of rounding.
        fitted = np.flatnonzero((error[: SHOWN + 1] < 3e-2) & (error[: SHOWN + 1] > 1e-12))
        middle = fitted[len(fitted) // 2]
        slope = error[middle] * course.rate ** (fitted - middle)
        drawing.theory(axes, fitted, slope, claimed=f"rate of {name}, η = {ETA:g}")
    axes.set(yscale="log", ylim=(1e-13, 10), xlabel="round", ylabel="root mean square error, √((1/n) Σ ‖x − x*‖²)")
    drawing.legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def claims(predicted: Results, measured: Results) -> list[Claim]:
    """Return the claims.

    Rates within 0.1 %, no remaining error except D-SGD's floor, and DIGing diverging at the large step size.
    """
    checks = []
    for name, expected in predicted.courses.items():
        course = measured.courses[name]
        checks.append(Claim(f"rate of {name}, η = {ETA:g}", course.rate, expected.rate, 1e-3))
        checks.append(Claim(f"rate of {name}, η = {LARGE:g}", course.large, expected.large, 1e-3))
        if expected.floor:
            checks.append(Claim(f"floor of {name}", course.floor, expected.floor, 0.02))
        else:
            checks.append(at_most(f"error of {name} after {ROUNDS} rounds", course.floor, 1e-9))
    checks.append(
        Claim(f"whether DIGing diverges, η = {LARGE:g}", measured.diverged, predicted.diverged, 0, "absolute")
    )
    return checks


def exact_methods() -> Plot:
    """Gradient tracking, EXTRA, D² and exact diffusion reach the optimum at predicted rates where D-SGD stops at its bias."""
    source = "Shi et al. 2015 (EXTRA); Nedić, Olshevsky and Shi 2017 (DIGing); Tang et al. 2018 (D²); Yuan et al. 2019"
    return Plot("Exact methods (ring of 16, η = 0.2, different data)", source, predict, measure, draw, claims)
