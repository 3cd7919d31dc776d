"""Randomised gossip, one pair per tick: the expected contraction, and the averaging time between Boyd's bounds.

    all pairs         E‖Πx⁺‖²/‖Πx‖² = 1 − 1/(n − 1)
    any graph         T_ave(ε) ∈ [½, 3] · ln(1/ε)/ln(1/λ₂(W̄)),   W̄ = I − D/(2n) + (P + Pᵀ)/(2n)

T_ave(ε) is the tick from which ‖x − x̄‖ ≥ ε‖x₀‖ has probability at most ε, from the worst start. It is measured from the
slowest mode of W̄, where E x decays as λ₂ᵗ: later than from a random start (ring of 32, ε = 0.05: 2886 ticks have been
quoted, about 5200 are measured; both are within [2494, 14963]).

Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip algorithms", bounds on the averaging time.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import Algorithm, averaging
from jaxgossip.learning import averaging as averaging_problem
from jaxgossip.mixing import pairwise
from jaxgossip.network import Round
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most, farthest
from jaxgossip.theory.predictions import averaging_time_bounds, pairwise_expected, pairwise_ratio

EPSILON, TICKS, COLUMNS = 0.05, 60, 50
MOST_TICKS = 1_000_000
"""Limit on the averaging time, far beyond every bound here."""


class AveragingTimes(NamedTuple):
    """Contractions and averaging times.

    Attributes:
        left: E‖Πx⁺‖²/‖Πx‖² by number of nodes, on the complete graph.
        fall: (ticks + 1,) E‖Πx_t‖²/‖Πx₀‖² by number of nodes.
        times: by graph: [T_ave] measured, or its [low, high].
    """

    left: dict[int, float]
    fall: dict[int, np.ndarray]
    times: dict[str, np.ndarray]


def counts(quick: bool) -> list[int]:
    """Return the sizes of the complete graphs."""
    return [8, 24] if quick else [8, 24, 72]


def graphs(quick: bool) -> dict[str, topology.Graph]:
    """Return the graphs whose averaging time is measured."""
    quick_graphs = {
        "complete 32": topology.complete(32),
        "star 16": topology.star(16),
        "ring 32": topology.ring(32),
    }
    other_graphs = {
        "ring 16": topology.ring(16),
        "hypercube 32": topology.hypercube(32),
        "torus 6×6": topology.torus(36),
        "path 16": topology.path(16),
        "ring 64": topology.ring(64),
    }
    return quick_graphs if quick else quick_graphs | other_graphs


def predict(quick: bool) -> AveragingTimes:
    """Evaluate the formulas above."""
    ratios = {n: pairwise_ratio(n) for n in counts(quick)}
    return AveragingTimes(
        ratios,
        {n: ratio ** np.arange(TICKS + 1) for n, ratio in ratios.items()},
        {
            name: np.array(averaging_time_bounds(graph.to_scipy().toarray(), EPSILON))
            for name, graph in graphs(quick).items()
        },
    )


def measure(quick: bool) -> AveragingTimes:
    """Run many seeds: sixty ticks on complete graphs, and each graph until all but ε of the runs are within ε."""
    seeds = 400 if quick else 2000
    falls = {n: _decays(n, seeds) for n in counts(quick)}
    return AveragingTimes(
        {n: float((fall[:, 1:] / fall[:, :-1]).mean()) for n, fall in falls.items()},
        {n: fall.mean(0) for n, fall in falls.items()},
        {name: np.array([_averaging_time(graph, seeds // 2)]) for name, graph in graphs(quick).items()},
    )


def _algorithm(graph: topology.Graph, values: np.ndarray) -> Algorithm:
    problem = averaging_problem(graph.n_nodes, values=values, dtype=jnp.float64)
    return averaging(problem, optax.identity(), pairwise(graph))


def _decays(n: int, seeds: int) -> np.ndarray:
    """Return (seeds, ticks + 1): ‖Πx_t‖²/‖Πx₀‖²."""
    values = np.random.default_rng(0).normal(size=(n, COLUMNS))
    values -= values.mean(0)
    algorithm = _algorithm(topology.complete(n), values / np.linalg.norm(values))
    start = algorithm.init(jax.random.key(0))

    def run(key: jax.Array) -> jax.Array:
        def tick(state: Any, number: jax.Array) -> tuple[Any, jax.Array]:
            state, _ = algorithm.step(state, Round(number, key, n))
            return state, jnp.square(state.x).sum()

        return jax.lax.scan(tick, start, jnp.arange(TICKS, dtype=jnp.int32))[1]

    after = jax.jit(lambda keys: jax.lax.map(run, keys, batch_size=100))(jax.random.split(jax.random.key(1), seeds))
    return np.concatenate([np.ones((seeds, 1)), np.asarray(after)], axis=1)


def _averaging_time(graph: topology.Graph, seeds: int) -> int:
    """Return the first tick after which at most ε of the runs are farther than ε from the mean."""
    n, keys = graph.n_nodes, jax.random.split(jax.random.key(1), seeds)
    slowest = np.linalg.eigh(pairwise_expected(graph.to_scipy().toarray()))[1][:, -2:-1]
    algorithm = _algorithm(graph, slowest)

    def unfinished(carry: tuple[jax.Array, Any]) -> jax.Array:
        number, states = carry
        return ((jnp.square(states.x).sum((1, 2)) >= EPSILON**2).mean() > EPSILON) & (number < MOST_TICKS)

    def tick(carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        number, states = carry
        return number + 1, jax.vmap(lambda state, key: algorithm.step(state, Round(number, key, n))[0])(states, keys)

    states = jax.vmap(lambda _: algorithm.init(jax.random.key(0)))(keys)
    # A tick never increases ‖x − x̄‖, so finished runs stay finished and the loop ends.
    return int(jax.jit(lambda states: jax.lax.while_loop(unfinished, tick, (jnp.int32(0), states)))(states)[0])


def draw(predicted: AveragingTimes, measured: AveragingTimes) -> Figure:
    """The mean decay on complete graphs; the averaging time of each graph within its bounds."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.9)
    t = np.arange(TICKS + 1)
    for number, (n, fall) in enumerate(measured.fall.items()):
        drawing.series(left, t, fall, number, f"all pairs of {n}")
        drawing.theory(left, t, predicted.fall[n], claimed=f"fall over {TICKS} ticks, all pairs of {n}")
    left.set(yscale="log", xlabel="tick (one pair averages)", ylabel="mean disagreement left, E‖Πx‖²/‖Πx₀‖²")
    drawing.legend(left, loc="lower left")
    names = sorted(measured.times, key=lambda name: predicted.times[name][0])
    for row, name in enumerate(names):
        low, high = predicted.times[name]
        label = "theory, bounds" if row == 0 else None
        drawing.theory(right, [low, high], [row, row], label, claimed=f"averaging time, {name}, ")
        right.plot([low, high], [row, row], linestyle="none", marker="|", markersize=11, color=drawing.THEORY)
    times = [float(measured.times[name][0]) for name in names]
    right.plot(times, range(len(names)), linestyle="none", marker="o", color="C0", label="measured")
    right.set_yticks(range(len(names)), names)
    right.set(ylim=(-0.6, len(names) + 0.6), xscale="log", xlabel=f"averaging time T(ε = {EPSILON}), ticks")
    drawing.legend(right, loc="upper left")
    return figure


