"""The result of a run: metrics, final state, plotting and saving."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.core.typing import PyTree, Rows
from jaxgossip.core.units import counted, duration, rows_text
from jaxgossip.network.energy import Energy, Spent
from jaxgossip.network.meter import spent_of
from jaxgossip.network.wallclock import to_seconds
from jaxgossip.plotting.measures import measures_of
from jaxgossip.simulation.loop import Status
from jaxgossip.simulation.metrics import Metrics
from jaxgossip.simulation.program import by_node

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        metrics: records of all evaluations.
        algorithm: the algorithm or protocol that was run.
        node_scores: final measurements of all nodes, each an (n,) NumPy array; empty if interrupted.
        status: ``"completed"``, ``"interrupted"``, or ``"diverged"``: a model became NaN or infinite in round ``rounds``, or
            no measurement of the models is finite any more.
        rounds: rounds completed; fewer than requested if the run diverged, was interrupted, or exhausted its byte budget.
        wall_s: wall-clock seconds of rounds and evaluations, without compilation.
        run: the complete run state, from which the run can be continued, with rows in the order of the problem.
        settings: the run's arguments: rounds, seed, evaluate_every, sampled_nodes, byte_budget, matmul_precision.
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
        measured = [f"{measure.name} {measure.text(final[measure.column])}" for measure in measures_of(final)[:1]]
        return (
            f"Result({self.algorithm.name} on {rows_text(problem.n_nodes, problem.n_params)}: "
            f"{self.status} after {self.rounds:,} rounds in {duration(self.wall_s)}; "
            f"{', '.join([counted(len(self.metrics), 'evaluation'), *measured])})"
        )

    @cached_property
    def state(self) -> PyTree:
        """Final state of the algorithm, by node."""
        return by_node(self.run.state, self.algorithm.problem.order)

    @cached_property
    def x(self) -> Rows:
        """Final models (n, p), by node."""
        return self.algorithm.models(self.state)

    @cached_property
    def virtual_s(self) -> np.ndarray | None:
        """Final virtual seconds of every node, (n,) float64; None if no clocks were kept."""
        if self.run.clock is None:
            return None
        seconds, order = to_seconds(self.run.clock), self.algorithm.problem.order
        return seconds if order is None else seconds[order.rows]

    def spent(self, energy: Energy) -> Spent | None:
        """Return the joules that every node has spent, (n,) by node, of training and in total; None if none were counted.

        Args:
            energy: what the run was given, or other machines that do the same work.
        """
        if getattr(self.run, "meter", None) is None:
            return None
        meter = by_node(self.run.meter, self.algorithm.problem.order)
        seconds = self.virtual_s
        spent = spent_of(energy, meter)
        return spent if seconds is None else spent._replace(total=spent.total + energy.idle_w * seconds)

    def plot(self, metric: str | None = None, ax: "Axes | None" = None, *, label: str | None = None) -> "Axes":
        """Plot a metric against rounds, or cycles, and return the axes.

        >>> axes = result.plot()                               # the mean over nodes, with their 5% to 95% quantiles
        >>> other.plot("consensus_distance", ax=axes)          # another line in the same axes

        Args:
            metric: a measurement, such as ``"test_accuracy"``, or any name in a record; the first measurement by default.
            ax: matplotlib axes to draw into, whose style is kept; by default new axes in the style of jaxgossip.
            label: label of the line in a legend; the algorithm's name by default.

        Raises:
            InputError: there is no such metric, or nothing was measured.
        """
        from jaxgossip.plotting.curves import draw_records  # noqa: PLC0415 - matplotlib is slow to load

        return draw_records(self.metrics.records, metric, ax, label or self.algorithm.name)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Save the result in a folder, with the layout of ``jaxgossip run``, and return its path.

        The folder holds ``metrics.jsonl``, ``node_scores.npz``, ``models.npz`` (``x``, (n, p) by node) and
        ``manifest.json`` (status, seed, settings, versions, device, digests). ``jg.results.load`` reads it, and so do
        ``jaxgossip plot`` and ``compare``. It cannot be resumed: there is no ``config.toml``, since a result does not record
        how its algorithm and problem were made.

        Args:
            folder: the folder, created with its parents if missing.
            overwrite: whether to replace a result saved there earlier.

        Raises:
            InputError: nothing was measured, or the folder holds other files or a result that is not to be replaced.
            ConfigError: another process is writing to the folder.
        """
        from jaxgossip.simulation.results.saved import save  # noqa: PLC0415 - that module imports this one

        return save(self, Path(folder), overwrite=overwrite)
