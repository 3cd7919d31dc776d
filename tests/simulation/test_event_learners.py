"""Every learner in the events engine equals its rule in NumPy, one event after the other; so does every kind of schedule."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import jax
import numpy as np
import optax
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from jaxgossip import algorithms as alg
from jaxgossip import learning, mixing, topology
from jaxgossip.algorithms.protocols.protocol import GossipProtocol
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.schedule import CHURNS, CLOCKS, DELAYS, PEERS, TOKEN_ACCOUNTS, Schedule, schedule
from jaxgossip.schedule.messages import Kind
from jaxgossip.simulation import simulate, simulate_events
from tests.simulation.one_by_one import Masses, Pairs, Reference, Walks
from tests.simulation.test_events import RATE, Drawn, compared, gradient, key_of, quadratic

N, D, EACH, CLASSES = 9, 4, 2, 3
Rule = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def linear(slope: Callable[[float, float], float]) -> Rule:
    """The gradient at one sample of a linear model with a bias, by the slope of its loss in the score."""

    def rule(w: np.ndarray, x: np.ndarray, y: int) -> np.ndarray:
        x = np.append(x, 1.0)
        return slope(float(w @ x), 2.0 * y - 1) * x

    return rule


def softmax(w: np.ndarray, x: np.ndarray, y: int) -> np.ndarray:
    bias, weights = w[:CLASSES], w[CLASSES:].reshape(CLASSES, D)  # leaves by name: b0, w0
    shares = np.exp(weights @ x + bias)
    shares = shares / shares.sum() - np.eye(CLASSES)[y]
    return np.concatenate([shares, np.outer(shares, x).ravel()])


def nearest(w: np.ndarray, x: np.ndarray, y: int) -> np.ndarray:
    del y
    centroids = w.reshape(-1, D)
    moves = np.zeros_like(centroids)
    k = int(np.square(centroids - x).sum(1).argmin())
    moves[k] = centroids[k] - x
    return moves.ravel()


def averages(w: np.ndarray, x: np.ndarray, y: int) -> np.ndarray:
    seen = np.eye(CLASSES)[y]
    return w - np.concatenate([seen, np.outer(seen, x).ravel(), np.outer(seen, x**2).ravel()])


def matched(own: np.ndarray, heard: np.ndarray) -> np.ndarray:
    a, b = own.reshape(-1, D), heard.reshape(-1, D)
    _, order = linear_sum_assignment(np.square(a[:, None] - b[None]).sum(-1))
    return b[order].ravel()


LEARNERS: dict[str, tuple[int, Rule]] = {
    "logistic": (2, linear(lambda s, y: -y / (1 + np.exp(y * s)))),
    "pegasos": (2, linear(lambda s, y: -y * (y * s < 1))),
    "adaline": (2, linear(lambda s, y: s - y)),
    "softmax": (CLASSES, softmax),
    "kmeans": (CLASSES, nearest),
    "naive_bayes": (CLASSES, averages),
}


def samples(classes: int) -> tuple[Dataset, Partition]:
    rng = np.random.default_rng(classes)
    x = rng.normal(size=(EACH * N, D)).astype(np.float32)
    y = (np.arange(EACH * N) % classes).astype(np.int32)
    own = Partition(np.arange(EACH * N, dtype=np.int32), EACH * np.arange(N + 1), np.full(N, EACH, np.int32))
    return Dataset("made", x, y, x[:6], y[:6], classes), own


FEW = ("pegasos", "kmeans")
"""Learners that are tried in every run of the tests, not in the slow ones alone."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in LEARNERS]
)
@settings(deadline=None, max_examples=3)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 2.5]))
def test_learners(name: str, seed: int, delay: float) -> None:
    classes, rule = LEARNERS[name]
    with jax.enable_x64(True):
        data, own = samples(classes)
        model = learning.MODELS[name]((D,), classes)
        problem = learning.classification(data, own, model, batch_size=0, init="independent", dtype=np.float64)
        x, y = np.asarray(data.x_train, np.float64), np.asarray(data.y_train)

        def slope(w: np.ndarray, node: int) -> np.ndarray:
            mine = range(EACH * node, EACH * (node + 1))
            return sum(rule(w, x[k], int(y[k])) for k in mine) / EACH + model.regularization * w

        protocol = alg.gossip_learning(problem, optax.sgd(RATE), partner="own", local_steps=2)
        kind = type(
            "Own",
            (Walks,),
            {"partner": "own", "steps": 2, "align": staticmethod(matched) if name == "kmeans" else None},
        )
        reference = kind(protocol.models(protocol.init(key_of())), slope, lambda _: RATE, problem.n_params)
        compared(protocol, reference, Drawn({Kind.MODEL}, seed, delay=delay, ties=False), 2)


