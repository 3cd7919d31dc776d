"""Who is there, who works, who lies and how fast machines are: exact laws on up to four nodes."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgossip.network import Conditions, Round
from jaxgossip.network.adversaries import chosen_liars
from jaxgossip.network.speeds import lognormal, normal
from jaxgossip.simulation.metrics import sample_nodes
from tests.laws import DRAWS, assert_distributed, assert_follows, assert_uniform, drawn, law_of, rows

ONLINE = 0.3


def at(number: int, key: jax.Array, n_nodes: int = 3, **conditions) -> Round:
    return Round(jnp.int32(number), key, n_nodes, Conditions(**conditions))


def coins(count: int, chance: float) -> dict[tuple, float]:
    return {
        way: math.prod(chance if one else 1 - chance for one in way)
        for way in itertools.product([False, True], repeat=count)
    }


@pytest.mark.slow
def test_every_node_is_there_and_works_by_a_coin_of_its_own_in_every_round() -> None:
    there = drawn(lambda key: jnp.stack([at(number, key, 2, online=ONLINE).online for number in range(2)]))
    assert_follows(rows(there), coins(4, ONLINE))
    works = drawn(lambda key: jnp.stack([at(number, key, 2, straggle=ONLINE).works for number in range(2)]))
    assert_follows(rows(works), coins(4, 1 - ONLINE))


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 7])
def test_sessions_of_two_rounds_begin_at_random_and_are_stationary(first: int) -> None:
    # A node's first session of the four rounds has one round left or two, as likely.
    ways = []
    for begun, luck in itertools.product((0, 1), itertools.product([False, True], repeat=3)):
        chance = math.prod(ONLINE if one else 1 - ONLINE for one in luck) / 2
        ways.append((tuple(luck[(round_ + begun) // 2] for round_ in range(4)), chance))
    one = law_of(ways)
    both = {(*a, *b): p * q for (a, p), (b, q) in itertools.product(one.items(), one.items())}
    there = drawn(
        lambda key: jnp.stack(
            [at(first + number, key, 2, online=ONLINE, session=2).online for number in range(4)], axis=1
        )
    )
    assert_follows(rows(there), both)


@pytest.mark.slow
def test_noise_on_the_line_is_normal_and_every_senders_own() -> None:
    found = drawn(lambda key: at(0, key, 2).normal("mix model noise", (2, 1))).reshape(DRAWS, 2)
    assert_distributed(found, stats.norm.cdf)
    assert abs(np.corrcoef(found.T)[0, 1]) < 5 / math.sqrt(DRAWS)


@pytest.mark.slow
def test_any_nodes_are_as_likely_to_lie_or_to_be_evaluated() -> None:
    for fraction, size in ((0.5, 2), (0.01, 1)):
        liars = [chosen_liars(4, fraction, None, seed) for seed in range(DRAWS)]
        assert_uniform(liars, itertools.combinations(range(4), size))
    evaluated = drawn(lambda key: sample_nodes(key, 4, 2))
    assert_uniform(rows(evaluated), itertools.combinations(range(4), 2))


def test_speeds_are_drawn_from_the_laws_that_are_named() -> None:
    one = normal(DRAWS, 0, compute_s=0.1, compute_std=0.08, up_mbit_s=2.0, std_mbit_s=3.0, least_mbit_s=1.0)
    for values, mean, std, least in ((one.compute_s, 0.1, 0.08, 0.01), (one.up_bytes_s / 125e3, 2.0, 3.0, 1.0)):
        assert_distributed(values, stats.truncnorm((least - mean) / std, np.inf, mean, std).cdf)
    other = lognormal(DRAWS, 0, compute_s=0.1, compute_sigma=0.7, latency_s=0.02, latency_sigma=0.4)
    for values, median, sigma in ((other.compute_s, 0.1, 0.7), (other.latency_s, 0.02, 0.4)):
        assert_distributed(values, stats.lognorm(sigma, scale=median).cdf)
