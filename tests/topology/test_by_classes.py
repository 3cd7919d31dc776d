"""Topologies of class shares: STL-FW by its objective, D-Cliques by its cost, and the edges that join cliques."""

from itertools import pairwise

import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import GraphError, InputError

t = jg.topology
N, CLASSES = 16, 4
ONE_CLASS = np.eye(CLASSES)[np.arange(N) % CLASSES]
MIXED = np.random.default_rng(0).dirichlet(np.full(10, 0.2), 60)


def objective(W: np.ndarray, shares: np.ndarray, regularization: float) -> float:
    deviation = W - 1 / len(W)
    return (np.linalg.norm(deviation @ shares) ** 2 + regularization * np.linalg.norm(deviation) ** 2) / len(W)


def learned(shares: np.ndarray, degree: int, regularization: float, rng: int = 0) -> np.ndarray:
    return t.stl_fw(shares, degree=degree, regularization=regularization, rng=rng).to_scipy().toarray()


@pytest.mark.parametrize("rng", range(3))
@pytest.mark.parametrize(
    ("regularization", "values"),
    [(0.0, (0.75, 0.25, 0.083333, 0.0)), (0.5, (1.21875, 0.46875, 0.21875, 0.09375))],
)
def test_the_objective_after_each_node_more_that_is_heard(
    regularization: float, values: tuple[float, ...], rng: int
) -> None:
    matrices = [np.eye(N), *(learned(ONE_CLASS, degree, regularization, rng) for degree in (1, 2, 3))]
    found = [objective(W, ONE_CLASS, regularization) for W in matrices]
    np.testing.assert_allclose(found, values, atol=5e-7)
    formula = [1 / (l + 1) - 1 / CLASSES + regularization * (1 / (l + 1) - 1 / N) for l in range(4)]
    np.testing.assert_allclose(found, formula, atol=1e-12)


@pytest.mark.parametrize("regularization", [0.0, 0.1, 1.0])
def test_a_larger_degree_is_better_and_kept_and_the_mean_is_kept(regularization: float) -> None:
    values = []
    for degree in (1, 3, 6, 12):
        weights = t.stl_fw(MIXED, degree=degree, regularization=regularization)
        W = weights.to_scipy().toarray()
        assert weights.doubly_stochastic
        assert weights.graph.degrees.max() <= degree
        assert W.min() >= 0
        np.testing.assert_allclose(W.sum(0), 1, atol=1e-12)
        values.append(objective(W, MIXED, regularization))
    assert all(more < less for less, more in pairwise(values))


def test_a_step_goes_as_far_as_it_pays() -> None:
    """The first step from W = I: no other γ along the same permutation has a lower objective."""
    W, eye = learned(MIXED, 1, 0.3), np.eye(len(MIXED))
    best = objective(W, MIXED, 0.3)
    for change in (-0.01, 0.01):
        assert objective(W + change * (W - eye), MIXED, 0.3) > best


def test_nodes_of_one_class_are_linked_so_that_all_agree() -> None:
    assert t.stl_fw(ONE_CLASS, degree=5).graph.is_connected


def test_the_cost_of_cliques_never_rises_and_is_its_formula() -> None:
    costs = []
    for swaps in range(0, 60, 3):  # the same draws: each is a few swaps further
        clique = t.class_cliques(MIXED, size=7, swaps=swaps, rng=1)
        costs.append(t.clique_cost(MIXED, clique))
        assert sorted(np.bincount(clique)) == [4, *[7] * 8]
    assert all(more <= less + 1e-12 for less, more in pairwise(costs))
    assert costs[-1] < 0.6 * costs[0]
    by_hand = sum(
        abs(np.mean([MIXED[i][c] for i in range(60) if clique[i] == k]) - MIXED[:, c].mean())
        for k in range(9)
        for c in range(10)
    )
    assert costs[-1] == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("rng", range(5))
def test_nodes_of_one_class_each_end_in_cliques_of_all_classes(rng: int) -> None:
    shares = np.eye(6)[np.random.default_rng(rng).permutation(np.arange(48) % 6)]
    clique = t.class_cliques(shares, size=6, swaps=2000, rng=rng)
    assert t.clique_cost(shares, clique) == pytest.approx(0, abs=1e-12)
    for number in range(8):
        np.testing.assert_array_equal(shares[clique == number].sum(0), 1)


CLIQUE = np.repeat(np.arange(10), 5)


def between(graph: jg.topology.Graph) -> np.ndarray:
    """Return the edges between cliques, as pairs of their numbers."""
    pairs = CLIQUE[graph.edges()]
    return np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)


