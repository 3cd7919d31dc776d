"""Samples and their targets, split into a training table and a common test set.

Every data set is made by ``from_arrays``, which validates, encodes labels, shuffles, splits and standardises, so all data
sets are treated alike. A sample is an array of any shape: features are float32, images may stay uint8, and tokens int32. So
is a target: a class, one or several values, or a sequence of tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
from jaxtyping import Array, Float32, Num

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.backdoor import Trigger
from jaxgossip.learning.data.conversion import to_numbers
from jaxgossip.learning.data.owners import OwnerNumbers, owner_numbers
from jaxgossip.learning.data.scaling import Scaling, channel_scaling, standardized
from jaxgossip.learning.data.targets import Target, checked_targets, encoded, numbered, tokens
from jaxgossip.topology.memory_check import check_bytes

Samples = Num[np.ndarray | Array, "m ..."]
Targets = Num[np.ndarray | Array, "m ..."]
TestSamples = Num[np.ndarray | Array, "t ..."]
TestTargets = Num[np.ndarray | Array, "t ..."]
SampleKind = Literal["features", "images", "tokens"]

MISSING_FEATURES = "every feature has to be a finite number; fill or leave out what is missing"
TEST_FRACTION = 0.1
"""Fraction of the samples that is the test set, if none is given."""
MAX_LISTED = 10
"""Number of classes that are listed on one line."""


class ArrayOptions(TypedDict, total=False):
    """Keywords of :func:`from_arrays` that readers of arrays and columns take, too, and pass on as they are."""

    target: Target
    samples: SampleKind | None
    test_fraction: float | None
    standardize: bool | None
    rng: np.random.Generator | int


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with targets: a training set and a common test set.

    Attributes:
        name: name in messages and plots.
        x_train: (m, …), the training samples: float32 features, uint8 images, or int32 tokens.
        y_train: their targets: (m,) int32 classes 0..n_classes-1, (m,) or (m, k) float32 values, or (m, t) int32 tokens.
        x_test: (t, …), the common test set, which no node trains on.
        y_test: (t, …), its targets.
        n_classes: number of classes, or of tokens in the vocabulary; 0 if targets are values.
        labels: name of each class or token; empty if they have no names but their numbers.
        notes: remarks of the reader about the file, such as its label column and what was left out.
        target: what a target is: a "class", a "value" (or several), or a "sequence" of tokens.
        scaling: mean and standard deviation with which stored samples are scaled where they are used; None for none.
        owners: (m,) int32, the number of the owner of each training sample; None if unknown.
        owner_names: name of each owner; empty if they have no names but their numbers.
        trigger: the backdoor that some nodes learn (:func:`jaxgossip.learning.plant_backdoor`); None for none.

    Raises:
        DataError: tables of different lengths or shapes, targets that are not of their kind, a class that is not an integer
            in 0..n_classes-1, or names that are not one per class.
    """

    name: str
    x_train: Samples
    y_train: Targets
    x_test: TestSamples
    y_test: TestTargets
    n_classes: int
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    target: Target = "class"
    scaling: Scaling | None = None
    owners: OwnerNumbers | None = None
    owner_names: tuple[str, ...] = ()
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        for part, x, y in (("training", self.x_train, self.y_train), ("test", self.x_test, self.y_test)):
            checked_targets(self.name, part, self.target, x, y, self.n_classes)
        _check_shapes(self.name, "samples", self.x_train, self.x_test)
        _check_shapes(self.name, "targets", self.y_train, self.y_test)
        if self.labels and len(self.labels) != self.n_classes:
            raise DataError(f"{self.name}: {len(self.labels)} names of {self.n_classes} classes")
        if self.owners is not None and self.owners.shape != (len(self.x_train),):
            raise DataError(f"{self.name}: owners of shape {self.owners.shape}", hint="one owner a training sample")

    def __repr__(self) -> str:
        summary = self.describe()
        samples = (
            f"Dataset({self.name!r}: {summary['training_samples']:,} training and {summary['test_samples']:,} test samples "
            f"of {summary['features']:,} {self.samples}"
        )
        if self.target != "class":
            return f"{samples}, {self.targets_text})"
        classes = ", ".join(summary["classes"]) if len(summary["classes"]) <= MAX_LISTED else ""
        return f"{samples}, {self.n_classes:,} classes{': ' * bool(classes)}{classes})"

    @property
    def samples(self) -> SampleKind:
        """What a sample is, by its dtype: float features, uint8 images, or int32 tokens."""
        kind = np.dtype(self.x_train.dtype)
        return "images" if kind == np.uint8 else "tokens" if kind.kind == "i" else "features"

    @property
    def n_outputs(self) -> int:
        """Number of outputs of a model for one target: classes, tokens of the vocabulary, or values."""
        return self.n_classes if self.target != "value" else math.prod(self.y_train.shape[1:])

    @property
    def n_tokens(self) -> int:
        """Number of different tokens that samples may have: one more than the largest; 0 if they have none."""
        if self.samples != "tokens":
            return 0
        largest = max((int(x.max()) for x in (self.x_train, self.x_test) if x.size), default=-1)
        return max(largest + 1, self.n_classes if self.target == "sequence" else 0)

    @property
    def targets_text(self) -> str:
        """What is predicted, in words."""
        if self.target == "sequence":
            return f"{self.y_train.shape[1]:,} tokens to predict, of {self.n_classes:,}"
        return "one value to predict" if self.n_outputs == 1 else f"{self.n_outputs:,} values to predict"

    def describe(self) -> dict[str, Any]:
        """Return a summary of the data.

        Returns:
            name, training_samples, test_samples, shape (of a sample), features (per sample), samples and target (what they
            are), classes (name -> number of samples in both sets; empty if targets are not classes), owners (their number; 0
            if unknown) and notes, which include classes with a single sample or none to train on.
        """
        notes, classes = [], {}
        if self.target == "class":
            trained, tested = (np.bincount(y, minlength=self.n_classes) for y in (self.y_train, self.y_test))
            counts = trained + tested
            names = self.labels or tuple(map(str, range(self.n_classes)))
            classes = dict(zip(names, counts.tolist(), strict=True))
            single = listed_names([name for name, count in classes.items() if count == 1])
            unseen = listed_names([name for name, count in zip(names, trained, strict=True) if not count])
            notes = [f"a single sample of: {single}"] * bool(single) + [f"none to train on of: {unseen}"] * bool(unseen)
        return {
            "name": self.name,
            "training_samples": len(self.y_train),
            "test_samples": len(self.y_test),
            "shape": tuple(self.x_train.shape[1:]),
            "features": math.prod(self.x_train.shape[1:]),
            "samples": self.samples,
            "target": self.target,
            "predicted": self.targets_text if self.target != "class" else "",
            "classes": classes,
            "owners": 0 if self.owners is None else int(np.unique(self.owners).size),
            "notes": (*self.notes, *notes),
        }


