"""Data sets from the user's own files: CSV, NumPy's npz, svmlight. Messages name the file and the line."""

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxgossip.errors import DataError
from jaxgossip.learning.arrays import Dataset, from_arrays
from jaxgossip.learning.labels import labels_of_words
from jaxgossip.registry import Builder, nearest

MAX_DENSE_BYTES = 2**34
"""A sparse file is held densely, up to this size."""

_PAIRS = "write label number:value number:value …, values finite"
_FILL = "fill or leave out what is missing"


def read_csv(
    path: str | Path,
    *,
    header: bool = True,
    label_column: int | str = -1,
    delimiter: str = ",",
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read a table with one sample a line; labels may be integers or text, all other columns are numbers.

    Args:
        path: the file, in UTF-8.
        header: whether the first line names the columns.
        label_column: the column of labels, by its name or its number from 0; negative numbers count from the end.
        delimiter: what separates fields.
        test_fraction: fraction of samples kept as the common test set.
        standardize: bring each feature to mean 0 and deviation 1.
        rng: shuffles samples before they are split; an int is a seed.

    Raises:
        DataError: no such file or column, a line of another length, or a field that is not a finite number.
    """
    if len(delimiter) != 1:
        raise DataError(f"{path}: delimiter must be one character, not {delimiter!r}")
    lines, fields = _csv_fields(path, delimiter)
    names = [str(number) for number in range(len(fields[0]))]
    if header:
        names, fields, lines = fields[0], fields[1:], lines[1:]
        if not fields:
            raise DataError(f"{path}: no line after the header", hint="header = false if the first line is a sample")
        if all(_number(name) is not None for name in names):
            raise DataError(f"{path}: the first line holds numbers, not names of columns", hint="header = false")
    label = _column(path, names, label_column, header=header)
    features = [column for column in range(len(names)) if column != label]
    text = np.array(fields)
    try:
        x = text[:, features].astype(np.float64)
    except ValueError:
        x = None
    if x is None or not np.isfinite(x).all():
        raise _not_a_number(path, lines, names, fields, features, header=header)
    y = labels_of_words(str(path), text[:, label].tolist(), lambda row: f"{path}, line {lines[row]}: the label")
    return from_arrays(x, y, name=str(path), test_fraction=test_fraction, standardize=standardize, rng=rng)


def read_npz(
    path: str | Path,
    *,
    x: str = "x",
    y: str = "y",
    x_test: str | None = None,
    y_test: str | None = None,
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read arrays from a file of ``numpy.savez``.

    Args:
        path: the file.
        x: name of the array of samples (m, …).
        y: name of the array of labels (m,).
        x_test: name of the test samples, if the file has a test set of its own; test_fraction is not used then.
        y_test: name of the test labels.
        test_fraction: fraction of samples kept as the common test set.
        standardize: bring each feature to mean 0 and deviation 1.
        rng: shuffles samples before they are split; an int is a seed.

    Raises:
        DataError: no such file or array, or one that NumPy cannot read.
    """
    arrays = _npz_arrays(path)
    names = {"x": x, "y": y, "x_test": x_test, "y_test": y_test}
    for role, wanted in names.items():
        if wanted is not None and wanted not in arrays:
            raise DataError(f"{path}: no array '{wanted}'", hint=f"{role} is one of: {', '.join(arrays)}")
    found = {role: arrays[wanted]() for role, wanted in names.items() if wanted is not None}
    return from_arrays(**found, name=str(path), test_fraction=test_fraction, standardize=standardize, rng=rng)


def read_svmlight(
    path: str | Path,
    *,
    features: int | None = None,
    zero_based: bool = False,
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read a sparse file of svmlight or LIBSVM, ``label number:value …`` a line, into a dense table.

    Args:
        path: the file, in UTF-8.
        features: numbers a sample; the largest that occurs if left out.
        zero_based: whether features count from 0 instead of 1.
        test_fraction: fraction of samples kept as the common test set.
        standardize: bring each feature to mean 0 and deviation 1.
        rng: shuffles samples before they are split; an int is a seed.

    Raises:
        DataError: no such file, a malformed line, a feature out of range, or a table too large to be held densely.
    """
    first = 0 if zero_based else 1
    labels: list[str] = []
    lines: list[int] = []
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for line, label, pairs in _svmlight_lines(path):
        seen: set[int] = set()
        for pair in pairs:
            number, _, value = pair.partition(":")
            column, parsed = _integer(number), _number(value)
            if column is None or parsed is None or not np.isfinite(parsed):
                raise DataError(f"{path}, line {line}: cannot read '{pair}'", hint=_PAIRS)
            if column < first:
                raise DataError(
                    f"{path}, line {line}: feature {column}", hint="zero_based = true if features count from 0"
                )
            if column in seen:
                raise DataError(f"{path}, line {line}: feature {column} occurs twice")
            if features is not None and column - first >= features:
                raise DataError(f"{path}, line {line}: feature {column}, but there are {features}")
            seen.add(column)
            rows.append(len(labels))
            columns.append(column - first)
            values.append(parsed)
        labels.append(label)
        lines.append(line)
    if not columns:
        raise DataError(f"{path}: no features")
    width = max(columns) + 1 if features is None else features
    if len(labels) * width * 4 > MAX_DENSE_BYTES:
        raise DataError(
            f"{path}: {len(labels):,} samples of {width:,} features take {len(labels) * width * 4 / 2**30:,.0f} GiB",
            hint="samples are held densely; reduce the features first",
        )
    x = np.zeros((len(labels), width), np.float32)
    x[rows, columns] = values
    y = labels_of_words(str(path), labels, lambda row: f"{path}, line {lines[row]}: the label")
    return from_arrays(x, y, name=str(path), test_fraction=test_fraction, standardize=standardize, rng=rng)


DATAFILES: Mapping[str, Builder] = MappingProxyType(
    {"csv": read_csv, "npz": read_npz, "svm": read_svmlight, "svmlight": read_svmlight, "libsvm": read_svmlight}
)
"""Readers by the suffix of a file, without the dot."""


def load_file(
    path: str | Path,
    *,
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
    **options: Any,
) -> Dataset:
    """Read a file by its suffix: .csv, .npz, .svm, .svmlight or .libsvm.

    Args:
        path: the file.
        test_fraction: fraction of samples kept as the common test set.
        standardize: bring each feature to mean 0 and deviation 1.
        rng: shuffles samples before they are split; an int is a seed.
        **options: further keywords of the reader.

    Raises:
        DataError: no such file, or none that can be read.
    """
    suffix = Path(path).suffix.removeprefix(".")
    if suffix not in DATAFILES:
        raise DataError(f"{path}: no reader for files '.{suffix}'", hint=nearest(suffix, list(DATAFILES)))
    return DATAFILES[suffix](path, test_fraction=test_fraction, standardize=standardize, rng=rng, **options)


def _existing(path: str | Path) -> Path:
    found = Path(path).expanduser()
    if not found.is_file():
        raise DataError(f"no such file: {path}")
    return found


def _text(path: str | Path) -> str:
    try:
        return _existing(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {error.reason} at byte {error.start}") from error


def _npz_arrays(path: str | Path) -> dict[str, Callable[[], np.ndarray]]:
    """Return what reads each array of a file: large archives may hold more than is asked for."""

    def read(name: str) -> np.ndarray:
        with _unreadable(path), _existing(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays[name]

    found = _existing(path)
    with _unreadable(path), found.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: partial(read, name) for name in arrays.files}


@contextmanager
def _unreadable(path: str | Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a damaged archive raises whatever its part of the library likes
        raise DataError(f"{path} cannot be read: {error}", hint="write it with numpy.savez, without objects") from error


def _csv_fields(path: str | Path, delimiter: str) -> tuple[list[int], list[list[str]]]:
    """Return line numbers and fields of all lines that are not empty, all of one length."""
    reader = csv.reader(_text(path).splitlines(), delimiter=delimiter, skipinitialspace=True)
    lines, fields = [], []
    try:
        for row in reader:
            if row:
                lines.append(reader.line_num)
                fields.append([field.strip() for field in row])
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    if not fields:
        raise DataError(f"{path} is empty")
    width = len(fields[0])
    if width < 2:
        hint = f"fields are separated by {delimiter!r}; give another delimiter"
        raise DataError(f"{path}: one column cannot hold both features and labels", hint=hint)
    for line, row in zip(lines, fields, strict=True):
        if len(row) != width:
            raise DataError(f"{path}, line {line}: {len(row)} fields, not {width} as in line {lines[0]}")
    return lines, fields


def _column(path: str | Path, names: list[str], wanted: int | str, *, header: bool) -> int:
    if isinstance(wanted, str):
        if not header:
            raise DataError(f"{path}: no column '{wanted}' without a header", hint="give label_column as a number")
        if wanted not in names:
            raise DataError(f"{path}: no column '{wanted}'", hint=nearest(wanted, names))
        return names.index(wanted)
    if not -len(names) <= wanted < len(names):
        raise DataError(f"{path}: no column {wanted}", hint=f"there are {len(names)}, counted from 0")
    return wanted % len(names)


def _not_a_number(
    path: str | Path, lines: list[int], names: list[str], fields: list[list[str]], features: list[int], *, header: bool
) -> DataError:
    """Return what is to be told of the first field that is not a finite number."""
    for place, (line, row) in enumerate(zip(lines, fields, strict=True)):
        for column in features:
            number = _number(row[column])
            if number is None or not np.isfinite(number):
                told = f"'{row[column]}' is not a finite number" if row[column] else "the field is empty"
                hint = _FILL if not row[column] or number is not None else "which column holds labels? see label_column"
                hint = "header = true if the first line names the columns" if not (header or place) else hint
                return DataError(f"{path}, line {line}, column '{names[column]}': {told}", hint=hint)
    raise AssertionError  # pragma: no cover - called when there is one


def _svmlight_lines(path: str | Path) -> Iterator[tuple[int, str, list[str]]]:
    for line, content in enumerate(_text(path).splitlines(), start=1):
        words = content.partition("#")[0].split()
        if words:
            if ":" in words[0]:
                raise DataError(f"{path}, line {line}: no label before '{words[0]}'", hint=_PAIRS)
            if "," in words[0]:
                hint = "a sample has one class; write a word for each combination"
                raise DataError(f"{path}, line {line}: the label '{words[0]}' holds several", hint=hint)
            yield line, words[0], words[1:]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _integer(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
