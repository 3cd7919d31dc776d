"""Every operator equals its matrix, for every topology and weight rule, at even and odd sizes and beyond 32,768 rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.mixing import counting
from jaxgossip.mixing.hybrid import Hybrid
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.structured import AxisMean, Dense, HypercubeFlip, LatticeShift, Roll
from jaxgossip.mixing.tables import Slots
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
    "hypercube": lambda n: t.hypercube(2 ** (n // 3)),
    "complete": t.complete,
    "static_exponential": t.static_exponential,
    "random_regular": lambda n: t.random_regular(n, degree=4, rng=0),
    "erdos_renyi": lambda n: t.erdos_renyi(n, p=0.5, rng=0),
    "watts_strogatz": lambda n: t.watts_strogatz(n, degree=4, beta=0.3, rng=0),
    "barabasi_albert": lambda n: t.barabasi_albert(n, m=2, rng=0),
    "random_geometric": lambda n: t.random_geometric(n, radius=0.6, rng=0),
    "stochastic_block": lambda n: t.stochastic_block(n, blocks=2, p_in=0.8, p_out=0.3, rng=0),
}
RULES = sorted(WEIGHT_RULES)


def all_weights(graph: Graph) -> dict[str, Weights]:
    symmetric_only = {"metropolis_hastings", "max_degree", "best_constant", "sinkhorn"}
    return {rule: WEIGHT_RULES[rule](graph) for rule in RULES if not (graph.directed and rule in symmetric_only)}


def rows(n: int, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, P)).astype(dtype)


def test_the_table_names_every_registered_topology() -> None:
    assert {name.removesuffix("_3d") for name in SMALL} | {"edge_list"} == set(TOPOLOGIES)


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
    "hypercube": lambda n: t.hypercube(1 << n.bit_length()),
    "complete": t.complete,
    "static_exponential": t.static_exponential,
    "random_regular": lambda n: t.random_regular(n - n % 2, degree=3, rng=0),
    "erdos_renyi": lambda n: t.erdos_renyi(n, mean_degree=4, rng=0),
    "watts_strogatz": lambda n: t.watts_strogatz(n, degree=4, beta=0.1, rng=0),
    "barabasi_albert": lambda n: t.barabasi_albert(n, m=2, rng=0),
    "random_geometric": lambda n: t.random_geometric(n, mean_degree=5, rng=0),
    "stochastic_block": lambda n: t.stochastic_block(n, blocks=2, p_in=8 / n, p_out=2 / n, rng=0),
}


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


@pytest.mark.parametrize("graph", [t.star(100_000), t.barabasi_albert(100_000, m=8, rng=0)], ids=["star", "power law"])
def test_hybrids_cost_in_proportion_to_their_edges(graph: Graph) -> None:
    W = jg.mixing.metropolis_hastings(graph)
    assert isinstance(W, Hybrid)
    entries = sum(source.size for source in W.slots.sources) + sum(
        table.size for level in W.rest.tables for table in level
    )
    assert entries < 1.6 * graph.n_links
    assert len(W.rest.tables) <= 4


def random_faults(n: int, drop: float, online: float, seed: int = 0) -> Faults:
    key, coin = jax.random.split(jax.random.key(seed))
    return Faults(key, drop, jax.random.uniform(coin, (n,)) < online)


FAULTY = {
    "roll": lambda: jg.mixing.metropolis_hastings(t.ring(13)),
    "lattice": lambda: jg.mixing.metropolis_hastings(t.grid(12, shape=(3, 4))),
    "flip": lambda: jg.mixing.metropolis_hastings(t.hypercube(16)),
    "mean": lambda: jg.mixing.metropolis_hastings(t.complete(13)),
    "slots": lambda: jg.mixing.metropolis_hastings(t.random_regular(12, degree=4, rng=0)),
    "hybrid": lambda: jg.mixing.metropolis_hastings(t.star(100)),
    "dense": lambda: jg.mixing.dense(weights.metropolis_hastings(t.ring(13))),
    "matching": lambda: jg.mixing.matching(t.complete(13)).at(jnp.int32(0), jax.random.key(1)),
    "pull": lambda: jg.mixing.pull(t.complete(13), fanout=2).at(jnp.int32(0), jax.random.key(1)),
    "push": lambda: jg.mixing.push(t.complete(13), fanout=2).at(jnp.int32(0), jax.random.key(1)),
}


@pytest.mark.parametrize("name", FAULTY)
def test_faults_keep_rows_stochastic_and_freeze_the_offline(name: str) -> None:
    W = FAULTY[name]()
    n = W.n_nodes
    faults = random_faults(n, 0.3, 0.7)
    effective = np.asarray(W.mix(jnp.eye(n), faults))  # W under these faults, column by column
    np.testing.assert_allclose(effective.sum(1), 1, atol=1e-5)
    offline = ~np.asarray(faults.online)
    assert offline.any()
    np.testing.assert_array_equal(effective[offline], np.eye(n)[offline])
    np.testing.assert_array_equal(effective[~offline][:, offline], 0)
    lossless, matrix = effective * (1 - np.eye(n)), W.as_matrix() * (1 - np.eye(n))
    assert ((lossless > 0) <= (matrix > 0)).all()
    if name != "push":  # a push divides by what arrived; everybody else keeps each link's own weight
        np.testing.assert_allclose(lossless[lossless > 0], matrix[lossless > 0], atol=1e-6)


@pytest.mark.parametrize("name", FAULTY)
def test_all_dropped_is_the_identity_and_none_dropped_is_w(name: str) -> None:
    W = FAULTY[name]()
    x = jnp.asarray(rows(W.n_nodes))
    everyone = jnp.ones(W.n_nodes, bool)
    np.testing.assert_array_equal(np.asarray(W.mix(x, Faults(jax.random.key(0), 1.0, everyone))), x)
    np.testing.assert_allclose(
        np.asarray(W.mix(x, Faults(jax.random.key(0), 0.0, everyone))), np.asarray(W(x)), atol=1e-6
    )
    np.testing.assert_allclose(np.asarray(W.mix(x, Faults(jax.random.key(0), 0.0, None))), np.asarray(W(x)), atol=1e-6)


@pytest.mark.parametrize("name", FAULTY)
def test_messages_drop_at_the_stated_rate(name: str) -> None:
    W = FAULTY[name]()
    n = W.n_nodes
    links = (W.as_matrix() * (1 - np.eye(n)) > 0).sum()
    kept = jax.vmap(lambda key: (W.mix(jnp.eye(n), Faults(key, 0.3, None)) * (1 - jnp.eye(n)) > 0).sum())
    share = np.asarray(kept(jax.random.split(jax.random.key(0), 400))).mean() / links
    assert abs(share - 0.7) < 4 * np.sqrt(0.21 / (400 * links)) + 1e-9


@pytest.mark.parametrize("name", FAULTY)
def test_maximum_hears_exactly_the_neighbours(name: str) -> None:
    W = FAULTY[name]()
    values = np.random.default_rng(0).permutation(W.n_nodes).astype(np.float32)
    hears = (W.as_matrix() > 0) | np.eye(W.n_nodes, dtype=bool)
    expected = np.where(hears, values, -1).max(1)
    np.testing.assert_array_equal(np.asarray(W.maximum(jnp.asarray(values), None)), expected)
    faults = random_faults(W.n_nodes, 0.3, 0.7)
    hears = np.asarray(W.mix(jnp.eye(W.n_nodes), faults)) > 0
    np.testing.assert_array_equal(
        np.asarray(W.maximum(jnp.asarray(values), faults)), np.where(hears, values, -1).max(1)
    )


@pytest.mark.parametrize("name", FAULTY)
def test_messages_are_those_of_online_senders(name: str) -> None:
    W = FAULTY[name]()
    links = W.as_matrix() * (1 - np.eye(W.n_nodes)) > 0
    assert counting.to_int(W.messages(None)) == links.sum()
    faults = random_faults(W.n_nodes, 0.3, 0.7)
    online = np.asarray(faults.online)
    sent = links & online[None, :]
    sent = sent & online[:, None] if name == "pull" else sent
    assert counting.to_int(W.messages(faults)) == sent.sum()


def test_dropping_a_message_of_a_mean_too_large_for_link_states_is_an_error() -> None:
    W = jg.mixing.metropolis_hastings(t.complete(100_000))
    with pytest.raises(jg.errors.GraphError, match="faults on a complete graph of 100,000 nodes"):
        jax.eval_shape(lambda x: W.mix(x, Faults(jax.random.key(0), 0.5, None)), jnp.zeros((100_000, 1)))


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
