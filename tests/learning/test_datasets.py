"""Data sets: split, standardisation, labels, synthetic classes, and errors about unusable data."""

import math
import sys
from importlib import resources

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from jaxgossip.core.errors import DataError
from jaxgossip.learning import DATASETS
from jaxgossip.learning.data.datasets import Dataset, breast_cancer, digits, from_arrays, spambase, synthetic


def table(m: int = 50, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(m)
    return rng.normal(3, 5, size=(m, d)).astype(np.float32), np.arange(m) % 3


def test_spambase_is_the_published_table() -> None:
    data = spambase(standardize=False)
    assert data.x_train.shape == (4140, 57)
    assert data.x_test.shape == (461, 57)
    assert data.n_classes == 2
    assert data.y_train.sum() + data.y_test.sum() == 1813
    everything = np.concatenate([data.x_train, data.x_test]).astype(np.float64)
    # the documentation of the data set gives these means: word frequency of "make" and total capital run length
    np.testing.assert_allclose(everything.mean(0)[[0, 56]], [0.10455, 283.29], rtol=1e-4)
    credit = (resources.files("jaxgossip.learning") / "data" / "CREDITS").read_text()
    assert "Hopkins" in credit
    assert "CC BY 4.0" in credit


@pytest.mark.parametrize(("builder", "shape", "classes"), [(digits, (8, 8), 10), (breast_cancer, (30,), 2)])
def test_data_of_scikit_learn(builder, shape: tuple[int, ...], classes: int) -> None:
    pytest.importorskip("sklearn")
    data = builder()
    assert data.x_train.shape[1:] == shape
    assert data.n_classes == classes
    assert set(np.unique(data.y_train)) == set(range(classes))


KINDS = {"mnist_10k": np.uint8, "shakespeare": np.int32}


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_data_set_has_its_kind_of_samples_and_follows_its_seed(name: str) -> None:
    if name in ("digits", "breast_cancer"):
        pytest.importorskip("sklearn")
    first, again, other = DATASETS[name](rng=1), DATASETS[name](rng=np.random.default_rng(1)), DATASETS[name](rng=2)
    for part in ("x_train", "x_test"):
        assert getattr(first, part).dtype == KINDS.get(name, np.float32)
        np.testing.assert_array_equal(getattr(first, part), getattr(again, part))
    assert first.y_train.dtype == first.y_test.dtype == np.int32
    assert first.name == name
    assert not np.array_equal(first.y_train, other.y_train)


def test_standardisation_uses_training_rows_only() -> None:
    x, y = table()
    x[np.arange(0, 50, 7)] += 1000  # outliers that fall into training and test
    raw, data = from_arrays(x, y, standardize=False, rng=5), from_arrays(x, y, rng=5)
    train = raw.x_train.astype(np.float64)
    mean, deviation = train.mean(0), np.sqrt(((train - train.mean(0)) ** 2).mean(0))
    np.testing.assert_allclose(data.x_train, (train - mean) / deviation, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.x_test, (raw.x_test - mean) / deviation, rtol=1e-5, atol=1e-6)
    assert not np.allclose(data.x_test.mean(0), 0, atol=1e-3)


def test_features_constant_in_training_become_zero_and_stay_finite() -> None:
    x, y = table(30)
    x[:, 1] = 0.1  # a mean of many 0.1 is not exactly 0.1
    raw = from_arrays(x, y, standardize=False, rng=0)
    lonely = np.flatnonzero((x == raw.x_test[0]).all(1))
    x[:, 2] = 7
    x[lonely, 2] = 8  # varies in the test set alone
    data = from_arrays(x, y, rng=0)
    for part in (data.x_train, data.x_test):
        np.testing.assert_array_equal(part[:, [1, 2]], 0)
        assert np.isfinite(part).all()


def test_each_pixel_is_standardised_by_itself() -> None:
    images = np.random.default_rng(0).normal(size=(40, 3, 3)) * np.arange(1, 10).reshape(3, 3)
    data = from_arrays(images, np.arange(40) % 2)
    np.testing.assert_allclose(data.x_train.mean(0), np.zeros((3, 3)), atol=1e-6)
    np.testing.assert_allclose(data.x_train.std(0), np.ones((3, 3)), rtol=1e-5)


@pytest.mark.parametrize(
    ("m", "fraction", "expected"),
    [(4601, 0.1, 461), (10, 0.1, 1), (11, 0.1, 2), (100, 0.07, 7), (4, 0.5, 2), (1000, 0.001, 1), (30, 0.9, 27)],
)
def test_the_test_set_is_rounded_up_to_whole_samples(m: int, fraction: float, expected: int) -> None:
    data = from_arrays(np.arange(m)[:, None], np.arange(m) % 2, test_fraction=fraction)
    assert len(data.y_test) == expected
    assert len(data.y_train) == m - expected


@settings(deadline=None, max_examples=30)
@given(m=st.integers(4, 60), fraction=st.floats(0.01, 0.7), seed=st.integers(0, 99))
def test_every_sample_is_in_one_of_the_two_sets_with_its_own_label(m: int, fraction: float, seed: int) -> None:
    y = np.arange(m) * 7 % 3
    data = from_arrays(np.arange(m)[:, None], y, test_fraction=fraction, standardize=False, rng=seed)
    x = np.concatenate([data.x_train, data.x_test])[:, 0].astype(int)
    np.testing.assert_array_equal(np.sort(x), np.arange(m))
    np.testing.assert_array_equal(np.concatenate([data.y_train, data.y_test]), y[x])


def test_the_split_is_random() -> None:
    counts = np.zeros(20)
    for seed in range(300):
        data = from_arrays(np.arange(20)[:, None], np.arange(20) % 2, test_fraction=0.25, standardize=False, rng=seed)
        counts[data.x_test[:, 0].astype(int)] += 1
    # each sample is tested on 75 of 300 times, standard deviation 7.5
    assert np.abs(counts - 75).max() < 4.5 * 7.5


@pytest.mark.parametrize(
    ("labels", "encoded"),
    [
        ([-1, 1, 1, -1], [0, 1, 1, 0]),
        ([3, 1, 2, 1], [2, 0, 1, 0]),
        ([10, 9, 10, 9], [1, 0, 1, 0]),
        ([2.0, 1.0, 2.0, 2.0], [1, 0, 1, 1]),
        ([True, False, False, True], [1, 0, 0, 1]),
        (["spam", "ham", "spam", "eggs"], [2, 1, 2, 0]),
        (np.array(["b", "a", "a", "b"], dtype=object), [1, 0, 0, 1]),
    ],
)
def test_labels_are_encoded_in_sorted_order(labels, encoded: list[int]) -> None:
    data = from_arrays(np.arange(4)[:, None], labels, test_fraction=0.25, standardize=False)
    x = np.concatenate([data.x_train, data.x_test])[:, 0].astype(int)
    np.testing.assert_array_equal(np.concatenate([data.y_train, data.y_test]), np.array(encoded)[x])
    assert data.n_classes == len(set(encoded))


def test_a_test_set_of_its_own_is_kept_as_it_is() -> None:
    x, y = table(20)
    x_test, y_test = table(7)
    data = from_arrays(x, y + 5, x_test=x_test, y_test=y_test + 5, standardize=False)
    np.testing.assert_array_equal(data.x_test, x_test)
    np.testing.assert_array_equal(data.y_test, y_test)
    np.testing.assert_array_equal(np.sort(data.x_train, 0), np.sort(x, 0))


@pytest.mark.slow
def test_synthetic_centres_have_the_asked_distances() -> None:
    data = synthetic(samples=60_000, features=5, classes=4, separation=2.5, standardize=False, rng=3)
    centres = np.stack([data.x_train[data.y_train == c].mean(0) for c in range(4)])
    for i in range(4):
        for j in range(i):
            # a class mean of 13,500 samples has a standard error of .0086 in each direction
            assert abs(np.linalg.norm(centres[i] - centres[j]) - 2.5) < 4.5 * 0.0086 * math.sqrt(2)
        noise = data.x_train[data.y_train == i] - centres[i]
        np.testing.assert_allclose(noise.T @ noise / len(noise), np.eye(5), atol=0.06)


@pytest.mark.parametrize(("separation", "flip"), [(1.0, 0.0), (3.0, 0.0), (3.0, 0.2)])
def test_synthetic_classes_overlap_as_documented(separation: float, flip: float) -> None:
    options = {"samples": 40_000, "features": 3, "separation": separation, "standardize": False, "rng": 0}
    clean, data = synthetic(**options), synthetic(**options, flip=flip)
    zero, one = (clean.x_train[clean.y_train == c].mean(0) for c in (0, 1))
    guess = (data.x_train - (zero + one) / 2) @ (one - zero) > 0
    best = (1 - flip) * ndtr(separation / 2) + flip * ndtr(-separation / 2)
    # 36,000 samples: standard deviation below .0027
    assert abs((guess == data.y_train).mean() - best) < 4 * 0.0027


@pytest.mark.slow
def test_synthetic_classes_are_of_equal_size_and_flips_spread_over_the_others() -> None:
    options = {"samples": 30_000, "classes": 3, "features": 2, "rng": 1}
    clean, flipped = synthetic(**options), synthetic(**options, flip=0.3)
    np.testing.assert_array_equal(np.bincount(np.concatenate([clean.y_train, clean.y_test])), [10_000] * 3)
    np.testing.assert_array_equal(clean.x_train, flipped.x_train)
    moved = np.bincount((flipped.y_train - clean.y_train) % 3) / len(clean.y_train)
    np.testing.assert_allclose(moved, [0.7, 0.15, 0.15], atol=4.5 * math.sqrt(0.7 * 0.3 / 27_000))


def test_synthetic_draws_the_same_bits_when_float64_is_enabled() -> None:
    plain = synthetic()
    with jax.enable_x64(True):
        wide = synthetic()
    assert wide.x_train.dtype == np.float32
    np.testing.assert_array_equal(wide.x_train, plain.x_train)
    np.testing.assert_array_equal(wide.y_train, plain.y_train)


def test_without_scikit_learn_the_hint_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DataError) as told:
        digits()
    assert str(told.value) == "dataset 'digits' needs scikit-learn (pip install \"jaxgossip[data]\")"


