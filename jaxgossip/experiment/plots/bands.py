"""Statistics of a grid of runs over its seeds: a table of means with confidence bands, and a figure of them by round.

band = mean ± t s/√k        95 % quantile t of Student's distribution with k − 1 degrees of freedom, s the standard deviation
                            over k seeds

For two seeds t is 12.7, and for three 4.3: such bands say little more than that the seeds are few.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.special import stdtrit

from jaxgossip.core import units
from jaxgossip.experiment.config.toml import value_text
from jaxgossip.experiment.plots import labels
from jaxgossip.experiment.plots.rows import LOST_DISTANCE, label, shown_measures
from jaxgossip.experiment.results.run_data import RunData, final_numbers, target_cells, value_title
from jaxgossip.plotting import scales
from jaxgossip.plotting.measures import CONSENSUS, Measure
from jaxgossip.plotting.style import style

MOST_PANELS = 6
"""Largest number of panels side by side."""
ROUNDING = 1e-9
"""Relative to the largest squared distance, distances below this are attributed to rounding of equal models."""
EQUAL = 1e-12
"""Squared distances below this are attributed to rounding as well, for models are of order one."""
FEW_POINTS = 6
"""Largest number of curves in a panel; more are divided by the first key."""
BAND_FROM = 4
"""Least number of seeds for which a figure has a band; fewer are drawn individually."""
TABLE_BAND_FROM = 3
"""Least number of seeds for which a table has the half-width of the band."""
BLOWN_UP = 100.0
"""Largest factor by which runs that diverged extend a logarithmic axis."""

Numbers = np.ndarray | np.floating
"""One number, or an array of them."""


def interval(values: np.ndarray) -> tuple[Numbers, Numbers, Numbers]:
    """Return (mean, standard deviation, half-width of the 95 % band) over axis 0 of (k, …); the latter two NaN if k = 1."""
    count = values.shape[0]
    with np.errstate(over="ignore", invalid="ignore"):  # a mean may overflow to infinity, and its deviation be NaN
        mean = values.mean(0)
        if count < 2:
            return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
        deviation = values.std(0, ddof=1)
        return mean, deviation, float(stdtrit(count - 1, 0.975)) * deviation / np.sqrt(count)


def summary_rows(
    points: Sequence[tuple[Mapping[str, Any], Sequence[RunData]]],
    measure: Measure,
    more: Sequence[Measure] = (CONSENSUS,),
) -> list[dict[str, Any]]:
    """Return one row of JSON values per point of a grid: its values, then mean, deviation and band over its seeds.

    Runs that diverged are counted, but left out of the statistics, and so are runs that did not reach the target in those
    of the cost of reaching it. A statistic is None if any of the other runs lacks the number. There are columns of virtual
    seconds, and of joules, if any run has them.

    Args:
        points: the values of each point, and its runs.
        measure: the measure of ``mean`` and ``worst``, which all runs have.
        more: further measures, each under its own key.
    """
    everyone = [run for _, runs in points for run in runs]
    kept = [key for key in ("virtual_s", "joules") if any(run.final.get(key) is not None for run in everyone)]
    has_target = any(run.reached(measure)["target"] is not None for run in everyone)
    costs = kept + ["rounds_to_target", "bytes_to_target", *(f"{key}_to_target" for key in kept)] * has_target
    rows: list[dict[str, Any]] = []
    for values, runs in points:
        converged = [run for run in runs if run.diverged_round is None]
        row: dict[str, Any] = {**values, "runs": len(runs), "diverged": len(runs) - len(converged)}
        row["measure"] = measure.key
        finals = [final_numbers(run, measure) | {other.key: run.last(other) for other in more} for run in converged]
        for name in ("mean", "worst", *(other.key for other in more), *costs):
            samples = np.array([numbers[name] for numbers in finals if numbers[name] is not None], np.float64)
            statistics: list[Any] = [None, None, None]
            if samples.size and (name.endswith("_to_target") or samples.size == len(finals)):
                statistics = [float(statistic) for statistic in interval(samples)]
            for suffix, number in zip(("", "_std", "_band95"), statistics, strict=True):
                row[f"{name}{suffix}"] = number if number is not None and np.isfinite(number) else None
        if has_target:
            targets = {numbers["target"] for numbers in finals}
            row["target"] = targets.pop() if len(targets) == 1 else None
            row["reached"] = sum(numbers["rounds_to_target"] is not None for numbers in finals)
        rows.append(row)
    return rows


def summary_table(
    rows: Sequence[Mapping[str, Any]], measure: Measure, more: Sequence[Measure] = (CONSENSUS,)
) -> list[dict[str, str]]:
    """Return the summary as text, one row per point: mean ± band, deviation, worst node, and means of further measures.

    Args:
        rows: result of :func:`summary_rows`.
        measure: the measure that was given to it.
        more: the further measures that were given to it.
    """
    keys = [key for key in rows[0] if key not in _own_columns(rows[0])]
    short = labels.short_names(keys)
    several = any(row["runs"] > 1 for row in rows)
    table: list[dict[str, str]] = []
    for row in rows:
        cells = {short[key]: value_text(row[key]) for key in keys}
        cells["seeds"] = str(row["runs"])
        cells[value_title(measure) + " ± 95 %" * several] = _with_band(row, "mean", measure, several=several)
        if several:
            cells["std over seeds"] = measure.text(row["mean_std"])
        if measure.of_nodes:
            cells["worst node" + " ± 95 %" * several] = _with_band(row, "worst", measure, several=several)
        cells |= {value_title(other): other.text(row[other.key]) for other in more}
        timed, metered = "virtual_s" in row, "joules" in row
        if timed:
            cells["virtual time"] = units.duration(row["virtual_s"])
        if metered:
            cells["energy"] = units.joules_text(row["joules"])
        if "reached" in row:
            same = len({other["target"] for other in rows}) == 1
            cells |= target_cells(row if same else {**row, "target": None}, measure, timed=timed, metered=metered)
            cells["reached by"] = f"{row['reached']} of {row['runs']}"
        if any(other["diverged"] for other in rows):
            cells["diverged"] = str(row["diverged"])
        table.append(cells)
    return table


def bands(
    points: Sequence[tuple[Mapping[str, Any], Sequence[RunData]]], title: str, metrics: Sequence[str] = ()
) -> Figure:
    """Draw the mean over seeds of every point by round with its 95 % band: a row of panels for each measure.

    Few seeds are drawn individually in place of the band. Many points are divided into panels by the value of their first
    key. Runs that diverged are left out, except that if all runs of a point did, their mean before that is dotted.

    Args:
        points: the values of each point, and its runs.
        title: title of the figure.
        metrics: names of the measures, as in :meth:`RunData.measure`; by default the first one that all runs have, and the
            consensus distance.

    Raises:
        ConfigError: the runs have no measurement in common, or none of such a name.
    """
    everyone = [run for _, runs in points for run in runs]
    measures = shown_measures(everyone, metrics)
    keys = list(points[0][0])
    first = keys[0] if keys else ""
    values = list(dict.fromkeys(value_text(point[first]) for point, _ in points)) if len(keys) > 1 else []
    divided = len(points) > FEW_POINTS and 1 < len(values) <= MOST_PANELS
    short = labels.short_names(keys)
    names = [
        ", ".join(
            f"{short[key]}={value_text(value)}"
            for key, value in point.items()
            if value_text(value) and (key != first or not divided)
        )
        for point, _ in points
    ]
    order = list(dict.fromkeys(names))
    colours = mpl.colormaps["viridis"](np.linspace(0.05, 0.88, len(order)))
    shown = values if divided else [""]
    converged = [run for run in everyone if run.diverged_round is None]
    floors = [_floor(measure, converged) for measure in measures]
    with style():
        size = (max(7.5, 3.0 * len(shown) + 1.2), 1.0 + 2.8 * len(measures))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(measures), len(shown), squeeze=False, sharex="col", sharey="row")
        for row, measure in zip(grid, measures, strict=True):
            row[0].set_yscale(measure.scale)
        for diverged in (False, True):  # those that diverged come last, for the others set the limits
            before = [(bool(sum(len(axes.lines) for axes in row)), *row[0].get_ylim()) for row in grid]
            for (point, runs), name in zip(points, names, strict=True):
                if _diverged(runs) is not diverged:
                    continue
                column = values.index(value_text(point[first])) if divided else 0
                colour = colours[order.index(name)]
                for axes, measure, floor in zip(grid[:, column], measures, floors, strict=True):
                    (_draw_diverged if diverged else _draw)(axes, runs, measure, colour, floor)
            for row, measure, (any_drawn, low, high) in zip(grid, measures, before, strict=True):
                if diverged and any_drawn and not measure.is_fraction:
                    _hold_limits(row, low, high)
        for column, value in enumerate(shown):
            group = [run for point, runs in points if not divided or value_text(point[first]) == value for run in runs]
            for axes, measure in zip(grid[:, column], measures, strict=True):
                if not axes.lines:
                    axes.text(0.5, 0.5, _why_empty(group, measure), transform=axes.transAxes, ha="center", va="center")
            of_measure = f"{measures[0].capitalised} by round"
            grid[0, column].set_title(f"{short[first]} = {value}" if divided else of_measure)
            scales.rounds_axis(grid[-1, column], max(run.column("round")[-1] for run in everyone))
        for row, measure, floor in zip(grid, measures, floors, strict=True):
            values = np.concatenate([run.values(measure) for run in converged or everyone])
            drawn = values[np.isfinite(values) & (values > (-np.inf if floor is None else floor))]
            scales.value_axis(row[0].yaxis, drawn, log=floor is not None, percent=measure.is_fraction)
            row[0].set_ylabel(label(measure))
        figure.legend(handles=_handles(points, names, order, colours), loc="outside right center", fontsize=8.5)
        _frame(figure, points, title, log=any(measure.scale == "log" for measure in measures))
    return figure


def _frame(figure: Figure, points: Sequence[tuple[Any, Sequence[RunData]]], title: str, *, log: bool) -> None:
    """Write the number of seeds above the panels, and an explanation and the common settings below."""
    everyone = [run for _, runs in points for run in runs]
    lost = len(_lost(everyone))
    phrases = [_seeds(points), f"{lost} of {len(everyone)} runs diverged" if lost else ""]
    subtitle = "; ".join(filter(None, phrases))
    figure.suptitle(f"{title}: {subtitle}", x=0.012, ha="left", fontsize=12, fontweight="bold")
    shared = labels.common(everyone)
    notes = [_drawn(points, log=log), f"all: {labels.sentence(shared)}" if shared else ""]
    width = int(14 * figure.get_figwidth())
    lines = [line for note in notes for line in textwrap.wrap(note, width, break_on_hyphens=False)]
    figure.supxlabel("\n".join(lines), fontsize=8.5, color="#444444")


def _lost(runs: Sequence[RunData]) -> list[RunData]:
    """Return the runs that diverged."""
    return [run for run in runs if run.diverged_round is not None]


def _diverged(runs: Sequence[RunData]) -> bool:
    """Return whether every run of a point diverged."""
    return len(_lost(runs)) == len(runs)


def _hold_limits(row: np.ndarray, low: float, high: float) -> None:
    """Restore the limits that a row of panels had before the dotted lines, extended to those that are not too far away."""
    dotted = [line.get_ydata() for axes in row for line in axes.lines if line.get_linestyle() == ":"]
    far = high * BLOWN_UP if row[0].get_yscale() == "log" else high
    shown = [float(value) for line in dotted for value in np.asarray(line) if high < value <= far]
    row[0].set_ylim(low, max(shown, default=high))


def _handles(
    points: Sequence[tuple[Any, Sequence[RunData]]], names: Sequence[str], order: Sequence[str], colours: Any
) -> list[Line2D]:
    handles = []
    for name, colour in zip(order, colours, strict=True):
        groups = [runs for (_, runs), other in zip(points, names, strict=True) if other == name]
        diverged = [_diverged(runs) for runs in groups]
        label = textwrap.fill(name or "all runs", 44, break_long_words=False, break_on_hyphens=False)
        lost, count = (sum(map(len, members)) for members in (map(_lost, groups), groups))
        partly = f" ({lost} of {count} diverged)" if lost else ""
        label += " (diverged)" if all(diverged) else " (diverged where dotted)" if any(diverged) else partly
        handles.append(Line2D([], [], color=colour, label=label, linestyle=":" if all(diverged) else "-"))
    return handles


def _counts(points: Sequence[tuple[Any, Sequence[RunData]]]) -> list[int]:
    """Return the number of runs of each point that did not diverge, without points that have none."""
    counts = [sum(run.diverged_round is None for run in runs) for _, runs in points]
    return [count for count in counts if count]


def _seeds(points: Sequence[tuple[Any, Sequence[RunData]]]) -> str:
    counts = _counts(points)
    if not counts:
        return ""
    if max(counts) == 1:
        return "one seed"
    least = f"{min(counts)} to " * (min(counts) < max(counts))
    return f"mean of {least}{max(counts)} seeds"


def _drawn(points: Sequence[tuple[Any, Sequence[RunData]]], *, log: bool) -> str:
    """Return the explanation of bands and thin lines, and of logarithmic axes if there are any."""
    counts = _counts(points)
    banded, single = any(count >= BAND_FROM for count in counts), any(1 < count < BAND_FROM for count in counts)
    phrases = ["shaded: 95 % band of the mean"] * banded + ["thin: each seed"] * single
    if not phrases or not log:
        return ", ".join(phrases)
    what = "mean and band are those" if banded else "the mean is that"
    return f"{', '.join(phrases)}; on logarithmic axes {what} of the logarithms"


def _floor(measure: Measure, converged: Sequence[RunData]) -> float | None:
    """Return the number that values on a logarithmic axis have to exceed; None for a linear axis."""
    if measure != CONSENSUS:
        return 0.0 if measure.scale == "log" else None
    furthest = max((float(np.nanmax(run.values(CONSENSUS), initial=0.0)) for run in converged), default=0.0)
    return max(EQUAL, ROUNDING * furthest)


def _values(runs: Sequence[RunData], measure: Measure, floor: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return (rounds, values (runs, rounds)) at which all runs are finite; with a floor, logarithms where all exceed it."""
    if not runs:
        return np.zeros(0), np.zeros((0, 0))
    length = min(len(run.records) for run in runs)
    x = runs[0].column("round")[:length]
    values = np.array([run.column(measure.column)[:length] for run in runs])
    usable = np.isfinite(values).all(0) if floor is None else (np.isfinite(values) & (values > floor)).all(0)
    return x[usable], values[:, usable] if floor is None else np.log10(values[:, usable])


