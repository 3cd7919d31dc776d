"""Local SGD: the drift of the nodes between two averagings.

    j steps after an averaging    (1/n) E Σ‖xᵢ − x̄‖² = dη²s²(1 − 1/n)(1 − q^j)/(1 − q),   q = (1 − ηa)²
    over a period of τ            the mean of that over j = 0, …, τ − 1
    the mean                      E‖x̄ − x*‖² = dηs²/(na(2 − ηa)), whatever τ

C⁺ = qC + dη²s²(1 − 1/n) from C = 0, for quadratics of one curvature and noise of one size.

Stich 2019, "Local SGD converges fast and communicates little".
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxgossip.algorithms import dsgd
from jaxgossip.learning import isotropic_quadratic
from jaxgossip.mixing import periodic
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import round_context
from jaxgossip.theory.plot import Claim, Plot, farthest
from jaxgossip.theory.predictions import local_sgd_consensus, mean_error
from jaxgossip.topology import weights

N, DIMENSION, ETA, NOISE = 16, 600, 0.1, 1.0
WARM = 60
"""Rounds after which the noise of the mean is stationary."""


class Drift(NamedTuple):
    """Drift and error, by τ.

    Attributes:
        phases: (τ,) consensus j steps after an averaging.
        consensus: mean of ``phases``.
        mean: ‖x̄ − x*‖².
    """

    phases: dict[int, np.ndarray]
    consensus: dict[int, float]
    mean: dict[int, float]


def periods(quick: bool) -> list[int]:
    """Return the values of τ, steps between averagings."""
    return [2, 5, 20] if quick else [2, 3, 5, 10, 20, 50]


def predict(quick: bool) -> Drift:
    """Evaluate the formulas above."""
    q, taus = (1 - ETA) ** 2, periods(quick)
    noise = DIMENSION * ETA**2 * NOISE**2 * (1 - 1 / N)
    return Drift(
        {tau: noise * (1 - q ** np.arange(tau)) / (1 - q) for tau in taus},
        {tau: local_sgd_consensus(tau, N, DIMENSION, ETA, NOISE) for tau in taus},
        dict.fromkeys(taus, mean_error(N, DIMENSION, ETA, NOISE)),
    )


def measure(quick: bool) -> Drift:
    """Run D-SGD on a schedule that averages all nodes in every τ-th round and does nothing in the others."""
    drifts = {tau: _drift(tau, 600 if quick else 3000) for tau in periods(quick)}
    return Drift(
        {tau: phases for tau, (phases, _) in drifts.items()},
        {tau: float(phases.mean()) for tau, (phases, _) in drifts.items()},
        {tau: mean for tau, (_, mean) in drifts.items()},
    )


def _drift(tau: int, rounds: int) -> tuple[np.ndarray, float]:
    """Return (consensus by steps since an averaging, (τ,); ‖x̄ − x*‖²), averaged over at least ``rounds`` rounds."""
    identity, average = (weights.from_matrix(matrix) for matrix in (np.eye(N), np.full((N, N), 1 / N)))
    problem = isotropic_quadratic(N, dimension=DIMENSION, heterogeneity=0.0, noise=NOISE, dtype=jnp.float64)
    algorithm = dsgd(problem, optax.sgd(ETA), periodic([identity] * (tau - 1) + [average]))
    first, counted = tau * (WARM // tau + 1), tau * (rounds // tau + 1)

    def body(number: jax.Array, carry: tuple[Any, jax.Array, jax.Array]) -> tuple[Any, jax.Array, jax.Array]:
        state, phases, mean = carry
        state, _ = algorithm.step(state, round_context(number, algorithm))
        centre, counts = state.x.mean(0), number >= first
        consensus = jnp.square(state.x - centre).sum(1).mean()
        error = jnp.square(centre - problem.optimum).sum()
        return state, phases.at[(number + 1) % tau].add(counts * consensus), mean + counts * error

    start = (algorithm.init(jax.random.key(1)), jnp.zeros(tau), jnp.zeros(()))
    _, phases, mean = jax.jit(lambda start: jax.lax.fori_loop(0, first + counted, body, start))(start)
    return np.asarray(phases) * tau / counted, float(mean) / counted


def draw(predicted: Drift, measured: Drift) -> Figure:
    """Consensus within a period; its mean, and the error of the mean, against τ."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.9)
    for number, (tau, phases) in enumerate(measured.phases.items()):
        drawing.series(left, np.arange(tau), phases, number, f"τ = {tau}")
        left.get_lines()[-1].set_zorder(4 - number / 10)  # short periods on top of long ones, which they overlap
    longest = max(measured.phases)
    drawing.theory(left, np.arange(longest), predicted.phases[longest], claimed="consensus at every step, τ = ")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="j, steps since all were averaged", ylabel="consensus, (1/n) Σ‖xᵢ − x̄‖²")
    drawing.legend(left, loc="lower right")
    taus = np.array(list(measured.consensus))
    fine = np.arange(taus[0], taus[-1] + 1)
    drawing.points(right, taus, list(measured.consensus.values()), 0, "consensus, over a period")
    drawing.points(right, taus, list(measured.mean.values()), 1, "error of the mean, ‖x̄ − x*‖²")
    consensus = np.array([local_sgd_consensus(int(tau), N, DIMENSION, ETA, NOISE) for tau in fine])
    drawing.theory(right, fine, consensus, claimed="consensus, τ = ")
    mean = np.full(len(fine), mean_error(N, DIMENSION, ETA, NOISE))
    drawing.theory(right, fine, mean, claimed="error of the mean, τ = ")
    right.set(xscale="log", yscale="log")
    drawing.ticks(right, taus)
    drawing.ticks(right, [2, 5, 10, 20], which="y")
    right.set(
        xlabel="τ, steps from averaging to averaging", ylabel=f"error (n = {N}, d = {DIMENSION}, η = {ETA}, a = s = 1)"
    )
    drawing.legend(right, loc="upper left")
    return figure


def claims(predicted: Drift, measured: Drift) -> list[Claim]:
    """Return the claims: consensus within 1 %, and the error of the mean as without local steps."""
    checks = [
        Claim(f"consensus, τ = {tau}", consensus, predicted.consensus[tau], 0.01)
        for tau, consensus in measured.consensus.items()
    ]
    # A time average of slow noise, as in the stationary error of D-SGD.
    checks += [
        Claim(f"error of the mean, τ = {tau}", mean, predicted.mean[tau], 0.02) for tau, mean in measured.mean.items()
    ]
    checks += [
        farthest(f"consensus at every step, τ = {tau}", phases[1:], predicted.phases[tau][1:], 0.02)
        for tau, phases in measured.phases.items()
    ]
    return [
        *checks,
        *(
            Claim(f"consensus right after averaging, τ = {tau}", phases[0], 0, 1e-20, "absolute")
            for tau, phases in measured.phases.items()
        ),
    ]


def local_sgd() -> Plot:
    """Between two averagings local SGD drifts apart by a geometric sum, and the error of its mean does not notice."""
    source = "Stich 2019, Local SGD converges fast and communicates little; exact on isotropic quadratics"
    return Plot("Local SGD", source, predict, measure, draw, claims)