X, Y = np.ones((4, 2)), np.array([0, 1, 0, 1])
NAN, INFINITE, LARGE = X.copy(), X.copy(), X.copy()
NAN[2, 1], INFINITE[1, 0], LARGE[3, 1] = np.nan, -np.inf, 1e300
IMAGES = np.ones((4, 2, 2))
IMAGES[1, 0, 1] = np.nan
FINITE = " (every feature has to be a finite number; fill or leave out what is missing)"
WORDS = " (labels are integers or strings)"
SMALLER = " (a smaller test_fraction, or more samples)"
ABSENT = " (leave out samples without a label; if it is a class, give it another name)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": NAN}, "mine: row 2, column 1 (counted from 0) is nan" + FINITE),
        ({"x": INFINITE}, "mine: row 1, column 0 (counted from 0) is -inf" + FINITE),
        ({"x": LARGE}, "mine: row 3, column 1 (counted from 0) is 1e+300" + FINITE),
        ({"x": IMAGES}, "mine: row 1, column (0, 1) (counted from 0) is nan" + FINITE),
        ({"x": np.full((4, 2), "a")}, "mine: features are of type <U1, not numbers (encode text as numbers first)"),
        ({"x": [[1, 2], [3], [4], [5]]}, "mine: samples differ in shape (every sample needs the same features)"),
        ({"x": np.ones(4)}, "mine: samples of shape (4,) (one row a sample, at least one feature)"),
        ({"x": np.ones((0, 2))}, "mine: samples of shape (0, 2) (one row a sample, at least one feature)"),
        ({"y": [0, 1, 0]}, "mine: 4 samples, but 3 labels (one label a sample)"),
        ({"y": [[0], [1], [0], [1]]}, "mine: labels of shape (4, 1) (one label a sample: y.ravel())"),
        ({"y": [0, 1, 0.5, 1]}, "mine: the label of row 2 (counted from 0) is 0.5" + WORDS),
        ({"y": [0, 1, 0, np.nan]}, "mine: the label of row 3 (counted from 0) is missing ('nan')" + ABSENT),
        ({"y": [0, None, 1, 1]}, "mine: the label of row 1 (counted from 0) is missing ('None')" + ABSENT),
        ({"y": [0, {}, 1, 1]}, "mine: labels are of type object" + WORDS),
        ({"y": [7, 7, 7, 7]}, "mine: all 4 labels are 7 (at least two classes are needed)"),
        ({"y": ["a"] * 4}, "mine: all 4 labels are a (at least two classes are needed)"),
        ({"test_fraction": 0.0}, "mine: test_fraction = 0.0 does not lie between 0 and 1 (0.1 is a tenth)"),
        ({"test_fraction": 1.0}, "mine: test_fraction = 1.0 does not lie between 0 and 1 (0.1 is a tenth)"),
        ({"test_fraction": 0.9}, "mine: test_fraction = 0.9 of 4 samples leaves none for training" + SMALLER),
        ({"x_test": X}, "mine: a test set needs both samples and labels (give x_test and y_test)"),
        ({"x_test": X, "y_test": [0, 1]}, "mine (test): 4 samples, but 2 labels (one label a sample)"),
        ({"x_test": NAN, "y_test": Y}, "mine (test): row 2, column 1 (counted from 0) is nan" + FINITE),
        (
            {"x_test": np.ones((4, 3)), "y_test": Y},
            "mine: samples for training and test differ in shape: (2,) and (3,) (the same features in both)",
        ),
    ],
)
def test_unusable_arrays_are_told_with_their_place(arguments: dict, message: str) -> None:
    with pytest.raises(DataError) as told:
        from_arrays(**{"x": X, "y": Y, "name": "mine"} | arguments)
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "synthetic: 10000 samples cannot form 1 classes (at least two classes)"),
        ({"classes": 4, "features": 2}, "synthetic: 4 classes do not fit into 2 features (give at least 3)"),
        (
            {"flip": 1.5},
            "synthetic: separation = 3.0, flip = 1.5 (separation is not negative, flip within 0..1)",
        ),
        (
            {"separation": -1.0},
            "synthetic: separation = -1.0, flip = 0.0 (separation is not negative, flip within 0..1)",
        ),
    ],
)
def test_impossible_synthetic_data_is_told(arguments: dict, message: str) -> None:
    with pytest.raises(DataError) as told:
        synthetic(**arguments)
    assert str(told.value) == message


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.zeros(3, np.int32)}, "own: training samples (4, 2) do not go with labels (3,)"),
        ({"n_classes": 1}, "own: training labels reach from 0 to 1, not within 0..0"),
        ({"y_test": np.full(4, -1, np.int32)}, "own: test labels reach from -1 to -1, not within 0..1"),
    ],
)
def test_a_data_set_made_by_hand_is_checked(changes: dict, message: str) -> None:
    x, y = X.astype(np.float32), Y.astype(np.int32)
    parts = {"name": "own", "x_train": x, "y_train": y, "x_test": x, "y_test": y, "n_classes": 2}
    Dataset(**parts)
    with pytest.raises(DataError) as told:
        Dataset(**parts | changes)
    assert str(told.value) == message
