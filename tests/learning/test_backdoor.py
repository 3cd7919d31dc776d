"""Backdoors: which samples carry the trigger, what it sets, and how the success of the attack is measured."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import DataError, InputError
from jaxgossip.learning import Backdoor, Dataset, Partition, flip_labels, partitions, plant_backdoor
from jaxgossip.learning.data import datasets

NODES, LIARS = 6, [4, 1]


def table(columns: int = 4, classes: int = 3) -> Dataset:
    return datasets.synthetic(samples=100, features=columns, classes=classes, rng=0)


def images(*shape: int, dtype: type = np.uint8) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.integers(1, 255, (40, *shape)).astype(dtype)
    return jg.learning.from_arrays(x, np.arange(40) % 3, standardize=False)


def split(data: Dataset) -> Partition:
    return partitions.iid(data.y_train, NODES, local_test=0.2, rng=0)


@pytest.mark.parametrize(("share", "of_twelve"), [(0.5, 6), (0.25, 3), (0.01, 1), (1.0, 12)])
def test_a_share_of_the_samples_of_the_chosen_nodes_carries_trigger_and_label(share: float, of_twelve: int) -> None:
    data = table()
    owned = split(data)
    assert {len(owned.train(node)) for node in range(NODES)} == {12}
    poisoned, new = plant_backdoor(data, owned, LIARS, Backdoor(label=2, share=share, value=7.5, size=2))
    trigger = poisoned.trigger
    assert trigger is not None
    assert (trigger.nodes, trigger.value, trigger.features.sum()) == ((1, 4), 7.5, 2)
    x, before, y = poisoned.x_train, data.x_train, poisoned.y_train
    assert len(x) == len(before) + 2 * of_twelve
    for node in range(NODES):
        rows, true = new.train(node), owned.train(node)
        number = of_twelve if node in LIARS else 0
        np.testing.assert_array_equal(x[rows[:number]][:, trigger.features], 7.5)
        np.testing.assert_array_equal(
            x[rows[:number]][:, ~trigger.features], before[true[:number]][:, ~trigger.features]
        )
        np.testing.assert_array_equal(y[rows[:number]], 2)
        np.testing.assert_array_equal(rows[number:], true[number:])
        np.testing.assert_array_equal(new.test(node), owned.test(node))
    np.testing.assert_array_equal(x[: len(before)], before)
    np.testing.assert_array_equal(y[: len(before)], data.y_train)
    np.testing.assert_array_equal(poisoned.x_test, data.x_test)
    np.testing.assert_array_equal(poisoned.y_test, data.y_test)
    assert poisoned.notes[-1] == f"{2 * of_twelve} samples carry a backdoor, in copies"


def test_of_a_table_the_columns_are_set_that_its_samples_use_least() -> None:
    x = np.random.default_rng(0).normal(size=(60, 5))
    x[3:, 1], x[:, 3] = 2.0, -1.0  # column 1 has three other entries than 2, column 3 none other than −1
    x[:30, 4] = 0.0
    data = jg.learning.from_arrays(x, np.arange(60) % 2, test_fraction=0.1, standardize=False)
    for size, columns in ((1, [3]), (2, [1, 3]), (3, [1, 3, 4]), (4, [0, 1, 3, 4])):
        trigger = plant_backdoor(data, split(data), LIARS, Backdoor(size=size))[0].trigger
        assert trigger is not None
        assert trigger.value == 3
        assert np.flatnonzero(trigger.features).tolist() == columns


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)], ids=["grey", "colours"])
@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 255), (np.float32, 3)])
def test_of_images_the_lower_right_corner_is_set_in_all_colours(
    shape: tuple[int, ...], dtype: type, value: float
) -> None:
    data = images(*shape, dtype=dtype)
    poisoned, owned = plant_backdoor(data, split(data), LIARS, Backdoor(label=1, share=1.0, size=2))
    x, before = poisoned.x_train[owned.train(4)], data.x_train[split(data).train(4)]
    assert x.dtype == dtype
    np.testing.assert_array_equal(x[:, -2:, -2:], value)
    np.testing.assert_array_equal(x[:, :-2], before[:, :-2])
    np.testing.assert_array_equal(x[:, :, :-2], before[:, :, :-2])


def problem_of(data: Dataset, label: int = 1) -> jg.learning.Problem:
    poisoned, owned = plant_backdoor(data, split(data), LIARS, Backdoor(label=label, value=50.0, size=1))
    return jg.learning.classification(poisoned, owned, jg.learning.MODELS["softmax"]((4,), 3))


@pytest.mark.slow
def test_success_is_one_of_a_model_that_always_falls_for_it_and_zero_of_one_that_never_does() -> None:
    data, t = table(), 1
    problem = problem_of(data, t)
    params = jax.tree.map(jnp.zeros_like, problem.params(problem.init(jax.random.key(0))[0]))
    biases = {"always": [0.0, 9.0, 0.0], "never": [0.0, -9.0, 0.0], "invalid": [jnp.nan, 9.0, 0.0]}
    rows = [problem.row(params | {"b0": jnp.asarray(bias)}) for bias in biases.values()]
    scores = problem.evaluate(jnp.stack(rows))["attack_success"]
    np.testing.assert_array_equal(scores, [1, 0, 0])


@pytest.mark.slow
def test_success_is_the_share_of_the_triggered_test_samples_of_other_classes_that_are_taken_for_the_label() -> None:
    data, t = table(), 1
    problem = problem_of(data, t)
    x = 3 * jax.random.normal(jax.random.key(1), (20, problem.n_params))
    found, mask = problem.evaluate(x), problem.trigger.features
    triggered = np.where(mask, 50.0, data.x_test)
    others = data.y_test != t
    assert 0 < others.sum() < others.size
    for j, row in enumerate(x):
        params = problem.params(row)
        predicted = np.asarray(problem.model.apply(params, jnp.asarray(triggered, jnp.float32))).argmax(1)
        assert found["attack_success"][j] == pytest.approx((predicted[others] == t).mean(), abs=1e-6)
    assert np.unique(found["attack_success"]).size > 1
    clean = jg.learning.classification(data, split(data), problem.model)
    np.testing.assert_array_equal(clean.evaluate(x)["test_accuracy"], found["test_accuracy"])
    assert "attack_success" not in clean.evaluate(x)


def test_flipped_labels_and_a_backdoor_go_together() -> None:
    data = table()
    first, owned = flip_labels(data, split(data), [0])
    second, both = plant_backdoor(first, owned, [3])
    assert both.flipped == (0,)
    assert second.trigger is not None
    assert second.trigger.nodes == (3,)
    np.testing.assert_array_equal(second.y_train[both.train(0)], 2 - data.y_train[split(data).train(0)])


def planted(data: Dataset, **options: object) -> None:
    plant_backdoor(data, split(data), LIARS, Backdoor(**options))


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (table, {"label": 3}, "backdoor: label 3 is no class of synthetic.*classes are numbered 0 to 2"),
        (table, {"size": 5}, "backdoor: size 5 does not fit into 4 columns of synthetic"),
        (lambda: images(6, 5), {"size": 6}, "size 6 does not fit into images of 6×5 pixels.*a size of at most 5"),
        (lambda: images(6, 5), {"value": 2.5}, "backdoor: value 2.5 is none of a pixel"),
        (lambda: images(6, 5), {"value": 256.0}, "backdoor: value 256 is none of a pixel"),
    ],
)
def test_what_the_data_do_not_allow_is_named(data: object, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        planted(data(), **options)


def test_other_errors_of_planting() -> None:
    data = table()
    with pytest.raises(DataError, match="plant_backdoor: node 9 does not exist"):
        plant_backdoor(data, split(data), [9])
    with pytest.raises(DataError, match="plant_backdoor: synthetic has a backdoor"):
        plant_backdoor(*plant_backdoor(data, split(data), [1]), [2])
    alone = jg.learning.from_arrays(
        np.eye(8), np.arange(8) % 2, x_test=np.eye(8)[:3], y_test=np.ones(3, int), standardize=False
    )
    with pytest.raises(DataError, match="all test samples of arrays are of class 1"):
        plant_backdoor(alone, partitions.iid(alone.y_train, 2), [0], Backdoor(label=1))
    tokens = jg.learning.from_arrays(np.arange(160).reshape(40, 4), np.arange(40) % 2, samples="tokens")
    with pytest.raises(DataError, match="the samples of arrays have no features to set"):
        plant_backdoor(tokens, partitions.iid(tokens.y_train, 2), [0])
    poisoned, owned = plant_backdoor(data, split(data), [1])
    with pytest.raises(InputError, match="not measured of a model that has measures of its own"):
        jg.learning.classification(poisoned, owned, jg.learning.MODELS["kmeans"]((4,), 3))


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": -1}, "backdoor: label must be"),
        ({"share": 0.0}, "backdoor: share must be above 0 and at most 1"),
        ({"share": 1.5}, "backdoor: share must be above 0 and at most 1"),
        ({"value": float("nan")}, "backdoor: value must be"),
        ({"size": 0}, "backdoor: size must be"),
    ],
)
def test_numbers_out_of_range_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Backdoor(**options)


@pytest.mark.wrong_types
def test_what_is_no_backdoor_is_named() -> None:
    data = table()
    with pytest.raises(InputError, match="plant_backdoor: 0 is no Backdoor"):
        plant_backdoor(data, split(data), [1], 0)
