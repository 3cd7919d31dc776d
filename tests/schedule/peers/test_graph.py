"""Peers: the stated probabilities, along the right direction of links."""

import numpy as np
import pytest
from scipy import stats

import jaxgossip.topology as t
from jaxgossip.core.errors import InputError
from jaxgossip.schedule import PEERS
from jaxgossip.schedule.peers import Peers, Way
from jaxgossip.topology.structures import Circulant

ROUNDS = 4000
WAYS: list[Way] = ["push", "pull", "both"]


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def counts(peers: Peers, n: int, way: Way = "push") -> np.ndarray:
    """Return (n, n + 1): how often each node calls each other; the last column is nobody."""
    node = np.repeat(np.arange(n, dtype=np.int32), ROUNDS)
    peer = peers.begin(way)(0, node, rng(), None)
    assert peer.dtype == np.int32
    return np.stack([np.bincount(peer[node == i] % (n + 1), minlength=n + 1) for i in range(n)])


def agrees(found: np.ndarray, probability: np.ndarray) -> None:
    """Chi-square, row by row; what is impossible never happens."""
    probability = np.column_stack([probability, 1 - probability.sum(axis=1)])
    probability[probability < 1e-12] = 0
    assert (found[probability == 0] == 0).all()
    for row, expected in zip(found, probability, strict=True):
        if (expected > 0).sum() > 1:
            possible = expected > 0
            assert stats.chisquare(row[possible], expected[possible] / expected.sum() * ROUNDS).pvalue > 1e-4


GRAPHS = {
    "complete": t.complete(7),
    "ring": t.ring(7),
    "hypercube": t.hypercube(8),
    "star": t.star(6),
    "isolated": t.graph.from_links(4, np.array([0, 1]), np.array([1, 2]), name="path"),
}


@pytest.mark.parametrize("name", list(GRAPHS))
@pytest.mark.parametrize("way", WAYS)
def test_uniform_calls_every_neighbour_alike(name: str, way: Way) -> None:
    graph = GRAPHS[name]
    matrix = graph.to_scipy().toarray()
    agrees(counts(PEERS["uniform"](graph), graph.n_nodes, way), matrix / np.maximum(matrix.sum(1, keepdims=True), 1))


@pytest.mark.parametrize("circulant", [True, False])
def test_pushes_follow_the_links_and_pulls_go_against_them(circulant: bool) -> None:
    links = np.array([0, 2, 3, 3]), np.array([1, 0, 0, 2])  # 0 hears 1, 2 hears 0, 3 hears 0 and 2
    graph = (
        t.graph.Graph(5, "c", Circulant((1, 3)), directed=True)
        if circulant
        else t.graph.from_links(4, *links, name="d", directed=True)
    )
    hears = graph.to_scipy().toarray()
    for way, matrix in (("pull", hears), ("push", hears.T)):
        expected = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        agrees(counts(PEERS["uniform"](graph), graph.n_nodes, way), expected)
    with pytest.raises(InputError, match="is directed: not every node can answer whom it hears"):
        PEERS["uniform"](graph).begin("both")


@pytest.mark.parametrize("name", list(GRAPHS))
@pytest.mark.parametrize("way", WAYS)
def test_weighted_calls_with_the_probabilities_of_the_rule(name: str, way: Way) -> None:
    graph = GRAPHS[name]
    W = t.WEIGHT_RULES["metropolis_hastings"](graph).to_scipy().toarray()
    agrees(counts(PEERS["weighted"](graph), graph.n_nodes, way), W - np.diag(np.diag(W)))


def test_weights_that_are_no_probabilities_of_a_push_are_refused() -> None:
    star = GRAPHS["star"]
    peers = PEERS["weighted"](star, weights="uniform")
    W = t.WEIGHT_RULES["uniform"](star).to_scipy().toarray()
    agrees(counts(peers, 6, "pull"), W - np.diag(np.diag(W)))
    with pytest.raises(InputError, match=r"weighted peers: uniform on .*star.* is not doubly stochastic"):
        peers.begin("push")
    with pytest.raises(InputError, match="weighted peers: best_constant gives negative weights"):
        PEERS["weighted"](t.star(9), weights="best_constant")
