"""Files of ratings: roles of the columns, duplicates, and malformed lines."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.core.errors import DataError, InputError
from jaxgossip.learning import ratings
from jaxgossip.learning.data.readers.rating_files import read_ratings

TABLE = [("ann", "10", "4"), ("bob", "9", "1.5"), ("ann", "9", "2"), ("bob", "10", "5"), ("ann", "11", "3")]
ORDERS = [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0), (0, 2, 1)]


def written(folder: Path, rows: list, separator: str = ",", name: str = "r.dat") -> Path:
    path = folder / name
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def is_the_table(path: Path, **options) -> None:
    user, item, rating, _ = read_ratings(path, **options)
    np.testing.assert_array_equal(user, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(item, [1, 0, 2, 0, 1])  # 9 before 10: numbers, not words
    np.testing.assert_array_equal(rating, [4, 2, 3, 1.5, 5])


@pytest.mark.parametrize("separator", [",", "\t", "::", ";", "|", "  ", ", "])
def test_files_are_read_whatever_stands_between(separator: str, tmp_path: Path) -> None:
    for header in ([], [("user", "item", "rating"), ("", "")]):
        is_the_table(written(tmp_path, [*header, *TABLE], separator))
    stamped = [(*row, "978300760") for row in TABLE]  # MovieLens' u.data and ratings.dat
    is_the_table(written(tmp_path, stamped, separator))
    quoted = [tuple(f'"{field}"' for field in row) for row in TABLE]
    is_the_table(written(tmp_path, quoted, separator))
    path = written(tmp_path, TABLE, separator)
    path.write_bytes(gzip.compress(path.read_bytes()))
    is_the_table(path)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "names",
    [
        ("user", "item", "rating"),
        ("userId", "movieId", "rating"),
        ("User-ID", "ISBN", "Book-Rating"),
        ("reviewerID", "asin", "overall"),
        ("user_id", "Item ID", "user_rating"),
        ("uid", "iid", "score"),
    ],
)
def test_the_names_of_columns_are_respected(names: tuple[str, ...], order: tuple[int, ...], tmp_path: Path) -> None:
    rows = [tuple(row[place] for place in order) for row in [names, *TABLE]]
    path = written(tmp_path, rows)
    is_the_table(path)
    roles = ", ".join(f"{role}: column {order.index(i)}" for i, role in enumerate(("user", "item", "rating")))
    assert read_ratings(path).notes == ("fields separated by commas, the first line names the columns", roles)
    stamped = [(value, *row) for value, row in zip(["timestamp", *"12345"], rows, strict=True)]
    is_the_table(written(tmp_path, stamped))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("header", [False, True])
def test_columns_say_what_the_file_does_not(order: tuple[int, ...], header: bool, tmp_path: Path) -> None:
    rows = [(*(row[place] for place in order), "7") for row in TABLE]
    path = written(tmp_path, [("a", "b", "c", "d")] * header + rows)
    roles = ("user", "item", "rating")
    columns = tuple(roles[place] for place in order)
    is_the_table(path, columns=columns)
    is_the_table(path, columns=(*columns, "_"))
    is_the_table(written(tmp_path, [("x", *row) for row in rows]), columns=("_", *columns))


AGAIN = [("ann", "9", "2"), ("bob", "9", "1"), ("ann", "9", "5"), ("ann", "8", "3"), ("ann", "9", "5")]
WAY_OUT = 'duplicates = "last" lets the last of them count, duplicates = "mean" their mean'


def test_a_pair_that_is_rated_again_counts_once(tmp_path: Path) -> None:
    path = written(tmp_path, [("user", "item", "rating"), *AGAIN])
    with pytest.raises(DataError) as told:
        read_ratings(path)
    assert told.value.message == f"{path}, line 4: user 'ann' has rated item '9' before, in line 2, as are 1 more"
    assert told.value.hint == WAY_OUT
    for duplicates, value in (("last", 5), ("mean", 4)):
        user, item, rating, notes = read_ratings(path, duplicates=duplicates)
        np.testing.assert_array_equal(user, [0, 0, 1])
        np.testing.assert_array_equal(item, [0, 1, 1])
        np.testing.assert_array_equal(rating, [3, value, 1])
        assert notes[1].endswith(f"; 2 ratings of a pair that is rated again: {duplicates}")


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 5)), min_size=6, max_size=30),
    duplicates=st.sampled_from(["last", "mean"]),
)
def test_no_pair_is_both_trained_and_tested_on(tmp_path_factory, rows: list, duplicates: str) -> None:
    path = written(tmp_path_factory.mktemp("r"), [tuple(map(str, row)) for row in rows])
    user, item, rating, _ = read_ratings(path, duplicates=duplicates)
    expected: dict = {}
    for u, i, r in rows:
        expected.setdefault((u, i), []).append(r)
    users, items = (sorted({row[place] for row in rows}) for place in (0, 1))
    found = {(users[u], items[i]): r for u, i, r in zip(user, item, rating, strict=True)}
    assert len(user) == len(found)
    assert found == {
        pair: pytest.approx(those[-1] if duplicates == "last" else np.mean(those)) for pair, those in expected.items()
    }


def test_held_out_ratings_of_repeated_pairs_cannot_be_known(tmp_path: Path) -> None:
    # every user rates every item ten times: what is held out of a pair was trained on, unless it counts once
    rng = np.random.default_rng(0)
    rows = [(u, i, rng.integers(1, 6)) for u in range(4) for i in range(6) for _ in range(10)]
    path = written(tmp_path, [tuple(map(str, row)) for row in rows])
    task = ratings(4, path=path, duplicates="last", held_out=0.5, batch_size=0)
    samples, start, n_train = (
        np.asarray(table) for table in (task._batches.samples, task._batches.start, task._batches.n_train)
    )
    assert task.describe()["training_ratings"] == task.describe()["test_ratings"] == 12
    for node in range(4):
        mine = np.asarray(task._table.x)[samples[start[node] : start[node] + 6]]
        assert len(set(mine.tolist())) == 6
        assert n_train[node] == 3


def test_numbers_of_users_and_items_are_one_however_they_are_written(tmp_path: Path) -> None:
    path = written(tmp_path, [("1", "7.0", "3"), ("01", "8", "4"), ("2.0", "7", "5"), ("+2", "8", "1")])
    user, item, _, _ = read_ratings(path)
    np.testing.assert_array_equal(user, [0, 0, 1, 1])
    np.testing.assert_array_equal(item, [0, 1, 0, 1])


NEEDED = (
    'columns = ["user", "item", "rating", "_"] names the columns in the order of the file, "_" one that is not needed'
)
SEPARATED = "fields are separated by tabs, commas, semicolons, blanks or '::'"
COLUMN = "it stands in column 2; columns says which one holds what"


@pytest.mark.parametrize(
    ("text", "columns", "message", "hint"),
    [
        ("", None, "{path} is empty", "one rating, a line"),
        ("user,item,rating\n", None, "{path} holds no ratings", "write user, item and rating a line"),
        ("1,2\n", None, "{path}, line 1: no user, item and rating", SEPARATED),
        ("1,2,3\n\n1,,3\n", None, "{path}, line 3: the item is missing", "leave out the line"),
        ("1,2,3\nnan,2,3\n", None, "{path}, line 2: the user is missing ('nan')", "give it another name"),
        ("1,2,3\n1,2,good\n", None, "{path}, line 2: the rating 'good' is not a finite number", COLUMN),
        ("1,2,3\n1,2,inf\n", None, "{path}, line 2: the rating 'inf' is not a finite number", COLUMN),
        ("1,2,3\n1,3\n", None, "{path}, line 2: 2 fields, not 3 as in line 1", "separated by commas"),
        ("1,2,3\nann,Good, Bad,4\n", None, "{path}, line 2: 4 fields, not 3 as in line 1", "quote a field"),
        ("ann,10,good\n", None, "{path}, line 1: no column for the user by the names ann, 10, good", NEEDED),
        (
            "user,film,name,rating\n",
            ("user", "film"),
            "{path}: a column of ratings cannot be 'film'",
            "allowed: _, item",
        ),
        ("a,b,c\n1,2,3\n", None, "{path}, line 1: no column for the user by the names a, b, c", NEEDED),
        ("user,movie,item,rating\n", None, "{path}, line 1: several columns for the item by the names ", NEEDED),
        ("1,2,3\n", ("user", "item"), "{path}: no column is the rating's", NEEDED),
        ("1,2,3\n", ("user", "user", "item", "rating"), "{path}: 2 columns are the user's", NEEDED),
        ("1,2,3\n", ("user", "item", "_", "rating"), "{path}: 4 columns are named, and there are 3", "by commas"),
        (
            "ann,10,good\n",
            ("user", "item", "rating"),
            "{path}, line 1: the rating 'good' is not a finite number",
            COLUMN,
        ),
        ('1,2,3\n1,"3,4\n', None, "{path}, line 2: a quote is left open", "close it"),
    ],
)
def test_files_that_hold_no_ratings_are_told(text: str, columns, message: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text)
    with pytest.raises(DataError) as told:
        read_ratings(path, columns=columns)
    assert told.value.message.startswith(message.replace("{path}", str(path)))
    assert hint in told.value.hint


def test_what_is_no_file_of_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError) as told:
        read_ratings(tmp_path / "none.csv")
    assert told.value.message == f"no such file: {tmp_path / 'none.csv'}"
    with pytest.raises(DataError, match="is a folder, not a file"):
        read_ratings(tmp_path)
    (tmp_path / "r.csv").write_bytes(b"1,2,3\n1,\xff,3\n")
    with pytest.raises(DataError, match=r"r\.csv is not text in UTF-8: .* line 2"):
        read_ratings(tmp_path / "r.csv")


def test_an_unknown_word_for_duplicates_is_none_of_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("1,2,3\n1,2,4\n")
    with pytest.raises(InputError, match="duplicates cannot be 'first'"):
        read_ratings(tmp_path / "r.csv", duplicates="first")
