"""What callers hold instead of arrays: frames and series, sparse matrices; and files with values to predict."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.arrays import Dataset, from_arrays
from jaxgossip.learning.data.datasets import read_csv

M = 12
X = np.random.default_rng(0).normal(size=(M, 3)).astype(np.float32)
Y = np.arange(M) % 3


class Frame:
    """What is used of a frame or series of pandas: it has no ``__array__``, so that nothing else can have been used."""

    def __init__(self, values: Any, columns: tuple[str, ...] = ()) -> None:
        self.values = np.asarray(values)
        self.columns = columns

    def to_numpy(self) -> np.ndarray:
        return self.values


class Missing:
    """Like ``pandas.NA``, which is neither a number nor equal to itself."""

    def __str__(self) -> str:
        return "<NA>"

    def __float__(self) -> float:
        raise TypeError


NA = type("NAType", (Missing,), {})()


def same(found: Dataset, expected: Dataset) -> None:
    for part in ("x_train", "y_train", "x_test", "y_test", "owners"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    assert found.labels == expected.labels
    assert found.owner_names == expected.owner_names


def test_frames_and_series_are_their_arrays() -> None:
    words = np.array(["low", "mid", "top"], object)[Y]
    owners = np.array([f"o{i // 4}" for i in range(M)], object)
    expected = from_arrays(X, words, x_test=X[:2], y_test=words[:2], owners=owners)
    mixed = Frame(X.astype(object), ("a", "b", "c"))  # as pandas gives columns of several types
    for frame in (Frame(X, ("a", "b", "c")), mixed):
        same(
            from_arrays(frame, Frame(words), x_test=Frame(X[:2]), y_test=Frame(words[:2]), owners=Frame(owners)),
            expected,
        )
    values = from_arrays(Frame(X), Frame(X[:, :2].astype(object)), target="value")
    same(values, from_arrays(X, X[:, :2], target="value"))


@pytest.mark.parametrize("value", [NA, None, "7"])
def test_what_is_no_number_in_a_frame_is_told_with_its_column(value: Any) -> None:
    cells = X.astype(object)
    cells[4, 1] = value
    with pytest.raises(DataError) as told:
        from_arrays(Frame(cells, ("a", "height", "c")), Y, name="mine")
    assert told.value.message == f"mine: row 4, column 'height' (counted from 0) is '{value}', not a number"
    with pytest.raises(DataError) as told:
        from_arrays(X, Frame(cells[:, 1]), name="mine", target="value")
    assert told.value.message == f"mine: row 4 (counted from 0) is '{value}', not a number"


def test_a_label_that_is_missing_in_a_series_is_told() -> None:
    labels = Y.astype(object)
    labels[3] = NA
    with pytest.raises(DataError, match=r"the label of row 3 \(counted from 0\) is missing \('<NA>'\)"):
        from_arrays(X, Frame(labels))


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array, sparse.lil_matrix])
def test_sparse_matrices_are_their_dense_arrays(kind: Any) -> None:
    dense = np.where(X > 0, X, 0)
    same(from_arrays(kind(dense), Y), from_arrays(dense, Y))
    same(
        from_arrays(kind(dense), Y, x_test=kind(dense[:4]), y_test=Y[:4]),
        from_arrays(dense, Y, x_test=dense[:4], y_test=Y[:4]),
    )


def test_a_sparse_matrix_too_large_to_be_dense_is_refused() -> None:
    with pytest.raises(DataError, match="samples, which are held densely"):
        from_arrays(sparse.csr_array((10**7, 10**7)), np.zeros(10**7, int))


def table(values: list[str]) -> str:
    rows = [f"{a},{b},{c},{value}" for (a, b, c), value in zip(X.tolist(), values, strict=True)]
    return "\n".join(["a,b,c,price", *rows]) + "\n"


def test_a_column_of_values_is_predicted(tmp_path: Path) -> None:
    prices = X[:, 0] * 1e3
    path = tmp_path / "a.csv"
    path.write_text(table(list(map(repr, prices.tolist()))))
    found = read_csv(path, target="value", label_column="price", drop=("a",), standardize=False)
    expected = from_arrays(X[:, 1:], prices, target="value", standardize=False)
    np.testing.assert_allclose(found.y_train, expected.y_train, rtol=1e-6)
    np.testing.assert_array_equal(found.x_train, expected.x_train)
    assert (found.target, found.n_classes, found.y_test.dtype) == ("value", 0, np.float32)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("dear", "{path}, line 7, column 'price': 'dear' is not a finite number"),
        ("", "{path}, line 7, column 'price': the field is empty"),
        ("inf", "{path}, line 7, column 'price': 'inf' is not a finite number"),
        ("1e300", "{path}, line 7, column 'price': '1e300' is not a finite number"),
    ],
)
def test_a_value_that_is_no_number_is_told_with_its_line(value: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table([value if row == 5 else str(row) for row in range(M)]))
    with pytest.raises(DataError) as told:
        read_csv(path, target="value")
    assert told.value.message == message.format(path=path)


def test_what_would_have_no_effect_is_refused() -> None:
    with pytest.raises(DataError) as told:
        from_arrays(X, Y, x_test=X, y_test=Y, test_fraction=0.1, name="mine")
    assert str(told.value) == (
        "mine: test_fraction = 0.1, and the data have a test set of their own (leave out test_fraction)"
    )
    tokens = {"x": np.arange(24).reshape(M, 2), "y": np.arange(24).reshape(M, 2), "target": "sequence"}
    with pytest.raises(DataError, match="mine: standardize, and samples are tokens"):
        from_arrays(**tokens, standardize=True, name="mine")
    same(from_arrays(**tokens, standardize=False), from_arrays(**tokens))
