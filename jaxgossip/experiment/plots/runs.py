"""Figures of runs: the summary of a run, and several runs overlaid."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.plots import labels, panels
from jaxgossip.experiment.plots.axes import XAxis, x_axes
from jaxgossip.experiment.plots.panels import FANS
from jaxgossip.experiment.results.run_data import BASELINES, RunData
from jaxgossip.plotting import scales
from jaxgossip.plotting.measures import Measure
from jaxgossip.plotting.style import BLUE, GREY, ORANGE, check_marks, line_looks, show_message, style

MAX_RUNS = 40
"""Largest number of lines that can be told apart."""
FEW_LINES = 12
"""Largest number of runs that are drawn as lines with full labels; more are better shown as a ranking."""


def summary(run: RunData, by: Sequence[str] = ()) -> Figure:
    """Draw a run: its measure and its consensus distance against each x axis, and the final scores of all nodes.

    The fan shows quantiles over the evaluated nodes. Baselines send nothing, so against bytes their final level is drawn.

    Args:
        run: the run.
        by: names of the x axes; by default rounds, bytes, and virtual time if the run has it.

    Raises:
        ConfigError: an x axis is unknown, or the run does not have it.
    """
    measure, shown = run.measures[0], x_axes([run], by)
    with style():
        figure, grid, above, below = _page(shown)
        roles = _draw_measure(above, shown, run, measure)
        _draw_consensus(below, shown, run)
        target = panels.mark_target(above, [run], measure)
        _finish(above, below, shown, [run])
        for axes in (above, below):
            for panel, x_axis in zip(axes, shown, strict=True):
                if x_axis.name == "rounds" and run.diverged_round is not None:
                    panels.mark_divergence(panel, run.diverged_round, label=axes is above)
        _draw_scores(figure.add_subplot(grid[0, -1]), run, measure)
        _draw_legend(figure.add_subplot(grid[1, -1]), run, roles, shown, target)
        _frame(
            figure, run.name, labels.sentence(labels.description(run)), labels.footnote(run), warning=labels.ending(run)
        )
    return figure


def compare(runs: Sequence[RunData], names: Sequence[str] | None = None, by: Sequence[str] = ()) -> Figure:
    """Overlay several runs: the mean, the worst node and the consensus distance against each x axis.

    Args:
        runs: the runs.
        names: labels in the legend; by default what distinguishes each run from the others.
        by: names of the x axes; by default rounds, bytes, and virtual time if all runs have it.

    Raises:
        ConfigError: there are no runs or too many, they have no measurement in common, or an x axis is unknown or missing
            in a run.
    """
    measure, shown = common_measure(runs, MAX_RUNS), x_axes(runs, by)
    with style():
        figure, grid, above, below = _page(shown)
        looks = line_looks(len(runs))
        for run, look in zip(runs, looks, strict=True):
            _draw_compared(above, below, shown, run, measure, look)
        _finish_values(above, shown, measure, _values(runs, measure, ("mean", measure.worst)))
        _finish_consensus(below, shown, np.concatenate([run.distance() for run in runs]))
        target = panels.mark_target(above, runs, measure)
        _finish(above, below, shown, [replace(run, baselines={}) for run in runs])
        for axes in (*above, *below):
            check_marks(axes)
        names = names or labels.differences(runs)
        _draw_run_legend(figure.add_subplot(grid[:, -1]), runs, looks, measure, names, target)
        name = "One run" if len(runs) == 1 else f"{len(runs)} runs"
        shared = labels.sentence(labels.common(runs))
        _frame(figure, name, f"all: {shared}" if shared else "", [])
    return figure


def common_measure(runs: Sequence[RunData], most: int) -> Measure:
    """Return the first measure that all runs have.

    Raises:
        ConfigError: there are no runs or more than ``most``, or they have no measurement in common.
    """
    if not 1 <= len(runs) <= most:
        raise ConfigError(f"{len(runs)} runs cannot be told apart in one picture", hint=f"give 2 to {most} runs")
    measure = next((each for each in runs[0].measures if all(each in run.measures for run in runs)), None)
    if measure is None:
        keys = "; ".join(f"{run.folder.name}: {', '.join(each.key for each in run.measures)}" for run in runs)
        raise ConfigError(f"the runs have no measurement in common: {keys}", hint="compare runs of one kind of task")
    return measure


def _page(shown: Sequence[XAxis]) -> tuple[Figure, Any, list[Axes], list[Axes]]:
    """Return (figure, grid, upper panels, lower panels): one column per x axis, and one for scores and legends."""
    widths = [1.0] * len(shown) + [0.72]
    figure = Figure(figsize=(4.4 * len(shown) + 3.2, 7.6), layout="constrained")
    grid = figure.add_gridspec(2, len(widths), width_ratios=widths)
    above = [figure.add_subplot(grid[0, column]) for column in range(len(shown))]
    below = [figure.add_subplot(grid[1, column], sharex=axes) for column, axes in enumerate(above)]
    return figure, grid, above, below


def _finish(above: Sequence[Axes], below: Sequence[Axes], shown: Sequence[XAxis], runs: Sequence[RunData]) -> None:
    """Format the x axis of every panel, with titles in the lower row only."""
    for high, low, x_axis in zip(above, below, shown, strict=True):
        for axes in (high, low):
            x_axis.finish(axes, runs)
        high.set_xlabel("")


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


def _draw_measure(above: Sequence[Axes], shown: Sequence[XAxis], run: RunData, measure: Measure) -> dict[str, None]:
    """Draw the measure in all panels; return the roles drawn, in order."""
    log = measure.scale == "log"
    columns = {
        "mean": run.column(f"{measure.key}_mean"),
        "median": run.column(f"{measure.key}_q50"),
        "worst node": run.column(f"{measure.key}_{measure.worst}"),
        "mean model": run.column(f"mean_model_{measure.key}"),
    }
    if measure.key != "local_accuracy":
        columns["own test samples"] = run.column("local_accuracy_mean")
    drawn = {role: column for role, column in columns.items() if np.isfinite(column).any()}
    baselines = {name: run.column(f"{measure.key}_mean", name) for name in BASELINES if name in run.baselines}
    # Measures on the nodes' own data do not apply to a learner that is not a node.
    baselines = {name: column for name, column in baselines.items() if np.isfinite(column).any()}
    for axes, x_axis in zip(above, shown, strict=True):
        x = x_axis.x(run, None)
        panels.draw_fan(axes, run, measure, x)
        for role, column in drawn.items():
            panels.draw_line(axes, role, x, column, log=log)
        for name, column in baselines.items():
            _draw_baseline(axes, x_axis, run, name, column, log=log)
    values = [*drawn.values(), *baselines.values()]
    values += [run.column(f"{measure.key}_{q}") for fan in FANS for q in fan[:2]]
    _finish_values(above, shown, measure, np.concatenate(values))
    return dict.fromkeys([*drawn, *baselines])


def _draw_baseline(axes: Axes, x_axis: XAxis, run: RunData, name: str, column: np.ndarray, *, log: bool) -> None:
    """Draw the line of a baseline if it has values on the x axis, else its final level."""
    x = x_axis.x(run, name)
    if x_axis.of_baselines and np.isfinite(x).any():
        panels.draw_line(axes, name, x, column, log=log)
    else:
        panels.draw_level(axes, name, column, log=log)


def _finish_values(above: Sequence[Axes], shown: Sequence[XAxis], measure: Measure, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    log = measure.scale == "log" and bool((finite > 0).any())
    for axes in above:
        if not finite.size:
            show_message(axes, f"no finite {measure.name}\nwas measured")
            continue
        if log:
            axes.set_yscale("log")
        scales.value_axis(axes.yaxis, finite, log=log, percent=measure.is_fraction)
        scales.limit(axes, finite[finite > 0] if log else finite, log=log)
    above[0].set_ylabel(measure.title)
    _title(above, shown, f"{measure.name[0].upper()}{measure.name[1:]} {shown[0].words}")


def _title(row: Sequence[Axes], shown: Sequence[XAxis], first: str) -> None:
    row[0].set_title(first)
    for axes, x_axis in zip(row[1:], shown[1:], strict=True):
        axes.set_title(f"… and {x_axis.words}")


def _draw_consensus(below: Sequence[Axes], shown: Sequence[XAxis], run: RunData) -> None:
    distance, isolated = run.distance(), run.distance("isolated")
    for axes, x_axis in zip(below, shown, strict=True):
        panels.draw_line(axes, "mean", x_axis.x(run, None), distance, log=True)
        _draw_baseline(axes, x_axis, run, "isolated", isolated, log=True)
    _finish_consensus(below, shown, np.concatenate([distance, isolated]))
    if distance[0] == 0 and (distance > 0).any():
        left = below[0]
        left.set_title(f"{left.get_title(loc='left')} (equal in round {int(run.records[0]['round'])})")


def _finish_consensus(below: Sequence[Axes], shown: Sequence[XAxis], values: np.ndarray) -> None:
    positive = values[np.isfinite(values) & (values > 0)]
    for axes in below:
        if positive.size:
            axes.set_yscale("log")
            scales.log_ticks(axes.yaxis, positive)
            scales.limit(axes, positive, log=True)
        else:
            show_message(axes, _why_no_distance(values))
    below[0].set_ylabel(panels.CONSENSUS)
    _title(below, shown, "How far the models are apart")


def _why_no_distance(values: np.ndarray) -> str:
    """Return the message for ``values`` of the consensus distance of which none is both finite and above 0."""
    if (values == 0).all():
        return "all models are equal at every evaluation:\nthe consensus distance is 0"
    if np.isfinite(values).any():
        return panels.LOST_DISTANCE
    return "no finite consensus distance\nwas measured"


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
    for role, column in (("mean", f"{measure.key}_mean"), ("mean model", f"mean_model_{measure.key}")):
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
        "isolated": "isolated nodes, mean",
        "centralised": "centralised learner",
        "federated_averaging": "federated averaging",
    }
    if run.n_nodes == 1:
        roles = {role: None for role in roles if role not in ("median", "worst node")}
    alone = len(run.records) == 1
    handles: list[Any] = [Line2D([], [], label=words[role], **panels.look(role, alone=alone)) for role in roles]
    if run.n_nodes != 1:
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
    above: Sequence[Axes],
    below: Sequence[Axes],
    shown: Sequence[XAxis],
    run: RunData,
    measure: Measure,
    look: dict[str, Any],
) -> None:
    mean, worst = (run.column(f"{measure.key}_{which}") for which in ("mean", measure.worst))
    distance = run.distance()
    for high, low, x_axis in zip(above, below, shown, strict=True):
        x = x_axis.x(run, None)
        high.plot(x, mean, **look)
        high.plot(x, worst, color=look["color"], linewidth=1.0, dashes=(1, 1.1))
        low.plot(x[distance > 0], distance[distance > 0], **look)
        if x_axis.name == "rounds" and run.diverged_round is not None:
            for axes in (high, low):
                axes.axvline(run.diverged_round, color=look["color"], linewidth=0.9, alpha=0.7)


def _values(runs: Sequence[RunData], measure: Measure, which: Sequence[str]) -> np.ndarray:
    return np.concatenate([run.column(f"{measure.key}_{statistic}") for run in runs for statistic in which])


def _draw_run_legend(
    axes: Axes,
    runs: Sequence[RunData],
    looks: Sequence[dict[str, Any]],
    measure: Measure,
    names: Sequence[str],
    target: Sequence[Line2D],
) -> None:
    axes.set_axis_off()
    handles: list[Any] = []
    silent = [run for run in runs if not (run.column("bytes_sent") != 0).any()]
    crowded = len(runs) > FEW_LINES
    shown = {"mean": "mean"} if crowded else {"mean": "mean", "worst": measure.worst}
    for run, look, label in zip(runs, looks, names, strict=True):
        ends = [f"{which} {measure.text(run.column(f'{measure.key}_{key}')[-1])}" for which, key in shown.items()]
        ending = f"diverged in round {run.diverged_round:,}" if run.diverged_round is not None else ", ".join(ends)
        ending += ", sent nothing" * (len(silent) < len(runs) and run in silent)
        text = (
            f"{textwrap.shorten(label, 44, placeholder='…')}: {ending}"
            if crowded
            else "\n".join([*textwrap.wrap(label, 36), ending])
        )
        handles.append(Line2D([], [], label=text, **look))
    handles.append(Line2D([], [], color=GREY, label="mean of nodes", marker="o", markersize=4.5))
    handles.append(Line2D([], [], color=GREY, label="worst node", linewidth=1.0, dashes=(1, 1.1)))
    handles += target
    axes.legend(handles=handles, loc="upper left", labelspacing=0.3 if crowded else 0.9, fontsize=7 if crowded else 8.5)
