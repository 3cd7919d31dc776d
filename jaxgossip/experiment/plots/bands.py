"""What a grid of runs says, over its seeds: a table of means with their bands, and a picture of them by round.

band = mean ± t s/√k        95 % of Student's t with k − 1 degrees of freedom, s the standard deviation over k seeds

Of two seeds t is 12.7, and of three 4.3: such bands say little more than that there are few.
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
from jaxgossip.experiment.plots import labels, panels
from jaxgossip.experiment.plots.runs import common_measure
from jaxgossip.experiment.results.measures import Measure
from jaxgossip.experiment.results.run_data import RunData, final_numbers, target_cells
from jaxgossip.plotting import scales
from jaxgossip.plotting.style import style

MOST_PANELS = 6
"""So many panels stand side by side."""
ROUNDING = 1e-9
"""Squared distances this much smaller than the largest are those of equal models …"""
EQUAL = 1e-12
"""… and so are those below this, for models are of order one."""
FEW_POINTS = 6
"""So many curves are told apart in one panel; more are divided by the first key."""
BAND_FROM = 4
"""Of so many seeds a picture has a band; fewer are drawn one by one."""
TOLD_FROM = 3
"""Of so many seeds a table has the half of the band."""
BLOWN_UP = 100.0
"""What runs that diverged came to stretches a logarithmic axis at most by so much."""

Numbers = np.ndarray | np.floating
"""One number, or an array of them."""


def interval(values: np.ndarray) -> tuple[Numbers, Numbers, Numbers]:
    """Return (mean, standard deviation, half of the 95 % band) over axis 0 of (k, …); NaN deviations of a single seed."""
    count = values.shape[0]
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # means beyond the largest number are infinite, their deviation NaN
        mean = values.mean(0)
        if count < 2:
            return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
        deviation = values.std(0, ddof=1)
        return mean, deviation, float(stdtrit(count - 1, 0.975)) * deviation / np.sqrt(count)


def summary_rows(
    points: Sequence[tuple[Mapping[str, Any], Sequence[RunData]]], measure: Measure
) -> list[dict[str, Any]]:
    """Return one row of JSON values a point of a grid: its values, then mean, standard deviation and band over its seeds.

    Runs that diverged are counted, and left out of the numbers; where there is a target, so are those that did not reach
    it, of what it took. A number that one of the others has not is not known of the point. Virtual seconds have columns
    where any were kept.

    Args:
        points: the grid's values of each, and its runs.
        measure: what means are of, one that all runs have.
    """
    everyone = [run for _, runs in points for run in runs]
    timed = any(run.final.get("virtual_s") is not None for run in everyone)
    aimed = any(run.reached(measure)["target"] is not None for run in everyone)
    more = ["virtual_s"] * timed + ["rounds_to_target", "bytes_to_target"] * aimed
    more += ["virtual_s_to_target"] * (aimed and timed)
    rows: list[dict[str, Any]] = []
    for values, runs in points:
        whole = [run for run in runs if run.diverged_round is None]
        row: dict[str, Any] = {**values, "runs": len(runs), "diverged": len(runs) - len(whole)}
        row["measure"] = measure.key
        finals = [final_numbers(run, measure) for run in whole]
        for name in ("mean", "worst", "consensus_distance", *more):
            found = np.array([numbers[name] for numbers in finals if numbers[name] is not None], np.float64)
            numbers: list[Any] = [None, None, None]
            if found.size and (name.endswith("_to_target") or found.size == len(finals)):
                mean, deviation, half = (float(one) for one in interval(found))
                numbers = [mean, deviation, half]
            for what, number in zip(("", "_std", "_band95"), numbers, strict=True):
                row[f"{name}{what}"] = number if number is not None and np.isfinite(number) else None
        if aimed:
            targets = {numbers["target"] for numbers in finals}
            row["target"] = targets.pop() if len(targets) == 1 else None
            row["reached"] = sum(numbers["rounds_to_target"] is not None for numbers in finals)
        rows.append(row)
    return rows


def summary_table(rows: Sequence[Mapping[str, Any]], measure: Measure) -> list[dict[str, str]]:
    """Return the summary as text, a row a point: mean ± band of the measure, its deviation, worst node, consensus."""
    keys = [key for key in rows[0] if key not in _own_columns(rows[0])]
    short = labels.short_names(keys)
    several = any(row["runs"] > 1 for row in rows)
    found: list[dict[str, str]] = []
    for row in rows:
        cells = {short[key]: value_text(row[key]) for key in keys}
        cells["seeds"] = str(row["runs"])
        cells[f"{measure.name}, mean" + " ± 95 %" * several] = _with_band(row, "mean", measure, several=several)
        if several:
            cells["std over seeds"] = "–" if row["mean_std"] is None else measure.text(row["mean_std"])
        cells["worst node" + " ± 95 %" * several] = _with_band(row, "worst", measure, several=several)
        cells["consensus distance"] = units.scientific(row["consensus_distance"])
        timed = "virtual_s" in row
        if timed:
            cells["virtual time"] = units.duration(row["virtual_s"])
        if "reached" in row:
            same = len({other["target"] for other in rows}) == 1
            cells |= target_cells(row if same else {**row, "target": None}, measure, timed=timed)
            cells["reached by"] = f"{row['reached']} of {row['runs']}"
        if any(other["diverged"] for other in rows):
            cells["diverged"] = str(row["diverged"])
        found.append(cells)
    return found


def bands(points: Sequence[tuple[Mapping[str, Any], Sequence[RunData]]], title: str) -> Figure:
    """Draw the mean over seeds of every point by round, with its 95 % band: the measure above, the consensus below.

    Few seeds are drawn one by one in place of the band. Many points are divided into panels by the value of their first
    key. Runs that diverged are left out; of a point that has no others, the mean of what was measured before is dotted.

    Args:
        points: the grid's values of each, and its runs.
        title: of the page.

    Raises:
        ConfigError: runs that measured nothing in common.
    """
    everyone = [run for _, runs in points for run in runs]
    measure = common_measure(everyone, len(everyone))
    log = measure.scale == "log"
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
    whole = [run for run in everyone if run.diverged_round is None]
    furthest = max((float(np.nanmax(run.distance(), initial=0.0)) for run in whole), default=0.0)
    limits = (0.0, 1.0) if measure.is_fraction else (-np.inf, np.inf)
    with style():
        figure = Figure(figsize=(max(7.5, 3.0 * len(shown) + 1.2), 6.6), layout="constrained")
        grid = figure.subplots(2, len(shown), squeeze=False, sharex="col", sharey="row")
        grid[0, 0].set_yscale(measure.scale)
        grid[1, 0].set_yscale("log")
        for diverged in (False, True):  # those that diverged last: the others set the limits
            before = [(bool(sum(len(axes.lines) for axes in row)), *row[0].get_ylim()) for row in grid]
            for (point, runs), name in zip(points, names, strict=True):
                if _diverged(runs) is not diverged:
                    continue
                column = values.index(value_text(point[first])) if divided else 0
                colour = colours[order.index(name)]
                lowest = max(EQUAL, ROUNDING * furthest)
                for axes, key, floor, limit in (
                    (grid[0, column], f"{measure.key}_mean", 0.0 if log else None, limits),
                    (grid[1, column], "consensus_distance", lowest, (0.0, np.inf)),
                ):
                    if diverged:
                        _draw_diverged(axes, runs, key, colour, floor=floor)
                    else:
                        _draw(axes, runs, key, colour, floor=floor, limits=limit)
            for row, (any_drawn, low, high) in zip(grid, before, strict=True):
                if diverged and any_drawn and not (row is grid[0] and measure.is_fraction):
                    _hold_limits(row, low, high)
        for column, value in enumerate(shown):
            here = [run for point, runs in points if not divided or value_text(point[first]) == value for run in runs]
            for axes, key in zip(grid[:, column], (f"{measure.key}_mean", "consensus_distance"), strict=True):
                if not axes.lines:
                    axes.text(0.5, 0.5, _why_empty(here, key), transform=axes.transAxes, ha="center", va="center")
            of_measure = f"{measure.name[0].upper() + measure.name[1:]} by round"
            grid[0, column].set_title(f"{short[first]} = {value}" if divided else of_measure)
            scales.rounds_axis(grid[1, column], max(run.column("round")[-1] for run in everyone))
        finals = np.concatenate([run.column(f"{measure.key}_mean") for run in whole or everyone])
        scales.value_axis(grid[0, 0].yaxis, finals[np.isfinite(finals)], log=log, percent=measure.is_fraction)
        grid[0, 0].set_ylabel(measure.title)
        grid[1, 0].set_ylabel(panels.CONSENSUS)
        figure.legend(handles=_handles(points, names, order, colours), loc="outside right center", fontsize=8.5)
        _frame(figure, points, title)
    return figure


def _frame(figure: Figure, points: Sequence[tuple[Any, Sequence[RunData]]], title: str) -> None:
    """Write how many seeds there are above the panels, and what is drawn of them and what all have in common below."""
    everyone = [run for _, runs in points for run in runs]
    lost = len(_lost(everyone))
    told = [_seeds(points), f"{lost} of {len(everyone)} runs diverged" if lost else ""]
    figure.suptitle(
        f"{title}: {'; '.join(one for one in told if one)}", x=0.012, ha="left", fontsize=12, fontweight="bold"
    )
    shared = labels.common(everyone)
    notes = [_drawn(points), f"all: {labels.sentence(shared)}" if shared else ""]
    width = int(14 * figure.get_figwidth())
    lines = [line for note in notes for line in textwrap.wrap(note, width, break_on_hyphens=False)]
    figure.supxlabel("\n".join(lines), fontsize=8.5, color="#444444")


def _lost(runs: Sequence[RunData]) -> list[RunData]:
    """Return the runs of a point that diverged."""
    return [run for run in runs if run.diverged_round is not None]


def _diverged(runs: Sequence[RunData]) -> bool:
    """Return whether every run of a point diverged."""
    return len(_lost(runs)) == len(runs)


def _hold_limits(row: np.ndarray, low: float, high: float) -> None:
    """Keep the limits that a row of panels had before the dotted lines, or a little more where these then show more."""
    dotted = [line.get_ydata() for axes in row for line in axes.lines if line.get_linestyle() == ":"]
    far = high * BLOWN_UP if row[0].get_yscale() == "log" else high
    shown = [float(value) for line in dotted for value in np.asarray(line) if high < value <= far]
    row[0].set_ylim(low, max(shown, default=high))


def _handles(
    points: Sequence[tuple[Any, Sequence[RunData]]], names: Sequence[str], order: Sequence[str], colours: Any
) -> list[Line2D]:
    found = []
    for name, colour in zip(order, colours, strict=True):
        here = [runs for (_, runs), other in zip(points, names, strict=True) if other == name]
        its = [_diverged(runs) for runs in here]
        label = textwrap.fill(name or "all runs", 44, break_long_words=False, break_on_hyphens=False)
        lost, count = (sum(len(some) for some in all_of) for all_of in (map(_lost, here), here))
        some = f" ({lost} of {count} diverged)" if lost else ""
        label += " (diverged)" if all(its) else " (diverged where dotted)" if any(its) else some
        found.append(Line2D([], [], color=colour, label=label, linestyle=":" if all(its) else "-"))
    return found


def _counts(points: Sequence[tuple[Any, Sequence[RunData]]]) -> list[int]:
    """Return how many runs are behind each point, of those points that have any that did not diverge."""
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


def _drawn(points: Sequence[tuple[Any, Sequence[RunData]]]) -> str:
    """Return what is drawn of the seeds, and what is of logarithms."""
    counts = _counts(points)
    banded, single = any(count >= BAND_FROM for count in counts), any(1 < count < BAND_FROM for count in counts)
    told = ["shaded: 95 % band of the mean"] * banded + ["thin: each seed"] * single
    if not told:
        return ""
    what = "mean and band are those" if banded else "the mean is that"
    return f"{', '.join(told)}; on logarithmic axes {what} of the logarithms"


def _values(runs: Sequence[RunData], key: str, floor: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return (rounds, values of (runs, rounds)) that all runs have; with a floor, logarithms where all are above it."""
    if not runs:
        return np.zeros(0), np.zeros((0, 0))
    length = min(len(run.records) for run in runs)
    x = runs[0].column("round")[:length]
    values = np.array([run.column(key)[:length] for run in runs])
    usable = np.isfinite(values).all(0) if floor is None else (np.isfinite(values) & (values > floor)).all(0)
    return x[usable], values[:, usable] if floor is None else np.log10(values[:, usable])


