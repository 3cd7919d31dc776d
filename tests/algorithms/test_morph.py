"""Morph: what nodes know of others, and senders chosen by it, are those of one node after the other in plain Python."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.algorithms.sgd.dissimilar_peers import Peers, compared_columns, similarity, swapped
from jaxgossip.core import counting
from jaxgossip.core.random import to_unit
from jaxgossip.learning.partitions import Partition
from jaxgossip.network import Conditions, Round
from jaxgossip.network.conditions import FAULTLESS
from jaxgossip.topology import Order
from jaxgossip.topology.weights import from_matrix
from tests.algorithms.morph_by_node import BETA, ETA, KEY, N, Node, P, cosine, simulated, targets, words_of

A, t = jg.algorithms, jg.topology


def heard_by() -> np.ndarray:
    """Return (N, N) bool: who hears whom at first, on a directed graph of in-degrees from 0 to 7."""
    rng = np.random.default_rng(4)
    links = np.zeros((N, N), bool)
    for node in range(N):
        others = np.delete(np.arange(N), node)
        links[node, rng.choice(others, size=(0, 1, 2, 3, 7)[node % 5], replace=False)] = True
    return links


def mixing(links: np.ndarray) -> Any:
    """Return mixing of these links, of weights that do not matter."""
    weights = np.where(links, np.random.default_rng(0).uniform(0.01, 0.1, links.shape), 0)
    return jg.mixing.operator(from_matrix(weights + np.diag(1 - weights.sum(1))))


def quadratic(**options: Any) -> Any:
    wide = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    return jg.learning.isotropic_quadratic(
        N, dimension=P, **{"noise": 0.0, "targets": targets(), "init": "independent", "dtype": wide} | options
    )


def rounds_of(algorithm: Algorithm, rounds: int, conditions: Conditions = FAULTLESS, **options: Any) -> Iterator[Any]:
    """Yield (state, traffic) before the first round and after each."""
    problem = algorithm.problem

    @jax.jit
    def step(state: Any, number: jax.Array) -> Any:
        return algorithm.step(state, Round(number, KEY, N, conditions, problem.order, **options))

    state = algorithm.init(KEY)
    yield state, None
    for number in range(rounds):
        state, traffic = step(state, jnp.int32(number))
        yield state, traffic


def arrivals(number: int, conditions: Conditions, W: Any) -> np.ndarray:
    """Return (N, N) bool: whether a message from j would reach i in a round, and (N,) whether nodes take part."""
    faults = Round(jnp.int32(number), KEY, N, conditions).links(W).faults
    nodes = jnp.arange(N)
    return np.ones((N, N), bool) if faults is None else np.asarray(faults.arrive(nodes[:, None], nodes))


def assert_the_same(peers: Peers, nodes: Sequence[Node]) -> None:
    for i, node in enumerate(nodes):
        asked = [j for j in np.asarray(peers.senders)[i] if j != i]
        assert asked == node.senders
        assert set(np.flatnonzero(peers.known[i])) == node.known
        assert set(np.flatnonzero(peers.met[i])) == node.met
        assert set(np.flatnonzero(peers.rated[i])) == set(node.cache)
        for other, alike in node.cache.items():
            assert peers.similarity[i, other] == pytest.approx(alike, abs=1e-12)
        for other, reports in node.reports.items():
            latest = zip(peers.reporters[i, ::-1, other], peers.reports[i, ::-1, other], strict=True)
            assert list(reports) == [(by, pytest.approx(said, abs=1e-12)) for by, said in latest if by >= 0]


@pytest.mark.slow
@pytest.mark.parametrize("drop", [0.0, 0.3])
@pytest.mark.parametrize("every", [1, 3])
def test_rounds_are_those_of_one_node_after_the_other(every: int, drop: float) -> None:
    links, rounds, conditions = heard_by(), 16, Conditions(drop=drop)
    with jax.enable_x64(True):
        W = mixing(links)
        algorithm = A.morph(quadratic(), optax.sgd(ETA), W, every=every, sharpness=BETA)
        run = list(rounds_of(algorithm, rounds, conditions))
        arrive = {number: arrivals(number, conditions, W) for number in range(rounds)}
    expected = simulated(np.asarray(run[0][0].x), links, rounds, every, arrive.__getitem__)
    for (state, traffic), (x, nodes, messages, about) in zip(run[1:], expected, strict=True):
        assert_the_same(jax.tree.map(np.asarray, state.peers), nodes)
        np.testing.assert_allclose(state.x, x, rtol=0, atol=1e-12)
        assert counting.to_int(traffic.messages) == messages
        assert counting.to_int(traffic.metadata_bytes) == about
        assert counting.to_int(traffic.bytes_sent) == messages * 8 * P + about
    first, last = (np.asarray(state.peers.senders) for state, _ in (run[0], run[-1]))
    assert (np.sort(first) != np.sort(last)).any(1).sum() > N / 2, "most have other senders in the end"


@pytest.mark.slow
def test_every_in_degree_stays() -> None:
    links, conditions = heard_by(), Conditions(drop=0.2, online=0.7, straggle=0.2)
    algorithm = A.morph(quadratic(), optax.sgd(ETA), mixing(links), every=1, sharpness=BETA)
    changed = 0
    for state, _ in rounds_of(algorithm, 20, conditions):
        for i, senders in enumerate(np.asarray(state.peers.senders)):
            asked = senders[senders != i]
            assert asked.size == np.unique(asked).size == links[i].sum()
            changed += not links[i, asked].all()
    assert changed > 10 * N


def drawn(peers: Peers, sharpness: float, draws: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return (comes, goes), (N, N) each: how often which node comes to each node, and which goes."""
    node, before = jnp.arange(N), peers.senders

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        words = to_unit(jax.random.bits(key, (2, N, N), jnp.uint32)) + np.float32(2.0**-25)
        after = swapped(peers, node, sharpness, (words[0], words[1])).senders
        changed, rows = after != before, jnp.arange(N)[:, None]
        none = jnp.zeros((N, N), jnp.int32)
        return none.at[rows, after].add(changed), none.at[rows, before].add(changed)

    keys = jax.random.split(jax.random.key(8), draws)
    return jax.tree.map(lambda each: np.asarray(each.sum(0)) / draws, jax.jit(jax.vmap(one))(keys))


