"""Every robust rule equals a reference in NumPy, written node by node; the sorting network sorts."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.mixing.operators.hybrid import Hybrid
from jaxgossip.network import ADVERSARIES, AGGREGATIONS, Aggregation, Conditions, Links, Round
from jaxgossip.network.aggregation import comparators
from jaxgossip.topology import Graph, weights
from tests.network.hub import GRAPHS, Losses, P, heard_by_a_hub

t = jg.topology
ROUND = 3
LIARS = {"regular": [1, 6], "dense": [1, 6], "star": [0], "power law": [2, 11]}


def links(
    graph: Graph,
    aggregation: Aggregation | None,
    liars: list[int] | None = None,
    drop: float = 0.0,
    nodes: np.ndarray | None = None,
) -> Links:
    n = graph.n_nodes
    losses: Any = Losses(np.arange(n) if nodes is None else nodes)
    adversary = None if liars is None else ADVERSARIES["constant"](n_nodes=n, nodes=liars, value=3.0)
    conditions = Conditions(drop=drop, adversary=adversary, aggregation=aggregation)
    W = jg.mixing.table_operator(weights.metropolis_hastings(graph))
    return Round(jnp.int32(ROUND), jax.random.key(0), n, conditions, problem=losses).links(W)


Node = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""(x_i, heard rows (m, p), their weights (m,), whether they lie (m,), i) -> what the node makes of them."""


def clip_by(tau_of: Callable[..., float]) -> Node:
    def node(x: np.ndarray, heard: np.ndarray, w: np.ndarray, lying: np.ndarray, i: int) -> np.ndarray:
        far = np.linalg.norm(heard - x, axis=1)
        tau, y = tau_of(far, w, lying), x.copy()
        for row, weight, distance in zip(heard, w, far, strict=True):
            y = y + weight * min(1.0, tau / distance) * (row - x)
        return y

    return node


def adaptive(delta: float) -> Callable[..., float]:
    def tau(far: np.ndarray, w: np.ndarray, lying: np.ndarray) -> float:
        reached, squares = 1 - w.sum(), 0.0
        for k in np.argsort(far):
            reached += w[k]
            if reached <= 1 - delta + 1e-5:
                squares += w[k] * far[k] ** 2
        return np.sqrt(squares / delta)

    return tau


def cs_plus(delta: float) -> Callable[..., float]:
    def tau(far: np.ndarray, w: np.ndarray, lying: np.ndarray) -> float:
        reached, farthest = 1 - w.sum(), 0.0
        for k in np.argsort(far):
            reached += w[k]
            if reached <= 1 - 2 * delta + 1e-5:
                farthest = far[k]
        return farthest

    return tau


def oracle(far: np.ndarray, w: np.ndarray, lying: np.ndarray) -> float:
    if not lying.any():
        return np.inf
    return np.sqrt((w * far**2)[~lying].sum() / w[lying].sum())


def median(x: np.ndarray, heard: np.ndarray, w: np.ndarray, lying: np.ndarray, i: int) -> np.ndarray:
    return np.median(np.vstack([x, heard]), axis=0)