@pytest.mark.slow
@settings(deadline=None, max_examples=3)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 2.5]))
def test_matrix_factorisation_keeps_its_user_at_home(seed: int, delay: float) -> None:
    items, rank, decay = 6, 2, 0.05
    with jax.enable_x64(True):
        problem = learning.TASKS["ratings"](
            N, items=items, rank=rank, ratings_a_user=4, held_out=0.25, regularization=decay, batch_size=0, init="independent",
            rng=np.random.default_rng(1), dtype=np.float64,
        )  # fmt: skip
        table = {name: np.asarray(getattr(problem._table, name)) for name in ("x", "y")}
        owned = problem.partition

        def slope(w: np.ndarray, node: int) -> np.ndarray:
            biases, factors = w[:items], w[items : items + items * rank].reshape(items, rank)
            user, user_bias = w[items * (1 + rank) : -1], w[-1]
            to_b, to_q, to_p, to_u = np.zeros(items), np.zeros((items, rank)), np.zeros(rank), 0.0
            rated = owned.order[owned.offsets[node] :][: owned.n_train[node]]
            for one in rated:
                i = int(table["x"][one])
                error = problem.mean + user_bias + biases[i] + factors[i] @ user - table["y"][one]
                to_b[i] += error + decay * biases[i]
                to_q[i] += error * user + decay * factors[i]
                to_p += error * factors[i] + decay * user
                to_u += error + decay * user_bias
            return np.concatenate([to_b, to_q.ravel(), to_p, [to_u]]) / len(rated)

        protocol = alg.gossip_learning(problem, optax.sgd(RATE), partner="own")
        start = np.asarray(protocol.models(protocol.init(key_of())))
        kind = type("Own", (Walks,), {"partner": "own"})
        reference = kind(start, slope, lambda _: RATE, problem.n_shared)
        compared(protocol, reference, Drawn({Kind.MODEL}, seed, delay=delay, ties=False), 2)


def protocol_of(name: str, problem: Any) -> tuple[GossipProtocol, Reference]:
    """Return a protocol, and its reference, for schedules of some exchange."""
    match name:
        case "pairwise":
            protocol, kind = alg.pairwise_averaging(problem), Pairs
        case "compute_pairwise":
            protocol, kind = alg.ad_psgd(problem, optax.sgd(RATE)), Pairs
        case "split_push":
            protocol, kind = alg.asynchronous_push_sum(problem), Masses
        case _:
            protocol, kind = alg.gossip_learning(problem, optax.sgd(RATE)), Walks
    return protocol, kind(protocol.models(protocol.init(key_of())), gradient(problem), lambda _: RATE, D)


def drawn_schedule(draw: Callable) -> tuple[str, Schedule]:
    """Any exchange on any clock, delay, churn and choice of peers, with losses and a split, by tokens or kept for later.

    It is built in the test, not in a strategy: checks of annotations use random numbers, which strategies may not.
    """
    pick = lambda some: draw(st.sampled_from(list(some)))  # noqa: E731
    rng, graph = np.random.default_rng(draw(st.integers(0, 99))), topology.ring(N)
    exchange = pick(["push", "pull", "push_pull", "pairwise", "split_push", "compute_pairwise"])
    clock = {
        "fixed": lambda: CLOCKS["fixed"](N, rng),
        "synchronous": lambda: CLOCKS["synchronous"](N),
        "normal": lambda: CLOCKS["normal"](N, rng),
        "poisson": lambda: CLOCKS["poisson"](N),
        "by_speed": lambda: CLOCKS["by_speed"](N, rng),
    }[pick(CLOCKS)]()
    delay = pick(
        [None, DELAYS["constant"](seconds=0.4), DELAYS["uniform"](high_s=3.0), DELAYS["lognormal"](median_s=0.5)]
    )
    churn = {
        "none": lambda: None,
        "coin": lambda: CHURNS["coin"](N, rng, online=0.8),
        "exponential": lambda: CHURNS["exponential"](N, rng, 9.0, mean_online_s=2.0, mean_offline_s=1.0),
    }[pick(["none", "coin", "exponential"])]()
    peers = pick([PEERS["uniform"](graph), PEERS["weighted"](graph), PEERS["newscast"](N, rng, view=4)])
    options: dict[str, Any] = {}
    if exchange == "push":
        options = pick(
            [{}, {"receive": "cached"}, {"receive": "pass_through"}, {"tokens": TOKEN_ACCOUNTS["simple"](capacity=3)}]
        )
    return exchange, schedule(
        graph, clock=clock, delay=delay, churn=churn, peers=peers, exchange=exchange, drop=pick([0.0, 0.3]),
        split=pick([1, 2]), split_at_s=1.0, heal_at_s=3.0, seed=draw(st.integers(0, 10**6)), **options,
    )  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(st.data(), st.sampled_from([1, 2, 5]))
def test_schedules(data: st.DataObject, every: int) -> None:
    exchange, source = drawn_schedule(data.draw)
    with jax.enable_x64(True):
        compared(*protocol_of(exchange, quadratic()), source, every)


@pytest.mark.slow
def test_a_synchronous_schedule_without_delay_is_gossip_in_rounds() -> None:
    """A matching of all nodes at each tick: both engines merge the same pairs and learn, models agree to 1e-6."""
    n, rounds = 60, 40
    data = learning.datasets.spambase(rng=0)
    own = learning.partitions.one_sample(np.asarray(data.y_train), n)
    problem = learning.classification(data, own, learning.MODELS["logistic"]((57,), 2))
    graph, matching = topology.complete(n), PEERS["matching"](n)
    network = schedule(graph, clock=CLOCKS["synchronous"](n), peers=matching, exchange="pairwise", seed=3)
    met = [
        sp.csr_array((np.ones(n), (one.receiver, one.sender)), shape=(n, n)) for one in islice(network.cycles(), rounds)
    ]
    W = mixing.periodic([topology.metropolis_hastings(topology.from_scipy(pairs)) for pairs in met])
    walks = alg.GossipProtocol(
        alg.gossip_learning(problem, optax.sgd(0.1), partner="own").method, problem, exchanges=("pairwise",)
    )
    events = simulate_events(walks, network, rounds, evaluate_every=rounds)
    in_rounds = simulate(alg.gossip(problem, optax.sgd(0.1), W), rounds, evaluate_every=rounds)
    assert in_rounds.metrics.final["messages"] == events.metrics.final["messages"] == n * rounds
    np.testing.assert_allclose(np.asarray(events.x), np.asarray(in_rounds.x), atol=1e-6)
    assert float(np.abs(np.asarray(in_rounds.x)).max()) > 0.1
