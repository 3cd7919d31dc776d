"""Labels: classes, missing values and quantities, by the same rules for arrays and files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.core.errors import DataError
from jaxgossip.learning import partitions
from jaxgossip.learning.data.arrays import Dataset, from_arrays
from jaxgossip.learning.data.readers.files import read_csv, read_svmlight
from jaxgossip.learning.partitions.poisoning import flip_labels

ABSENT = "leave out samples without a label; if it is a class, give it another name"
BINS = "classes are learnt here: sort the numbers into bins first (numpy.digitize), or write words (c17) if each is a class"


def message_and_hint(y: object, x: object = None) -> tuple[str, str]:
    """Return the error message about labels, and its hint."""
    x = np.arange(len(y))[:, None] if x is None else x  # pyright: ignore[reportArgumentType] - sized, in these tests
    with pytest.raises(DataError) as error:
        from_arrays(x, y, name="mine")
    return error.value.message, error.value.hint


def labels_of(data: Dataset) -> list[int]:
    """Return class numbers in the order in which samples were given: feature 0 counts them."""
    x = np.concatenate([data.x_train, data.x_test])[:, 0].astype(int)
    return np.concatenate([data.y_train, data.y_test])[x.argsort()].tolist()


@pytest.mark.parametrize("word", ["", "?", "NA", "N/A", "nan", "NaN", "null", "NULL", "<NA>", "None", " ? "])
def test_a_word_for_a_missing_label_is_no_class(word: str, tmp_path: Path) -> None:
    where = f"mine: the label of row 2 (counted from 0) is missing ({word!r})" if word else None
    where = where or "mine: the label of row 2 (counted from 0) is missing"
    assert message_and_hint(["a", "b", word, "b", "a"]) == (where, ABSENT)
    path = tmp_path / "a.csv"
    path.write_text(f"f,y\n1,a\n2,b\n3,{word}\n4,b\n")
    with pytest.raises(DataError, match=r"a\.csv, line 4: the label .*is missing"):
        read_csv(path)


@pytest.mark.parametrize(
    "values", [[1, 0, None, 1], [1.0, 0.0, np.nan, 1], np.ma.array([1, 0, 7, 1], mask=[0, 0, 1, 0])]
)
def test_missing_labels_of_arrays_are_counted(values: object) -> None:
    message, hint = message_and_hint(values)
    assert message.startswith("mine: the label of row 2 (counted from 0) is missing")
    assert hint == ABSENT
    assert message_and_hint(["a", "?", "b", "", "?"])[0].endswith(
        "row 1 (counted from 0) is missing ('?'), as are 2 more"
    )


@pytest.mark.parametrize("word", ["none", "N", "name", "-", "nano", "0"])
def test_other_words_are_classes(word: str) -> None:
    assert from_arrays(np.eye(4), [word, "b", word, "b"]).n_classes == 2


def test_whole_floats_are_integers_and_fractions_are_refused() -> None:
    whole = from_arrays(np.arange(4)[:, None], [10.0, 9.0, 9.0, 10.0], standardize=False)
    assert labels_of(whole) == [1, 0, 0, 1]
    assert whole.labels == ("9", "10")
    assert message_and_hint([1.0, 2.0, 1.5, 1.0])[0] == "mine: the label of row 2 (counted from 0) is 1.5"
    assert message_and_hint([1.0, 2.0, 1.0, np.inf])[0] == "mine: the label of row 3 (counted from 0) is inf"
    assert message_and_hint([1.0, 2.0, 1.0, 1e300])[0] == "mine: the label of row 3 (counted from 0) is 1e+300"
    assert (
        message_and_hint(np.array([1, 2**64 - 1], np.uint64))[0]
        == f"mine: the label of row 1 (counted from 0) is {2**64 - 1}"
    )


def test_a_quantity_is_not_taken_for_classes() -> None:
    # as many samples and different values as scikit-learn's diabetes has
    rng = np.random.default_rng(0)
    target = np.concatenate([np.arange(214), rng.integers(0, 60, 442 - 214)]) + 25
    assert message_and_hint(target) == (
        "mine: the labels look like a quantity, not classes: 214 different numbers in 442 samples", BINS
    )  # fmt: skip
    assert message_and_hint(target + 0.5)[0].endswith("not classes: 214 different numbers in 442 samples")
    assert message_and_hint(target / 7)[0].endswith("214 different numbers in 442 samples")
    words = from_arrays(np.arange(442)[:, None], [f"class {value}" for value in target])
    assert words.n_classes == 214
    levels = np.random.default_rng(0).choice(np.setdiff1d(np.arange(58, 125), [60, 100]), 442)  # glucose: each recurs
    assert message_and_hint(levels)[0].endswith(f"{len(set(levels))} different numbers in 442 samples")
    assert message_and_hint([5, 1, 9, 2, 7, 4, 5, 1, 9, 2])[0].endswith("6 different numbers in 10 samples")
    assert message_and_hint(range(10))[0].endswith("10 different numbers in 10 samples")
    assert message_and_hint([f"name {i}" for i in range(21)])[0] == "mine: no two of the 21 samples have one label"


@pytest.mark.parametrize(("classes", "each"), [(26, 10), (100, 5), (500, 2), (20, 2), (5, 2), (9, 1)])
def test_many_classes_are_classes_if_they_recur(classes: int, each: int) -> None:
    assert from_arrays(np.eye(classes * each), np.repeat(np.arange(classes), each)).n_classes == classes


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-(2**62), 2**62), min_size=4, max_size=9).filter(lambda y: len(set(y)) > 1))
def test_integers_are_classes_in_their_order_however_they_are_held(y: list[int]) -> None:
    expected = [sorted(set(y)).index(label) for label in y]
    x = np.arange(len(y))[:, None]
    for held in (y, np.array(y), np.array(y, object)):
        found = from_arrays(x, held, standardize=False)
        assert labels_of(found) == expected
        assert found.labels == tuple(map(str, sorted(set(y))))


def test_some_of_many_classes_are_classes_under_their_old_numbers() -> None:
    some = np.random.default_rng(0).choice(100, 30, replace=False)  # of the hundred of CIFAR
    assert from_arrays(np.zeros((3000, 1)), np.repeat(some, 100)).labels == tuple(map(str, sorted(some)))
    assert message_and_hint(np.repeat(some, 5))[0].endswith("30 different numbers in 150 samples")


def test_numbers_and_strings_are_not_mixed() -> None:
    assert message_and_hint(np.array([1, 2, "b", 1], object)) == (
        "mine: the label of row 2 (counted from 0) is 'b', and that of row 0 1", "all numbers, or all strings"
    )  # fmt: skip
    with pytest.raises(DataError, match="numbers in one set and strings in the other"):
        from_arrays(np.eye(4), [1, 2, 1, 2], x_test=np.eye(4), y_test=["1", "2", "1", "2"])


def test_shapes_of_labels_are_told_with_the_way_out() -> None:
    assert message_and_hint(np.eye(3)[[0, 1, 2]], np.eye(3)) == (
        "mine: labels of shape (3, 3)", "one label a sample: y.argmax(1), if a row marks its class"
    )  # fmt: skip
    assert message_and_hint(np.zeros((3, 1)), np.eye(3)) == (
        "mine: labels of shape (3, 1)",
        "one label a sample: y.ravel()",
    )
    assert message_and_hint([[1], [1, 2]], np.eye(2))[0] == "mine: labels differ in shape"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1:0.5 2:1", "line 3: no label before '1:0.5'"),
        ("1,3 1:0.5", "line 3: the label '1,3' holds several"),
        ("? 1:0.5", "line 3: the label is missing ('?')"),
        ("nan 1:0.5", "line 3: the label is missing ('nan')"),
        ("0.5 1:0.5", "line 3: the label is 0.5"),
        ("inf 1:0.5", "line 3: the label is inf"),
        ("12345678901234567890123 1:0.5", "line 3: the label is 12345678901234567890123"),
    ],
)
def test_a_line_of_svmlight_needs_a_label_that_is_one(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.svm"
    path.write_text(f"1 1:2\n0 2:1\n{line}\n1 1:1\n")
    with pytest.raises(DataError) as error:
        read_svmlight(path)
    assert error.value.message == f"{path}, {message}"
    assert error.value.hint


def test_classes_that_are_hardly_there_are_told() -> None:
    x, y = np.arange(40)[:, None], ["a", "b"] * 19 + ["c", "d"]
    data = from_arrays(x, y, x_test=x[:3], y_test=["a", "b", "e"])
    assert data.describe()["notes"] == ("a single sample of: c, d, e", "none to train on of: e")
    assert data.notes == ()
    names = [f"c{i}" for i in range(10, 42)]
    numbered = from_arrays(x, np.repeat(names[:20], 2), x_test=np.eye(12)[:, :1], y_test=names[20:])
    rest = "c30, c31, c32, c33, c34, c35, c36, c37, c38, c39 and 2 more"
    assert numbered.describe()["notes"] == (f"a single sample of: {rest}", f"none to train on of: {rest}")


@pytest.mark.wrong_types
def test_labels_of_a_data_set_by_hand_are_integers() -> None:
    x = np.eye(4, dtype=np.float32)
    for y in (np.array([0, 1, 0.5, 1], np.float32), np.array(["a", "b"] * 2), np.array([True, False] * 2)):
        with pytest.raises(DataError, match=r"training labels are of type .*, not integers"):
            Dataset("own", x, y, x, np.array([0, 1, 0, 1], np.int32), 2)
    with pytest.raises(DataError, match="1 names of 2 classes"):
        Dataset("own", x, np.array([0, 1] * 2), x, np.array([0, 1] * 2), 2, labels=("a",))


def test_a_data_set_says_what_it_is() -> None:
    data = from_arrays(np.ones((10, 2, 3)), ["spam", "ham"] * 5, name="mail", notes=["no stamps"], test_fraction=0.2)
    assert data.describe() == {
        "name": "mail",
        "training_samples": 8,
        "test_samples": 2,
        "shape": (2, 3),
        "features": 6,
        "samples": "features",
        "target": "class",
        "predicted": "",
        "classes": {"ham": 5, "spam": 5},
        "owners": 0,
        "notes": ("no stamps",),
    }
    assert repr(data) == ("Dataset('mail': 8 training and 2 test samples of 6 features, 2 classes: ham, spam)")
    assert repr(dataclasses.replace(data, labels=())).endswith("2 classes: 0, 1)")
    flipped, _ = flip_labels(data, partitions.iid(data.y_train, 2, rng=0), [0])
    assert flipped.labels == ("ham", "spam")
