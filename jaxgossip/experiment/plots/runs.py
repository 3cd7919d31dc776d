"""Figures of runs: the summary of a run, and several runs overlaid."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.plots import labels, panels
from jaxgossip.experiment.plots.axes import XAxis, x_axes
from jaxgossip.experiment.plots.panels import FANS
from jaxgossip.experiment.plots.rows import finish_values, shown_measures
from jaxgossip.experiment.results.run_data import BASELINES, RunData
from jaxgossip.plotting.measures import CONSENSUS, Measure
from jaxgossip.plotting.style import BLUE, GREY, ORANGE, check_marks, line_looks, show_message, style

NETWORKS = ("isolated",)
"""The baselines that have many models, as the run has; the others have a single one."""
MAX_RUNS = 40
"""Largest number of lines that can be told apart."""
FEW_LINES = 12
"""Largest number of runs that are drawn as lines with full labels; more are better shown as a ranking."""


def summary(run: RunData, by: Sequence[str] = (), metrics: Sequence[str] = ()) -> Figure:
    """Draw a run: a row of panels for each measure, with each x axis, and the final scores of all nodes.

    The fan shows quantiles over the evaluated nodes. Baselines send nothing, so against bytes their final level is drawn.

    Args:
        run: the run.
        by: names of the x axes; by default rounds, bytes, and virtual time if the run has it.
        metrics: names of the measures, as in :meth:`RunData.measure`; by default the first one and the consensus distance.

    Raises:
        ConfigError: an x axis or a measure is unknown, or the run does not have it.
    """
    measures, shown = shown_measures([run], metrics), x_axes([run], by)
    scored = next((measure for measure in measures if measure.of_nodes), None)
    with style():
        figure, rows, places = _page(shown, len(measures), 1 if scored is None else 2)
        roles: dict[str, None] = {}
        target: list[Line2D] = []
        for row, measure in zip(rows, measures, strict=True):
            roles |= _draw_measure(row, shown, run, measure)
            target += panels.mark_target(row, [run], measure)
        _finish(rows, shown, [run])
        for row in rows:
            for panel, x_axis in zip(row, shown, strict=True):
                if x_axis.name == "rounds" and run.diverged_round is not None:
                    panels.mark_divergence(panel, run.diverged_round, label=row is rows[0])
        if scored is not None:
            _draw_scores(figure.add_subplot(places[0]), run, scored)
        _draw_legend(figure.add_subplot(places[-1]), run, roles, shown, target)
        notes = labels.footnote(run, measures)
        _frame(figure, run.name, labels.sentence(labels.description(run)), notes, warning=labels.ending(run))
    return figure


def compare(
    runs: Sequence[RunData],
    names: Sequence[str] | None = None,
    by: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> Figure:
    """Overlay several runs: a row of panels for each measure, of nodes their mean and the worst one, with each x axis.

    Args:
        runs: the runs.
        names: labels in the legend; by default what distinguishes each run from the others.
        by: names of the x axes; by default rounds, bytes, and virtual time if all runs have it.
        metrics: names of the measures, as in :meth:`RunData.measure`; by default the first one that all runs have, and the
            consensus distance.

    Raises:
        ConfigError: there are no runs or too many, they have no measurement in common, or an x axis or a measure is unknown
            or missing in a run.
    """
    check_count(runs)
    measures, shown = shown_measures(runs, metrics), x_axes(runs, by)
    with style():
        figure, rows, (place,) = _page(shown, len(measures), 1)
        looks = line_looks(len(runs))
        target: list[Line2D] = []
        for row, measure in zip(rows, measures, strict=True):
            values = [_draw_compared(row, shown, run, measure, look) for run, look in zip(runs, looks, strict=True)]
            finish_values(row, shown, measure, np.concatenate(values))
            target += panels.mark_target(row, runs, measure)
        _finish(rows, shown, [replace(run, baselines={}) for run in runs])
        for row in rows:
            for axes in row:
                check_marks(axes)
        names = names or labels.differences(runs)
        _draw_run_legend(figure.add_subplot(place), runs, looks, measures, names, target)
        name = "One run" if len(runs) == 1 else f"{len(runs)} runs"
        shared = labels.sentence(labels.common(runs))
        _frame(figure, name, f"all: {shared}" if shared else "", [])
    return figure


def check_count(runs: Sequence[RunData], most: int = MAX_RUNS) -> None:
    """Raise ConfigError unless there are runs, and no more than ``most``."""
    if not 1 <= len(runs) <= most:
        raise ConfigError(f"{len(runs)} runs cannot be told apart in one picture", hint=f"give 2 to {most} runs")


def _page(shown: Sequence[XAxis], n_rows: int, n_places: int) -> tuple[Figure, list[list[Axes]], list[SubplotSpec]]:
    """Return (figure, rows of panels, places for scores and legends to the right of them).

    Args:
        shown: the x axes, a column of panels each.
        n_rows: number of rows of panels.
        n_places: 1, or 2 places one above the other, which are side by side if there is one row of panels.
    """
    more = n_places if n_rows == 1 else 1
    widths = [1.0] * len(shown) + [0.72] * more
    figure = Figure(figsize=(4.4 * len(shown) + 3.2 * more, 1.2 + 3.2 * n_rows), layout="constrained")
    grid = figure.add_gridspec(n_rows, len(widths), width_ratios=widths)
    rows = [[figure.add_subplot(grid[0, column]) for column in range(len(shown))]]
    for number in range(1, n_rows):
        rows.append([figure.add_subplot(grid[number, column], sharex=axes) for column, axes in enumerate(rows[0])])
    if n_rows > 1 and n_places == 2:
        return figure, rows, [grid[0, -1], grid[1:, -1]]
    return figure, rows, [grid[:, column] for column in range(-more, 0)]


def _finish(rows: Sequence[Sequence[Axes]], shown: Sequence[XAxis], runs: Sequence[RunData]) -> None:
    """Format the x axis of every panel, with titles in the last row only."""
    for row in rows:
        for axes, x_axis in zip(row, shown, strict=True):
            x_axis.finish(axes, runs)
            if row is not rows[-1]:
                axes.set_xlabel("")


def _frame(figure: Figure, title: str, subtitle: str, notes: Sequence[str], warning: str = "") -> None:
    """Write title, subtitle and notes around the panels, and fit the panels between them."""
    inches = figure.get_figheight()
    letters = 12.5 * figure.get_figwidth()  # as many as fit side by side
    lines = textwrap.wrap(subtitle, int(letters), break_long_words=False, break_on_hyphens=False)
    top = 0.14
    figure.text(0.012, 1 - top / inches, title, fontsize=13, fontweight="bold", va="top")
    top += 0.27
    for line in lines:
        figure.text(0.012, 1 - top / inches, line, color="#444444", va="top")
        top += 0.18
    if warning:
        figure.text(0.012, 1 - top / inches, warning, color=ORANGE, fontweight="bold", va="top")
        top += 0.19
    written = [line for note in notes for line in textwrap.wrap(note, int(1.1 * letters))]
    for number, line in enumerate(reversed(written)):
        figure.text(0.012, (0.1 + 0.18 * number) / inches, line, color="#444444", va="bottom")
    bottom = (0.16 + 0.18 * len(written)) / inches if written else 0.01
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    room = (0.005, bottom, 0.99, 1 - bottom - (top + 0.08) / inches)
    engine.set(rect=room, w_pad=0.06, h_pad=0.06, hspace=0.03, wspace=0.03)


def _draw_measure(row: Sequence[Axes], shown: Sequence[XAxis], run: RunData, measure: Measure) -> dict[str, None]:
    """Draw the measure in a row of panels; return the roles that a legend has to explain, in order."""
    log = measure.scale == "log"
    columns = {"mean" if measure.of_nodes else "network": run.values(measure)}
    if measure.of_nodes:
        columns["median"] = run.column(measure.statistic("q50"))
        columns["worst node"] = run.column(measure.statistic(measure.worst))
        columns["mean model"] = run.column(f"mean_model_{measure.key}")
    if measure.key == "test_accuracy":
        columns["own test samples"] = run.column("local_accuracy_mean")
    drawn = {role: column for role, column in columns.items() if np.isfinite(column).any()}
    names = [name for name in BASELINES if measure.of_nodes or name in NETWORKS]
    baselines = {name: run.values(measure, name) for name in names if name in run.baselines}
    # Measures on the nodes' own data do not apply to a learner that is not a node.
    baselines = {name: column for name, column in baselines.items() if np.isfinite(column).any()}
    for axes, x_axis in zip(row, shown, strict=True):
        x = x_axis.x(run, None)
        if measure.of_nodes:
            panels.draw_fan(axes, run, measure, x)
        for role, column in drawn.items():
            panels.draw_line(axes, role, x, column, log=log)
        for name, column in baselines.items():
            _draw_baseline(axes, x_axis, run, name, column, log=log)
    values = [*drawn.values(), *baselines.values()]
    values += [run.column(measure.statistic(q)) for fan in FANS for q in fan[:2] if measure.of_nodes]
    finish_values(row, shown, measure, np.concatenate(values) if values else run.values(measure))
    if measure == CONSENSUS and columns["network"][0] == 0 and (columns["network"] > 0).any():
        row[0].set_title(f"{row[0].get_title(loc='left')} (equal in round {int(run.records[0]['round'])})")
    return dict.fromkeys([*drawn, *baselines])


def _draw_baseline(axes: Axes, x_axis: XAxis, run: RunData, name: str, column: np.ndarray, *, log: bool) -> None:
    """Draw the line of a baseline if it has values on the x axis, else its final level."""
    x = x_axis.x(run, name)
    if x_axis.of_baselines and np.isfinite(x).any():
        panels.draw_line(axes, name, x, column, log=log)
    else:
        panels.draw_level(axes, name, column, log=log)


def _draw_scores(axes: Axes, run: RunData, measure: Measure) -> None:
    values = run.node_scores.get(measure.key)
    if values is None:
        over = run.status in ("completed", "diverged")
        message = (
            "a run of a grid keeps\nno scores of all nodes"
            if over
            else "the scores of all nodes\nare known when a run ends"
        )
        show_message(axes, message)
        return
    axes.set_title("The only node at the end" if values.size == 1 else f"All {values.size:,} nodes at the end")
    panels.draw_histogram(axes, values, measure)
    low, high = axes.get_xlim()
    for role, column in (("mean", measure.column), ("mean model", f"mean_model_{measure.key}")):
        value = run.column(column)[-1]
        if axes.patches and low <= value <= high:
            axes.axvline(value, **panels.look(role))
    axes.set_xlabel(measure.title)


def _draw_legend(
    axes: Axes, run: RunData, roles: dict[str, None], shown: Sequence[XAxis], target: Sequence[Line2D]
) -> None:
    axes.set_axis_off()
    words = {
        "mean": "mean",
        "median": "median",
        "worst node": "worst node",
        "mean model": "mean model $\\bar{x}$",
        "own test samples": "mean, on own test samples",
        "isolated": "isolated nodes, mean" if "mean" in roles else "isolated nodes",
        "centralised": "centralised learner",
        "federated_averaging": "federated averaging",
        "network": "the whole network",
    }
    hidden = {"network"} if "mean" in roles else set()  # both are the line of their panels
    if run.n_nodes == 1:
        hidden |= {"median", "worst node"}
    alone = len(run.records) == 1
    drawn = [role for role in roles if role not in hidden]
    handles: list[Any] = [Line2D([], [], label=words[role], **panels.look(role, alone=alone)) for role in drawn]
    if run.n_nodes != 1 and "mean" in roles:
        handles[1:1] = [Patch(color=BLUE, alpha=alpha, label=f"{name} of nodes") for *_, alpha, name in FANS]
    axes.legend(handles=[*handles, *target], loc="upper left", title=_evaluated(run), alignment="left")
    if run.baselines and not all(x_axis.of_baselines for x_axis in shown):
        note = "By bytes, a line marks\nwhere a baseline ends."
        axes.text(0, 0, note, transform=axes.transAxes, va="bottom", color=GREY, fontsize=8.5)


def _evaluated(run: RunData) -> str:
    if run.n_nodes is None or run.n_evaluated is None:
        return "Evaluated nodes"
    if run.n_nodes == 1:
        return "The only node"
    return f"{run.n_evaluated:,} evaluated of {run.n_nodes:,} nodes" if run.n_evaluated < run.n_nodes else "All nodes"


def _draw_compared(
    row: Sequence[Axes], shown: Sequence[XAxis], run: RunData, measure: Measure, look: dict[str, Any]
) -> np.ndarray:
    """Draw a run's line in a row of panels, and that of its worst node if nodes are measured; return all their values."""
    values = run.values(measure)
    worst = run.column(measure.statistic(measure.worst)) if measure.of_nodes else values[:0]
    some = values > 0 if measure == CONSENSUS else np.full(values.shape, fill_value=True)
    for axes, x_axis in zip(row, shown, strict=True):
        x = x_axis.x(run, None)
        axes.plot(x[some], values[some], **look)
        if measure.of_nodes:
            axes.plot(x, worst, color=look["color"], linewidth=1.0, dashes=(1, 1.1))
        if x_axis.name == "rounds" and run.diverged_round is not None:
            axes.axvline(run.diverged_round, color=look["color"], linewidth=0.9, alpha=0.7)
    return np.concatenate([values, worst])


