"""PENS: nodes with two opposite tasks find those that share theirs, and gossip with them only.

Spambase over 100 nodes, with labels swapped at every other node: a model of the mean of both tasks is useless. A node
compares k = 10 models of any senders by their loss on its own e-mails and accepts the best m = 2; from cycle T on it calls
those that it accepted more often than by chance. Clocks tick once a cycle, so after T cycles a node has received T models
on average, of which (k − 1)/2 are still waiting, and

    accepted            m (T − (k − 1)/2)/k        on average
    of its own task     1 − P(0) − P(1)/2,         P(i) = C(49, i) C(50, k − i)/C(99, k), once losses separate the tasks.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import optax
import scipy.sparse as sp
from matplotlib.figure import Figure
from scipy.stats import hypergeom

from jaxgossip import learning, topology
from jaxgossip.algorithms import GossipProtocol, gossip_learning, pens
from jaxgossip.learning import Problem
from jaxgossip.schedule import clocks, delays, schedule
from jaxgossip.simulation import simulate_events
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most
from jaxgossip.topology import Graph

NODES = 100
SAMPLED, TOP = 10, 2
RATE = 0.1
KINDS = ("PENS", "anybody", "same task")


class Predicted(NamedTuple):
    """Predictions.

    Attributes:
        taken: number of models that a node accepts before it settles.
        own: share of them from its own task.
    """

    taken: float
    own: float


class Measured(NamedTuple):
    """Measurements.

    Attributes:
        cycle: (e,) cycles of evaluation.
        accuracy: (e,) accuracy on the nodes' local test sets, by kind.
        taken: number of models that a node accepted before it settled, on average.
        own: share of them from its own task.
        preferred: share of its own task among the nodes that a node calls after it settled.
        settles: cycle at which nodes settle.
    """

    cycle: np.ndarray
    accuracy: dict[str, np.ndarray]
    taken: float
    own: float
    preferred: float
    settles: int


def settles(quick: bool) -> int:
    """Return the cycle from which nodes call those that they prefer."""
    return 60 if quick else 150


def predict(quick: bool) -> Predicted:
    """Evaluate the formulas above."""
    others: Any = hypergeom(NODES - 1, NODES // 2 - 1, SAMPLED)
    taken = TOP * (settles(quick) - (SAMPLED - 1) / 2) / SAMPLED
    return Predicted(taken, float(1 - others.pmf(0) - others.pmf(1) / 2))


def tasks() -> np.ndarray:
    """Return (n,) the task of each node."""
    return np.arange(NODES) % 2


def problem() -> Problem:
    """Return Spambase with two opposite tasks and a fifth of each node's e-mails as its local test set."""
    data = learning.datasets.spambase(rng=0)
    labels = np.asarray(data.y_train)
    own = learning.partitions.iid(labels, NODES, local_test=0.2, rng=0)
    turned = np.zeros(labels.size, bool)
    for node in np.flatnonzero(tasks()):
        turned[own.order[own.offsets[node] : own.offsets[node + 1]]] = True
    data = replace(data, y_train=np.where(turned, 1 - labels, labels).astype(np.int32))
    return learning.classification(data, own, learning.models.logistic((57,), 2), batch_size=8)


