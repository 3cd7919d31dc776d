"""Weights that are learnt: the optimum where it is known, a proof where it is not, and schedules by their product."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.mixing.optimized.duality import rho_bound
from jaxgossip.mixing.optimized.weights import Edges, fastest, learned_sequence

t = jg.topology
GRID = t.grid(9)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(("graph", "known"), [(t.path(8), np.cos(np.pi / 8)), (t.star(8), None)], ids=["path", "star"])
def test_the_fastest_weights_are_the_known_ones_and_proved_so(graph: jg.topology.Graph, known: float | None) -> None:
    found = fastest(graph)
    best = t.second_largest_modulus(t.best_constant(graph)) if known is None else known
    assert found.rho == pytest.approx(t.second_largest_modulus(found.weights), abs=1e-10)
    assert abs(found.rho - best) < 1e-4
    assert best - 1e-4 < found.bound <= best + 1e-12


@pytest.mark.slow
def test_no_weights_come_below_the_bound() -> None:
    graph = t.from_scipy(np.asarray(t.watts_strogatz(12, degree=4, beta=0.3, rng=1).to_scipy().toarray()))
    found = fastest(graph)
    assert found.bound <= found.rho < t.second_largest_modulus(t.best_constant(graph)) - 1e-3
    assert found.rho - found.bound < 5e-4


@pytest.mark.slow
def test_a_learnt_schedule_leaves_what_its_product_leaves() -> None:
    rounds = 4
    learned = learned_sequence(GRID, rounds=rounds, steps=400)
    product = np.eye(9)
    for weights in learned.sequence:
        product = weights.to_scipy().toarray() @ product
    left = np.square(product - 1 / 9).sum() / 8
    assert left == pytest.approx(learned.left.min(), rel=1e-9)
    assert learned.left.shape == (401,)
    fast = np.linalg.matrix_power(fastest(GRID).weights.to_scipy().toarray(), rounds)
    assert left < np.square(fast - 1 / 9).sum() / 8 / 10
    with jax.enable_x64(True):
        schedule = jg.mixing.periodic(learned.sequence)
        x = jnp.eye(9)
        for number in range(rounds):
            x = schedule.at(jnp.int32(number), jax.random.key(0))(x)
    np.testing.assert_allclose(x, product, atol=1e-12)


STORED = {"edges": Edges(t.path(4)).ends, "fastest": np.full(3, 0.5), "schedule": np.full((2, 3), 0.5)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"edges": STORED["edges"][0]}, "w.npz: 'edges' has shape (2,), not (m, 2)"),
        ({"fastest": np.float64(1)}, "w.npz: 'fastest' has shape (), not (m,)"),
        ({"schedule": np.zeros((0, 3))}, "w.npz: 'schedule' has shape (0, 3), not (T, m)"),
        ({"schedule": np.zeros((2, 4))}, "w.npz: 'schedule' has 4 weights, not 3"),
        ({"schedule": np.array([[0.5, 0.5, np.nan]])}, "w.npz: schedule[0, 2] is nan, not a finite number"),
        ({"schedule": np.array([["a", "b", "c"]])}, "w.npz: 'schedule' holds <U1, not numbers"),
        ({"schedule": np.full((1, 3), 1e300)}, "w.npz: learned: row 0 of the weights sums to"),
        ({"schedule": np.array([[None, 1, 2]])}, "w.npz: the array 'schedule' cannot be read: it holds Python objects"),
        ({"edges": Edges(t.path(5)).ends}, "w.npz holds weights of another graph than path with 4 nodes"),
        ({"more": np.zeros(2)}, "w.npz has an unknown array 'more'"),
    ],
)
def test_a_file_of_weights_that_are_none_is_named_with_what_is_wrong(
    tmp_path: Path, changed: dict[str, np.ndarray], message: str
) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, **{**STORED, **changed})
    with pytest.raises(GraphError) as told:
        jg.mixing.from_file(t.path(4), path=path, which="schedule")
    assert message in told.value.message
    assert told.value.hint


def test_a_file_of_weights_has_two_sorts_of_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **STORED)
    W = jg.mixing.from_file(t.path(4), path=tmp_path / "w.npz")
    assert isinstance(W, jg.mixing.Operator)
    np.testing.assert_allclose(W.as_matrix()[0], [0.5, 0.5, 0, 0])
    with pytest.raises(InputError, match="from_file: which cannot be 'slowest'"):
        jg.mixing.from_file(t.path(4), path=tmp_path / "w.npz", which="slowest")  # pyright: ignore[reportArgumentType] - the point of the test


@pytest.mark.parametrize("graph", [t.static_exponential(8), t.complete(1)])
def test_graphs_without_free_weights_are_refused(graph: jg.topology.Graph) -> None:
    with pytest.raises(GraphError, match="weights cannot be learnt on"):
        fastest(graph)


@pytest.mark.by_default("50")
@pytest.mark.parametrize("steps", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_a_schedule_is_never_worse_than_metropolis_hastings(steps: int) -> None:
    """Two nodes agree at once under weights of 1/2, where the logarithm has no gradient."""
    pair = learned_sequence(t.path(2), rounds=1, steps=steps)
    np.testing.assert_allclose(pair.sequence[0].to_scipy().toarray(), 0.5, atol=1e-12)
    assert np.isfinite(pair.left).all()
    star = learned_sequence(t.star(9), rounds=3, steps=steps, learning_rate=5.0)  # it is thrown far away
    product = np.linalg.multi_dot([weights.to_scipy().toarray() for weights in star.sequence[::-1]])
    plain = np.linalg.matrix_power(t.metropolis_hastings(t.star(9)).to_scipy().toarray(), 3)
    assert np.linalg.norm(product - 1 / 9) <= np.linalg.norm(plain - 1 / 9) + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("graph", [t.path(2), t.path(8), t.ring(7), t.complete(5), GRID], ids=lambda graph: graph.name)
def test_the_fastest_weights_are_never_worse_than_those_of_the_rules(graph: jg.topology.Graph) -> None:
    found = fastest(graph, steps=1)
    for rule in (t.best_constant, t.metropolis_hastings):
        assert found.rho <= t.second_largest_modulus(rule(graph)) + 1e-12
    assert found.bound <= found.rho


@pytest.mark.slow
def test_progress_is_told_in_shares_that_grow_to_one_and_changes_nothing() -> None:
    heard: list[tuple[str, float]] = []
    graph = t.path(5)
    found = fastest(graph, progress=lambda phase, share: heard.append((phase, share)))
    learned = learned_sequence(graph, rounds=2, steps=300, progress=lambda phase, share: heard.append((phase, share)))
    for phase in ("fastest weights", "proof", "schedule"):
        shares = [share for name, share in heard if name == phase]
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert len(shares) > 3
    np.testing.assert_array_equal(found.weights.edge, fastest(graph).weights.edge)
    np.testing.assert_array_equal(learned.left, learned_sequence(graph, rounds=2, steps=300).left)


@pytest.mark.slow
def test_a_loop_in_chunks_takes_the_steps_of_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = learned_sequence(GRID, rounds=2, steps=60)
    monkeypatch.setattr("jaxgossip.mixing.optimized.loops.CHUNK_S", 0.0)  # a step a chunk
    np.testing.assert_array_equal(learned_sequence(GRID, rounds=2, steps=60).left, whole.left)


def test_few_eigenvectors_prove_what_all_prove(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = t.watts_strogatz(40, degree=4, beta=0.3, rng=1)
    W, ends = t.metropolis_hastings(graph).to_scipy().toarray(), Edges(graph).ends
    whole = rho_bound(W, ends)
    monkeypatch.setattr("jaxgossip.mixing.optimized.duality.COLUMNS", 4)
    assert rho_bound(W, ends) == pytest.approx(whole, abs=1e-7)
    assert rho_bound(W, ends, above=whole + 0.01) == whole + 0.01


def test_the_former_name_of_progress_is_refused_with_the_new_one() -> None:
    with pytest.raises(
        InputError, match=r"unexpected keyword argument 'told' \(fastest\(graph, \*, steps, progress\)\)"
    ):
        fastest(jg.topology.ring(8), told=print)
