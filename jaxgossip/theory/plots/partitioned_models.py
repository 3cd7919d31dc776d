"""Models that travel in parts: a message carries a quarter of the parameters, with an age of its own, and costs a quarter.

Spambase over 100 nodes on a random 20-regular graph, logistic regression, clocks that tick once a cycle, merging by age: of a
part that arrives with age t₁ and the node's own of age t₂, t₁/(t₁ + t₂). Messages have

    ⌈p/s⌉ · 4 + 4  bytes,     s parts of p parameters.

How fast models agree. Without learning a push halves what is between the receiver and the sender, in the part that travels:
of Σ‖x_i − x̄‖² it takes 1/(2n) in the mean, up to 1/n of that. With n pushes a cycle of which one in s carries a parameter,

    Σ‖x_i − x̄‖²  falls by  e^{−1/(2s)}  a cycle.

So parts that are sent s times as often agree as fast as whole models, at as many bytes; and s times as many partners are met.
"""

from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import learning, topology
from jaxgossip.algorithms import federated_averaging, gossip_learning
from jaxgossip.learning import Problem
from jaxgossip.network.schedule import churn, clocks, delays, schedule
from jaxgossip.simulation import Metrics, simulate, simulate_events
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot

NODES, DEGREE, PARTS = 100, 20, 4
RATE = 0.05
WAYS = MappingProxyType(
    {"whole models": (1, 1), "parts, as often": (PARTS, 1), "parts, four times as often": (PARTS, PARTS)}
)
"""Name to (parts of a model, ticks a cycle)."""
AGREEING = 12
"""Cycles in which models agree."""
SESSION = 20.0
"""Mean cycles that a node is online, and offline."""
GAP = 20
"""Models whose ages differ by more do not merge, where merging is limited."""


class Curve(NamedTuple):
    """A run.

    Attributes:
        cycle: (e,) when it was evaluated.
        sent: (e,) bytes that a node has sent.
        error: (e,) mean test error of the nodes.
    """

    cycle: np.ndarray
    sent: np.ndarray
    error: np.ndarray


class Predicted(NamedTuple):
    """What theory says, by way.

    Attributes:
        bytes: of a message.
        decay: factor of Σ‖x_i − x̄‖² a cycle.
    """

    bytes: dict[str, float]
    decay: dict[str, float]


class Measured(NamedTuple):
    """What was found.

    Attributes:
        bytes: of a message, by way.
        decay: of the disagreement a cycle, by way.
        learning: by way, and of federated averaging.
        returning: the same where nodes are offline half of the time: by age, and limited.
    """

    bytes: dict[str, float]
    decay: dict[str, float]
    learning: dict[str, Curve]
    returning: dict[str, Curve]


