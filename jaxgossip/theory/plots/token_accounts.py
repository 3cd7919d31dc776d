"""Token accounts: models that are handed on at once take fewer, quicker walks, at the same number of messages.

Everybody sends one message a cycle on average, whatever its account: a token a cycle is all there is to spend. A message
takes the time δ. The model that it carries has waited in its sender since it arrived there: not at all, if it is sent in
reaction; if it is sent at a tick, for s_a, the mean time since a node with a tokens was last reached. So a hop takes

    δ + Σ_a π_a PROACTIVE(a) s_a                                            (π: how many tokens a node has as it ticks)

cycles, and the age of models, which is the number of their hops, grows by the inverse of that a cycle. Plain gossip has
s = 1: its models age by 1/(1 + δ). Walks of the simple account of capacity C end where there are no tokens, once in C + 1
hops, and start anew at nodes that are full, so have not been reached for two cycles: (C + 1)/(2 + (C + 1)δ), if clocks were
random. The prediction is exact for fixed clocks and for nodes that are reached unequally often, by in-degree: between
ticks (π, m), m_a = π_a s_a, follow π̇ = πG, ṁ = π − λm, with jumps by the account's law; no other assumption but that a message
meets a random node.

What it is worth: a random walk (RW) learns an e-mail at each hop, and reaches an error in a fraction of the time. Models
that merge (MU) do not profit: without accounts they are averages of many walks already, and one message a cycle and
node brings as many others' e-mails with or without tokens. They only have to save their first tokens.

As published: N = 5,000, a random 20-out overlay, transfers of a hundredth of a cycle. There, two days (1,000 cycles), the
relative age of models that walk, where an older model alone replaces a younger; here, every model that arrives, as in RW,
and Spambase learnt with it, an e-mail a node.
"""

from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.linalg import expm

from jaxgossip import learning, topology
from jaxgossip.algorithms.gossip_learning import WalkState, gossip_learning
from jaxgossip.core.typing import NodeScores
from jaxgossip.learning import Problem
from jaxgossip.schedule import CLOCKS, DELAYS, TOKEN_ACCOUNTS, Schedule, TokenAccount, schedule
from jaxgossip.theory import drawing
from jaxgossip.theory.networks import held_beside, run_beside
from jaxgossip.theory.plot import Claim, Plot
from jaxgossip.topology import Graph

PERIOD_S, TRANSFER_S = 172.8, 1.728
OUT_DEGREE = 20
LAMBDA = 1e-4
WALKED, MERGED = 0.18, 0.14
"""Errors that walks, and models that merge, race for."""
SHOWN = 500
"""Nodes that are evaluated."""
CYCLES, MERGING_CYCLES = 250, 40
SETTLED, LOOKED_AT = 100, 50
"""From this cycle on, tokens are as many as they will be; so many further cycles are looked at for the messages."""

PROACTIVE = "proactive"
ACCOUNTS = MappingProxyType(
    {
        PROACTIVE: (TOKEN_ACCOUNTS["proactive"](), 1),
        "randomised, C = 20, A = 10": (TOKEN_ACCOUNTS["randomised"](capacity=20, reaction=10), 20),
        "simple, C = 10": (TOKEN_ACCOUNTS["simple"](capacity=10), 10),
        "generalised, C = 10, A = 5": (TOKEN_ACCOUNTS["generalised"](capacity=10, reaction=5), 10),
    }
)
"""Account and capacity by name."""


class Run(NamedTuple):
    """One run.

    Attributes:
        cycle: (e,) when it was looked at.
        age: (e,) mean age of the models.
        error: (e,) mean test error of some of them.
    """

    cycle: np.ndarray
    age: np.ndarray
    error: np.ndarray


class Found(NamedTuple):
    """All that is measured.

    Attributes:
        hop: cycles that a hop takes, a mean over messages, by account.
        rate: messages a node and cycle, by account.
        walk: RW, by account.
        merge: MU, by account.
    """

    hop: dict[str, float]
    rate: dict[str, float]
    walk: dict[str, Run]
    merge: dict[str, Run]


def nodes(quick: bool) -> int:
    """Return the number of nodes."""
    return 1000 if quick else 5000


def overlay(n: int) -> Graph:
    """Return the graph in which every node knows 20 random others."""
    rng = np.random.default_rng(0)
    called = np.stack([rng.choice(n - 1, OUT_DEGREE, replace=False) for _ in range(n)])
    caller = np.arange(n)[:, None]
    called += called >= caller
    return topology.from_links(
        n, called.ravel(), np.repeat(caller, OUT_DEGREE), name=f"random {OUT_DEGREE}-out", directed=True
    )


