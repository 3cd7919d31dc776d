"""Failures of links that come in bursts, against the law of the chain of Gilbert and Elliott."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.mixing.bursts import Bursts
from jaxgossip.network import Conditions, Round
from jaxgossip.topology import weights
from tests.laws import DRAWS, assert_follows, drawn, rows

STARTS, ENDS = 0.1, 0.3
SHARE, LENGTH = STARTS / (STARTS + ENDS), 1 / ENDS
CHAIN = np.array([[1 - STARTS, STARTS], [ENDS, 1 - ENDS]])
"""Of a link that works (0) or fails (1)."""
STATIONARY = np.array([1 - SHARE, SHARE])


def failing(key: jax.Array, number: object, share: object = SHARE, length: float = LENGTH, links: int = 1) -> jax.Array:
    ends = jnp.zeros(links, jnp.uint32), jnp.arange(1, links + 1, dtype=jnp.uint32)
    return Bursts(key, jnp.asarray(number, jnp.int32), length).failing(*ends, share)


def law(chain: np.ndarray, length: int) -> dict[tuple, float]:
    """Return the probability of every sequence of so many states in rounds that follow one another."""
    return {
        states: STATIONARY[states[0]] * math.prod(chain[pair] for pair in itertools.pairwise(states))
        for states in itertools.product([0, 1], repeat=length)
    }


@pytest.mark.parametrize("first", [0, 61, pytest.param(94, marks=pytest.mark.slow)])
def test_states_in_a_row_have_the_law_of_the_chain(first: int) -> None:
    rounds = jnp.arange(first, first + 6)  # the second ones are across rounds that are drawn each by itself, 64 apart
    seen = drawn(lambda key: jax.lax.map(lambda number: failing(key, number)[0], rounds))
    assert_follows(rows(seen), law(CHAIN, 6))


@pytest.mark.slow
def test_bursts_as_short_as_independent_failures_are_independent_failures() -> None:
    seen = drawn(lambda key: jax.lax.map(lambda number: failing(key, number, length=1 / (1 - SHARE))[0], jnp.arange(5)))
    assert_follows(rows(seen), law(np.tile(STATIONARY, (2, 1)), 5))


def test_loss_bursts_and_autocorrelation_are_as_stated() -> None:
    links, number = 2000, 500
    every = jax.jit(lambda key: jax.lax.map(lambda t: failing(key, t, links=links), jnp.arange(number)))
    seen = np.asarray(every(jax.random.key(0)), float)
    share = STARTS / (STARTS + ENDS)
    decay = 1 - STARTS - ENDS
    spread = 4 * np.sqrt(share * (1 - share) * (1 + decay) / (1 - decay) / seen.size)  # of a mean of correlated states
    assert abs(seen.mean() - share) < spread
    begun = (seen[1:] > seen[:-1]).sum()
    np.testing.assert_allclose(seen[1:].sum() / begun, 1 / ENDS, rtol=0.02)
    deviation = seen - share
    for k in (1, 2, 3, 6):
        correlation = (deviation[k:] * deviation[:-k]).mean() / (share * (1 - share))
        assert abs(correlation - decay**k) < 0.01, k
    assert abs(np.corrcoef(seen[:, 0], seen[:, 1])[0, 1]) < 0.2  # links fail each by itself


@pytest.mark.slow
def test_two_nodes_agree_more_slowly_under_bursts_than_under_independent_failures() -> None:
    weight, number = 0.25, 8
    contraction = np.diag([(1 - 2 * weight) ** 2, 1.0])  # of (x₁ − x₂)², of a link that works or fails
    bursts, independent = (
        np.abs(np.linalg.eigvals(chain @ contraction)).max() for chain in (CHAIN, np.tile(STATIONARY, (2, 1)))
    )
    assert abs(bursts - 0.715297) < 5e-7
    assert abs(independent - 0.4375) < 1e-12
    W = jg.mixing.operator(weights.from_matrix(np.array([[1 - weight, weight], [weight, 1 - weight]])))

    def squares(key: jax.Array, length: float) -> jax.Array:
        def step(x: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
            x = Round(t, key, 2, Conditions(link_drop=SHARE, link_burst=length)).links(W).mix(x)
            return x, jnp.square(x[0, 0] - x[1, 0])

        return jax.lax.scan(step, jnp.array([[0.5], [-0.5]]), jnp.arange(number, dtype=jnp.int32))[1]

    for length, chain in ((LENGTH, CHAIN), (0.0, np.tile(STATIONARY, (2, 1)))):
        seen = drawn(lambda key, length=length: squares(key, length)).astype(float)
        law, expected = STATIONARY, []
        for _ in range(number):
            expected.append((law @ contraction).sum())
            law = law @ contraction @ chain
        assert (np.abs(seen.mean(0) - expected) < 4.5 * seen.std(0) / np.sqrt(DRAWS)).all()
        # Far on, it is the largest eigenvalue by which the mean falls.
        np.testing.assert_allclose(expected[-1] / expected[-2], bursts if length else independent, rtol=0.02)


@pytest.mark.slow
def test_both_ends_and_all_exchanges_of_a_round_meet_the_same_failures() -> None:
    graph = jg.topology.random_regular(40, degree=6, rng=0)
    W = jg.mixing.metropolis_hastings(graph)

    def mixed(number: int, **exchange: object) -> np.ndarray:
        round_ = Round(jnp.int32(number), jax.random.key(0), 40, Conditions(link_drop=0.5, link_burst=20.0))
        return np.asarray(round_.links(W, **exchange).mix(jnp.eye(40)))

    first = mixed(30)
    np.testing.assert_allclose(first, first.T, atol=1e-7)
    for exchange in ({"purpose": "tracker"}, {"exchange": 1}):
        np.testing.assert_array_equal(mixed(30, **exchange), first)
    links = (W.as_matrix() > 0).sum() - 40
    changed = [((mixed(30 + k) > 0) != (first > 0)).sum() / links for k in (1, 300)]
    assert changed[0] < 0.15  # of links that change, 2 · ½ · (1 − λ)/2 = 0.05, and of links of other times a half
    assert 0.35 < changed[1] < 0.65


@pytest.mark.slow
def test_failures_go_with_the_nodes_and_are_the_same_for_a_traced_share() -> None:
    key, nodes = jax.random.key(5), jnp.asarray(np.random.default_rng(0).permutation(12))
    bursts = Bursts(key, jnp.int32(77), 12.5)
    a, b = jnp.arange(12)[:, None], jnp.arange(12)[None]
    plain = jg.mixing.Faults(key, link_drop=0.3, bursts=bursts).arrive(a, b)
    moved = jg.mixing.Faults(key, nodes=nodes, link_drop=0.3, bursts=bursts).arrive(a, b)
    np.testing.assert_array_equal(moved, plain[nodes][:, nodes])
    traced = jax.jit(lambda share: jg.mixing.Faults(key, link_drop=share, bursts=bursts).arrive(a, b))
    np.testing.assert_array_equal(traced(0.3), plain)
    assert not np.asarray(traced(1.0)).any()
    assert np.asarray(traced(0.0)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"link_burst": -1.0}, "network: link_burst must be from 0 to 1e\\+06, not -1.0"),
        ({"link_burst": math.nan}, "network: link_burst must be from 0 to 1e\\+06, not nan"),
        ({"link_burst": 1e7}, "network: link_burst must be from 0 to 1e\\+06"),
        ({"link_drop": 0.5, "link_burst": 1.9}, "link_burst must be at least 1/\\(1 − link_drop\\) = 2, not 1.9"),
        ({"link_burst": 0.5}, "link_burst must be at least 1/\\(1 − link_drop\\) = 1, not 0.5"),
    ],
)
def test_bursts_out_of_range_are_named(options: dict, message: str) -> None:
    with pytest.raises(jg.errors.InputError, match=message):
        Conditions(**options)
