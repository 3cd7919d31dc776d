"""What nodes learn of each other when noisy values are averaged: published sums, exact divergences, hand-made cases."""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import shortest_path

from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.network import observed
from jaxgossip.network import privacy as module
from jaxgossip.network.privacy import joint_privacy, pairwise_privacy
from jaxgossip.topology import (
    Weights,
    best_constant,
    complete,
    erdos_renyi,
    from_matrix,
    grid,
    hypercube,
    metropolis_hastings,
    path,
    ring,
    spectral_gap,
    star,
    static_exponential,
    uniform,
)


def muffliato_steps(weights: Weights, sigma: float = 1.0) -> int:
    n = weights.graph.n_nodes
    return math.ceil(math.log(n / sigma**2 * max(0.25, sigma**2)) / math.sqrt(spectral_gap(weights)))


def random_weights(n: int = 12) -> Weights:
    return metropolis_hastings(erdos_renyi(n, mean_degree=4, rng=3))


def powers(matrix: np.ndarray, steps: int, *, accelerated: bool) -> list[np.ndarray]:
    """Write W_0 … W_{T−1} out by the eigenvalues of a symmetric W: each obeys the recursion by itself."""
    values, vectors = np.linalg.eigh(matrix)
    rho = np.abs(values[:-1]).max()
    omega = 2 / (1 + math.sqrt(1 - rho**2)) if accelerated else 1.0
    by_step = [np.ones_like(values), values]
    while len(by_step) < steps:
        by_step.append(omega * values * by_step[-1] + (1 - omega) * by_step[-2])
    return [vectors @ np.diag(p) @ vectors.T for p in by_step[:steps]]


@pytest.mark.parametrize("accelerated", [False, True])
def test_the_pairwise_loss_is_its_published_sum(accelerated: bool) -> None:
    weights, steps, sigma, delta, alpha = random_weights(), 5, 0.7, 1.5, 3.0
    matrix, n = weights.to_scipy().toarray(), weights.graph.n_nodes
    expected = np.zeros((n, n))
    for power in powers(matrix, steps, accelerated=accelerated):
        for u in range(n):
            for v in range(n):
                for w in np.flatnonzero(matrix[v]):
                    if w != v:
                        expected[u, v] += power[w, u] ** 2 / (power[w] ** 2).sum()
    expected *= alpha * delta**2 / (2 * sigma**2)
    found = pairwise_privacy(weights, steps, sigma, delta, alpha=alpha, accelerated=accelerated)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("accelerated", [False, True])
def test_the_mean_pairwise_loss_is_messages_over_nodes(accelerated: bool) -> None:
    weights, steps = random_weights(), 7
    found = pairwise_privacy(weights, steps, 1.0, accelerated=accelerated)
    np.testing.assert_allclose(found.mean(0), steps * weights.graph.degrees / weights.graph.n_nodes, rtol=1e-12)


def test_on_hypercubes_the_loss_falls_with_size_and_distance() -> None:
    means = []
    for dimension in (6, 8, 10):
        weights = metropolis_hastings(hypercube(2**dimension))
        loss = pairwise_privacy(weights, muffliato_steps(weights), 1.0)
        apart = ~np.eye(2**dimension, dtype=bool)
        means.append(loss[apart].mean())
        distance = np.array([node.bit_count() for node in range(2**dimension)])
        near = [loss[distance == d, 0].mean() for d in range(1, dimension + 1)]
        assert (np.diff(near) < 0).all()
    assert means[0] >= 1.8 * means[1] >= 1.8**2 * means[2]


def test_on_the_complete_graph_all_pairs_are_alike() -> None:
    n, steps = 9, 4
    weights = metropolis_hastings(complete(n))
    apart = ~np.eye(n, dtype=bool)
    # everybody's first message, then the exact mean from each of n − 1 nodes
    loss = pairwise_privacy(weights, steps, 1.0)[apart]
    np.testing.assert_allclose(loss, 1 + (steps - 1) * (n - 1) / n, rtol=1e-12)
    np.testing.assert_allclose(joint_privacy(weights, steps, 1.0)[apart], 1, rtol=1e-12)