def claims(predicted: AveragingTimes, measured: AveragingTimes) -> list[Claim]:
    """Return the claims: the loss per tick on complete graphs within 2 %; every averaging time within its bounds."""
    # A mean over sampled pairs.
    checks = [
        Claim(f"taken by a tick, all pairs of {n}", 1 - left, 1 - predicted.left[n], 0.02)
        for n, left in measured.left.items()
    ]
    # A mean over runs, which few runs dominate at late ticks: less so in the exponent.
    checks += [
        farthest(
            f"fall over {TICKS} ticks, all pairs of {n}: exponent",
            np.log(fall[1:]),
            np.log(predicted.fall[n][1:]),
            0.05,
        )
        for n, fall in measured.fall.items()
    ]
    for name, (time,) in measured.times.items():
        low, high = predicted.times[name]
        checks += [
            at_least(f"averaging time, {name}, lower bound", float(time), low),
            at_most(f"averaging time, {name}, upper bound", float(time), high),
        ]
    return checks


def pairwise_gossip() -> Plot:
    """A random pair takes 1/(n − 1) of the disagreement on average, and averaging ends between Boyd's two bounds."""
    source = "Boyd, Ghosh, Prabhakar and Shah 2006, Randomized gossip algorithms: the bounds on the averaging time"
    return Plot("Pairwise gossip", source, predict, measure, draw, claims)
