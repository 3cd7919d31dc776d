"""The x axes of figures: rounds, bytes sent per node, virtual time and energy, each a column of panels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.plotting import scales
from jaxgossip.plotting.style import show_message


@dataclass(frozen=True)
class XAxis:
    """A kind of x axis.

    Attributes:
        name: name on the command line.
        words: end of titles: "Test accuracy by …".
        x: (run, baseline or None for the run itself) -> (k,) float64, one value per evaluation.
        finish: (panel, runs) -> None, formats the axis, or shows why there is nothing to draw.
        of_baselines: whether baselines have values of it; otherwise their final level is drawn.
    """

    name: str
    words: str
    x: Callable[[RunData, str | None], np.ndarray]
    finish: Callable[[Axes, Sequence[RunData]], None]
    of_baselines: bool = True


def x_axes(runs: Sequence[RunData], by: Sequence[str] = ()) -> list[XAxis]:
    """Return the x axes to draw runs against.

    Args:
        runs: the runs.
        by: names of x axes; if empty, rounds and bytes, virtual time if every run has it and it is not proportional to the
            rounds, as it is when nodes act by their own clocks, and energy if every run has it.

    Raises:
        ConfigError: a name is unknown, or a run has no virtual time or no account of energy.
    """
    for name in by:
        if name not in X_AXES:
            raise ConfigError(f"--by {name}: no such axis", hint=f"allowed: {', '.join(X_AXES)}")
    for name, (column, what, section) in KEPT.items():
        without = next((run for run in runs if run.final.get(column) is None), None)
        if name in by and without is not None:
            raise ConfigError(
                f"{without.folder} kept no {what}", hint=f"a section [{section}] makes a run keep it; run it again"
            )
    informative = {"seconds": "virtual_s_mean", "joules": "joules"}
    left_out = [name for name, key in informative.items() if any(run.final.get(key) is None for run in runs)]
    names = dict.fromkeys(by) or [name for name in X_AXES if name not in left_out]
    return [X_AXES[name] for name in names]


def _rounds_axis(axes: Axes, runs: Sequence[RunData]) -> None:
    ends = [run.column("round", name)[-1] for run in runs for name in (None, *run.baselines)]
    scales.rounds_axis(axes, max(*ends, 0, *(run.diverged_round or 0 for run in runs)))


def _bytes_axis(axes: Axes, runs: Sequence[RunData]) -> None:
    sent = [float(np.nanmax(run.bytes_per_node(), initial=0.0)) for run in runs]
    if max(sent) > 0:
        scales.bytes_axis(axes, min(number for number in sent if number > 0), max(sent), "sent per node")
    else:
        known = all(run.n_nodes for run in runs)
        show_message(axes, "no messages were sent" if known else "the number of nodes is not known")


def _seconds_axis(axes: Axes, runs: Sequence[RunData]) -> None:
    # Only runs count: a baseline may take a hundred times as long, and is then cut off.
    ends = [float(np.nanmax(run.column("virtual_s"), initial=0.0)) for run in runs]
    if max(ends) > 0:
        scales.seconds_axis(axes, min(end for end in ends if end > 0), max(ends), "virtual time")
    else:
        show_message(axes, "no virtual time has passed")


def _joules_axis(axes: Axes, runs: Sequence[RunData]) -> None:
    ends = [float(np.nanmax(run.column("joules"), initial=0.0)) for run in runs]
    if max(ends) > 0:
        scales.joules_axis(axes, min(end for end in ends if end > 0), max(ends), "energy of all nodes")
    else:
        show_message(axes, "no energy was spent")


KEPT = MappingProxyType(
    {"seconds": ("virtual_s", "virtual time", "speeds"), "joules": ("joules", "account of energy", "energy")}
)
"""Axes that not every run has: their columns in records, what they are, and the section that makes a run keep it."""

X_AXES = MappingProxyType(
    {
        axis.name: axis
        for axis in (
            XAxis("rounds", "by round", lambda run, name: run.column("round", name), _rounds_axis),
            XAxis(
                "bytes", "by what a node has sent", lambda run, _: run.bytes_per_node(), _bytes_axis, of_baselines=False
            ),
            XAxis("seconds", "by virtual time", lambda run, name: run.column("virtual_s", name), _seconds_axis),
            XAxis("joules", "by energy", lambda run, name: run.column("joules", name), _joules_axis),
        )
    }
)
"""The x axes by the names that ``--by`` takes, in the order of their columns."""
