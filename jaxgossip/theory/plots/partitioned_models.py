"""Partitioned models and federated averaging: test error by bytes sent.

A message carries one of four parts of a model, drawn at random, and costs a quarter, so nodes send four times as often:

    bytes per node and cycle:  whole 4(p + 1),  in parts 4 · 4(⌈p/4⌉ + 1),    p numbers and an age, 4 bytes each

Every parameter is then merged as often for the same bytes, but a node learns at each arrival, four times as often. So parts
win while models are young and lack steps, and gain nothing later, when models lack agreement: each parameter has been
through four times as many local steps between two of its merges.

A node merges a received model with its own by age, α = t₁/(t₁ + t₂), part by part. Limited merging takes the older model
unchanged if the ages differ by more than L: by age it already has most of the weight, so there is little left to gain.

As in the papers: Spambase, 100 nodes, 20-regular, logistic regression, randomised token accounts with C = 20 and A = 10, and
samples dealt at random or by class, one class per node. They have transfers limited by bandwidth, a token account for each
part, and a phone trace; here there is one account, transfers take a fiftieth of a cycle for a whole model, and for limited
merging nodes are online a fifth of the time, as in the trace, for five cycles at a time.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import federated_averaging
from jaxgossip.algorithms.protocols.gossip_learning import WalkState, gossip_learning
from jaxgossip.core.typing import NodeScores
from jaxgossip.learning import Problem, classification, models, partitions
from jaxgossip.learning.data import datasets
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.schedule import CHURNS, CLOCKS, DELAYS, TOKEN_ACCOUNTS, Schedule, schedule
from jaxgossip.simulation import simulate
from jaxgossip.theory import drawing
from jaxgossip.theory.networks import messages_sent, run_side_by_side, union_of_partitions
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most

NODES, DEGREE, PARTS, FEATURES = 100, 20, 4, 57
TRANSFER = 0.02
"""Transfer time of a whole model, in cycles."""
ETA, STEPS, BATCH = 0.1, 4, 10
"""Step size, steps per arrival and batch size: about an epoch of a node's 41 samples per arrival."""
MODELS, AWAY_CYCLES = 60, 300
"""Number of cycles, or whole models sent per node; and the number with churn."""
YOUNG, GROWN = 0.2, 0.12
"""Target errors of the races."""
GAP = 20
DEALS = ("at random", "by class")
CALLS = ("proactive", "tokens")
MERGING: Mapping[str, tuple[Literal["uniform", "age"], int | None]] = MappingProxyType(
    {
        "half and half": ("uniform", None),
        "by age": ("age", None),
        f"limited, L = {GAP}": ("age", GAP),
    }
)


class Curve(NamedTuple):
    """Test error by bytes sent.

    Attributes:
        sent: (e,) bytes sent per node, in whole models; those of a server are attributed to the nodes.
        error: (e,) test error, averaged over nodes and networks.
    """

    sent: np.ndarray
    error: np.ndarray


class Found(NamedTuple):
    """All measurements.

    Attributes:
        gossip: curves by (deal of the samples, how nodes call, parts).
        server: curves of federated averaging, by deal.
        bytes: bytes of a message, by number of parts.
        away: errors by cycle with churn, by merging rule.
    """

    gossip: dict[tuple[str, str, int], Curve]
    server: dict[str, Curve]
    bytes: dict[int, int]
    away: dict[str, Curve]


