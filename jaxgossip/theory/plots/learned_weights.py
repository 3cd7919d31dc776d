"""Learned weights: static weights at the known optimum, and schedules that outperform all static weights."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.mixing import Mixing, operator, periodic
from jaxgossip.mixing.optimized.weights import fastest, learned_sequence
from jaxgossip.plotting.style import style
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_most
from jaxgossip.topology import Graph, best_constant, metropolis_hastings, second_largest_modulus

THREE_DIGITS = 5e-4
STEPS = 400
"""With half as many the karate club's bound is still 5·10⁻⁴ off, as it is computed from the optimised eigenvectors."""


class Static(NamedTuple):
    """ρ of one graph under each rule, and a lower bound for all weights."""

    metropolis: float
    constant: float
    fastest: float
    bound: float


class Rounds(NamedTuple):
    """‖ΠX_t‖/‖ΠX_0‖ on one graph, t = 0, 1, …, by rule, and the period of the learned schedule."""

    period: int
    left: dict[str, np.ndarray]


class Measured(NamedTuple):
    """Both halves of the figure, by graph."""

    static: dict[str, Static]
    rounds: dict[str, Rounds]


def karate() -> Graph:
    """Return Zachary's karate club."""
    return topology.TOPOLOGIES["karate"]()


def graphs(quick: bool) -> dict[str, Graph]:
    """Return the graphs whose fastest weights are computed."""
    small = {"path 8": topology.path(8), "star 8": topology.star(8), "karate club": karate()}
    if quick:
        return small
    return {
        "path 16": topology.path(16),
        "ring 16": topology.ring(16),
        "star 16": topology.star(16),
        "hypercube 32": topology.hypercube(32),
        "torus 6×6": topology.torus(36),
        "grid 8×8": topology.grid(64),
        "karate club": karate(),
    }


def predict(quick: bool) -> dict[str, float]:
    """Return the known optimum: cos(π/n) on paths (Boyd et al. 2006), the best constant where all edges are equivalent."""
    known = {}
    for name, graph in graphs(quick).items():
        if name.startswith("path"):
            known[name] = float(np.cos(np.pi / graph.n_nodes))
        elif not name.startswith(("grid", "karate")):
            known[name] = second_largest_modulus(best_constant(graph))
    return known


def measure(quick: bool) -> Measured:
    """Learn the weights, and mix with them."""
    static, optima = {}, {}
    for name, graph in graphs(quick).items():
        optima[name] = fastest(graph, steps=STEPS)
        weights = (metropolis_hastings(graph), best_constant(graph), optima[name].weights)
        metropolis, constant, best = map(second_largest_modulus, weights)
        static[name] = Static(metropolis, constant, best, optima[name].bound)
    grid = {"grid 4×4": topology.grid(16)} if quick else {"grid 8×8": topology.grid(64)}
    rounds = {}
    for name, graph in (grid | {"karate club": karate()}).items():
        period = 8 if quick or graph.n_nodes < 50 else 16
        learned = learned_sequence(graph, rounds=period, steps=1000 if quick else 4000)
        best = optima[name].weights if name in optima else fastest(graph, steps=STEPS).weights
        mixings = {
            "Metropolis–Hastings": operator(metropolis_hastings(graph)),
            "fastest static": operator(best),
            f"learned, {period} rounds": periodic(learned.sequence),
        }
        rounds[name] = Rounds(period, {rule: _disagreements(W, 2 * period) for rule, W in mixings.items()})
    return Measured(static, rounds)


def _disagreements(W: Mixing, rounds: int) -> np.ndarray:
    start = jax.random.normal(jax.random.key(0), (W.n_nodes, 200))
    start = start - start.mean(0)

    def mixed(x: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = W.at(number, jax.random.key(1))(x)
        return x, jnp.linalg.norm(x - x.mean(0))

    _, left = jax.lax.scan(mixed, start, jnp.arange(rounds, dtype=jnp.int32))
    return np.concatenate([[1.0], np.asarray(left / jnp.linalg.norm(start))])


def draw(predicted: dict[str, float], measured: Measured) -> Figure:
    """ρ of static weights with the known optimum dashed; and disagreement under static and learned weights."""
    figure, axes = drawing.page(1 + len(measured.rounds), width=4.4, height=3.9)
    names = list(measured.static)
    x = np.arange(len(names))
    with style():
        for number, (rule, key) in enumerate(
            [("Metropolis–Hastings", 0), ("best constant", 1), ("fastest, learned", 2)]
        ):
            gap = [1 - measured.static[name][key] for name in names]
            axes[0].plot(
                x, gap, linestyle="", marker=drawing.MARKS[number], color=f"C{number}", label=rule, markersize=6
            )
        for at, name in enumerate(names):
            best = predicted.get(name, measured.static[name].bound)
            claimed = "ρ of the fastest weights" if name in predicted else "ρ against its bound by duality"
            drawing.theory(axes[0], [at - 0.35, at + 0.35], [1 - best] * 2, claimed=f"{claimed}, {name}")
        axes[0].set_xticks(x, names, rotation=30, ha="right")
    axes[0].set(yscale="log", ylim=(None, 3), ylabel="spectral gap 1 − ρ, more is faster")
    drawing.title(axes[0], "Static weights; dashed: optimum or bound")
    drawing.legend(axes[0], loc="upper left", ncols=2, fontsize=8)
    for panel, (name, rounds) in zip(axes[1:], measured.rounds.items(), strict=True):
        for number, (rule, left) in enumerate(rounds.left.items()):
            drawing.series(panel, np.arange(left.size), np.maximum(left, 1e-16), 2 * number, rule)
        panel.set(yscale="log", xlabel="round", ylabel="disagreement left, ‖ΠX‖ / ‖ΠX₀‖")
        drawing.title(panel, name)
        with style():
            panel.axvline(rounds.period, color="#999999", linewidth=0.8)
            panel.legend(loc="center left", fontsize=8)
    return figure


def claims(predicted: dict[str, float], measured: Measured) -> list[Claim]:
    """Return the claims.

    Learned static weights are optimal to three digits, and learned schedules leave less than static weights.
    """
    checks = [
        Claim(f"ρ of the fastest weights, {name}", measured.static[name].fastest, best, THREE_DIGITS, "absolute")
        for name, best in predicted.items()
    ]
    checks += [
        Claim(f"ρ against its bound by duality, {name}", static.fastest, static.bound, THREE_DIGITS, "absolute")
        for name, static in measured.static.items()
    ]
    for name, (period, left) in measured.rounds.items():
        metropolis, best, learned = (remainder[period] for remainder in left.values())
        checks.append(at_most(f"learned schedule against Metropolis–Hastings, {name}", learned, metropolis / 10))
        checks.append(at_most(f"learned schedule against the fastest static, {name}", learned, best / 2))
    return checks


def learned_weights() -> Plot:
    """Gradient descent finds the fastest static weights, and schedules of weights that leave far less than any static ones."""
    source = "Xiao and Boyd 2004 (symmetric weights); Boyd et al. 2006, Fastest mixing Markov chain on a path; schedules: here"
    return Plot("Weights that are learnt", source, predict, measure, draw, claims)
