"""Clusters with servers that gossip: limits, rates, means, bytes and clocks, against matrices of both levels in float64."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.network import Conditions
from tests.algorithms.q16 import B, N, linear_map, of_targets, ring

pytestmark = pytest.mark.slow

A, t = jg.algorithms, jg.topology
ETA = 0.1
FAULTS = Conditions(drop=0.2, online=0.7, straggle=0.2)


def hierarchical(problem: Any = None, rate: float = ETA, **options: Any) -> Algorithm:
    return A.hierarchical_averaging(of_targets(B) if problem is None else problem, optax.sgd(rate), **options)


def run(algorithm: Algorithm, rounds: int = 7, conditions: Conditions | None = None, **options: Any) -> Any:
    return jg.simulate(algorithm, rounds, seed=1, evaluate_every=rounds, conditions=conditions, **options)


def of_servers(clusters: int) -> np.ndarray:
    """Return W of a ring of servers with weights 1/3."""
    eye = np.eye(clusters)
    return (eye + np.roll(eye, 1, 0) + np.roll(eye, -1, 0)) / 3


@pytest.mark.parametrize("conditions", [Conditions(), FAULTS], ids=["faultless", "faults"])
def test_one_cluster_is_federated_averaging(conditions: Conditions) -> None:
    problem, options = of_targets(B, noise=0.5), {"fraction": 0.5, "local_steps": 3}
    one = run(hierarchical(problem, clusters=1, **options), conditions=conditions)
    other = run(A.federated_averaging(problem, optax.sgd(ETA), **options), conditions=conditions)
    np.testing.assert_allclose(one.x, np.broadcast_to(other.x, one.x.shape), rtol=1e-6)
    for name in ("messages", "bytes_sent"):
        assert one.metrics.final[name] == other.metrics.final[name]


@pytest.mark.parametrize("steps", [1, 3])
def test_clusters_of_one_node_are_dsgd(steps: int) -> None:
    problem = of_targets(B, noise=0.5)
    one = run(hierarchical(problem, clusters=N, between="ring", local_steps=steps))
    other = run(A.dsgd(problem, optax.sgd(ETA), ring(), local_steps=steps))
    np.testing.assert_allclose(one.x, other.x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("every", "gossip"), [(1, 1), (3, 2)])
def test_a_round_is_the_product_of_both_levels(every: int, gossip: int) -> None:
    clusters = 4
    within = np.kron(np.eye(clusters), np.full((N // clusters, N // clusters), clusters / N))
    between = np.kron(np.linalg.matrix_power(of_servers(clusters), gossip), np.eye(N // clusters))
    with jax.enable_x64(True):
        algorithm = hierarchical(of_targets(np.zeros(N)), every=every, gossip_steps=gossip, local_steps=2)
        maps = [linear_map(algorithm, ["x"], number) for number in range(every)]
        targets = run(hierarchical(every=every, gossip_steps=gossip), 2 * every).x
    left = (1 - ETA) ** 2 * within
    np.testing.assert_allclose(maps[-1], between @ left, atol=1e-12)
    for number in range(every - 1):
        np.testing.assert_allclose(maps[number], left, atol=1e-12)
    # From the servers' models on, the disagreement goes by the second eigenvalue of W, and only in exchanges.
    period = np.linalg.multi_dot([np.eye(N), *maps[::-1]])
    second = sorted(np.abs(np.linalg.eigvals(period)))[-2]
    assert second == pytest.approx((1 - ETA) ** (2 * every) / 3**gossip, rel=1e-12)
    expected = np.zeros((N, 1))
    for number in range(2 * every):
        expected = within @ (expected - ETA * (expected - B[:, None]))
        expected = between @ expected if (number + 1) % every == 0 else expected
    np.testing.assert_allclose(targets, expected, atol=1e-12)


def test_clusters_of_other_sizes_and_of_other_samples() -> None:
    problem = of_targets(B)
    problem.sample_counts = jnp.arange(1, N + 1)
    sizes = np.bincount(np.arange(N) * 3 // N)
    assert sizes.tolist() == [6, 5, 5]
    x = np.asarray(run(hierarchical(problem, rate=1.0, clusters=3, every=5), 1).x)[:, 0]
    of_cluster = np.repeat(np.arange(3), sizes)
    means = [np.average(B[of_cluster == c], weights=np.arange(1, N + 1)[of_cluster == c]) for c in range(3)]
    np.testing.assert_allclose(x, np.take(means, of_cluster), rtol=1e-6)
    mixed = np.asarray(run(hierarchical(problem, rate=1.0, clusters=3, between="path"), 1).x)[:, 0]
    path = jg.mixing.metropolis_hastings(t.path(3)).as_matrix()
    np.testing.assert_allclose(mixed, np.take(path @ means, of_cluster), rtol=1e-6)


@pytest.mark.parametrize("between", ["ring", "complete", "star", t.torus(16), jg.mixing.best_constant(t.star(8))])
def test_gossip_of_servers_keeps_the_mean(between: Any) -> None:
    clusters = between if isinstance(between, str) else between.n_nodes
    clusters = 8 if isinstance(clusters, str) else clusters
    with jax.enable_x64(True):
        problem = of_targets(B)
        learnt = run(hierarchical(problem, clusters=clusters, between=between, every=100), 3).x
        mixed = run(hierarchical(problem, clusters=clusters, between=between), 3).x
        links_fail = run(hierarchical(problem, clusters=clusters, between=between), 3, Conditions(link_drop=0.5)).x
        learnt, mixed, links_fail = map(np.asarray, (learnt, mixed, links_fail))
    for x in (mixed, links_fail):
        assert np.mean(x) == pytest.approx(np.mean(learnt), abs=1e-12)
        assert np.std(x) < 0.9 * np.std(learnt)


def test_bytes_are_those_of_nodes_and_servers() -> None:
    final = run(hierarchical(clusters=4, every=3, gossip_steps=2), 10).metrics.final
    assert final["messages"] == 10 * 2 * N + 3 * 2 * 8
    assert final["bytes_sent"] == 4 * final["messages"]
    # Offline nodes are asked all the same, and servers never are offline.
    away = run(hierarchical(clusters=4, between="complete"), 10, Conditions(online=0.0)).metrics.final
    assert away["messages"] == 10 * (N + 12)
    half = run(hierarchical(clusters=4, fraction=0.5), 10, Conditions(drop=1.0)).metrics.final
    assert half["messages"] == 10 * (N + 8)


def test_a_server_works_on_where_its_nodes_are_away() -> None:
    # All that nodes send is lost, and so is what servers send: nobody moves. Offline nodes do not stop the servers.
    x = np.asarray(run(hierarchical(), 3).x)

    def goes_on(rounds: int, conditions: Conditions) -> Any:
        begun = run(hierarchical(), 3).run
        return jg.simulate(hierarchical(), rounds, seed=1, evaluate_every=rounds, start=begun, conditions=conditions).x

    np.testing.assert_array_equal(goes_on(6, Conditions(drop=1.0)), x)
    np.testing.assert_allclose(goes_on(60, Conditions(online=0.0)), np.full((N, 1), x.mean()), rtol=1e-5)


def test_nodes_wait_for_their_own_server_alone_and_servers_for_their_neighbours() -> None:
    compute = np.ones(N)
    compute[5] = 10.0  # in the second of eight clusters
    machines = replace(jg.network.speeds.constant(N, latency_s=0.25), compute_s=compute, up_bytes_s=np.full(N, 8.0))
    trip = 2 * 0.25 + 4 / 8 + 4 / machines.down_bytes_s[0]
    apart = run(hierarchical(clusters=8, every=100), 4, speeds=machines).virtual_s
    slow = np.arange(N) // 2 == 2
    np.testing.assert_allclose(apart, 4 * (np.where(slow, 10, 1) + trip), rtol=1e-6)
    joined = run(hierarchical(clusters=8), 2, speeds=machines).virtual_s
    hops = np.abs(np.arange(N) // 2 - 2)
    hops = np.minimum(hops, 8 - hops)
    # Whoever is h hops from the slow cluster waits for its round 2 − h + 1, and whoever is farther for nobody.
    expected = np.select([hops == 0, hops == 1, hops == 2], [20, 20, 11], 2) + 2 * trip
    np.testing.assert_allclose(joined, expected, rtol=1e-6)
    steps = run(hierarchical(clusters=8, gossip_steps=3), 1, speeds=machines).virtual_s
    np.testing.assert_allclose(steps, np.where(hops <= 3, 10, 1) + trip, rtol=1e-6)


def test_rows_in_another_order_are_the_same_nodes() -> None:
    order = t.Order(np.random.default_rng(3).permutation(N).astype(np.int32))
    speeds = jg.network.speeds.lognormal(N, rng=0)
    results = []
    for given in (None, order):
        problem = jg.learning.isotropic_quadratic(N, dimension=3, noise=0.1, order=given, rng=0)
        results.append(run(hierarchical(problem, clusters=5, every=2), 6, FAULTS, speeds=speeds))
    plain, ordered = results
    np.testing.assert_allclose(ordered.x, plain.x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ordered.virtual_s, plain.virtual_s, rtol=1e-12)


def test_private_columns_stay_with_their_nodes() -> None:
    data = jg.learning.datasets.synthetic(samples=400, features=4, classes=2, rng=0)
    problem = jg.learning.supervised(
        data, "iid", jg.learning.models.softmax((4,), 2), nodes=8, batch_size=5, private=["b0"]
    )
    W = jg.mixing.metropolis_hastings(t.ring(8))
    apart = run(hierarchical(problem, clusters=8)).x
    np.testing.assert_allclose(apart, run(A.dsgd(problem, optax.sgd(ETA), W)).x, rtol=1e-5, atol=1e-6)
    x, shared = np.asarray(run(hierarchical(problem, clusters=2, between="path", every=100)).x), problem.n_shared
    assert 0 < shared < problem.n_params
    for cluster in (x[:4], x[4:]):
        assert (cluster[:, :shared] == cluster[0, :shared]).all()
        assert (np.abs(cluster[1:, shared:] - cluster[0, shared:]) > 1e-4).all()
    assert (x[0, :shared] != x[4, :shared]).all()
