"""Token accounts: models forwarded at once take fewer but faster walks, for the same number of messages.

Every node sends one message per cycle on average, whatever its account, as it earns one token per cycle. A message takes the
time δ. Its model has waited at the sender since it arrived there: not at all if it is sent in reaction, and if it is sent at
a tick, for s_a, the mean time since a node with a tokens last received a message. So a hop takes

    δ + Σ_a π_a PROACTIVE(a) s_a                                            (π: distribution of tokens at a tick)

cycles, and the age of models, the number of their hops, grows by the inverse of that per cycle. Plain gossip has s = 1: its
models age by 1/(1 + δ). With the simple account of capacity C, walks end where there are no tokens, once in C + 1 hops, and
restart at full nodes, which have not received a message for two cycles: (C + 1)/(2 + (C + 1)δ), if clocks were random. The
prediction is exact for fixed clocks, and for nodes that receive unequally often, by in-degree: between ticks (π, m), with
m_a = π_a s_a, follow π̇ = πG, ṁ = π − λm, with jumps by the account's rule; the only assumption is that a message meets a
random node.

The benefit: a random walk (RW) learns an e-mail at each hop, and reaches an error in a fraction of the time. Models that
merge (MU) do not profit: without accounts they are already averages of many walks, and one message per cycle and node
brings as many other nodes' e-mails with tokens as without. They only have to save their first tokens.

As in the paper: N = 5,000, a random 20-out overlay, transfers of a hundredth of a cycle. The paper measures, over two days
(1,000 cycles), the relative age of walks in which only an older model replaces a younger one; here every model that arrives
replaces the node's, as in RW, and Spambase is learnt with it, one e-mail per node.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from scipy.linalg import expm

from jaxgossip import learning, topology
from jaxgossip.algorithms.protocols.gossip_learning import WalkState, gossip_learning
from jaxgossip.learning import Problem
from jaxgossip.schedule import CLOCKS, DELAYS, TOKEN_ACCOUNTS, Schedule, TokenAccount, schedule
from jaxgossip.theory import drawing
from jaxgossip.theory.networks import run_side_by_side, union_of_partitions
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most
from jaxgossip.topology import Graph

PERIOD_S, TRANSFER_S = 172.8, 1.728
OUT_DEGREE = 20
LAMBDA = 1e-4
WALKED, MERGED = 0.18, 0.14
"""Target errors of walks and of models that merge."""
SHOWN = 500
"""Number of nodes that are evaluated."""
CYCLES, MERGING_CYCLES = 250, 40
SETTLED, COUNTED_CYCLES = 100, 50
"""Cycle from which the numbers of tokens are stationary, and number of further cycles whose messages are counted."""

PROACTIVE = "proactive"
ACCOUNTS = MappingProxyType(
    {
        PROACTIVE: (TOKEN_ACCOUNTS["proactive"](), 1),
        "randomised, C = 20, A = 10": (TOKEN_ACCOUNTS["randomised"](capacity=20, reaction=10), 20),
        "simple, C = 10": (TOKEN_ACCOUNTS["simple"](capacity=10), 10),
        "generalised, C = 10, A = 5": (TOKEN_ACCOUNTS["generalised"](capacity=10, reaction=5), 10),
    }
)
"""(account, capacity) by name."""


class Run(NamedTuple):
    """Course of one run.

    Attributes:
        cycle: (e,) cycles of evaluation.
        age: (e,) mean age of the models.
        error: (e,) mean test error of ``SHOWN`` of them.
    """

    cycle: np.ndarray
    age: np.ndarray
    error: np.ndarray


class Results(NamedTuple):
    """All measurements.

    Attributes:
        hop: cycles per hop, averaged over messages, by account.
        rate: messages per node and cycle, by account.
        walk: runs of RW, by account.
        merge: runs of MU, by account.
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
    """Return the schedule of the network with one account."""
    clock = CLOCKS["fixed"](n, np.random.default_rng(0), period_s=PERIOD_S)
    return schedule(overlay(n), clock=clock, delay=DELAYS["constant"](seconds=TRANSFER_S), tokens=ACCOUNTS[name][0])


