"""SkipTrain: rounds that only mix lower the error of disagreement, and leave that of the mean as it is.

Along an eigenvector of W with eigenvalue λ, a round multiplies the variance v of the disagreement by λ²:

    in rounds of training      v⁺ = λ² ((1 − ηa)² v + dη²s²)
    in rounds that only mix    v⁺ = λ² v

With one round of training a period, that is D-SGD (ATC) over W^(1 + Γ_s) from period to period: at its end the network term is

    (1/n) Σ_{k≥2} dη²s² λ_k^(2 + 2Γ_s)/(1 − λ_k^(2 + 2Γ_s) (1 − ηa)²),

and E‖x̄ − x*‖² = dηs²/(na(2 − ηa)), as without such rounds. A node trains in Γ_t of Γ_t + Γ_s rounds. So with e joules for the
training of a round, ε a byte that is sent and S bytes a model, a node of a ring spends in a round

    e Γ_t/(Γ_t + Γ_s) + 2 ε S:

without radio, as the paper counts, 1 + Γ_s times less than D-SGD, and ever less disagreement; with radio there is a floor. e is
that of a phone, and S that of a network of 90,000 numbers, at 40 µJ a byte 14.4 J a copy.

De Vos et al. 2024, "Energy-aware decentralized learning with intermittent model training".
"""

from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxgossip import algorithms, topology
from jaxgossip.learning import isotropic_quadratic
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.network import Energy, energy
from jaxgossip.simulation import simulate
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import round_context
from jaxgossip.theory.plot import Claim, Plot, farthest
from jaxgossip.theory.predictions import mean_error, net_error, ring_spectrum

N, DIMENSION, ETA, NOISE = 16, 20, 0.1, 1.0
COPIES = 40
"""Independent runs, as further columns."""
WARM = 120
"""Rounds of training after which the noise of the mean is stationary."""
QUOTED = MappingProxyType({0: 0.136831, 1: 0.079134, 4: 0.031887})
"""Network terms by Γ_s, with one round of training a period."""
PERIODS = ((1, 4), (3, 3), (1, 9))
"""(Γ_t, Γ_s) of the periods that are followed round by round."""
PHONE = "xiaomi_12_pro"
MODEL_BYTES = 4 * 90_000
"""Bytes of the model whose copies are charged in the place of the quadratic's."""
SPENT = ("training alone", "training and radio")
SPENDING_PERIODS = 6
"""Periods over which energy is counted."""


class Periods(NamedTuple):
    """Errors and work by (Γ_t, Γ_s).

    Attributes:
        consensus: (Γ_t + Γ_s,) disagreement after each round of a period.
        mean: ‖x̄ − x*‖² at its end.
        work: local steps of a node per round.
        joules: by Γ_s, with one round of training a period: (of training, of all) that a node spends per round.
    """

    consensus: dict[tuple[int, int], np.ndarray]
    mean: dict[tuple[int, int], float]
    work: dict[tuple[int, int], float]
    joules: dict[int, tuple[float, float]]


def mixing_rounds(quick: bool) -> list[int]:
    """Return the values of Γ_s that follow one round of training."""
    return [0, 1, 4] if quick else [0, 1, 2, 4, 9]


def periods(quick: bool) -> list[tuple[int, int]]:
    """Return all (Γ_t, Γ_s)."""
    return list(dict.fromkeys([(1, rounds) for rounds in mixing_rounds(quick)] + list(PERIODS)))


def network_term(rounds: int) -> float:
    """Return the network term at the end of periods with one round of training and ``rounds`` that only mix."""
    lam = np.sort(np.abs(ring_spectrum(N)))[::-1]
    return net_error("atc", lam ** (1 + rounds), DIMENSION, ETA, NOISE)


def consensus(training: int, mixing: int) -> np.ndarray:
    """Return (Γ_t + Γ_s,): the stationary disagreement after each round of a period, from the modes' variances."""
    square = ring_spectrum(N)[1:] ** 2
    left, noise = (1 - ETA) ** 2, DIMENSION * (ETA * NOISE) ** 2

    def period(v: np.ndarray) -> np.ndarray:
        """Return (Γ_t + Γ_s, n − 1), the variances after each round."""
        after = []
        for number in range(training + mixing):
            v = square * (left * v + noise if number < training else v)
            after.append(v)
        return np.array(after)

    # A period is v ← c + r v, with r and c from what it makes of 0 and of 1.
    c = period(np.zeros_like(square))[-1]
    r = period(np.ones_like(square))[-1] - c
    return period(c / (1 - r)).sum(1) / N


