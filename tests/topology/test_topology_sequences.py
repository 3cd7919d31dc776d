"""Sequences that reach the exact mean: their product, degrees, lengths and the published figures."""

import math

import numpy as np
import pytest

from jaxgossip import topology as t
from jaxgossip.core.errors import GraphError


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


@pytest.mark.by_default("5", "3", "4")
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


@pytest.mark.parametrize("degree", range(1, 5))
def test_k_peer_exponential_reaches_the_mean_of_divisors_of_powers_alone(degree):
    for nodes in range(2, 82):
        sequence = t.k_peer_exponential(nodes, degree)
        assert (degree + 1) ** (len(sequence) - 1) < nodes <= (degree + 1) ** len(sequence)
        exact = np.abs(product(sequence) - 1 / nodes).max() < 1e-12
        assert exact == ((degree + 1) ** len(sequence) % nodes == 0), (nodes, degree)
        assert all(weights.graph.degrees.max(initial=0) <= degree for weights in sequence)
        if exact and len(sequence) > 1:
            assert np.abs(product(sequence[:-1]) - 1 / nodes).max() > 1e-3


def test_k_peer_exponential_of_one_peer_is_the_one_peer_exponential_graph():
    for step, weights in enumerate(t.k_peer_exponential(12)):
        expected = (np.eye(12) + np.roll(np.eye(12), 2**step, axis=1)) / 2
        assert weights.to_scipy().toarray() == pytest.approx(expected)


@pytest.mark.parametrize(("nodes", "degree"), [(1, 1), (2, 1), (8, 1), (64, 1), (27, 2), (16, 3), (25, 4)])
def test_a_de_bruijn_graph_reaches_the_mean_with_no_gap_at_all(nodes, degree):
    weights = t.de_bruijn(nodes, degree)
    W, rounds = weights.to_scipy().toarray(), round(math.log(nodes, degree + 1))
    assert np.linalg.matrix_power(W, rounds) == pytest.approx(np.full_like(W, 1 / nodes), abs=1e-12)
    if rounds > 1:
        assert np.linalg.matrix_power(W, rounds - 1) != pytest.approx(np.full_like(W, 1 / nodes), abs=1e-3)
        assert t.spectral_gap(weights) == pytest.approx(0, abs=1e-12)
        assert np.bincount(weights.graph.degrees)[-2:].tolist() == [degree + 1, nodes - degree - 1]


def test_a_de_bruijn_graph_needs_a_power():
    with pytest.raises(GraphError, match=r"de_bruijn: 10 nodes are no power of degree \+ 1 = 3") as caught:
        t.de_bruijn(10, 2)
    assert caught.value.hint == "9 or 27 nodes, or base_k_plus_one, which takes any number of nodes"
