"""Axes for common quantities: rounds, bytes, seconds, measures, powers of ten."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    FuncFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from jaxgossip.core import units

MAX_BYTES_RATIO = 8
"""Ratio of the largest to the smallest final bytes, or virtual times, above which the axis is logarithmic."""
STEPS = (1, 2, 2.5, 5, 10)


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
    """Make x an axis of bytes, from 0 to ``most`` in a decimal unit, or logarithmic if ``least`` is far below ``most``.

    Args:
        axes: the panel.
        least: the smallest final value of a line.
        most: the largest final value of a line.
        what: the axis title, without unit.
    """
    if most > MAX_BYTES_RATIO * least:
        _log_axis(axes, what, units.bytes_text)
        return
    _in_unit(axes, most, what, *units.bytes_unit(most))


def seconds_axis(axes: Axes, least: float, most: float, what: str) -> None:
    """Make x an axis of seconds, from 0 to ``most`` in a suitable unit, or logarithmic if ``least`` is far below ``most``.

    Args:
        axes: the panel.
        least: the smallest final value of a line.
        most: the largest final value of a line.
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


def joules_axis(axes: Axes, least: float, most: float, what: str) -> None:
    """Make x an axis of joules, from 0 to ``most`` in a suitable unit, or logarithmic if ``least`` is far below ``most``.

    Args:
        axes: the panel.
        least: the smallest final value of a line.
        most: the largest final value of a line.
        what: the axis title, without unit.
    """
    if most > MAX_BYTES_RATIO * least:
        _log_axis(axes, what, units.joules_text)
        return
    _in_unit(axes, most, what, *units.joules_unit(most))


def _log_axis(axes: Axes, what: str, text: Callable[[float], str]) -> None:
    """Make x a logarithmic axis, whose ticks are powers of ten as ``text`` formats them."""
    axes.set_xscale("log", nonpositive="mask")
    axes.xaxis.set_major_locator(LogLocator(numticks=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(what)


def _in_unit(axes: Axes, most: float, what: str, size: float, name: str) -> None:
    """Make x an axis from 0 to ``most`` in the unit ``name`` of the given size."""
    axes.xaxis.set_major_locator(_Scaled(size, nbins=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size:,.4g}"))
    axes.set_xlim(-0.02 * most, 1.02 * most)
    axes.set_xlabel(f"{what} ({name})")


def value_axis(axis: Any, values: np.ndarray, *, log: bool, percent: bool) -> None:
    """Make an axis of ``values``: logarithmic, in percent, or linear."""
    if log:
        log_ticks(axis, values)
    elif percent:
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
    """Set the range of y to that of ``values``, which are finite, with a small margin."""
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if log:
        room = max((high / low) ** 0.06, 1.05)
        axes.set_ylim(low / room, high * room)
    else:
        room = max(0.06 * (high - low), 0.002 * max(abs(high), 1e-12))
        axes.set_ylim(low - room, high + room)


def _power(value: float) -> str:
    exponent = int(np.floor(np.log10(value) + 1e-9))
    mantissa = value / 10.0**exponent
    return f"$10^{{{exponent}}}$" if abs(mantissa - 1) < 1e-6 else f"${mantissa:.2g}{{\\times}}10^{{{exponent}}}$"


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Return histogram bin edges that are multiples of the smallest gap between distinct values.

    Fractions of a test set take few values, and other bins would give histograms with spurious gaps.
    """
    most = min(30, int(np.ceil(2 * values.size ** (1 / 3))))  # Rice's rule
    distinct = np.unique(values)
    span = float(distinct[-1] - distinct[0])
    gaps = np.diff(distinct)
    gap = float(gaps[gaps > 1e-6 * span].min())
    width = gap * max(1, int(np.ceil(span / gap / most)))
    count = int(np.ceil((span + 0.5 * gap) / width))
    return float(distinct[0]) - 0.5 * gap + width * np.arange(count + 1)


class _Scaled(MaxNLocator):
    """A locator whose ticks are round numbers of a unit."""

    def __init__(self, size: float, nbins: int) -> None:
        super().__init__(nbins=nbins, steps=STEPS)
        self._size = size

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        return [self._size * float(tick) for tick in super().tick_values(vmin / self._size, vmax / self._size)]
