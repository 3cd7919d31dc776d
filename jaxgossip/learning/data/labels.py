"""Class labels, checked in one place: whole numbers or words, none missing, and classes rather than quantities."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgossip.core.errors import DataError

MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null"})
"""Words, in lower case, that files have for a value that is not there; "None" besides, Python's own."""
FEW_SAMPLES = 10
"""Labels of fewer samples than these are classes, whatever they are."""
FEW_CLASSES = 20
"""So many different labels are classes, if samples have two each on average."""
SINGLE_SHARE = 0.1
"""Of more whole numbers, a quantity has at least this share that occurs only once."""
RECURRING = 10
"""Or it leaves out numbers in between, and half of those that occur do so fewer times than this."""
LARGEST_EXACT = 2**53
"""Whole numbers below it are exact in float64, as they have to be where numbers are read as such."""
LARGEST = float(np.finfo(np.float32).max)
"""The largest number that a feature can be."""

KINDS = "labels are integers or strings"
_WHOLE = re.compile(r"[+-]?[0-9]+")

type Place = Callable[[int], str]


def is_missing(word: str) -> bool:
    """Say whether a word stands for a value that is not there."""
    return word.strip().casefold() in MISSING or word.strip() == "None"


def number_of(word: str) -> float | None:
    """Return a number as files write it, infinite and NaN too; None if it is none."""
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None


def class_labels(name: str, values: Any, place: Place | None = None) -> np.ndarray:
    """Return labels as (m,) int64 or as (m,) strings.

    Args:
        name: what messages call the data.
        values: (m,) integers, whole floats, booleans or strings.
        place: says where the label of a row stands; by default "name: the label of row 3 (counted from 0)".

    Raises:
        DataError: another shape or type, or a label that is missing, infinite, a fraction or too large; the first such row
            is named.
    """
    where = place or (lambda row: f"{name}: the label of row {row} (counted from 0)")
    if np.ma.is_masked(values):
        _refuse_missing(
            np.flatnonzero(np.ma.getmaskarray(values).any(tuple(range(1, values.ndim)))).tolist(), None, where
        )
    try:
        y = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name}: labels differ in shape", hint="one label a sample") from error
    if y.ndim != 1:
        columns = y.ndim == 2 and y.shape[1] > 0
        way_out = ": y.ravel()" if columns and y.shape[1] == 1 else ": y.argmax(1), if a row marks its class"
        raise DataError(f"{name}: labels of shape {y.shape}", hint="one label a sample" + way_out * columns)
    if y.dtype.kind == "O":
        y = _of_objects(name, y, where)
    if y.dtype.kind in "UT":
        words = y.astype(str)
        _refuse_missing([row for row, word in enumerate(words.tolist()) if is_missing(word)], words, where)
        return words
    if y.dtype.kind == "f":
        return _of_floats(name, y, where)
    if y.dtype.kind not in "biu":
        raise DataError(f"{name}: labels are of type {y.dtype}", hint=KINDS)
    if y.dtype.kind == "u" and y.size and int(y.max()) >= 2**63:
        raise DataError(f"{where(int(y.argmax()))} is {y.max()}", hint="whole numbers below 2⁶³, or strings")
    return y.astype(np.int64)


def labels_of_words(name: str, words: Sequence[str], place: Place) -> np.ndarray:
    """Return labels of a file as numbers if all of them are, so that 10 comes after 9; as strings otherwise.

    Args:
        name: what messages call the data.
        words: the labels as the file has them.
        place: says where the label of a row stands.

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
    """Raise DataError unless labels name classes: at least two, and not a quantity to be predicted.

    Args:
        name: what messages call the data.
        y: (m,) labels, those of the test set too.
        hint: a further way out.
    """
    classes, counts = np.unique(y, return_counts=True)
    more = f"; {hint}" if hint else ""
    if classes.size < 2:
        raise DataError(f"{name}: all {y.size} labels are {classes[0]}", hint="at least two classes are needed" + more)
    singles = int((counts == 1).sum())
    if y.dtype.kind == "U":
        if singles == y.size >= FEW_SAMPLES:
            hint = "they would be no classes" + more
            raise DataError(f"{name}: no two of the {y.size:,} samples have one label", hint=hint)
        return
    gaps = int(classes[-1]) - int(classes[0]) + 1 > classes.size
    many = (
        (gaps and np.median(counts) < RECURRING) or singles >= SINGLE_SHARE * classes.size
        if classes.size > FEW_CLASSES
        else gaps and 2 * classes.size > y.size
    )
    if y.size >= FEW_SAMPLES and (many or singles == y.size):
        raise _quantity(name, classes.size, y.size, more)


def shortened(word: str) -> str:
    """Return a word as messages show it: its first letters if it is long."""
    return word if len(word) <= 40 else word[:37] + "…"


def _of_objects(name: str, y: np.ndarray, where: Place) -> np.ndarray:
    rows = y.tolist()
    missing = [row for row, value in enumerate(rows) if _is_nothing(value)]
    _refuse_missing(missing, [str(value) for value in rows] if missing else (), where)
    strings = [isinstance(value, str) for value in rows]
    if all(strings):
        return y.astype(str)
    if any(strings):
        odd = strings.index(not strings[0])
        raise DataError(
            f"{where(odd)} is {rows[odd]!r}, and that of row 0 {rows[0]!r}", hint="all numbers, or all strings"
        )
    if all(isinstance(value, bool | int | float | np.integer | np.floating | np.bool_) for value in rows):
        return np.array(rows)
    raise DataError(f"{name}: labels are of type {y.dtype}", hint=KINDS)


def _is_nothing(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # of pandas, which need not be installed


def _of_floats(name: str, y: np.ndarray, where: Place) -> np.ndarray:
    _refuse_missing(np.flatnonzero(np.isnan(y)).tolist(), y, where)
    fraction = np.isfinite(y) & (y != np.round(y))
    if fraction.any() and (different := np.unique(y).size) > FEW_CLASSES:
        raise _quantity(name, different, y.size, "")
    wrong = fraction | ~(np.abs(y) < LARGEST_EXACT)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{where(row)} is {y[row]}", hint=KINDS)
    return y.astype(np.int64)


def _quantity(name: str, different: int, samples: int, more: str) -> DataError:
    return DataError(
        f"{name}: the labels look like a quantity, not classes: {different:,} different numbers in {samples:,} samples",
        hint="classes are learnt here: sort the numbers into bins first (numpy.digitize), or write words (c17) if each is a "
        "class" + more,
    )


def _refuse_missing(rows: Sequence[int], values: Any, where: Place) -> None:
    if rows:
        first = "" if values is None else str(values[rows[0]])
        told = f" ({first!r})" if first else ""
        others = f", as are {len(rows) - 1:,} more" if len(rows) > 1 else ""
        hint = "leave out samples without a label; if it is a class, give it another name"
        raise DataError(f"{where(rows[0])} is missing{told}{others}", hint=hint)
