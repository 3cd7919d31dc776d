"""PENS: nodes of clusters with different tasks find their like by the losses of the models that reach them.

A node compares k = 10 models at a time and takes in the best m = 2. Where a share p of all others belongs to its cluster, X ~
Bin(k, p) of the ten are its like; if these always do better than strangers, one of each kind is taken in with probability

    q_like = E min(X, m) / kp,      q_strange = E max(0, m − X) / k(1 − p),

but by luck, m/k, in the first comparison, where models have learnt nothing. After T cycles a node has made about
T/k − (k − 1)/2k comparisons and heard each other Poisson-often in them, h times; it prefers whom it took in more than mh/k
times. So some strangers are preferred: those heard so seldom that once was enough. Of two clusters they are few; of four, with
100 nodes and 200 cycles, a quarter, since every fourth comparison has fewer than two of one's like to offer.

From then on nodes call whom they prefer. Against them: gossip with anybody, and gossip within the cluster, by an oracle.

The task: ten Gaussian classes; the clusters name them differently, y + shift modulo 10, so that models of two clusters
contradict each other. As published: 100 nodes, k = 10, m = 2; there, images in two or four rotations, and deep networks.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from scipy.stats import binom, poisson

from jaxgossip import topology
from jaxgossip.algorithms.gossip_learning import WalkState, gossip_learning
from jaxgossip.algorithms.pens import PensState, pens
from jaxgossip.learning import Dataset, Problem, classification, datasets, models, partitions
from jaxgossip.learning.partitions import Partition
from jaxgossip.network.schedule import CLOCKS, Schedule, schedule
from jaxgossip.simulation.events import simulate_events
from jaxgossip.theory import drawing
from jaxgossip.theory.networks import held_beside, run_beside
from jaxgossip.theory.plot import Claim, Plot
from jaxgossip.topology import Graph
from jaxgossip.typing import NodeInts, NodeScores

NODES, SAMPLED, TOP = 100, 10, 2
SETTLE_AT, EVERY = 200, 20
SHIFTS = {2: (0, 5), 4: (0, 2, 5, 7)}
"""By how many clusters: what they add to the classes."""
ETA, STEPS, BATCH = 0.1, 3, 8
ANYBODY, PENS, ORACLE = "anybody", "PENS", "own cluster, by an oracle"


class Run(NamedTuple):
    """PENS.

    Attributes:
        like: (e,) share of nodes of the own cluster among those preferred; NaN before there are any.
        accuracy: (e,) on a node's own test samples, mean over nodes.
    """

    like: np.ndarray
    accuracy: np.ndarray


class Found(NamedTuple):
    """All that is measured, by clusters.

    Attributes:
        cycle: (e,) when it was looked at.
        pens: means over runs.
        gossip: (clusters, whom nodes call) -> (e,) accuracy.
    """

    cycle: np.ndarray
    pens: dict[int, Run]
    gossip: dict[tuple[int, str], np.ndarray]


def predict(_: bool) -> dict[int, np.ndarray]:
    """Return the share of one's like among the preferred at every look of the first part, by clusters."""
    looks = np.arange(EVERY, SETTLE_AT + 1, EVERY)
    return {clusters: np.array([_like(clusters, cycle) for cycle in looks]) for clusters in SHIFTS}


def _like(clusters: int, cycle: float) -> float:
    like = NODES // clusters - 1
    p, X = like / (NODES - 1), np.arange(SAMPLED + 1)
    chance = binom.pmf(X, SAMPLED, p)
    q_like = chance @ np.minimum(X, TOP) / (SAMPLED * p)
    q_strange = chance @ np.maximum(0, TOP - X) / (SAMPLED * (1 - p))
    compared = cycle / SAMPLED - (SAMPLED - 1) / (2 * SAMPLED)
    liked, strange = (_preferred(q, compared) for q in (q_like, q_strange))
    return like * liked / (like * liked + (NODES - 1 - like) * strange)