def trimmed(b: int) -> Node:
    def node(x: np.ndarray, heard: np.ndarray, w: np.ndarray, lying: np.ndarray, i: int) -> np.ndarray:
        rows = np.sort(np.vstack([x, heard]), axis=0)
        left_out = min(b, (len(rows) - 1) // 2)
        return rows[left_out : len(rows) - left_out].mean(0)

    return node


def krum(b: int) -> Node:
    def node(x: np.ndarray, heard: np.ndarray, w: np.ndarray, lying: np.ndarray, i: int) -> np.ndarray:
        rows, scores = np.vstack([x, heard]), []
        for k, row in enumerate(rows):
            others = np.sort(np.square(np.delete(rows, k, axis=0) - row).sum(1))
            scores.append(others[: max(len(heard) - b - 1, 1)].sum())
        return rows[np.argmin(np.round(scores, 5))]

    return node


def nearest(b: int) -> Node:
    def node(x: np.ndarray, heard: np.ndarray, w: np.ndarray, lying: np.ndarray, i: int) -> np.ndarray:
        close = np.argsort(np.linalg.norm(heard - x, axis=1))[: max(len(heard) - b, 0)]
        return np.vstack([x, heard[close]]).mean(0)

    return node


def bulyan(b: int) -> Node:
    def node(x: np.ndarray, heard: np.ndarray, w: np.ndarray, lying: np.ndarray, i: int) -> np.ndarray:
        left, chosen = list(np.vstack([x, heard])), []
        f = max(min(b, (len(left) - 3) // 4), 0)
        for _ in range(len(left) - 2 * f):
            far = [np.sort(np.square(np.array(left) - row).sum(1))[1:] for row in left]  # to all but itself
            scores = [(round(near[: max(len(left) - f - 2, 1)].sum(), 5), near.sum()) for near in far]
            chosen.append(left.pop(min(range(len(left)), key=scores.__getitem__)))
        values = np.array(chosen)
        order = np.argsort(np.abs(values - np.median(values, axis=0)), axis=0)[: len(chosen) - 2 * f]
        return np.take_along_axis(values, order, 0).mean(0)

    return node


def ubar(rho: float, alpha: float) -> Node:
    def node(x: np.ndarray, heard: np.ndarray, w: np.ndarray, lying: np.ndarray, i: int) -> np.ndarray:
        order = np.argsort(np.linalg.norm(heard - x, axis=1)) if len(heard) else []
        near = [heard[k] for k in order[: max(int(rho * len(heard)), 1)]]
        loss = [np.cos(row + i).sum() for row in near]
        accepted = [row for row, of_row in zip(near, loss, strict=True) if of_row <= np.cos(x + i).sum()]
        if near and not accepted:
            accepted = [near[int(np.argmin(loss))]]
        return alpha * x + (1 - alpha) * np.mean(accepted, axis=0) if accepted else x

    return node


def balance(gamma: float, kappa: float, alpha: float, rounds: int) -> Node:
    def node(x: np.ndarray, heard: np.ndarray, w: np.ndarray, lying: np.ndarray, i: int) -> np.ndarray:
        limit = gamma * np.exp(-kappa * ROUND / rounds) * np.linalg.norm(x)
        accepted = [row for row in heard if np.linalg.norm(row - x) <= limit]
        return alpha * x + (1 - alpha) * np.mean(accepted, axis=0) if accepted else x

    return node


A = AGGREGATIONS
RULES: dict[str, tuple[Aggregation, Node]] = {
    "clipped": (A["clipped"](tolerance=0.3), clip_by(adaptive(0.3))),
    "clipped cs_plus": (A["clipped"](radius="cs_plus", tolerance=0.2), clip_by(cs_plus(0.2))),
    "clipped oracle": (A["clipped"](radius="oracle"), clip_by(oracle)),
    "clipped fixed": (A["clipped"](radius=1.5), clip_by(lambda *_: 1.5)),
    "median": (A["median"](), median),
    "trimmed_mean": (A["trimmed_mean"](trim=1), trimmed(1)),
    "trimmed_mean 2": (A["trimmed_mean"](trim=2), trimmed(2)),
    "krum": (A["krum"](liars=1), krum(1)),
    "krum 0": (A["krum"](liars=0), krum(0)),
    "nearest": (A["nearest"](liars=1), nearest(1)),
    "nearest 2": (A["nearest"](liars=2), nearest(2)),
    "bulyan": (A["bulyan"](liars=1), bulyan(1)),
    "bulyan 2": (A["bulyan"](liars=2), bulyan(2)),
    "ubar": (A["ubar"](rho=0.6, alpha=0.3), ubar(0.6, 0.3)),
    "balance": (A["balance"](gamma=1.4, kappa=0.5, alpha=0.3, rounds=10), balance(1.4, 0.5, 0.3, 10)),
}
every = pytest.mark.parametrize("rule", RULES)


def test_the_table_covers_the_registry() -> None:
    assert {name.split()[0] for name in RULES} == set(AGGREGATIONS)


@pytest.mark.by_default(
    "clipped oracle-regular-0.4",
    "clipped fixed-regular-0.4",
    "median-regular-0.4",
    "trimmed_mean-regular-0.4",
    "nearest 2-regular-0.4",
)
@pytest.mark.parametrize("drop", [0.0, 0.4])
@pytest.mark.parametrize("graph", GRAPHS)
@every
def test_a_rule_equals_its_reference_node_by_node(rule: str, graph: str, drop: float) -> None:
    aggregation, node = RULES[rule]
    n, liars = GRAPHS[graph].n_nodes, LIARS[graph]
    x = np.random.default_rng(4).normal(size=(n, P)).astype(np.float32)
    sent = x.astype(np.float64)
    sent[liars] = 3.0
    matrix = np.asarray(links(GRAPHS[graph], None, drop=drop).mix(jnp.eye(n)), np.float64)
    found = np.asarray(links(GRAPHS[graph], aggregation, liars, drop).mix(jnp.asarray(x)))
    alone = 0
    for i in range(n):
        heard = np.array([j for j in range(n) if j != i and matrix[i, j] > 0], int)
        alone += heard.size == 0
        expected = node(x[i].astype(np.float64), sent[heard], matrix[i, heard], np.isin(heard, liars), i)
        np.testing.assert_allclose(found[i], expected, atol=2e-5, err_msg=f"node {i} of {graph}")
    assert (alone > 0) == (drop > 0 and graph not in ("regular", "dense"))


UNEVEN = {
    "davis": t.davis(),
    "star": t.star(40),
    "power law": t.barabasi_albert(30, m=2, rng=0),
    "random": t.erdos_renyi(40, p=0.15, rng=3),
}


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("median", "power law"),
        *(
            pytest.param(rule, graph, marks=pytest.mark.slow)
            for rule in RULES
            for graph in UNEVEN
            if graph == "power law" or rule == "median"
            if (rule, graph) != ("median", "power law")
        ),
    ],
)
def test_inside_a_compiled_program_a_rule_equals_its_reference_on_uneven_graphs(rule: str, graph: str) -> None:
    aggregation, node = RULES[rule]
    w = weights.metropolis_hastings(UNEVEN[graph])
    n, liars, W = w.graph.n_nodes, [0, 3], jg.mixing.operator(w)
    assert isinstance(W, Hybrid)
    adversary = ADVERSARIES["constant"](n_nodes=n, nodes=liars, value=3.0)
    conditions = Conditions(adversary=adversary, aggregation=aggregation)

    @jax.jit
    def mixed(W: Hybrid, x: jax.Array) -> jax.Array:
        losses: Any = Losses(np.arange(n))
        return Round(jnp.int32(ROUND), jax.random.key(0), n, conditions, problem=losses).links(W).mix(x)

    x = np.random.default_rng(4).normal(size=(n, P)).astype(np.float32)
    found, matrix = np.asarray(mixed(W, jnp.asarray(x))), w.to_scipy().toarray()
    sent = x.astype(np.float64)
    sent[liars] = 3.0
    for i in range(n):
        heard = np.flatnonzero((matrix[i] != 0) & (np.arange(n) != i))
        expected = node(x[i].astype(np.float64), sent[heard], matrix[i, heard], np.isin(heard, liars), i)
        np.testing.assert_allclose(found[i], expected, atol=2e-5, err_msg=f"node {i} of {graph}")


@every
def test_who_hears_nobody_keeps_what_it_has(rule: str) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(12, P)), jnp.float32)
    np.testing.assert_allclose(links(GRAPHS["regular"], RULES[rule][0], drop=1.0).mix(x), x, atol=1e-6)


