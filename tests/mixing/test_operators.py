"""Every operator equals its matrix, for every topology and weight rule, at even and odd sizes and beyond 32,768 rows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxgossip as jg
from jaxgossip.mixing.operators.hybrid import Hybrid
from jaxgossip.mixing.operators.structured import AxisMean, Dense, HypercubeFlip, LatticeShift, Roll
from jaxgossip.mixing.operators.tables import Slots, max_in_degree
from jaxgossip.mixing.optimized.extremes import extreme_eigenvalues
from jaxgossip.topology import TOPOLOGIES, WEIGHT_RULES, Graph, Weights, weights

t = jg.topology
P = 3

SMALL = {
    "ring": t.ring,
    "k_nearest_ring": lambda n: t.k_nearest_ring(n, degree=4),
    "path": t.path,
    "grid": lambda n: t.grid(3 * (n // 3), shape=(3, n // 3)),
    "grid_3d": lambda n: t.grid(2 * 2 * (n // 4), shape=(2, 2, n // 4)),
    "torus": lambda n: t.torus(3 * (n // 3), shape=(3, n // 3)),
    "torus_3d": lambda n: t.torus(3 * 3 * (n // 3), shape=(3, 3, n // 3)),
    "star": t.star,
    "binary_tree": t.binary_tree,
    "hypercube": lambda n: t.hypercube(2 ** (n // 3)),
    "complete": t.complete,
    "static_exponential": t.static_exponential,
    "random_regular": lambda n: t.random_regular(n, degree=4, rng=0),
    "erdos_renyi": lambda n: t.erdos_renyi(n, p=0.5, rng=0),
    "watts_strogatz": lambda n: t.watts_strogatz(n, degree=4, beta=0.3, rng=0),
    "barabasi_albert": lambda n: t.barabasi_albert(n, m=2, rng=0),
    "random_geometric": lambda n: t.random_geometric(n, radius=0.6, rng=0),
    "stochastic_block": lambda n: t.stochastic_block(n, blocks=2, p_in=0.8, p_out=0.3, rng=0),
    "barbell": lambda n: t.barbell(n, path=n % 2),
    "lollipop": t.lollipop,
    "two_cliques": lambda n: t.two_cliques(n - n % 2, bridges=2),
    "connected_caveman": lambda n: t.connected_caveman(3 * (n // 3), 3),
    "karate": lambda _: t.karate(),
    "davis": lambda _: t.davis(),
}
RULES = sorted(WEIGHT_RULES)


def all_weights(graph: Graph) -> dict[str, Weights]:
    symmetric_only = {"metropolis_hastings", "max_degree", "best_constant", "sinkhorn"}
    return {rule: WEIGHT_RULES[rule](graph) for rule in RULES if not (graph.directed and rule in symmetric_only)}


def rows(n: int, dtype: type = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, n]).normal(size=(n, P)).astype(dtype)


def test_the_table_names_every_registered_topology() -> None:
    assert {name.removesuffix("_3d") for name in SMALL} | {"edge_list"} == set(TOPOLOGIES)


@pytest.mark.by_default(
    "binary_tree-13", "path-12", "connected_caveman-13", "random_regular-12", "connected_caveman-12", "barbell-12"
)
@pytest.mark.parametrize("n", [12, 13])
@pytest.mark.parametrize("name", SMALL)
def test_operator_equals_its_matrix_and_its_weights(name: str, n: int) -> None:
    graph = SMALL[name](n)
    n = graph.n_nodes
    with jax.enable_x64(True):
        for rule, w in all_weights(graph).items():
            for w_now in (w, weights.lazy(w)):
                W, x = jg.mixing.operator(w_now), rows(n, np.float64)
                np.testing.assert_allclose(W.as_matrix(), w_now.to_scipy().toarray(), atol=1e-14, err_msg=rule)
                np.testing.assert_allclose(np.asarray(W(jnp.asarray(x))), W.as_matrix() @ x, atol=1e-13, err_msg=rule)
                np.testing.assert_allclose(W.as_matrix().sum(1), 1, atol=1e-12)


LARGE = {
    "ring": t.ring,
    "k_nearest_ring": lambda n: t.k_nearest_ring(n, degree=4),
    "path": t.path,
    "grid": lambda n: t.grid((n // 99) * 99, shape=(n // 99, 99)),
    "torus": lambda n: t.torus((n // 99) * 99, shape=(n // 99, 99)),
    "star": t.star,
    "binary_tree": t.binary_tree,
    "hypercube": lambda n: t.hypercube(1 << n.bit_length()),
    "complete": t.complete,
    "static_exponential": t.static_exponential,
    "random_regular": lambda n: t.random_regular(n - n % 2, degree=3, rng=0),
    "erdos_renyi": lambda n: t.erdos_renyi(n, mean_degree=4, rng=0),
    "watts_strogatz": lambda n: t.watts_strogatz(n, degree=4, beta=0.1, rng=0),
    "barabasi_albert": lambda n: t.barabasi_albert(n, m=2, rng=0),
    "random_geometric": lambda n: t.random_geometric(n, mean_degree=5, rng=0),
    "stochastic_block": lambda n: t.stochastic_block(n, blocks=2, p_in=8 / n, p_out=2 / n, rng=0),
    "lollipop": lambda n: t.lollipop(n, clique=100),
    "connected_caveman": lambda n: t.connected_caveman(n - n % 9, (n - n % 9) // 9),
}
NEVER_LARGE = {"karate", "davis", "barbell", "two_cliques"}
"""Topologies of a fixed number of nodes, and those of which half of the nodes are a clique: too many links."""


def test_the_table_of_large_ones_names_every_other_topology() -> None:
    assert set(LARGE) | NEVER_LARGE | {"edge_list"} == set(TOPOLOGIES)
    assert not set(LARGE) & NEVER_LARGE


@pytest.mark.by_default(
    "binary_tree-40001",
    "ring-40001",
    "torus-40001",
    "k_nearest_ring-40001",
    "torus-32769",
    "binary_tree-32769",
    "connected_caveman-32769",
)
@pytest.mark.parametrize("n", [32_769, 40_001])
@pytest.mark.parametrize("name", LARGE)
def test_operator_equals_its_matrix_beyond_32768_rows(name: str, n: int) -> None:
    graph = LARGE[name](n)
    w, x = weights.uniform(graph), rows(graph.n_nodes)
    W = jg.mixing.operator(w)
    if name == "complete":
        reference = np.broadcast_to(x.mean(0, dtype=np.float64), x.shape)
    else:
        reference = w.to_scipy() @ x.astype(np.float64)
    np.testing.assert_allclose(np.asarray(jax.jit(lambda W, x: W(x))(W, x)), reference, atol=3e-6)


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (t.ring(12), Roll),
        (t.static_exponential(12), Roll),
        (t.torus(12, shape=(3, 4)), LatticeShift),
        (t.path(12), LatticeShift),
        (t.hypercube(16), HypercubeFlip),
        (t.complete(12), AxisMean),
        (t.random_regular(12, degree=4, rng=0), Slots),
        (t.star(100), Hybrid),
        (t.barabasi_albert(200, m=2, rng=0), Hybrid),
    ],
    ids=lambda value: getattr(value, "name", getattr(value, "__name__", "")),
)
def test_the_structure_chooses_the_operator(graph: Graph, expected: type) -> None:
    assert isinstance(jg.mixing.operator(weights.uniform(graph)), expected)


@pytest.mark.slow
def test_weights_that_are_alike_but_listed_one_by_one_are_the_same_operator() -> None:
    """As those are that were read from a file."""
    for graph in (t.complete(5), t.ring(8), t.torus(9), t.hypercube(8), t.random_regular(8, degree=3, rng=0)):
        plain = weights.metropolis_hastings(graph)
        listed = Weights(graph, np.full(graph.n_links, plain.edge), np.full(graph.n_nodes, plain.self_weight), "listed")
        W, expected = jg.mixing.operator(listed), jg.mixing.operator(plain)
        assert type(W) is type(expected)
        np.testing.assert_allclose(W.as_matrix(), expected.as_matrix(), atol=1e-7)
        np.testing.assert_allclose(W(jnp.eye(graph.n_nodes)), W.as_matrix(), atol=1e-6)


@pytest.mark.by_default("star")
@pytest.mark.parametrize("graph", [t.star(100_000), t.barabasi_albert(100_000, m=8, rng=0)], ids=["star", "power law"])
def test_hybrids_cost_in_proportion_to_their_edges(graph: Graph) -> None:
    W = jg.mixing.metropolis_hastings(graph)
    assert isinstance(W, Hybrid)
    entries = sum(source.size for source in W.slots.sources) + sum(
        table.size for level in W.rest.tables for table in level
    )
    assert entries < 1.6 * graph.n_links
    assert len(W.rest.tables) <= 4


def test_means_keep_full_precision_at_a_million_rows() -> None:
    x = np.random.default_rng(0).normal(1.0, 1e-3, size=(1_000_000, 1)).astype(np.float32)
    mean = np.asarray(jg.mixing.uniform(t.complete(1_000_000))(jnp.asarray(x)))[0, 0]
    assert abs(mean - x.mean(dtype=np.float64)) < 2e-6


def test_a_matrix_whose_rows_do_not_sum_to_one_is_refused() -> None:
    with pytest.raises(jg.errors.GraphError, match="row"):
        weights.from_matrix(np.array([[0.5, 0.4], [0.5, 0.5]]))


def test_dense_is_the_reference() -> None:
    w = weights.metropolis_hastings(t.barabasi_albert(60, m=2, rng=0))
    x = rows(60)
    reference = jg.mixing.dense(w)
    assert isinstance(reference, Dense)
    np.testing.assert_allclose(np.asarray(reference(x)), np.asarray(jg.mixing.operator(w)(x)), atol=1e-6)


IRREGULAR = t.from_scipy(np.random.default_rng(3).random((12, 12)) < 0.3 * (1 - np.eye(12)))
PUSHED = {
    "ring": t.ring(13),
    "star": t.star(13),
    "hub of a hybrid": t.star(100),
    "tree": t.binary_tree(13),
    "directed exponential": t.static_exponential(13),
    "irregular directed": IRREGULAR,
    "complete": t.complete(13),
    "one node": weights.from_matrix(np.ones((1, 1))).graph,
}


@pytest.mark.by_default("directed exponential", "one node")
@pytest.mark.parametrize("name", PUSHED)
def test_push_sum_splits_evenly_among_those_who_hear(name: str) -> None:
    graph = PUSHED[name]
    links = graph.to_scipy().toarray() != 0
    expected = (links + np.eye(graph.n_nodes)) / (1 + links.sum(0))
    with jax.enable_x64(True):
        W, x = jg.mixing.push_sum(graph), rows(graph.n_nodes, np.float64)
        assert W.conserves == "mass"
        np.testing.assert_allclose(W.as_matrix(), expected, atol=1e-14)
        np.testing.assert_allclose(np.asarray(W(jnp.asarray(x))), expected @ x, atol=1e-13)
    np.testing.assert_allclose(expected.sum(0), 1)


def test_push_sum_of_a_graph_in_another_order_is_the_permuted_matrix() -> None:
    nodes = np.random.default_rng(0).permutation(12).astype(np.int32)
    plain = jg.mixing.push_sum(IRREGULAR).as_matrix()
    moved = jg.mixing.push_sum(dataclasses.replace(IRREGULAR, order=t.Order(nodes))).as_matrix()
    np.testing.assert_allclose(moved, plain[np.ix_(nodes, nodes)], atol=1e-7)


@pytest.mark.by_default("grid", "complete")
@pytest.mark.parametrize("name", SMALL)
def test_heard_one_by_one_it_is_the_same_matrix(name: str) -> None:
    for rule, w in all_weights(SMALL[name](13)).items():
        W = jg.mixing.operator(w)
        slots = W.by_slots()
        np.testing.assert_allclose(slots.as_matrix(), W.as_matrix(), atol=1e-6, err_msg=rule)
        x = jnp.asarray(rows(W.n_nodes))
        np.testing.assert_allclose(slots(x), W(x), atol=1e-5, err_msg=rule)
    dense = jg.mixing.dense(w)
    np.testing.assert_allclose(dense.by_slots().as_matrix(), dense.as_matrix(), atol=1e-7)


UNEVEN = {
    "one list of three pieces": t.star(70),
    "lists of one and of several pieces": t.barabasi_albert(150, m=4, rng=0),
    "lists of one piece": t.davis(),
    "everybody": t.complete(12),
}


@pytest.mark.by_default("everybody", "lists of one piece")
@pytest.mark.parametrize("name", UNEVEN)
def test_a_compiled_program_may_ask_for_the_senders_one_by_one(name: str) -> None:
    w = weights.metropolis_hastings(UNEVEN[name])
    made = [jg.mixing.operator(w), jg.mixing.dense(w)]
    assert isinstance(made[0], AxisMean if name == "everybody" else Hybrid)
    for W in made:
        slots = jax.jit(lambda W: W.by_slots())(W)
        assert slots.n_slots == int(UNEVEN[name].degrees.max())
        np.testing.assert_allclose(slots.as_matrix(), w.to_scipy().toarray(), atol=1e-7)
    matrix = jax.jit(lambda x: x + W.as_matrix().sum())(0.0)  # W itself is known where it is not the argument
    assert matrix == pytest.approx(w.graph.n_nodes, abs=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: jg.mixing.metropolis_hastings(t.star(200)),
            "a node hears 199 others, too many to hear them one by one",
        ),
        (
            lambda: jg.mixing.metropolis_hastings(t.random_regular(400, degree=130, rng=0)),
            "a node hears 130 others, too many to hear them one by one",
        ),
        (
            lambda: jg.mixing.metropolis_hastings(t.k_nearest_ring(400, degree=130)),
            "a node hears 130 others, too many to hear them one by one",
        ),
        (lambda: jg.mixing.push_sum(t.ring(12)), "push-sum mixing does not tell one sender from another"),
        (
            lambda: jg.mixing.push(t.complete(12)).at(jnp.int32(0), jax.random.key(0)),
            "push mixing does not tell one sender from another",
        ),
    ],
)
def test_what_cannot_be_heard_one_by_one_says_so(make, message: str) -> None:
    with pytest.raises(jg.errors.GraphError, match=message):
        make().by_slots()


EXTREMES = {
    "ring": lambda n: weights.metropolis_hastings(t.ring(n)),
    "lazy": lambda n: weights.lazy(weights.metropolis_hastings(t.ring(n))),  # no eigenvalue is negative
    "star": lambda n: weights.metropolis_hastings(t.star(n)),
    "best": lambda n: weights.best_constant(t.random_regular(n, degree=4, rng=0)),
    "power law": lambda n: weights.metropolis_hastings(t.barabasi_albert(n, m=2, rng=0)),
    "lazy complete": lambda n: weights.lazy(weights.uniform(t.complete(n))),
}


@pytest.mark.by_default("ring-30", "star-30")
@pytest.mark.parametrize("n", [30, 600])
@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_eigenvalues_are_those_beside_agreement(name: str, n: int) -> None:
    W = jg.mixing.operator(EXTREMES[name](n))
    values = np.linalg.eigvalsh(W.as_matrix())  # the largest is agreement's 1
    np.testing.assert_allclose(extreme_eigenvalues(W), (values[0], values[-2]), atol=1e-6)


def test_extreme_eigenvalues_of_one_and_two_nodes() -> None:
    assert extreme_eigenvalues(jg.mixing.operator(weights.from_matrix(np.ones((1, 1))))) == (0, 0)
    two = jg.mixing.operator(weights.from_matrix(np.array([[0.7, 0.3], [0.3, 0.7]])))
    np.testing.assert_allclose(extreme_eigenvalues(two), (0.4, 0.4), atol=1e-6)


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_the_longest_list_of_others_is_counted_without_zeros_and_oneself(n, seed):
    rng = np.random.default_rng(seed)
    matrix = sp.csr_array(rng.integers(1, 3, (n, n)) * (rng.random((n, n)) < 0.6))
    matrix.data[rng.random(matrix.nnz) < 0.3] = 0
    others = matrix.toarray() * (1 - np.eye(n))
    assert max_in_degree(matrix) == (others != 0).sum(1).max()


def test_a_periodic_schedule_takes_an_iterator():
    found = jg.mixing.periodic(iter([weights.uniform(t.ring(5)), weights.uniform(t.path(5))]))
    assert found.n_nodes == 5
