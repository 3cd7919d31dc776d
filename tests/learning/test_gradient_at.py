"""Gradients and losses of some nodes: equal to those of all nodes and to NumPy's, with draws by number only, uniform."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgossip.core.random import pair_words
from jaxgossip.learning import DifferentialPrivacy, classification, isotropic_quadratic, least_squares, models
from jaxgossip.learning.device import integers_at, normal_at
from jaxgossip.learning.partitions.rules import one_sample
from jaxgossip.theory.measuring import OneSample
from jaxgossip.topology import Order
from tests.learning.cases import (
    EACH_IN_ITS_TYPES,
    KEY,
    MODELS,
    UNEVEN,
    D,
    M,
    N,
    dataset,
    drawing_problem,
    parameters_of,
    random_words,
    reference_gradient,
    rows,
    scores_and_gradient,
    scratch,
)

PRIVACY = DifferentialPrivacy(clip=0.5, noise_multiplier=0.8)
NODES = np.array([3, 0, 2, 2, 1, 3, 0], np.int32)
NUMBERS = np.array([7, 2**32 - 1, 0, 5, 1, 123_456, 99], np.uint32)


def task_of(**options: Any) -> Any:
    return classification(dataset(3), UNEVEN, models.softmax((D,), 3, regularization=0.2), **options)


PROBLEMS: dict[str, Callable[[], Any]] = {
    "one sample": lambda: classification(dataset(), one_sample(dataset().y_train, N), models.pegasos((D,), 2)),
    "minibatch of one": lambda: task_of(batch_size=1),
    "minibatch": lambda: task_of(batch_size=3),
    "all samples": lambda: task_of(batch_size=0),
    "private": lambda: task_of(batch_size=3, privacy=PRIVACY),
    "private, all samples": lambda: task_of(batch_size=0, privacy=PRIVACY),
    "ordered": lambda: task_of(batch_size=3, order=Order(np.array([1, 3, 2, 0]))),
    "isotropic": lambda: isotropic_quadratic(N, dimension=3),
    "least squares": lambda: least_squares(N, dimension=3, samples=4),
    "least squares, minibatch": lambda: least_squares(N, dimension=3, samples=4, batch_size=3),
    "fresh samples": lambda: OneSample(N, 3),
}
EACH = pytest.mark.parametrize("name", PROBLEMS)
DRAWS_NOTHING = ["one sample", "all samples", "least squares"]


def at(task: Any, x: np.ndarray, nodes: np.ndarray = NODES, numbers: np.ndarray = NUMBERS, key: Any = KEY) -> Any:
    found = jax.jit(task.gradient_at)(jnp.asarray(x), jnp.asarray(nodes), key, jnp.asarray(numbers))
    return np.asarray(found)


@pytest.mark.by_default("one sample")
@pytest.mark.parametrize("name", DRAWS_NOTHING)
def test_without_draws_they_are_the_gradients_of_all_nodes(name: str) -> None:
    task = PROBLEMS[name]()
    x = rows(N, task.n_params, np.float32)
    every = np.asarray(jax.jit(task.gradient)(jnp.asarray(x), KEY))
    np.testing.assert_allclose(at(task, x[NODES]), every[NODES], rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@EACH_IN_ITS_TYPES
def test_over_all_samples_gradients_and_losses_are_their_formulas(name: str, dtype: type) -> None:
    classes, make = MODELS[name]
    data, model = dataset(classes), make(0.3)
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 2e-5, "atol": 2e-5}
    with jax.enable_x64(True):
        task, drawn = (classification(data, UNEVEN, model, batch_size=size, dtype=dtype) for size in (0, 2))
        x = rows(NODES.size, task.n_params, dtype)
        found = at(task, x)
        losses = [jax.jit(one.loss_at)(jnp.asarray(x), jnp.asarray(NODES)) for one in (task, drawn)]
        assert found.dtype == losses[0].dtype == dtype
    wide = x.astype(np.float64)
    expected = [reference_gradient(name, model, data, wide[j], UNEVEN.train(i)) for j, i in enumerate(NODES)]
    np.testing.assert_allclose(found, expected, **tolerance)
    for j, node in enumerate(NODES):
        mine = UNEVEN.train(node)
        samples = np.asarray(data.x_train, np.float64)[mine], np.asarray(data.y_train)[mine]
        loss = scores_and_gradient(name, parameters_of(model, x[j]), *samples)[1] + 0.3 / 2 * (wide[j] @ wide[j])
        np.testing.assert_allclose([one[j] for one in losses], loss, **tolerance)


@pytest.mark.by_default("least squares")
@EACH
def test_an_entry_is_a_function_of_its_own_row_node_and_number(name: str) -> None:
    task = PROBLEMS[name]()
    x = rows(NODES.size, task.n_params, np.float32)
    whole, turn = at(task, x), np.random.default_rng(0).permutation(NODES.size)
    np.testing.assert_allclose(at(task, x[turn], NODES[turn], NUMBERS[turn]), whole[turn], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(at(task, x[2:4], NODES[2:4], NUMBERS[2:4]), whole[2:4], rtol=1e-6, atol=1e-6)
    same, node = np.repeat(x[:1], NODES.size, 0), np.full(NODES.size, 2, np.int32)
    alike = at(task, same, node, np.repeat(NUMBERS[:1], NODES.size))
    np.testing.assert_allclose(alike, np.repeat(alike[:1], NODES.size, 0), rtol=1e-6, atol=1e-6)
    apart = [at(task, same, node, NUMBERS, key) for key in (KEY, jax.random.key(1))]
    draws = name not in DRAWS_NOTHING
    assert (len(np.unique(apart[0], axis=0)) > 1) == draws
    assert (np.abs(apart[0] - apart[1]).max() > 1e-6) == draws


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [0, 3])
def test_nodes_are_named_by_their_rows(batch_size: int) -> None:
    order = Order(np.array([1, 3, 2, 0]))
    plain, ordered = (task_of(batch_size=batch_size, order=one) for one in (None, order))
    x = rows(NODES.size, plain.n_params, np.float32)
    np.testing.assert_allclose(at(ordered, x, order.rows[NODES]), at(plain, x), rtol=1e-6, atol=1e-6)
    losses = ordered.loss_at(jnp.asarray(x), jnp.asarray(order.rows[NODES]))
    np.testing.assert_allclose(losses, plain.loss_at(jnp.asarray(x), jnp.asarray(NODES)), rtol=1e-6)


@pytest.mark.by_default("isotropic", "ordered")
@EACH
def test_types_and_shapes_are_those_of_the_rows(name: str) -> None:
    task = PROBLEMS[name]()
    x = jnp.asarray(rows(NODES.size, task.n_params, np.float32)).astype(jnp.float16)
    found = jax.eval_shape(task.gradient_at, x, NODES, KEY, NUMBERS)
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    assert jax.eval_shape(task.loss_at, x, NODES).shape == NODES.shape


def test_minibatches_are_uniform_over_the_nodes_own_training_samples() -> None:
    task, zeros = drawing_problem(3), np.zeros((6000, M), np.float32)
    for node in range(N):
        numbers = np.arange(6000, dtype=np.uint32)
        drawn = np.rint(3 * at(task, zeros, np.full(6000, node, np.int32), numbers)).astype(int)
        mine = UNEVEN.train(node)
        assert (drawn.sum(1) == 3).all()
        assert set(np.flatnonzero(drawn.sum(0))) == set(mine)
        assert len(mine) == 1 or stats.chisquare(drawn.sum(0)[mine]).pvalue > 1e-4
        if len(mine) > 1:  # the three are independent: how often a sample occurs is binomial
            often = np.bincount(drawn[:, mine[0]], minlength=4)
            assert stats.chisquare(often, 6000 * stats.binom.pmf(np.arange(4), 3, 1 / len(mine))).pvalue > 1e-4


@pytest.mark.slow
def test_integers_are_the_words_of_their_numbers_modulo_their_bound() -> None:
    bound = np.array([1, 2, 7, 100_003, 2**31 - 1, 5, 9], np.int32)
    found = np.asarray(integers_at(KEY, jnp.asarray(bound), jnp.asarray(NUMBERS), 3))
    assert found.dtype == np.int32
    numbers = jnp.asarray(NUMBERS)
    (a, c), (b, _) = (pair_words(KEY, numbers, jnp.full_like(numbers, column)) for column in (0, 1))
    words = np.stack([np.asarray(a), np.asarray(b), np.asarray(c)], 1)
    np.testing.assert_array_equal(found, words % bound[:, None].astype(np.uint32))
    np.testing.assert_array_equal(integers_at(KEY, 7, numbers[2:], 1)[:, 0], words[2:, 0] % 7)


def test_noise_by_numbers_is_normal_and_independent() -> None:
    noise = np.asarray(normal_at(KEY, jnp.arange(4000, dtype=jnp.uint32), 3, np.float32))
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 4.5 / np.sqrt(4000)
    assert abs((noise[1:] * noise[:-1]).mean()) < 4.5 / np.sqrt(noise.size)


@pytest.mark.slow
def test_private_gradients_of_all_samples_are_clipped_and_noisy_by_the_number() -> None:
    task, quiet = (task_of(batch_size=0, privacy=DifferentialPrivacy(0.5, z)) for z in (0.8, 0.0))
    n, node = 3000, 2
    x = np.repeat(rows(1, task.n_params, np.float32), n, 0)
    noisy = at(task, x, np.full(n, node, np.int32), np.arange(n, dtype=np.uint32))
    exact = np.asarray(jax.jit(quiet.gradient)(jnp.asarray(x[:N]), KEY))[node]
    noise = (noisy - exact) * task.sample_counts[node] / (0.8 * 0.5)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-4


@pytest.mark.by_default("isotropic")
@pytest.mark.parametrize("name", ["isotropic", "least squares", "fresh samples"])
def test_gradients_of_losses_of_quadratics_are_their_gradients(name: str) -> None:
    with jax.enable_x64(True):
        task = {
            "isotropic": lambda: isotropic_quadratic(N, dimension=3, curvature=2.5, noise=0.0, dtype=np.float64),
            "least squares": lambda: least_squares(N, dimension=3, samples=4, dtype=np.float64),
            "fresh samples": lambda: OneSample(N, 3),
        }[name]()
        x, nodes = jnp.asarray(rows(NODES.size, 3)), jnp.asarray(NODES)
        slope = jax.grad(lambda x: task.loss_at(x, nodes).sum())(x)
        found = task.gradient_at(x, nodes, KEY, jnp.asarray(NUMBERS)) if name != "fresh samples" else x
        np.testing.assert_allclose(found, slope, rtol=1e-12)


def test_the_least_squares_minibatch_is_of_the_nodes_own_rows() -> None:
    task = least_squares(N, dimension=3, samples=4, batch_size=3)
    x = rows(NODES.size, 3, np.float32)
    rank = np.asarray(integers_at(KEY, 4, jnp.asarray(NUMBERS), 3))
    a, y = (np.asarray(table, np.float64)[NODES[:, None], rank] for table in (task.a, task.y))
    expected = np.einsum("nbd,nb->nd", a, np.einsum("nbd,nd->nb", a, x) - y) / 3
    np.testing.assert_allclose(at(task, x), expected, rtol=1e-5, atol=1e-5)


def test_a_gradient_of_some_draws_no_more_than_it_needs() -> None:
    x = jnp.zeros((NODES.size, M))
    for batch_size, blocks_drawn in ((1, 1), (3, 2)):
        text = str(jax.make_jaxpr(drawing_problem(batch_size).gradient_at)(x, NODES, KEY, NUMBERS))
        assert text.count("threefry2x32") == 1
        assert f"u32[{NODES.size},{blocks_drawn}]" in text
    one_each = drawing_problem(1, one_sample(np.arange(M) % 2, N))
    assert "threefry" not in str(jax.make_jaxpr(one_each.gradient_at)(x, NODES, KEY, NUMBERS))
    assert random_words(one_each.gradient_at, x, NODES, KEY, NUMBERS) == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradient_at", "loss_at"])
def test_memory_does_not_grow_with_the_samples_of_all_that_are_asked(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxgossip.core.rows.BLOCK_BYTES", 2**18)
    task = task_of(batch_size=0)
    for b in (1000, 50_000):
        x, nodes = jax.ShapeDtypeStruct((b, task.n_params), jnp.float32), jax.ShapeDtypeStruct((b,), jnp.int32)
        numbers = jax.ShapeDtypeStruct((b,), jnp.uint32)
        of = (x, nodes, KEY, numbers) if method == "gradient_at" else (x, nodes)
        # the numbers of the samples, and which count, stand for all
        assert scratch(getattr(task, method), *of) < 2 * 2**18 + 5 * 5 * b + 4 * b * task.n_params + 64 * b
