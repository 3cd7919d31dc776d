"""Sparse text files of svmlight and LIBSVM: a label and the non-zero features of one sample per line."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.files import read_text
from jaxgossip.learning.data.arrays import Dataset, from_arrays
from jaxgossip.learning.data.labels import LARGEST, check_classes, labels_of_words, number_of, shortened

MAX_DENSE_BYTES = 2**34
"""Largest size of the dense table that a sparse file is read into."""

_PAIRS = "write label number:value number:value …, values finite"


@guarded
def read_svmlight(
    path: str | Path,
    *,
    features: int | None = None,
    zero_based: bool | None = None,
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read a sparse file of svmlight or LIBSVM, with ``label number:value …`` on each line, into a dense table.

    Text after # is a comment; ``qid:7`` after a label is ignored. ``notes`` of the data set say how the file was read.

    Args:
        path: the file, UTF-8 text, optionally compressed with gzip.
        features: number of features per sample; by default the largest that occurs.
        zero_based: whether features are numbered from 0 instead of 1; by default, they are if there is a feature 0.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale each feature to mean 0 and standard deviation 1.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: a missing file, a malformed line, a missing label, labels that are no classes, a feature out of
            range, a table too large to be stored densely, or a ``test_fraction`` outside (0, 1).
    """
    labels: list[str] = []
    lines: list[int] = []
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    queries = 0
    for line, label, pairs in _lines(path):
        seen: set[int] = set()
        for place, pair in enumerate(pairs):
            if place == 0 and pair.startswith("qid:"):
                queries += 1
                continue
            column, value = _pair(path, line, pair)
            if column in seen:
                raise DataError(f"{path}, line {line}: feature {column} occurs twice", hint="keep one of them")
            if column == 0 and zero_based is False:
                raise DataError(f"{path}, line {line}: feature 0", hint="zero_based = true if features count from 0")
            seen.add(column)
            rows.append(len(labels))
            columns.append(column)
            values.append(value)
        labels.append(label)
        lines.append(line)
    if not columns:
        raise DataError(f"{path}: no features", hint=_PAIRS)
    first = 0 if zero_based or (zero_based is None and min(columns) == 0) else 1
    width = max(columns) - first + 1
    if features is not None and width > features:
        at = lines[rows[columns.index(max(columns))]]
        hint = f"features = {width}, or leave it out"
        raise DataError(f"{path}, line {at}: feature {max(columns)}, but there are {features}", hint=hint)
    width = features or width
    if len(labels) * width * 4 > MAX_DENSE_BYTES:
        raise DataError(
            f"{path}: {len(labels):,} samples of {width:,} features take {len(labels) * width * 4 / 2**30:,.0f} GiB",
            hint="samples are held densely; reduce the features first",
        )
    x = np.zeros((len(labels), width), np.float32)
    x[rows, np.array(columns) - first] = values
    y = labels_of_words(str(path), labels, lambda row: f"{path}, line {lines[row]}: the label")
    check_classes(str(path), y)
    notes = [f"sparse (svmlight), features counted from {first}"]
    notes += [f"left out: the query of {queries:,} lines (qid)"] if queries else []
    return from_arrays(
        x, y, name=str(path), notes=notes, test_fraction=test_fraction, standardize=standardize, rng=rng
    )  # fmt: skip


def is_svmlight(line: str) -> bool:
    """Return whether a line looks like svmlight: number:value pairs, after a label or alone."""
    words = line.partition("#")[0].split()
    pairs = [word for word in words[1:] or words if word.count(":") == 1]
    return (
        bool(words)
        and len(pairs) == len(words[1:] or words)
        and all(pair.split(":")[0].isdecimal() for pair in pairs[1:])
    )


def _lines(path: str | Path) -> Iterator[tuple[int, str, list[str]]]:
    for line, content in enumerate(io.StringIO(read_text(path, DataError), newline=None), start=1):
        words = content.partition("#")[0].split()
        if not words:
            continue
        if ":" in words[0]:
            raise DataError(f"{path}, line {line}: no label before '{shortened(words[0])}'", hint=_PAIRS)
        if "," in words[0]:
            hint = "a sample has one class; write a word for each combination"
            raise DataError(f"{path}, line {line}: the label '{shortened(words[0])}' holds several", hint=hint)
        yield line, words[0], words[1:]


def _pair(path: str | Path, line: int, pair: str) -> tuple[int, float]:
    number, _, value = pair.partition(":")
    parsed = number_of(value)
    whole = number.isascii() and number.isdecimal() and len(number) <= 18
    if not whole or parsed is None or not abs(parsed) <= LARGEST:
        raise DataError(f"{path}, line {line}: cannot read '{shortened(pair)}'", hint=_PAIRS)
    return int(number), parsed
