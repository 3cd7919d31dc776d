"""Supervised problems: gradients and scores against NumPy float64, draws, private columns, a million nodes.

The platform canary is here too: jaxlib 0.10 computed wrong rows of batched products beyond 32,768 on CPU.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgossip.core.pytree import partition as split_arrays
from jaxgossip.core.random import NodeDraws
from jaxgossip.learning import classification, models
from jaxgossip.learning.device import integers_below
from jaxgossip.learning.partitions.rules import Partition, fixed_size, one_sample
from jaxgossip.learning.supervised import Supervised
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
    gradient_of,
    parameters_of,
    random_words,
    reference_gradient,
    rows,
    scores_and_gradient,
    scratch,
)


@pytest.mark.by_default("pegasos-float64", "logistic-float32")
@EACH_IN_ITS_TYPES
def test_gradients_over_all_samples_are_their_formula(name: str, dtype: type) -> None:
    classes, make = MODELS[name]
    data, model = dataset(classes), make(0.3)
    with jax.enable_x64(True):
        task = classification(data, UNEVEN, model, batch_size=0, dtype=dtype)
        x = rows(N, task.n_params, dtype)
        found = gradient_of(task, x)
        assert found.dtype == dtype
    expected = [reference_gradient(name, model, data, x[i].astype(np.float64), UNEVEN.train(i)) for i in range(N)]
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["pegasos", "softmax"])
def test_a_node_with_one_sample_needs_no_draw(name: str) -> None:
    classes, make = MODELS[name]
    data, model = dataset(classes), make(0.0)
    partition = one_sample(data.y_train, 30)
    task = classification(data, partition, model)
    x = rows(30, task.n_params, np.float32)
    found = gradient_of(task, x)
    expected = [reference_gradient(name, model, data, x[i].astype(np.float64), partition.train(i)) for i in range(30)]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(found, gradient_of(task, x, jax.random.key(1)))


@pytest.mark.by_default("squared-float64", "pegasos-float64", "logistic-float32")
@EACH_IN_ITS_TYPES
def test_scores_on_the_common_test_set_are_their_formula(name: str, dtype: type) -> None:
    classes, make = MODELS[name]
    data, model = dataset(classes), make(0.3)
    with jax.enable_x64(True):
        task = classification(data, UNEVEN, model, dtype=dtype)
        x = rows(6, task.n_params, dtype)
        found = jax.jit(task.evaluate)(jnp.asarray(x))
        assert {key: value.dtype for key, value in found.items()} == {"test_accuracy": dtype, "test_loss": dtype}
    for i in range(6):
        s, loss, _ = scores_and_gradient(
            name, parameters_of(model, x[i]), np.asarray(data.x_test, np.float64), np.asarray(data.y_test)
        )
        right = (s > 0 if s.ndim == 1 else s.argmax(1)) == data.y_test
        assert float(found["test_accuracy"][i]) == pytest.approx(right.mean(), abs=1e-6)
        assert float(found["test_loss"][i]) == pytest.approx(loss, rel=1e-12 if dtype == np.float64 else 2e-5)


def test_evaluation_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    task = classification(dataset(), UNEVEN, models.logistic((D,), 2))
    x, nodes = jnp.asarray(rows(23, task.n_params, np.float32)), jnp.asarray(np.arange(23) % N)
    whole, local = (jax.jit(method)(*of) for method, of in ((task.evaluate, (x,)), (task.evaluate_local, (x, nodes))))
    monkeypatch.setattr("jaxgossip.core.rows.BLOCK_BYTES", 5 * 7 * 16 * 4)  # five rows at a time
    # a new function each: what is compiled already must not be used again
    for name, values in jax.jit(lambda x: {**task.evaluate(x)})(x).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-6)
    again = jax.jit(lambda x: task.evaluate_local(x, nodes))(x)
    np.testing.assert_array_equal(again["local_accuracy"], local["local_accuracy"])


def test_local_accuracy_is_that_on_the_nodes_own_test_samples() -> None:
    data, model = dataset(), models.logistic((D,), 2)
    with jax.enable_x64(True):
        task = classification(data, UNEVEN, model)
        x, nodes = rows(40, task.n_params, np.float32), np.random.default_rng(0).integers(0, N, 40)
        found = jax.jit(task.evaluate_local)(jnp.asarray(x), jnp.asarray(nodes))["local_accuracy"]
        assert found.dtype == np.float32
    for row, node, accuracy in zip(x, nodes, np.asarray(found), strict=True):
        mine = UNEVEN.test(node)
        p = parameters_of(model, row)
        right = (data.x_train[mine] @ p["w"][:-1] + p["w"][-1] > 0) == data.y_train[mine]
        assert accuracy == right.mean() if mine.size else np.isnan(accuracy)


def test_without_local_tests_nothing_is_measured_on_nodes() -> None:
    task = classification(dataset(), one_sample(dataset().y_train, 5), models.logistic((D,), 2))
    assert task.evaluate_local(task.init(KEY), jnp.arange(5)) == {}


def counts(task: Supervised, key: jax.Array) -> np.ndarray:
    return gradient_of(task, np.zeros((task.n_nodes, M), np.float32), key) * task.batch_size


def test_draws_are_uniform_over_the_nodes_own_training_samples() -> None:
    drawn = counts(drawing_problem(16_384), KEY)
    for node in range(N):
        mine = UNEVEN.train(node)
        assert drawn[node].sum() == pytest.approx(16_384)
        assert set(np.flatnonzero(drawn[node])) == set(mine)
        assert stats.chisquare(drawn[node][mine]).pvalue > 1e-4 if len(mine) > 1 else True


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_gradient_draws_one_word_a_sample_and_none_where_there_is_no_choice(batch_size: int) -> None:
    task = drawing_problem(batch_size)
    assert random_words(task.gradient, jnp.zeros((N, M)), KEY) == 1
    assert f"shape=({N}, {batch_size})" in str(jax.make_jaxpr(task.gradient)(jnp.zeros((N, M)), KEY))
    for without in (drawing_problem(0), drawing_problem(1, one_sample(np.arange(M) % 2, N))):
        assert random_words(without.gradient, jnp.zeros((N, M)), KEY) == 0


def test_integers_are_words_modulo_their_bound_whatever_the_number_of_rows() -> None:
    bound = np.array([[1], [2], [7], [100_003], [2**31 - 1]], np.int32)
    words = np.asarray(jax.random.bits(KEY, (5, 3), jnp.uint32))
    found = integers_below(KEY, jnp.asarray(bound), NodeDraws(5), 3)
    np.testing.assert_array_equal(found, words % bound.astype(np.uint32))
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(integers_below(KEY, 7, NodeDraws(90), 3)[:5], words % 7)


def test_single_draws_are_uniform_over_keys_and_independent_between_nodes() -> None:
    partition = Partition(np.tile(np.arange(4), 2).astype(np.int32), np.array([0, 4, 8]), np.array([4, 4], np.int32))
    task = drawing_problem(1, partition)
    keys = jax.random.split(KEY, 4000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: task.gradient(jnp.zeros((2, M)), key)))(keys)).argmax(-1)
    together = np.bincount(drawn[:, 0] * 4 + drawn[:, 1], minlength=16)
    assert stats.chisquare(together).pvalue > 1e-4
    pairs = np.bincount(drawn[:-1, 0] * 4 + drawn[1:, 0], minlength=16)
    assert stats.chisquare(pairs).pvalue > 1e-4


def test_the_key_alone_decides_the_draws() -> None:
    task = drawing_problem(3)
    np.testing.assert_array_equal(counts(task, KEY), counts(task, KEY))
    assert not np.array_equal(counts(task, KEY), counts(task, jax.random.key(1)))
    np.testing.assert_array_equal(counts(task, KEY).sum(1), [3] * N)


@pytest.mark.by_default("0")
@pytest.mark.parametrize("batch_size", [0, 3])
def test_the_mean_gradient_is_the_mean_of_the_same_draws(batch_size: int) -> None:
    with jax.enable_x64(True):
        task = classification(dataset(), UNEVEN, models.logistic((D,), 2), batch_size=batch_size, dtype=np.float64)
        x = rows(1, task.n_params)
        found = jax.jit(task.mean_gradient)(jnp.asarray(x), KEY)
        expected = gradient_of(task, np.tile(x, (N, 1))).mean(0)
    assert found.shape == (1, task.n_params)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [0, 3])
def test_a_mean_gradient_in_blocks_is_the_same(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with jax.enable_x64(True):
        model = models.mlp((D,), 3, hidden=(5,), regularization=0.2)
        task = classification(dataset(3), UNEVEN, model, batch_size=batch_size, dtype=np.float64)
        x = jnp.asarray(rows(1, task.n_params))
        whole = task.mean_gradient(x, KEY)
        monkeypatch.setattr("jaxgossip.core.rows.BLOCK_BYTES", 1000)
        assert "scan" in str(jax.make_jaxpr(task.mean_gradient)(x, KEY))
        np.testing.assert_allclose(task.mean_gradient(x, KEY), whole, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [0, 5])
def test_gradients_in_blocks_are_the_same(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    n, data = 23, dataset(3)
    sizes = np.arange(n) % 4 + 1
    order = np.random.default_rng(1).integers(0, M, sizes.sum()).astype(np.int32)
    partition = Partition(order, np.concatenate([[0], sizes.cumsum()]), sizes.astype(np.int32))
    with jax.enable_x64(True):
        model = models.mlp((D,), 3, hidden=(5,), regularization=0.2)
        task = classification(data, partition, model, batch_size=batch_size, dtype=np.float64)
        x = rows(n, task.n_params)
        whole = gradient_of(task, x)
        monkeypatch.setattr("jaxgossip.core.rows.BLOCK_BYTES", 2**16)
        # a new function: what is compiled already must not be used again
        divided = jax.jit(lambda x: task.gradient(x, KEY))
        assert "scan" in str(divided.trace(x).jaxpr)
        np.testing.assert_allclose(divided(x), whole, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(divided(x), divided(x))


@pytest.mark.slow
def test_the_mean_gradient_never_holds_a_row_for_each_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxgossip.core.rows.BLOCK_BYTES", 2**20)
    n, data = 200_000, dataset(3)
    task = classification(data, one_sample(data.y_train, n), models.mlp((D,), 3))
    assert scratch(task.mean_gradient, jnp.zeros((1, task.n_params)), KEY) < 2**21 + 16 * n < 4 * n * task.n_params / 10


@pytest.mark.by_default("logistic")
@pytest.mark.parametrize("name", ["logistic", "mlp", "cnn"])
def test_memory_of_an_evaluation_does_not_grow_with_its_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxgossip.core.rows.BLOCK_BYTES", 2**18)
    data = dataset(2, d=16)
    model = models.MODELS[name]((16,), 2)
    task = classification(data, one_sample(data.y_train, 5), model)
    for s in (1000, 50_000):
        x = jax.ShapeDtypeStruct((s, task.n_params), jnp.float32)
        assert scratch(task.evaluate, x) < 2 * 2**18 + 16 * s


def test_other_names_for_the_nodes_give_other_rows_and_nothing_else() -> None:
    data, model, order = dataset(), models.logistic((D,), 2), np.array([2, 0, 3, 1])
    sizes = np.diff(UNEVEN.offsets)[order]
    renamed = Partition(
        np.concatenate([UNEVEN.order[UNEVEN.offsets[i] : UNEVEN.offsets[i + 1]] for i in order]),
        np.concatenate([[0], sizes.cumsum()]),
        UNEVEN.n_train[order],
    )
    task, other = (classification(data, partition, model, batch_size=0) for partition in (UNEVEN, renamed))
    x = rows(N, task.n_params, np.float32)
    np.testing.assert_allclose(gradient_of(other, x[order]), gradient_of(task, x)[order], rtol=1e-6)


def test_sample_counts_are_the_training_samples() -> None:
    task = classification(dataset(), UNEVEN, models.logistic((D,), 2))
    assert task.sample_counts.dtype == np.float32
    np.testing.assert_array_equal(task.sample_counts, [1, 2, 5, 1])
    assert (task.n_nodes, task.n_params, task.n_shared, task.dtype) == (N, D + 1, D + 1, np.float32)


@pytest.mark.slow
def test_starts_are_the_models_own_same_or_independent() -> None:
    model = models.from_functions(lambda key: jax.random.normal(key, (D,)), lambda w, x: x @ w, "hinge")
    same, own = (classification(dataset(), UNEVEN, model, init=init) for init in ("same", "independent"))
    together, apart = np.asarray(same.init(KEY)), np.asarray(own.init(KEY))
    np.testing.assert_array_equal(together, np.tile(model.init(KEY), (N, 1)))
    assert len({row.tobytes() for row in apart}) == N
    # the start of a node does not depend on how many others there are
    more = classification(dataset(), one_sample(dataset().y_train, 9), model, init="independent")
    np.testing.assert_array_equal(np.asarray(more.init(KEY))[:N], apart)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_starts_have_the_models_type(dtype: type) -> None:
    with jax.enable_x64(True):
        for init in ("same", "independent"):
            task = classification(dataset(), UNEVEN, models.logistic((D,), 2), init=init, dtype=dtype)
            assert jax.eval_shape(task.init, KEY).dtype == dtype


@pytest.mark.slow
def test_private_columns_come_last_and_change_nothing_else() -> None:
    data, model = dataset(3), models.mlp((D,), 3, hidden=(5,), regularization=0.2)
    plain = classification(data, UNEVEN, model, batch_size=0)
    task = classification(data, UNEVEN, model, batch_size=0, private=("b0", "w1"))
    assert task.n_params == plain.n_params == D * 5 + 5 + 5 * 3 + 3
    assert task.n_shared == D * 5 + 3
    # where the columns of b0, b1, w0, w1 (the plain order) are, and where the private ones belong
    places = np.split(np.arange(task.n_params), np.cumsum([5, 3, D * 5]))
    order = np.concatenate([places[1], places[2], places[0], places[3]])
    np.testing.assert_array_equal(task.init(KEY), np.asarray(plain.init(KEY))[:, order])
    x = rows(N, task.n_params, np.float32)
    np.testing.assert_allclose(gradient_of(task, x[:, order]), gradient_of(plain, x)[:, order], rtol=1e-5, atol=1e-6)
    losses = [jax.jit(one.evaluate)(jnp.asarray(y))["test_loss"] for one, y in ((task, x[:, order]), (plain, x))]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_a_million_nodes_share_one_table_of_samples() -> None:
    n, data = 1_000_000, dataset()
    task = classification(data, one_sample(data.y_train, n), models.logistic((D,), 2))
    held = sum(array.nbytes for array in vars(task).values() if isinstance(array, jax.Array | np.ndarray))
    samples = data.y_train.size + data.y_test.size
    assert held <= samples * (D + 1 + 1) * 4 + 20 * n  # features, the constant one of the bias, and the label


# The canary: N beyond 32,768 and odd, three parameters.
LARGE = pytest.mark.parametrize("n", [32_769, 40_001])


@LARGE
def test_the_platform_multiplies_many_small_matrices_rightly(n: int) -> None:
    matrix, x = rows(3, 3, np.float32), rows(n, 3, np.float32)
    found = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.asarray(matrix) @ row) ** 2)))(x)
    expected = ((x.astype(np.float64) @ matrix.T.astype(np.float64)) ** 2).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.by_default("1-32769", "1-40001")
@LARGE
@pytest.mark.parametrize("batch_size", [0, 1])
def test_gradients_of_very_many_nodes_are_their_formula(n: int, batch_size: int) -> None:
    data = dataset(d=2)
    partition = fixed_size(data.y_train, n, samples=3 if batch_size == 0 else 1)
    task = classification(data, partition, models.logistic((2,), 2, regularization=0.1), batch_size=batch_size)
    x = rows(n, 3, np.float32)
    found = gradient_of(task, x)
    mine = partition.order.reshape(n, -1)
    features, sign, wide = data.x_train.astype(np.float64)[mine], 2.0 * data.y_train[mine] - 1, x.astype(np.float64)
    s = np.einsum("nbd,nd->nb", features, wide[:, :-1]) + wide[:, -1:]
    slope = -sign / (1 + np.exp(sign * s)) / mine.shape[1]
    expected = np.concatenate([np.einsum("nbd,nb->nd", features, slope), slope.sum(1, keepdims=True)], 1) + 0.1 * wide
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@LARGE
def test_scores_of_very_many_nodes_are_their_formula(n: int) -> None:
    data = dataset(d=2)
    task = classification(data, UNEVEN, models.logistic((2,), 2))
    x = rows(n, 3, np.float32)
    found = jax.jit(task.evaluate)(jnp.asarray(x))
    wide = x.astype(np.float64)
    s = wide[:, :-1] @ data.x_test.T.astype(np.float64) + wide[:, -1:]
    sign = 2.0 * data.y_test - 1
    np.testing.assert_allclose(found["test_loss"], np.log(1 + np.exp(-sign * s)).mean(1), rtol=1e-4)
    clear = (np.abs(s) > 1e-5).all(1)
    np.testing.assert_allclose(np.asarray(found["test_accuracy"])[clear], (s * sign > 0).mean(1)[clear], rtol=1e-6)


def test_divisions_of_one_table_share_programs_whatever_the_largest_node_has() -> None:
    """Replicas of other seeds divide it otherwise; losses over all samples are padded to powers of two."""
    data, model = dataset(2), models.logistic((D,), 2)
    order = np.arange(M, dtype=np.int32)
    divisions = [
        Partition(order, np.cumsum([0, *sizes]), np.array(sizes, np.int32)) for sizes in ([6, 2, 2, 2], [8, 2, 1, 1])
    ]
    one, other = (split_arrays(classification(data, each, model, batch_size=2))[1] for each in divisions)
    assert one == other
