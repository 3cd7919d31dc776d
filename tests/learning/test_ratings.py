"""Matrix factorisation with one user per node: its objective by hand, recovery of a low rank, private columns, files."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import DataError
from jaxgossip.learning import ratings
from jaxgossip.topology import Order

KEY = jax.random.key(0)
N, ITEMS, RANK = 5, 4, 2


def small(*, held_out=0.0, **options):
    options |= {"ratings_a_user": 4, "regularization": 0.3, "batch_size": 0, "held_out": held_out}
    return ratings(N, items=ITEMS, rank=RANK, **options)


def parts(row: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return b_i, q_i, p_u and b_u of a row, in the order of its layout, private columns last."""
    biases, factors, user, bias = np.split(row, [ITEMS, ITEMS * (1 + RANK), ITEMS * (1 + RANK) + RANK])
    return biases, factors.reshape(ITEMS, RANK), user, float(bias[0])


def of_user(task, node: int, *, test: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the items and ratings that a node's user trains on, or is tested on."""
    start, n_train, n_test = (
        int(table[node]) for table in (task._batches.start, task._batches.n_train, task._batches.n_test)
    )
    mine = np.asarray(task._batches.samples)[start + n_train * test : start + n_train + n_test * test]
    return np.asarray(task._table.x)[mine], np.asarray(task._table.y, np.float64)[mine]


def rows(task, n: int = N) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, task.n_params))


def test_rows_hold_items_first_and_their_user_last() -> None:
    task = small()
    assert task.n_shared == ITEMS * (1 + RANK)
    assert task.n_params == task.n_shared + RANK + 1
    assert task.evaluate(task.init(KEY)) == {}
    np.testing.assert_array_equal(task.sample_counts, [4] * N)


@pytest.mark.slow
def test_gradients_are_the_rule_of_a_users_ratings_and_touch_nothing_else() -> None:
    with jax.enable_x64(True):
        task = small(held_out=0.5, dtype=np.float64)
        x = rows(task)
        found = np.asarray(task.gradient(jnp.asarray(x), KEY))
        losses = np.asarray(task.loss_at(jnp.asarray(x), jnp.arange(N)))
    for node in range(N):
        b, q, p, c = parts(x[node])
        items, values = of_user(task, node)
        error = values - task.mean - c - b[items] - q[items] @ p
        squares = b[items] ** 2 + (q[items] ** 2).sum(1) + p @ p + c**2
        assert losses[node] == pytest.approx((error**2 / 2 + 0.15 * squares).mean(), rel=1e-12)
        db, dq, dp, dc = parts(found[node])
        for item in range(ITEMS):
            here = items == item
            share = here.sum() / items.size
            assert db[item] == pytest.approx(0.3 * b[item] * share - error[here].sum() / items.size, abs=1e-12)
            expected = 0.3 * q[item] * share - error[here].sum() / items.size * p
            np.testing.assert_allclose(dq[item], expected, rtol=1e-10, atol=1e-12)
            assert share > 0 or not dq[item].any()
        np.testing.assert_allclose(dp, 0.3 * p - (error[:, None] * q[items]).mean(0), rtol=1e-10)
        assert dc == pytest.approx(0.3 * c - error.mean(), rel=1e-10)


def test_the_error_is_that_on_the_users_own_held_out_ratings() -> None:
    task = small(held_out=0.5)
    x, nodes = rows(task, 7), np.array([0, 4, 2, 2, 1, 3, 0])
    found = np.asarray(jax.jit(task.evaluate_local)(jnp.asarray(x, jnp.float32), jnp.asarray(nodes))["rmse"])
    for j, node in enumerate(nodes):
        b, q, p, c = parts(x[j])
        items, values = of_user(task, node, test=True)
        assert found[j] == pytest.approx(
            np.sqrt(np.mean((values - task.mean - c - b[items] - q[items] @ p) ** 2)), rel=1e-4
        )
    assert small(held_out=0.0).evaluate_local(jnp.asarray(x, jnp.float32), jnp.asarray(nodes)) == {}


@pytest.mark.slow
def test_users_keep_their_numbers_whatever_the_order_of_rows() -> None:
    order = Order(np.array([2, 0, 4, 3, 1]))
    plain, ordered = small(), small(order=order)
    x = jnp.asarray(rows(plain), jnp.float32)
    np.testing.assert_allclose(ordered.gradient(x[order.nodes], KEY), plain.gradient(x, KEY)[order.nodes], rtol=1e-6)


def trained(n: int, **options):
    problem = ratings(n, items=8, rank=1, ratings_a_user=8, noise=0.0, regularization=0.0, held_out=0.25, **options)
    W = jg.mixing.uniform(jg.topology.complete(n))
    return jg.simulate(jg.algorithms.dsgd(problem, optax.sgd(0.5), W), rounds=400, evaluate_every=400, seed=0)


