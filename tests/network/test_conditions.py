"""Sessions, stragglers, a network that falls apart and heals, noise on the channel, and a budget of bytes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.network import Conditions, Round
from jaxgossip.topology import Order, weights

t = jg.topology
N = 12


def now(number: int = 3, n: int = N, seed: int = 0, order: Order | None = None, **conditions: object) -> Round:
    return Round(jnp.int32(number), jax.random.key(seed), n, Conditions(**conditions), order)


def online(n: int, rounds: int, **conditions: object) -> np.ndarray:
    """Return (rounds, n) bool: who is online when."""

    def one(number: jax.Array) -> jax.Array:
        return Round(number, jax.random.key(0), n, Conditions(**conditions)).online

    return np.asarray(jax.jit(lambda numbers: jax.lax.map(one, numbers))(jnp.arange(rounds, dtype=jnp.int32)))


@pytest.mark.parametrize("session", [1, 5])
def test_sessions_have_the_stated_fraction_and_length(session: int) -> None:
    n, rounds, share = 400, 200, 0.7
    there = online(n, rounds, online=share, session=session)
    draws = there.size / session
    assert abs(there.mean() - share) < 4 * np.sqrt(share * (1 - share) / draws)
    changes = there[1:] != there[:-1]
    # Of two draws in a row, 2 · 0.7 · 0.3 differ; in other rounds nothing changes.
    expected = 2 * share * (1 - share)
    assert abs(changes.mean() * session - expected) < 4 * np.sqrt(expected / changes.size * session) * 1.5


def test_a_node_changes_only_where_its_session_begins_and_sessions_begin_apart() -> None:
    n, length = 400, 5
    there = online(n, 200, online=0.5, session=length)
    numbers, nodes = np.nonzero(there[1:] != there[:-1])
    begins = [set((numbers[nodes == node] + 1) % length) for node in range(n)]
    assert all(len(some) == 1 for some in begins)  # of 40 draws a node, not all are alike
    counts = np.bincount([some.pop() for some in begins], minlength=length)
    assert (counts > n / length / 2).all()


def test_coins_of_one_round_are_independent_of_the_last() -> None:
    there = online(400, 200, online=0.5) - 0.5
    assert abs((there[1:] * there[:-1]).mean()) < 4 * 0.25 / np.sqrt(there[1:].size)


def test_sessions_go_with_the_node_wherever_it_stands() -> None:
    order = Order(np.random.default_rng(0).permutation(N).astype(np.int32))
    for conditions in ({"online": 0.5, "session": 4}, {"online": 0.5}):
        np.testing.assert_array_equal(now(order=order, **conditions).online, now(**conditions).online[order.nodes])
    np.testing.assert_array_equal(now(order=order, straggle=0.5).works, now(straggle=0.5).works[order.nodes])


def test_stragglers_come_at_the_stated_rate_and_anew_each_round() -> None:
    works = np.stack([now(number, n=5000, straggle=0.3).works for number in range(2)])
    assert abs(works.mean() - 0.7) < 4 * np.sqrt(0.21 / works.size)
    assert 0.3 < (works[0] != works[1]).mean() < 0.54  # 2 · 0.7 · 0.3
    assert now().works is None
    assert now(straggle=0.3).online is None


@pytest.mark.parametrize("order", [None, Order(np.random.default_rng(1).permutation(N).astype(np.int32))])
def test_a_split_network_falls_apart_by_node_numbers_and_heals(order: Order | None) -> None:
    graph = t.erdos_renyi(N, p=0.6, rng=0)
    W = jg.mixing.metropolis_hastings(graph if order is None else dataclasses.replace(graph, order=order))
    whole = W.as_matrix()
    side = np.repeat([0, 1, 2], N // 3)
    side = side if order is None else side[order.nodes]
    apart = side[:, None] != side
    for number in range(7):
        round_ = now(number, order=order, split=3, split_at=2, heal_at=5)
        found = np.asarray(round_.links(W).mix(jnp.eye(N)))
        expected = whole if not 2 <= number < 5 else np.where(apart, 0, whole)
        expected = expected + np.diag(1 - expected.sum(1))
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=str(number))
    assert whole[apart].any()


@pytest.mark.slow
def test_the_sides_of_a_split_differ_by_a_node_at_most() -> None:
    W = jg.mixing.metropolis_hastings(t.complete(13))
    found = np.asarray(now(n=13, split=4, heal_at=9).links(W).mix(jnp.eye(13))) > 0
    sizes = np.unique(found, axis=0).sum(1)
    assert sorted(sizes) == [3, 3, 3, 4]
    assert sizes.sum() == 13


NOISE = 0.3


def test_channel_noise_has_the_stated_size_and_leaves_one_s_own_row_alone() -> None:
    n, p = 40, 2000
    matrix = weights.metropolis_hastings(t.random_regular(n, degree=4, rng=0)).to_scipy().toarray()
    matrix[0] = np.eye(n)[0]  # node 0 hears nobody
    W = jg.mixing.operator(weights.from_matrix(matrix))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(n, p)), jnp.float32)
    error = np.asarray(now(n=n, noise=NOISE).links(W).mix(x) - W(x))
    np.testing.assert_allclose(error[0], 0, atol=1e-6)
    others = matrix - np.diag(np.diag(matrix))
    expected = NOISE * np.sqrt(np.square(others).sum(1))[1:]
    np.testing.assert_allclose(error.std(1)[1:], expected, rtol=4 / np.sqrt(2 * p))
    assert (np.abs(error.mean(1)[1:]) < 5 * expected / np.sqrt(p)).all()  # in expectation nothing moves


def test_all_who_hear_a_node_hear_the_same_noise() -> None:
    W = jg.mixing.uniform(t.star(N))  # a leaf takes half of what the hub says
    error = np.asarray(now(noise=NOISE).links(W).mix(jnp.zeros((N, 7))))
    np.testing.assert_allclose(error[1:], np.broadcast_to(error[1], (N - 1, 7)), atol=1e-6)
    assert np.abs(error[1]).max() > 0.01


def test_each_payload_purpose_and_round_has_noise_of_its_own() -> None:
    W, x = jg.mixing.metropolis_hastings(t.ring(N)), jnp.zeros((N, 5))
    links = now(noise=NOISE).links(W)
    drawn = [
        links.mix(x),
        links.mix(x, payload="tracker"),
        now(noise=NOISE).links(W, purpose="second").mix(x),
        now(4, noise=NOISE).links(W).mix(x),
        now(seed=1, noise=NOISE).links(W).mix(x),
    ]
    np.testing.assert_array_equal(links.mix(x), drawn[0])
    for a in range(5):
        for b in range(a):
            assert np.abs(np.asarray(drawn[a] - drawn[b])).max() > 0.05


def test_noise_is_drawn_by_node_and_never_meets_private_columns() -> None:
    order = Order(np.random.default_rng(0).permutation(N).astype(np.int32))
    graph = t.erdos_renyi(N, p=0.6, rng=0)
    x = np.random.default_rng(1).normal(size=(N, 5)).astype(np.float32)
    plain = now(noise=NOISE).links(jg.mixing.metropolis_hastings(graph), 3).mix(jnp.asarray(x))
    W = jg.mixing.metropolis_hastings(dataclasses.replace(graph, order=order))
    moved = now(order=order, noise=NOISE).links(W, 3).mix(jnp.asarray(x[order.nodes]))
    np.testing.assert_allclose(moved, plain[order.nodes], atol=1e-6)
    np.testing.assert_array_equal(plain[:, 3:], x[:, 3:])


def test_noise_with_loss_reaches_only_what_arrives() -> None:
    W = jg.mixing.metropolis_hastings(t.ring(N))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(N, 5)), jnp.float32)
    np.testing.assert_array_equal(now(noise=NOISE, drop=1.0).links(W).mix(x), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"link_drop": 1.5}, "network link_drop is a probability, not 1.5"),
        ({"straggle": -0.1}, "network straggle is a probability, not -0.1"),
        ({"session": 0}, "network session must be at least 1, not 0"),
        ({"split": 0}, "network split must be at least 1, not 0"),
        ({"split_at": -1}, "network split_at must be at least 0, not -1"),
        ({"noise": -1.0}, "network noise must be at least 0, not -1.0"),
        ({"noise": float("nan")}, "network noise must be at least 0, not nan"),
        ({"split": 2, "split_at": 5, "heal_at": 5}, "split from round 5 and whole again from round 5: never split"),
    ],
)
def test_conditions_out_of_range_are_named(options: dict, message: str) -> None:
    with pytest.raises(jg.errors.InputError, match=message):
        Conditions(**options)


def test_only_losses_leave_a_trace_of_faults_in_the_program() -> None:
    assert Conditions(straggle=0.5, noise=1.0, session=4).lossless
    for lossy in ({"drop": 0.1}, {"link_drop": 0.1}, {"online": 0.9}, {"split": 2, "heal_at": 3}):
        assert not Conditions(**lossy).lossless


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 2 * N * 20, 7 * 2 * N * 20, 7 * 2 * N * 20 + 1, 8 * 2 * N * 20 - 1])
def test_a_budget_of_bytes_is_kept_and_used_up(budget: int) -> None:
    problem = jg.learning.isotropic_quadratic(N, dimension=5, rng=0)
    step = jg.algorithms.dsgd(problem, optax.sgd(0.1), jg.mixing.metropolis_hastings(t.ring(N)))
    a_round = 2 * N * 5 * 4
    result = jg.simulate(step, 50, evaluate_every=4, byte_budget=budget)
    final = result.metrics.final
    # What a round costs is known once one is over.
    assert result.rounds == final["round"] == max(1, budget // a_round)
    assert final["bytes_sent"] == result.rounds * a_round
    assert result.status == "completed"
    assert [record["round"] for record in result.metrics] == [*range(0, result.rounds, 4), result.rounds]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["slowmo", "proxskip", "nodes that come and go"])
def test_a_budget_holds_where_rounds_cost_differently(case: str) -> None:
    problem = jg.learning.isotropic_quadratic(N, dimension=5, rng=0)
    W = jg.mixing.metropolis_hastings(t.ring(N))
    step = {
        "slowmo": lambda: jg.algorithms.slowmo(problem, optax.sgd(0.1), W, every=3),
        "proxskip": lambda: jg.algorithms.proxskip(problem, optax.sgd(0.1), W, probability=0.4),
        "nodes that come and go": lambda: jg.algorithms.dsgd(problem, optax.sgd(0.1), W),
    }[case]()
    faults = Conditions(online=0.7 if case == "nodes that come and go" else 1.0)
    sent = np.asarray(jg.simulate(step, 12, evaluate_every=1, seed=1, conditions=faults).metrics["bytes_sent"])
    assert len(set(np.diff(sent))) > 1
    budget = int(sent[6]) - 1  # of which the sixth round is one byte too much
    result = jg.simulate(step, 12, evaluate_every=4, seed=1, conditions=faults, byte_budget=budget)
    final = result.metrics.final
    assert final["bytes_sent"] <= budget < sent[result.rounds + 1]
    assert final["bytes_sent"] == sent[result.rounds]


@pytest.mark.slow
def test_a_run_within_its_budget_goes_to_the_end() -> None:
    problem = jg.learning.isotropic_quadratic(N, dimension=5, rng=0)
    step = jg.algorithms.dsgd(problem, optax.sgd(0.1), jg.mixing.metropolis_hastings(t.ring(N)))
    assert jg.simulate(step, 6, byte_budget=6 * 2 * N * 20).rounds == 6