def network(name: str, n: int) -> Schedule:
    """Return who sends to whom, and when."""
    clock = CLOCKS["fixed"](n, np.random.default_rng(0), period_s=PERIOD_S)
    return schedule(overlay(n), clock=clock, delay=DELAYS["constant"](seconds=TRANSFER_S), tokens=ACCOUNTS[name][0])


def predict(quick: bool) -> dict[str, float]:
    """Return how many cycles a hop takes, by account."""
    in_degree, count = np.unique(overlay(nodes(quick)).degrees, return_counts=True)
    found = {}
    for name, (account, capacity) in ACCOUNTS.items():
        waits = [_wait(account, capacity, reached / OUT_DEGREE) for reached in in_degree]
        found[name] = TRANSFER_S / PERIOD_S + float(np.average(waits, weights=count))
    return found


def _wait(account: TokenAccount, capacity: int, rate: float) -> float:
    """Return Σ_a π_a PROACTIVE(a) s_a of a node that ``rate`` messages reach a cycle."""
    size = capacity + 1
    G, tick = np.zeros((size, size)), np.zeros((size, size))
    act = np.array([account.proactive(a) for a in range(size)])
    for a in range(size):
        spent = account.reactive(a, True)
        G[a, a] -= rate
        G[a, a - int(spent)] += rate * (1 - spent % 1)
        G[a, a - int(np.ceil(spent))] += rate * (spent % 1)
        tick[a, a] = act[a]
        tick[a, min(a + 1, capacity)] += 1 - act[a]
    one, nothing = np.eye(size), np.zeros((size, size))
    between = expm(np.block([[G, one], [nothing, -rate * one]]))
    kept, waited, still = between[:size, :size], between[:size, size:], between[size:, size:]
    pi = np.linalg.lstsq(np.vstack([(tick @ kept - one).T, np.ones(size)]), np.append(np.zeros(size), 1.0), rcond=None)[
        0
    ]
    m = np.linalg.solve((one - tick @ still).T, pi @ tick @ waited)
    return float(m @ act)


def measure(quick: bool) -> Found:
    """Let models walk, and merge, over Spambase, an e-mail a node."""
    n = nodes(quick)
    networks = {name: network(name, n) for name in ACCOUNTS}
    told = {name: _hop_and_rate(one) for name, one in networks.items()}
    walk = _runs(networks, "update", CYCLES, 10)
    merge = _runs(networks, "merge_update", MERGING_CYCLES, 2)
    return Found(
        {name: hop for name, (hop, _) in told.items()}, {name: rate for name, (_, rate) in told.items()}, walk, merge
    )


def _hop_and_rate(network: Schedule) -> tuple[float, float]:
    """Return (cycles from a model's arrival at a node to that at the next, a mean over messages; messages a node and cycle)."""
    cycles = [messages for messages, _ in zip(network.cycles(), range(SETTLED + LOOKED_AT), strict=False)]
    sender, receiver, sent_s, arrives_s = (
        np.concatenate([getattr(one, name) for one in cycles]) for name in ("sender", "receiver", "sent_s", "arrives_s")
    )
    horizon = 2 * arrives_s.max()
    came = np.sort(receiver * horizon + arrives_s)  # by node, then by time: one bisection serves all
    last = came[np.searchsorted(came, sender * horizon + sent_s, side="right") - 1] - sender * horizon
    settled = sent_s >= SETTLED * PERIOD_S
    hop = (arrives_s - last)[settled].mean() / PERIOD_S
    return float(hop), float(settled.sum() / LOOKED_AT / network.n_nodes)


def _runs(
    networks: dict[str, Schedule], create: Literal["update", "merge_update"], cycles: int, every: int
) -> dict[str, Run]:
    data, model = learning.datasets.spambase(rng=0), learning.models.pegasos((57,), 2, regularization=LAMBDA)
    held = learning.partitions.one_sample(np.asarray(data.y_train), networks[PROACTIVE].n_nodes)
    problem = learning.classification(data, held_beside([held] * len(networks)), model)

    walks = gossip_learning(problem, learning.OPTIMIZERS["pegasos"](regularization=LAMBDA), create=create)
    each = {name: [network] for name, network in networks.items()}
    metrics = run_beside(walks, each, cycles, _looked_at, evaluate_every=every)
    return {
        name: Run(metrics["round"], metrics[f"{name}, age_mean"], 1 - metrics[f"{name}, accuracy_mean"])
        for name in networks
    }


