"""Matchings: everybody has one partner, drawn anew every cycle and uniformly."""

import numpy as np
import pytest
from scipy import stats

from jaxgossip.schedule import PEERS


@pytest.mark.parametrize("n", [8, 9])
def test_a_matching_pairs_everybody_once_and_anew(n: int) -> None:
    nodes = np.arange(n, dtype=np.int32)
    choose = PEERS["matching"](n).begin("push")
    first = choose(0, nodes, np.random.default_rng(0), None)
    assert (first < 0).sum() == n % 2
    paired = nodes[first >= 0]
    np.testing.assert_array_equal(first[first[paired]], paired)
    assert (first[paired] != paired).all()
    np.testing.assert_array_equal(choose(0, nodes, np.random.default_rng(9), None), first)
    assert not np.array_equal(choose(1, nodes, np.random.default_rng(1), None), first)
    both = PEERS["matching"](n).begin("both")(0, nodes, np.random.default_rng(0), None)
    assert (both >= 0).sum() == n // 2
    calls = np.flatnonzero(both >= 0)
    np.testing.assert_array_equal(first[calls], both[calls])


def test_matchings_are_uniform() -> None:
    choose = PEERS["matching"](6).begin("push")
    node = np.zeros(1, np.int32)
    found = [int(choose(k, node, np.random.default_rng(k), None)[0]) for k in range(2000)]
    assert stats.chisquare(np.bincount(found, minlength=6)[1:]).pvalue > 1e-4
