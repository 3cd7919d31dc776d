"""Rankings of many runs by their final scores, where overlaid lines could not be distinguished."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxgossip.core import units
from jaxgossip.experiment.plots import labels, rows
from jaxgossip.experiment.plots.runs import check_count
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.plotting import scales
from jaxgossip.plotting.measures import CONSENSUS, Measure
from jaxgossip.plotting.style import BLUE, GREY, ORANGE, style

MAX_ROWS = 200
"""Largest number of runs, a row each, that a picture of a few pages is high enough for."""


def ranking(runs: Sequence[RunData], names: Sequence[str], title: str = "") -> Figure:
    """Draw the final scores of runs, best mean first: mean, worst node, mean model, consensus distance, bytes per round.

    Runs that diverged, or have no finite mean, come last with a note, for their earlier measurements are no final scores.

    Args:
        runs: the runs, at most ``MAX_ROWS``.
        names: labels of the rows.
        title: title of the figure.

    Raises:
        ConfigError: there are no runs or too many, or they have no measurement in common.
    """
    check_count(runs, MAX_ROWS)
    measure = rows.common_measure(runs)
    means = np.array([_final(run, measure.column) for run in runs])
    worse_first = means if measure.worst == "min" else -means
    order = np.argsort(np.where(np.isfinite(worse_first), worse_first, -np.inf), kind="stable")
    ranked = [runs[place] for place in order]
    y = np.arange(len(runs))
    with style():
        height = 1.7 + 0.2 * len(runs)
        figure = Figure(figsize=(12, height), layout="constrained")
        left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1.5, 1, 1))
        columns = {
            "mean": measure.column,
            "worst": measure.statistic(measure.worst),
            "mean model": f"mean_model_{measure.key}",
        }
        values = {role: np.array([_final(run, key) for run in ranked]) for role, key in columns.items()}
        left.hlines(y, values["worst"], values["mean"], color=BLUE, alpha=0.35, linewidth=2)
        left.plot(values["worst"], y, "|", color=BLUE, markersize=8, markeredgewidth=1.8)
        left.plot(values["mean model"], y, "x", color=ORANGE, markersize=5)
        left.plot(values["mean"], y, "o", color=BLUE, markersize=5.5)
        left.set_yticks(y, [names[place] for place in order], fontsize=8.5)
        left.set_title(f"Final {measure.name}")
        scales.value_axis(left.xaxis, np.concatenate(list(values.values())), log=False, percent=measure.is_fraction)
        left.set_xlabel(measure.title)
        handles = [
            Line2D([], [], linestyle="", marker="o", color=BLUE, label="mean of nodes"),
            Line2D(
                [],
                [],
                linestyle="",
                marker="|",
                markersize=8,
                markeredgewidth=1.8,
                color=BLUE,
                label="worst node",
            ),
            Line2D([], [], linestyle="", marker="x", color=ORANGE, label="mean model"),
        ]
        figure.legend(
            handles=handles, loc="upper right", bbox_to_anchor=(0.995, 1 - 0.08 / height), ncols=3, fontsize=8.5
        )
        _log_dots(middle, np.array([_final(run, CONSENSUS.column) for run in ranked]))
        middle.set_title(CONSENSUS.heading)
        middle.set_xlabel(rows.label(CONSENSUS))
        each = np.array([run.bytes_per_node()[-1] / max(1.0, run.column("round")[-1]) for run in ranked])
        right.plot(each, y, "o", color=BLUE, markersize=5.5)
        right.set_title("What a node sends in a round")
        if (each > 0).any():
            scales.bytes_axis(right, float(each[each > 0].min()), float(np.nanmax(each)), "sent per node and round")
        for place, run in enumerate(ranked):
            _explain_missing(left, run, place, measure)
            text = f"{units.bytes_text(run.final['bytes_sent'])} in {int(run.final['round']):,} rounds"
            right.annotate(
                text, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=7.5, color=GREY
            )
        for axes in (left, middle, right):
            axes.grid(axis="y", alpha=0.35)
            axes.set_ylim(-0.7, len(runs) - 0.3)
        shared = labels.common(runs)
        figure.suptitle(title or f"{len(runs)} runs", x=0.012, ha="left", fontsize=13, fontweight="bold")
        if shared:
            figure.supxlabel(f"all: {labels.sentence(shared)}", fontsize=9, color="#444444")
    return figure


def _final(run: RunData, key: str) -> float:
    """Return the last value of a run's column, or NaN if the run diverged."""
    return float("nan") if run.diverged_round is not None else float(run.column(key)[-1])


def _explain_missing(axes: Axes, run: RunData, place: int, measure: Measure) -> None:
    """Write the reason into the row of a run that has no final score."""
    if np.isfinite(_final(run, measure.column)):
        return
    why = "no finite mean" if run.diverged_round is None else f"diverged in round {run.diverged_round:,}"
    axes.annotate(why, (0.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, color=ORANGE)


def _log_dots(axes: Axes, values: np.ndarray) -> None:
    positive = np.isfinite(values) & (values > 0)
    axes.plot(values[positive], np.flatnonzero(positive), "o", color=BLUE, markersize=5.5)
    if positive.any():
        axes.set_xscale("log")
        scales.log_ticks(axes.xaxis, values[positive])