def _draw(axes: Axes, runs: Sequence[RunData], measure: Measure, colour: Any, floor: float | None) -> None:
    """Draw the mean of the runs that did not diverge, and its band, of fractions within 0 and 1, or each of few runs."""
    limits = (0.0, 1.0) if measure.is_fraction else (-np.inf, np.inf)
    converged = [run for run in runs if run.diverged_round is None]
    x, values = _values(converged, measure, floor)
    if not x.size:
        return
    mean, _, half = interval(values)
    plain = (lambda logs: 10**logs) if floor is not None else (lambda values: values)
    axes.plot(x, plain(mean), color=colour, marker="o" if x.size == 1 else "")
    if len(converged) >= BAND_FROM:
        low, high = (np.clip(plain(edge), *limits) for edge in (mean - half, mean + half))
        axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)
    elif len(converged) > 1:
        axes.plot(x, plain(values).T, color=colour, linewidth=0.7, alpha=0.6)


def _draw_diverged(axes: Axes, runs: Sequence[RunData], measure: Measure, colour: Any, floor: float | None) -> None:
    """Draw the mean of all runs before they diverged, dotted."""
    x, values = _values(runs, measure, floor)
    if x.size:
        mean = values.mean(0) if floor is None else 10 ** values.mean(0)
        axes.plot(x, mean, color=colour, linestyle=":", marker="o" if x.size == 1 else "", fillstyle="none")


def _why_empty(runs: Sequence[RunData], measure: Measure) -> str:
    if _diverged(runs):
        return "every run diverged"
    values = [run.column(measure.column) for run in runs]
    if not any(np.isfinite(column).any() for column in values):
        return "no finite number\nwas measured"
    if measure != CONSENSUS:
        return "no round has a positive, finite\nnumber of every seed"
    if not all(np.isfinite(column).all() for column in values):
        return LOST_DISTANCE
    return "all models are equal,\nto within rounding"


def _with_band(row: Mapping[str, Any], name: str, measure: Measure, *, several: bool) -> str:
    mean, half = row[name], row[f"{name}_band95"]
    if mean is None or not several:
        return measure.text(mean)
    if half is None or row["runs"] - row["diverged"] < TABLE_BAND_FROM:
        return f"{measure.text(mean)} ± –"
    return f"{measure.text(mean)} ± {measure.text(half)}"


def _own_columns(row: Mapping[str, Any]) -> list[str]:
    keys = list(row)
    return keys[keys.index("runs") :]