def machines() -> Energy:
    """Return what nodes spend in the training of a round of the source's, and for a byte of the quadratic's models."""
    copies = MODEL_BYTES / (4 * DIMENSION)
    made = energy.devices(N, names=(PHONE,), sent_j_byte=energy.RADIO_J_BYTE * copies)
    return made.samples(energy.ROUND_SAMPLES)


def joules(rounds: int) -> tuple[float, float]:
    """Return (of training, of all) joules of a node per round, with ``rounds`` that only mix after one of training."""
    device = energy.DEVICES[PHONE]
    training = device.watts * device.round_s / (1 + rounds)
    return training, training + 2 * energy.RADIO_J_BYTE * MODEL_BYTES


def predict(quick: bool) -> Periods:
    """Evaluate the formulas above."""
    return Periods(
        {period: consensus(*period) for period in periods(quick)},
        dict.fromkeys(((1, rounds) for rounds in mixing_rounds(quick)), mean_error(N, DIMENSION, ETA, NOISE)),
        {(training, mixing): training / (training + mixing) for training, mixing in periods(quick)},
        {rounds: joules(rounds) for rounds in mixing_rounds(quick)},
    )


def measure(quick: bool) -> Periods:
    """Run SkipTrain from the optimum, and average over many periods after the first."""
    found = {period: _run(*period, 900 if quick else 4000) for period in periods(quick)}
    return Periods(
        {period: phases for period, (phases, _, _) in found.items()},
        {
            period: mean
            for period, (_, mean, _) in found.items()
            if period[0] == 1 and period[1] in mixing_rounds(quick)
        },
        {period: work for period, (_, _, work) in found.items()},
        {rounds: _spent(rounds) for rounds in mixing_rounds(quick)},
    )


def _spent(mixing: int) -> tuple[float, float]:
    """Return (of training, of all) joules of a node per round, as a run counts them."""
    problem = isotropic_quadratic(N, dimension=DIMENSION, heterogeneity=0.0, noise=NOISE)
    algorithm = algorithms.skiptrain(
        problem, optax.sgd(ETA), metropolis_hastings(topology.ring(N)), mixing_rounds=mixing
    )
    rounds = SPENDING_PERIODS * (1 + mixing)
    final = simulate(algorithm, rounds, evaluate_every=rounds, energy=machines()).metrics.final
    return final["training_joules"] / rounds / N, final["joules"] / rounds / N


