"""What a grid of runs says, over its seeds: a table of means with their bands, and a picture of them by round.

band = mean ± t s/√k        95 % of Student's t with k − 1 degrees of freedom, s the standard deviation over k seeds
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.special import stdtrit

from jaxgossip.experiment import labels, panels, units
from jaxgossip.experiment.measure import Measure
from jaxgossip.experiment.plots import common_measure, style
from jaxgossip.experiment.report import RunData, final_numbers

MOST_PANELS = 6
"""So many panels stand side by side."""
ROUNDING = 1e-9
"""Squared distances this much smaller than the largest are those of equal models …"""
EQUAL = 1e-12
"""… and so are those below this, for models are of order one."""
FEW_POINTS = 6
"""So many curves are told apart in one panel; more are divided by the first key."""


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (mean, standard deviation, half of the 95 % band) over axis 0 of (k, …); NaN deviations of a single seed."""
    count = values.shape[0]
    mean = values.mean(0)
    if count < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    deviation = values.std(0, ddof=1)
    return mean, deviation, float(stdtrit(count - 1, 0.975)) * deviation / np.sqrt(count)


def summary_rows(
    points: Sequence[tuple[Mapping[str, Any], Sequence[RunData]]], measure: Measure
) -> list[dict[str, Any]]:
    """Return one row of JSON values a point of a grid: its values, then mean, standard deviation and band over its seeds.

    Runs that diverged are counted, and left out of the numbers.

    Args:
        points: the grid's values of each, and its runs.
        measure: what means are of, one that all runs have.
    """
    rows: list[dict[str, Any]] = []
    for values, runs in points:
        whole = [run for run in runs if run.diverged_round is None]
        row: dict[str, Any] = {**values, "runs": len(runs), "diverged": len(runs) - len(whole)}
        row["measure"] = measure.key
        for name in ("mean", "worst", "consensus_distance"):
            found = np.array([final_numbers(run, measure)[name] for run in whole], np.float64)
            numbers: list[Any] = [None, None, None]
            if found.size:
                mean, deviation, half = (float(one) for one in interval(found))
                numbers = [mean, deviation, half]
            for what, number in zip(("", "_std", "_band95"), numbers, strict=True):
                row[f"{name}{what}"] = number if number is not None and np.isfinite(number) else None
        rows.append(row)
    return rows


def summary_table(rows: Sequence[Mapping[str, Any]], measure: Measure) -> list[dict[str, str]]:
    """Return the summary as text, a row a point: mean ± band of the measure, its deviation, worst node, consensus."""
    keys = [key for key in rows[0] if key not in _own_columns(rows[0])]
    short = labels.short_names(keys)
    found: list[dict[str, str]] = []
    for row in rows:
        cells = {short[key]: str(row[key]) for key in keys}
        cells["seeds"] = str(row["runs"])
        cells[f"{measure.name}, mean"] = _with_band(row["mean"], row["mean_band95"], measure)
        cells["std"] = "–" if row["mean_std"] is None else measure.text(row["mean_std"])
        cells["worst node"] = _with_band(row["worst"], row["worst_band95"], measure)
        cells["consensus distance"] = units.scientific(row["consensus_distance"])
        if any(other["diverged"] for other in rows):
            cells["diverged"] = str(row["diverged"])
        found.append(cells)
    return found


