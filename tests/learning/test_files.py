"""The user's files: what is read equals what was written, and errors name the file and the line."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import DataError
from jaxgossip.learning import DATAFILES
from jaxgossip.learning.data.datasets import Dataset, from_arrays, load_file, read_csv, read_npz, read_svmlight

X = np.array([[1.5, -2, 0], [0, 0, 3e-2], [7, 0, 0], [0, 1, 1], [2, 2, 2]], np.float32)
WORDS = ["no", "yes", "no", "yes", "no"]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def same(found: Dataset, expected: Dataset) -> None:
    for part in ("x_train", "y_train", "x_test", "y_test", "n_classes"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))


def csv_text(
    header: str = "a,b,c,label", labels: list = WORDS, delimiter: str = ",", label_place: int | None = None
) -> str:
    lines = [header] * bool(header)
    for row, label in zip(X, labels, strict=True):
        fields = list(map(str, row))
        fields.insert(len(fields) if label_place is None else label_place, str(label))
        lines.append(delimiter.join(fields))
    return "\n".join(lines) + "\n"


def test_a_csv_file_equals_its_arrays(tmp_path: Path) -> None:
    expected = from_arrays(X, WORDS, rng=3, test_fraction=0.3)
    found = read_csv(write(tmp_path, "a.csv", csv_text()), rng=3, test_fraction=0.3)
    same(found, expected)
    assert found.name == str(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (csv_text(""), {"header": False}),
        (csv_text("a;b;c;label", delimiter=";"), {"delimiter": ";"}),
        (csv_text("", delimiter="\t"), {"delimiter": "\t", "header": False}),
        ("\ufeff" + csv_text("").replace("\n", "\r\n"), {"header": False}),
        ('"a", b ,c,label\n\n' + "\n\n".join(csv_text("").splitlines()), {}),
        (csv_text("label,a,b,c", label_place=0), {"label_column": 0}),
        (csv_text("a,y,b,c", label_place=1), {"label_column": "y"}),
        (csv_text("a,y,b,c", label_place=1), {"label_column": -3}),
    ],
)
def test_csv_in_its_variants(tmp_path: Path, text: str, options: dict) -> None:
    same(read_csv(write(tmp_path, "a.csv", text), **options), from_arrays(X, WORDS))


def test_labels_that_are_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    labels = [10, 9, 10, 9, 9]
    same(read_csv(write(tmp_path, "a.csv", csv_text(labels=labels))), from_arrays(X, labels))
    text = "".join(f"{label} {i + 1}:1\n" for i, label in enumerate(labels))
    same(read_svmlight(write(tmp_path, "a.svm", text)), from_arrays(np.eye(5), labels))


def test_an_npz_file_equals_its_arrays(tmp_path: Path) -> None:
    images = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2)
    np.savez(tmp_path / "a.npz", x=images, y=WORDS)
    same(read_npz(tmp_path / "a.npz"), from_arrays(images, WORDS))
    np.savez(tmp_path / "b.npz", train=X, t=[1, 2, 1, 2, 2], test=X[:2] + 1, u=[2, 1])
    found = read_npz(tmp_path / "b.npz", x="train", y="t", x_test="test", y_test="u")
    same(found, from_arrays(X, [1, 2, 1, 2, 2], x_test=X[:2] + 1, y_test=[2, 1]))


@pytest.mark.parametrize("first", [0, 1])
def test_an_svmlight_file_equals_its_arrays(tmp_path: Path, first: int) -> None:
    lines = ["# made by hand", ""]
    for row, label in zip(X, [-1, 1, -1, 1, -1], strict=True):
        lines.append(f"{label:+d} " + " ".join(f"{i + first}:{v}" for i, v in enumerate(row) if v) + " # a comment")
    path = write(tmp_path, "a.svm", "\n".join(lines))
    same(read_svmlight(path, zero_based=first == 0), from_arrays(X, [-1, 1, -1, 1, -1]))
    wider = read_svmlight(path, zero_based=first == 0, features=5, standardize=False)
    same(wider, from_arrays(np.pad(X, ((0, 0), (0, 2))), [-1, 1, -1, 1, -1], standardize=False))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "npz", "svm", "svmlight", "libsvm"])
def test_the_suffix_chooses_the_reader(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "npz":
        np.savez(path, x=X, y=WORDS)
    elif suffix in ("csv", "tsv"):
        write(tmp_path, path.name, csv_text())
    else:
        write(tmp_path, path.name, "".join(f"{w} 1:{a} 2:{b} 3:{c}\n" for (a, b, c), w in zip(X, WORDS, strict=True)))
    same(load_file(path, rng=2, standardize=False), from_arrays(X, WORDS, rng=2, standardize=False))


def test_options_reach_the_reader(tmp_path: Path) -> None:
    same(load_file(write(tmp_path, "a.csv", csv_text("")), header=False), from_arrays(X, WORDS))


def label_hint(column: str) -> str:
    return f" (which column holds labels? see label_column; drop = [{column}] leaves this one out)"


def missing(*columns: str) -> str:
    return f" (fill what is missing, or leave out its lines, or its columns: drop = [{', '.join(columns)}])"


NAMES = " (header = true if the first line names the columns; label_column = 0 if it holds the labels; drop = [0] leaves it out)"
SEPARATED = " (fields are separated by blanks; give another delimiter)"
QUOTE = " (fields are separated by commas; quote a field that holds one)"
LARGE = " (features lie within ±3.4e38, the range of float32)"
TWICE = " (give each column a name of its own; header = false if the first line is a sample)"
EITHER = " (header = true if it names the columns, header = false if it is a sample)"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "{path} is empty (one sample, or one rating, a line)"),
        ("\n # a\n\n#b", {}, "{path} is empty: 2 lines begin with # (one sample, or one rating, a line)"),
        ("a,b\n", {}, "{path}: no line after the header (header = false if the first line is a sample)"),
        ("a,y\n1,0\n2,1,5\n", {}, "{path}, line 3: 3 fields, not 2 as in line 1" + QUOTE),
        ("1,0\n2,1,5\n", {}, "{path}, line 2: 3 fields, not 2 as in line 1" + QUOTE),
        ("a,b,y\n1,2,0\n\n2,x,1\n", {}, "{path}, line 4, column 'b': 'x' is not a finite number" + label_hint('"b"')),
        ("a,b,y\n1,2,0\n,3,1\n", {}, "{path}, line 3, column 'a': the field is empty" + missing('"a"')),
        ("a,b,y\n1,nan,0\n2,3,1\n", {}, "{path}, line 2, column 'b': the value is missing ('nan')" + missing('"b"')),
        (
            "1,?,0\n2,3,1\nNA,5,1\n",
            {},
            "{path}, line 1, column '1': the value is missing ('?'), as are 1 more" + missing("0", "1"),
        ),
        ("a,b,y\n1,2,0\n2,-inf,1\n", {}, "{path}, line 3, column 'b': '-inf' is not a finite number" + LARGE),
        ("a,b,y\n1,2,0\n2,1e39,1\n", {}, "{path}, line 3, column 'b': '1e39' is not a finite number" + LARGE),
        ("a,b,y\n1,2,0\n2,1_0,1\n", {}, "{path}, line 3, column 'b': '1_0' is not a finite number" + label_hint('"b"')),
        (
            "a;b;y\n1,5;2;0\n2;3,5;1\n",
            {},
            "{path}, line 2, column 'a': '1,5' is not a finite number (write a point before decimals, not a comma)",
        ),
        ("a,y\n1,0\n2,1\n", {"header": False}, "{path}, line 1, column '0': 'a' is not a finite number" + NAMES),
        ("a\n1\n", {}, "{path}: one column cannot hold both features and labels" + SEPARATED),
        (
            "a,y\n1,0\n",
            {"delimiter": ";;"},
            "{path}: delimiter must be one character or '::', not ';;' (left out, it is found)",
        ),
        ("a,y\n1,0\n", {"label_column": "yy"}, "{path}: no column 'yy' (did you mean 'y'? allowed: a, y)"),
        ("a,y\n1,0\n", {"label_column": 2}, "{path}: no column 2 (there are 2, counted from 0)"),
        ("a,y\n1,0\n", {"drop": ("b",)}, "{path}: no column 'b' (allowed: a, y)"),
        (
            "a,y\n1,0\n",
            {"drop": ("a",)},
            "{path}: no column of features remains (label_column and drop take all there are)",
        ),
        (
            "1,0\n2,1\n",
            {"label_column": "y", "header": False},
            "{path}: no column 'y' without a header (give label_column as a number)",
        ),
        (
            "1,0\n2,1\n",
            {"label_column": "y"},
            "{path}: no column 'y' without a header (give label_column as a number)",
        ),
        ("a,y\n1,0\n2,0\n", {}, "{path}: all 2 labels are 0 (at least two classes are needed)"),
        ('a,y\n1,0\n2,"1\n3,0\n', {}, '{path}, line 3: a quote is left open (close it, or write "" for a quote)'),
        (
            "a,b,a,y\n1,2,3,0\n",
            {},
            "{path}: columns 0 and 2 are both called 'a'" + TWICE,
        ),
        (
            "a,,b,y\n1,2,3,0\n",
            {},
            "{path}: column 1 has no name of its own (name it in the first line, or leave it out: drop = [1])",
        ),
        (
            ",a,y\n1.5,2,0\n2.5,3,1\n",
            {},
            "{path}: column 0 has no name of its own (name it in the first line, or leave it out: drop = [0])",
        ),
        ("0,1,2,y\n1,2,3,0\n", {}, "{path}: the first line counts: 0, 1, 2, y, …" + EITHER),
        (",0,1,2,y\n0,1,2,3,0\n", {}, "{path}: the first line counts: , 0, 1, 2, …" + EITHER),
        ("0,1,2,3\n5,2,3,0\n7,4,5,3\n", {}, "{path}: the first line counts: 0, 1, 2, 3, …" + EITHER),
        (
            "2019,2020,change,y\n1,2,3,0\n",
            {},
            "{path}: the first line holds words ('change') and numbers ('2019')" + EITHER,
        ),
    ],
)
def test_unusable_csv_files_are_told_with_their_line(tmp_path: Path, text: str, options: dict, message: str) -> None:
    path = write(tmp_path, "a.csv", text)
    with pytest.raises(DataError) as told:
        read_csv(path, **options)
    assert str(told.value) == message.replace("{path}", str(path))


DENSE = " (samples are held densely; reduce the features first)"
PAIRS = " (write label number:value number:value …, values finite)"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("1 1:2\n0 a:3\n", {}, "{path}, line 2: cannot read 'a:3'" + PAIRS),
        ("1 1:2\n0 3\n", {}, "{path}, line 2: cannot read '3'" + PAIRS),
        ("# x\n1 1:nan\n", {}, "{path}, line 2: cannot read '1:nan'" + PAIRS),
        ("1 1:1e39\n", {}, "{path}, line 1: cannot read '1:1e39'" + PAIRS),
        (f"1 {'9' * 5000}:1\n", {}, "{path}, line 1: cannot read '" + "9" * 37 + "…'" + PAIRS),
        ("", {}, "{path}: no features" + PAIRS),
        ("1 0:2\n", {"zero_based": False}, "{path}, line 1: feature 0 (zero_based = true if features count from 0)"),
        ("1 1:2 1:3\n", {}, "{path}, line 1: feature 1 occurs twice (keep one of them)"),
        ("1 1:2 4:3\n", {"features": 3}, "{path}, line 1: feature 4, but there are 3 (features = 4, or leave it out)"),
        ("1\n0\n", {}, "{path}: no features" + PAIRS),
        (
            "1 1:1\n0 9999999999:1\n",
            {},
            "{path}: 2 samples of 9,999,999,999 features take 75 GiB" + DENSE,
        ),
    ],
)
def test_unusable_svmlight_files_are_told_with_their_line(
    tmp_path: Path, text: str, options: dict, message: str
) -> None:
    path = write(tmp_path, "a.svm", text)
    with pytest.raises(DataError) as told:
        read_svmlight(path, **options)
    assert str(told.value) == message.replace("{path}", str(path))


def test_unusable_npz_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, features=X, y=WORDS, objects=np.array([{}], object))
    with pytest.raises(DataError) as told:
        read_npz(path)
    assert str(told.value) == f"{path}: no array 'x' (x is one of: features, y, objects)"
    for broken in ({"x": "objects"}, {"x": "features", "y": "objects"}):
        with pytest.raises(DataError, match=r"a\.npz cannot be read: .*write it with numpy\.savez, without objects"):
            read_npz(path, **broken)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"a\.npz cannot be read"):
        read_npz(path)
    np.save(tmp_path / "b.npy", X)
    for name in ("b.npy", "b.npz"):
        (tmp_path / "b.npz").write_bytes((tmp_path / "b.npy").read_bytes())
        with pytest.raises(DataError, match=rf"{name} is one array, without labels \(numpy\.savez"):
            load_file(tmp_path / name)
    (tmp_path / "c.npz").write_bytes(gzip.compress(b"PK"))
    with pytest.raises(DataError, match=r"c\.npz is packed by gzip"):
        load_file(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz")
    with pytest.raises(DataError, match=r"d\.npz: no array 'x' \(it holds no arrays\)"):
        load_file(tmp_path / "d.npz")


@pytest.mark.parametrize("name", ["none.csv", "none.npz", "none.svm"])
def test_a_file_that_does_not_exist_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as told:
        load_file(tmp_path / name)
    assert told.value.message == f"no such file: {tmp_path / name}"


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,y\n\xff,1\n")
    for reader in (read_csv, read_svmlight, load_file):
        with pytest.raises(DataError) as told:
            reader(path)
        assert told.value.message == f"{path} is not text in UTF-8: invalid start byte at byte 4, line 2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89HDF\r\n", "{path} is HDF5, which is not read"),
        (b"% a\n\n@RELATION iris\n", "{path} is ARFF, which is not read"),
        (b'{"x": [1]}', "{path} is no table: it begins with '{\"x\": [1]}'"),
    ],
)
def test_a_file_of_another_kind_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.data"
    path.write_bytes(content)
    with pytest.raises(DataError) as told:
        load_file(path)
    assert told.value.message == message.replace("{path}", str(path))
    assert told.value.hint


def test_a_keyword_of_another_reader_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as told:
        load_file(write(tmp_path, "a.csv", csv_text()), label_colum=0)
    assert told.value.message == f"{tmp_path / 'a.csv'}: files of csv take no label_colum"
    assert told.value.hint.startswith("did you mean 'label_column'? allowed: delimiter, drop, header, label_column, ")


def test_a_format_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as told:
        load_file(write(tmp_path, "a.data", csv_text()), format="cvs")
    allowed = f"allowed: {', '.join(sorted(DATAFILES))}"
    assert str(told.value).endswith(f"no reader for the format 'cvs' (did you mean 'csv'? {allowed})")


@pytest.mark.parametrize("name", ["a.data", "a.txt", "a", "a.CSV", "a.v1.2", "a.data.gz", "a.csv.gz", "a.npz"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "svmlight", "npz"])
def test_a_file_is_known_by_its_content_or_by_its_format(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if kind == "npz":
        np.savez(tmp_path / "made.npz", x=X, y=WORDS)
        content = (tmp_path / "made.npz").read_bytes()
        if name.endswith(".gz"):
            pytest.skip("npz is packed as it is")
    else:
        lines = "".join(f"{w} 1:{a} 2:{b} 3:{c}\n" for (a, b, c), w in zip(X, WORDS, strict=True))
        content = (lines if kind == "svmlight" else csv_text().replace(",", "," if kind == "csv" else "\t")).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    same(load_file(path, format=kind, standardize=False), from_arrays(X, WORDS, standardize=False))
    told = {"a.CSV": "csv", "a.csv.gz": "csv", "a.npz": "npz"}.get(name)
    if told is None or DATAFILES[told] is DATAFILES[kind]:
        same(load_file(path, standardize=False), from_arrays(X, WORDS, standardize=False))