def predict(quick: bool) -> dict[str, float]:
    """Return the cycles per hop, by account."""
    in_degree, count = np.unique(overlay(nodes(quick)).degrees, return_counts=True)
    hops = {}
    for name, (account, capacity) in ACCOUNTS.items():
        waits = [_wait(account, capacity, reached / OUT_DEGREE) for reached in in_degree]
        hops[name] = TRANSFER_S / PERIOD_S + float(np.average(waits, weights=count))
    return hops


def _wait(account: TokenAccount, capacity: int, rate: float) -> float:
    """Return Σ_a π_a PROACTIVE(a) s_a of a node that receives ``rate`` messages per cycle."""
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
    identity, nothing = np.eye(size), np.zeros((size, size))
    between = expm(np.block([[G, identity], [nothing, -rate * identity]]))
    survives, waiting, no_arrival = between[:size, :size], between[:size, size:], between[size:, size:]
    pi = np.linalg.lstsq(
        np.vstack([(tick @ survives - identity).T, np.ones(size)]), np.append(np.zeros(size), 1.0), rcond=None
    )[0]
    m = np.linalg.solve((identity - tick @ no_arrival).T, pi @ tick @ waiting)
    return float(m @ act)


def measure(quick: bool) -> Results:
    """Run walks and merging models on Spambase, with one e-mail per node."""
    n = nodes(quick)
    networks = {name: network(name, n) for name in ACCOUNTS}
    hops_and_rates = {name: _hop_and_rate(network_of_account) for name, network_of_account in networks.items()}
    walk = _runs(networks, "update", CYCLES, 10)
    merge = _runs(networks, "merge_update", MERGING_CYCLES, 2)
    return Results(
        {name: hop for name, (hop, _) in hops_and_rates.items()},
        {name: rate for name, (_, rate) in hops_and_rates.items()},
        walk,
        merge,
    )


def _hop_and_rate(network: Schedule) -> tuple[float, float]:
    """Return (mean cycles between a model's arrivals at successive nodes; messages per node and cycle)."""
    cycles = [messages for messages, _ in zip(network.cycles(), range(SETTLED + COUNTED_CYCLES), strict=False)]
    sender, receiver, sent_s, arrives_s = (
        np.concatenate([getattr(sent, name) for sent in cycles])
        for name in ("sender", "receiver", "sent_s", "arrives_s")
    )
    horizon = 2 * arrives_s.max()
    arrivals = np.sort(receiver * horizon + arrives_s)  # by node, then by time: one bisection serves all
    last = arrivals[np.searchsorted(arrivals, sender * horizon + sent_s, side="right") - 1] - sender * horizon
    settled = sent_s >= SETTLED * PERIOD_S
    hop = (arrives_s - last)[settled].mean() / PERIOD_S
    return float(hop), float(settled.sum() / COUNTED_CYCLES / network.n_nodes)


def _runs(
    networks: dict[str, Schedule], create: Literal["update", "merge_update"], cycles: int, evaluate_every: int
) -> dict[str, Run]:
    data, model = learning.datasets.spambase(rng=0), learning.models.pegasos((57,), 2, regularization=LAMBDA)
    partition = learning.partitions.one_sample(np.asarray(data.y_train), networks[PROACTIVE].n_nodes)
    problem = learning.classification(data, union_of_partitions([partition] * len(networks)), model)

    walks = gossip_learning(problem, learning.OPTIMIZERS["pegasos"](regularization=LAMBDA), create=create)
    groups = {name: [network] for name, network in networks.items()}
    metrics = run_side_by_side(walks, groups, cycles, _scores, evaluate_every=evaluate_every)
    return {
        name: Run(metrics["round"], metrics[f"{name}, age_mean"], 1 - metrics[f"{name}, accuracy_mean"])
        for name in networks
    }


