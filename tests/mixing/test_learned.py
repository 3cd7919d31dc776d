"""Weights that are learnt: the optimum where it is known, a proof where it is not, and schedules by their product."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.errors import GraphError
from jaxgossip.mixing.learned import Edges, fastest, learned_schedule

t = jg.topology
GRID = t.grid(9)


def test_any_weights_make_a_symmetric_doubly_stochastic_operator() -> None:
    edges = Edges(GRID)
    w = np.random.default_rng(0).normal(size=len(edges.ends))
    with jax.enable_x64(True):
        W = edges.operator(jnp.asarray(w)).as_matrix()
        np.testing.assert_allclose(W, edges.matrix(jnp.asarray(w)), atol=1e-14)
    np.testing.assert_allclose(W, W.T, atol=1e-15)
    np.testing.assert_allclose(W.sum(0), 1, atol=1e-14)
    np.testing.assert_allclose(edges.weights(w, "own").to_scipy().toarray(), W, atol=1e-14)
    np.testing.assert_allclose(
        edges.weights(edges.start, "own").to_scipy().toarray(),
        t.metropolis_hastings(GRID).to_scipy().toarray(),
        atol=1e-15,
    )


@pytest.mark.parametrize(("graph", "known"), [(t.path(8), np.cos(np.pi / 8)), (t.star(8), None)], ids=["path", "star"])
def test_the_fastest_weights_are_the_known_ones_and_proved_so(graph: jg.topology.Graph, known: float | None) -> None:
    found = fastest(graph)
    best = t.second_largest_modulus(t.best_constant(graph)) if known is None else known
    assert found.rho == pytest.approx(t.second_largest_modulus(found.weights), abs=1e-10)
    assert abs(found.rho - best) < 1e-4
    assert best - 1e-4 < found.bound <= best + 1e-12


def test_no_weights_come_below_the_bound() -> None:
    graph = t.from_scipy(np.asarray(t.watts_strogatz(12, degree=4, beta=0.3, rng=1).to_scipy().toarray()))
    found = fastest(graph)
    assert found.bound <= found.rho < t.second_largest_modulus(t.best_constant(graph)) - 1e-3
    assert found.rho - found.bound < 5e-4


def test_a_learnt_schedule_leaves_what_its_product_leaves() -> None:
    rounds = 4
    learned = learned_schedule(GRID, rounds=rounds, steps=400)
    product = np.eye(9)
    for weights in learned.sequence:
        product = weights.to_scipy().toarray() @ product
    left = np.square(product - 1 / 9).sum() / 8
    assert left == pytest.approx(learned.left[-1], rel=0.05)  # of the step before
    fast = np.linalg.matrix_power(fastest(GRID).weights.to_scipy().toarray(), rounds)
    assert left < np.square(fast - 1 / 9).sum() / 8 / 10
    with jax.enable_x64(True):
        schedule = jg.mixing.periodic(learned.sequence)
        x = jnp.eye(9)
        for number in range(rounds):
            x = schedule.at(jnp.int32(number), jax.random.key(0))(x)
    np.testing.assert_allclose(x, product, atol=1e-12)


@pytest.mark.parametrize("graph", [t.static_exponential(8), t.complete(1)])
def test_graphs_without_free_weights_are_refused(graph: jg.topology.Graph) -> None:
    with pytest.raises(GraphError, match="weights cannot be learnt on"):
        fastest(graph)
