"""Rounds of nodes that meet: the links that were in contact during each, by Metropolis–Hastings weights."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.schedule import Contacts, contacts

N, ROUNDS, PERIOD_S = 6, 5, 2.0
KEY = jax.random.key(0)


def trace() -> Contacts:
    rng = np.random.default_rng(5)
    u = rng.integers(N, size=14)
    return Contacts.of(
        N, rng.integers(36, size=14) / 4, u, (u + rng.integers(1, N, size=14)) % N, rng.integers(1, 12, size=14) / 4
    )


def seconds(round_number: int) -> np.ndarray:
    """Return (n, n) seconds that pairs are in contact during a round, looked at every eighth of a second."""
    found, held = trace(), np.zeros((N, N))
    for time_s in np.arange(round_number * PERIOD_S, (round_number + 1) * PERIOD_S, 0.125):
        now = (found.t_s <= time_s) & (time_s < found.end_s)
        held[found.u[now], found.v[now]] += 0.125
    return held + held.T


@pytest.mark.parametrize("least_s", [0.0, 1.5])
def test_a_round_has_the_links_that_were_in_contact(least_s: float) -> None:
    source = contacts.recorded(trace())
    W = jg.mixing.contacts(jg.topology.complete(N), source, ROUNDS, period_s=PERIOD_S, least_s=least_s)
    sizes = set()
    for number in range(2 * ROUNDS):
        held = seconds(number % ROUNDS)
        linked = (held > 0) & (held >= least_s)
        degree = linked.sum(axis=1)
        expected = np.where(linked, 1 / (1 + np.maximum(degree[:, None], degree[None])), 0.0)
        np.fill_diagonal(expected, 1 - expected.sum(axis=1))
        operator = W.at(jnp.int32(number), KEY)
        np.testing.assert_allclose(operator.as_matrix(), expected, atol=1e-6)
        sizes.add(int(linked.sum()))
        assert operator.received(None).tolist() == degree.tolist()
    assert len(sizes) > 2


def test_a_trace_of_all_pairs_in_contact_is_the_complete_graph() -> None:
    pairs = np.array([*itertools.combinations(range(N), 2)]).T
    everybody = contacts.recorded(Contacts.of(N, np.zeros(15), *pairs, np.full(15, 99.0)))
    W = jg.mixing.contacts(jg.topology.ring(N), everybody, 3, period_s=10.0)
    for number in range(3):
        np.testing.assert_allclose(W.at(jnp.int32(number), KEY).as_matrix(), np.full((N, N), 1 / N), atol=1e-6)


@pytest.mark.slow
def test_algorithms_run_on_it_and_keep_the_mean() -> None:
    walks = contacts.random_waypoint(12, 0, side_m=50.0, range_m=10.0)
    W = jg.mixing.contacts(jg.topology.complete(12), walks, 8, period_s=5.0)
    problem = jg.learning.averaging(12, rng=1, dimension=2)
    result = jg.simulate(jg.algorithms.averaging(problem, None, W), rounds=8, seed=0, evaluate_every=8)
    start = np.asarray(problem.init(KEY))
    np.testing.assert_allclose(result.x.mean(axis=0), start.mean(axis=0), atol=1e-5)
    expected = start
    for number in range(8):
        expected = W.at(jnp.int32(number), KEY).as_matrix() @ expected
    np.testing.assert_allclose(result.x, expected, atol=1e-5)
    assert np.ptp(result.x) < np.ptp(start)


def test_contacts_that_do_not_fit_are_refused() -> None:
    source = contacts.recorded(trace())
    with pytest.raises(InputError, match="a source of contacts of 6 nodes does not fit ring of 7 nodes"):
        jg.mixing.contacts(jg.topology.ring(7), source, 2, period_s=1.0)
    with pytest.raises(InputError, match="contacts: period_s must be above 0"):
        jg.mixing.contacts(jg.topology.ring(6), source, 2, period_s=0.0)
    with pytest.raises(GraphError, match="contacts: 1,000,000,000 rounds of 6 nodes"):
        jg.mixing.contacts(jg.topology.ring(6), _busy(), 10**9, period_s=1.0)


def _busy() -> contacts.ContactSource:
    """Return contacts whose windows end at once, so that a billion of them take no time."""
    one = Contacts.of(6, [0.0], [0], [1], [1.0])
    return contacts.ContactSource(6, lambda _: iter([one]))
