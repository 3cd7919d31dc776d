"""Models that travel in parts, and federated averaging: test error by bytes.

A message carries one of four parts of a model, drawn at random, and costs a quarter; nodes send four times as often:

    bytes a node and cycle:  whole 4(p + 1),  in parts 4 · 4(⌈p/4⌉ + 1),    p numbers and an age, 4 bytes each

Every number is then merged as often for the same bytes, but a node learns at each arrival, four times as often. So parts win
while models are young and steps are what is wanting, and win nothing later, when what is wanting is agreement: each number
has been through four times as many local steps between two of its merges.

A node merges what arrives with its own by age, α = t₁/(t₁ + t₂), part by part. Limited merging takes the older model as it is
if the ages are further apart than L: by age, it has most of the weight already, so that little is left to gain.

As published: Spambase, 100 nodes, 20-regular, logistic regression, randomised token accounts with C = 20 and A = 10, samples
dealt at random, or by class, so that a node has one class alone. There, transfers as slow as the bandwidth makes them,
a token account for each part, and a phone trace; here one account, transfers of a fiftieth of a cycle for a whole model, and
for limited merging nodes that are online a fifth of the time, as a trace of phones had it, for five cycles at a time.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import federated_averaging
from jaxgossip.algorithms.gossip_learning import WalkState, gossip_learning
from jaxgossip.core.typing import NodeScores
from jaxgossip.learning import Problem, classification, models, partitions
from jaxgossip.learning.data import datasets
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.schedule import CHURNS, CLOCKS, DELAYS, TOKEN_ACCOUNTS, Schedule, schedule
from jaxgossip.simulation import simulate
from jaxgossip.theory import drawing
from jaxgossip.theory.networks import held_beside, messages_sent, run_beside
from jaxgossip.theory.plot import Claim, Plot

NODES, DEGREE, PARTS, FEATURES = 100, 20, 4, 57
TRANSFER = 0.02
"""Of a whole model, in cycles."""
ETA, STEPS, BATCH = 0.1, 4, 10
"""An epoch of a node's 41 samples at each arrival."""
MODELS, AWAY_CYCLES = 60, 300
"""So many cycles, or whole models a node, and so many where nodes come and go."""
YOUNG, GROWN = 0.2, 0.12
"""Errors that are raced for."""
GAP = 20
DEALT = ("at random", "by class")
CALLS = ("proactive", "tokens")
GIVEN: Mapping[str, tuple[Literal["uniform", "age"], int | None]] = MappingProxyType(
    {
        "half and half": ("uniform", None),
        "by age": ("age", None),
        f"limited, L = {GAP}": ("age", GAP),
    }
)


class Curve(NamedTuple):
    """Test errors.

    Attributes:
        sent: (e,) bytes that a node has sent, in whole models; a server's counted for the nodes.
        error: (e,) mean over nodes and networks.
    """

    sent: np.ndarray
    error: np.ndarray


class Found(NamedTuple):
    """All that is measured.

    Attributes:
        gossip: by (how samples are dealt, how nodes call, parts).
        server: federated averaging, by how samples are dealt.
        bytes: of a message, by parts.
        away: by how models merge, where nodes come and go: errors by cycle.
    """

    gossip: dict[tuple[str, str, int], Curve]
    server: dict[str, Curve]
    bytes: dict[int, int]
    away: dict[str, Curve]


