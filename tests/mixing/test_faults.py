"""What every operator keeps when messages are lost, links fail, nodes are away and the network falls apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxgossip as jg
from jaxgossip.core import counting
from jaxgossip.mixing import Faults, Operator
from jaxgossip.topology import weights
from tests.mixing.test_operators import IRREGULAR, rows

t, m = jg.topology, jg.mixing


def now(schedule: m.TimeVarying | Operator) -> Operator:
    return schedule.at(jnp.int32(1), jax.random.key(1))


SYMMETRIC = {
    "roll": lambda: m.metropolis_hastings(t.ring(13)),
    "lattice": lambda: m.metropolis_hastings(t.grid(12, shape=(3, 4))),
    "flip": lambda: m.metropolis_hastings(t.hypercube(16)),
    "mean": lambda: m.metropolis_hastings(t.complete(13)),
    "slots": lambda: m.metropolis_hastings(t.random_regular(12, degree=4, rng=0)),
    "hybrid": lambda: m.metropolis_hastings(t.star(100)),
    "dense": lambda: m.dense(weights.metropolis_hastings(t.ring(13))),
    "matching": lambda: now(m.matching(t.complete(13))),
    "pair": lambda: now(m.pairwise(t.ring(13))),
}
AGREEING = SYMMETRIC | {
    "fresh": lambda: now(m.fresh_regular(t.complete(13), degree=3)),
    "pull": lambda: now(m.pull(t.complete(13), fanout=2)),
    "push": lambda: now(m.push(t.complete(13), fanout=2)),
}
MASS = {
    "mass on a ring": lambda: m.push_sum(t.ring(13)),
    "mass on a star": lambda: m.push_sum(t.star(100)),
    "mass, directed": lambda: m.push_sum(t.static_exponential(13)),
    "mass, irregular": lambda: m.push_sum(IRREGULAR),
    "mass, random": lambda: now(m.push_sum(t.complete(13), peers="random", fanout=2)),
    "mass, one peer": lambda: now(m.push_sum(t.ring(13), peers="exponential")),
}
EVERY = AGREEING | MASS


def random_faults(n: int, drop: float, online: float, seed: int = 0, **more: object) -> Faults:
    key, coin = jax.random.split(jax.random.key(seed))
    return Faults(key, drop, jax.random.uniform(coin, (n,)) < online, **more)


def effective(W: Operator, faults: Faults | None) -> np.ndarray:
    """Return the matrix that W is under these faults."""
    return np.asarray(W.mix(jnp.eye(W.n_nodes), faults))


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    return matrix * (1 - np.eye(len(matrix)))


@pytest.mark.by_default("mass, one peer")
@pytest.mark.parametrize("name", EVERY)
def test_rows_or_columns_sum_to_one_whatever_happens(name: str) -> None:
    W = EVERY[name]()
    n = W.n_nodes

    @jax.jit
    def under(key: jax.Array, drop: float, link_drop: float, online: float, sides: int) -> jax.Array:
        there = jax.random.uniform(jax.random.fold_in(key, 7), (n,)) < online
        side = jnp.arange(n, dtype=jnp.int32) * sides // n
        return W.mix(jnp.eye(n), Faults(key, drop, there, link_drop=link_drop, side=side))

    share = st.floats(0, 1, width=32)

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**31 - 1), drop=share, link_drop=share, online=share, sides=st.integers(1, 4))
    def holds(seed: int, drop: float, link_drop: float, online: float, sides: int) -> None:
        matrix = np.asarray(under(jax.random.key(seed), drop, link_drop, online, sides))
        np.testing.assert_allclose(matrix.sum(1 if W.conserves == "agreement" else 0), 1, atol=1e-5)
        assert (matrix > -1e-6).all()
        side = np.arange(n) * sides // n
        assert not matrix[side[:, None] != side].any()

    holds()


@pytest.mark.by_default("slots", "mass, one peer")
@pytest.mark.parametrize("name", EVERY)
def test_the_offline_are_frozen_and_links_keep_their_weights(name: str) -> None:
    W = EVERY[name]()
    n = W.n_nodes
    faults = random_faults(n, 0.3, 0.7)
    found = effective(W, faults)
    offline = ~np.asarray(faults.online)
    assert offline.any()
    np.testing.assert_allclose(found[offline], np.eye(n)[offline], atol=1e-7)
    np.testing.assert_array_equal(found[~offline][:, offline], 0)
    lossy, matrix = off_diagonal(found), off_diagonal(W.as_matrix())
    assert ((lossy > 0) <= (matrix > 0)).all()
    if name != "push":  # a push divides by what arrived; everybody else keeps each link's own weight
        np.testing.assert_allclose(lossy[lossy > 0], matrix[lossy > 0], atol=1e-6)


@pytest.mark.by_default("slots", "mass, one peer")
@pytest.mark.parametrize("name", EVERY)
def test_all_dropped_is_the_identity_and_none_dropped_is_w(name: str) -> None:
    W = EVERY[name]()
    x, key = jnp.asarray(rows(W.n_nodes)), jax.random.key(0)
    everyone = jnp.ones(W.n_nodes, bool)
    for faults in (Faults(key, 1.0, everyone), Faults(key, link_drop=1.0), Faults(key, side=jnp.arange(W.n_nodes))):
        np.testing.assert_array_equal(np.asarray(W.mix(x, faults)), x)
    for faults in (Faults(key, 0.0, everyone), Faults(key, 0.0, None), Faults(key, side=jnp.zeros(W.n_nodes, int))):
        np.testing.assert_allclose(np.asarray(W.mix(x, faults)), np.asarray(W(x)), atol=1e-6)


@pytest.mark.by_default("pull")
@pytest.mark.parametrize("name", EVERY)
def test_messages_are_lost_and_links_fail_at_the_stated_rates(name: str) -> None:
    W = EVERY[name]()
    n, draws = W.n_nodes, 400
    links = (off_diagonal(W.as_matrix()) > 0).sum()

    @jax.jit
    def kept(drop: float, link_drop: float) -> jax.Array:
        def one(key: jax.Array) -> jax.Array:
            return (W.mix(jnp.eye(n), Faults(key, drop, None, link_drop=link_drop)) * (1 - jnp.eye(n)) > 0).sum()

        return jax.lax.map(one, jax.random.split(jax.random.key(0), draws))

    for drop, link_drop in ((0.3, 0.0), (0.0, 0.3), (0.2, 0.2)):
        share, arrive = np.asarray(kept(drop, link_drop)).mean() / links, (1 - drop) * (1 - link_drop)
        spread = np.sqrt(arrive * (1 - arrive) / (draws * links))
        assert abs(share - arrive) < 4 * np.sqrt(2) * spread, (drop, link_drop)  # both directions may be one coin


@pytest.mark.by_default("slots", "lattice", "mean")
@pytest.mark.parametrize("name", SYMMETRIC)
def test_failing_links_leave_symmetric_weights_symmetric(name: str) -> None:
    W = SYMMETRIC[name]()
    found = effective(W, Faults(jax.random.key(2), link_drop=0.4))
    np.testing.assert_allclose(found, found.T, atol=1e-6)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    if name != "pair":  # which has one link, up or down
        assert 0 < (off_diagonal(found) > 0).sum() < (off_diagonal(W.as_matrix()) > 0).sum()
        lossy = effective(W, Faults(jax.random.key(2), 0.4))  # messages are lost each by itself
        assert np.abs(lossy - lossy.T).max() > 1e-3


KINDS = [t.ring(13), t.grid(12, shape=(3, 4)), t.torus(12, shape=(3, 4)), t.hypercube(16), t.complete(13), t.star(100)]


@pytest.mark.by_default("ring", "complete")
@pytest.mark.parametrize("graph", KINDS, ids=lambda graph: graph.name)
def test_a_links_fate_does_not_depend_on_the_table_it_stands_in(graph: t.Graph) -> None:
    w = weights.metropolis_hastings(graph)
    faults = random_faults(graph.n_nodes, 0.2, 0.9, link_drop=0.2, side=jnp.arange(graph.n_nodes) // 7)
    expected = effective(m.dense(w), faults)
    assert (off_diagonal(expected) > 0).sum() < graph.n_links
    for W in (m.operator(w), m.operator(w).by_slots(), m.table_operator(w)):
        np.testing.assert_allclose(effective(W, faults), expected, atol=1e-6, err_msg=type(W).__name__)


@pytest.mark.slow
def test_a_links_fate_goes_with_its_nodes_wherever_they_stand() -> None:
    n = 12
    nodes = np.random.default_rng(0).permutation(n).astype(np.int32)
    matrix = off_diagonal(np.full((n, n), 1 / n))
    plain, moved = (
        effective(
            m.dense(weights.from_matrix(matrix + np.eye(n) / n)), Faults(jax.random.key(0), 0.3, None, order, 0.2)
        )
        for order in (None, jnp.asarray(nodes))
    )
    np.testing.assert_allclose(moved, plain[np.ix_(nodes, nodes)], atol=1e-6)


@pytest.mark.slow
def test_who_asks_does_not_matter() -> None:
    faults = random_faults(12, 0.5, 0.8, link_drop=0.1)
    a, b = jnp.arange(12)[:, None], jnp.arange(12)[None]
    np.testing.assert_array_equal(faults.reversed().arrive(a, b), faults.arrive(b, a))
    assert (faults.arrive(a, b) != faults.arrive(b, a)).any()


@pytest.mark.by_default("slots", "mass, irregular")
@pytest.mark.parametrize("name", EVERY)
def test_what_is_said_may_differ_from_what_is_held(name: str) -> None:
    W = EVERY[name]()
    x, sent = (jnp.asarray(rows(W.n_nodes, seed=seed)) for seed in (1, 2))
    for faults in (None, random_faults(W.n_nodes, 0.3, 0.8, link_drop=0.1)):
        matrix = effective(W, faults)
        expected = np.diag(matrix)[:, None] * x + off_diagonal(matrix) @ sent
        np.testing.assert_allclose(W.mix(x, faults, sent), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_maximum_hears_exactly_the_neighbours(name: str) -> None:
    W = EVERY[name]()
    values = np.random.default_rng(0).permutation(W.n_nodes).astype(np.float32)
    for faults in (None, random_faults(W.n_nodes, 0.3, 0.7)):
        hears = (effective(W, faults) > 0) | np.eye(W.n_nodes, dtype=bool)
        expected = np.where(hears, values, -1).max(1)
        np.testing.assert_array_equal(np.asarray(W.maximum(jnp.asarray(values), faults)), expected)


@pytest.mark.by_default("dense", "slots", "push", "mass, directed", "hybrid")
@pytest.mark.parametrize("name", EVERY)
def test_messages_are_those_of_online_senders(name: str) -> None:
    W = EVERY[name]()
    links = off_diagonal(W.as_matrix()) > 0
    assert counting.to_int(W.messages(None)) == links.sum()
    faults = random_faults(W.n_nodes, 0.3, 0.7)
    online = np.asarray(faults.online)
    sent = links & online[None, :]
    sent = sent & online[:, None] if name == "pull" else sent
    assert counting.to_int(W.messages(faults)) == sent.sum()


def test_dropping_a_message_of_a_mean_too_large_for_link_states_is_an_error() -> None:
    W = m.metropolis_hastings(t.complete(100_000))
    with pytest.raises(jg.errors.GraphError, match="faults on a complete graph of 100,000 nodes"):
        jax.eval_shape(lambda x: W.mix(x, Faults(jax.random.key(0), 0.5, None)), jnp.zeros((100_000, 1)))
