"""The scaling chart: nanoseconds per node-update against the number of nodes, with the time of the memory traffic."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from jaxgossip.bench.case import Measured
from jaxgossip.bench.memory import ROUND_PARAMS
from jaxgossip.bench.scaling import COMPARED, Scaling
from jaxgossip.plotting.style import BLUE, GREEN, GREY, ORANGE, style

LOOKS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "round_merge_update": {"color": BLUE, "marker": "o", "label": "round: merge, then update"},
        "round_update_merge": {"color": ORANGE, "marker": "s", "label": "round: update, then merge"},
        "random_8_regular": {"color": GREEN, "marker": "^", "label": "mixing alone, random 8-regular"},
    }
)
TRAFFIC: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # both orders of a round have the same traffic
        "round_merge_update": {"color": BLUE, "label": "traffic of a round: 1.5 copies"},
        "random_8_regular": {"color": GREEN, "label": "traffic of the mixing: 5 copies"},
    }
)


def chart(scaling: Mapping[str, Scaling], params: int, machine: Mapping[str, Any]) -> Figure:
    """Draw the nanoseconds per node-update of each case against the number of nodes, on logarithmic axes.

    The times of the NumPy reference and of the memory traffic are drawn beside them.

    Args:
        scaling: results of :func:`jaxgossip.bench.scaling.scale`.
        params: number of parameters per model in the mixing case.
        machine: result of :func:`jaxgossip.simulation.results.provenance.provenance`.
    """
    with style():
        figure = Figure(figsize=(9.4, 5.2), layout="constrained")
        axes = figure.add_subplot()
        for name, look in LOOKS.items():
            _draw(axes, scaling[name].points, _round_ns, look)
        reference = [point for point in scaling[COMPARED].points if np.isfinite(point.reference_s)]
        label = "the same round in vectorised NumPy"
        _draw(axes, reference, _reference_ns, {"color": GREY, "marker": "D", "dashes": (1, 1.1), "label": label})
        for name, look in TRAFFIC.items():
            _draw(axes, scaling[name].points, _traffic_ns, {"linewidth": 1.0, "dashes": (5, 2.5), **look})
        _axes(axes)
        device = machine["device"]
        subtitle = (
            f"rounds: Pegasos on Spambase, {ROUND_PARAMS} parameters; mixing: {params:,} parameters; "
            f"{device['cores']} cores, {device['platform']}, jax {machine['versions']['jax']}"
        )
        axes.set_title("Time of a node-update by size of the network", fontsize=13, fontweight="bold", pad=22)
        axes.text(0, 1.02, subtitle, transform=axes.transAxes, color="#444444", va="bottom")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
        axes.text(1.02, 0, _note(scaling), transform=axes.transAxes, va="bottom", color=GREY, fontsize=8.5)
    return figure


def _draw(axes: Axes, points: Sequence[Measured], value: Callable[[Measured], float], look: Mapping[str, Any]) -> None:
    if points:
        axes.plot([point.shape[0] for point in points], [value(point) for point in points], **look)


def _round_ns(point: Measured) -> float:
    return 1e9 * point.round_s / point.shape[0]


def _reference_ns(point: Measured) -> float:
    return 1e9 * point.reference_s / point.shape[0]


def _traffic_ns(point: Measured) -> float:
    return 1e9 * (point.traffic_copies or np.nan) * point.copy_s / point.shape[0]


def _note(scaling: Mapping[str, Scaling]) -> str:
    """Return the note beside the chart."""
    lines = ["A copy is np.copyto of the state", "on one thread, measured beside", "each point."]
    skipped = sorted({nodes for series in scaling.values() for nodes in series.skipped})
    if skipped:
        lines += ["", "Left out, memory being short:", *(f"{nodes:,} nodes" for nodes in skipped)]
    return "\n".join(lines)


def _axes(axes: Axes) -> None:
    axes.set(xscale="log", yscale="log", xlabel="nodes", ylabel="nanoseconds per node-update")
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.set_minor_locator(NullLocator())
