"""What a run gave: shown, drawn, saved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.core.typing import PyTree, Rows
from jaxgossip.core.units import counted, duration, rows_text
from jaxgossip.network.wallclock import to_seconds
from jaxgossip.plotting.measures import measures_of
from jaxgossip.simulation.loop import Status
from jaxgossip.simulation.metrics import Metrics
from jaxgossip.simulation.program import by_node

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Result:
    """What a run gave.

    Attributes:
        metrics: records of all evaluations.
        algorithm: what ran.
        node_scores: every measurement at the end for all nodes, (n,) NumPy each; empty if interrupted.
        status: completed, diverged (a model became NaN or infinite in round ``rounds``, or nothing that is measured of the
            models is finite any more) or interrupted.
        rounds: rounds done; fewer than asked for where it diverged, was interrupted, or its bytes were spent.
        wall_s: seconds of rounds and evaluations, without compilation.
        run: the whole run state, to be continued from, in rows as the problem orders them.
        settings: what was asked for: rounds, seed, evaluate_every, sampled_nodes, byte_budget, matmul_precision.
    """

    metrics: Metrics
    algorithm: Algorithm | GossipProtocol
    node_scores: Mapping[str, np.ndarray]
    status: Status
    rounds: int
    wall_s: float
    run: Any
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        problem, final = self.algorithm.problem, self.metrics.final if len(self.metrics) else {}
        measured = [f"{one.name} {one.text(final[f'{one.key}_mean'])}" for one in measures_of(final)[:1]]
        return (
            f"Result({self.algorithm.name} on {rows_text(problem.n_nodes, problem.n_params)}: "
            f"{self.status} after {self.rounds:,} rounds in {duration(self.wall_s)}; "
            f"{', '.join([counted(len(self.metrics), 'evaluation'), *measured])})"
        )

    @cached_property
    def state(self) -> PyTree:
        """The algorithm's state at the end, node by node."""
        return by_node(self.run.state, self.algorithm.problem.order)

    @cached_property
    def x(self) -> Rows:
        """(n, p) models at the end, node by node."""
        return self.algorithm.models(self.state)

    @cached_property
    def virtual_s(self) -> np.ndarray | None:
        """(n,) float64 virtual seconds at the end, node by node; None if no time was kept."""
        if self.run.clock is None:
            return None
        seconds, order = to_seconds(self.run.clock), self.algorithm.problem.order
        return seconds if order is None else seconds[order.rows]

    def plot(self, metric: str | None = None, ax: "Axes | None" = None, *, label: str | None = None) -> "Axes":
        """Draw a metric by rounds (cycles of a run by clocks), and return the axes.

        >>> axes = result.plot()                               # the mean over nodes, and the middle nine tenths of them
        >>> other.plot("consensus_distance", ax=axes)          # one more line

        Args:
            metric: a measurement, such as ``"test_accuracy"``, or any name in a record; the first measurement by default.
            ax: matplotlib axes to draw into, whose look stays; by default new ones, in the style of our pictures.
            label: of the line, for a legend; the algorithm's name by default.

        Raises:
            InputError: no such metric, or nothing was measured.
        """
        from jaxgossip.plotting.curves import draw_records  # noqa: PLC0415 - matplotlib, where somebody draws

        return draw_records(self.metrics.records, metric, ax, label or self.algorithm.name)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the result into a folder, as ``jaxgossip run`` does, and return it; ``jg.results.load(folder)`` reads it.

        It holds ``metrics.jsonl``, ``node_scores.npz``, ``models.npz`` (``x``, (n, p) node by node), and, last of all,
        ``manifest.json``: status, seed and settings, versions and device, digests. There is no ``config.toml``: a result
        does not know how its parts were made, so ``jaxgossip plot`` and ``compare`` show it, and ``resume`` cannot go on.

        Args:
            folder: made if it is not there, with those above it.
            overwrite: replace a result that was saved in it before.

        Raises:
            InputError: nothing was measured, or the folder holds something (else).
            ConfigError: another process is writing into it.
        """
        from jaxgossip.simulation.results.saved import save  # noqa: PLC0415 - it knows what a result is

        return save(self, Path(folder), overwrite=overwrite)


def settings(
    rounds: int, seed: int, evaluate_every: int, sampled_nodes: int, byte_budget: int, matmul_precision: str
) -> dict[str, Any]:
    """Return what a run was asked for, by name."""
    return {
        "rounds": int(rounds),
        "seed": int(seed),
        "evaluate_every": int(evaluate_every),
        "sampled_nodes": int(sampled_nodes),
        "byte_budget": int(byte_budget),
        "matmul_precision": str(matmul_precision),
    }
