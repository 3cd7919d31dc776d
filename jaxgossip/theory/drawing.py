"""Common elements of theory plots: page, theory dashed and dark, measurements with colours and markers, source below."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from jaxgossip.plotting.style import style

MARKS = ("o", "s", "^", "D", "v", "P", "X")
"""Markers, one per series, so that series can be told apart without colour."""
HATCHES = ("", "///", "...", "xxx")
THEORY = "#222222"
DASHES = (0, (4, 3))
CLAIMED = "claimed: "
"""Prefix of the ``gid`` of a predicted line; the beginning of the names of its claims follows."""


def page(panels: int = 1, *, width: float = 4.6, height: float = 3.6, **subplots: Any) -> tuple[Figure, list[Axes]]:
    """Return (figure, axes) with ``panels`` side by side, in the style of all plots."""
    with style():
        figure = Figure(figsize=(width * panels + 0.4, height), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False, **subplots)[0]
    return figure, list(axes)


def title(axes: Axes, text: str) -> None:
    """Set the title of a panel."""
    axes.set_title(text, loc="left", fontsize=9.5)


def series(
    axes: Axes, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, number: int, label: str
) -> None:
    """Draw measurement ``number`` of a panel as a line with its own colour and marker."""
    with style():
        every = max(1, len(x) // 12)
        axes.plot(
            x, y, color=f"C{number}", marker=MARKS[number % len(MARKS)], markevery=every, markersize=4.5, label=label
        )


def points(
    axes: Axes, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, number: int, label: str | None = None
) -> None:
    """Draw measurement ``number`` as markers only, where nothing is known between them."""
    with style():
        axes.plot(x, y, color=f"C{number}", marker=MARKS[number % len(MARKS)], linestyle="", markersize=5, label=label)


def theory(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    label: str | None = None,
    *,
    claimed: str,
) -> None:
    """Draw a prediction: dashed and dark, on top of the measurements.

    Args:
        axes: the panel.
        x: (k,) abscissae.
        y: (k,) predicted values.
        label: entry in the legend, if any.
        claimed: beginning of the names of the claims that test the drawn quantity against this line. A figure with a line
            that no claim tests is rejected (:func:`unclaimed`).
    """
    with style():
        axes.plot(x, y, color=THEORY, linestyle=DASHES, linewidth=1.1, zorder=5, label=label, gid=f"{CLAIMED}{claimed}")


def reference(
    axes: Axes, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, label: str | None = None
) -> None:
    """Draw a line for comparison, which no claim tests: dotted and grey."""
    with style():
        axes.plot(x, y, color="#888888", linestyle=":", linewidth=1.2, zorder=1.5, label=label)


def unclaimed(figure: Figure, names: Iterable[str]) -> list[str]:
    """Return the predictions in a figure that no claim tests: the beginnings of their claims' names, or their panels.

    Args:
        figure: the figure.
        names: names of all claims.
    """
    names, untested = list(names), []
    for number, axes in enumerate(figure.axes, start=1):
        for line in axes.lines:
            gid = line.get_gid() or ""
            if gid.startswith(CLAIMED):
                beginning = gid.removeprefix(CLAIMED)
                untested += [beginning] * (not any(name.startswith(beginning) for name in names))
            elif line.get_linestyle() == "--":
                untested.append(f"a dashed line in panel {number}")
    return list(dict.fromkeys(untested))


def bar(axes: Axes, x: float, height: float, width: float, number: int, label: str | None = None) -> None:
    """Draw measurement ``number`` as a bar with its own colour and hatch."""
    with style():
        axes.bar(
            x, height, width, color=f"C{number}", hatch=HATCHES[number % len(HATCHES)], edgecolor="white", label=label
        )


def ticks(axes: Axes, values: Sequence[float] | np.ndarray, *, which: Literal["x", "y"] = "x") -> None:
    """Label a logarithmic axis at ``values`` only, as plain numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(list(values), [f"{value:g}" for value in values])
    axis.set_minor_locator(NullLocator())


def legend(axes: Axes, **options: Any) -> None:
    """Add the legend of a panel, with an entry for the dashed line if no label explains it."""
    handles, labels = axes.get_legend_handles_labels()
    if not any("theory" in label for label in labels):
        handles.append(Line2D([], [], color=THEORY, linestyle=DASHES, linewidth=1.1, label="theory"))
    with style():
        options.setdefault("borderaxespad", 0.8)
        axes.legend(handles=handles, **options)