def test_two_messages_of_the_middle_give_the_other_end_of_a_path_away() -> None:
    weights = metropolis_hastings(path(3))
    one, two = (joint_privacy(weights, steps, 1.0, accelerated=False, observers=[0])[:, 0] for steps in (1, 2))
    np.testing.assert_allclose(one, [1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(two, [1, 1, 1], atol=1e-12)
    np.testing.assert_allclose(pairwise_privacy(weights, 2, 1.0, accelerated=False)[2, 0], 1 / 3)


@pytest.mark.parametrize("accelerated", [False, True])
def test_the_joint_loss_is_the_divergence_between_what_an_observer_sees(accelerated: bool) -> None:
    weights, steps, sigma, delta, alpha, v = random_weights(), 2, 0.7, 1.5, 3.0, 4
    matrix, n = weights.to_scipy().toarray(), weights.graph.n_nodes
    heard = [w for w in np.flatnonzero(matrix[v]) if w != v]
    view = np.concatenate([np.eye(n)[[v]], *(p[heard] for p in powers(matrix, steps, accelerated=accelerated))])
    # D_α(N(μ, Σ) ‖ N(μ', Σ)) = α/2 (μ − μ')ᵀ Σ⁻¹ (μ − μ') with Σ = σ²RRᵀ, where rows that repeat others are left out
    rows: list[np.ndarray] = []
    for row in view:
        if np.linalg.matrix_rank(np.array([*rows, row]), tol=1e-8) > len(rows):
            rows.append(row)
    r = np.array(rows)
    expected = [alpha / 2 * (delta * r[:, u]) @ np.linalg.solve(sigma**2 * r @ r.T, delta * r[:, u]) for u in range(n)]
    found = joint_privacy(weights, steps, sigma, delta, alpha=alpha, accelerated=accelerated, observers=[v])
    assert found.shape == (n, 1)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-8, atol=1e-10)


def test_the_joint_loss_never_exceeds_the_local_one_and_its_mean_is_a_rank() -> None:
    weights, steps = metropolis_hastings(hypercube(64)), 8
    everyone = joint_privacy(weights, steps, 1.0)
    assert everyone.min() >= 0
    assert everyone.max() <= 1
    rank = everyone.sum(0)
    np.testing.assert_allclose(rank, np.round(rank), atol=1e-8)
    assert (rank <= 1 + steps * weights.graph.degrees).all()
    # every node sees the graph alike
    np.testing.assert_allclose(rank, rank[0])
    np.testing.assert_allclose(np.diag(everyone), 1)


def test_an_observer_at_the_end_of_a_long_path_solves_for_every_node_that_it_hears_of_however_faintly() -> None:
    # Twenty messages of node 1 are a triangular system: its determinant is one, in units of thirds.
    weights = metropolis_hastings(path(40))
    for accelerated in (False, True):
        loss = joint_privacy(weights, 20, 1.0, accelerated=accelerated, observers=[0])[:, 0]
        assert loss.tolist() == [1.0] * 21 + [0.0] * 19
    # Two messages of the middle of a star that has heard of all leaves alike tell their sum.
    leaves = joint_privacy(metropolis_hastings(star(6)), 2, 1.0, observers=[1])[:, 0]
    np.testing.assert_allclose(leaves, [1, 1, 0.25, 0.25, 0.25, 0.25], rtol=1e-12)


def in_fractions(matrix: list[list[Fraction]], v: int, steps: int) -> list[float]:
    """Return e_uᵀRᵀ(RRᵀ)⁻¹R e_u of every u, by Gram and Schmidt in fractions on what v sees, as it is defined."""
    n = len(matrix)
    power = [[Fraction(int(i == j)) for j in range(n)] for i in range(n)]
    views = [power[v]]
    for _ in range(steps):
        views += [power[w] for w in range(n) if w != v and matrix[v][w]]
        power = [[sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0)) for column in zip(*power, strict=True)] for row in matrix]  # fmt: skip
    seen, basis = [Fraction(0)] * n, []
    for row in views:
        rest = row
        for one, square in basis:
            share = sum(a * b for a, b in zip(rest, one, strict=True)) / square
            rest = [a - share * b for a, b in zip(rest, one, strict=True)]
        if any(rest):
            basis.append((rest, sum(a * a for a in rest)))
            seen = [total + a * a / basis[-1][1] for total, a in zip(seen, rest, strict=True)]
    return [float(total) for total in seen]


@pytest.mark.parametrize(
    ("weights", "v", "steps"),
    [
        (metropolis_hastings(grid(16)), 0, 9),
        (metropolis_hastings(grid(16)), 5, 5),
        (uniform(static_exponential(8)), 3, 3),
        (metropolis_hastings(erdos_renyi(10, mean_degree=3, rng=3)), 2, 4),
    ],
    ids=["corner", "inside", "directed", "irregular"],
)  # fmt: skip
def test_the_joint_loss_is_that_of_elimination_in_fractions(weights: Weights, v: int, steps: int) -> None:
    matrix = [[Fraction(x).limit_denominator(1000) for x in row] for row in weights.to_scipy().toarray().tolist()]
    found = joint_privacy(weights, steps, 1.0, accelerated=False, observers=[v])[:, 0]
    np.testing.assert_allclose(found, in_fractions(matrix, v, steps), rtol=1e-12, atol=1e-13)


