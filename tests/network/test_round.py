"""A round's keys, links and faults."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core import counting
from jaxgossip.network import Conditions, Round, Traffic

N = 12


def round_(number: int = 3, **conditions: float) -> Round:
    return Round(jnp.int32(number), jax.random.key(0), N, Conditions(**conditions))


W = jg.mixing.metropolis_hastings(jg.topology.ring(N))


def test_a_key_is_a_function_of_seed_round_and_purpose() -> None:
    def words(round_: Round, purpose: str) -> tuple:
        return tuple(np.asarray(jax.random.key_data(round_.key(purpose))))

    assert words(round_(), "batch") == words(round_(), "batch")
    assert len({words(round_(n), p) for n in range(5) for p in ("batch", "drop", "online")}) == 15


def test_everything_that_travels_in_one_exchange_meets_the_same_faults() -> None:
    links = round_(drop=0.5, online=0.8).links(W)
    a, b = links.mix(jnp.eye(N)), links.mix(jnp.eye(N) * 2.0)
    np.testing.assert_allclose(b, 2 * a)
    other = round_(drop=0.5, online=0.8).links(W, purpose="second exchange")
    assert np.abs(np.asarray(other.mix(jnp.eye(N)) - a)).max() > 0.1


def test_private_columns_neither_mix_nor_cost() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(N, 5)), jnp.float32)
    links = round_().links(W, n_shared=3)
    mixed = links.mix(x)
    np.testing.assert_array_equal(mixed[:, 3:], x[:, 3:])
    np.testing.assert_allclose(mixed[:, :3], W(x[:, :3]))
    assert counting.to_int(links.sent(x).bytes_sent) == 2 * N * 3 * 4
    weighted = links.mix(x, jnp.arange(1.0, N + 1))
    np.testing.assert_array_equal(weighted[:, 3:], x[:, 3:])


def test_reliabilities_weigh_the_senders() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(N, 3)), jnp.float32)
    r = np.arange(1.0, N + 1)
    matrix = W.as_matrix() * r
    matrix /= matrix.sum(1, keepdims=True)
    np.testing.assert_allclose(round_().links(W).mix(x, jnp.asarray(r)), matrix @ x, atol=1e-5)
    np.testing.assert_allclose(round_().links(W).mix(x, jnp.ones(N)), W(x), atol=1e-6)


@pytest.mark.by_default("online")
@pytest.mark.parametrize("batched", ["number", "key", "online", "number key", "number online", "number key online"])
def test_sessions_of_many_runs_at_once_are_those_of_each_alone(batched: str) -> None:
    numbers, rates, keys = (
        jnp.arange(5, dtype=jnp.int32),
        jnp.linspace(0.2, 0.9, 5),
        jax.random.split(jax.random.key(0), 5),
    )
    every = {"number": numbers, "key": keys, "online": rates}
    given = {name: values if name in batched.split() else values[3] for name, values in every.items()}

    def online(number: jax.Array, key: jax.Array, online: jax.Array) -> jax.Array:
        return Round(number, key, N, Conditions(online=online, session=3)).online

    axes = [0 if name in batched.split() else None for name in given]
    found = jax.jit(jax.vmap(online, axes))(*given.values())
    for run in range(5):
        own = (values[run] if name in batched.split() else values for name, values in given.items())
        np.testing.assert_array_equal(found[run], online(*own))


def test_nodes_are_online_at_the_stated_rate() -> None:
    keys = jax.random.split(jax.random.key(0), 500)
    online = jax.vmap(lambda key: Round(jnp.int32(0), key, N, Conditions(online=0.7)).online)(keys)
    assert abs(float(online.mean()) - 0.7) < 4 * np.sqrt(0.21 / online.size)
    assert round_().online is None


def test_offline_nodes_keep_every_leaf_of_their_state() -> None:
    now = round_(online=0.5)
    old = {"x": jnp.zeros((N, 2)), "age": jnp.zeros(N, jnp.int32)}
    new = jax.tree.map(lambda leaf: leaf + 1, old)
    kept = now.keep_offline(new, old)
    np.testing.assert_array_equal(kept["age"], np.asarray(now.online).astype(int))
    np.testing.assert_array_equal(kept["x"][:, 1], np.asarray(now.online).astype(int))


def test_traffic_adds_up_past_32_bits() -> None:
    big = Traffic(counting.count(2**32 - 1), counting.count(2**40), counting.count(2**35 + 1))
    both = big + big
    assert counting.to_int(both.messages) == 2**33 - 2
    assert counting.to_int(both.bytes_sent) == 2**41
    assert counting.to_int(both.metadata_bytes) == 2**36 + 2


def test_a_message_of_several_arrays_counts_each_and_metadata_apart() -> None:
    x, age = jnp.zeros((N, 5)), jnp.zeros(N, jnp.int32)
    traffic = round_().links(W, n_shared=3).sent(x, x, metadata=(age,))
    assert counting.to_int(traffic.messages) == 2 * N
    assert counting.to_int(traffic.bytes_sent) == 2 * N * (2 * 3 * 4 + 4)
    assert counting.to_int(traffic.metadata_bytes) == 2 * N * 4
    nothing = Traffic.none()
    assert [counting.to_int(count) for count in jax.tree.leaves(nothing)] == [0, 0, 0]


def test_what_a_node_keeps_of_itself_is_the_diagonal() -> None:
    np.testing.assert_allclose(round_().links(W).kept()[:, 0], np.diag(W.as_matrix()), atol=1e-7)
    links = round_(drop=0.5).links(W)
    np.testing.assert_allclose(links.kept()[:, 0], np.diag(links.mix(jnp.eye(N))), atol=1e-6)
    np.testing.assert_array_equal(round_(drop=1.0).links(W).kept(), np.ones((N, 1)))


@pytest.mark.parametrize(("name", "value"), [("drop", -0.1), ("drop", 1.1), ("online", 2.0)])
def test_a_probability_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(jg.errors.InputError, match=f"network {name} is a probability, not {value}"):
        Conditions(**{name: value})


def test_models_that_answer_a_pull_are_sent_also_where_they_get_lost() -> None:
    links = round_(drop=1.0).links(jg.mixing.pull(jg.topology.ring(N)))
    x = jnp.eye(N)
    np.testing.assert_array_equal(links.mix(x), x)
    traffic = links.sent(x)
    assert (counting.to_int(traffic.messages), counting.to_int(traffic.bytes_sent)) == (N, N * N * 4)
