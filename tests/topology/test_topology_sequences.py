"""Sequences that reach the exact mean: their product, degrees, lengths and the published figures."""

import math

import numpy as np
import pytest

from jaxgossip import topology as t
from jaxgossip.errors import GraphError


def product(sequence):
    total = np.eye(sequence[0].graph.n_nodes)
    for weights in sequence:
        total = weights.to_scipy() @ total
    return total


def holds(nodes, degree):
    sequence = t.base_k_plus_one(nodes, degree)
    assert np.abs(product(sequence) - 1 / nodes).max() < 1e-12, (nodes, degree)
    assert len(sequence) <= 2 * math.log(nodes, degree + 1) + 2 or nodes == 1, (nodes, degree)
    for weights in sequence:
        assert weights.graph.degrees.max(initial=0) <= degree
        assert weights.is_symmetric
        assert weights.doubly_stochastic
        assert (np.asarray(weights.edge) > 0).all()
        assert np.min(weights.self_weight) >= 0


@pytest.mark.parametrize("degree", range(1, 6))
def test_base_k_plus_one_reaches_the_mean_of_any_number_of_nodes(degree):
    for nodes in range(1, 61):
        holds(nodes, degree)


@pytest.mark.slow
@pytest.mark.parametrize("degree", range(1, 6))
def test_base_k_plus_one_reaches_the_mean_of_up_to_300_nodes(degree):
    for nodes in range(61, 301):
        holds(nodes, degree)


@pytest.mark.parametrize(
    ("nodes", "degree", "length"),
    [
        *((25, degree, length) for degree, length in enumerate((9, 6, 5, 2), start=1)),
        *((nodes, 1, length) for nodes, length in ((5, 5), (6, 4), (12, 5), (22, 8), (24, 6), (100, 11))),
    ],
)
def test_lengths_of_the_catalogue(nodes, degree, length):
    assert len(t.base_k_plus_one(nodes, degree)) == length


def test_edges_of_the_base_2_graph_of_six_nodes():
    pairs, across = [[0, 1], [3, 4]], [[0, 3], [1, 4], [2, 5]]
    expected = [(pairs, 1 / 2), ([[1, 2], [4, 5]], 2 / 3), (pairs, 1 / 2), (across, 1 / 2)]
    for weights, (edges, weight) in zip(t.base_k_plus_one(6), expected, strict=True):
        assert weights.graph.edges().tolist() == edges
        assert weights.edge == pytest.approx(weight)


@pytest.mark.parametrize(
    ("nodes", "degree", "length"), [(1, 1, 1), (2, 1, 1), (16, 1, 4), (12, 2, 3), (12, 3, 2), (36, 8, 2), (210, 6, 3)]
)
def test_a_hyper_hypercube_takes_the_fewest_factors(nodes, degree, length):
    sequence = t.hyper_hypercube(nodes, degree)
    assert len(sequence) == length
    assert np.abs(product(sequence) - 1 / nodes).max() < 1e-14
    for weights in sequence:
        assert weights.graph.regular_degree <= degree
        # groups of f: every node hears the f − 1 others with 1/f
        assert (weights.edge == 1 / (1 + weights.graph.regular_degree)).all()
    sizes = [weights.graph.regular_degree + 1 for weights in sequence]
    assert math.prod(sizes) == nodes


def test_with_degree_one_it_is_the_hypercube():
    for bit, weights in enumerate(t.hyper_hypercube(16)):
        assert weights.graph.indices.tolist() == [node ^ 1 << bit for node in range(16)]


@pytest.mark.parametrize(
    ("build", "message", "hint"),
    [
        (
            lambda: t.hyper_hypercube(14, 3),
            "hyper_hypercube: 14 nodes have the prime factor 7, above degree + 1 = 4",
            "degree = 6, or base_k_plus_one, which takes any number of nodes",
        ),
        (
            lambda: t.base_k_plus_one(14, 0),
            "base_k_plus_one: degree must be at least 1, not 0",
            "a node must hear somebody",
        ),
        (lambda: t.base_k_plus_one(0), "base_k_plus_one: nodes must be at least 1, not 0", ""),
    ],
)
def test_impossible_sequences(build, message, hint):
    with pytest.raises(GraphError) as caught:
        build()
    assert (caught.value.message, caught.value.hint or "") == (message, hint)
