"""Gossip learning of linear models: random walks that learn (RW), and walks that merge before (MU) or after it (UM)."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import learning, topology
from jaxgossip.algorithms import Algorithm
from jaxgossip.algorithms.base import TrainState, descend, start
from jaxgossip.algorithms.gossip import with_age
from jaxgossip.learning import Problem
from jaxgossip.mixing import Mixing, push
from jaxgossip.mixing.peers import pushed
from jaxgossip.network import Conditions, Round, Traffic, chosen
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot
from jaxgossip.typing import NodeInts, PRNGKey, PyTree, Rows

Kind = Literal["RW", "MU", "UM"]
DROPS = (0.0, 0.5)
TARGET = 0.25
"""Error that is raced for."""
LAMBDA = 1e-4
SHOWN = 200
"""Nodes that are evaluated."""
KINDS: tuple[Kind, ...] = ("RW", "UM", "MU")


class Walks(NamedTuple):
    """State of gossip learning as published.

    Attributes:
        x: (n, p) models of the nodes.
        opt_state: the optimizer's state of each node.
        age: (n,) updates behind each model.
        heard: (n, p) the last model that each node has received.
        heard_age: (n,) its age.
    """

    x: Rows
    opt_state: PyTree
    age: NodeInts
    heard: Rows
    heard_age: NodeInts


class Run(NamedTuple):
    """One run.

    Attributes:
        age: (cycles + 1,) mean age of the models.
        error: (cycles + 1,) mean test error of some of them.
    """

    age: np.ndarray
    error: np.ndarray


def walks(problem: Problem, optimizer: optax.GradientTransformation, W: Mixing, kind: Kind) -> Algorithm:
    """Run Ormándi's gossip learning, one push a node and cycle; whoever hears several keeps one of them, drawn at random.

    RW: x⁺ = update(m₁). MU: update((m₁ + m₂)/2). UM: (update(m₁) + update(m₂))/2. m₁ is the model that arrives, m₂ the one
    that arrived last before it, t = max(t₁, t₂) + 1. A node that hears nothing does nothing.
    """

    def init(key: PRNGKey) -> Walks:
        x, opt_state = start(problem, optimizer, key)
        age = jnp.zeros(problem.n_nodes, jnp.int32)
        return Walks(x, opt_state, age, x, age)

    def step(state: Walks, round_: Round) -> tuple[Walks, Traffic]:
        links, n = round_.links(W), problem.n_nodes
        operator: Any = links.operator
        arrives = pushed(operator.targets, links.faults)[:, 0]
        rank = jax.random.permutation(round_.key("last to arrive"), n) + 1
        target = jnp.where(arrives, operator.targets[:, 0], n)
        last = jnp.zeros(n, rank.dtype).at[target].max(rank, mode="drop")
        sender = jnp.zeros(n + 1, jnp.int32).at[rank].set(jnp.arange(n, dtype=jnp.int32))[last]

        def update(x: Rows, age: NodeInts) -> Rows:
            return descend(problem, optimizer, TrainState(x, with_age(state.opt_state, age)), round_).x

        m1, t1 = state.x[sender], state.age[sender]
        m2, t2 = state.heard, state.heard_age
        older = t1 if kind == "RW" else jnp.maximum(t1, t2)
        match kind:
            case "RW":
                x = update(m1, t1)
            case "MU":
                x = update((m1 + m2) / 2, older)
            case "UM":
                x = (update(m1, t1) + update(m2, t2)) / 2
        new = state._replace(x=x, age=older + 1, heard=m1, heard_age=t1)
        moved = chosen(last > 0, new._replace(opt_state=()), state._replace(opt_state=()))
        return moved._replace(opt_state=state.opt_state), links.sent(state.x, metadata=(state.age,))

    return Algorithm(init, step, problem, name=f"gossip learning, {kind}")


def predict(_: bool) -> dict[float, float]:
    """Return by how much a random walk ages in a cycle: the probability that a node is called, 1 − e^{−(1−drop)}."""
    return {drop: 1 - float(np.exp(-(1 - drop))) for drop in DROPS}


def measure(quick: bool) -> dict[tuple[Kind, float], Run]:
    """Learn Spambase, one sample a node, by Pegasos."""
    data, model = learning.datasets.spambase(rng=0), learning.models.pegasos((57,), 2, regularization=LAMBDA)
    n = len(data.y_train)
    problem = learning.classification(data, learning.partitions.one_sample(np.asarray(data.y_train), n), model)
    optimizer, W = learning.OPTIMIZERS["pegasos"](regularization=LAMBDA), push(topology.complete(n))
    rounds, seeds = (100, 3) if quick else (1000, 4)
    return {
        (kind, drop): _run(walks(problem, optimizer, W, kind), rounds, seeds, drop) for kind in KINDS for drop in DROPS
    }


def _run(algorithm: Algorithm, rounds: int, seeds: int, drop: float) -> Run:
    problem = algorithm.problem

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def body(state: Walks, number: jax.Array) -> tuple[Walks, tuple[jax.Array, jax.Array]]:
            error = 1 - problem.evaluate(state.x[:SHOWN])["test_accuracy"].mean()
            after, _ = algorithm.step(state, Round(number, key, problem.n_nodes, Conditions(drop=drop)))
            return after, (state.age.mean(), error)

        return jax.lax.scan(body, algorithm.init(key), jnp.arange(rounds + 1, dtype=jnp.int32))[1]

    found = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(0), seeds))
    return Run(*(np.asarray(one).mean(0) for one in found))


def first_below(run: Run) -> float:
    """Return the first cycle with an error of ``TARGET``, infinity if there is none."""
    reached = np.flatnonzero(run.error <= TARGET)
    return float(reached[0]) if reached.size else np.inf


def draw(predicted: dict[float, float], measured: dict[tuple[Kind, float], Run]) -> Figure:
    """Left, ages of random walks; right, test errors."""
    figure, (left, right) = drawing.page(2, height=4.0)
    for number, drop in enumerate(DROPS):
        age = measured["RW", drop].age
        t = np.arange(len(age))
        drawing.series(left, t, age, number, f"RW, {drop:.0%} of the messages lost")
        drawing.theory(left, t, predicted[drop] * t)
    left.set_xlabel("cycle t")
    left.set_ylabel("mean age of a model, updates")
    drawing.legend(left, loc="upper left", borderaxespad=0.8)
    for (kind, drop), run in measured.items():
        number = KINDS.index(kind) + 2
        t, error = np.arange(1, len(run.error)), run.error[1:]
        marks = np.unique(np.geomspace(1, len(t), 10).astype(int)) - 1
        label = kind if not drop else f"{kind}, {drop:.0%} lost"
        right.plot(
            t,
            error,
            color=f"C{number}",
            linewidth=1.3,
            linestyle=":" if drop else "-",
            marker=drawing.MARKS[number],
            markevery=list(marks),
            markersize=4.5,
            label=label,
        )
    right.axhline(TARGET, color="#999999", linewidth=1, label=f"raced for, {TARGET}")
    right.set_xscale("log")
    right.set_ylim(0, 0.55)
    right.set_xlabel("cycle")
    right.set_ylabel(f"test error, mean of {SHOWN} nodes and all runs")
    right.legend(loc="upper right", borderaxespad=0.8, frameon=False, fontsize=8.5, ncols=2)
    return figure


def claims(predicted: dict[float, float], measured: dict[tuple[Kind, float], Run]) -> list[Claim]:
    """Return: random walks age as predicted, and merging is at least three times as quick."""
    found = []
    for drop, growth in predicted.items():
        age = measured["RW", drop].age
        found.append(Claim(f"age of a random walk a cycle, {drop:.0%} lost", age[-1] / (len(age) - 1), growth, 0.02))
    walk = first_below(measured["RW", 0.0])
    merged = first_below(measured["MU", 0.0])
    return [*found, Claim(f"MU's cycles to error {TARGET}, against a third of RW's", merged, walk / 3, 0.0, "at most")]


def gossip_learning_walks() -> Plot:
    """A learning random walk ages by 1 − e^{−(1−drop)} a cycle, and models that merge learn in a third of its cycles.

    In rounds, a node that pushes reach, with probability 1 − (1 − (1−drop)/(n−1))^{n−1}, takes over a model of mean age and
    updates it. Several pushes to one node in a cycle would follow each other in time; here one of them, at random, counts.
    """
    source = "Ormándi, Hegedűs and Jelasity 2013, Gossip learning with linear models on fully distributed data"
    return Plot("Gossip learning: RW, MU and UM", source, predict, measure, draw, claims, double=False)