@pytest.mark.by_default(
    "clipped-regular", "clipped cs_plus-regular", "median-star", "trimmed_mean-regular", "krum-star", "nearest-regular"
)
@pytest.mark.parametrize("graph", GRAPHS)
@every
def test_agreement_stays_agreement(rule: str, graph: str) -> None:
    x = jnp.broadcast_to(jnp.asarray([1.0, -2.5, 0.0, 1e-3]), (GRAPHS[graph].n_nodes, P))
    np.testing.assert_allclose(links(GRAPHS[graph], RULES[rule][0]).mix(x), x, rtol=1e-5, atol=1e-7)


@pytest.mark.by_default("krum", "krum 0")
@every
def test_permuting_the_nodes_permutes_the_result(rule: str) -> None:
    graph, order = GRAPHS["regular"], np.random.default_rng(1).permutation(12)
    relabelled = t.from_scipy(graph.to_scipy().toarray()[np.ix_(order, order)])
    x = np.random.default_rng(2).normal(size=(12, P)).astype(np.float32)
    aggregation = RULES[rule][0]
    liars = np.argsort(order)[LIARS["regular"]].tolist()
    plain = np.asarray(links(graph, aggregation, LIARS["regular"]).mix(jnp.asarray(x)))
    np.testing.assert_allclose(
        links(relabelled, aggregation, liars, nodes=order).mix(jnp.asarray(x[order])), plain[order], atol=2e-5
    )
    assert np.abs(plain - x).max() > 0.1


