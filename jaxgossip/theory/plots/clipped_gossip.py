"""Byzantine nodes in averaging: their exact effect on the plain mean, and what clipping leaves of it.

Twenty honest nodes in a 6-regular graph and two Byzantine ones with five links each. Under the plain mean with weights W:

    dissensus, ε = 1    x_i⁺ = x_i next to a Byzantine node, whose lie cancels the pull of honest neighbours
    a constant c        x⁺ = W_HH x + W_HL c: the honest nodes end at c

ClippedGossip takes x_i + Σ_j W_ij clip(x_j − x_i, τ_i), τ_i² = (1/δ_i) Σ_{good j} W_ij ‖xᵢ − x_j‖², δ_i = Σ_liars W_ij.

He, Karimireddy and Jaggi 2022, "Byzantine-robust decentralized learning via ClippedGossip".
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import averaging
from jaxgossip.learning import averaging as averaging_problem
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.network import Conditions, Round, adversaries, aggregation
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most, farthest

HONEST, LIARS, LINKS, ROUNDS, COLUMNS, LIE = 20, 2, 5, 100, 10, 1e3
N = HONEST + LIARS
RULES = ("plain mean", "clipped, oracle τ", "clipped, adaptive τ")


class AttackOutcome(NamedTuple):
    """Outcome for the honest nodes, (rounds + 1,), by aggregation rule.

    Attributes:
        variance: (1/n)Σ‖xᵢ − x̄‖² under dissensus.
        drift: ‖x̄ − x̄₀‖² under a constant lie.
    """

    variance: dict[str, np.ndarray]
    drift: dict[str, np.ndarray]


def graph() -> topology.Graph:
    """Return the honest nodes in a 6-regular graph and the Byzantine ones, whose neighbours are disjoint."""
    adjacency = np.zeros((N, N))
    adjacency[:HONEST, :HONEST] = topology.random_regular(HONEST, 6, rng=0).to_scipy().toarray()
    victims = np.random.default_rng(0).permutation(HONEST)[: LINKS * LIARS].reshape(LIARS, LINKS)
    for liar, heard_by in enumerate(victims, HONEST):
        adjacency[liar, heard_by] = adjacency[heard_by, liar] = 1
    return topology.from_scipy(adjacency)


def values() -> np.ndarray:
    """Return the initial values of the nodes."""
    return np.random.default_rng(0).normal(size=(N, COLUMNS))


def predict(quick: bool) -> AttackOutcome:  # noqa: ARG001 - nothing is smaller
    """Iterate the two linear maps of the plain mean on the honest nodes."""
    W = topology.metropolis_hastings(graph()).to_scipy().toarray()[:HONEST]
    among, share = W[:, :HONEST], W[:, HONEST:].sum(1)
    off_diagonal = among - np.diag(np.diag(among))
    under_dissensus = np.where(
        (share > 0)[:, None], np.eye(HONEST), np.eye(HONEST) + off_diagonal - np.diag(off_diagonal.sum(1))
    )
    x = y = values()[:HONEST]
    dissensus, constant = [x], [y]
    for _ in range(ROUNDS):
        x, y = under_dissensus @ x, among @ y + LIE * share[:, None]
        dissensus.append(x)
        constant.append(y)
    return AttackOutcome({RULES[0]: _variance(np.stack(dissensus))}, {RULES[0]: _drift(np.stack(constant))})


def measure(quick: bool) -> AttackOutcome:  # noqa: ARG001 - nothing is smaller
    """Average under both attacks, by the plain mean and with clipping."""
    liars = list(range(HONEST, N))
    rules = dict(
        zip(RULES, (None, *(aggregation.clipped(radius=radius) for radius in ("oracle", "adaptive"))), strict=True)
    )
    attacks = (adversaries.dissensus(n_nodes=N, nodes=liars), adversaries.constant(n_nodes=N, value=LIE, nodes=liars))
    dissensus, constant = (
        {name: _run(Conditions(adversary=attack, aggregation=rule)) for name, rule in rules.items()}
        for attack in attacks
    )
    return AttackOutcome(
        {name: _variance(x) for name, x in dissensus.items()}, {name: _drift(x) for name, x in constant.items()}
    )


def _run(conditions: Conditions) -> np.ndarray:
    """Return the models of the honest nodes, (rounds + 1, honest, columns)."""
    problem = averaging_problem(N, values=values(), dtype=jnp.float64)
    algorithm = averaging(problem, optax.identity(), metropolis_hastings(graph()))
    start = algorithm.init(jax.random.key(0))

    def body(state, number):  # noqa: ANN001, ANN202 - (state, round) -> (state, models)
        state, _ = algorithm.step(state, Round(number, jax.random.key(0), N, conditions))
        return state, state.x

    _, x = jax.jit(lambda start: jax.lax.scan(body, start, jnp.arange(ROUNDS, dtype=jnp.int32)))(start)
    return np.concatenate([np.asarray(start.x)[None], np.asarray(x)])[:, :HONEST]


def _variance(x: np.ndarray) -> np.ndarray:
    return np.square(x - x.mean(1, keepdims=True)).sum(2).mean(1)


def _drift(x: np.ndarray) -> np.ndarray:
    return np.square(x.mean(1) - x[0].mean(0)).sum(1)


def draw(predicted: AttackOutcome, measured: AttackOutcome) -> Figure:
    """Variance under dissensus and drift under a constant lie, both against rounds."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.9)
    t = np.arange(ROUNDS + 1)
    for number, name in enumerate(RULES):
        drawing.series(left, t, measured.variance[name], number, name)
        drawing.series(right, t[1:], measured.drift[name][1:], number, name)
    drawing.theory(
        left, t, predicted.variance[RULES[0]], "theory, plain mean", claimed="variance under dissensus, plain mean"
    )
    drawing.theory(
        right,
        t[1:],
        predicted.drift[RULES[0]][1:],
        "theory, plain mean",
        claimed="squared drift by a constant lie, plain mean",
    )
    for axes in (left, right):
        axes.set(yscale="log", xlabel="round")
    left.set_ylabel("variance of the honest, (1/n) Σ‖xᵢ − x̄‖²")
    drawing.title(left, "dissensus attack")
    right.set_ylabel("squared drift of their mean, ‖x̄ − x̄₀‖²")
    drawing.title(right, f"two nodes say {LIE:g}")
    left.set_ylim(1e-17, 1e3)
    drawing.legend(left, loc="lower left")
    drawing.legend(right, loc="center right", bbox_to_anchor=(1.0, 0.45))
    return figure


