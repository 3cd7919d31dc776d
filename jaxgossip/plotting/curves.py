"""Curves of records by rounds, drawn into any axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from jaxgossip.plotting.measures import Measure, metric_of
from jaxgossip.plotting.scales import limit, value_axis
from jaxgossip.plotting.style import style

type Record = Mapping[str, Any]


def draw_records(records: Sequence[Record], metric: str | None, axes: Axes | None, label: str) -> Axes:
    """Draw a metric of one run by rounds; of a measure of nodes the mean, with a band of their quantiles 5 to 95 %.

    Args:
        records: the records of the run, in the order of rounds.
        metric: a measure of nodes, which stands for its mean, or any key of a record; None for the first measure of nodes.
        axes: the axes to draw into; None for new ones in the style of jaxgossip.
        label: label of the line.

    Returns:
        The axes.

    Raises:
        InputError: there are no records, or no such metric.
    """
    measure = metric_of(records, metric)
    axes = new_axes() if axes is None else axes
    rounds, values = column(records, "round"), column(records, measure.column)
    (line,) = axes.plot(rounds, values, label=label, marker="o" if len(rounds) == 1 else "")
    if measure.of_nodes and measure.statistic("q05") in records[-1]:
        low, high = (column(records, measure.statistic(quantile)) for quantile in ("q05", "q95"))
        axes.fill_between(rounds, low, high, color=line.get_color(), alpha=0.18, lw=0)
    return finished(axes, measure)


def draw_band(axes: Axes, rounds: np.ndarray, mean: np.ndarray, std: np.ndarray, label: str, dash: str = "-") -> None:
    """Draw a mean over runs (k,) by rounds (k,), and a band of one standard deviation (k,) on either side of it."""
    (line,) = axes.plot(rounds, mean, dash, label=label, marker="o" if len(rounds) == 1 else "")
    if np.isfinite(std).any():
        axes.fill_between(rounds, mean - std, mean + std, color=line.get_color(), alpha=0.18, lw=0)


def new_axes() -> Axes:
    """Return the axes of a new figure in the style of jaxgossip; a notebook shows it."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - pyplot keeps its figures, which only a caller's own are to be

    with style():
        return plt.subplots(figsize=(6.0, 3.8), layout="constrained")[1]


def told_apart(axes: Axes, count: int) -> None:
    """Give the axes ``count`` distinct colours if the style has fewer."""
    with style():
        few = len(mpl.rcParams["axes.prop_cycle"])
    if count > few:
        axes.set_prop_cycle(color=mpl.colormaps["viridis"](np.linspace(0.05, 0.9, count)))


def column(records: Sequence[Record], key: str) -> np.ndarray:
    """Return (k,) float64: one value per evaluation, NaN where there is none."""
    return np.asarray([record.get(key, np.nan) for record in records], np.float64)


def finished(axes: Axes, measure: Measure) -> Axes:
    """Give axes their titles, their scale and ticks for all of their lines, and a legend if there are several; return them."""
    drawn = [np.asarray(line.get_ydata(), np.float64) for line in axes.lines]
    drawn += [np.asarray(path.vertices, np.float64)[:, 1] for band in axes.collections for path in band.get_paths()]
    values = np.concatenate([some[np.isfinite(some)] for some in drawn]) if drawn else np.zeros(0)
    log = measure.scale == "log" and bool((values > 0).any())
    with style():
        if log:
            axes.set_yscale("log", nonpositive="mask")
        value_axis(axes.yaxis, values, log=log, percent=measure.is_fraction)
        if log:
            limit(axes, values[values > 0], log=True)
        axes.set_ylabel(measure.title)
        axes.set_xlabel("round")
        if len(axes.lines) > 1:
            axes.legend(borderaxespad=0.8)
    return axes
