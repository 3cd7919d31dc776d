"""Samplers: uniform over the distinct nodes that they were told of, in any order and number."""

import numpy as np
import pytest
from scipy import stats

from jaxgossip.schedule.peers.samplers import Samplers, new_samplers, renew, tell, tell_one_by_one


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def told(n: int, *, among: int, count: int, seed: int = 1) -> np.ndarray:
    return rng(seed).integers(among, size=(n, count), dtype=np.int32)


@pytest.mark.parametrize("first", [0, 10**6, 2**31 - 21])
def test_samples_are_uniform_however_often_a_node_is_named(first: int) -> None:
    often = np.repeat(np.arange(20), np.arange(1, 21)).astype(np.int32) + np.int32(first)
    samplers = new_samplers(np.tile(often, (400, 1)), 25, rng())
    counts = np.bincount(samplers.nodes.ravel() - first, minlength=20)
    assert counts.sum() == 400 * 25
    assert stats.chisquare(counts).pvalue > 1e-4
    # Samplers of a node are independent of each other: two hold the same one of twenty nodes with probability 1/20.
    same = (samplers.nodes[:, :-1] == samplers.nodes[:, 1:]).mean()
    assert abs(same - 1 / 20) < 0.01


def test_what_a_sampler_holds_is_the_least_of_its_own_permutation() -> None:
    samplers = new_samplers(told(1, among=50, count=30), 4, rng())
    for place in range(4):
        order = [
            int(Samplers(samplers.key, new_samplers(np.array([[node]], np.int32), 4, rng()).least).least[0, place])
            for node in range(50)
        ]
        assert len(set(order)) == 50
        heard = np.unique(told(1, among=50, count=30))
        assert samplers.nodes[0, place] == heard[np.argmin(np.array(order)[heard])]


def test_order_and_division_of_what_is_told_do_not_matter() -> None:
    nodes = told(30, among=1000, count=40)
    expected = new_samplers(nodes, 5, rng())
    in_parts = new_samplers(nodes[:, 39:], 5, rng())
    tell(in_parts, np.arange(20, 30), nodes[20:, :20])
    tell(in_parts, np.arange(20), nodes[:20, 20::-1])
    tell(in_parts, np.arange(20, 30), nodes[20:, 19:])
    owner = np.repeat(np.arange(20), 19)
    tell_one_by_one(in_parts, owner, nodes[:20, 20:39].ravel())
    np.testing.assert_array_equal(in_parts.nodes, expected.nodes)
    np.testing.assert_array_equal(expected.of(np.array([3, 7])), expected.nodes[[3, 7]])
    np.testing.assert_array_equal(in_parts.key, expected.key)
    tell_one_by_one(in_parts, owner[:0], owner[:0])
    np.testing.assert_array_equal(in_parts.nodes, expected.nodes)


def test_samplers_of_nodes_that_are_gone_hold_others_of_those_told() -> None:
    n = 200
    nodes = told(n, among=n, count=30)
    samplers, before = (new_samplers(nodes, 5, rng()) for _ in range(2))
    gone = np.arange(n) < 60
    present = np.where(nodes < 60, 60, nodes)
    renew(samplers, np.arange(100), gone, present, rng(2))
    lost = gone[before.nodes]
    lost[100:] = False
    assert lost.any()
    np.testing.assert_array_equal(samplers.nodes[~lost], before.nodes[~lost])
    assert (samplers.nodes[lost] >= 60).all()
    assert (samplers.nodes[..., None] == np.concatenate([present, nodes], axis=1)[:, None]).any(axis=2).all()
