"""Tables in practice: no line is lost, no header is read as a sample, and no column that counts lines is a feature."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.arrays import Dataset, from_arrays
from jaxgossip.learning.data.readers.files import load_file, read_csv, read_svmlight

KINDS = ["Iris-setosa", "Iris-versicolor", "Iris-virginica"]


def numbers(m: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3, 2, size=(m, d)).round(2)


def written(folder: Path, lines: list[str], name: str = "a.data") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(x: np.ndarray, y: list, delimiter: str = ",", first: bool = False) -> list[str]:
    """Return the lines of a table, with the label last or first."""
    lines = []
    for row, label in zip(x, y, strict=True):
        fields = [str(label), *map(str, row)] if first else [*map(str, row), str(label)]
        lines.append(delimiter.join(fields))
    return lines


def holds(data: Dataset, x: np.ndarray, y: list) -> None:
    """Assert that a file gives the same data set as its arrays, including the split."""
    expected = from_arrays(x, y, standardize=False)
    for part in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(data, part), getattr(expected, part))
    assert data.labels == expected.labels


def test_iris_keeps_its_first_line(tmp_path: Path) -> None:
    x, y = numbers(150, 4), [KINDS[i // 50] for i in range(150)]
    data = load_file(written(tmp_path, [*rows(x, y), ""], "iris.data"), standardize=False)  # ends with an empty line
    holds(data, x, y)
    assert len(data.y_train) + len(data.y_test) == 150
    assert data.describe()["classes"] == dict.fromkeys(KINDS, 50)
    assert data.notes == ("fields separated by commas, no line of names", "labels: column 4, counted from 0")


def test_wine_has_its_labels_in_the_first_column(tmp_path: Path) -> None:
    x, y = numbers(178, 12), [1 + i // 60 for i in range(178)]
    x = np.column_stack([x, np.arange(178) * 7 % 601 + 300])  # proline: whole numbers, most of them different
    path = written(tmp_path, rows(x, y, first=True), "wine.data")
    holds(load_file(path, label_column=0, standardize=False), x, y)
    with pytest.raises(DataError) as told:
        load_file(path)
    assert "look like a quantity, not classes: 178 different numbers in 178 samples" in told.value.message
    assert told.value.hint.endswith("; or are the labels in column 0, of 3 values? label_column = 0")


def test_sonar_has_words_for_labels(tmp_path: Path) -> None:
    x, y = numbers(208, 60), ["R"] * 97 + ["M"] * 111
    holds(load_file(written(tmp_path, rows(x, y), "sonar.all-data"), standardize=False), x, y)


def test_letters_come_first_and_no_line_is_taken_for_names(tmp_path: Path) -> None:
    x, y = np.arange(80).reshape(20, 4) % 16, ["T", "I", "D", "N"] * 5
    path = written(tmp_path, rows(x, y, first=True))
    holds(read_csv(path, label_column=0, standardize=False), x, y)
    with pytest.raises(DataError) as told:
        read_csv(path)
    assert told.value.message == f"{path}, line 1, column '0': 'T' is not a finite number"
    assert "label_column = 0 if it holds the labels" in told.value.hint


@pytest.mark.parametrize("names", ["label,1x1,1x2", "class,Na,K", "TARGET,na,nan", "Label,a 1,b"])
def test_a_column_called_label_holds_the_labels_wherever_it_is(names: str, tmp_path: Path) -> None:
    x, y = numbers(12, 2), [0, 1, 2] * 4
    data = read_csv(written(tmp_path, [names, *rows(x, y, first=True)]), standardize=False)
    holds(data, x, y)
    assert data.notes[1] == f"labels: column '{names.split(',', maxsplit=1)[0]}'"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", "   ", "::", " , "])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.data", "a.txt", "a"])
def test_what_separates_fields_is_found(delimiter: str, name: str, tmp_path: Path) -> None:
    x, y = numbers(12, 3), ["a", "b,c", "d"] * 4 if "," not in delimiter else [-1, 1, 7] * 4
    for header in ([], [delimiter.join(("f", "g", "h", "kind"))]):
        path = written(tmp_path, header + rows(x, y, delimiter), name)
        holds(load_file(path, standardize=False), x, y)


def test_quotes_blanks_comments_and_line_ends_are_understood(tmp_path: Path) -> None:
    x = np.array([[1, 2], [3, 4], [5, 6], [7, 8]])
    y = ["a, b", 'say "x"', "two\nlines", "a, b"]
    text = (
        '\ufeff# made by hand, "not closed\r\n"first, of two" , "second",kind\r\n\r\n1,"2","a, b"\r\n'
        ' 3 , 4,"say ""x"""\r\n#5,6,x\r\n5,6,"two\nlines"\r\n   \r\n7,8,"a, b"'
    )
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    data = read_csv(path, standardize=False)
    holds(data, x, y)
    assert data.notes[1] == "left out: 2 lines that begin with #"
    path.write_bytes("\r".join(rows(x, [0, 1, 0, 1])).encode())
    holds(read_csv(path, standardize=False), x, [0, 1, 0, 1])
    path.write_text("#\n\n1,2,\n3,x,1\n")
    with pytest.raises(DataError, match=r"a\.csv, line 4, column '1': 'x'"):
        read_csv(path)