@pytest.mark.parametrize(
    ("joined", "expected"),
    [
        ("ring", {(a, b) for a in range(10) for b in range(a) if (a - b) % 10 in (1, 9)}),
        ("small_world", {(a, b) for a in range(10) for b in range(a) if (a - b) % 10 in (1, 9, 2, 8, 4, 6)}),
        ("all", {(a, b) for a in range(10) for b in range(a)}),
    ],
)
def test_cliques_are_joined_by_one_edge_each(joined: str, expected: set[tuple[int, int]]) -> None:
    pairs = between(t.join_cliques(CLIQUE, joined=joined))
    assert len(pairs) == len(expected)
    assert {(b, a) for a, b in pairs.tolist()} == expected


def test_a_fractal_joins_groups_of_as_many_cliques_as_a_clique_has_nodes() -> None:
    pairs = {tuple(pair) for pair in between(t.join_cliques(CLIQUE, joined="fractal")).tolist()}
    within = {(a, b) for b in range(10) for a in range(b) if a // 5 == b // 5}
    assert within < pairs
    assert len(pairs - within) == 1  # between the two groups of five


@pytest.mark.parametrize("joined", ["ring", "fractal", "small_world", "all"])
@pytest.mark.parametrize("cliques", [1, 2, 3, 7, 30])
def test_cliques_are_complete_and_their_edges_outwards_are_shared(cliques: int, joined: str) -> None:
    clique = np.random.default_rng(0).permutation(np.repeat(np.arange(cliques), 4))
    graph = t.join_cliques(clique, joined=joined)
    assert graph.is_connected
    same = clique[:, None] == clique
    adjacency = graph.to_scipy().toarray()
    np.testing.assert_array_equal(adjacency[same], 1 - np.eye(4 * cliques)[same])
    outwards = (adjacency * ~same).sum(1)
    for number in range(cliques):
        assert np.ptp(outwards[clique == number]) <= 1


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: t.stl_fw(ONE_CLASS, degree=0), "stl_fw: degree must be at least 1"),
        (lambda: t.stl_fw(ONE_CLASS, regularization=-1.0), "stl_fw: regularization must be from 0"),
        (lambda: t.stl_fw(ONE_CLASS, regularization=float("nan")), "stl_fw: regularization must be a finite number"),
        (lambda: t.stl_fw(2 * ONE_CLASS), "stl_fw: the class_shares of node 0 are no shares"),
        (lambda: t.stl_fw(np.full((3, 2), np.nan)), "stl_fw: the class_shares of node 0 are no shares"),
        (lambda: t.stl_fw(np.ones(4)), r"stl_fw: class_shares must be \(n, C\) numbers"),
        (lambda: t.stl_fw("shares"), r"stl_fw: class_shares must be \(n, C\) numbers"),
        (lambda: t.d_cliques(ONE_CLASS, size=1), "d_cliques: size must be at least 2"),
        (lambda: t.d_cliques(ONE_CLASS, swaps=-1), "d_cliques: swaps must be at least 0"),
        (lambda: t.d_cliques(ONE_CLASS, joined="star"), "d_cliques: joined cannot be 'star'"),
        (lambda: t.d_cliques(ONE_CLASS, rng=-1), "d_cliques: rng must be"),
        (lambda: t.join_cliques(np.ones(4)), "d_cliques: clique must be a whole number for each node"),
        (lambda: t.clique_cost(ONE_CLASS, CLIQUE), "clique_cost: cliques of 50 nodes, and class_shares of 16"),
    ],
)
def test_mistakes_are_named(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.wrong_types
def test_class_shares_of_a_partition() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2])
    partition = jg.learning.Partition(
        np.array([0, 2, 3, 1, 4, 5], np.int32), np.array([0, 3, 6]), np.array([3, 2], np.int32), 6
    )
    found = jg.learning.partitions.class_shares(partition, labels)
    np.testing.assert_allclose(found, [[1 / 3, 1 / 3, 1 / 3], [1 / 2, 0, 1 / 2]])
    with pytest.raises(InputError, match="labels are float64"):
        jg.learning.partitions.class_shares(partition, labels / 2)
    with pytest.raises(InputError, match="does not fit"):
        jg.learning.partitions.class_shares(partition, labels[:5])


def test_graphs_too_large_are_refused_before_they_are_made() -> None:
    with pytest.raises(GraphError, match="of memory"):
        t.stl_fw(np.ones((3_000_000, 1)))
