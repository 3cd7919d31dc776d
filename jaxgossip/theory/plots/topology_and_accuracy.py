"""Topology and accuracy: a node in a network learns as if it alone owned the e-mails of m_i nodes.

While step sizes are small, gradients hardly change, so after T rounds of D-SGD node i has summed those of all j with shares

    w_i = e_iᵀ Φ,   Φ = (1/T) Σ_{s=1..T} Wˢ,        m_i = 1/Σ_e (Σ_{j holds e} w_ij)²

m_i is Kish's (1965) effective sample size: with equal shares of m distinct e-mails it is m. The accuracy that m e-mails give
is measured on nodes without neighbours. So the topology enters through powers of W, and the claim is that it enters in no
other way: accuracy on each graph = mean over its nodes of the accuracy with m_i e-mails.

Where shares are very unequal, as next to hubs, m_i is a lower estimate: the noise is that of a few e-mails, which has heavier
tails than that of m_i, and so causes fewer errors at the same variance.

Spambase with one e-mail per node, so that about 24 nodes hold each. The prediction is of first order; nothing is fitted.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import Algorithm, dsgd, isolated
from jaxgossip.learning import Dataset, classification, models, partitions
from jaxgossip.learning.data import datasets
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.network import Round
from jaxgossip.plotting.style import style
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most
from jaxgossip.topology import Graph, Weights

ROUNDS, ETA = 40, 0.01
UNEQUAL = "Barabási–Albert, 2 links"
"""Most of its nodes hear only hubs, with small weights, and rely on their own e-mail."""
TOLERANCE = 0.01
"""In accuracy: one test e-mail in a hundred. One number only approximates unequal shares, and gradients do change a little."""
ABOVE = 0.02
"""Amount by which nodes with unequal shares may be more accurate than predicted."""


class Accuracy(NamedTuple):
    """Accuracies and effective numbers of e-mails.

    Attributes:
        alone: number of e-mails of a node without neighbours -> mean accuracy of such nodes.
        counted: (sampled nodes,) m_i, by graph.
        mean: mean accuracy over nodes, by graph.
    """

    alone: dict[int, float]
    counted: dict[str, np.ndarray]
    mean: dict[str, float]


def nodes(quick: bool) -> int:
    """Return the number of nodes."""
    return 20_000 if quick else 100_000


def graphs(quick: bool) -> dict[str, Graph]:
    """Return the graphs by name."""
    n = nodes(quick)
    result = {
        "ring": topology.ring(n),
        "torus": topology.torus(n),
        "random 4-regular": topology.random_regular(n, 4, rng=0),
        "static exponential": topology.static_exponential(n),
    }
    if quick:
        return result
    return result | {
        "ring, 10 nearest": topology.k_nearest_ring(n, 10),
        "small world, 10 % rewired": topology.watts_strogatz(n, 4, 0.1, rng=0),
        UNEQUAL: topology.barabasi_albert(n, 2, rng=0),
    }


def email_partition(data: Dataset, n: int) -> partitions.Partition:
    """Return the partition with one e-mail per node."""
    return partitions.one_sample(np.asarray(data.y_train), n, rng=0)


def predict(quick: bool) -> Accuracy:
    """Compute the effective number of e-mails for some nodes of each graph."""
    email_of_node = email_partition(datasets.spambase(), nodes(quick)).order
    counted = {
        name: effective_counts(topology.metropolis_hastings(graph), email_of_node, 64 if quick else 200)
        for name, graph in graphs(quick).items()
    }
    return Accuracy({}, counted, {})


def effective_counts(weights: Weights, email_of_node: np.ndarray, sampled: int) -> np.ndarray:
    """Return m_i of ``sampled`` random nodes; ``email_of_node`` (n,) is the e-mail of each node."""
    n, W = email_of_node.size, weights.to_scipy().T.tocsr()
    results = []
    for sources in np.array_split(np.random.default_rng(0).choice(n, sampled, replace=False), max(1, sampled // 25)):
        share = np.zeros((n, sources.size))
        share[sources, np.arange(sources.size)] = 1.0
        total = np.zeros_like(share)
        for _ in range(ROUNDS):
            share = W @ share
            total += share
        by_mail = np.stack([np.bincount(email_of_node, column) for column in (total / ROUNDS).T])
        results.append(1 / np.square(by_mail).sum(1))
    return np.concatenate(results)


def measure(quick: bool) -> Accuracy:
    """Train isolated nodes on 1, 2, 4, … e-mails, and all nodes of each graph on one e-mail each."""
    data = datasets.spambase()
    y, model = np.asarray(data.y_train), models.logistic((57,), 2)
    alone = {}
    for m in [*(2 ** np.arange(0, 12, 2 if quick else 1)).tolist(), y.size]:
        partition = partitions.fixed_size(y, max(1, min(2000, 200_000 // m)), samples=m, rng=0)
        alone[m] = _accuracy(isolated(classification(data, partition, model, batch_size=0), optax.sgd(ETA)))
    problem = classification(data, email_partition(data, nodes(quick)), model)
    mean = {
        name: _accuracy(dsgd(problem, optax.sgd(ETA), metropolis_hastings(graph)))
        for name, graph in graphs(quick).items()
    }
    return Accuracy(alone, {}, mean)


def _accuracy(algorithm: Algorithm) -> float:
    """Return the mean test accuracy of all nodes after the last round."""

    def body(number: jax.Array, state: Any) -> Any:
        return algorithm.step(state, Round(number, jax.random.key(0), algorithm.problem.n_nodes))[0]

    def learned(key: jax.Array) -> jax.Array:
        state = jax.lax.fori_loop(0, ROUNDS, body, algorithm.init(key))
        return algorithm.problem.evaluate(algorithm.models(state))["test_accuracy"]

    return float(np.asarray(jax.jit(learned)(jax.random.key(1)), np.float64).mean())


def expected_accuracy(predicted: Accuracy, measured: Accuracy) -> dict[str, float]:
    """Return the predicted accuracy on each graph, from its effective numbers of e-mails."""
    m, alone = np.log(list(measured.alone)), list(measured.alone.values())
    return {name: float(np.interp(np.log(counted), m, alone).mean()) for name, counted in predicted.counted.items()}


def draw(predicted: Accuracy, measured: Accuracy) -> Figure:
    """Left: accuracy against e-mails, with that of isolated nodes. Right: measured against predicted accuracy.

    With unequal shares the prediction is a lower estimate: its marker is hollow, on the range that is claimed.
    """
    figure, (left, right) = drawing.page(2, width=4.6, height=4.1)
    with style():
        left.plot(
            list(measured.alone),
            list(measured.alone.values()),
            color="#888888",
            linewidth=1.2,
            label="m e-mails, no neighbours",
        )
    expected = expected_accuracy(predicted, measured)
    for number, name in enumerate(sorted(expected, key=expected.__getitem__)):
        accuracy, m = measured.mean[name], predicted.counted[name]
        drawing.points(left, [np.exp(np.log(m).mean())], [accuracy], number, name)
        drawing.points(right, [expected[name]], [accuracy], number)
        if name == UNEQUAL:
            for axes in (left, right):
                axes.lines[-1].set_fillstyle("none")
            right.vlines(
                expected[name],
                expected[name] - TOLERANCE,
                expected[name] + ABOVE,
                color="#bbbbbb",
                linewidth=5,
                zorder=1,
            )
    left.set(xscale="log", xlabel="e-mails that a node learns from, mᵢ (geometric mean over nodes)")
    with style():
        left.legend(loc="lower right", fontsize=7.5, borderaxespad=0.8)
    span = np.array([min(expected.values()) - 0.01, max(expected.values()) + 0.01])
    drawing.theory(right, span, span, claimed="accuracy, ")
    for shift in (-TOLERANCE, TOLERANCE):
        right.plot(span, span + shift, color="#999999", linewidth=0.8, linestyle=":")
    right.text(
        span[0] + 0.002,
        span[1] - 0.01,
        f"dotted: ± {TOLERANCE:.0%} in accuracy\nhollow: a lower estimate, bar: −{TOLERANCE:.0%} to +{ABOVE:.0%}",
        fontsize=8,
        color="#555555",
    )
    right.set_xlabel("accuracy by powers of W and nodes without neighbours")
    for axes in (left, right):
        axes.set_ylabel("test accuracy, mean of all nodes")
        axes.yaxis.set_major_formatter("{x:.0%}")
    right.xaxis.set_major_formatter("{x:.0%}")
    return figure


def claims(predicted: Accuracy, measured: Accuracy) -> list[Claim]:
    """Return the claims.

    Each graph's accuracy is that of its effective number of e-mails, or more where shares are unequal.
    """
    expected = expected_accuracy(predicted, measured)
    checks = [
        Claim(f"accuracy, {name}", accuracy, expected[name], TOLERANCE, "at least" if name == UNEQUAL else "absolute")
        for name, accuracy in measured.mean.items()
    ]
    if UNEQUAL in expected:
        above = measured.mean[UNEQUAL] - expected[UNEQUAL]
        checks.append(at_most(f"accuracy above the lower estimate, {UNEQUAL}", above, ABOVE))
    checks.append(
        at_least(
            "accuracy of the worst graph, above that of one e-mail by a tenth",
            min(measured.mean.values()),
            measured.alone[1] + 0.1,
        )
    )
    return checks


def topology_and_accuracy() -> Plot:
    """With one e-mail a node, 10⁵ nodes are as accurate as the number of e-mails that powers of W bring to each of them."""
    source = "here, after Kish's effective sample size; data: Spambase, Hopkins, Reeber, Forman and Suermondt 1999, CC BY 4.0"
    title = f"Topology against accuracy ({ROUNDS} rounds of D-SGD, one e-mail a node)"
    return Plot(title, source, predict, measure, draw, claims, double=False)
