"""Momentum with heterogeneous data: the step size at which D-SGD has the bias of each momentum method, without noise.

    ATC D-SGD         b̂_k moves by  ηaλ/(1 − λ(1 − ηa))   in mode λ of W
    local momentum    the same at η/(1 − β):      v = βv − ηg at the fixed point
    mixed momentum    the same at η/(1 − βλ_k):   v = βλv − ηg before mixing
    DecentLaM, QG     the same at η:              G̃ = 0, or v = 0, at the fixed point

Yuan et al. 2021, "DecentLaM"; Lin et al. 2021, "Quasi-global momentum"; mixed momentum: Yu, Jin and Yang 2019.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import ALGORITHMS
from jaxgossip.learning import isotropic_quadratic
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import round_context
from jaxgossip.theory.plot import Claim, Plot, at_least
from jaxgossip.theory.predictions import bias_factor, mode_energy, momentum_step, ring_spectrum
from jaxgossip.theory.step_sizes import sgd_by_column

N, BETA, COLUMNS = 16, 0.9, 4
NAMES = (
    ("dsgdm", "local momentum"),
    ("dmsgd", "mixed momentum"),
    ("qg_dsgdm", "quasi-global"),
    ("decentlam", "DecentLaM"),
    ("dsgd", "D-SGD"),
)


class Bias(NamedTuple):
    """Bias by step size.

    Attributes:
        etas: (m,) step sizes.
        bias: (m,) (1/n)Σ‖xᵢ − x*‖² at the end, by method.
    """

    etas: np.ndarray
    bias: dict[str, np.ndarray]


def etas(quick: bool) -> np.ndarray:
    """Return the step sizes."""
    return np.geomspace(0.005, 0.08, 4 if quick else 9)


def targets() -> np.ndarray:
    """Return b_i, (n, columns)."""
    return np.random.default_rng(0).normal(size=(N, COLUMNS))


def predict(quick: bool) -> Bias:
    """Return the bias of D-SGD's fixed point at each method's equivalent step size."""
    lam = topology.eigenvalues(topology.metropolis_hastings(topology.ring(N)))
    b = targets() - targets().mean(0)
    # W is circulant: Fourier modes, sorted by their eigenvalues.
    ring_eigenvalues = ring_spectrum(N)
    energy = mode_energy(b)[np.argsort(-ring_eigenvalues)]

    def bias(name: str, eta: float) -> float:
        return float((bias_factor("atc", lam, momentum_step(name, lam, eta, BETA)) ** 2 * energy).sum()) / N

    return Bias(etas(quick), {name: np.array([bias(name, eta) for eta in etas(quick)]) for name, _ in NAMES})


def measure(quick: bool) -> Bias:
    """Run every method to its fixed point, for all step sizes at once."""
    return Bias(etas(quick), {name: _bias(name, etas(quick)) for name, _ in NAMES})


def _bias(name: str, steps: np.ndarray) -> np.ndarray:
    problem = isotropic_quadratic(
        N, dimension=COLUMNS * len(steps), noise=0.0, targets=np.tile(targets(), len(steps)), dtype=jnp.float64
    )
    optimizer, W = sgd_by_column(np.repeat(steps, COLUMNS)), metropolis_hastings(topology.ring(N))
    options = {} if name == "dsgd" else {"momentum": BETA}
    algorithm = ALGORITHMS[name](problem, optimizer, W, **options)

    def body(number, state):  # noqa: ANN001, ANN202 - (round, state) -> state
        return algorithm.step(state, round_context(number, algorithm))[0]

    rounds = int(20 / steps[0])
    state = jax.jit(lambda key: jax.lax.fori_loop(0, rounds, body, algorithm.init(key)))(jax.random.key(1))
    error = np.square(np.asarray(state.x) - targets().mean(0)[np.arange(COLUMNS * len(steps)) % COLUMNS])
    return error.sum(0).reshape(len(steps), COLUMNS).sum(1) / N


def draw(predicted: Bias, measured: Bias) -> Figure:
    """The bias against the step size."""
    figure, (axes,) = drawing.page(width=6.4, height=4.2)
    for number, (name, label) in enumerate(NAMES):
        drawing.series(axes, measured.etas, measured.bias[name], number, label)
        axes.get_lines()[-1].set_markersize(9 - 1.6 * max(0, number - 1))  # three lines coincide
        drawing.theory(axes, predicted.etas, predicted.bias[name], claimed=f"bias of {label}, ")
    axes.set_xscale("log")
    drawing.ticks(axes, [0.005, 0.01, 0.02, 0.04, 0.08])
    axes.set_yscale("log")
    axes.set_xlabel(f"step size η (ring of {N}, a = 1, β = {BETA}, no noise)")
    axes.set_ylabel("bias, (1/n) Σ‖xᵢ − x*‖²")
    drawing.legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def claims(predicted: Bias, measured: Bias) -> list[Claim]:
    """Return the claims.

    Each bias within 10⁻⁶; local momentum's far above D-SGD's, the corrected methods' equal to it.
    """
    checks = [
        Claim(f"bias of {label}, η = {eta:.4f}", bias, theory, 1e-6)
        for name, label in NAMES
        for eta, bias, theory in zip(measured.etas, measured.bias[name], predicted.bias[name], strict=True)
    ]
    plain = measured.bias["dsgd"]
    return [
        *checks,
        *(
            Claim(f"{label} over D-SGD, smallest η", measured.bias[name][0] / plain[0], 1, 2e-6)
            for name, label in NAMES[2:4]
        ),
        at_least("local momentum over D-SGD, smallest η", measured.bias["dsgdm"][0] / plain[0], 10),
    ]


def momentum_bias() -> Plot:
    """Local momentum multiplies the bias by acting as a step of η/(1 − β); DecentLaM and quasi-global momentum keep D-SGD's."""
    source = "Yuan et al. 2021, DecentLaM; Lin et al. 2021, Quasi-global momentum"
    return Plot("What momentum does to the bias", source, predict, measure, draw, claims)