def test_faint_directions_count_on_a_grid_accelerated_or_not_whatever_the_weights() -> None:
    # Ranks, at most those of sixteen messages of each of two or three neighbours.
    for rule, ranks in ((metropolis_hastings, [33, 45]), (best_constant, [33, 44])):
        for accelerated in (False, True):
            loss = joint_privacy(rule(grid(49)), 16, 1.0, accelerated=accelerated, observers=[0, 1])
            np.testing.assert_allclose(loss.sum(0), ranks, rtol=1e-12)


def test_where_the_span_is_too_much_work_the_loss_is_an_upper_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = metropolis_hastings(grid(49))
    exact = joint_privacy(weights, 4, 1.0, observers=[0])
    monkeypatch.setattr(observed, "WORK", 0)
    bound = joint_privacy(weights, 4, 1.0, observers=[0])
    distance = shortest_path(weights.graph.to_scipy())[:, :1]
    np.testing.assert_array_equal(bound, distance <= 4)
    assert (bound >= exact).all()
    assert (bound[distance == 3] > exact[distance == 3] + 0.1).any()


def test_nothing_is_known_of_nodes_out_of_reach() -> None:
    weights = metropolis_hastings(ring(15))
    distance = shortest_path(weights.graph.to_scipy())
    for steps in (0, 1, 3):
        for loss in (pairwise_privacy(weights, steps, 1.0), joint_privacy(weights, steps, 1.0)):
            far = distance > steps
            assert not loss[far & (distance > 0)].any()
            assert loss[~far & (distance > 0)].all()


def test_directed_links_tell_the_one_who_hears() -> None:
    weights = uniform(static_exponential(8))  # i hears i + 1, i + 2, i + 4
    for loss in (
        pairwise_privacy(weights, 1, 1.0, accelerated=False),
        joint_privacy(weights, 1, 1.0, accelerated=False),
    ):
        np.testing.assert_array_equal(np.flatnonzero(loss[:, 0] * (np.arange(8) > 0)), [1, 2, 4])


def test_weights_and_matrices_of_any_kind_are_alike() -> None:
    weights = random_weights()
    matrix = weights.to_scipy()
    expected = pairwise_privacy(weights, 4, 1.0)
    for other in (matrix, matrix.toarray(), matrix.toarray().tolist(), sp.coo_array(matrix), from_matrix(matrix)):
        np.testing.assert_allclose(pairwise_privacy(other, 4, 1.0), expected, rtol=1e-9)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 1.5}, "steps must be a whole number from 0, not 1.5"),
        ({"noise": 0.0}, "noise must be a number above 0, not 0.0"),
        ({"sensitivity": -1.0}, "sensitivity must be a number above 0, not -1.0"),
        ({"alpha": 1.0}, "alpha must be a number above 1, not 1.0"),
        ({"alpha": math.inf}, "alpha must be a number above 1, not inf"),
        (
            {"W": metropolis_hastings(ring(module.MAX_NODES + 1))},
            "privacy between all pairs of 5,001 nodes needs dense matrices (at most 5,000 nodes; a smaller network of the same kind shows the same)",
        ),
        (
            {"W": uniform(static_exponential(8))},
            "accelerated gossip needs symmetric weights, not uniform (accelerated=False)",
        ),
        (
            {"W": np.eye(3)},
            "accelerated gossip needs a network that agrees, but from_matrix on matrix does not (accelerated=False, or a connected graph)",
        ),
        ({"W": np.ones((2, 2))}, "from_matrix: row 0 of the weights sums to 2, not 1 (divide every row by its sum, in float64)"),
    ],
)  # fmt: skip
def test_impossible_questions_are_told(changed: dict, message: str) -> None:
    for question in (pairwise_privacy, joint_privacy):
        with pytest.raises(InputError) as told:
            question(**{"W": metropolis_hastings(ring(5)), "steps": 3, "noise": 1.0} | changed)
        owner = "" if "W" in changed else f"{question.__name__}: "
        assert str(told.value) == owner + message
        assert isinstance(told.value, GraphError) == ("W" in changed)


@pytest.mark.wrong_types
@pytest.mark.parametrize("observers", [[5], [-1], [0.0], [[0]]])
def test_observers_are_nodes(observers: list) -> None:
    with pytest.raises(InputError, match="joint_privacy: observers must be node numbers from 0 to 4"):
        joint_privacy(metropolis_hastings(ring(5)), 3, 1.0, observers=observers)