def _preferred(q: float, compared: float) -> float:
    """Return the probability that a node is preferred that is taken in with probability q, but by luck at first."""
    once = SAMPLED / (NODES - 1)
    first, later = np.ogrid[:8, :40]
    heard = poisson.pmf(first, once) * poisson.pmf(later, max(0.0, compared - 1) * once)
    total = 0.0
    for a, b in np.argwhere(heard > 1e-12):
        lucky, chosen = np.ogrid[: a + 1, : b + 1]
        taken = binom.pmf(lucky, a, TOP / SAMPLED) * binom.pmf(chosen, b, q)
        total += heard[a, b] * taken[SAMPLED * (lucky + chosen) > TOP * (a + b)].sum()
    return float(total)


def tasks() -> Dataset:
    """Return the samples once for each shift of the classes, one after the other."""
    once = datasets.synthetic(samples=3000, features=20, classes=10, separation=4.0, rng=0)
    y = np.asarray(once.y_train)
    shifted = np.concatenate([(y + shift) % 10 for shift in SHIFTS[4]]).astype(y.dtype)
    return dataclasses.replace(once, x_train=np.tile(np.asarray(once.x_train), (len(SHIFTS[4]), 1)), y_train=shifted)


def dealt(data: Dataset, clusters: int, seed: int) -> Partition:
    """Return who holds which samples: all of a shift are divided among the nodes of its cluster."""
    m = len(data.y_train) // len(SHIFTS[4])
    found = []
    for number, shift in enumerate(SHIFTS[clusters]):
        y = np.asarray(data.y_train)[:m]
        part = partitions.iid(y, NODES // clusters, local_test=0.3, rng=np.random.default_rng([seed, number]))
        rows = part.order + np.int32(m * SHIFTS[4].index(shift))
        found.append(dataclasses.replace(part, order=rows))
    return held_beside(found)


def clusters_of(clusters: int) -> np.ndarray:
    """Return (n, n) bool: who is of one cluster."""
    cluster = np.arange(NODES) // (NODES // clusters)
    return cluster[:, None] == cluster


def network(graph: Graph, seed: int) -> Schedule:
    """Return who sends to whom, and when."""
    return schedule(graph, clock=CLOCKS["fixed"](NODES, np.random.default_rng(seed)), seed=seed)


def measure(quick: bool) -> Found:
    """Let nodes find their like, and gossip with anybody and within their clusters."""
    cycles, seeds = (SETTLE_AT + 100, 1) if quick else (SETTLE_AT + 200, 4)
    data = tasks()
    runs = {clusters: [_pens(data, clusters, cycles, seed) for seed in range(seeds)] for clusters in SHIFTS}
    found = {clusters: Run(*np.mean(some, axis=0)) for clusters, some in runs.items()}
    return Found(np.arange(0, cycles + 1, EVERY), found, _gossip(data, cycles, seeds))


def _task(data: Dataset, held: Partition) -> Problem:
    return classification(data, held, models.softmax((20,), 10), batch_size=BATCH)


def _pens(data: Dataset, clusters: int, cycles: int, seed: int) -> Run:
    protocol = pens(
        _task(data, dealt(data, clusters, seed)),
        optax.sgd(ETA),
        sampled=SAMPLED,
        top=TOP,
        settle_at=SETTLE_AT,
        local_steps=STEPS,
    )
    alike = jnp.asarray(clusters_of(clusters))

    def scores(rows: PensState) -> NodeScores:
        preferred = rows.selected * SAMPLED > rows.heard.astype(jnp.int32) * TOP
        like, every = (which.sum(1, dtype=jnp.int32) for which in (preferred & alike, preferred))
        return {"like": like, "preferred": every}

    told: Any = dataclasses.replace(protocol, scores=scores)
    metrics = simulate_events(
        told, network(topology.complete(NODES), seed), cycles, seed=seed, evaluate_every=EVERY
    ).metrics
    preferred = metrics["preferred_mean"]
    like = np.divide(metrics["like_mean"], preferred, out=np.full(preferred.size, np.nan), where=preferred > 0)
    return Run(like, metrics["local_accuracy_mean"])


def _gossip(data: Dataset, cycles: int, seeds: int) -> dict[tuple[int, str], np.ndarray]:
    networks, held = {}, []
    for clusters in SHIFTS:
        ends = np.nonzero(clusters_of(clusters) & ~np.eye(NODES, dtype=bool))
        within = topology.from_links(NODES, *ends, name=f"{clusters} clusters")
        for name, graph in ((ANYBODY, topology.complete(NODES)), (ORACLE, within)):
            networks[clusters, name] = [network(graph, seed) for seed in range(seeds)]
            held += [dealt(data, clusters, seed) for seed in range(seeds)]
    problem = _task(data, held_beside(held))

    def look(rows: WalkState, nodes: NodeInts) -> NodeScores:
        return problem.evaluate_local(rows.model.x, nodes)

    named = {f"{clusters}, {name}": some for (clusters, name), some in networks.items()}
    protocol = gossip_learning(problem, optax.sgd(ETA), partner="own", local_steps=STEPS)
    metrics = run_beside(protocol, named, cycles, look, evaluate_every=EVERY)
    return {key: metrics[f"{key[0]}, {key[1]}, local_accuracy_mean"] for key in networks}


def draw(predicted: dict[int, np.ndarray], measured: Found) -> Figure:
    """Left, whom nodes prefer; middle and right, accuracy in two clusters and in four."""
    figure, (left, *panels) = drawing.page(3, width=4.2, height=4.0)
    looks = measured.cycle[(measured.cycle > 0) & (measured.cycle <= SETTLE_AT)]
    for number, (clusters, run) in enumerate(measured.pens.items()):
        drawing.points(left, looks, run.like[1 : looks.size + 1], number, f"{clusters} clusters")
        drawing.theory(left, looks, predicted[clusters])
        left.axhline(1 / clusters, color=f"C{number}", linewidth=1, linestyle=":")
    left.set_ylim(0, 1.05)
    left.set_xlabel("cycle")
    left.set_ylabel("share of own cluster among those preferred")
    drawing.title(left, "Whom nodes would call; dotted: by chance")
    drawing.legend(left, loc="lower right")
    for axes, clusters in zip(panels, SHIFTS, strict=True):
        curves = {
            ORACLE: measured.gossip[clusters, ORACLE],
            PENS: measured.pens[clusters].accuracy,
            ANYBODY: measured.gossip[clusters, ANYBODY],
        }
        for number, (name, accuracy) in enumerate(curves.items()):
            drawing.series(axes, measured.cycle, accuracy, number + 2, name)
        axes.axvline(SETTLE_AT, color="#999999", linewidth=1, linestyle=":")
        axes.set_ylim(0, 1)
        axes.set_xlabel("cycle")
        axes.set_ylabel("accuracy on own test samples, mean over nodes")
        drawing.title(axes, f"{clusters} clusters; dotted: PENS settles")
    panels[1].legend(loc="lower right", frameon=False, fontsize=8.5, title="nodes call", title_fontsize=8.5)
    return figure


def claims(predicted: dict[int, np.ndarray], measured: Found) -> list[Claim]:
    """Return: nodes prefer as predicted, their like, and learn better than with anybody, nearly as well as with an oracle."""
    at = SETTLE_AT // EVERY
    found = [
        Claim(
            f"own cluster among the preferred, {clusters} clusters",
            run.like[at],
            predicted[clusters][-1],
            0.03,
            "absolute",
        )
        for clusters, run in measured.pens.items()
    ]
    found.append(
        Claim("own cluster among the preferred, 2 clusters, at least", measured.pens[2].like[at], 0.95, 0, "at least")
    )
    late = measured.cycle > SETTLE_AT
    for clusters, run in measured.pens.items():
        anybody, oracle = (measured.gossip[clusters, name][late].mean() for name in (ANYBODY, ORACLE))
        gain = float(run.accuracy[late].mean() - anybody)
        found.append(
            Claim(f"accuracy by PENS above gossip with anybody, {clusters} clusters", gain, 0.15, 0, "at least")
        )
        if clusters == 2:
            behind = float(oracle - run.accuracy[late].mean())
            found.append(Claim("accuracy by PENS below the oracle, 2 clusters", behind, 0.05, 0, "at most"))
    return found


def pens_clusters() -> Plot:
    """PENS finds who learns the same task: gains 15 points on gossip with anybody, 5 short of an oracle with two clusters.

    Of four clusters, a quarter of those preferred are strangers after 200 cycles, as the rule makes them.
    """
    source = "Onoszko et al. 2021, Decentralized federated learning of deep neural networks on non-iid data, algorithms 1 and 2"
    return Plot("PENS", source, predict, measure, draw, claims, double=False)