def scores_of(peers: Peers) -> np.ndarray:
    """Return (N, N) float64: similarities after estimation, as tested above."""
    rated, similarities = np.array(peers.rated), np.array(peers.similarity, np.float64)
    means = [row[of].mean() if of.any() else 0.0 for row, of in zip(similarities, rated, strict=True)]
    estimates = similarities.copy()
    for i in range(N):
        for z in range(N):
            by = peers.reporters[i, :, z]
            if (by >= 0).any() and not peers.met[i, z]:
                estimates[i, z] = np.mean(similarities[i, by[by >= 0]] * peers.reports[i, by >= 0, z])
                rated[i, z] = True
    return np.where(rated, estimates, np.array(means)[:, None])


def after(rounds: int, links: np.ndarray | None = None, **options: Any) -> Peers:
    links = heard_by() if links is None else links
    algorithm = A.morph(quadratic(**options), optax.sgd(ETA), mixing(links), every=3, sharpness=BETA)
    *_, (state, _) = rounds_of(algorithm, rounds)
    return jax.tree.map(np.asarray, state.peers)


def assert_drawn_by(frequency: np.ndarray, weights: np.ndarray, draws: int = 20_000) -> None:
    """Check that frequencies are those of probabilities in proportion to weights, to five deviations."""
    swaps = frequency.sum(1) > 0
    np.testing.assert_allclose(frequency[swaps].sum(1), 1, atol=1e-6)
    p = weights[swaps] / weights[swaps].sum(1, keepdims=True)
    assert (np.abs(frequency[swaps] - p) <= 5 * np.sqrt(p * (1 - p) / draws) + 1e-9).all()
    assert swaps.sum() == 11, "three nodes have no senders"


@pytest.mark.slow
@pytest.mark.parametrize(("sharpness", "alike"), [(500.0, True), (0.0, False), (3.0, False)])
def test_who_comes_and_who_goes_have_the_probabilities_of_softmax(sharpness: float, alike: bool) -> None:
    """Uniform ones if all models are equal, or β is zero."""
    equal = {"targets": np.ones((N, P)), "init": "same"} if alike else {}
    peers = after(5, **equal)
    rows, others = np.arange(N)[:, None], ~np.eye(N, dtype=bool)
    senders = np.zeros((N, N), bool)
    senders[rows, peers.senders] = True
    senders &= others
    scores = scores_of(peers)
    if alike:
        np.testing.assert_allclose(scores[peers.known & heard_by().any(1)[:, None]], 1, atol=1e-6)
        scores = np.ones((N, N))
    comes, goes = drawn(jax.tree.map(jnp.asarray, peers), sharpness)
    assert_drawn_by(comes, (peers.known & ~senders & others) * np.exp(-sharpness * (scores - 1)))
    assert_drawn_by(goes, senders * np.exp(sharpness * (scores - 1)))


