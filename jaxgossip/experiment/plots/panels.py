"""Panels of a figure: fans of quantiles, curves, histograms and marks."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FuncFormatter,
    MaxNLocator,
)

from jaxgossip.experiment.results.run_data import LARGEST, RunData
from jaxgossip.plotting import scales
from jaxgossip.plotting.measures import Measure
from jaxgossip.plotting.style import BLUE, GREEN, GREY, ORANGE, PINK, show_message

# Lines differ in their dashes, and single points in their markers, so that they can be told apart without colour.
LINES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mean": {"marker": "o", "color": BLUE, "linewidth": 2.2, "zorder": 6},
        "network": {"marker": "o", "color": BLUE, "linewidth": 2.2, "zorder": 6},
        "median": {"marker": "_", "color": BLUE, "linewidth": 0.8, "zorder": 5},
        "worst node": {"marker": "v", "color": ORANGE, "linewidth": 1.5, "dashes": (1, 1.1), "zorder": 4},
        "mean model": {"marker": "D", "color": "#222222", "linewidth": 1.4, "dashes": (5, 1.6), "zorder": 7},
        "own test samples": {"marker": "P", "color": PINK, "linewidth": 1.5, "dashes": (3, 1, 1, 1, 1, 1), "zorder": 4},
        "isolated": {"marker": "s", "color": GREY, "linewidth": 1.5, "dashes": (2.5, 2.5), "zorder": 3},
        "centralised": {"marker": "^", "color": GREEN, "linewidth": 1.7, "dashes": (8, 1.6, 1.5, 1.6), "zorder": 3},
        "federated_averaging": {
            "marker": "X",
            "color": "#B8860B",
            "linewidth": 1.5,
            "dashes": (5, 1.4, 1, 1.4, 1, 1.4),
            "zorder": 3,
        },
    }
)
FANS = (("q05", "q95", 0.18, "5–95%"), ("q25", "q75", 0.34, "25–75%"))
ROUNDING = 1e-5
"""Relative difference up to which scores are the same but for the rounding of float32 sums over a test set."""


def draw_fan(axes: Axes, run: RunData, measure: Measure, x: np.ndarray) -> None:
    """Draw the quantiles of a measure over nodes against ``x`` (k,): as bands, or as bars for a single evaluation."""
    for low, high, alpha, _ in FANS:
        below, above = (run.column(measure.statistic(q)) for q in (low, high))
        if not (np.isfinite(below) & np.isfinite(above)).any():
            continue
        if len(x) > 1:
            axes.fill_between(x, _drawable(below, measure), _drawable(above, measure), color=BLUE, alpha=alpha, lw=0)
        else:
            axes.vlines(x, below, above, color=BLUE, alpha=alpha + 0.1, linewidth=9 if low == "q05" else 15)


def draw_line(axes: Axes, role: str, x: np.ndarray, y: np.ndarray, *, log: bool = False) -> None:
    """Draw the line of a role (a key of ``LINES``), or a marker if it has a single point."""
    shown = np.where(y > 0, y, np.nan) if log else y
    if np.isfinite(shown).any():
        axes.plot(x, shown, **look(role, alone=int(np.isfinite(shown).sum()) == 1))


def look(role: str, *, alone: bool = False) -> dict[str, Any]:
    """Return the plot keywords of a role: a line without marker, or if ``alone`` only the marker."""
    drawn = dict(LINES[role])
    marker = drawn.pop("marker")
    if not alone:
        return drawn
    return {"marker": marker, "linestyle": "", "markersize": 6, "color": drawn["color"], "zorder": drawn["zorder"]}


def draw_level(axes: Axes, role: str, y: np.ndarray, *, log: bool = False) -> None:
    """Draw the last value of a line across the axes, for baselines that send no bytes to be drawn against."""
    finite = y[np.isfinite(y) & ((y > 0) | (not log))]
    if finite.size:
        axes.axhline(finite[-1], **look(role))


def draw_histogram(axes: Axes, values: np.ndarray, measure: Measure) -> None:
    """Draw the distribution of a measure over all nodes, with bins aligned to the values that can occur."""
    finite = values[np.abs(values) <= LARGEST]
    if not finite.size or float(np.ptp(finite)) <= ROUNDING * float(np.abs(finite).max()):
        message = f"every node:\n{measure.text(float(finite[0]))}" if finite.size else "no node has a finite score"
        show_message(axes, message if values.size != 1 else measure.text(float(values[0])))
        return
    log = measure.scale == "log" and float(finite.min()) > 0
    edges = scales.bin_edges(np.log10(finite) if log else finite)
    axes.hist(finite, bins=list(10**edges if log else edges), color=BLUE, alpha=0.55)
    if log:
        axes.set_xscale("log")
    scales.value_axis(axes.xaxis, finite, log=log, percent=measure.is_fraction)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.set_ylabel("nodes")
    axes.grid(visible=False, axis="x")


def mark_target(row: Sequence[Axes], runs: Sequence[RunData], measure: Measure) -> list[Line2D]:
    """Draw a target common to all runs as a thin line across the panels of its measure; return its legend handles."""
    targets = {run.target for run in runs}
    target = targets.pop()
    if target is None or targets or any(run.measures[0] != measure for run in runs):
        return []
    thin = {"color": GREY, "linewidth": 0.8, "alpha": 0.7}
    for axes in row:
        low, high = axes.get_ylim()
        if axes.axison and low < target < high:
            axes.axhline(target, zorder=1, **thin)
    return [Line2D([], [], label=f"target {measure.text(target)}", **thin)]


def mark_divergence(axes: Axes, round_number: int, *, label: bool) -> None:
    """Mark the round in which a run diverged, unless the panel only shows a message."""
    if not axes.axison:
        return
    axes.axvline(round_number, color=ORANGE, linewidth=1.2, zorder=8)
    if label:
        axes.annotate(
            f"diverged in round {round_number:,}", (round_number, 0.45), xycoords=("data", "axes fraction"),
            xytext=(-4, 0), textcoords="offset points", ha="right", va="center", color=ORANGE, fontsize=8.5,
        )  # fmt: skip


def _drawable(values: np.ndarray, measure: Measure) -> np.ndarray:
    return np.where(values > 0, values, np.nan) if measure.scale == "log" else values
