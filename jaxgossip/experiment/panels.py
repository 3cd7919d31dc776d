"""The panels of a picture: fans, curves, histograms, and axes that suit their numbers."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FuncFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from jaxgossip.experiment import units
from jaxgossip.experiment.measure import Measure
from jaxgossip.experiment.report import LARGEST, RunData

BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"

# Each line differs from every other by its dash, and where it is a single point by its marker: none needs its colour.
LINES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mean": {"marker": "o", "color": BLUE, "linewidth": 2.2, "zorder": 6},
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
CONSENSUS = "consensus distance   $\\Sigma_i\\,\\Vert x_i-\\bar{x}\\Vert^2\\,/\\,n$"
LOST_DISTANCE = "no consensus distance is finite\nonce the models differ"
MAX_BYTES_RATIO = 8
"""Lines whose bytes, or virtual times, end further apart than this share a logarithmic axis."""
STEPS = (1, 2, 2.5, 5, 10)


def draw_fan(axes: Axes, run: RunData, measure: Measure, x: np.ndarray) -> None:
    """Draw the quantiles of a measure over nodes against ``x`` (k,): bands, or bars where there is one evaluation."""
    for low, high, alpha, _ in FANS:
        below, above = (run.column(f"{measure.key}_{q}") for q in (low, high))
        if not (np.isfinite(below) & np.isfinite(above)).any():
            continue
        if len(x) > 1:
            axes.fill_between(x, _drawable(below, measure), _drawable(above, measure), color=BLUE, alpha=alpha, lw=0)
        else:
            axes.vlines(x, below, above, color=BLUE, alpha=alpha + 0.1, linewidth=9 if low == "q05" else 15)


def draw_line(axes: Axes, role: str, x: np.ndarray, y: np.ndarray, *, log: bool = False) -> None:
    """Draw the line of a role (a key of ``LINES``), a marker where it has one point only."""
    shown = np.where(y > 0, y, np.nan) if log else y
    if np.isfinite(shown).any():
        axes.plot(x, shown, **look(role, alone=int(np.isfinite(shown).sum()) == 1))


def look(role: str, *, alone: bool = False) -> dict[str, Any]:
    """Return how a role's line is drawn: without its marker, or as its marker alone."""
    drawn = dict(LINES[role])
    marker = drawn.pop("marker")
    if not alone:
        return drawn
    return {"marker": marker, "linestyle": "", "markersize": 6, "color": drawn["color"], "zorder": drawn["zorder"]}


def draw_level(axes: Axes, role: str, y: np.ndarray, *, log: bool = False) -> None:
    """Draw the last value of a line across the axes: a baseline that has no bytes to be drawn against."""
    finite = y[np.isfinite(y) & ((y > 0) | (not log))]
    if finite.size:
        axes.axhline(finite[-1], **look(role))


def draw_histogram(axes: Axes, values: np.ndarray, measure: Measure) -> None:
    """Draw the distribution of a measure over all nodes, its bins aligned with the values that can occur."""
    finite = values[np.abs(values) <= LARGEST]
    if not finite.size or float(np.ptp(finite)) <= 1e-9 * float(np.abs(finite).max()):
        told = f"every node:\n{measure.text(float(finite[0]))}" if finite.size else "no node has a finite score"
        say(axes, told if values.size != 1 else measure.text(float(values[0])))
        return
    log = measure.scale == "log" and float(finite.min()) > 0
    edges = bin_edges(np.log10(finite) if log else finite)
    axes.hist(finite, bins=list(10**edges if log else edges), color=BLUE, alpha=0.55)
    if log:
        axes.set_xscale("log")
    value_axis(axes.xaxis, measure, finite, log=log)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.set_ylabel("nodes")
    axes.grid(visible=False, axis="x")


def rounds_axis(axes: Axes, last: float) -> None:
    """Make x an axis of rounds from 0 to ``last``."""
    axes.set_xlabel("round")
    if last <= 0:
        axes.set_xticks([0])
        axes.set_xlim(-1, 1)
        return
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=STEPS, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    axes.set_xlim(-0.02 * last, 1.02 * last)


def bytes_axis(axes: Axes, least: float, most: float, what: str) -> None:
    """Make x, in bytes, an axis from 0 to ``most`` in a decimal unit; a logarithmic one if ``least`` is far below.

    Args:
        axes: the panel.
        least: the smallest last value of a line.
        most: the largest last value of a line.
        what: the axis title, without unit.
    """
    if most > MAX_BYTES_RATIO * least:
        axes.set_xscale("log", nonpositive="mask")
        axes.xaxis.set_major_locator(LogLocator(numticks=7))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.bytes_text(value)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(what)
        return
    _in_unit(axes, most, what, *units.bytes_unit(most))


def seconds_axis(axes: Axes, least: float, most: float, what: str) -> None:
    """Make x, in seconds, an axis from 0 to ``most`` in a unit that suits it; a logarithmic one if ``least`` is far below.

    Args:
        axes: the panel.
        least: the smallest last value of a line.
        most: the largest last value of a line.
        what: the axis title, without unit.
    """
    if most > MAX_BYTES_RATIO * least:
        axes.set_xscale("log", nonpositive="mask")
        axes.set_xticks(list(units.ROUND_TIMES), labels=list(units.ROUND_TIMES.values()))
        axes.xaxis.set_minor_locator(NullLocator())
        low, high = (float(bound) for bound in axes.dataLim.intervalx)
        axes.set_xlim(max(low, axes.dataLim.minposx) / 1.3, 1.3 * high)  # ticks beyond the data would widen the axis
        axes.set_xlabel(what)
        return
    _in_unit(axes, most, what, *units.seconds_unit(most))