@pytest.mark.slow
def test_relabelling_the_nodes_relabels_the_draw() -> None:
    peers, (comes, goes) = after(5), words_of(6)
    new = np.random.default_rng(2).permutation(N)  # the new number of each node
    old = np.argsort(new)
    pair = np.ix_(old, old)
    relabelled = Peers(
        new[peers.senders][old], *(array[pair] for array in peers[1:5]), peers.reports[old][:, :, old],
        np.where(peers.reporters >= 0, new[peers.reporters], -1)[old][:, :, old].astype(np.int16),
    )  # fmt: skip
    node = jnp.arange(N)
    one = swapped(jax.tree.map(jnp.asarray, peers), node, BETA, (jnp.asarray(comes), jnp.asarray(goes)))
    other = swapped(
        jax.tree.map(jnp.asarray, relabelled), node, BETA, (jnp.asarray(comes[pair]), jnp.asarray(goes[pair]))
    )
    np.testing.assert_array_equal(other.senders, new[np.asarray(one.senders)][old])
    assert (np.asarray(one.senders) != peers.senders).any(1).sum() == 11


@pytest.mark.slow
def test_where_a_row_stands_changes_nothing() -> None:
    graph, conditions = t.watts_strogatz(N, degree=4, beta=0.3, rng=1), Conditions(drop=0.2, online=0.9)
    order = Order(np.random.default_rng(5).permutation(N).astype(np.int32))
    found = []
    for one in (graph, dataclasses.replace(graph, order=order)):
        W = jg.mixing.metropolis_hastings(one)
        algorithm = A.morph(quadratic(order=one.order), optax.sgd(ETA), W, every=2, sharpness=BETA)
        *_, (state, _) = rounds_of(algorithm, 9, conditions)
        rows = np.arange(N) if one.order is None else one.order.rows
        peers = jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], state.peers)
        found.append((np.sort(peers.senders), peers.known, peers.met, peers.rated))
    jax.tree.map(np.testing.assert_array_equal, *found)


@pytest.mark.slow
def test_similarity_is_the_mean_of_the_cosines_of_arrays() -> None:
    data = jg.learning.datasets.synthetic(samples=280, features=P, classes=3, rng=0)
    model = jg.learning.models.mlp((P,), 3, hidden=(4,))
    problem = jg.learning.classification(data, "iid", model, nodes=N, batch_size=4)
    columns = compared_columns(problem)
    assert sorted(end - start for start, end in columns) == [3, 4, 4 * 3, 4 * P]
    x = np.random.default_rng(0).normal(size=(2, N, problem.n_params))
    zero, end = columns[1]
    x[0, 0, zero:end], x[1, 1, zero:end], x[1, 2], x[0, 3, 2] = 0, 0, 0, np.inf
    expected = []
    for a, b in zip(*x, strict=True):
        pairs = [(a[s:e], b[s:e]) for s, e in columns if a[s:e].any() and b[s:e].any() and np.isfinite(a[s:e]).all()]
        expected.append(np.mean([cosine(*pair) for pair in pairs]) if pairs else -1.0)
    found = similarity(*(jnp.asarray(rows, jnp.float32) for rows in x), columns)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_compared_is_shared_and_moved_by_gradients() -> None:
    is_state = np.arange(10) // 2 == 1
    layout = SimpleNamespace(ends=(0, 2, 4, 4, 7, 10), state=(1,), is_state=is_state)
    problem = quadratic()
    assert compared_columns(problem) == ((0, P),)
    problem.layout, problem.n_shared = layout, 7
    assert compared_columns(problem) == ((0, 2), (4, 7))


@pytest.mark.slow
@pytest.mark.parametrize("lies", [True, False])
def test_models_are_compared_as_they_arrive(lies: bool) -> None:
    """Where a node has one sender, what it received is twice its new model less its own."""
    links = np.roll(np.eye(N, dtype=bool), 1, 1)
    adversary = jg.network.adversaries.bit_flip(n_nodes=N, nodes=[3, 8]) if lies else None
    conditions = Conditions(noise=0.5, adversary=adversary)
    algorithm = A.morph(quadratic(), optax.sgd(0.0), mixing(links))
    (first, _), (state, _) = rounds_of(algorithm, 1, conditions)
    own = np.asarray(first.x, np.float64)
    received = 2 * np.asarray(state.x, np.float64) - own
    sender = (np.arange(N) + 1) % N
    found = np.asarray(state.peers.similarity)[np.arange(N), sender]
    np.testing.assert_allclose(found, [cosine(a, b) for a, b in zip(own, received, strict=True)], atol=2e-5)
    plain = np.array([cosine(own[i], own[j]) for i, j in enumerate(sender)])
    assert (np.abs(found - plain) > 1e-3).all(), "noise is heard"
    if lies:
        assert all(abs(found[i] + plain[i]) < abs(found[i] - plain[i]) for i in (2, 7))