@pytest.mark.parametrize("header", [["a", "b", "c", "kind"], []])
def test_a_delimiter_at_the_end_of_lines_is_no_column(header: list[str], tmp_path: Path) -> None:
    x, y = numbers(12, 3), ["u", "v", "w"] * 4
    ended = [line + "," for line in rows(x, y)]
    for names in [",".join(header), ",".join([*header, ""]), ",".join([*header, "Unnamed: 4"])] if header else [""]:
        data = read_csv(written(tmp_path, [names, *ended]), standardize=False)
        holds(data, x, y)
        assert "left out: an empty last column" in data.notes
    if header:
        holds(read_csv(written(tmp_path, [",".join([*header, ""]), *rows(x, y)]), standardize=False), x, y)


INDEX = "left out: column 0, which has no name and numbers or names the lines"
COUNTS = "left out: column 0, which counts the lines (drop = [] keeps it)"


@pytest.mark.parametrize(
    ("header", "index", "note"),
    [
        (",a,b,kind", range(12), INDEX),
        ("Unnamed: 0,a,b,kind", range(12), INDEX),
        (",a,b,kind", np.random.default_rng(0).permutation(99)[:12], INDEX),  # what is left after a split
        ('"","a","b","kind"', [f'"Mazda {i}"' for i in range(12)], INDEX),  # R's write.csv
        ("a,b,kind", range(1, 13), INDEX),  # R's write.table
        ("", range(12), COUNTS),
        ("", range(1, 13), COUNTS),  # glass.data
    ],
)
def test_what_numbers_the_lines_is_no_feature(header: str, index, note: str, tmp_path: Path) -> None:
    x, y = numbers(12, 2), ["u", "v", "w"] * 4
    lines = [f"{number},{line}" for number, line in zip(index, rows(x, y), strict=True)]
    data = read_csv(written(tmp_path, [header, *lines]), standardize=False)
    holds(data, x, y)
    assert data.notes[-1] == note


def test_columns_that_count_under_a_name_are_told_and_can_be_dropped(tmp_path: Path) -> None:
    x, y = numbers(12, 3), ["u", "v", "w"] * 4
    counted = np.column_stack([np.arange(1, 13), x]).tolist()
    counted = [[int(row[0]), *row[1:]] for row in counted]
    path = written(tmp_path, ["Id,a,b,c,kind", *rows(counted, y)])
    data = read_csv(path, standardize=False)
    holds(data, np.array(counted), y)
    assert data.notes[-1] == "column 'Id' counts the lines, and is taken as a feature: drop = [\"Id\"] leaves it out"
    dropped = read_csv(path, drop=("Id", 2), standardize=False)
    holds(dropped, x[:, [0, 2]], y)
    assert dropped.notes[-2:] == ("left out: column 'Id'", "left out: column 'b'")
    path = written(tmp_path, rows(counted, y))
    holds(read_csv(path, drop=(), standardize=False), np.array(counted), y)
    holds(read_csv(path, drop=(-2, 0), standardize=False), x[:, :2], y)