def predict(_: bool) -> dict[int, int]:
    """Return the bytes of a message, by parts."""
    return {parts: 4 * (-(-(FEATURES + 1) // parts) + 1) for parts in (1, PARTS)}


def dealt(how: str, replica: int) -> Partition:
    """Return who holds which e-mails."""
    y = np.asarray(datasets.spambase(rng=0).y_train)
    if how == DEALT[0]:
        return partitions.iid(y, NODES, rng=replica)
    return partitions.label_shards(y, NODES, shards=1, rng=replica)


def learnt(held: list[Partition]) -> Problem:
    """Return the task of networks side by side."""
    return classification(
        datasets.spambase(rng=0), held_beside(held), models.logistic((FEATURES,), 2), batch_size=BATCH
    )


def network(calls: str, parts: int, replica: int, *, away: int = 0) -> Schedule:
    """Return who sends to whom, and when; nodes come and go for ``away`` cycles."""
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
    """Let networks learn Spambase, several of each kind, and a server with its hundred nodes."""
    replicas = 2 if quick else 10
    gossip, size = {}, {}
    for parts in (1, PARTS):
        found, size[parts] = _gossip(parts, replicas)
        gossip |= found
    server = {how: _server(how, replicas) for how in DEALT}
    away = {name: _away(*given, replicas=2 * replicas) for name, given in GIVEN.items()}
    return Found(gossip, server, size, away)


def _gossip(parts: int, replicas: int) -> tuple[dict[tuple[str, str, int], Curve], int]:
    kinds = {f"{how}, {calls}": (how, calls) for how in DEALT for calls in CALLS}
    networks = {name: [network(calls, parts, r) for r in range(replicas)] for name, (_, calls) in kinds.items()}
    problem = learnt([dealt(how, r) for how, _ in kinds.values() for r in range(replicas)])
    protocol = gossip_learning(problem, optax.sgd(ETA), partner="own", weighting="age", local_steps=STEPS, parts=parts)
    cycles = MODELS * parts
    metrics = run_beside(protocol, networks, cycles, _looked_at, evaluate_every=parts)
    at = np.asarray(metrics["round"], int)
    curves = {
        (*kind, parts): Curve(messages_sent(networks[name], cycles)[at] / parts, 1 - metrics[f"{name}, accuracy_mean"])
        for name, kind in kinds.items()
    }
    return curves, protocol.bytes[0]


def _server(how: str, replicas: int) -> Curve:
    """Return what a server learns that asks a tenth of the nodes a round: at the same bytes better here than all of them."""
    rounds, found = 5 * MODELS, []
    for replica in range(min(replicas, 4)):
        averaging = federated_averaging(learnt([dealt(how, replica)]), optax.sgd(ETA), fraction=0.1, local_steps=STEPS)
        found.append(simulate(averaging, rounds, seed=replica, evaluate_every=5).metrics)
    model_bytes = 4 * (FEATURES + 1) * NODES
    return Curve(
        found[0]["bytes_sent"] / model_bytes, 1 - np.mean([one["test_accuracy_mean"] for one in found], axis=0)
    )


def _away(weighting: Literal["uniform", "age"], gap: int | None, *, replicas: int) -> Curve:
    networks = {"all": [network("proactive", 1, r, away=AWAY_CYCLES) for r in range(replicas)]}
    problem = learnt([dealt(DEALT[1], r) for r in range(replicas)])
    protocol = gossip_learning(
        problem, optax.sgd(ETA), partner="own", weighting=weighting, age_gap=gap, local_steps=STEPS
    )
    metrics = run_beside(protocol, networks, AWAY_CYCLES, _looked_at, evaluate_every=20)
    return Curve(metrics["round"], 1 - metrics["all, accuracy_mean"])


def _looked_at(problem: Problem, rows: WalkState) -> NodeScores:
    return {"accuracy": problem.evaluate(rows.model.x)["test_accuracy"]}


def first_below(curve: Curve, error: float) -> float:
    """Return what a node has sent when the error is first at most this one, infinity if it never is."""
    reached = np.flatnonzero(curve.error <= error)
    if not reached.size:
        return np.inf
    i = max(1, int(reached[0]))
    return float(np.interp(-error, -curve.error[[i - 1, i]], curve.sent[[i - 1, i]]))


def draw(predicted: dict[int, int], measured: Found) -> Figure:
    """Left and middle, errors by bytes; right, by cycle where nodes come and go."""
    del predicted
    figure, (*panels, right) = drawing.page(3, width=4.2, height=4.0)
    for axes, how in zip(panels, DEALT, strict=True):
        for number, (calls, parts) in enumerate((calls, parts) for parts in (1, PARTS) for calls in CALLS):
            curve = measured.gossip[how, calls, parts]
            _logarithmic(axes, curve, number, f"{calls}, {'whole models' if parts == 1 else f'{PARTS} parts'}")
        _logarithmic(axes, measured.server[how], 4, "federated averaging")
        axes.set_xlabel("bytes that a node has sent, in whole models")
        drawing.title(axes, f"E-mails dealt {how}")
    for number, (name, curve) in enumerate(measured.away.items()):
        drawing.series(right, curve.sent, curve.error, number, name)
    right.set_xlabel("cycle")
    drawing.title(right, "By class; nodes online a fifth of the time")
    for axes in (*panels, right):
        axes.set_ylabel("test error, mean over nodes")
        axes.set_ylim(0.08, 0.4)
    panels[0].legend(loc="upper right", frameon=False, fontsize=8.5)
    right.legend(loc="upper right", frameon=False, fontsize=8.5)
    return figure


def _logarithmic(axes: drawing.Axes, curve: Curve, number: int, label: str) -> None:
    """Draw a curve over a logarithmic axis, with its marks evenly spread there."""
    seen = (curve.sent >= 0.5) & (curve.sent <= MODELS)
    sent, error = curve.sent[seen], curve.error[seen]
    marks = np.unique(np.searchsorted(sent, np.geomspace(sent[0], sent[-1], 8))).tolist()
    axes.plot(
        sent, error, color=f"C{number}", marker=drawing.MARKS[number], markevery=marks, markersize=4.5, label=label
    )
    axes.set_xscale("log")
    drawing.ticks(axes, [1, 2, 5, 10, 20, 50])


def claims(predicted: dict[int, int], measured: Found) -> list[Claim]:
    """Return: what a message costs; parts are early, not late; gossip comes near a server; limits help a little."""
    found = [
        Claim(
            f"bytes of a message, {parts} of a model" if parts > 1 else "bytes of a model", measured.bytes[parts], size
        )
        for parts, size in predicted.items()
    ]
    for how in DEALT:
        needs = {
            (calls, parts): tuple(first_below(measured.gossip[how, calls, parts], error) for error in (YOUNG, GROWN))
            for calls in CALLS
            for parts in (1, PARTS)
        }
        whole, late = needs["tokens", 1], needs["tokens", PARTS][1]
        if how == DEALT[0]:
            young, all_young = needs["proactive", PARTS][0], needs["proactive", 1][0]
            text = f"bytes to error {YOUNG}, {PARTS} parts, against two thirds of whole models', {how}"
            found.append(Claim(text, young, 2 / 3 * all_young, 0.0, "at most"))
        found += [
            Claim(
                f"bytes to error {GROWN}, {PARTS} parts, against whole models', {how}", late, whole[1], 0.0, "at least"
            ),
            Claim(
                f"bytes to error {GROWN}, tokens, against proactive, {how}",
                whole[1],
                needs["proactive", 1][1],
                0.0,
                "at most",
            ),
            Claim(
                f"error of the best gossip above federated averaging, {how}",
                min(float(measured.gossip[how, calls, parts].error[-1]) for calls in CALLS for parts in (1, PARTS))
                - float(np.interp(MODELS, *measured.server[how])),
                0.02,
                0.0,
                "at most",
            ),
        ]
    half, by_age, limited = (float(curve.error[-1]) for curve in measured.away.values())
    return [
        *found,
        Claim("error by age, against half and half, nodes away", by_age, half, 0.0, "at most"),
        Claim("error of limited merging, against by age, nodes away", limited, by_age, 0.0, "at most"),
    ]


def partitioned_models() -> Plot:
    """Gossip comes within two points of federated averaging at equal bytes; models in parts are ahead early, and not later."""
    source = "Hegedűs, Danner and Jelasity 2021, Decentralized learning works; limited merging: Danner et al. 2023"
    return Plot("Models in parts, and a server", source, predict, measure, draw, claims, double=False)
