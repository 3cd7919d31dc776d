"""Measures of models and their presentation: names, which extreme is worst, scales and formats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxgossip.core.errors import InputError


@dataclass(frozen=True)
class Measure:
    """A measure of models, as shown in tables and figures.

    Attributes:
        key: name in records, to which ``_mean``, ``_min``, ``_q05`` … are appended.
        name: name in words.
        unit: unit in the title of an axis, or empty.
        worst: which extreme is that of the worst node, "min" or "max".
        scale: scale of an axis, "linear" or "log".
    """

    key: str
    name: str
    unit: str
    worst: Literal["min", "max"]
    scale: Literal["linear", "log"]

    @property
    def is_fraction(self) -> bool:
        """Whether values lie in [0, 1] and are shown in percent."""
        return self.unit == "%"

    @property
    def title(self) -> str:
        """The axis title."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def text(self, value: float) -> str:
        """Format a value for a table; a dash if it is not finite."""
        if not math.isfinite(value):
            return "–"
        percent = self.is_fraction and abs(value) < 100  # an invalid fraction may have hundreds of digits
        return f"{100 * value:.1f}%" if percent else f"{value:.3g}"


MEASURES = (
    Measure("test_accuracy", "test accuracy", "%", "min", "linear"),
    Measure("local_accuracy", "accuracy on own test samples", "%", "min", "linear"),
    Measure("nmi", "NMI with the classes", "", "min", "linear"),
    Measure("rmse", "RMSE on own ratings", "", "max", "linear"),
    Measure("distance_to_optimum", "squared distance to the optimum", "", "max", "log"),
    Measure("test_loss", "test loss", "", "max", "log"),
)
"""Known measures, in order of preference."""


NO_MEASURES = ("virtual_s_mean",)
"""Means in records that are not measures of models."""


def measures_of(record: Mapping[str, Any]) -> tuple[Measure, ...]:
    """Return the measures in a record, in order of preference.

    A user's own measures come after the known ones, with a linear axis and the smallest value as the worst.
    """
    known = [measure for measure in MEASURES if f"{measure.key}_mean" in record]
    keys = {measure.key for measure in known}
    own = [key.removesuffix("_mean") for key in record if key.endswith("_mean") and key not in NO_MEASURES]
    return (*known, *(Measure(key, named(key), "", "min", "linear") for key in own if key not in keys))


def named(key: str) -> str:
    """Return a measure's name in words, given its key in records; an unknown key with spaces for underscores."""
    return next((measure.name for measure in MEASURES if measure.key == key), key.replace("_", " "))


def metric_of(records: Sequence[Mapping[str, Any]], metric: str | None) -> tuple[Measure | None, str]:
    """Return (the measure that a metric belongs to, if any; the metric's key in a record).

    Args:
        records: the records of a run.
        metric: a measure such as ``"test_accuracy"``, which stands for its mean, or any key of a record; None for the
            first measure.

    Raises:
        InputError: there are no records, or no such metric.
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
