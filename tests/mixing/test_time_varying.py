"""Mixing that changes from round to round: matchings, pushes, pulls, periodic schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core import counting
from jaxgossip.mixing.time_varying.peers import draw_distinct
from jaxgossip.topology import weights

t = jg.topology
GRAPHS = {
    "complete even": lambda: t.complete(12),
    "complete odd": lambda: t.complete(13),
    "regular": lambda: t.random_regular(12, degree=4, rng=0),
    "star": lambda: t.star(13),
}
KEYS = jax.random.split(jax.random.key(0), 2000)


def at(schedule: jg.mixing.TimeVarying, seed: int = 0, number: int = 0) -> np.ndarray:
    return schedule.at(jnp.int32(number), jax.random.key(seed)).as_matrix()


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("kind", ["matching", "push", "pull"])
def test_random_mixing_equals_its_matrix_and_uses_links_only(kind: str, name: str) -> None:
    graph = GRAPHS[name]()
    n = graph.n_nodes
    options = {} if kind == "matching" else {"fanout": 2}
    schedule = jg.mixing.MIXINGS[kind](graph, **options)
    allowed = graph.to_scipy().toarray() + np.eye(n) > 0
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    for seed in range(5):
        W = schedule.at(jnp.int32(seed), jax.random.key(seed))
        matrix = W.as_matrix()
        np.testing.assert_allclose(np.asarray(W(x)), matrix @ x, atol=1e-5)
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
        assert not matrix[~allowed].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_a_matching_is_an_involution_and_doubly_stochastic(name: str) -> None:
    schedule = jg.mixing.matching(GRAPHS[name]())
    partners = np.asarray(jax.vmap(schedule.partners)(KEYS[:50]))
    node = np.arange(schedule.n_nodes)
    for partner in partners:
        assert np.array_equal(partner[partner], node)
    np.testing.assert_allclose(at(schedule).sum(0), 1)


@pytest.mark.slow
@pytest.mark.parametrize("n", [12, 13])
def test_a_matching_on_the_complete_graph_is_perfect_and_uniform(n: int) -> None:
    schedule = jg.mixing.matching(t.complete(n))
    partners = np.asarray(jax.vmap(schedule.partners)(KEYS))
    alone = (partners == np.arange(n)).sum(1)
    assert (alone == n % 2).all()
    counts = np.stack([np.bincount(partners[:, i], minlength=n) for i in range(n)])
    expected = len(KEYS) / (n - 1 + n % 2)
    cells = ~np.eye(n, dtype=bool) if n % 2 == 0 else np.ones((n, n), bool)
    chi_square = ((counts - expected) ** 2 / expected)[cells].sum()
    freedom = cells.sum() / 2
    assert chi_square < 2 * (freedom + 5 * np.sqrt(2 * freedom))  # partner(i) = j and partner(j) = i are one event


@pytest.mark.slow
def test_matching_contracts_by_half_n_minus_2_over_n_minus_1() -> None:
    n = 12
    schedule = jg.mixing.matching(t.complete(n))
    partners = np.asarray(jax.vmap(schedule.partners)(KEYS))
    x = np.random.default_rng(0).normal(size=n)
    x -= x.mean()
    after = (x + x[partners]) / 2
    ratio = (after**2).sum(1) / (x**2).sum()
    assert abs(ratio.mean() - 0.5 * (n - 2) / (n - 1)) < 4 * ratio.std() / np.sqrt(len(KEYS))


@pytest.mark.slow
@pytest.mark.parametrize(("attempts", "low", "high"), [(1, 0.36, 0.42), (4, 0.66, 0.76)])
def test_on_a_sparse_graph_a_fair_share_of_nodes_is_matched(attempts: int, low: float, high: float) -> None:
    schedule = jg.mixing.matching(t.random_regular(1000, degree=20, rng=0), attempts=attempts)
    partners = np.asarray(jax.vmap(schedule.partners)(KEYS[:20]))
    share = (partners != np.arange(1000)).mean()
    assert low < share < high  # one attempt: the listeners, half of all, that hear a caller, 1 - e^-1/2, twice


@pytest.mark.slow
def test_push_is_el_local() -> None:
    n, s = 12, 3  # contraction about the old mean: (1 - (1 - s/(n-1))^n)/s - 1/(n-1)
    schedule = jg.mixing.push(t.complete(n), fanout=s)
    x = np.random.default_rng(1).normal(size=n)
    x -= x.mean()
    after = jax.vmap(lambda key: schedule.at(jnp.int32(0), key)(jnp.asarray(x)[:, None])[:, 0])(KEYS)
    ratio = (np.asarray(after) ** 2).sum(1) / (x**2).sum()
    expected = (1 - (1 - s / (n - 1)) ** n) / s - 1 / (n - 1)
    assert abs(ratio.mean() - expected) < 4 * ratio.std() / np.sqrt(len(KEYS))


@pytest.mark.slow
def test_peers_are_distinct_uniform_and_never_oneself() -> None:
    n, k = 7, 3
    schedule = jg.mixing.pull(t.complete(n), fanout=k)
    chosen = np.asarray(jax.vmap(lambda key: schedule.neighbours.choose(key, k))(KEYS))
    assert (chosen != np.arange(n)[None, :, None]).all()
    ordered = np.sort(chosen, axis=-1)
    assert (np.diff(ordered, axis=-1) > 0).all()
    counts = np.stack([np.bincount(chosen[:, i].ravel(), minlength=n) for i in range(n)])[~np.eye(n, dtype=bool)]
    expected = len(KEYS) * k / (n - 1)
    assert ((counts - expected) ** 2 / expected).sum() < counts.size + 6 * np.sqrt(2 * counts.size)


def test_distinct_runs_out_politely() -> None:
    drawn = np.asarray(draw_distinct(jax.random.key(0), jnp.asarray([0, 1, 2, 5]), 3))
    assert (drawn[0] == -1).all()
    assert sorted(drawn[1]) == [-1, -1, 0]
    assert sorted(drawn[2]) == [-1, 0, 1]
    assert len(set(drawn[3])) == 3


@pytest.mark.parametrize("n", [16, 32])
def test_one_peer_exponential_reaches_consensus_in_log2_n_rounds_exactly(n: int) -> None:
    for kind in ("one_peer_exponential", "one_peer_hypercube"):
        schedule = jg.mixing.MIXINGS[kind](t.complete(n))
        product = np.eye(n)
        tau = n.bit_length() - 1
        for number in range(tau):
            assert np.abs(product - 1 / n).max() > 1e-3
            product = at(schedule, number=number) @ product
        np.testing.assert_allclose(product, 1 / n, atol=1e-15)


@pytest.mark.parametrize("n", [12, 24, 25, 48, 100])
def test_one_peer_exponential_off_powers_of_two(n: int) -> None:
    schedule = jg.mixing.one_peer_exponential(t.complete(n))
    product = np.eye(n)
    for number in range((n - 1).bit_length()):
        product = at(schedule, number=number) @ product
    assert 0.18 < np.linalg.norm(product - 1 / n, 2) < 0.22


def test_periodic_repeats_its_sequence() -> None:
    sequence = [weights.metropolis_hastings(graph) for graph in (t.ring(12), t.star(12), t.path(12))]
    schedule = jg.mixing.periodic(sequence)
    for number in range(6):
        np.testing.assert_allclose(at(schedule, number=number), sequence[number % 3].to_scipy().toarray(), atol=1e-7)


def chances(graph: t.Graph) -> np.ndarray:
    """Return (n, n): the probability that a pair meets, its caller uniform among nodes, whom it calls among neighbours."""
    links = graph.to_scipy().toarray() != 0
    calls = links / links.sum(1, keepdims=True) / graph.n_nodes
    return calls + calls.T


@pytest.mark.slow
@pytest.mark.parametrize(
    "graph", [t.path(7), t.star(7), t.complete(7), t.barabasi_albert(8, m=2, rng=0)], ids=lambda g: g.name
)
def test_pairwise_moves_one_pair_whose_caller_is_uniform(graph: t.Graph) -> None:
    n, schedule = graph.n_nodes, jg.mixing.pairwise(graph)
    sources = np.asarray(jax.vmap(lambda key: schedule.at(jnp.int32(0), key).sources[0])(KEYS))
    moved = sources != np.arange(n)
    assert (moved.sum(1) == 2).all()
    assert (np.take_along_axis(sources, sources, 1) == np.arange(n)).all()
    first, second = (np.sort(np.nonzero(moved)[1].reshape(-1, 2), axis=1)).T
    counts, expected = np.zeros((n, n)), np.triu(chances(graph)) * len(KEYS)
    np.add.at(counts, (first, second), 1)
    met = expected > 0
    assert not counts[~met].any()
    assert expected.sum() == pytest.approx(len(KEYS))
    assert ((counts - expected)[met] ** 2 / expected[met]).sum() < met.sum() + 5 * np.sqrt(2 * met.sum())


@pytest.mark.slow
def test_a_pair_averages_and_all_others_rest() -> None:
    W = jg.mixing.pairwise(t.ring(9)).at(jnp.int32(0), jax.random.key(4))
    matrix = W.as_matrix()
    i, j = np.flatnonzero(np.diag(matrix) < 1)
    expected = np.eye(9)
    expected[np.ix_([i, j], [i, j])] = 0.5
    np.testing.assert_array_equal(matrix, expected)
    assert counting.to_int(W.messages(None)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: t.complete(13), lambda: t.star(12)], ids=["odd", "star"])
def test_who_finds_no_partner_hears_nobody_not_itself(make) -> None:
    schedule = jg.mixing.matching(make())
    W = schedule.at(jnp.int32(0), jax.random.key(0))
    alone = np.asarray(W.sources[0]) == np.arange(W.n_nodes)
    own, heard = W.hear(jnp.ones((W.n_nodes, 1)), None)
    assert alone.any()
    np.testing.assert_array_equal(own[alone], 1)
    np.testing.assert_array_equal(heard[alone], 0)
    np.testing.assert_array_equal(own[~alone], 0.5)


@pytest.mark.by_default("12-3", "13-1")
@pytest.mark.parametrize(("n", "degree"), [(12, 3), (13, 1), (13, 12), (40, 7)])
def test_a_fresh_regular_graph_has_exactly_its_degree_in_and_out(n: int, degree: int) -> None:
    schedule = jg.mixing.fresh_regular(t.ring(n), degree=degree)
    seen = set()
    for seed in range(5):
        matrix = at(schedule, seed)
        links = matrix * (1 - np.eye(n)) > 0
        assert (links.sum(0) == degree).all()
        assert (links.sum(1) == degree).all()
        np.testing.assert_allclose(matrix, (links + np.eye(n)) / (degree + 1), atol=1e-7)
        seen.add(links.tobytes())
    assert len(seen) == (1 if degree == n - 1 else 5)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "degree"), [(12, 3), (13, 1), (20, 7)])
def test_a_fresh_regular_graph_leaves_beta_of_the_disagreement(n: int, degree: int) -> None:
    schedule = jg.mixing.fresh_regular(t.complete(n), degree=degree)
    x = np.random.default_rng(1).normal(size=n)
    x -= x.mean()
    after = np.asarray(jax.vmap(lambda key: schedule.at(jnp.int32(0), key)(jnp.asarray(x)[:, None])[:, 0])(KEYS))
    np.testing.assert_allclose(after.mean(1), 0, atol=1e-6)
    ratio = (after**2).sum(1) / (x**2).sum()
    beta = (1 - degree / (n - 1)) / (degree + 1)
    assert abs(ratio.mean() - beta) < 4 * ratio.std() / np.sqrt(len(KEYS))


@pytest.mark.by_default("complete odd", "star")
@pytest.mark.parametrize("name", GRAPHS)
def test_random_push_sum_gives_equal_shares_along_links(name: str) -> None:
    graph = GRAPHS[name]()
    n, allowed = graph.n_nodes, graph.to_scipy().toarray() + np.eye(graph.n_nodes) > 0
    schedule = jg.mixing.push_sum(graph, peers="random", fanout=2)
    assert schedule.conserves == "mass"
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    for seed in range(5):
        W = schedule.at(jnp.int32(seed), jax.random.key(seed))
        matrix = W.as_matrix()
        np.testing.assert_allclose(np.asarray(W(x)), matrix @ x, atol=1e-5)
        np.testing.assert_allclose(matrix.sum(0), 1, atol=1e-6)
        told = (matrix > 0).sum(0) - 1
        np.testing.assert_array_equal(told, np.minimum(2, graph.degrees) if name == "star" else 2)
        np.testing.assert_allclose(matrix, (matrix > 0) / (1 + told), atol=1e-7)
        assert not matrix[~allowed].any()


@pytest.mark.parametrize("n", [12, 16])
def test_one_peer_push_sum_sends_half_at_distances_1_2_4(n: int) -> None:
    schedule = jg.mixing.push_sum(t.ring(n), peers="exponential")
    for number in range(6):
        step = 2 ** (number % (n - 1).bit_length())
        expected = (np.eye(n) + np.roll(np.eye(n), step, axis=1)) / 2
        np.testing.assert_array_equal(at(schedule, number=number), expected)
        x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
        W = schedule.at(jnp.int32(number), jax.random.key(0))
        np.testing.assert_allclose(W(jnp.asarray(x)), expected @ x, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: jg.mixing.matching(t.static_exponential(12)), "random peers need an undirected graph"),
        (lambda: jg.mixing.push(t.ring(12), fanout=0), "push: fanout must be at least 1, not 0"),
        (lambda: jg.mixing.one_peer_hypercube(t.complete(12)), "one_peer_hypercube needs a power of two, not 12 nodes"),
        (
            lambda: jg.mixing.fresh_regular(t.ring(12), degree=12),
            "fresh_regular: degree must be from 1 to 11 on 12 nodes, not 12",
        ),
        (
            lambda: jg.mixing.fresh_regular(t.ring(12), degree=0),
            "fresh_regular: degree must be from 1 to 11 on 12 nodes, not 0",
        ),
        (lambda: jg.mixing.push_sum(t.ring(12), fanout=2), "push_sum: fanout = 2 says nothing for peers = 'all'"),
        (
            lambda: jg.mixing.push_sum(t.ring(12), peers="random", fanout=0),
            "push_sum: fanout must be at least 1, not 0",
        ),
        (lambda: jg.mixing.pairwise(t.static_exponential(12)), "random peers need an undirected graph"),
        (lambda: jg.mixing.periodic([]), "periodic mixing needs graphs on the same nodes"),
    ],
)
def test_impossible_sequences_are_clear_errors(make, message: str) -> None:
    with pytest.raises(jg.errors.GraphError, match=message):
        make()