def _draw(
    axes: Axes, runs: Sequence[RunData], key: str, colour: Any, *, floor: float | None, limits: tuple[float, float]
) -> None:
    """Draw the mean of the runs that did not diverge, and its band within the limits, or each of few runs."""
    whole = [run for run in runs if run.diverged_round is None]
    x, values = _values(whole, key, floor)
    if not x.size:
        return
    mean, _, half = interval(values)
    plain = (lambda logs: 10**logs) if floor is not None else (lambda one: one)
    axes.plot(x, plain(mean), color=colour, marker="o" if x.size == 1 else "")
    if len(whole) >= BAND_FROM:
        low, high = (np.clip(plain(one), *limits) for one in (mean - half, mean + half))
        axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)
    elif len(whole) > 1:
        axes.plot(x, plain(values).T, color=colour, linewidth=0.7, alpha=0.6)


def _draw_diverged(axes: Axes, runs: Sequence[RunData], key: str, colour: Any, *, floor: float | None) -> None:
    """Draw the mean of what all runs measured before they diverged, dotted."""
    x, values = _values(runs, key, floor)
    if x.size:
        mean = values.mean(0) if floor is None else 10 ** values.mean(0)
        axes.plot(x, mean, color=colour, linestyle=":", marker="o" if x.size == 1 else "", fillstyle="none")


def _why_empty(runs: Sequence[RunData], key: str) -> str:
    if _diverged(runs):
        return "every run diverged"
    if not any(np.isfinite(run.column(key)).any() for run in runs):
        return "no finite number\nwas measured"
    if key != "consensus_distance":
        return "no round has a positive, finite\nnumber of every seed"
    if not all(np.isfinite(run.column(key)).all() for run in runs):
        return panels.LOST_DISTANCE
    return "all models are equal,\nto within rounding"


def _with_band(row: Mapping[str, Any], name: str, measure: Measure, *, several: bool) -> str:
    mean, half = row[name], row[f"{name}_band95"]
    if mean is None or not several:
        return "–" if mean is None else measure.text(mean)
    if half is None or row["runs"] - row["diverged"] < TOLD_FROM:
        return f"{measure.text(mean)} ± –"
    return f"{measure.text(mean)} ± {measure.text(half)}"


def _own_columns(row: Mapping[str, Any]) -> list[str]:
    keys = list(row)
    return keys[keys.index("runs") :]
