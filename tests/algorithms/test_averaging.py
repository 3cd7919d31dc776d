"""Pure averaging at the predicted speed, mode by mode: accelerated, randomised, by push-sum, over failing links, on trees."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms.sgd.relay_sgd import RelaySum
from jaxgossip.mixing import Mixing
from jaxgossip.network import Conditions, Round
from jaxgossip.theory import predictions as p
from jaxgossip.theory.measuring import trajectory
from tests.algorithms import oracles

t = jg.topology
IDLE = optax.identity()


def holding(values: np.ndarray) -> jg.learning.Problem:
    return jg.learning.averaging(len(values), values=values, dtype=jnp.float64)


def over_seeds(problem: jg.learning.Problem, W: Mixing, conditions: Conditions, seeds: int) -> np.ndarray:
    """Return (seeds, n, p): the models after one round of plain averaging."""
    algorithm = jg.algorithms.averaging(problem, IDLE, W)
    state = algorithm.init(jax.random.key(0))

    def one(key: jax.Array) -> jax.Array:
        return algorithm.step(state, Round(jnp.int32(0), key, problem.n_nodes, conditions))[0].x

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), seeds)))


GRAPHS = {"ring": t.ring(32), "path": t.path(32), "torus": t.torus(32, shape=(4, 8))}


@pytest.mark.by_default("path")
@pytest.mark.parametrize("graph", GRAPHS)
def test_chebyshev_leaves_each_mode_its_polynomial(graph: str) -> None:
    rounds = 60
    with jax.enable_x64(True):
        W = jg.mixing.metropolis_hastings(GRAPHS[graph])
        lam, modes = np.linalg.eigh(W.as_matrix())
        x = trajectory(jg.algorithms.chebyshev(holding(modes[:, :-1]), IDLE, W), rounds)
    left = np.einsum("tnk,nk->tk", x, modes[:, :-1])
    for k in (1, 2, 7, 31, rounds):
        expected = [p.chebyshev_left(one, lam[0], lam[-2], k) for one in lam[:-1]]
        np.testing.assert_allclose(left[k], expected, atol=1e-10)
        slowest = abs(p.chebyshev_left(lam[-2], lam[0], lam[-2], k))
        assert np.abs(left[k]).max() <= slowest * (1 + 1e-9)
    assert slowest < lam[-2] ** rounds / 2  # plain averaging does not come near


@pytest.mark.by_default("64-None")
@pytest.mark.parametrize(("n", "rate"), [(64, None), (256, 0.98016)])
def test_the_shift_register_contracts_at_the_predicted_rate(n: int, rate: float | None) -> None:
    rounds = 1500
    with jax.enable_x64(True):
        W = jg.mixing.metropolis_hastings(t.ring(n))
        start = np.cos(2 * np.pi * np.arange(n) / n)[:, None]  # of the second largest eigenvalue
        x = trajectory(jg.algorithms.shift_register(holding(start), IDLE, W), rounds)
    left = (x[:, :, 0] @ start[:, 0]) / (start[:, 0] @ start[:, 0])
    rho = (1 + 2 * np.cos(2 * np.pi / n)) / 3
    for k in (1, 10, 100, 700):
        assert abs(left[k] / p.register_left(rho, k) - 1) < 1e-6
    c = rho / (1 + np.sqrt(1 - rho**2))
    late = slice(200, 700)
    times = np.arange(rounds + 1)[late]
    fitted = np.exp(np.polyfit(times, np.log(np.abs(left[late]) / times), 1)[0])
    assert abs(fitted / c - 1) < 1e-3
    assert rate is None or abs(c - rate) < 1e-4


@pytest.mark.slow
def test_the_potential_of_push_sum_falls_by_the_predicted_factor() -> None:
    n, rounds, seeds = 12, 8, 1000
    with jax.enable_x64(True):
        mixing = jg.mixing.push_sum(t.complete(n), peers="random")
        algorithm = jg.algorithms.push_sum(holding(np.eye(n)), IDLE, mixing)
        start = algorithm.init(jax.random.key(0))

        def potential(state: Any) -> jax.Array:  # row i holds what came of each node's one, Kempe's contributions v_i
            return jnp.square(state.u - state.w / n).sum()

        def run(key: jax.Array) -> jax.Array:
            def body(state: Any, number: jax.Array) -> tuple[Any, jax.Array]:
                after, _ = algorithm.step(state, Round(number, key, n))
                return after, potential(after) / potential(state)

            return jax.lax.scan(body, start, jnp.arange(rounds, dtype=jnp.int32))[1]

        ratios = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), seeds)))
    assert abs(ratios.mean() / p.push_sum_ratio(n) - 1) < 0.01


@pytest.mark.slow
def test_a_random_pair_of_all_takes_the_predicted_share() -> None:
    n = 24
    values = np.random.default_rng(0).normal(size=(n, 3))
    values -= values.mean(0)
    with jax.enable_x64(True):
        x = over_seeds(holding(values), jg.mixing.pairwise(t.complete(n)), Conditions(), 10_000)
    lost = 1 - (x**2).sum((1, 2)).mean() / (values**2).sum()
    assert abs(lost / (1 - p.pairwise_ratio(n)) - 1) < 0.02
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-15)


@pytest.mark.slow
def test_random_pairs_mix_by_boyds_matrix_in_the_mean() -> None:
    graph = t.star(6)
    with jax.enable_x64(True):
        x = over_seeds(holding(np.eye(6)), jg.mixing.pairwise(graph), Conditions(), 40_000)
    expected = p.pairwise_expected(graph.to_scipy().toarray())
    np.testing.assert_allclose(x.mean(0), expected, atol=6 * 0.5 / np.sqrt(40_000))
    np.testing.assert_allclose(np.einsum("sij,sij->s", x, x), 5, atol=1e-12)  # every tick is a projection of rank n − 1


@pytest.mark.slow
def test_the_averaging_time_of_random_pairs_is_within_boyds_bounds() -> None:
    n, epsilon, seeds, most = 16, 0.05, 400, 2000
    graph = t.ring(n)
    low, high = p.averaging_time_bounds(graph.to_scipy().toarray(), epsilon)
    # From the slowest mode the mean of x shrinks as λ₂ᵗ, so that hardly a run can be ready before it is at ε.
    slowest_start = np.cos(2 * np.pi * np.arange(n) / n)[:, None] * np.sqrt(2 / n)
    with jax.enable_x64(True):
        algorithm = jg.algorithms.averaging(holding(slowest_start), IDLE, jg.mixing.pairwise(graph))
        start = algorithm.init(jax.random.key(0))

        def run(key: jax.Array) -> jax.Array:
            def tick(number: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
                state, apart = carry
                state, _ = algorithm.step(state, Round(jnp.int32(number), key, n))
                return state, apart + (jnp.square(state.x).sum() >= epsilon**2)

            return jax.lax.fori_loop(0, most, tick, (start, jnp.int32(0)))[1]

        ticks = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), seeds)))
    time = np.quantile(ticks, 1 - epsilon)
    assert 2 * low <= time <= high
    assert time < most


FAILING = {"ring": t.ring(16), "barabasi_albert": t.barabasi_albert(16, m=2, rng=0)}


@pytest.mark.slow
@pytest.mark.parametrize("graph", FAILING)
@pytest.mark.parametrize("kind", ["link_drop", "drop"])
def test_failing_links_leave_each_mode_the_predicted_moment(kind: str, graph: str) -> None:
    n, q, seeds = 16, 0.3, 40_000
    of = FAILING[graph]
    alpha = 1 / (1 + int(of.degrees.max()))
    with jax.enable_x64(True):
        W = jg.mixing.max_degree(of)
        mu, modes = np.linalg.eigh((np.eye(n) - W.as_matrix()) / alpha)
        x = over_seeds(holding(modes), W, Conditions(**{kind: q}), seeds)
    moment = np.square(x).sum(1).mean(0)
    drift = np.square(x[:, :, 1:].mean(1)).mean(0)
    expected = p.link_drop_moment(alpha, mu, q)
    np.testing.assert_allclose(moment, expected, rtol=0.005)
    if kind == "link_drop":
        assert drift.max() < 1e-28
    else:
        np.testing.assert_allclose(drift, oracles.message_drop_drift(alpha, mu[1:], q, n), rtol=0.15)


@pytest.mark.by_default("path")
@pytest.mark.parametrize("graph", [t.path(9), t.binary_tree(15), t.star(7)], ids=lambda graph: graph.name)
def test_the_relay_is_exact_once_every_node_has_been_heard_of(graph: jg.topology.Graph) -> None:
    n = graph.n_nodes
    values = np.random.default_rng(0).normal(size=(n, 3))
    hops = hops_between(graph)
    diameter = int(hops.max())
    with jax.enable_x64(True):
        W = jg.mixing.metropolis_hastings(graph)
        relay = RelaySum(W.to_scipy())

        @jax.jit
        def pass_on(relayed: Any, now: jax.Array) -> Any:
            return relay(jnp.asarray(values), relayed, Round(now, jax.random.key(0), n).links(W))

        relayed = relay.none(3, np.dtype(np.float64))
        for now in range(1, diameter + 3):
            relayed, sums, counts = pass_on(relayed, jnp.int32(now))
            reached = hops <= now
            np.testing.assert_allclose(sums, reached @ values, atol=1e-12)
            np.testing.assert_array_equal(counts[:, 0], reached.sum(1))
            error = np.abs(np.asarray(sums / counts) - values.mean(0)).max()
            assert error < 1e-12 if now >= diameter else error > 1e-2


def hops_between(graph: jg.topology.Graph) -> np.ndarray:
    """Return (n, n), how many links apart nodes are."""
    adjacency = graph.to_scipy().toarray() != 0
    n = len(adjacency)
    reached, hops = np.eye(n, dtype=bool), np.full((n, n), n)
    for k in range(n):
        hops[reached & (hops == n)] = k
        reached = reached | (reached @ adjacency)
    return hops
