"""What a sweep gave: one row a run, means over seeds, a picture."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
        point: the values of the grid that it has, by name.
        seed: its seed.
        metrics: the records of its evaluations.
        status: as of :class:`~jaxgossip.simulation.results.result.Result`.
        rounds: rounds, or cycles, done.
    """

    point: Point
    seed: int
    metrics: Metrics
    status: Status
    rounds: int

    def __repr__(self) -> str:
        where = ", ".join([*_words(self.point), f"seed={self.seed}"])
        return (
            f"SweepRun({where}: {self.status} after {self.rounds:,} rounds; {counted(len(self.metrics), 'evaluation')})"
        )


@dataclass(frozen=True, eq=False)
class SweepResult(Sequence[SweepRun]):
    """What a sweep gave: a sequence of its runs, seed by seed within point by point.

    >>> result.table()                        # a dict a run: pandas.DataFrame(result.table())
    >>> result.summary("test_accuracy")       # a dict a point: mean and std over seeds
    >>> result["test_accuracy"]               # (runs,) the last value of each run
    >>> result.where(rate=0.1).plot()

    Attributes:
        runs: those that are done or, where the sweep was interrupted, partly done.
        asked: how many runs were asked for.
        wall_s: seconds from start to end, with compilation.
    """

    runs: tuple[SweepRun, ...]
    asked: int
    wall_s: float

    @property
    def status(self) -> Status:
        """Interrupted where runs are missing or partly done, else completed; a run that diverged is over, too."""
        stopped = len(self.runs) < self.asked or any(run.status == "interrupted" for run in self.runs)
        return "interrupted" if stopped else "completed"

    @property
    def points(self) -> tuple[Point, ...]:
        """The points of the grid, in the order of their first runs."""
        return tuple(runs[0].point for runs in self._by_point())

    def table(self) -> list[dict[str, Any]]:
        """Return one flat dict a run: its point, seed, status, and its last record; values are Python's own."""
        return [
            _row(run, {"status": run.status, **(run.metrics.final if len(run.metrics) else {})}) for run in self.runs
        ]

    def records(self) -> list[dict[str, Any]]:
        """Return one flat dict an evaluation of every run: its point, its seed, and what was measured."""
        return [_row(run, record) for run in self.runs for record in run.metrics]

    def summary(self, metric: str | None = None) -> list[dict[str, Any]]:
        """Return one flat dict a point: the point, ``runs``, ``diverged``, ``metric``, and its ``mean`` and ``std`` over seeds.

        Both are of the last records of the runs that completed; NaN where none did. The deviation is the sample's, with
        n − 1, and NaN of a single run.

        Args:
            metric: a measurement, such as ``"test_accuracy"``, of which it is the mean over nodes; or any name in a record.
                The first measurement by default.

        Raises:
            InputError: no such metric.
        """
        key, rows = self._metric(metric)[1], []
        for runs in self._by_point():
            ends = np.array([_last(run, key) for run in runs if run.status == "completed"], np.float64)
            counts = {"runs": len(runs), "diverged": sum(run.status == "diverged" for run in runs)}
            numbers = {"mean": _mean(ends), "std": _std(ends)}
            rows.append({**_plain(runs[0].point), **counts, "metric": key, **numbers})
        return rows

    def curve(self, metric: str | None = None, **point: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (rounds, mean over seeds, their standard deviation), (k,) float64 each, of the runs at one point.

        Runs that did not complete are left out, and so are evaluations that not all of the others have.

        Args:
            metric: as of :meth:`summary`.
            point: its values by name, as many as tell it from the others.

        Raises:
            InputError: no such metric, or not one point that has these values.
        """
        chosen = self.where(**point)
        if len(chosen.points) != 1:
            raise InputError(f"{counted(len(chosen.points), 'point')} of the sweep, not one", hint=self._known())
        key = self._metric(metric)[1]
        return _curve([run for run in chosen.runs if run.status == "completed"], key)

    def where(self, **point: Any) -> "SweepResult":
        """Return the runs at the points that have these values, as a result of their own.

        Raises:
            InputError: a name that the grid has not.
        """
        for name in point:
            if any(name not in run.point for run in self.runs):
                raise InputError(f"the sweep has no '{name}'", hint=self._known())
        runs = tuple(run for run in self.runs if all(_same(run.point[name], value) for name, value in point.items()))
        return SweepResult(runs, len(runs), self.wall_s)

    def plot(self, metric: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Draw a metric by rounds, a line a point: the mean over seeds, and one standard deviation to both sides.

        Runs that did not complete are left out; of a point that has no others, the mean of what they share is dotted.

        Args:
            metric: as of :meth:`summary`.
            ax: matplotlib axes to draw into, whose look stays; by default new ones, in the style of our pictures.

        Returns:
            The axes.

        Raises:
            InputError: no such metric, or no run.
        """
        from jaxgossip.plotting import curves  # noqa: PLC0415 - matplotlib, where somebody draws

        measure, key = self._metric(metric)
        groups = self._by_point()
        axes = curves.new_axes() if ax is None else ax
        if ax is None:
            curves.told_apart(axes, len(groups))
        for runs in groups:
            whole = [run for run in runs if run.status == "completed"]
            label = ", ".join(_words(runs[0].point)) + ("" if whole else f" ({runs[0].status})")
            curves.draw_band(axes, *_curve(whole or runs, key), label, "-" if whole else ":")
        return curves.finished(axes, measure, key)

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
            key = self._metric(which)[1]
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
        """Return from where to where the points' means of the first measurement go, in words; empty without any."""
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
        found: dict[int, list[SweepRun]] = {}
        for run in self.runs:  # the runs of a point hold the same one
            found.setdefault(id(run.point), []).append(run)
        return list(found.values())

    def _metric(self, metric: str | None) -> tuple[Measure | None, str]:
        measured = [run for run in self.runs if len(run.metrics)]
        return metric_of(measured[0].metrics.records if measured else (), metric)

    def _known(self) -> str:
        values: dict[str, dict[str, None]] = {}
        for point in self.points:
            for name, value in point.items():
                values.setdefault(name, {})[_word(value)] = None
        return "its grid: " + "; ".join(f"{name} = {', '.join(its)}" for name, its in values.items())


def _curve(runs: Sequence[SweepRun], key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rounds = [{int(record["round"]): record.get(key, np.nan) for record in run.metrics} for run in runs]
    shared = sorted(set(rounds[0]).intersection(*rounds[1:])) if rounds else []
    columns = [np.array([one[number] for one in rounds], np.float64) for number in shared]
    means, deviations = ([statistic(column) for column in columns] for statistic in (_mean, _std))
    return np.array(shared, np.float64), np.array(means, np.float64), np.array(deviations, np.float64)


def _last(run: SweepRun, key: str) -> float:
    """Return the last value of a run; NaN where it was never evaluated, or measures other things than the others."""
    return float(run.metrics.final.get(key, np.nan)) if len(run.metrics) else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else float("nan")


def _row(run: SweepRun, record: Mapping[str, Any]) -> dict[str, Any]:
    names = {**_plain(run.point), "seed": run.seed}
    return names | {key: value for key, value in record.items() if key not in names}


def _statuses(runs: Iterable[SweepRun]) -> list[str]:
    return list(dict.fromkeys(run.status for run in runs))


def _plain(point: Point) -> dict[str, Any]:
    """Return a point with scalars of NumPy and JAX as Python's own numbers."""
    return {name: _own(value) for name, value in point.items()}


def _own(value: Any) -> Any:
    if getattr(value, "shape", None) != ():
        return value
    number = np.asarray(value)
    # 0.1 of 32 bits is a tenth to whoever wrote it, and not 0.10000000149011612.
    return float(str(number)) if number.dtype == np.float32 else number.item()


def _same(a: Any, b: Any) -> bool:
    """Return whether two values of a grid are the same: numbers to the accuracy of float32, others by equality or identity."""
    a, b = _own(a), _own(b)
    if is_number(a) and is_number(b):
        return bool(np.isclose(float(a), float(b), rtol=1e-6, atol=0.0))
    return a is b or bool(np.all(a == b))


def _words(point: Point) -> list[str]:
    return [_word(value) if name == "algorithm" else f"{name}={_word(value)}" for name, value in point.items()]


def _word(value: Any) -> str:
    value = _own(value)
    if is_number(value):
        return f"{float(value):.6g}"
    return str(getattr(value, "name", None) or getattr(value, "__name__", None) or value)
