"""What is measured of a model, and how it is told: its words, which end is worst, its scale, its digits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxgossip.core.errors import InputError


@dataclass(frozen=True)
class Measure:
    """A measurement of models as tables and pictures show it.

    Attributes:
        key: the name in a record, to which ``_mean``, ``_min``, ``_q05`` … are appended.
        name: the same in words.
        unit: what an axis adds in parentheses, or empty.
        worst: which extreme is the worst node.
        scale: of an axis.
    """

    key: str
    name: str
    unit: str
    worst: Literal["min", "max"]
    scale: Literal["linear", "log"]

    @property
    def is_fraction(self) -> bool:
        """Whether values lie in 0 to 1 and are shown in percent."""
        return self.unit == "%"

    @property
    def title(self) -> str:
        """The axis title."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def text(self, value: float) -> str:
        """Return a value as a table shows it, a dash for what is not finite."""
        if not math.isfinite(value):
            return "–"
        percent = self.is_fraction and abs(value) < 100  # what is no fraction may have hundreds of digits
        return f"{100 * value:.1f}%" if percent else f"{value:.3g}"


MEASURES = (
    Measure("test_accuracy", "test accuracy", "%", "min", "linear"),
    Measure("local_accuracy", "accuracy on own test samples", "%", "min", "linear"),
    Measure("nmi", "NMI with the classes", "", "min", "linear"),
    Measure("rmse", "RMSE on own ratings", "", "max", "linear"),
    Measure("distance_to_optimum", "squared distance to the optimum", "", "max", "log"),
    Measure("test_loss", "test loss", "", "max", "log"),
)
"""Known measurements, the most telling first."""


NO_MEASURES = ("virtual_s_mean",)
"""What a record has a mean of that is not of a model."""


def measures_of(record: Mapping[str, Any]) -> tuple[Measure, ...]:
    """Return the measures that a record holds, the most telling first.

    A user's own measurement comes after those known here, on a linear axis and with its smallest value the worst.
    """
    known = [measure for measure in MEASURES if f"{measure.key}_mean" in record]
    keys = {measure.key for measure in known}
    own = [key.removesuffix("_mean") for key in record if key.endswith("_mean") and key not in NO_MEASURES]
    return (*known, *(Measure(key, named(key), "", "min", "linear") for key in own if key not in keys))


def named(key: str) -> str:
    """Return the words for a measurement by its name in records."""
    return next((measure.name for measure in MEASURES if measure.key == key), key.replace("_", " "))


def metric_of(records: Sequence[Mapping[str, Any]], metric: str | None) -> tuple[Measure | None, str]:
    """Return what a metric's name means: (the measurement that it is of, if any; its key in a record).

    Args:
        records: of a run.
        metric: a measurement, such as ``"test_accuracy"``, of which it is the mean; or any key; None: the first measurement.

    Raises:
        InputError: there are no records, or none of that name.
    """
    if not records:
        raise InputError("nothing was measured", hint="the run was stopped before its first evaluation")
    measures = measures_of(records[-1])
    if metric is None and measures:
        return measures[0], f"{measures[0].key}_mean"
    for measure in measures:
        if metric == measure.key:
            return measure, f"{measure.key}_mean"
    if metric is None or metric not in records[-1]:
        known = ", ".join([*(measure.key for measure in measures), *(key for key in records[-1] if key != "round")])
        raise InputError(f"no metric '{metric}'", hint=f"there are: {known}")
    of = [measure for measure in measures if metric.removeprefix("mean_model_").startswith(measure.key)]
    return (max(of, key=lambda measure: len(measure.key)) if of else None), metric