def claims(predicted: AttackOutcome, measured: AttackOutcome) -> list[Claim]:
    """Return the claims: the plain mean fails as predicted; clipping agrees and drifts ten thousand times less."""
    plain, *clipped = RULES
    spread = measured.variance[plain][-1]
    checks = [
        farthest(
            "variance under dissensus, plain mean, any round", measured.variance[plain], predicted.variance[plain], 1e-6
        ),
        farthest(
            "squared drift by a constant lie, plain mean, any round",
            measured.drift[plain][1:],
            predicted.drift[plain][1:],
            1e-6,
        ),
        at_least("the plain mean does not agree", spread, 0.1),
    ]
    for name in clipped:
        fall = measured.drift[plain][-1] / measured.drift[name][-1]
        checks += [
            at_most(f"variance under dissensus, {name}", measured.variance[name][-1], 1e-10),
            at_least(f"drift falls, {name}", fall, 1e4),
        ]
    return checks


def clipped_gossip() -> Plot:
    """Two liars keep twenty honest nodes apart or drag them away under the plain mean; clipping undoes both."""
    source = "He, Karimireddy and Jaggi 2022, Byzantine-robust decentralized learning via ClippedGossip"
    return Plot("ClippedGossip against attacks", source, predict, measure, draw, claims)
