"""Pictures of runs: one run's summary, and several runs over one another."""

import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from jaxgossip.errors import ConfigError
from jaxgossip.experiment import labels, panels
from jaxgossip.experiment.measure import Measure
from jaxgossip.experiment.panels import FANS
from jaxgossip.experiment.report import BASELINES, RunData

MAX_RUNS = 40
"""More lines than this nobody can tell apart."""
FEW_LINES = 12
"""Up to so many runs are drawn as lines with all their words; more are better told by how they ended."""
STYLE = Path(__file__).with_name("style.mplstyle")


def style() -> AbstractContextManager[None]:
    """Return the context of our look; nothing of the user's own settings shows, and none is changed."""
    return mpl.rc_context(fname=str(STYLE))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a picture; the suffix of ``path`` says of which kind (png, svg, pdf).

    Raises:
        ConfigError: matplotlib knows no such kind.
    """
    check_picture(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with style():
        figure.savefig(path)


def check_picture(path: Path) -> None:
    """Raise ConfigError unless the suffix of ``path`` is a kind of picture that can be written."""
    known = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise ConfigError(f"{path}: no picture can be written as '{path.suffix}'", hint=f"known: {', '.join(known)}")


def summary(run: RunData) -> Figure:
    """Draw a run: its measure and its consensus, against rounds and against bytes, and the final scores of all nodes.

    The fan holds the evaluated nodes between quantiles. Baselines send nothing: against bytes they are drawn as the
    level that they end on.
    """
    measure = run.measures[0]
    with style():
        figure, grid = _page((1, 1, 0.72))
        left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        below_left = figure.add_subplot(grid[1, 0], sharex=left)
        below_right = figure.add_subplot(grid[1, 1], sharex=right)
        rounds, sent = run.column("round"), run.bytes_per_node()
        roles = _draw_measure(left, right, run, measure)
        _draw_consensus(below_left, below_right, run)
        last = max(rounds[-1], *(run.column("round", name)[-1] for name in run.baselines), run.diverged_round or 0)
        for axes in (left, below_left):
            panels.rounds_axis(axes, last)
            if run.diverged_round is not None:
                panels.mark_divergence(axes, run.diverged_round, label=axes is left)
        for axes in (right, below_right):
            _bytes_or_why_not(axes, sent, run)
        for axes in (left, right):
            axes.set_xlabel("")
        _draw_scores(figure.add_subplot(grid[0, 2]), run, measure)
        _draw_legend(figure.add_subplot(grid[1, 2]), run, roles)
        _frame(figure, run.name, labels.sentence(labels.facts(run)), labels.footnote(run), warning=labels.ending(run))
    return figure


def compare(runs: Sequence[RunData], names: Sequence[str] | None = None) -> Figure:
    """Draw several runs over one another: the mean and the worst node, and the consensus, against rounds and bytes.

    Args:
        runs: the runs.
        names: what the legend calls them; by default what sets each apart from the others.

    Raises:
        ConfigError: no run, too many, or runs that measured nothing in common.
    """
    measure = common_measure(runs, MAX_RUNS)
    with style():
        figure, grid = _page((1, 1, 0.72))
        left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        below_left = figure.add_subplot(grid[1, 0], sharex=left)
        below_right = figure.add_subplot(grid[1, 1], sharex=right)
        looks = _looks(len(runs))
        for run, look in zip(runs, looks, strict=True):
            _draw_compared(((left, below_left), (right, below_right)), run, measure, look)
        _finish_values(left, right, measure, _values(runs, measure, ("mean", measure.worst)))
        _finish_consensus(below_left, below_right, np.concatenate([run.distance() for run in runs]))
        for axes in (left, below_left):
            panels.rounds_axis(axes, max(max(run.column("round")[-1], run.diverged_round or 0) for run in runs))
        sent = [float(np.nanmax(run.bytes_per_node(), initial=0.0)) for run in runs]
        for axes in (right, below_right):
            if max(sent) > 0:
                panels.bytes_axis(axes, min(one for one in sent if one > 0), max(sent), "sent per node")
            else:
                panels.say(axes, "no messages were sent")
        for axes in (left, right):
            axes.set_xlabel("")
        _draw_run_legend(figure.add_subplot(grid[:, 2]), runs, looks, measure, names or labels.differences(runs))
        name = "One run" if len(runs) == 1 else f"{len(runs)} runs"
        shared = labels.sentence(labels.common(runs))
        _frame(figure, name, f"all: {shared}" if shared else "", [])
    return figure


def common_measure(runs: Sequence[RunData], most: int) -> Measure:
    """Return the first measure that all runs have.

    Raises:
        ConfigError: no run, more than ``most``, or runs that measured nothing in common.
    """
    if not 1 <= len(runs) <= most:
        raise ConfigError(f"{len(runs)} runs cannot be told apart in one picture", hint=f"give 2 to {most} runs")
    measure = next((one for one in runs[0].measures if all(one in run.measures for run in runs)), None)
    if measure is None:
        told = "; ".join(f"{run.folder.name}: {', '.join(one.key for one in run.measures)}" for run in runs)
        raise ConfigError(f"the runs have no measurement in common: {told}", hint="compare runs of one kind of task")
    return measure


def _page(widths: Sequence[float]) -> tuple[Figure, Any]:
    figure = Figure(figsize=(12, 7.6), layout="constrained")
    return figure, figure.add_gridspec(2, len(widths), width_ratios=widths)


def _frame(figure: Figure, title: str, subtitle: str, notes: Sequence[str], warning: str = "") -> None:
    """Write title, facts and final numbers around the panels, and leave these the room between."""
    inches = figure.get_figheight()
    lines = textwrap.wrap(subtitle, 150, break_long_words=False, break_on_hyphens=False)
    top = 0.14
    figure.text(0.012, 1 - top / inches, title, fontsize=13, fontweight="bold", va="top")
    top += 0.27
    for line in lines:
        figure.text(0.012, 1 - top / inches, line, color="#444444", va="top")
        top += 0.18
    if warning:
        figure.text(0.012, 1 - top / inches, warning, color=panels.ORANGE, fontweight="bold", va="top")
        top += 0.19
    written = [line for note in notes for line in textwrap.wrap(note, 165)]
    for number, line in enumerate(reversed(written)):
        figure.text(0.012, (0.1 + 0.18 * number) / inches, line, color="#444444", va="bottom")
    bottom = (0.16 + 0.18 * len(written)) / inches if written else 0.01
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    room = (0.005, bottom, 0.99, 1 - bottom - (top + 0.08) / inches)
    engine.set(rect=room, w_pad=0.06, h_pad=0.06, hspace=0.03, wspace=0.03)


def _draw_measure(left: Axes, right: Axes, run: RunData, measure: Measure) -> dict[str, None]:
    """Draw the measure in both panels; return the roles that were drawn, in order."""
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
    for axes, x in ((left, run.column("round")), (right, run.bytes_per_node())):
        panels.draw_fan(axes, run, measure, x)
        for role, column in drawn.items():
            panels.draw_line(axes, role, x, column, log=log)
    baselines = {name: run.column(f"{measure.key}_mean", name) for name in BASELINES if name in run.baselines}
    # What is measured on nodes' own data alone says nothing of a learner that is no node.
    baselines = {name: column for name, column in baselines.items() if np.isfinite(column).any()}
    for name, column in baselines.items():
        panels.draw_line(left, name, run.column("round", name), column, log=log)
        panels.draw_level(right, name, column, log=log)
    values = [*drawn.values(), *baselines.values()]
    values += [run.column(f"{measure.key}_{q}") for fan in FANS for q in fan[:2]]
    _finish_values(left, right, measure, np.concatenate(values))
    return dict.fromkeys([*drawn, *baselines])


def _finish_values(left: Axes, right: Axes, measure: Measure, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    log = measure.scale == "log" and bool((finite > 0).any())
    for axes in (left, right):
        if log:
            axes.set_yscale("log")
        panels.value_axis(axes.yaxis, measure, finite, log=log)
        _limit(axes, finite[finite > 0] if log else finite, log=log)
    left.set_ylabel(measure.title)
    left.set_title(f"{measure.name[0].upper()}{measure.name[1:]} by round")
    right.set_title("… and by what a node has sent")


def _draw_consensus(left: Axes, right: Axes, run: RunData) -> None:
    distance = run.distance()
    for axes, x in ((left, run.column("round")), (right, run.bytes_per_node())):
        panels.draw_line(axes, "mean", x, distance, log=True)
    isolated = run.distance("isolated")
    panels.draw_line(left, "isolated", run.column("round", "isolated"), isolated, log=True)
    panels.draw_level(right, "isolated", isolated, log=True)
    _finish_consensus(left, right, np.concatenate([distance, isolated]))
    if distance[0] == 0 and (distance > 0).any():
        left.set_title(f"{left.get_title(loc='left')} (equal in round {int(run.records[0]['round'])})")


def _finish_consensus(left: Axes, right: Axes, values: np.ndarray) -> None:
    positive = values[np.isfinite(values) & (values > 0)]
    for axes in (left, right):
        if positive.size:
            axes.set_yscale("log")
            panels.log_ticks(axes.yaxis, positive)
            _limit(axes, positive, log=True)
        else:
            panels.say(axes, "all models are equal at every evaluation:\nthe consensus distance is 0")
    left.set_ylabel(panels.CONSENSUS)
    left.set_title("How far the models are apart")
    right.set_title("… and by what a node has sent")


def _limit(axes: Axes, values: np.ndarray, *, log: bool) -> None:
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if log:
        room = max((high / low) ** 0.06, 1.05)
        axes.set_ylim(low / room, high * room)
    else:
        room = max(0.06 * (high - low), 0.002 * max(abs(high), 1e-12))
        axes.set_ylim(low - room, high + room)


def _bytes_or_why_not(axes: Axes, sent: np.ndarray, run: RunData) -> None:
    most = float(np.nanmax(sent, initial=0.0))
    if most > 0:
        panels.bytes_axis(axes, most, most, "sent per node")
        return
    panels.say(axes, "no messages were sent" if run.n_nodes else "the number of nodes is not known")


def _draw_scores(axes: Axes, run: RunData, measure: Measure) -> None:
    values = run.node_scores.get(measure.key)
    if values is None:
        over = run.status in ("completed", "diverged")
        told = (
            "a run of a grid keeps\nno scores of all nodes"
            if over
            else "the scores of all nodes\nare known when a run ends"
        )
        panels.say(axes, told)
        return
    axes.set_title("The only node at the end" if values.size == 1 else f"All {values.size:,} nodes at the end")
    panels.draw_histogram(axes, values, measure)
    low, high = axes.get_xlim()
    for role, column in (("mean", f"{measure.key}_mean"), ("mean model", f"mean_model_{measure.key}")):
        value = run.column(column)[-1]
        if axes.patches and low <= value <= high:
            axes.axvline(value, **panels.look(role))
    axes.set_xlabel(measure.title)


def _draw_legend(axes: Axes, run: RunData, roles: dict[str, None]) -> None:
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
        handles[1:1] = [Patch(color=panels.BLUE, alpha=alpha, label=f"{name} of nodes") for *_, alpha, name in FANS]
    axes.legend(handles=handles, loc="upper left", title=_evaluated(run), alignment="left")
    if run.baselines:
        note = "By bytes, a line marks\nwhere a baseline ends."
        axes.text(0, 0, note, transform=axes.transAxes, va="bottom", color=panels.GREY, fontsize=8.5)


def _evaluated(run: RunData) -> str:
    if run.n_nodes is None or run.n_evaluated is None:
        return "Evaluated nodes"
    if run.n_nodes == 1:
        return "The only node"
    return f"{run.n_evaluated:,} evaluated of {run.n_nodes:,} nodes" if run.n_evaluated < run.n_nodes else "All nodes"


def _looks(count: int) -> list[dict[str, Any]]:
    colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    if count > len(colours):
        colours = [mpl.colormaps["viridis"](0.9 * number / (count - 1)) for number in range(count)]
    markers = "osD^vPX*<>"
    return [
        {"color": colours[number], "marker": markers[number % len(markers)], "markersize": 4.5, "markevery": 0.12}
        for number in range(count)
    ]


def _draw_compared(columns: Sequence[tuple[Axes, Axes]], run: RunData, measure: Measure, look: dict[str, Any]) -> None:
    for (above, below), x in zip(columns, (run.column("round"), run.bytes_per_node()), strict=True):
        mean, worst = (run.column(f"{measure.key}_{which}") for which in ("mean", measure.worst))
        above.plot(x, mean, **look)
        above.plot(x, worst, color=look["color"], linewidth=1.0, dashes=(1, 1.1))
        distance = run.distance()
        below.plot(x[distance > 0], distance[distance > 0], **look)
    if run.diverged_round is not None:
        for axes in columns[0]:
            axes.axvline(run.diverged_round, color=look["color"], linewidth=0.9, alpha=0.7)


def _values(runs: Sequence[RunData], measure: Measure, which: Sequence[str]) -> np.ndarray:
    return np.concatenate([run.column(f"{measure.key}_{one}") for run in runs for one in which])


def _draw_run_legend(
    axes: Axes, runs: Sequence[RunData], looks: Sequence[dict[str, Any]], measure: Measure, names: Sequence[str]
) -> None:
    axes.set_axis_off()
    handles: list[Any] = []
    crowded = len(runs) > FEW_LINES
    shown = {"mean": "mean"} if crowded else {"mean": "mean", "worst": measure.worst}
    for run, look, label in zip(runs, looks, names, strict=True):
        ends = [f"{which} {measure.text(run.column(f'{measure.key}_{key}')[-1])}" for which, key in shown.items()]
        told = f"diverged in round {run.diverged_round:,}" if run.diverged_round is not None else ", ".join(ends)
        words = (
            f"{textwrap.shorten(label, 44, placeholder='…')}: {told}"
            if crowded
            else "\n".join([*textwrap.wrap(label, 36), told])
        )
        handles.append(Line2D([], [], label=words, **look))
    handles.append(Line2D([], [], color=panels.GREY, label="mean of nodes", marker="o", markersize=4.5))
    handles.append(Line2D([], [], color=panels.GREY, label="worst node", linewidth=1.0, dashes=(1, 1.1)))
    axes.legend(handles=handles, loc="upper left", labelspacing=0.3 if crowded else 0.9, fontsize=7 if crowded else 8.5)
