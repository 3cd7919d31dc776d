"""Random compressors on rows of two or three columns: all outcomes, with their exact probabilities."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.compression.quantizers import qsgd
from jaxgossip.compression.sparsifiers import random_k
from jaxgossip.core.random import hashed_uniform
from tests.laws import assert_distributed, assert_follows, drawn, law_of, rows

TWO = jnp.arange(2, dtype=jnp.int32)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "k"), [(3, 1), (3, 2), (4, 2)])
def test_random_columns_are_windows_of_one_permutation_at_a_uniform_place_of_each_node(p: int, k: int) -> None:
    ways = [
        tuple((place + shift) % p < k for shift in shifts for place in places)
        for places in itertools.permutations(range(p))
        for shifts in itertools.product(range(p), repeat=2)
    ]
    law = law_of((way, 1 / len(ways)) for way in ways)
    kept = drawn(lambda key: random_k(fraction=k / p)(jnp.ones((2, p)), key, TWO) != 0)
    assert_follows(rows(kept), law)
    # Of each node alone: every set of k columns alike.
    alone = law_of((way[:p], chance) for way, chance in law.items())
    assert all(math.isclose(chance, 1 / math.comb(p, k)) for chance in alone.values())


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 3])
def test_every_entry_is_rounded_up_by_a_coin_of_its_own(levels: int) -> None:
    x = np.array([[0.28, -0.96], [0.6, 0.8]])  # of length one
    exact = levels * np.abs(x).ravel()
    law = {}
    for up in itertools.product([0, 1], repeat=4):
        level = tuple((np.floor(exact) + up).astype(int).tolist())
        law[level] = math.prod(part if one else 1 - part for part, one in zip(exact - np.floor(exact), up, strict=True))
    found = drawn(lambda key: jnp.abs(qsgd(levels=levels, rescale=False)(jnp.asarray(x, jnp.float32), key, TWO)))
    assert_follows(rows(np.rint(found * levels).astype(int)), law)


@pytest.mark.slow
def test_hashed_numbers_are_uniform_and_differ_by_node_and_column() -> None:
    found = drawn(lambda key: hashed_uniform(key, TWO, 2)).reshape(-1, 4)
    assert_distributed(found, lambda x: np.clip(x, 0, 1))
    halves = rows(found < 0.5)
    assert_follows(halves, dict.fromkeys(itertools.product([False, True], repeat=4), 1 / 16))
