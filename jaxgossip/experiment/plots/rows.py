"""The rows of figures: a measure each, by default the runs' first one and the consensus distance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.plots.axes import XAxis
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.plotting import scales
from jaxgossip.plotting.measures import CONSENSUS, Measure
from jaxgossip.plotting.style import show_message

LOST_DISTANCE = "no consensus distance is finite\nonce the models differ"


def shown_measures(runs: Sequence[RunData], metrics: Sequence[str] = ()) -> tuple[Measure, ...]:
    """Return the measures to show of runs: a row of a figure each, from top to bottom.

    Args:
        runs: the runs, one at least.
        metrics: names of measures, as in :meth:`RunData.measure`; if empty, the first measure that all runs have, and the
            consensus distance.

    Raises:
        ConfigError: a run has no measure of such a name, or the runs have none in common.
    """
    if not metrics:
        return common_measure(runs), CONSENSUS
    first, *_ = [tuple(map(run.measure, dict.fromkeys(metrics))) for run in runs]  # every run has to have them
    return first


def common_measure(runs: Sequence[RunData]) -> Measure:
    """Return the first measure that all runs have.

    Raises:
        ConfigError: they have no measurement in common.
    """
    measure = next((each for each in runs[0].measures if all(each in run.measures for run in runs)), None)
    if measure is None:
        keys = "; ".join(f"{run.folder.name}: {', '.join(each.key for each in run.measures)}" for run in runs)
        raise ConfigError(f"the runs have no measurement in common: {keys}", hint="compare runs of one kind of task")
    return measure


def finish_values(row: Sequence[Axes], shown: Sequence[XAxis], measure: Measure, values: np.ndarray) -> None:
    """Give a row of panels its scale, limits and titles, or show why there is nothing to draw.

    Args:
        row: the panels, one per x axis.
        shown: their x axes.
        measure: the measure of the row.
        values: all values of it that are drawn, which need not be finite.
    """
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    log = measure.scale == "log" and positive.size > 0
    for axes in row:
        if not finite.size or (measure == CONSENSUS and not positive.size):
            show_message(axes, why_empty(measure, values))
            continue
        if log:
            axes.set_yscale("log")
        scales.value_axis(axes.yaxis, finite, log=log, percent=measure.is_fraction)
        scales.limit(axes, positive if log else finite, log=log)
    row[0].set_ylabel(label(measure))
    row[0].set_title(measure.heading or f"{measure.capitalised} {shown[0].words}")
    for axes, x_axis in zip(row[1:], shown[1:], strict=True):
        axes.set_title(f"… and {x_axis.words}")


def label(measure: Measure) -> str:
    """Return the title of a measure's axis, with its definition if it has one."""
    return f"{measure.title}   {measure.formula}" if measure.formula else measure.title


def why_empty(measure: Measure, values: np.ndarray) -> str:
    """Return the message for ``values`` of a measure that cannot be drawn, all of them missing, infinite or 0."""
    if not np.isfinite(values).any():
        return f"no finite {measure.name}\nwas measured"
    if (values == 0).all():
        return "all models are equal at every evaluation:\nthe consensus distance is 0"
    return LOST_DISTANCE
