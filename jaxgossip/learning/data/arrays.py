"""Samples with class labels, split into a training table and a common test set.

Every data set is made by ``from_arrays``, which validates, encodes labels, shuffles, splits and standardises, so all data
sets are treated alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float32, Int32

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.labels import check_classes, class_labels

Samples = Float32[np.ndarray | Array, "m ..."]
ClassNumbers = Int32[np.ndarray | Array, "m"]
TestSamples = Float32[np.ndarray | Array, "t ..."]
TestClassNumbers = Int32[np.ndarray | Array, "t"]

MISSING_FEATURES = "every feature has to be a finite number; fill or leave out what is missing"
MAX_LISTED = 10
"""Number of classes that are listed on one line."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples of ``n_classes`` classes: a training set and a common test set.

    Attributes:
        name: name in messages and plots.
        x_train: (m, …) float32, the training samples.
        y_train: (m,) int32, their labels 0..n_classes-1.
        x_test: (t, …) float32, the common test set, which no node trains on.
        y_test: (t,) int32, its labels.
        n_classes: number of classes.
        labels: name of each class; empty if classes have no names but their numbers.
        notes: remarks of the reader about the file, such as its label column and what was left out.

    Raises:
        DataError: tables of different lengths or shapes, a label that is not an integer in 0..n_classes-1, or names
            that are not one per class.
    """

    name: str
    x_train: Samples
    y_train: ClassNumbers
    x_test: TestSamples
    y_test: TestClassNumbers
    n_classes: int
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part, x, y in (("training", self.x_train, self.y_train), ("test", self.x_test, self.y_test)):
            if not (hasattr(x, "shape") and hasattr(y, "shape")):
                raise DataError(
                    f"{self.name}: {part} samples and labels are arrays", hint="from_arrays(x, y) takes lists"
                )
            if x.shape[:1] != y.shape or not y.size:
                raise DataError(f"{self.name}: {part} samples {x.shape} do not go with labels {y.shape}")
            if y.dtype.kind not in "iu":
                hint = "number the classes from 0; from_arrays does it"
                raise DataError(f"{self.name}: {part} labels are of type {y.dtype}, not integers", hint=hint)
            if y.min() < 0 or y.max() >= self.n_classes:
                raise DataError(
                    f"{self.name}: {part} labels reach from {y.min()} to {y.max()}, not within 0..{self.n_classes - 1}"
                )
        _check_shapes(self.name, self.x_train, self.x_test)
        if self.labels and len(self.labels) != self.n_classes:
            raise DataError(f"{self.name}: {len(self.labels)} names of {self.n_classes} classes")

    def __repr__(self) -> str:
        summary = self.describe()
        classes = ", ".join(summary["classes"]) if len(summary["classes"]) <= MAX_LISTED else ""
        return (
            f"Dataset({self.name!r}: {summary['training_samples']:,} training and {summary['test_samples']:,} test samples of "
            f"{summary['features']:,} features, {self.n_classes:,} classes{': ' * bool(classes)}{classes})"
        )

    def describe(self) -> dict[str, Any]:
        """Return a summary of the data.

        Returns:
            name, training_samples, test_samples, shape (of a sample), features (per sample), classes (name -> number of
            samples in both sets) and notes, which include classes with a single sample or none to train on.
        """
        trained, tested = (np.bincount(y, minlength=self.n_classes) for y in (self.y_train, self.y_test))
        counts = trained + tested
        names = self.labels or tuple(map(str, range(self.n_classes)))
        single = _listed([name for name, count in zip(names, counts, strict=True) if count == 1])
        unseen = _listed([name for name, count in zip(names, trained, strict=True) if not count])
        notes = [f"a single sample of: {single}"] * bool(single) + [f"none to train on of: {unseen}"] * bool(unseen)
        return {
            "name": self.name,
            "training_samples": len(self.y_train),
            "test_samples": len(self.y_test),
            "shape": tuple(self.x_train.shape[1:]),
            "features": math.prod(self.x_train.shape[1:]),
            "classes": dict(zip(names, counts.tolist(), strict=True)),
            "notes": (*self.notes, *notes),
        }


@guarded
def from_arrays(
    x: Any,
    y: Any,
    *,
    x_test: Any = None,
    y_test: Any = None,
    name: str = "arrays",
    notes: Sequence[str] = (),
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Make a data set from arrays.

        standardised x = (x − mean)/standard deviation, both of the training rows; constant features become 0

    Args:
        x: (m, …) real numbers, one sample per row; stored as float32.
        y: (m,) labels: integers, integral floats, booleans or strings; encoded as 0..c-1 in sorted order.
        x_test: (t, …) samples of a separate test set; ``test_fraction`` is then ignored.
        y_test: (t,) labels of the test set.
        name: name in messages.
        notes: further remarks about the data.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale each feature to mean 0 and standard deviation 1.
        rng: generator, or its seed, that shuffles the samples before the split, or the training samples if a test set
            is given.

    Raises:
        DataError: features that are ragged, not numbers or not finite, a label that is missing or fractional, labels
            that look like a quantity rather than classes, or too few samples (the message names the place); a test set
            without samples or labels, of other shapes or other label types; or a ``test_fraction`` outside (0, 1) or
            that leaves nothing to train on.
    """
    rng = np.random.default_rng(rng)
    x, y = _features(name, x), class_labels(name, y)
    if (x_test is None) != (y_test is None):
        raise DataError(f"{name}: a test set needs both samples and labels", hint="give x_test and y_test")
    if x_test is None:
        _check_lengths(name, x, y)
        train, test = _split(name, len(x), test_fraction, rng)
        x, x_test, y, y_test = x[train], x[test], y[train], y[test]
    else:
        x_test, y_test = _features(f"{name} (test)", x_test), class_labels(f"{name} (test)", y_test)
        _check_lengths(name, x, y)
        _check_lengths(f"{name} (test)", x_test, y_test)
        _check_shapes(name, x, x_test)
        shuffled = rng.permutation(len(x))
        x, y = x[shuffled], y[shuffled]
    if y.dtype.kind != y_test.dtype.kind:
        raise DataError(f"{name}: labels are numbers in one set and strings in the other", hint="write both alike")
    both = np.concatenate([y, y_test])
    check_classes(name, both)
    classes, encoded = np.unique(both, return_inverse=True)
    encoded = encoded.astype(np.int32)
    if standardize:
        x, x_test = _standardized(x, x_test)
    return Dataset(
        name, x, encoded[: len(y)], x_test, encoded[len(y) :], classes.size, tuple(map(str, classes)), tuple(notes)
    )