def _in_unit(axes: Axes, most: float, what: str, size: float, name: str) -> None:
    """Make x an axis from 0 to ``most`` in the unit called ``name``, of ``size``."""
    axes.xaxis.set_major_locator(_Scaled(size, nbins=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size:,.4g}"))
    axes.set_xlim(-0.02 * most, 1.02 * most)
    axes.set_xlabel(f"{what} ({name})")


def value_axis(axis: Any, measure: Measure, values: np.ndarray, *, log: bool) -> None:
    """Make an axis of a measure: percent, logarithmic or plain."""
    if log:
        log_ticks(axis, values)
    elif measure.is_fraction:
        axis.set_major_locator(MaxNLocator(nbins=6, steps=STEPS))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.5g}"))
    else:
        axis.set_major_locator(MaxNLocator(nbins=6, steps=STEPS))


def log_ticks(axis: Any, values: np.ndarray) -> None:
    """Give a logarithmic axis readable ticks, whether it spans half a decade or thirty."""
    positive = values[np.isfinite(values) & (values > 0)]
    decades = float(np.log10(positive.max() / positive.min())) if positive.size else 1.0
    if decades < 2:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades > 0.7 else (1, 1.5, 2, 3, 4, 5, 7)))
        plain = not positive.size or (float(positive.min()) >= 1e-3 and float(positive.max()) < 1e4)
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if plain else _power(value)))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(numticks=7))
        axis.set_major_formatter(LogFormatterMathtext())
        axis.set_minor_locator(LogLocator(subs="auto", numticks=60) if decades < 7 else NullLocator())
        axis.set_minor_formatter(NullFormatter())


def limit(axes: Axes, values: np.ndarray, *, log: bool) -> None:
    """Give y the range of finite ``values``, and a little room."""
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if log:
        room = max((high / low) ** 0.06, 1.05)
        axes.set_ylim(low / room, high * room)
    else:
        room = max(0.06 * (high - low), 0.002 * max(abs(high), 1e-12))
        axes.set_ylim(low - room, high + room)


def looks(count: int) -> list[dict[str, Any]]:
    """Return how ``count`` lines are drawn that have to be told apart."""
    colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    if count > len(colours):
        colours = [mpl.colormaps["viridis"](0.9 * number / (count - 1)) for number in range(count)]
    markers = "osD^vPX*<>"
    return [
        {"color": colours[number], "marker": markers[number % len(markers)], "markersize": 4.5, "markevery": 0.12}
        for number in range(count)
    ]


def check_marks(axes: Axes) -> None:
    """Take the marks from lines of which not a single point is seen: to space them, matplotlib needs one."""
    for line in axes.lines:
        seen = np.isfinite(axes.transData.transform(line.get_xydata())).all(1)
        if isinstance(line.get_markevery(), float) and not seen.any():
            line.set_markevery(None)


def mark_target(row: Sequence[Axes], runs: Sequence[RunData], measure: Measure) -> list[Line2D]:
    """Draw the target that all runs have across the panels of its measure, thin; return what a legend says of it."""
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
    """Mark the round in which a run diverged, unless the panel only says why it is empty."""
    if not axes.axison:
        return
    axes.axvline(round_number, color=ORANGE, linewidth=1.2, zorder=8)
    if label:
        axes.annotate(
            f"diverged in round {round_number:,}", (round_number, 0.45), xycoords=("data", "axes fraction"),
            xytext=(-4, 0), textcoords="offset points", ha="right", va="center", color=ORANGE, fontsize=8.5,
        )  # fmt: skip


def say(axes: Axes, text: str) -> None:
    """Empty a panel, and say in its middle why it is empty."""
    for artist in [*axes.lines, *axes.collections, *axes.texts]:
        artist.remove()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True)


def _power(value: float) -> str:
    exponent = int(np.floor(np.log10(value) + 1e-9))
    mantissa = value / 10.0**exponent
    return f"$10^{{{exponent}}}$" if abs(mantissa - 1) < 1e-6 else f"${mantissa:.2g}{{\\times}}10^{{{exponent}}}$"


def _drawable(values: np.ndarray, measure: Measure) -> np.ndarray:
    return np.where(values > 0, values, np.nan) if measure.scale == "log" else values


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Return bin edges: a fraction of a test set takes few values, and bins that cut between them make combs."""
    most = min(30, int(np.ceil(2 * values.size ** (1 / 3))))  # Rice's rule
    distinct = np.unique(values)
    span = float(distinct[-1] - distinct[0])
    gaps = np.diff(distinct)
    gap = float(gaps[gaps > 1e-6 * span].min())
    width = gap * max(1, int(np.ceil(span / gap / most)))
    count = int(np.ceil((span + 0.5 * gap) / width))
    return float(distinct[0]) - 0.5 * gap + width * np.arange(count + 1)


class _Scaled(MaxNLocator):
    """Ticks that are round numbers of a unit."""

    def __init__(self, size: float, nbins: int) -> None:
        super().__init__(nbins=nbins, steps=STEPS)
        self._size = size

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        return [self._size * float(tick) for tick in super().tick_values(vmin / self._size, vmax / self._size)]