def predict(_: bool) -> Predicted:
    """Count bytes and halvings."""
    p = 58
    sizes = {name: -(-p // parts) * 4.0 + 4 for name, (parts, _) in WAYS.items()}
    return Predicted(sizes, {name: float(np.exp(-ticks / (2 * parts))) for name, (parts, ticks) in WAYS.items()})


def task() -> Problem:
    """Return Spambase in equal parts."""
    data = learning.datasets.spambase(rng=0)
    own = learning.partitions.iid(np.asarray(data.y_train), NODES, rng=0)
    return learning.classification(data, own, learning.models.logistic((57,), 2), batch_size=8)


def gossip(
    problem: Problem, parts: int, ticks: int, cycles: int, *, rate: float = RATE, gap: int | None = None,
    sessions: bool = False, weighting: Any = "age", seed: int = 0,
) -> Metrics:  # fmt: skip
    """Let nodes gossip; clocks tick so many times a cycle, and messages take a tenth of a tick."""
    period_s, rng = 1 / ticks, np.random.default_rng(seed)
    away = (
        churn.exponential(NODES, rng, float(cycles), mean_online_s=SESSION, mean_offline_s=SESSION)
        if sessions
        else None
    )
    network = schedule(
        topology.random_regular(NODES, DEGREE, rng=0), clock=clocks.poisson(NODES, period_s=period_s), churn=away,
        delay=delays.constant(seconds=0.1 * period_s), parts=parts, seed=seed,
    )  # fmt: skip
    walks = gossip_learning(problem, optax.sgd(rate), partner="own", weighting=weighting, parts=parts, age_gap=gap)
    found = simulate_events(walks, network, ticks * cycles, evaluate_every=2 * ticks, sampled_nodes=NODES)
    return found.metrics


def measure(quick: bool) -> Measured:
    """Let models agree without learning, then learn, beside federated averaging, and with nodes that come and go."""
    cycles, seeds = (40, 2) if quick else (120, 5)
    still = learning.isotropic_quadratic(NODES, dimension=58, init="independent")
    decay, curves, sizes = {}, {}, {}
    problem = task()
    for name, (parts, ticks) in WAYS.items():
        falls = []
        for seed in range(seeds):
            apart = gossip(still, parts, ticks, AGREEING, rate=0.0, weighting="uniform", seed=seed)[
                "consensus_distance"
            ]
            falls.append((apart[-1] / apart[0]) ** (1 / AGREEING))
        decay[name] = float(np.mean(falls))
        metrics = gossip(problem, parts, ticks, cycles)
        sizes[name] = float(metrics["bytes_sent"][-1] / metrics["messages"][-1])
        curves[name] = _curve(metrics, ticks)
    federated = federated_averaging(problem, optax.sgd(RATE))
    curves["federated averaging"] = _curve(simulate(federated, cycles, evaluate_every=2).metrics, 1)
    returning = {
        name: _curve(gossip(problem, 1, 1, cycles, gap=gap, sessions=True), 1)
        for name, gap in (("by age", None), ("by age, limited", GAP))
    }
    return Measured(sizes, decay, curves, returning)


def _curve(metrics: Metrics, ticks: int) -> Curve:
    return Curve(metrics["round"] / ticks, metrics["bytes_sent"] / NODES, 1 - metrics["test_accuracy_mean"])


def error_at(curve: Curve, sent: float) -> float:
    """Return the error when a node has sent so many bytes, a mean of five evaluations up to then."""
    last = int(np.searchsorted(curve.sent, sent, side="right"))
    return float(curve.error[max(0, last - 5) : max(1, last)].mean())


def draw(predicted: Predicted, measured: Measured) -> Figure:
    """Decay of disagreement, error by bytes, error with nodes that come and go."""
    figure, (left, middle, right) = drawing.page(3, width=4.2, height=3.8)
    for number, name in enumerate(WAYS):
        drawing.bar(left, number, measured.decay[name], 0.6, number)
        drawing.theory(left, [number - 0.4, number + 0.4], [predicted.decay[name]] * 2)
    left.set_xticks(range(len(WAYS)), ["whole", "parts", "parts,\nfour times\nas often"])
    left.set_ylim(0, 1.15)
    left.set_ylabel("disagreement kept in a cycle")
    drawing.legend(left, loc="upper left")
    for number, (name, curve) in enumerate(measured.learning.items()):
        drawing.series(middle, curve.sent[1:] / 1e3, curve.error[1:], number, name)
    middle.set_xscale("log")
    drawing.ticks(middle, (0.3, 1, 3, 10, 30))
    middle.set_xlabel("a node has sent (kB)")
    middle.set_ylabel("mean test error")
    middle.set_ylim(0.09, 0.3)
    middle.legend(loc="upper right", frameon=False, fontsize=8.5)
    for number, (name, curve) in enumerate(measured.returning.items()):
        drawing.series(right, curve.cycle, curve.error, number + 4, name)
    right.set_xlabel("cycle, nodes offline half of the time")
    right.set_ylabel("mean test error")
    right.set_ylim(0.09, 0.3)
    right.legend(loc="upper right", frameon=False, fontsize=8.5)
    return figure


def claims(predicted: Predicted, measured: Measured) -> list[Claim]:
    """Return: bytes and decay as counted; parts sent as often as bytes allow do no worse; gossip is near federated learning."""
    found = [
        Claim(f"bytes of a message, {name}", measured.bytes[name], size, 1e-9) for name, size in predicted.bytes.items()
    ]
    # Terms of order 1/n and 1/degree are left out of the prediction, and twelve cycles of few nodes are noisy.
    found += [
        Claim(f"disagreement kept in a cycle, {name}", measured.decay[name], factor, 0.04)
        for name, factor in predicted.decay.items()
    ]
    whole, often, seldom = (
        measured.learning[name] for name in ("whole models", "parts, four times as often", "parts, as often")
    )
    central = measured.learning["federated averaging"]
    early, end = seldom.sent[-1], whole.sent[-1]
    found += [
        Claim("parts four times as often, above whole models at equal bytes", error_at(often, end) - error_at(whole, end),
              0.0, 0.005, "at most"),
        Claim("parts as often: error above whole models at equal cycles, for 0.27 of their bytes",
              float(seldom.error[-5:].mean() - whole.error[-5:].mean()), 0.01, 0.0, "at most"),
        Claim("gossip in parts above federated averaging at equal bytes",
              error_at(often, end) - error_at(central, end), 0.0, 0.01, "at most"),
        Claim("bytes of parts, as often, of those of whole models", early / end, predicted.bytes["parts, as often"]
              / predicted.bytes["whole models"], 0.05),
        Claim("limited merging, off merging by age, where nodes come and go",
              float(measured.returning["by age, limited"].error[-5:].mean() - measured.returning["by age"].error[-5:].mean()),
              0.0, 0.01, "absolute"),
    ]  # fmt: skip
    return found


def partitioned_models() -> Plot:
    """Parts of a model, sent as often as their bytes allow, agree as fast as whole models, and learn at least as well.

    At equal bytes gossip ends within a point of federated averaging, which needs a server. Where nodes are offline half of the
    time, limiting merges to models of similar age changes nothing here: this task forgives a stale model at once.
    """
    source = (
        "Hegedűs, Danner and Jelasity 2021, Decentralized learning works: an empirical comparison of gossip learning and "
        "federated learning"
    )
    return Plot("Gossip learning of models in parts", source, predict, measure, draw, claims, double=False)