def _listed(names: Sequence[str]) -> str:
    """Return names as listed in a sentence: all if they are few, else the first few and a count."""
    return ", ".join(names[:MAX_LISTED]) + (f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else "")


def _features(name: str, values: Any) -> Float32[np.ndarray, "m ..."]:
    if hasattr(values, "toarray"):
        raise DataError(f"{name}: samples are a sparse matrix", hint="samples are held densely: x.toarray()")
    if np.ma.is_masked(values):
        raise DataError(f"{name}: some features are masked", hint=MISSING_FEATURES)
    try:
        x = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name}: samples differ in shape", hint="every sample needs the same features") from error
    if x.dtype.kind not in "biuf":
        raise DataError(f"{name}: features are of type {x.dtype}, not numbers", hint="encode text as numbers first")
    if x.ndim < 2 or 0 in x.shape:
        raise DataError(f"{name}: samples of shape {x.shape}", hint="one row a sample, at least one feature")
    with np.errstate(over="ignore"):  # values too large for float32 are reported below
        single = x.astype(np.float32)
    if not np.isfinite(single).all():
        row, *place = (int(i) for i in np.argwhere(~np.isfinite(single))[0])
        column = place[0] if len(place) == 1 else tuple(place)
        raise DataError(
            f"{name}: row {row}, column {column} (counted from 0) is {x[row, *place]}",
            hint=MISSING_FEATURES,
        )
    return single


def _check_lengths(name: str, x: np.ndarray, y: np.ndarray) -> None:
    if len(x) != len(y):
        raise DataError(f"{name}: {len(x)} samples, but {len(y)} labels", hint="one label a sample")


def _check_shapes(name: str, x: Samples, x_test: TestSamples) -> None:
    if x.shape[1:] != x_test.shape[1:]:
        shapes = f"{x.shape[1:]} and {x_test.shape[1:]}"
        raise DataError(
            f"{name}: samples for training and test differ in shape: {shapes}", hint="the same features in both"
        )


def _split(name: str, n_samples: int, test_fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (training, test) row numbers in random order."""
    if not 0 < test_fraction < 1:
        raise DataError(f"{name}: test_fraction = {test_fraction} does not lie between 0 and 1", hint="0.1 is a tenth")
    # 100 * 0.07 is 7.000000000000001 in floating point, but should give seven samples.
    n_test = math.ceil(round(n_samples * test_fraction, 6))
    if n_test >= n_samples:
        message = f"{name}: test_fraction = {test_fraction} of {n_samples} samples leaves none for training"
        raise DataError(message, hint="a smaller test_fraction, or more samples")
    shuffled = rng.permutation(n_samples)
    return shuffled[n_test:], shuffled[:n_test]


def _standardized(x: np.ndarray, x_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = x.mean(0, dtype=np.float64)
    constant = x.max(0) == x.min(0)  # the computed deviation may be above 0 by rounding
    scale = np.where(constant, 0, 1 / np.where(constant, 1, x.std(0, dtype=np.float64)))
    train, test = (((rows - mean) * scale).astype(np.float32) for rows in (x, x_test))
    return train, test
