"""Validation of class labels: integers or words, none missing, and classes rather than quantities."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.conversion import to_array

LABEL_NAMES = frozenset({"label", "labels", "class", "target"})
"""A column of this name holds the labels by default, if it is the only one."""
MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null"})
"""Lower-case words that stand for a missing value in files; "None", as Python writes it, is one as well."""
FEW_SAMPLES = 10
"""With fewer samples than this, labels are always taken as classes."""
FEW_CLASSES = 20
"""Up to this many distinct labels are classes, if there are two samples per label on average."""
SINGLE_SHARE = 0.1
"""With more distinct integers, a quantity has at least this share that occurs only once,"""
RECURRING = 10
"""or has gaps between its values, with a median count below this."""
LARGEST_EXACT = 2**53
"""Integers below it are exact in float64, in which labels are parsed."""
LARGEST = float(np.finfo(np.float32).max)
"""Largest magnitude of a feature."""

KINDS = "labels are integers or strings"
_WHOLE = re.compile(r"[+-]?[0-9]+")

type Place = Callable[[int], str]


def is_missing(word: str) -> bool:
    """Return whether a word stands for a missing value."""
    return word.strip().casefold() in MISSING or word.strip() == "None"


def number_of(word: str) -> float | None:
    """Return the number that a word stands for, infinity and NaN included; None if it is not a number."""
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None


def class_labels(name: str, values: Any, place: Place | None = None) -> np.ndarray:
    """Return labels as (m,) int64 or (m,) strings.

    Args:
        name: name of the data in messages.
        values: (m,) integers, integral floats, booleans or strings.
        place: row -> description of its label's place; by default "name: the label of row 3 (counted from 0)".

    Raises:
        DataError: a wrong shape or type, or a label that is missing, infinite, fractional or too large; the message names the
            first such row.
    """
    where = place or (lambda row: f"{name}: the label of row {row} (counted from 0)")
    if np.ma.is_masked(values):
        _refuse_missing(
            np.flatnonzero(np.ma.getmaskarray(values).any(tuple(range(1, values.ndim)))).tolist(), None, where
        )
    y = to_array(name, "labels", values, "one label a sample")
    if y.ndim != 1:
        columns = y.ndim == 2 and y.shape[1] > 0
        suggestion = ": y.ravel()" if columns and y.shape[1] == 1 else ": y.argmax(1), if a row marks its class"
        raise DataError(f"{name}: labels of shape {y.shape}", hint="one label a sample" + suggestion * columns)
    if y.dtype.kind == "O":
        y = _labels_of_objects(name, y, where)
    if y.dtype.kind in "UT":
        words = y.astype(str)
        _refuse_missing([row for row, word in enumerate(words.tolist()) if is_missing(word)], words, where)
        return words
    if y.dtype.kind == "f":
        return _labels_of_floats(name, y, where)
    if y.dtype.kind not in "biu":
        raise DataError(f"{name}: labels are of type {y.dtype}", hint=KINDS)
    if y.dtype.kind == "u" and y.size and int(y.max()) >= 2**63:
        raise DataError(f"{where(int(y.argmax()))} is {y.max()}", hint="whole numbers below 2⁶³, or strings")
    return y.astype(np.int64)


def labels_of_words(name: str, words: Sequence[str], place: Place) -> np.ndarray:
    """Return a file's labels as numbers if all of them are, so that 10 comes after 9; otherwise as strings.

    Args:
        name: name of the data in messages.
        words: the labels as written in the file.
        place: row -> description of its label's place.

    Raises:
        DataError: as ``class_labels`` does.
    """
    _refuse_missing([row for row, word in enumerate(words) if is_missing(word)], words, place)
    if all(_WHOLE.fullmatch(word) for word in words):
        large = [row for row, word in enumerate(words) if len(word.lstrip("+-0")) > 18]
        if large:
            raise DataError(f"{place(large[0])} is {shortened(words[large[0]])}", hint="at most 18 digits, or a word")
        return np.array([int(word) for word in words], np.int64)
    numbers = [number_of(word) for word in words]
    if any(number is None for number in numbers):
        return class_labels(name, np.array(words, dtype=str), place)
    return class_labels(name, np.array(numbers, np.float64), place)


def check_classes(name: str, y: np.ndarray, hint: str = "") -> None:
    """Raise DataError unless labels are classes: at least two, and not a quantity to be predicted.

    Args:
        name: name of the data in messages.
        y: (m,) labels, including those of the test set.
        hint: a further hint.
    """
    classes, counts = np.unique(y, return_counts=True)
    further_hint = f"; {hint}" if hint else ""
    if classes.size < 2:
        raise DataError(
            f"{name}: all {y.size} labels are {classes[0]}", hint="at least two classes are needed" + further_hint
        )
    singles = int((counts == 1).sum())
    if y.dtype.kind == "U":
        if singles == y.size >= FEW_SAMPLES:
            hint = "they would be no classes" + further_hint
            raise DataError(f"{name}: no two of the {y.size:,} samples have one label", hint=hint)
        return
    gaps = int(classes[-1]) - int(classes[0]) + 1 > classes.size
    like_quantity = (
        (gaps and np.median(counts) < RECURRING) or singles >= SINGLE_SHARE * classes.size
        if classes.size > FEW_CLASSES
        else gaps and 2 * classes.size > y.size
    )
    if y.size >= FEW_SAMPLES and (like_quantity or singles == y.size):
        raise _quantity_error(name, classes.size, y.size, further_hint)


def shortened(word: str) -> str:
    """Return a word for a message, truncated if it is long."""
    return word if len(word) <= 40 else word[:37] + "…"


def _labels_of_objects(name: str, y: np.ndarray, where: Place) -> np.ndarray:
    rows = y.tolist()
    missing = [row for row, value in enumerate(rows) if _is_missing_value(value)]
    _refuse_missing(missing, [str(value) for value in rows] if missing else (), where)
    strings = [isinstance(value, str) for value in rows]
    if all(strings):
        return y.astype(str)
    if any(strings):
        differing = strings.index(not strings[0])
        raise DataError(
            f"{where(differing)} is {rows[differing]!r}, and that of row 0 {rows[0]!r}",
            hint="all numbers, or all strings",
        )
    if all(isinstance(value, bool | int | float | np.integer | np.floating | np.bool_) for value in rows):
        return np.array(rows)
    raise DataError(f"{name}: labels are of type {y.dtype}", hint=KINDS)


def _is_missing_value(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # pandas types, without importing pandas


def _labels_of_floats(name: str, y: np.ndarray, where: Place) -> np.ndarray:
    _refuse_missing(np.flatnonzero(np.isnan(y)).tolist(), y, where)
    fraction = np.isfinite(y) & (y != np.round(y))
    if fraction.any() and (different := np.unique(y).size) > FEW_CLASSES:
        raise _quantity_error(name, different, y.size, "")
    wrong = fraction | ~(np.abs(y) < LARGEST_EXACT)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{where(row)} is {y[row]}", hint=KINDS)
    return y.astype(np.int64)


def _quantity_error(name: str, different: int, samples: int, more: str) -> DataError:
    return DataError(
        f"{name}: the labels look like a quantity, not classes: {different:,} different numbers in {samples:,} samples",
        hint="classes are learnt here: sort the numbers into bins first (numpy.digitize), or write words (c17) if each is a "
        "class" + more,
    )


def _refuse_missing(rows: Sequence[int], values: Any, where: Place) -> None:
    if rows:
        first = "" if values is None else str(values[rows[0]])
        value = f" ({first!r})" if first else ""
        others = f", as are {len(rows) - 1:,} more" if len(rows) > 1 else ""
        hint = "leave out samples without a label; if it is a class, give it another name"
        raise DataError(f"{where(rows[0])} is missing{value}{others}", hint=hint)