def predict(_: bool) -> dict[int, int]:
    """Return the bytes of a message, by number of parts."""
    return {parts: 4 * (-(-(FEATURES + 1) // parts) + 1) for parts in (1, PARTS)}


def partition_of(how: str, replica: int) -> Partition:
    """Return the partition of the e-mails."""
    y = np.asarray(datasets.spambase(rng=0).y_train)
    if how == DEALS[0]:
        return partitions.iid(y, NODES, rng=replica)
    return partitions.label_shards(y, NODES, shards=1, rng=replica)


def union_problem(partitions_: list[Partition]) -> Problem:
    """Return the problem of a disjoint union of networks."""
    return classification(
        datasets.spambase(rng=0), union_of_partitions(partitions_), models.logistic((FEATURES,), 2), batch_size=BATCH
    )


def network(calls: str, parts: int, replica: int, *, away: int = 0) -> Schedule:
    """Return the schedule of one network, with churn for ``away`` cycles."""
    rng, period_s = np.random.default_rng(replica), 1 / parts
    tokens = TOKEN_ACCOUNTS["randomised"](capacity=20, reaction=10) if calls == "tokens" else None
    churn = CHURNS["exponential"](NODES, rng, away, mean_online_s=5.0, mean_offline_s=20.0) if away else None
    return schedule(
        topology.random_regular(NODES, DEGREE, rng=replica),
        clock=CLOCKS["fixed"](NODES, rng, period_s=period_s),
        delay=DELAYS["constant"](seconds=TRANSFER * period_s),
        churn=churn,
        tokens=tokens,
        parts=parts,
        seed=replica,
    )


def measure(quick: bool) -> Found:
    """Train several networks of each kind on Spambase, and a server with the same hundred nodes."""
    replicas = 2 if quick else 10
    gossip, size = {}, {}
    for parts in (1, PARTS):
        curves, size[parts] = _gossip(parts, replicas)
        gossip |= curves
    server = {how: _server(how, replicas) for how in DEALS}
    away = {name: _with_churn(*merging, replicas=2 * replicas) for name, merging in MERGING.items()}
    return Found(gossip, server, size, away)


def _gossip(parts: int, replicas: int) -> tuple[dict[tuple[str, str, int], Curve], int]:
    kinds = {f"{how}, {calls}": (how, calls) for how in DEALS for calls in CALLS}
    networks = {name: [network(calls, parts, r) for r in range(replicas)] for name, (_, calls) in kinds.items()}
    problem = union_problem([partition_of(how, r) for how, _ in kinds.values() for r in range(replicas)])
    protocol = gossip_learning(problem, optax.sgd(ETA), partner="own", weighting="age", local_steps=STEPS, parts=parts)
    cycles = MODELS * parts
    metrics = run_side_by_side(protocol, networks, cycles, _accuracy, evaluate_every=parts)
    at = np.asarray(metrics["round"], int)
    curves = {
        (*kind, parts): Curve(messages_sent(networks[name], cycles)[at] / parts, 1 - metrics[f"{name}, accuracy_mean"])
        for name, kind in kinds.items()
    }
    return curves, protocol.bytes[0]


def _server(how: str, replicas: int) -> Curve:
    """Return the curve of a server that samples a tenth of the nodes a round: better at equal bytes here than using all."""
    rounds, runs = 5 * MODELS, []
    for replica in range(min(replicas, 4)):
        algorithm = federated_averaging(
            union_problem([partition_of(how, replica)]), optax.sgd(ETA), fraction=0.1, local_steps=STEPS
        )
        runs.append(simulate(algorithm, rounds, seed=replica, evaluate_every=5).metrics)
    model_bytes = 4 * (FEATURES + 1) * NODES
    return Curve(
        runs[0]["bytes_sent"] / model_bytes, 1 - np.mean([metrics["test_accuracy_mean"] for metrics in runs], axis=0)
    )


def _with_churn(weighting: Literal["uniform", "age"], gap: int | None, *, replicas: int) -> Curve:
    networks = {"all": [network("proactive", 1, r, away=AWAY_CYCLES) for r in range(replicas)]}
    problem = union_problem([partition_of(DEALS[1], r) for r in range(replicas)])
    protocol = gossip_learning(
        problem, optax.sgd(ETA), partner="own", weighting=weighting, age_gap=gap, local_steps=STEPS
    )
    metrics = run_side_by_side(protocol, networks, AWAY_CYCLES, _accuracy, evaluate_every=20)
    return Curve(metrics["round"], 1 - metrics["all, accuracy_mean"])


def _accuracy(problem: Problem, rows: WalkState) -> NodeScores:
    return {"accuracy": problem.evaluate(rows.model.x)["test_accuracy"]}


def first_below(curve: Curve, error: float) -> float:
    """Return what a node has sent when the error is first at most ``error``; infinity if it never is."""
    reached = np.flatnonzero(curve.error <= error)
    if not reached.size:
        return np.inf
    i = max(1, int(reached[0]))
    return float(np.interp(-error, -curve.error[[i - 1, i]], curve.sent[[i - 1, i]]))


def draw(predicted: dict[int, int], measured: Found) -> Figure:
    """Left and middle: errors by bytes. Right: errors by cycle with churn."""
    del predicted
    figure, (*panels, right) = drawing.page(3, width=4.2, height=4.0)
    for axes, how in zip(panels, DEALS, strict=True):
        for number, (calls, parts) in enumerate((calls, parts) for parts in (1, PARTS) for calls in CALLS):
            curve = measured.gossip[how, calls, parts]
            _draw_logarithmic(axes, curve, number, f"{calls}, {'whole models' if parts == 1 else f'{PARTS} parts'}")
        _draw_logarithmic(axes, measured.server[how], 4, "federated averaging")
        axes.set_xlabel("bytes that a node has sent, in whole models")
        drawing.title(axes, f"E-mails dealt {how}")
    for number, (name, curve) in enumerate(measured.away.items()):
        drawing.series(right, curve.sent, curve.error, number, name)
    right.set_xlabel("cycle")
    drawing.title(right, "By class; nodes online a fifth of the time")
    for axes in (*panels, right):
        axes.set(ylabel="test error, mean over nodes", ylim=(0.08, 0.4))
    panels[0].legend(loc="upper right", frameon=False, fontsize=8.5)
    right.legend(loc="upper right", frameon=False, fontsize=8.5)
    return figure


def _draw_logarithmic(axes: drawing.Axes, curve: Curve, number: int, label: str) -> None:
    """Draw a curve on a logarithmic axis, with markers evenly spaced on it."""
    shown = (curve.sent >= 0.5) & (curve.sent <= MODELS)
    sent, error = curve.sent[shown], curve.error[shown]
    marks = np.unique(np.searchsorted(sent, np.geomspace(sent[0], sent[-1], 8))).tolist()
    axes.plot(
        sent, error, color=f"C{number}", marker=drawing.MARKS[number], markevery=marks, markersize=4.5, label=label
    )
    axes.set_xscale("log")
    drawing.ticks(axes, [1, 2, 5, 10, 20, 50])


def claims(predicted: dict[int, int], measured: Found) -> list[Claim]:
    """Return the claims.

    Message sizes; parts win early, not late; gossip comes near a server; limited merging helps a little.
    """
    checks = [
        Claim(
            f"bytes of a message, {parts} of a model" if parts > 1 else "bytes of a model", measured.bytes[parts], size
        )
        for parts, size in predicted.items()
    ]
    for how in DEALS:
        needs = {
            (calls, parts): tuple(first_below(measured.gossip[how, calls, parts], error) for error in (YOUNG, GROWN))
            for calls in CALLS
            for parts in (1, PARTS)
        }
        whole, late = needs["tokens", 1], needs["tokens", PARTS][1]
        if how == DEALS[0]:
            young, all_young = needs["proactive", PARTS][0], needs["proactive", 1][0]
            text = f"bytes to error {YOUNG}, {PARTS} parts, against two thirds of whole models', {how}"
            checks.append(at_most(text, young, 2 / 3 * all_young))
        checks += [
            at_least(f"bytes to error {GROWN}, {PARTS} parts, against whole models', {how}", late, whole[1]),
            at_most(f"bytes to error {GROWN}, tokens, against proactive, {how}", whole[1], needs["proactive", 1][1]),
            at_most(
                f"error of the best gossip above federated averaging, {how}",
                min(float(measured.gossip[how, calls, parts].error[-1]) for calls in CALLS for parts in (1, PARTS))
                - float(np.interp(MODELS, *measured.server[how])),
                0.02,
            ),
        ]
    half, by_age, limited = (float(curve.error[-1]) for curve in measured.away.values())
    return [
        *checks,
        at_most("error by age, against half and half, nodes away", by_age, half),
        at_most("error of limited merging, against by age, nodes away", limited, by_age),
    ]


def partitioned_models() -> Plot:
    """Gossip comes within two points of federated averaging at equal bytes; models in parts are ahead early, and not later."""
    source = "Hegedűs, Danner and Jelasity 2021, Decentralized learning works; limited merging: Danner et al. 2023"
    return Plot("Models in parts, and a server", source, predict, measure, draw, claims, double=False)