@guarded
def from_arrays(
    x: Any,
    y: Any,
    *,
    x_test: Any = None,
    y_test: Any = None,
    target: Target = "class",
    samples: SampleKind | None = None,
    owners: Any = None,
    labels: Sequence[str] = (),
    name: str = "arrays",
    notes: Sequence[str] = (),
    test_fraction: float | None = None,
    standardize: bool | None = None,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Make a data set from arrays.

        standardised x = (x − mean)/standard deviation, both of the training rows; constant features become 0

    Features are standardised one by one and stored as float32. Images stay uint8 and are standardised by colour channel, where
    they are used. Values to predict are not standardised.

    Args:
        x: (m, …) real numbers, one sample per row; a table may be a matrix of scipy.sparse or a pandas frame.
        y: targets. Classes (m,): integers, integral floats, booleans or strings; encoded as 0..c-1 in sorted order. Values
            (m,) or (m, k): finite numbers. Sequences (m, t): tokens, integers from 0.
        x_test: (t, …) samples of a separate test set.
        y_test: (t, …) targets of the test set.
        target: what a target is: a "class", a "value" (or several), or a "sequence" of tokens.
        samples: what a sample is: "features", "images" or "tokens"; None takes integers as tokens if targets are sequences,
            uint8 arrays of three or four axes as images, and everything else as features.
        owners: (m,) integers or strings, whose each sample is; None if unknown.
        labels: the name of each token of the vocabulary, where targets are sequences; classes have the names that y gives.
        name: name in messages.
        notes: further remarks about the data.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples; 0.1 if None. Only
            without a separate test set.
        standardize: scale each feature, or each channel of images, to mean 0 and standard deviation 1; if None, all but
            tokens, which cannot be scaled, are.
        rng: generator, or its seed, that shuffles the samples before the split, or the training samples if a test set
            is given.

    Raises:
        DataError: features that are ragged, not numbers or not finite, a target that is missing or not of its kind, labels
            that look like a quantity rather than classes, or too few samples (the message names the place); a test set
            without samples or targets, of other shapes or other label types; owners that are not one a sample; a
            ``test_fraction`` outside (0, 1), that leaves nothing to train on, or beside a test set; or tokens that are to be
            standardised.
    """
    rng = np.random.default_rng(rng)
    x = _samples(name, x, samples, target)
    y = encoded(name, y, target)
    whose = None if owners is None else owner_numbers(name, owners, len(x))
    if (x_test is None) != (y_test is None):
        raise DataError(f"{name}: a test set needs both samples and labels", hint="give x_test and y_test")
    if x_test is not None and test_fraction is not None:
        message = f"{name}: test_fraction = {test_fraction}, and the data have a test set of their own"
        raise DataError(message, hint="leave out test_fraction")
    if standardize and x.dtype == np.int32:
        raise DataError(f"{name}: standardize, and samples are tokens, which are not scaled", hint="leave it out")
    if x_test is None:
        _check_lengths(name, x, y)
        train, test = _split(name, len(x), TEST_FRACTION if test_fraction is None else test_fraction, rng)
        x, x_test, y, y_test = x[train], x[test], y[train], y[test]
    else:
        x_test = _samples(f"{name} (test)", x_test, samples, target)
        y_test = encoded(f"{name} (test)", y_test, target)
        _check_lengths(name, x, y)
        _check_lengths(f"{name} (test)", x_test, y_test)
        _check_shapes(name, "samples", x, x_test)
        train = rng.permutation(len(x))
        x, y = x[train], y[train]
    y, y_test, n_classes, labels = numbered(name, y, y_test, target, labels)
    scaling, scaled = None, standardize is None or bool(standardize)
    if scaled and x.dtype == np.uint8:
        scaling = channel_scaling(x)
    elif scaled and x.dtype == np.float32:
        x, x_test = standardized(x, x_test)
    return Dataset(
        name, x, y, x_test, y_test, n_classes, tuple(labels), tuple(notes), target, scaling,
        None if whose is None else whose.numbers[train], () if whose is None else whose.names,
    )  # fmt: skip


def listed_names(names: Sequence[str]) -> str:
    """Return names as listed in a sentence: all if they are few, else the first few and a count."""
    return ", ".join(names[:MAX_LISTED]) + (f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else "")


def _samples(name: str, values: Any, wanted: SampleKind | None, target: Target) -> np.ndarray:
    """Return samples as float32 features, uint8 images or int32 tokens."""
    if hasattr(values, "toarray"):  # of scipy.sparse
        check_bytes(
            f"{name}: samples, which are held densely",
            4 * math.prod(values.shape),
            "fewer samples or features",
            error=DataError,
        )
        values = values.toarray()
    if np.ma.is_masked(values):
        raise DataError(f"{name}: some features are masked", hint=MISSING_FEATURES)
    hint = "every sample needs the same features"
    x = to_numbers(name, "samples", values, shape_hint=hint, kind_hint="encode text as numbers first")
    if x.ndim < 2 or 0 in x.shape:
        raise DataError(f"{name}: samples of shape {x.shape}", hint="one row a sample, at least one feature")
    if wanted is None:
        is_image = x.dtype == np.uint8 and x.ndim in (3, 4)
        wanted = "tokens" if target == "sequence" else "images" if is_image else "features"
    if wanted == "images":
        return _images(name, x)
    return tokens(name, "samples", x) if wanted == "tokens" else _features(name, x)


def _images(name: str, x: np.ndarray) -> np.ndarray:
    if x.ndim not in (3, 4):
        raise DataError(
            f"{name}: images of shape {x.shape}", hint="(images, height, width) or (images, height, width, colours)"
        )
    if x.dtype != np.uint8 and (x.dtype.kind not in "iu" or x.min() < 0 or x.max() > 255):
        raise DataError(f"{name}: pixels of type {x.dtype}", hint="whole numbers from 0 to 255, or samples='features'")
    return x.astype(np.uint8, copy=False)


def _features(name: str, x: np.ndarray) -> Float32[np.ndarray, "m ..."]:
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


def _check_shapes(name: str, what: str, train: Any, test: Any) -> None:
    if train.shape[1:] != test.shape[1:]:
        shapes = f"{train.shape[1:]} and {test.shape[1:]}"
        hint = "the same features in both" if what == "samples" else "targets of one shape in both"
        raise DataError(f"{name}: {what} for training and test differ in shape: {shapes}", hint=hint)


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
