"""Against what a picture draws: rounds, what a node has sent, virtual time. Each is one column of panels."""

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
class Way:
    """One kind of x axis.

    Attributes:
        name: what the command line calls it.
        words: how titles go on: "Test accuracy by …".
        x: (run, baseline, None for the run itself) -> (k,) float64, one value an evaluation.
        finish: (panel, runs) makes the axis, or says in the panel why there is nothing to draw.
        of_baselines: whether baselines have values of it; of others the level that they end on is drawn.
    """

    name: str
    words: str
    x: Callable[[RunData, str | None], np.ndarray]
    finish: Callable[[Axes, Sequence[RunData]], None]
    of_baselines: bool = True


def ways(runs: Sequence[RunData], by: Sequence[str] = ()) -> list[Way]:
    """Return the ways to draw runs.

    Args:
        runs: the runs.
        by: names of ways; if empty, rounds and bytes, and virtual time if every run kept it and it does not go with the
            rounds, as it does where nodes act by their own clocks.

    Raises:
        ConfigError: an unknown name, or virtual time of a run that kept none.
    """
    for name in by:
        if name not in WAYS:
            raise ConfigError(f"--by {name}: no such axis", hint=f"allowed: {', '.join(WAYS)}")
    without = next((run for run in runs if run.final.get("virtual_s") is None), None)
    if "seconds" in by and without is not None:
        raise ConfigError(
            f"{without.folder} kept no virtual time", hint="a section [speeds] makes a run keep it; run it again"
        )
    tells = all(run.final.get("virtual_s_mean") is not None for run in runs)
    names = dict.fromkeys(by) or [name for name in WAYS if name != "seconds" or tells]
    return [WAYS[name] for name in names]


def _rounds_axis(axes: Axes, runs: Sequence[RunData]) -> None:
    ends = [run.column("round", name)[-1] for run in runs for name in (None, *run.baselines)]
    scales.rounds_axis(axes, max(*ends, 0, *(run.diverged_round or 0 for run in runs)))


def _bytes_axis(axes: Axes, runs: Sequence[RunData]) -> None:
    sent = [float(np.nanmax(run.bytes_per_node(), initial=0.0)) for run in runs]
    if max(sent) > 0:
        scales.bytes_axis(axes, min(one for one in sent if one > 0), max(sent), "sent per node")
    else:
        known = all(run.n_nodes for run in runs)
        show_message(axes, "no messages were sent" if known else "the number of nodes is not known")


def _seconds_axis(axes: Axes, runs: Sequence[RunData]) -> None:
    # Of the runs alone: a baseline may take a hundred times as long, and is then seen as far as they go.
    ends = [float(np.nanmax(run.column("virtual_s"), initial=0.0)) for run in runs]
    if max(ends) > 0:
        own = min(one for one in ends if one > 0)
        scales.seconds_axis(axes, own, max(ends), "virtual time")
    else:
        show_message(axes, "no virtual time has passed")


WAYS = MappingProxyType(
    {
        way.name: way
        for way in (
            Way("rounds", "by round", lambda run, name: run.column("round", name), _rounds_axis),
            Way(
                "bytes", "by what a node has sent", lambda run, _: run.bytes_per_node(), _bytes_axis, of_baselines=False
            ),
            Way("seconds", "by virtual time", lambda run, name: run.column("virtual_s", name), _seconds_axis),
        )
    }
)
"""By the names that ``--by`` takes, in the order in which they stand side by side."""
