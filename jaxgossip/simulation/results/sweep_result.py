"""The result of a sweep: a table of its runs, statistics over seeds, and a plot."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload, override

import numpy as np

from jaxgossip.core.arguments import is_number
from jaxgossip.core.errors import InputError
from jaxgossip.core.units import counted, duration
from jaxgossip.plotting.measures import Measure, measures_of, metric_of
from jaxgossip.simulation.loop import Status
from jaxgossip.simulation.metrics import Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

type Point = Mapping[str, Any]


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        point: the run's values of the grid, by name.
        seed: the run's seed.
        metrics: records of all evaluations.
        status: as in :class:`~jaxgossip.simulation.results.result.Result`.
        rounds: rounds, or cycles, completed.
        n_nodes: number of nodes.
        settings: arguments of the run, as in :class:`~jaxgossip.simulation.results.result.Result`.
    """

    point: Point
    seed: int
    metrics: Metrics
    status: Status
    rounds: int
    n_nodes: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        where = ", ".join([*labels(self.point), f"seed={self.seed}"])
        return (
            f"SweepRun({where}: {self.status} after {self.rounds:,} rounds; {counted(len(self.metrics), 'evaluation')})"
        )


@dataclass(frozen=True, eq=False)
class SweepResult(Sequence[SweepRun]):
    """The result of a sweep: a sequence of its runs, point by point and seed by seed.

    >>> result.table()                        # one dict per run: pandas.DataFrame(result.table())
    >>> result.summary("test_accuracy")       # one dict per point: mean and std over seeds
    >>> result["test_accuracy"]               # (runs,) float64, the last value of each run
    >>> result.where(rate=0.1).plot()

    Attributes:
        runs: the runs that have ended and, if the sweep was interrupted, those in progress.
        asked: number of runs requested.
        wall_s: wall-clock seconds of the whole sweep, including compilation.
    """

    runs: tuple[SweepRun, ...]
    asked: int
    wall_s: float

    @property
    def status(self) -> Status:
        """``"interrupted"`` if a run is missing or was interrupted, else ``"completed"``, even if runs diverged."""
        stopped = len(self.runs) < self.asked or any(run.status == "interrupted" for run in self.runs)
        return "interrupted" if stopped else "completed"

    @property
    def points(self) -> tuple[Point, ...]:
        """Points of the grid, in the order of their first runs."""
        return tuple(runs[0].point for runs in self._by_point())

    def table(self) -> list[dict[str, Any]]:
        """Return one flat dict per run with its point, seed, status and last record; scalars are Python numbers."""
        return [
            _row(run, {"status": run.status, **(run.metrics.final if len(run.metrics) else {})}) for run in self.runs
        ]

    def records(self) -> list[dict[str, Any]]:
        """Return one flat dict per evaluation of every run, with the run's point and seed."""
        return [_row(run, record) for run in self.runs for record in run.metrics]

    def summary(self, metric: str | None = None) -> list[dict[str, Any]]:
        """Return one flat dict per point: its values, ``runs``, ``diverged``, ``metric``, and ``mean`` and ``std`` over seeds.

        Mean and standard deviation are over the last records of completed runs, NaN if there are none. The standard deviation
        is that of a sample, with n − 1, and NaN for a single run.

        Args:
            metric: a measurement, such as ``"test_accuracy"``, which stands for its mean over nodes; or any name in a
                record. The first measurement by default.

        Raises:
            InputError: there is no such metric.
        """
        key, rows = self._metric(metric).column, []
        for runs in self._by_point():
            last = np.array([_last(run, key) for run in runs if run.status == "completed"], np.float64)
            counts = {"runs": len(runs), "diverged": sum(run.status == "diverged" for run in runs)}
            statistics = {"mean": _mean(last), "std": _std(last)}
            rows.append({**plain(runs[0].point), **counts, "metric": key, **statistics})
        return rows

    def curve(self, metric: str | None = None, **point: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (rounds, mean over seeds, standard deviation over seeds) of one point, each (k,) float64.

        Runs that did not complete are excluded, as are evaluations that the completed runs do not all share.

        Args:
            metric: as in :meth:`summary`.
            point: values of the point by name, as many as identify it.

        Raises:
            InputError: there is no such metric, or the values do not identify exactly one point.
        """
        chosen = self.where(**point)
        if len(chosen.points) != 1:
            raise InputError(f"{counted(len(chosen.points), 'point')} of the sweep, not one", hint=self._known())
        key = self._metric(metric).column
        return _curve([run for run in chosen.runs if run.status == "completed"], key)

    def where(self, **point: Any) -> "SweepResult":
        """Return a result with only the runs at points that have these values.

        Raises:
            InputError: the grid has no such name.
        """
        for name in point:
            if any(name not in run.point for run in self.runs):
                raise InputError(f"the sweep has no '{name}'", hint=self._known())
        runs = tuple(run for run in self.runs if all(same(run.point[name], value) for name, value in point.items()))
        return SweepResult(runs, len(runs), self.wall_s)

    def plot(self, metric: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Plot a metric against rounds, one line per point: the mean over seeds, with a band of one standard deviation.

        Runs that did not complete are excluded. For a point without completed runs, the mean of the evaluations that its runs
        share is drawn dotted.

        Args:
            metric: as in :meth:`summary`.
            ax: matplotlib axes to draw into, whose style is kept; by default new axes in the style of jaxgossip.

        Returns:
            The axes.

        Raises:
            InputError: there is no such metric, or there are no runs.
        """
        from jaxgossip.plotting import curves  # noqa: PLC0415 - matplotlib is slow to load

        measure = self._metric(metric)
        groups = self._by_point()
        axes = curves.new_axes() if ax is None else ax
        if ax is None:
            curves.told_apart(axes, len(groups))
        for runs in groups:
            completed = [run for run in runs if run.status == "completed"]
            label = ", ".join(labels(runs[0].point)) + ("" if completed else f" ({runs[0].status})")
            curves.draw_band(axes, *_curve(completed or runs, measure.column), label, "-" if completed else ":")
        return curves.finished(axes, measure)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Save the sweep in a folder and return its path: a folder per run, named after its point and seed, and an index.

        Each holds ``metrics.jsonl`` and ``manifest.json``, which ``jg.results.load`` reads, and so do ``jaxgossip plot`` and
        ``compare``; ``jaxgossip compare FOLDER`` shows the whole sweep, with bands over seeds. The index, ``sweep.json``, has
        the grid, the seeds and the runs. Runs of which nothing was measured are left out.

        Args:
            folder: the folder, created with its parents if missing.
            overwrite: whether to replace a sweep saved there earlier.

        Raises:
            InputError: nothing was measured, or the folder holds other files or a sweep that is not to be replaced.
            ConfigError: another process is writing to the folder.
        """
        from jaxgossip.simulation.results.saved import save_sweep  # noqa: PLC0415 - that module imports this one

        return save_sweep(self, Path(folder), overwrite=overwrite)

    @override
    def __len__(self) -> int:
        return len(self.runs)

    @overload
    def __getitem__(self, which: int) -> SweepRun: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[SweepRun]: ...
    @overload
    def __getitem__(self, which: str) -> np.ndarray: ...
    @override
    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            key = self._metric(which).column
            return np.array([_last(run, key) for run in self.runs], np.float64)
        return self.runs[which]

    def __repr__(self) -> str:
        names = " × ".join(self.runs[0].point) if self.runs else ""
        seeds = len({run.seed for run in self.runs})
        ends = [f"{sum(run.status == status for run in self.runs)} {status}" for status in _statuses(self.runs)]
        missing = self.asked - len(self.runs)
        ends += [f"{missing} not begun"] * bool(missing)
        shape = f"{counted(len(self.points), 'point')}{f' ({names})' if names else ''} × {counted(seeds, 'seed')}"
        return f"SweepResult({shape}: {', '.join(ends) or 'no runs'} in {duration(self.wall_s)}{self._range()})"

    def _range(self) -> str:
        """Return the range of the points' means of the first measurement as text; empty without measurements."""
        measured = [run for run in self.runs if len(run.metrics) and measures_of(run.metrics.final)]
        if not measured:
            return ""
        measure = measures_of(measured[0].metrics.final)[0]
        means = [row["mean"] for row in self.summary() if np.isfinite(row["mean"])]
        if not means:
            return ""
        ends = dict.fromkeys(map(measure.text, (min(means), max(means))))
        return f"; {measure.name} {' to '.join(ends)}"

    def _by_point(self) -> list[list[SweepRun]]:
        by_point: dict[int, list[SweepRun]] = {}
        for run in self.runs:  # the runs of a point share one object
            by_point.setdefault(id(run.point), []).append(run)
        return list(by_point.values())

    def _metric(self, metric: str | None) -> Measure:
        measured = [run for run in self.runs if len(run.metrics)]
        return metric_of(measured[0].metrics.records if measured else (), metric)

    def _known(self) -> str:
        values: dict[str, dict[str, None]] = {}
        for point in self.points:
            for name, value in point.items():
                values.setdefault(name, {})[text_of(value)] = None
        return "its grid: " + "; ".join(f"{name} = {', '.join(texts)}" for name, texts in values.items())


def _curve(runs: Sequence[SweepRun], key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rounds = [{int(record["round"]): record.get(key, np.nan) for record in run.metrics} for run in runs]
    shared = sorted(set(rounds[0]).intersection(*rounds[1:])) if rounds else []
    columns = [np.array([values[number] for values in rounds], np.float64) for number in shared]
    means, deviations = ([statistic(column) for column in columns] for statistic in (_mean, _std))
    return np.array(shared, np.float64), np.array(means, np.float64), np.array(deviations, np.float64)


def _last(run: SweepRun, key: str) -> float:
    """Return the last value of a metric; NaN if the run was never evaluated or does not have the metric."""
    return float(run.metrics.final.get(key, np.nan)) if len(run.metrics) else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else float("nan")


def _row(run: SweepRun, record: Mapping[str, Any]) -> dict[str, Any]:
    names = {**plain(run.point), "seed": run.seed}
    return names | {key: value for key, value in record.items() if key not in names}


def _statuses(runs: Iterable[SweepRun]) -> list[str]:
    return list(dict.fromkeys(run.status for run in runs))


def plain(point: Point) -> dict[str, Any]:
    """Return a point with NumPy and JAX scalars as Python numbers."""
    return {name: _python_value(value) for name, value in point.items()}


def _python_value(value: Any) -> Any:
    if getattr(value, "shape", None) != ():
        return value
    number = np.asarray(value)
    # Keep a float32 0.1 as 0.1, not 0.10000000149011612.
    return float(str(number)) if number.dtype == np.float32 else number.item()


def same(a: Any, b: Any) -> bool:
    """Return whether two values of a grid are equal: numbers to float32 precision, others by identity or equality."""
    a, b = _python_value(a), _python_value(b)
    if is_number(a) and is_number(b):
        return bool(np.isclose(float(a), float(b), rtol=1e-6, atol=0.0))
    return a is b or bool(np.all(a == b))


def labels(point: Point) -> list[str]:
    """Return the values of a point as text: ``rate=0.1``, or the bare name of an algorithm."""
    return [text_of(value) if name == "algorithm" else f"{name}={text_of(value)}" for name, value in point.items()]


def text_of(value: Any) -> str:
    """Return a value of a grid as text: a number to six digits, the name of what has one."""
    value = _python_value(value)
    if is_number(value):
        return f"{float(value):.6g}"
    return str(getattr(value, "name", None) or getattr(value, "__name__", None) or value)
