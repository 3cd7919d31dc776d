"""Measures of models and networks, and their presentation: names, which extreme is worst, scales and formats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import nearest

STATISTICS = ("mean", "std", "min", "max", "q05", "q25", "q50", "q75", "q95")
"""Endings of the keys under which a record keeps a measure of nodes."""


@dataclass(frozen=True)
class Measure:
    """A measure, as shown in tables and figures: of every node, or one number of the whole network.

    Attributes:
        key: name in records, to which ``_mean``, ``_min``, ``_q05`` … are appended if nodes are measured.
        name: name in words.
        unit: unit in the title of an axis, or empty.
        worst: which extreme is that of the worst node, "min" or "max"; without meaning for a number of the network.
        scale: scale of an axis, "linear" or "log".
        of: what is measured, "nodes" or the whole "network".
        heading: title of a panel, or empty for the name and the quantity on the x axis.
        formula: definition in TeX, or empty.
    """

    key: str
    name: str
    unit: str
    worst: Literal["min", "max"]
    scale: Literal["linear", "log"]
    of: Literal["nodes", "network"] = "nodes"
    heading: str = ""
    formula: str = ""

    @property
    def of_nodes(self) -> bool:
        """Whether every node is measured, so that there are a mean, a worst node and quantiles."""
        return self.of == "nodes"

    @property
    def is_fraction(self) -> bool:
        """Whether values lie in [0, 1] and are shown in percent."""
        return self.unit == "%"

    @property
    def title(self) -> str:
        """The axis title."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def capitalised(self) -> str:
        """The name with a capital letter, for the beginning of a sentence."""
        return self.name[:1].upper() + self.name[1:]

    @property
    def column(self) -> str:
        """The key in records of what is drawn and tabled first: the mean over nodes, or the network's number."""
        return self.statistic("mean") if self.of_nodes else self.key

    def statistic(self, which: str) -> str:
        """Return the key in records of a statistic over nodes, one of ``STATISTICS``."""
        return f"{self.key}_{which}"

    def text(self, value: float | None) -> str:
        """Format a value for a table; a dash if it is None or not finite."""
        if value is None or not math.isfinite(value):
            return "–"
        percent = self.is_fraction and abs(value) < 100  # an invalid fraction may have hundreds of digits
        return f"{100 * value:.1f}%" if percent else f"{value:.3g}"


MEASURES = (
    Measure("test_perplexity", "test perplexity", "", "max", "log"),
    Measure("test_accuracy", "test accuracy", "%", "min", "linear"),
    Measure("local_accuracy", "accuracy on own test samples", "%", "min", "linear"),
    Measure("nmi", "NMI with the classes", "", "min", "linear"),
    Measure("rmse", "RMSE on own ratings", "", "max", "linear"),
    Measure("test_mse", "mean squared error", "", "max", "log"),
    Measure("local_mse", "mean squared error on own test samples", "", "max", "log"),
    Measure("distance_to_optimum", "squared distance to the optimum", "", "max", "log"),
    Measure("test_loss", "test loss", "", "max", "log"),
    Measure("test_mae", "mean absolute error", "", "max", "log"),
    Measure("test_r2", "R²", "", "min", "linear"),
    Measure("test_top_5_accuracy", "top-5 accuracy", "%", "min", "linear"),
    Measure("test_balanced_accuracy", "balanced accuracy", "%", "min", "linear"),
    Measure("test_macro_f1", "macro F1", "%", "min", "linear"),
    Measure("attack_success", "attack success", "%", "max", "linear"),
)
"""Known measures of nodes, in order of preference."""

CONSENSUS = Measure(
    "consensus_distance",
    "consensus distance",
    "",
    "max",
    "log",
    of="network",
    heading="How far the models are apart",
    formula="$\\Sigma_i\\,\\Vert x_i-\\bar{x}\\Vert^2\\,/\\,n$",
)
"""The squared distance of the models from their mean, which every run records."""

LIARS_IN_VIEWS = Measure("liars_in_views", "liars in views", "%", "max", "linear", of="network")
"""The share of liars among the members of honest nodes' views, in a run whose overlay is lied to."""
LIARS_IN_SAMPLES = Measure("liars_in_samples", "liars in samples", "%", "max", "linear", of="network")
"""The share of liars among the nodes that honest nodes' samplers hold."""

NETWORK_MEASURES = (CONSENSUS, LIARS_IN_VIEWS, LIARS_IN_SAMPLES)
"""Known measures of the whole network, in order of preference."""

COUNTS = ("round", "messages", "requests", "bytes_sent", "metadata_bytes", "delivered", "in_flight")
COUNTS += ("virtual_s", "virtual_s_mean", "joules", "training_joules", "live_nodes", "wall_s")
"""Keys in records of what was done and how long it took, rather than of its result; ``lost_…`` are others."""


def measures_of(record: Mapping[str, Any]) -> tuple[Measure, ...]:
    """Return the measures of nodes in a record, in order of preference.

    A user's own measures come after the known ones, with a linear axis and the smallest value as the worst.
    """
    known = [measure for measure in MEASURES if measure.column in record]
    keys = {measure.key for measure in known}
    own = [key.removesuffix("_mean") for key in record if key.endswith("_mean") and not _is_count(key)]
    return (*known, *(Measure(key, named(key), "", "min", "linear") for key in own if key not in keys))


def network_measures_of(record: Mapping[str, Any]) -> tuple[Measure, ...]:
    """Return the measures of the whole network in a record: the known ones, then a user's own, with a linear axis."""
    known = [measure for measure in NETWORK_MEASURES if measure.key in record]
    of_nodes = measures_of(record)
    taken = {measure.key for measure in known} | {f"mean_model_{measure.key}" for measure in of_nodes}
    taken |= {measure.statistic(which) for measure in of_nodes for which in STATISTICS}
    return (*known, *(_of_network(key) for key in record if key not in taken and not _is_count(key)))


def _is_count(key: str) -> bool:
    return key in COUNTS or key.startswith("lost_")


def _of_network(key: str) -> Measure:
    return Measure(key, named(key), "", "min", "linear", of="network")


def named(key: str) -> str:
    """Return a measure's name in words, given its key in records; an unknown key with spaces for underscores."""
    known = (*MEASURES, *NETWORK_MEASURES)
    return next((measure.name for measure in known if measure.key == key), key.replace("_", " "))


def metric_of(records: Sequence[Mapping[str, Any]], metric: str | None) -> Measure:
    """Return the measure that a metric means.

    Args:
        records: the records of a run.
        metric: a measure of nodes, such as ``"test_accuracy"``, or any other key of a record, which is drawn like a measure
            of the whole network; None for the first measure of nodes.

    Raises:
        InputError: there are no records, or no such metric.
    """
    if not records:
        raise InputError("nothing was measured", hint="the run was stopped before its first evaluation")
    record = records[-1]
    of_nodes = measures_of(record)
    measures = (*of_nodes, *network_measures_of(record))
    for measure in measures:
        if metric in (measure.key, measure.column) or (metric is None and measure.of_nodes):
            return measure
    if metric is None or metric not in record:
        names = [measure.key for measure in measures] + [key for key in record if _is_count(key) and key != "round"]
        what = "measure of nodes" if metric is None else f"metric '{metric}'"
        raise InputError(f"no {what}", hint=nearest(metric or "", names))
    # What is left are counts, other statistics over nodes, and scores of the mean model.
    bases = [measure for measure in of_nodes if metric.removeprefix("mean_model_").startswith(measure.key)]
    if not bases:
        return _of_network(metric)
    return replace(max(bases, key=lambda measure: len(measure.key)), key=metric, name=named(metric), of="network")
