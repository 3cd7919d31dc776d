"""Targets of samples: classes, values, or sequences of tokens."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int32

from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.conversion import to_numbers
from jaxgossip.learning.data.labels import LARGEST, check_classes, class_labels

Target = Literal["class", "value", "sequence"]
"""What a target is."""
MOST_TOKENS = 2**31 - 1


def checked_targets(name: str, part: str, target: Target, x: Any, y: Any, n_classes: int) -> None:
    """Check that targets go with samples, and are of their kind.

    Args:
        name: name of the data in messages.
        part: "training" or "test".
        target: what a target is.
        x: (m, …) samples.
        y: (m, …) targets.
        n_classes: number of classes, or of tokens in the vocabulary.

    Raises:
        DataError: they do not, or are not.
    """
    if not (hasattr(x, "shape") and hasattr(y, "shape")):
        raise DataError(f"{name}: {part} samples and labels are arrays", hint="from_arrays(x, y) takes lists")
    axes = {"class": (1,), "value": (1, 2), "sequence": (2,)}[target]
    if x.shape[:1] != y.shape[:1] or y.ndim not in axes or not y.size:
        raise DataError(f"{name}: {part} samples {x.shape} do not go with labels {y.shape}")
    if target == "value":
        if y.dtype.kind != "f":
            raise DataError(
                f"{name}: {part} values are of type {y.dtype}, not floats", hint="from_arrays converts them"
            )
        return
    if y.dtype.kind not in "iu":
        hint = "number the classes from 0; from_arrays does it"
        raise DataError(f"{name}: {part} labels are of type {y.dtype}, not integers", hint=hint)
    if y.min() < 0 or y.max() >= n_classes:
        raise DataError(f"{name}: {part} labels reach from {y.min()} to {y.max()}, not within 0..{n_classes - 1}")


def encoded(name: str, values: Any, target: Target) -> np.ndarray:
    """Return targets as arrays: labels as integers or strings, values as float32, tokens as int32.

    Args:
        name: name of the data in messages.
        values: the caller's targets.
        target: what a target is.

    Raises:
        DataError: they are not of their kind; the message names the first such row.
    """
    if target == "class":
        return class_labels(name, values)
    hint = "every target needs the same numbers"
    y = to_numbers(name, "targets", values, shape_hint=hint, kind_hint="numbers, one row a sample")
    return _values(name, y) if target == "value" else tokens(name, "targets", y)


def numbered(
    name: str, y: np.ndarray, y_test: np.ndarray, target: Target, labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, int, Sequence[str]]:
    """Return the targets of both sets with classes numbered from 0, the number of classes or tokens, and their names.

    Args:
        name: name of the data in messages.
        y: (m, …) targets for training, as :func:`encoded` returns them.
        y_test: (t, …) targets of the test set.
        target: what a target is.
        labels: names of the tokens, if there are any.

    Raises:
        DataError: labels of different types in the two sets, or that are no classes; or fewer names than tokens.
    """
    if target == "value":
        return y, y_test, 0, ()
    if target == "sequence":
        most = 1 + int(max(y.max(), y_test.max()))
        if labels and len(labels) < most:
            raise DataError(
                f"{name}: token {most - 1}, and {len(labels)} names", hint="one name for each token, from 0"
            )
        return y, y_test, len(labels) or most, labels
    if y.dtype.kind != y_test.dtype.kind:
        raise DataError(f"{name}: labels are numbers in one set and strings in the other", hint="write both alike")
    both = np.concatenate([y, y_test])
    check_classes(name, both)
    classes, numbers = np.unique(both, return_inverse=True)
    numbers = numbers.astype(np.int32)
    return numbers[: len(y)], numbers[len(y) :], classes.size, tuple(map(str, classes))


def tokens(name: str, what: str, values: np.ndarray) -> Int32[np.ndarray, "m ..."]:
    """Return tokens as int32.

    Raises:
        DataError: one that is not a whole number from 0.
    """
    if values.dtype.kind not in "iu":
        raise DataError(f"{name}: {what} are of type {values.dtype}", hint="tokens are whole numbers from 0")
    wrong = (values < 0) | (values > MOST_TOKENS)
    if wrong.any():
        row, *place = (int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{name}: a token of row {row} (counted from 0) is {values[row, *place]}", hint="tokens count from 0"
        )
    return values.astype(np.int32)


def _values(name: str, y: np.ndarray) -> Float32[np.ndarray, "m ..."]:
    if y.ndim not in (1, 2) or 0 in y.shape:
        raise DataError(f"{name}: values of shape {y.shape}", hint="one value a sample, or one row of values")
    wrong = ~(np.abs(y.astype(np.float64)) <= LARGEST)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise DataError(
            f"{name}: the value of row {row} (counted from 0) is {y[row]}", hint="finite numbers, none missing"
        )
    return y.astype(np.float32)