@pytest.mark.slow
def test_a_matrix_of_low_rank_is_recovered_though_nobody_shows_a_user() -> None:
    result = trained(24, batch_size=0)
    error = result.metrics["rmse_mean"]
    assert error[0] > 1
    assert error[-1] < 0.05
    assert not [name for name in result.metrics.names if name.startswith(("mean_model", "test_"))]
    x = np.asarray(result.state.x)
    n_shared = 8 * 2
    assert np.ptp(x[:, :n_shared], axis=0).max() < 1e-2  # items agree
    assert np.ptp(x[:, n_shared:], axis=0).min() > 0.1  # users are their own


def test_ratings_made_up_are_of_different_items_and_of_the_asked_spread() -> None:
    task = ratings(3000, items=50, rank=4, ratings_a_user=10, noise=0.0, held_out=0.0)
    items, values = np.asarray(task._table.x).reshape(3000, 10), np.asarray(task._table.y)
    assert (np.diff(np.sort(items, axis=1), axis=1) > 0).all()
    assert np.bincount(items.ravel(), minlength=50).min() > 400
    assert values.var() == pytest.approx(1.5, rel=0.5)  # b_u, b_i: 1/4 each, and the product: 1; 50 items vary
    again = ratings(3000, items=50, rank=4, ratings_a_user=10, noise=0.0, held_out=0.0)
    np.testing.assert_array_equal(task._table.y, again._table.y)
    other = ratings(3000, items=50, rank=4, ratings_a_user=10, noise=0.0, held_out=0.0, rng=1)
    assert not np.array_equal(task._table.y, other._table.y)


SIZES = "items, rank and ratings_a_user are at least 1, not "
NUMBERS = "ratings need noise, regularization and batch_size ≥ 0 and 0 ≤ held_out < 1, not "


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"items": 0}, SIZES + "0, 5 and 20"),
        ({"rank": 0}, SIZES + "100, 0 and 20"),
        ({"ratings_a_user": 101}, "nobody can rate 101 of 100 items (fewer ratings_a_user, more items)"),
        ({"held_out": 1.0}, NUMBERS + "0.1, 0.05, 1 and 1"),
        ({"noise": -1.0}, NUMBERS + "-1, 0.05, 1 and 0.2"),
    ],
)
def test_impossible_ratings_are_told(options: dict, message: str) -> None:
    with pytest.raises(DataError) as told:
        ratings(3, **options)
    assert str(told.value) == message


def test_a_file_has_one_user_a_node(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("ann,10,4\nbob,9,1.5\nann,9,2\nbob,10,5\nann,11,3\n")
    task = ratings(2, path=path, held_out=0.5, batch_size=0)
    np.testing.assert_array_equal(task.sample_counts, [2, 1])
    assert task.n_shared == 3 * (5 + 1)
    assert task.mean == pytest.approx(np.mean(np.concatenate([of_user(task, node)[1] for node in range(2)])))
    assert task.describe() == {
        "name": str(path),
        "users": 2,
        "items": 3,
        "training_ratings": 3,
        "test_ratings": 2,
        "mean": task.mean,
        "samples_a_node": (1, 1.5, 2),
        "notes": ("fields separated by commas, no line of names", "user: column 0, item: column 1, rating: column 2"),
    }
    with pytest.raises(DataError) as told:
        ratings(3, path=path)
    assert str(told.value) == f"{path}: 2 users, but 3 nodes (one user a node: topology.nodes = 2)"


@pytest.mark.parametrize(
    "options", [{"columns": ("user", "item", "rating")}, {"delimiter": ","}, {"duplicates": "last"}]
)
def test_what_is_said_of_a_file_needs_one(options: dict) -> None:
    with pytest.raises(DataError) as told:
        ratings(3, **options)
    assert str(told.value) == "columns, delimiter and duplicates are of a file of ratings (give its path)"


@pytest.mark.parametrize(
    ("ratings_a_user", "way_out"),
    [(1, "(more ratings a user)"), (3, "(held_out = 0.34, or more ratings a user)"), (4, "(held_out = 0.25, or")],
)
def test_a_share_that_holds_back_not_a_single_rating_is_refused(ratings_a_user: int, way_out: str) -> None:
    told = f"held_out = 0.2 leaves no user a rating to test on: the most that one has is {ratings_a_user} {way_out}"
    with pytest.raises(DataError, match=f"^{re.escape(told)}"):
        ratings(6, items=8, ratings_a_user=ratings_a_user)
    if ratings_a_user > 1:
        ratings(6, items=8, ratings_a_user=ratings_a_user, held_out=float(way_out.split()[2].strip(",")))