@pytest.mark.slow
def test_on_the_complete_graph_it_is_dsgd_with_uniform_weights() -> None:
    W, problem, conditions = jg.mixing.uniform(t.complete(N)), quadratic(noise=1.0), Conditions(drop=0.2, straggle=0.2)
    runs = [
        jg.simulate(algorithm, 9, seed=1, evaluate_every=9, conditions=conditions).x
        for algorithm in (A.morph(problem, optax.sgd(ETA), W, every=2), A.dsgd(problem, optax.sgd(ETA), W))
    ]
    np.testing.assert_allclose(*runs, atol=1e-6)


@pytest.mark.slow
def test_lists_take_time() -> None:
    """A message is as long as its sender's list makes it; lines are shared evenly, up and down."""
    links, compute, line = heard_by(), 2.0, 8e-3  # 1000 bytes a second
    W = mixing(links)
    speeds = jg.network.speeds.constant(N, compute_s=compute, up_mbit_s=line, down_mbit_s=line, latency_s=0.5)
    algorithm = A.morph(quadratic(), optax.sgd(ETA), W)
    result = jg.simulate(algorithm, 1, speeds=speeds, evaluate_every=1)
    size = 4 * P + 4 * (links | links.T).sum(1)
    up, down = links.sum(0) * size / 1000, links @ size / 1000
    last = [max([0.0, *(1.0 + max(up[j], down[i]) for j in np.flatnonzero(links[i]))]) for i in range(N)]
    assert result.metrics["virtual_s_mean"][-1] == pytest.approx(compute + np.mean(last), rel=1e-6)
    assert result.metrics["virtual_s"][-1] == pytest.approx(compute + np.max(last), rel=1e-6)


@pytest.mark.slow
def test_senders_have_the_data_that_a_node_does_not_have() -> None:
    """Two clusters of nodes, with the first five digits and the last: while models differ, these are as good as all."""
    n, k = 24, 4
    data = jg.learning.datasets.digits()
    labels, cluster = np.asarray(data.y_train), np.random.default_rng(0).permutation(n) % 2
    rows: list[np.ndarray] = [np.empty(0)] * n
    for side in (0, 1):
        members = np.flatnonzero(cluster == side)
        for node, part in zip(members, np.array_split(np.flatnonzero(labels // 5 == side), members.size), strict=True):
            rows[node] = part
    sizes = np.array([part.size for part in rows])
    deal = Partition(np.concatenate(rows).astype(np.int32), np.append(0, np.cumsum(sizes)), sizes.astype(np.int32))
    problem = jg.learning.classification(data, deal, jg.learning.models.softmax((64,), 10), batch_size=16)
    W = jg.mixing.metropolis_hastings(t.random_regular(n, k, rng=1))
    share = {}
    for sharpness in (500.0, 0.0):
        algorithm = A.morph(problem, optax.sgd(0.05), W, local_steps=5, sharpness=sharpness)
        senders = []
        for until in (15, 20, 30):
            result = jg.simulate(algorithm, until, seed=2, evaluate_every=until)
            senders.append(np.asarray(result.state.peers.senders))
        share[sharpness] = np.mean([cluster[of] != cluster[:, None] for of in senders])
    chance = (n / 2) / (n - 1)
    assert abs(share[0.0] - chance) < 3 * np.sqrt(chance * (1 - chance) / (n * k))
    assert share[500.0] > 0.75


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: A.morph(quadratic(), optax.sgd(0.1), jg.mixing.metropolis_hastings(t.ring(9))), "InputError", "9"),
        (
            lambda: A.morph(
                jg.learning.isotropic_quadratic(4100, dimension=2),
                optax.sgd(0.1),
                jg.mixing.metropolis_hastings(t.ring(4100)),
            ),
            "InputError",
            "morph keeps what each of 4,100 nodes knows of each other",
        ),
        (
            lambda: A.morph(
                jg.learning.isotropic_quadratic(200, dimension=2), optax.sgd(0.1), jg.mixing.uniform(t.complete(200))
            ),
            "GraphError",
            "a node hears 199 others, too many to hear them one by one",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(make: Callable[[], Algorithm], error: str, message: str) -> None:
    with pytest.raises(getattr(jg.errors, error), match=message):
        make()