def bands(points: Sequence[tuple[Mapping[str, Any], Sequence[RunData]]], title: str) -> Figure:
    """Draw the mean over seeds of every point by round, with its 95 % band: the measure above, the consensus below.

    Many points are divided into panels by the value of their first key. Runs that diverged are left out.

    Args:
        points: the grid's values of each, and its runs.
        title: of the page.

    Raises:
        ConfigError: runs that measured nothing in common.
    """
    everyone = [run for _, runs in points for run in runs]
    measure = common_measure(everyone, len(everyone))
    keys = list(points[0][0])
    first = keys[0] if keys else ""
    values = list(dict.fromkeys(str(point[first]) for point, _ in points)) if len(keys) > 1 else []
    divided = len(points) > FEW_POINTS and 1 < len(values) <= MOST_PANELS
    names = [
        ", ".join(
            f"{labels.short_names(keys)[key]}={value}" for key, value in point.items() if key != first or not divided
        )
        for point, _ in points
    ]
    order = list(dict.fromkeys(names))
    colours = mpl.colormaps["viridis"](np.linspace(0.05, 0.88, len(order)))
    shown = values if divided else [""]
    whole = [run for run in everyone if run.diverged_round is None]
    furthest = max((float(np.nanmax(run.distance(), initial=0.0)) for run in whole), default=0.0)
    with style():
        figure = Figure(figsize=(max(7.5, 3.0 * len(shown) + 1.2), 6.6), layout="constrained")
        grid = figure.subplots(2, len(shown), squeeze=False, sharex="col", sharey="row")
        for column, value in enumerate(shown):
            above, below = grid[0, column], grid[1, column]
            above.set_title(
                f"{labels.short_names(keys)[first]} = {value}"
                if divided
                else f"{measure.name[0].upper() + measure.name[1:]} by round"
            )
            for (point, runs), name in zip(points, names, strict=True):
                if divided and str(point[first]) != value:
                    continue
                colour = colours[order.index(name)]
                _draw(above, runs, f"{measure.key}_mean", colour, floor=0.0 if measure.scale == "log" else None)
                _draw(below, runs, "consensus_distance", colour, floor=max(EQUAL, ROUNDING * furthest))
            for axes in (above, below):
                if not axes.lines:
                    here = [run for point, runs in points if not divided or str(point[first]) == value for run in runs]
                    axes.text(0.5, 0.5, _why_empty(here), transform=axes.transAxes, ha="center", va="center")
            panels.rounds_axis(below, max(run.column("round")[-1] for run in everyone))
            if measure.scale == "log":
                above.set_yscale("log")
            below.set_yscale("log")
        finals = np.concatenate([run.column(f"{measure.key}_mean") for run in everyone])
        panels.value_axis(grid[0, 0].yaxis, measure, finals[np.isfinite(finals)], log=measure.scale == "log")
        grid[0, 0].set_ylabel(measure.title)
        grid[1, 0].set_ylabel(panels.CONSENSUS)
        handles = [
            Line2D([], [], color=colour, label=name or "all runs") for name, colour in zip(order, colours, strict=True)
        ]
        figure.legend(handles=handles, loc="outside right center", fontsize=8.5)
        seeds = max(len(runs) for _, runs in points)
        told = f"mean of {seeds} seeds, shaded: 95 % band of the mean" if seeds > 1 else "one seed"
        told += f"; {len(everyone) - len(whole)} of {len(everyone)} runs diverged" * (len(whole) < len(everyone))
        figure.suptitle(f"{title}: {told}", x=0.012, ha="left", fontsize=12, fontweight="bold")
        shared = [fact for fact in labels.common(everyone) if fact]
        if shared:
            figure.supxlabel(f"all: {labels.sentence(shared)}", fontsize=8.5, color="#444444")
    return figure


def _draw(axes: Axes, runs: Sequence[RunData], key: str, colour: Any, *, floor: float | None) -> None:
    """Draw mean and band of the runs that did not diverge; with a floor those of the logarithms, where all are above it."""
    whole = [run for run in runs if run.diverged_round is None]
    length = min((len(run.records) for run in whole), default=0)
    if not length:
        return
    x = whole[0].column("round")[:length]
    values = np.array([run.column(key)[:length] for run in whole])
    log = floor is not None
    if log:
        usable = (values > floor).all(0)
        x, values = x[usable], np.log10(values[:, usable])
    if not x.size:
        return
    mean, _, half = interval(values)
    low, high = mean - np.nan_to_num(half), mean + np.nan_to_num(half)
    mean, low, high = ((10**one if log else one) for one in (mean, low, high))
    axes.plot(x, mean, color=colour)
    axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)


def _why_empty(runs: Sequence[RunData]) -> str:
    if all(run.diverged_round is not None for run in runs):
        return "every run diverged"
    return "all models are equal,\nto within rounding"


def _with_band(mean: float | None, half: float | None, measure: Measure) -> str:
    if mean is None:
        return "–"
    return measure.text(mean) if half is None else f"{measure.text(mean)} ± {measure.text(half)}"


def _own_columns(row: Mapping[str, Any]) -> list[str]:
    keys = list(row)
    return keys[keys.index("runs") :]