def _run(training: int, mixing: int, trainings: int) -> tuple[np.ndarray, float, float]:
    """Return (disagreement by round of a period, ‖x̄ − x*‖² at its end, local steps of a node per round)."""
    length = training + mixing
    problem = isotropic_quadratic(N, dimension=DIMENSION * COPIES, heterogeneity=0.0, noise=NOISE, dtype=jnp.float64)
    W = metropolis_hastings(topology.ring(N))
    algorithm = algorithms.skiptrain(problem, optax.sgd(ETA), W, training_rounds=training, mixing_rounds=mixing)
    first, counted = -(-WARM // training) * length, trainings // training

    def body(number: jax.Array, carry: tuple[Any, jax.Array, jax.Array]) -> tuple[Any, jax.Array, jax.Array]:
        state, phases, mean = carry
        state, _ = algorithm.step(state, round_context(number, algorithm))
        centre, counts, phase = state.x.mean(0), number >= first, number % length
        disagreement = jnp.square(state.x - centre).sum(1).mean()
        error = jnp.square(centre - problem.optimum).sum()
        at_end = counts & (phase == length - 1)
        return state, phases.at[phase].add(counts * disagreement), mean + at_end * error

    rounds, start = first + counted * length, algorithm.init(jax.random.key(1))
    carried = (start._replace(x=jnp.broadcast_to(problem.optimum, start.x.shape)), jnp.zeros(length), jnp.zeros(()))
    state, phases, mean = jax.jit(lambda carried: jax.lax.fori_loop(0, rounds, body, carried))(carried)
    scale = counted * COPIES
    return np.asarray(phases) / scale, float(mean) / scale, float(state.trained.mean()) / rounds


def draw(predicted: Periods, measured: Periods) -> Figure:
    """Both errors at the end of a period against Γ_s; the disagreement round by round; and against what it costs."""
    figure, (left, right, cost) = drawing.page(3, width=4.4, height=3.9)
    counts = [mixing for _, mixing in measured.mean]
    ends = [measured.consensus[1, mixing][-1] for mixing in counts]
    drawing.points(left, counts, ends, 0, "disagreement, (1/n) Σ‖xᵢ − x̄‖²")
    drawing.points(left, counts, list(measured.mean.values()), 1, "error of the mean, ‖x̄ − x*‖²")
    fine = np.arange(counts[-1] + 1)
    drawing.theory(left, fine, [network_term(int(mixing)) for mixing in fine], claimed="network term, Γ_s = ")
    drawing.theory(left, counts, list(predicted.mean.values()), claimed="error of the mean, Γ_s = ")
    left.set(xlabel="Γ_s, rounds that only mix after each of training", ylim=(0, None))
    left.set_ylabel(f"error at the end of a period\n(ring of {N}, d = {DIMENSION}, η = {ETA}, a = s = 1)")
    drawing.legend(left, loc="upper right")
    for number, (training, mixing) in enumerate(PERIODS):
        name, rounds = f"Γ_t = {training}, Γ_s = {mixing}", np.arange(1, training + mixing + 1)
        share = f"trains in {measured.work[training, mixing]:.0%} of rounds"
        drawing.series(right, rounds, measured.consensus[training, mixing], number, f"{name}: {share}")
        drawing.theory(
            right, rounds, predicted.consensus[training, mixing], claimed=f"disagreement in a period, {name}"
        )
    right.set(
        xlabel="round of the period, those of training first", ylabel="disagreement after the round", ylim=(0, 0.17)
    )
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    drawing.legend(right, loc="upper right")
    for number, name in enumerate(SPENT):
        drawing.points(cost, [measured.joules[rounds][number] for rounds in counts], ends, number, f"{name}")
        expected = [predicted.joules[rounds][number] for rounds in counts]
        drawing.theory(cost, expected, [network_term(rounds) for rounds in counts], claimed=f"joules, {name}, Γ_s = ")
    for rounds, end in zip(counts, ends, strict=True):
        cost.annotate(
            f"Γ_s = {rounds}", (measured.joules[rounds][1], end), (7, -3), textcoords="offset points", fontsize=8
        )
    cost.set(xlabel="joules of a node per round", xlim=(0, 62), ylim=(0, 0.19))
    cost.set_ylabel("disagreement at the end of a period")
    drawing.title(cost, "A phone that trains LeNet, 14.4 J a copy")
    drawing.legend(cost, loc="upper left")
    return figure


def claims(predicted: Periods, measured: Periods) -> list[Claim]:
    """Return the claims: both errors at the end of periods, the disagreement within, and the work of a node."""
    checks = []
    for training, mixing in measured.mean:
        found = measured.consensus[training, mixing][-1]
        checks.append(Claim(f"network term, Γ_s = {mixing}", found, network_term(mixing), 0.01))
        if mixing in QUOTED:
            checks.append(Claim(f"network term, Γ_s = {mixing}, as quoted", found, QUOTED[mixing], 0.01))
        # A time average of slow noise, as in the stationary error of D-SGD.
        mean = measured.mean[training, mixing]
        checks.append(Claim(f"error of the mean, Γ_s = {mixing}", mean, predicted.mean[training, mixing], 0.02))
    checks += [
        farthest(f"disagreement in a period, Γ_t = {training}, Γ_s = {mixing}", measured.consensus[training, mixing],
                 predicted.consensus[training, mixing], 0.01)
        for training, mixing in PERIODS
    ]  # fmt: skip
    for rounds, spent in measured.joules.items():
        for name, found, expected in zip(SPENT, spent, predicted.joules[rounds], strict=True):
            checks.append(Claim(f"joules, {name}, Γ_s = {rounds}", found, expected, 1e-12))
        ratio = measured.joules[0][0] / spent[0]
        checks.append(Claim(f"energy of training divided by 1 + {rounds}", ratio, 1 + rounds, 1e-12))
    return checks + [
        Claim(f"local steps a round, Γ_t = {training}, Γ_s = {mixing}", work, predicted.work[training, mixing], 1e-12)
        for (training, mixing), work in measured.work.items()
    ]


def skiptrain() -> Plot:
    """Rounds that only mix take the place of training: they lower the disagreement, and the mean is as good."""
    source = "de Vos et al. 2024, SkipTrain; D-SGD over powers of W"
    return Plot("SkipTrain: train less, mix more", source, predict, measure, draw, claims)
