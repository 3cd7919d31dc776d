"""Exact methods with local steps, coins and flows: LED, ProxSkip, DLM, DiNNO and Wang–Elia, each with its predicted rate.

On f_i = ½‖x − b_i‖² without noise each is a 2 × 2 matrix in mode λ of W (:mod:`jaxgossip.theory.predictions`). Of LED the
rate of a round hardly depends on its local steps, as long as their number times the step size stays the same. DLM is EXTRA
with I − 2ηρL in the place of W, and DiNNO is DLM whose step is that of B inner steps, (1 − (1 − ηh)^B)/h with h = a + 2ρd.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import algorithms, topology
from jaxgossip.algorithms import Algorithm
from jaxgossip.core.units import counted
from jaxgossip.learning import isotropic_quadratic
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.theory import drawing, predictions
from jaxgossip.theory.measuring import late_rate, trajectory
from jaxgossip.theory.plot import Claim, Plot, at_most
from jaxgossip.theory.predictions import Mode

N, D, PENALTY, INNER = 16, 4, 0.5, 5
SHOWN, ROUNDS = 300, 2500
H = 1 + 2 * PENALTY * 2
"""Curvature of what DiNNO's inner steps minimise, with the penalty of a link and two links a node."""


class Method(NamedTuple):
    """A method, how to build it, and its mode.

    Attributes:
        build: its builder.
        eta: step size.
        options: further arguments.
        leaves: fields of the state on which the rate is measured.
        mode: the matrix of a mode.
    """

    build: Callable[..., Algorithm]
    eta: float
    options: dict[str, Any]
    leaves: tuple[str, ...]
    mode: Mode

    def make(self, targets: np.ndarray) -> Algorithm:
        """Return the algorithm on the ring, with a different start at each node."""
        problem = isotropic_quadratic(N, targets=targets, noise=0.0, init="independent", dtype=jnp.float64)
        return self.build(problem, optax.sgd(self.eta), metropolis_hastings(topology.ring(N)), **self.options)


def methods() -> dict[str, Method]:
    """Return the methods. Penalties are those of a link, times the three links' weights of W."""
    led = {steps: predictions.led_mode(0.2 / steps, steps, 1 / steps) for steps in (1, 5, 10)}
    step = (1 - (1 - 0.1 * H) ** INNER) / H
    return {
        **{
            f"LED, {counted(steps, 'step')}": Method(
                algorithms.led, 0.2 / steps, {"local_steps": steps}, ("x", "c"), mode
            )
            for steps, mode in led.items()
        },
        "ProxSkip, P = 1": Method(
            algorithms.proxskip, 0.2, {"probability": 1.0}, ("x", "c"), predictions.exact_diffusion_mode(0.2)
        ),
        "DLM": Method(algorithms.dlm, 0.2, {"penalty": 3 * 5 / 6}, ("x", "dual"), predictions.dlm_mode(0.2, 5 / 6)),
        "DiNNO, 5 steps": Method(
            algorithms.dinno,
            0.1,
            {"penalty": 3 * PENALTY, "local_steps": INNER},
            ("x", "dual"),
            predictions.dlm_mode(step, PENALTY),
        ),
        "Wang–Elia": Method(algorithms.wang_elia, 0.2, {}, ("x", "z"), predictions.wang_elia_mode(0.2)),
    }


class Results(NamedTuple):
    """Rates by method, and errors √((1/n)Σ‖x_i − x*‖²), (rounds + 1,), by method."""

    rates: dict[str, float]
    errors: dict[str, np.ndarray]


def targets() -> np.ndarray:
    """Return (n, d), the targets b_i."""
    return np.random.default_rng(0).normal(size=(N, D))


def predict(quick: bool) -> Results:
    """Return the largest modulus over all modes but that of the mean, which is no disagreement."""
    del quick
    lam = predictions.ring_spectrum(N)[1:]
    rates = {name: float(np.abs(predictions.spectrum(method.mode, lam)).max()) for name, method in methods().items()}
    return Results(rates, {})


def measure(quick: bool) -> Results:
    """Run every method on different targets, and on the same ones for its rate."""
    rates, errors = {}, {}
    for name, method in methods().items():
        x = trajectory(method.make(targets()), ROUNDS)
        errors[name] = np.sqrt(np.square(x - targets().mean(0)).sum(2).mean(1))
        alike, rounds = method.make(np.zeros((N, D))), 2000 if quick else 6000
        rates[name] = float(jax.jit(lambda alike=alike, m=method, rounds=rounds: late_rate(alike, m.leaves, rounds))())
    return Results(rates, errors)


def draw(predicted: Results, measured: Results) -> Figure:
    """Error against rounds; dashed, the predicted slopes."""
    figure, (axes,) = drawing.page(width=6.4, height=4.2)
    t = np.arange(SHOWN + 1)
    for number, (name, error) in enumerate(measured.errors.items()):
        drawing.series(axes, t, error[: SHOWN + 1], number, name)
        fitted = np.flatnonzero((error[: SHOWN + 1] < 3e-1) & (error[: SHOWN + 1] > 1e-12))
        middle = fitted[len(fitted) // 2]
        drawing.theory(
            axes, fitted, error[middle] * predicted.rates[name] ** (fitted - middle), claimed=f"rate of {name}"
        )
    axes.set(yscale="log", ylim=(1e-13, 10), xlabel="round", ylabel="root mean square error, √((1/n) Σ ‖x − x*‖²)")
    drawing.legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def claims(predicted: Results, measured: Results) -> list[Claim]:
    """Return the claims: rates within 0.1 %, LED's alike for all numbers of steps, and no remaining error but Wang–Elia's."""
    checks = [Claim(f"rate of {name}", measured.rates[name], rate, 1e-3) for name, rate in predicted.rates.items()]
    checks += [
        at_most(f"error of {name} after {ROUNDS} rounds", float(error[-1]), 1e-9 if name != "Wang–Elia" else 0.02)
        for name, error in measured.errors.items()
    ]
    led = [rate for name, rate in measured.rates.items() if name.startswith("LED")]
    return [*checks, at_most("LED: largest difference of its rates", max(led) - min(led), 0.02)]


def newer_exact_methods() -> Plot:
    """LED, ProxSkip, DLM, DiNNO and Wang–Elia reach the optimum at predicted rates, with many local steps or few."""
    source = "Alghunaim 2023 (LED); Guo et al. 2023; Ling et al. 2015 (DLM); Yu et al. 2022 (DiNNO); Wang and Elia 2010"
    return Plot("Exact methods with local steps, coins and flows (ring of 16)", source, predict, measure, draw, claims)