def measure(quick: bool) -> Measured:
    """Run PENS, gossip with anybody, and gossip within a task."""
    task, at, same_task = problem(), settles(quick), tasks()[:, None] == tasks()
    complete = topology.complete(NODES)
    same_task_graph = topology.from_scipy(sp.csr_array(same_task & ~np.eye(NODES, dtype=bool)))
    plain, optimizer = gossip_learning(task, optax.sgd(RATE), partner="own"), optax.sgd(RATE)
    choosing = pens(task, optimizer, sampled=SAMPLED, top=TOP, settle_at=at)
    runs: tuple[tuple[GossipProtocol, Graph], ...] = ((choosing, complete), (plain, complete), (plain, same_task_graph))
    results = [
        simulate_events(protocol, schedule(
            graph, clock=clocks.fixed(NODES, np.random.default_rng(0)), delay=delays.constant(seconds=0.1), seed=0
        ), 2 * at, evaluate_every=at // 15)
        for protocol, graph in runs
    ]  # fmt: skip
    accuracy = {kind: result.metrics["local_accuracy_mean"] for kind, result in zip(KINDS, results, strict=True)}
    state = results[0].state
    prefers, selected = np.asarray(choosing.settle(state)[1]), np.asarray(state.selected)
    return Measured(
        results[0].metrics["round"],
        accuracy,
        float(selected.sum(1).mean()),
        float(selected[same_task].sum() / selected.sum()),
        float(prefers[same_task].sum() / prefers.sum()),
        at,
    )


def draw(predicted: Predicted, measured: Measured) -> Figure:
    """Accuracy on a node's own task by cycle; and the share of its own task among accepted models and preferred nodes."""
    figure, (left, right) = drawing.page(2, height=3.8)
    labels = {"PENS": "PENS", "anybody": "gossip with anybody", "same task": "gossip within a task"}
    for number, kind in enumerate(KINDS):
        drawing.series(left, measured.cycle, 100 * measured.accuracy[kind], number, labels[kind])
    left.axvline(measured.settles, color="#999999", linewidth=1, label="PENS settles")
    left.set(xlabel="cycle", ylabel="accuracy on a node's own test samples (%)", ylim=(45, 97))
    left.legend(loc="lower right", frameon=False, fontsize=8.5)
    for number, value in enumerate((measured.own, measured.preferred)):
        drawing.bar(right, number, 100 * value, 0.6, number)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 2.5}
        right.text(number, 70, f"{value:.1%}", ha="center", va="center", bbox=box)
    drawing.theory(
        right,
        [-0.45, 0.45],
        [100 * predicted.own] * 2,
        "theory: once losses tell",
        claimed="share of its own task among them",
    )
    right.axhline(100 * (NODES // 2 - 1) / (NODES - 1), color="#999999", linewidth=1, label="chance")
    right.set_xticks([0, 1], ["models taken in", "nodes called from then on"])
    right.set_ylim(0, 119)
    right.set_yticks([0, 25, 50, 75, 100])
    right.set_ylabel("of a node's own task (%)")
    right.legend(loc="upper center", frameon=False, fontsize=8.5, ncols=2)
    return figure


def claims(predicted: Predicted, measured: Measured) -> list[Claim]:
    """Return the claims: as many models are accepted as predicted, nearly all of the own task, and accuracy profits."""
    last = {kind: float(curve[-5:].mean()) for kind, curve in measured.accuracy.items()}
    return [
        # The number that reach a node by cycle T is nearly Poisson: a standard error of 1 %, and as much from the rest.
        Claim("models that a node takes in before it settles", measured.taken, predicted.taken, 0.05),
        # At first all models are equal and losses uninformative: the first of T/10 comparisons is a coin toss, half wrong.
        at_least(
            "share of its own task among them, short of theory by a first toss at most",
            measured.own,
            predicted.own - (predicted.own - 0.5) * SAMPLED / measured.settles,
            0.02,
        ),
        at_most("share of its own task among them, at most as theory has it", measured.own, predicted.own, 0.01),
        at_least("share of one's own task among those preferred", measured.preferred, 0.9),
        at_least("PENS above gossip with anybody", last["PENS"] - last["anybody"], 0.12),
        at_most("PENS below gossip within a task", last["same task"] - last["PENS"], 0.05),
        # A node's own last steps on its own data tell it something about its task.
        at_most("gossip with anybody, of two opposite tasks", last["anybody"], 0.75),
    ]


def pens_clusters() -> Plot:
    """Nodes that compare models on their own data find those with the same task, and learn nearly as well as if they knew.

    A node accepts m (T − (k − 1)/2)/k models before it settles, nearly all from its own task; its accuracy is then a few points
    below that of gossip within a task, as it knows fewer nodes to call.
    """
    source = "Onoszko, Karlsson, Mogren and Zec 2021, Decentralized federated learning of deep neural networks on non-iid data"
    return Plot("PENS: gossip with those who share one's task", source, predict, measure, draw, claims, double=False)