@pytest.mark.parametrize("rule", ["clipped fixed", "clipped oracle"])
def test_without_a_limit_clipping_is_the_weighted_mean(rule: str) -> None:
    aggregation = A["clipped"](radius=1e6) if rule == "clipped fixed" else A["clipped"](radius="oracle")
    x = jnp.asarray(np.random.default_rng(0).normal(size=(12, P)), jnp.float32)
    for drop in (0.0, 0.4):
        expected = links(GRAPHS["regular"], None, drop=drop).mix(x)
        np.testing.assert_allclose(links(GRAPHS["regular"], aggregation, drop=drop).mix(x), expected, atol=1e-5)


@pytest.mark.by_default("clipped cs_plus", "trimmed_mean", "median")
@every
def test_private_columns_are_left_alone(rule: str) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(12, P)), jnp.float32)
    conditions = Conditions(aggregation=RULES[rule][0])
    W = jg.mixing.metropolis_hastings(GRAPHS["regular"])
    losses: Any = Losses(np.arange(12))
    mixed = Round(jnp.int32(0), jax.random.key(0), 12, conditions, problem=losses).links(W, n_shared=2).mix(x)
    np.testing.assert_array_equal(mixed[:, 2:], x[:, 2:])
    assert np.abs(np.asarray(mixed - x)[:, :2]).max() > 0.1


@pytest.mark.parametrize("number", [0, 40])
def test_balance_accepts_by_relative_difference_which_narrows(number: int) -> None:
    rule, own = A["balance"](gamma=0.5, kappa=2.0, alpha=0.25, rounds=100), np.array([3.0, -4.0])
    limit = 0.5 * np.exp(-2 * number / 100)
    for delta, accepted in ((0.99 * limit, True), (-0.99 * limit, True), (1.01 * limit, False), (-1.01 * limit, False)):
        for scale in (1.0, 1e-3, 1e3):  # invariant under scaling
            rows = scale * np.array([own, (1 + delta) * own])
            expected = rows[0] + 0.75 * (rows[1] - rows[0]) * accepted
            np.testing.assert_allclose(heard_by_a_hub(rule, rows, number), expected, rtol=1e-6)
    near_zero = np.array([1e-3 * own, 1e-3 * own + 0.1])  # not under translations
    np.testing.assert_array_equal(heard_by_a_hub(rule, near_zero, number), np.float32(near_zero[0]))
    moved = near_zero + 10 * own
    np.testing.assert_allclose(heard_by_a_hub(rule, moved, number), 0.25 * moved[0] + 0.75 * moved[1], rtol=1e-6)


