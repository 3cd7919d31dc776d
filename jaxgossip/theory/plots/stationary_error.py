"""Stationary error of D-SGD with noise and heterogeneous data: mean + net + bias, from all eigenvalues of W.

On f_i = (a/2)‖x − b_i‖² with gradient noise N(0, s²I), every eigenvector of W is a scalar recursion z⁺ = rz + noise + pull
with variance noise/(1 − r²) and fixed point pull/(1 − r). ATC: r = λ(1 − ηa), with noise and pull times λ; CTA: the same r
without that λ; DGD: r = λ − ηa. The mode λ = 1, the mean over nodes, is the same in all three.
"""

from typing import Any, Literal, NamedTuple

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
from jaxgossip.theory.measuring import stationary
from jaxgossip.theory.plot import Claim, Plot

Form = Literal["atc", "cta", "dgd"]
FORMS: tuple[Form, ...] = ("atc", "cta", "dgd")
N, D, S = 16, 20, 1.0
SHOWN = 0.1
"""Step size at which the error is decomposed."""
TOLERANCE = 0.02


class ErrorTerms(NamedTuple):
    """Terms of (1/n)Σ E‖x_i − x*‖² in d dimensions, one entry per step size.

    Attributes:
        mean: error of the mean over nodes.
        net: disagreement due to noise.
        bias: disagreement due to heterogeneous data.
    """

    mean: np.ndarray
    net: np.ndarray
    bias: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """The total error."""
        return self.mean + self.net + self.bias


def steps(quick: bool) -> np.ndarray:
    """Return the step sizes."""
    return np.array([0.05, SHOWN, 0.2, 0.4] if quick else [0.02, 0.05, SHOWN, 0.2, 0.4, 0.6])


def targets() -> np.ndarray:
    """Return (n, d) standard normal targets b_i."""
    return np.random.default_rng(0).normal(size=(N, D))


def predict(quick: bool) -> dict[str, ErrorTerms]:
    """Return the terms by form, as sums over the closed-form spectrum of the ring."""
    W = topology.metropolis_hastings(topology.ring(N))
    lam = topology.eigenvalues(W)
    # Fourier modes are the ring's eigenvectors: energies of b̂_k are in the order of ``own``, their eigenvalues.
    energy, own = predictions.mode_energy(targets()), predictions.ring_spectrum(N)
    results = {}
    for form in FORMS:
        terms = [
            (
                predictions.mean_error(N, D, eta, S),
                predictions.net_error(form, lam, D, eta, S),
                (predictions.bias_factor(form, own, eta)[1:] ** 2 * energy[1:]).sum() / N,
            )
            for eta in steps(quick)
        ]
        results[form] = ErrorTerms(*np.array(terms).T)
    return results


def measure(quick: bool) -> dict[str, ErrorTerms]:
    """Run each form with noise and heterogeneous data, and again without noise for the bias alone."""
    copies, rounds, skip = (20, 1000, 200) if quick else (20, 4000, 400)
    W, etas = metropolis_hastings(topology.ring(N)), jnp.asarray(steps(quick))
    noisy = isotropic_quadratic(N, targets=np.tile(targets(), copies), noise=S, dtype=jnp.float64)
    noiseless = isotropic_quadratic(N, targets=targets(), noise=0.0, dtype=jnp.float64)
    results = {}
    for form in FORMS:

        def run(eta: jax.Array, problem: Any, form: Form = form, rounds: int = rounds, skip: int = skip) -> Any:
            return stationary(dsgd(problem, optax.sgd(eta), W, form=form), rounds, skip)

        errors = jax.jit(jax.vmap(lambda eta, run=run: run(eta, noisy)))(etas)
        bias = jax.jit(jax.vmap(lambda eta, run=run: run(eta, noiseless, rounds=1, skip=3000)))(etas).consensus
        results[form] = ErrorTerms(
            np.asarray(errors.mean) / copies, np.asarray(errors.consensus) / copies - np.asarray(bias), np.asarray(bias)
        )
    return results


def draw(predicted: dict[str, ErrorTerms], measured: dict[str, ErrorTerms]) -> Figure:
    """Left: error against the step size. Right: its terms at one step size."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.8)
    etas = steps(quick=len(predicted["atc"].mean) == len(steps(quick=True)))
    for number, form in enumerate(FORMS):
        drawing.series(left, etas, measured[form].total, number, form.upper())
        drawing.theory(left, etas, predicted[form].total, claimed=f"total error of {form.upper()}")
    left.set(xscale="log", yscale="log")
    drawing.ticks(left, etas)
    left.set(xlabel="step size η (curvature a = 1)", ylabel="squared error of a node, (1/n) Σ E‖x − x*‖²")
    drawing.legend(left)
    shown = int(np.flatnonzero(etas == SHOWN)[0])
    width = 0.26
    for number, form in enumerate(FORMS):
        for term, name in enumerate(ErrorTerms._fields):
            at = term + (number - 1) * width
            label = form.upper() if name == "mean" else None
            drawing.bar(right, at, measured[form][term][shown], width * 0.9, number, label)
            value = predicted[form][term][shown]
            drawing.theory(
                right, [at - width * 0.6, at + width * 0.6], [value, value], claimed=f"{name} of {form.upper()}"
            )
    right.set_xticks(range(3), ["mean\n(noise)", "net\n(noise)", "bias\n(different data)"])
    right.set_ylabel(f"part of the squared error at η = {SHOWN:g}")
    drawing.legend(right)
    return figure


def claims(predicted: dict[str, ErrorTerms], measured: dict[str, ErrorTerms]) -> list[Claim]:
    """Return the claims: the total within 2 % at every step size, and each term at the one that is decomposed."""
    etas = steps(quick=len(predicted["atc"].mean) == len(steps(quick=True)))
    checks = []
    for form in FORMS:
        total, expected = measured[form].total, predicted[form].total
        checks += [
            Claim(f"total error of {form.upper()}, η = {eta:g}", total[k], expected[k], TOLERANCE)
            for k, eta in enumerate(etas)
        ]
        shown = int(np.flatnonzero(etas == SHOWN)[0])
        checks += [
            Claim(
                f"{name} of {form.upper()}, η = {SHOWN:g}",
                getattr(measured[form], name)[shown],
                getattr(predicted[form], name)[shown],
                tolerance,
            )
            for name, tolerance in (("mean", TOLERANCE), ("net", TOLERANCE), ("bias", 1e-6))
        ]
    return checks


def stationary_error() -> Plot:
    """All eigenvalues of W, not its gap alone, tell where D-SGD stops: error = mean + net + bias, for ATC, CTA and DGD."""
    source = "modes of W decouple on isotropic quadratics: one scalar Lyapunov equation each"
    return Plot("Stationary error of D-SGD (ring of 16, d = 20)", source, predict, measure, draw, claims)