def _looked_at(problem: Problem, rows: WalkState) -> NodeScores:
    accuracy = problem.evaluate(rows.model.x[:SHOWN])["test_accuracy"]
    return {"age": rows.model.age[:, 0], "accuracy": accuracy}


def growth(run: Run) -> float:
    """Return by how much models age in a cycle, once settled: a slope by least squares."""
    late = run.cycle >= SETTLED
    return float(np.polyfit(run.cycle[late], run.age[late], 1)[0])


def first_below(run: Run, error: float) -> float:
    """Return the first cycle with at most this error, between two looks by a line; infinity if there is none."""
    reached = np.flatnonzero(run.error <= error)
    if not reached.size or not reached[0]:
        return 0.0 if reached.size else np.inf
    i = reached[0]
    share = (run.error[i - 1] - error) / (run.error[i - 1] - run.error[i])
    return float(run.cycle[i - 1] + share * (run.cycle[i] - run.cycle[i - 1]))


def draw(predicted: dict[str, float], measured: Found) -> Figure:
    """Left, ages of walks; middle, their errors; right, errors of models that merge.

    With accounts what is claimed is how long a hop takes, and not what ages gain, which are those of few walks: that slope
    is dotted.
    """
    figure, (left, middle, right) = drawing.page(3, width=4.2, height=4.0)
    for number, (name, run) in enumerate(measured.walk.items()):
        late = run.cycle >= SETTLED
        aged = run.age > 1
        drawing.series(left, run.cycle[aged], run.age[aged], number, name)
        middle_of = run.age[late].mean() - run.cycle[late].mean() / predicted[name]
        line = middle_of + run.cycle[late] / predicted[name]
        if name == PROACTIVE:
            drawing.theory(left, run.cycle[late], line, claimed=f"age of a model a cycle, {name}")
        else:
            drawing.reference(left, run.cycle[late], line)
        drawing.series(middle, run.cycle[1:], run.error[1:], number, name)
        merged = measured.merge[name]
        drawing.series(right, merged.cycle[1:], merged.error[1:], number, name)
    left.set_yscale("log")
    left.set_ylabel("mean age of a model, hops")
    drawing.title(left, "Walks (RW): slopes alone; dotted: not claimed")
    for axes, target, text in ((middle, WALKED, "Walks (RW)"), (right, MERGED, "Models that merge (MU)")):
        axes.axhline(target, color="#999999", linewidth=1, linestyle=":")
        axes.set_ylabel(f"test error, mean of {SHOWN} nodes")
        axes.set_ylim(0.08, 0.42)
        drawing.title(axes, f"{text}; dotted: raced for, {target:g}")
    for axes in (left, middle, right):
        axes.set_xlabel("cycle")
    drawing.legend(left, loc="lower right", fontsize=8)
    return figure


def claims(predicted: dict[str, float], measured: Found) -> list[Claim]:
    """Return: hops take as long as predicted, ages grow accordingly, all send alike; walks profit, merged models do not."""
    found = [
        *(Claim(f"cycles a hop, {name}", measured.hop[name], hop, 0.06) for name, hop in predicted.items()),
        Claim(f"age of a model a cycle, {PROACTIVE}", growth(measured.walk[PROACTIVE]), 1 / predicted[PROACTIVE], 0.04),
        *(
            Claim(f"messages a node and cycle, {name}", rate, 1.0, 0.02, "absolute")
            for name, rate in measured.rate.items()
        ),
    ]
    plain = {error: first_below(runs[PROACTIVE], error) for error, runs in _races(measured).items()}
    for error, runs in _races(measured).items():
        for name, run in list(runs.items())[1:]:
            cycles = first_below(run, error)
            if error == WALKED:
                text = f"RW's cycles to error {error}, {name}, against a third of {PROACTIVE}"
                found.append(Claim(text, cycles, plain[error] / 3, 0.0, "at most"))
            else:
                text = f"MU's cycles to error {error}, {name}, against half of {PROACTIVE}"
                found.append(Claim(text, cycles, plain[error] / 2, 0.0, "at least"))
    return found


def _races(measured: Found) -> dict[float, dict[str, Run]]:
    return {WALKED: measured.walk, MERGED: measured.merge}


def token_accounts() -> Plot:
    """Token accounts let models walk many hops a cycle at one message a cycle: RW learns in a third of the time, MU does not.

    A hop takes its transfer, and where it is sent at a tick the time since its sender was last reached: a few cycles in many.
    """
    source = "Danner and Jelasity 2018, Token account algorithms: the best of the proactive and reactive worlds"
    return Plot("Token accounts", source, predict, measure, draw, claims, double=False)