@pytest.mark.slow
def test_bulyan_without_liars_is_the_mean_and_with_them_is_not_moved_by_one_column() -> None:
    rows = np.random.default_rng(3).normal(size=(7, P))
    np.testing.assert_allclose(heard_by_a_hub(A["bulyan"](liars=0), rows), rows.mean(0), atol=1e-6)
    rows[4, 2] += 3.0  # near enough in all other columns for Krum to take it
    lied, honest = (heard_by_a_hub(A["bulyan"](liars=1), some) for some in (rows, np.delete(rows, 4, axis=0)))
    spread = np.ptp(np.delete(rows, 4, axis=0), axis=0)
    assert (np.abs(lied - honest) < spread).all()


@pytest.mark.slow
def test_bulyan_refuses_nodes_with_too_few_neighbours_once_and_clearly() -> None:
    problem = jg.learning.isotropic_quadratic(12, dimension=P, rng=0)
    step = jg.algorithms.dsgd(problem, optax.sgd(0.1), jg.mixing.metropolis_hastings(GRAPHS["regular"]))
    message = "bulyan needs 6 neighbours or more at every node, and one has 5"
    with pytest.raises(jg.errors.InputError, match=message):
        jg.simulate(step, 1, conditions=Conditions(aggregation=A["bulyan"]()))
    jg.simulate(step, 1, conditions=Conditions(aggregation=A["bulyan"](liars=0)))
    enough = jg.algorithms.dsgd(problem, optax.sgd(0.1), jg.mixing.metropolis_hastings(t.random_regular(12, 6, rng=0)))
    jg.simulate(enough, 1, conditions=Conditions(aggregation=A["bulyan"]()))


@pytest.mark.parametrize("n", range(1, 11))
def test_the_sorting_network_sorts_by_the_0_1_principle(n: int) -> None:
    wires = np.array(list(itertools.product([0, 1], repeat=n)))
    for a, b in comparators(n):
        assert 0 <= a < b < n
        wires[:, [a, b]] = np.sort(wires[:, [a, b]], axis=1)
    assert (np.diff(wires, axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clipped", {"radius": 0.0}, "aggregation clipped: radius must be positive, not 0.0"),
        ("clipped", {"tolerance": 1.0}, "aggregation clipped: tolerance is between 0 and 1, not 1.0"),
        ("trimmed_mean", {"trim": -1}, "aggregation trimmed_mean: trim must not be negative, not -1"),
        ("krum", {"liars": -1}, "aggregation krum: liars must not be negative, not -1"),
        ("nearest", {"liars": -1}, "aggregation nearest: liars must not be negative, not -1"),
        ("bulyan", {"liars": -1}, "aggregation bulyan: liars must not be negative, not -1"),
        ("balance", {"gamma": 0.0}, "aggregation balance: gamma must be above 0, not 0.0"),
        ("balance", {"kappa": -1.0}, "aggregation balance: kappa must be at least 0, not -1.0"),
        ("balance", {"alpha": 1.5}, "aggregation balance: alpha must be from 0 to 1, not 1.5"),
        ("ubar", {"rho": 0.0}, "aggregation ubar: rho must be above 0 and at most 1, not 0.0"),
        ("ubar", {"alpha": -0.5}, "aggregation ubar: alpha must be from 0 to 1, not -0.5"),
        ("balance", {"rounds": 0}, "aggregation balance: rounds must be a whole number of at least 1, not 0"),
    ],
)
def test_options_out_of_range_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(jg.errors.InputError, match=message):
        A[name](**options)


def test_what_does_not_go_with_an_aggregation_says_so() -> None:
    x = jnp.zeros((12, P))
    round_ = Round(jnp.int32(0), jax.random.key(0), 12, Conditions(aggregation=A["median"]()))
    with pytest.raises(jg.errors.InputError, match="'median' does not go with reliabilities of senders"):
        round_.links(jg.mixing.metropolis_hastings(t.ring(12))).mix(x, jnp.ones(12))
    with pytest.raises(jg.errors.InputError, match="'median' does not go with push-sum"):
        round_.links(jg.mixing.push_sum(t.ring(12))).mix(x)
    with pytest.raises(jg.errors.GraphError, match="push mixing does not tell one sender from another"):
        round_.links(jg.mixing.push(t.complete(12))).mix(x)