def _scores(problem: Problem, rows: WalkState) -> Mapping[str, Float[Array, " _"]]:
    """Return the age of every model, and the test accuracy of the first ``SHOWN``."""
    accuracy = problem.evaluate(rows.model.x[:SHOWN])["test_accuracy"]
    return {"age": rows.model.age[:, 0] * 1.0, "accuracy": accuracy}


def growth(run: Run) -> float:
    """Return the growth of the models' age per cycle, once stationary: a least-squares slope."""
    late = run.cycle >= SETTLED
    return float(np.polyfit(run.cycle[late], run.age[late], 1)[0])


def first_below(run: Run, error: float) -> float:
    """Return the first cycle with at most this error, interpolated between evaluations; infinity if there is none."""
    reached = np.flatnonzero(run.error <= error)
    if not reached.size or not reached[0]:
        return 0.0 if reached.size else np.inf
    i = reached[0]
    share = (run.error[i - 1] - error) / (run.error[i - 1] - run.error[i])
    return float(run.cycle[i - 1] + share * (run.cycle[i] - run.cycle[i - 1]))


def draw(predicted: dict[str, float], measured: Results) -> Figure:
    """Left: ages of walks. Middle: their errors. Right: errors of models that merge.

    With accounts the claim is the time per hop, not the growth of ages, which are those of few walks: that slope is dotted.
    """
    figure, (left, middle, right) = drawing.page(3, width=4.2, height=4.0)
    for number, (name, run) in enumerate(measured.walk.items()):
        late = run.cycle >= SETTLED
        walked = run.age > 1
        drawing.series(left, run.cycle[walked], run.age[walked], number, name)
        middle_of = run.age[late].mean() - run.cycle[late].mean() / predicted[name]
        line = middle_of + run.cycle[late] / predicted[name]
        if name == PROACTIVE:
            drawing.theory(left, run.cycle[late], line, claimed=f"age of a model a cycle, {name}")
        else:
            drawing.reference(left, run.cycle[late], line)
        drawing.series(middle, run.cycle[1:], run.error[1:], number, name)
        merged = measured.merge[name]
        drawing.series(right, merged.cycle[1:], merged.error[1:], number, name)
    left.set(yscale="log", ylabel="mean age of a model, hops")
    drawing.title(left, "Walks (RW): slopes alone; dotted: not claimed")
    for axes, target, text in ((middle, WALKED, "Walks (RW)"), (right, MERGED, "Models that merge (MU)")):
        axes.axhline(target, color="#999999", linewidth=1, linestyle=":")
        axes.set(ylabel=f"test error, mean of {SHOWN} nodes", ylim=(0.08, 0.42))
        drawing.title(axes, f"{text}; dotted: raced for, {target:g}")
    for axes in (left, middle, right):
        axes.set_xlabel("cycle")
    drawing.legend(left, loc="lower right", fontsize=8)
    return figure


def claims(predicted: dict[str, float], measured: Results) -> list[Claim]:
    """Return the claims.

    Hops take as long as predicted, ages grow accordingly, all send alike; walks profit, merged models do not.
    """
    checks = [
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
                checks.append(at_most(text, cycles, plain[error] / 3))
            else:
                text = f"MU's cycles to error {error}, {name}, against half of {PROACTIVE}"
                checks.append(at_least(text, cycles, plain[error] / 2))
    return checks


def _races(measured: Results) -> dict[float, dict[str, Run]]:
    return {WALKED: measured.walk, MERGED: measured.merge}


def token_accounts() -> Plot:
    """Token accounts let models walk many hops a cycle at one message a cycle: RW learns in a third of the time, MU does not.

    A hop takes its transfer, and where it is sent at a tick the time since its sender was last reached: a few cycles in many.
    """
    source = "Danner and Jelasity 2018, Token account algorithms: the best of the proactive and reactive worlds"
    return Plot("Token accounts", source, predict, measure, draw, claims, double=False)