def _draw_run_legend(
    axes: Axes,
    runs: Sequence[RunData],
    looks: Sequence[dict[str, Any]],
    measures: Sequence[Measure],
    names: Sequence[str],
    target: Sequence[Line2D],
) -> None:
    axes.set_axis_off()
    handles: list[Any] = []
    silent = [run for run in runs if not (run.column("bytes_sent") != 0).any()]
    crowded = len(runs) > FEW_LINES
    first = measures[0]
    ends = {"mean" if first.of_nodes else first.name: first.column}
    ends |= {"worst": first.statistic(first.worst)} if first.of_nodes and not crowded else {}
    for run, look, label in zip(runs, looks, names, strict=True):
        ending = ", ".join(f"{which} {first.text(run.column(key)[-1])}" for which, key in ends.items())
        ending = f"diverged in round {run.diverged_round:,}" if run.diverged_round is not None else ending
        ending += ", sent nothing" * (len(silent) < len(runs) and run in silent)
        text = (
            f"{textwrap.shorten(label, 44, placeholder='…')}: {ending}"
            if crowded
            else "\n".join([*textwrap.wrap(label, 36), ending])
        )
        handles.append(Line2D([], [], label=text, **look))
    if any(measure.of_nodes for measure in measures):
        handles.append(Line2D([], [], color=GREY, label="mean of nodes", marker="o", markersize=4.5))
        handles.append(Line2D([], [], color=GREY, label="worst node", linewidth=1.0, dashes=(1, 1.1)))
    handles += target
    axes.legend(handles=handles, loc="upper left", labelspacing=0.3 if crowded else 0.9, fontsize=7 if crowded else 8.5)
