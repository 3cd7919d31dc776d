"""Graphs drawn anew each round: the share β of the disagreement left by one, and D-SGD's consensus on them.

    fresh s-regular graph    β = (1 − s/(n − 1))/(s + 1)                             EL-Oracle
    push to s, average       β = (1 − (1 − s/(n − 1))ⁿ)/s − 1/(n − 1)                EL-Local, about the previous mean
    random matching          β = ½(n − 2)/(n − 1)
    consensus of D-SGD       (1/n) E Σ‖xᵢ − x̄‖² = β dη²s²(n − 1)/n/(1 − β(1 − ηa)²)   exchangeable doubly stochastic W

EL: de Vos et al. 2023. The last line solves C = β((1 − ηa)²C + dη²s²(n − 1)/n): exact, as W is independent of its input.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import dsgd
from jaxgossip.learning import isotropic_quadratic
from jaxgossip.mixing import Mixing, fresh_regular, matching, push
from jaxgossip.network import Round
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import stationary
from jaxgossip.theory.plot import Claim, Plot
from jaxgossip.theory.predictions import local_beta, matching_beta, oracle_beta, random_graph_consensus

N, FEW = 96, 24
ETA, NOISE, DIMENSION = 0.1, 1.0, 600
DRAWS, COLUMNS = 400, 16


class RandomGraphs(NamedTuple):
    """Values of β and consensus.

    Attributes:
        degrees: s of the left panel.
        oracle: β of a fresh s-regular graph of 96 nodes.
        local: β of pushing to s of 96.
        settled: (β, stationary consensus of D-SGD) by schedule of 24 nodes.
    """

    degrees: list[int]
    oracle: np.ndarray
    local: np.ndarray
    settled: dict[str, tuple[float, float]]


def degrees(quick: bool) -> list[int]:
    """Return the numbers of nodes that a node sends to."""
    return [1, 7] if quick else [1, 2, 3, 5, 7, 10, 15, 20]


def schedules(quick: bool) -> Mapping[str, tuple[Mixing, float]]:
    """Return exchangeable doubly stochastic schedules with their β."""
    graph = topology.complete(FEW)
    regular = {
        f"fresh {s}-regular": (fresh_regular(graph, degree=s), oracle_beta(FEW, s))
        for s in ((3,) if quick else (1, 2, 3, 6, 12))
    }
    return {"random matching": (matching(graph), matching_beta(FEW))} | regular


def predict(quick: bool) -> RandomGraphs:
    """Evaluate the formulas above."""
    tried = degrees(quick)
    return RandomGraphs(
        tried,
        np.array([oracle_beta(N, s) for s in tried]),
        np.array([local_beta(N, s) for s in tried]),
        {
            name: (beta, random_graph_consensus(beta, FEW, DIMENSION, ETA, NOISE))
            for name, (_, beta) in schedules(quick).items()
        },
    )


def measure(quick: bool) -> RandomGraphs:
    """Mix random rows over many draws of each graph, and run D-SGD."""
    degrees_tried, graph = degrees(quick), topology.complete(N)
    return RandomGraphs(
        degrees_tried,
        np.array([_remaining_share(fresh_regular(graph, degree=s)) for s in degrees_tried]),
        np.array([_remaining_share(push(graph, fanout=s)) for s in degrees_tried]),
        {name: (beta, _consensus(W, 250 if quick else 2000)) for name, (W, beta) in schedules(quick).items()},
    )


def _remaining_share(schedule: Mixing) -> float:
    x = jax.random.normal(jax.random.key(0), (N, COLUMNS))
    x = x - x.mean(0)

    def remaining(key: jax.Array) -> jax.Array:
        return jnp.square(Round(jnp.int32(0), key, N).links(schedule).mix(x)).sum() / jnp.square(x).sum()

    keys = jax.random.split(jax.random.key(1), DRAWS)
    return float(jax.jit(lambda keys: jax.lax.map(remaining, keys).mean())(keys))


def _consensus(schedule: Mixing, rounds: int) -> float:
    problem = isotropic_quadratic(FEW, dimension=DIMENSION, heterogeneity=0.0, noise=NOISE, dtype=jnp.float64)
    algorithm = dsgd(problem, optax.sgd(ETA), schedule)
    return float(jax.jit(lambda: stationary(algorithm, rounds, 30))().consensus)


def draw(predicted: RandomGraphs, measured: RandomGraphs) -> Figure:  # noqa: ARG001 - curves are finer than what is predicted
    """β against s; consensus against β."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.9)
    s = list(range(1, measured.degrees[-1] + 1))
    drawing.points(left, measured.degrees, measured.local, 0, "push to s, average what came")
    drawing.points(left, measured.degrees, measured.oracle, 1, "fresh s-regular graph")
    drawing.theory(left, s, np.array([local_beta(N, size) for size in s]), claimed="β, push, s = ")
    drawing.theory(left, s, np.array([oracle_beta(N, size) for size in s]), claimed="β, fresh regular graph, s = ")
    left.set(
        ylim=(0, 0.7),
        xlabel=f"s, others that a node sends to (of n = {N} nodes)",
        ylabel="β, share of ‖ΠX‖² left by a round",
    )
    drawing.legend(left, loc="upper right")
    per = FEW / (DIMENSION * ETA**2 * NOISE**2 * (FEW - 1))
    for number, (name, (beta, consensus_error)) in enumerate(measured.settled.items()):
        drawing.points(right, [beta], [consensus_error * per], number, name)
    beta = np.linspace(0.01, 0.55, 100)
    consensus = np.array([random_graph_consensus(float(size), FEW, DIMENSION, ETA, NOISE) for size in beta])
    drawing.theory(right, beta, consensus * per, claimed="consensus, ")
    right.set(xlabel=f"β (n = {FEW} nodes)", ylabel="consensus of D-SGD, in dη²s²(n − 1)/n")
    drawing.legend(right, loc="upper left")
    return figure


def claims(predicted: RandomGraphs, measured: RandomGraphs) -> list[Claim]:
    """Return the claims: each β within 1.5 %, each consensus within 1 %."""
    pairs = (("fresh regular graph", 0), ("push", 1))
    betas = [
        Claim(f"β, {name}, s = {s}", value, theory, 0.015)
        for name, which in pairs
        for s, value, theory in zip(
            measured.degrees,
            (measured.oracle, measured.local)[which],
            (predicted.oracle, predicted.local)[which],
            strict=True,
        )
    ]
    at = measured.degrees.index(7)
    return [
        *betas,
        Claim("β, fresh 7-regular graph of 96, as quoted", measured.oracle[at], 0.1158, 0.015),
        Claim("β, push to 7 of 96, as quoted", measured.local[at], 0.1322, 0.015),
        *(
            Claim(f"consensus, {name}", value, predicted.settled[name][1], 0.01)
            for name, (_, value) in measured.settled.items()
        ),
    ]


def random_topology() -> Plot:
    """On graphs drawn anew each round, one number β, what a round leaves of the disagreement, says where D-SGD settles."""
    source = "de Vos et al. 2023, Epidemic Learning; β and the consensus by exchangeability, exact"
    return Plot("D-SGD on random topologies", source, predict, measure, draw, claims)