def test_a_hint_does_not_list_hundreds_of_columns(tmp_path: Path) -> None:
    x, y = numbers(12, 500), [0, 1, 2] * 4
    path = written(tmp_path, [",".join([*(f"pixel{i}" for i in range(500)), "digit"]), *rows(x, y)])
    with pytest.raises(DataError) as told:
        read_csv(path, label_column="digits")
    assert told.value.hint == "did you mean 'digit'? there are 501: pixel0, pixel1, pixel2, … digit"


def test_a_first_line_of_another_width_is_not_lost(tmp_path: Path) -> None:
    for lines in (["1,0", "2,3,1", "4,5,0"], ["1,x", "2,3,y", "4,5,z"]):
        path = written(tmp_path, lines)
        with pytest.raises(DataError) as told:
            read_csv(path)
        assert told.value.message == f"{path}, line 1: 2 fields, and 3 in all lines below"
        assert told.value.hint.startswith("remove it if it is no sample; ")


def test_the_table_of_scikit_learn_that_begins_with_its_size_needs_a_word(tmp_path: Path) -> None:
    x, y = numbers(150, 4), [i // 50 for i in range(150)]
    path = written(tmp_path, ["150,4,setosa,versicolor,virginica", *rows(x, y)])
    with pytest.raises(DataError, match=r"the first line holds words \('setosa'\) and numbers \('150'\)"):
        read_csv(path)
    holds(read_csv(path, header=True, standardize=False), x, y)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    x=st.lists(st.tuples(*[st.floats(-1e6, 1e6).map(lambda v: round(v, 3))] * 3), min_size=4, max_size=12, unique=True),
    labels=st.lists(st.sampled_from(["a", "b", "c d", "é"]), min_size=12, max_size=12),
    delimiter=st.sampled_from([",", ";", "\t"]),
    named=st.booleans(),
    packed=st.booleans(),
)  # fmt: skip
def test_every_line_that_is_written_is_read(tmp_path_factory, x, labels, delimiter, named: bool, packed: bool) -> None:
    y = ["a", "b", *labels][: len(x)]
    lines = [delimiter.join(("f1", "f2", "f3", "kind"))] * named + rows(np.array(x), y, delimiter)
    path = tmp_path_factory.mktemp("csv") / "a.data"
    content = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    holds(load_file(path, drop=(), standardize=False), np.array(x), y)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("packed", [False, True])
def test_sparse_files_with_queries_and_comments(first: int, packed: bool, tmp_path: Path) -> None:
    x, y = np.eye(6) * 2, [1, -1, 1, -1, 1, -1]
    lines = [f"{label:+d} qid:{i // 3} {i + first}:2.0 # a 9:9 comment" for i, label in enumerate(y)]
    content = "\n".join(["# by hand", "", *lines]).encode()
    path = tmp_path / "a.dat"
    path.write_bytes(gzip.compress(content) if packed else content)
    data = load_file(path, standardize=False)
    holds(data, x, y)
    told = (f"sparse (svmlight), features counted from {first}", "left out: the query of 6 lines (qid)")
    assert data.notes == told
    holds(read_svmlight(path, zero_based=first == 0, standardize=False), x, y)


def test_numbers_over_a_name_for_the_labels_may_be_names_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("2001,2002,y\n" + "1.5,2,0\n3,4.5,1\n" * 6)
    with pytest.raises(DataError) as told:
        read_csv(path)
    assert told.value.message == (
        f"{path}: the first line holds a word for the label ('y') and numbers ('2001'), over labels that are numbers"
    )
    assert read_csv(path, header=True).labels == ("0", "1")
    assert read_csv(path, header=False).labels == ("0", "1", "y")
