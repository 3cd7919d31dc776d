"""Reading of run folders for tables and figures, including those of runs that are still running or were killed."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from jaxgossip.core import units
from jaxgossip.core.disk import METRICS, SWEEP
from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.experiment.results.divergence import diverged_round
from jaxgossip.experiment.results.folder import FINISHED, NODE, RunFolder, finished_log, is_saved, seal_of
from jaxgossip.experiment.results.inputs import CONFIG
from jaxgossip.experiment.results.stored import config_at, config_of_saved, evaluated_every, manifest_at, models_at
from jaxgossip.experiment.results.target import reached
from jaxgossip.plotting.measures import CONSENSUS, Measure, measures_of, metric_of

if TYPE_CHECKING:
    from jaxgossip.simulation import Metrics

BASELINES = ("isolated", "centralised", "federated_averaging")

LARGEST, SMALLEST = 1e100, 1e-100
"""Magnitudes beyond which figures treat numbers as infinite, and as zero."""

type Record = Mapping[str, Any]


@dataclass(frozen=True, repr=False)
class RunData:
    """A run read from its folder.

    Attributes:
        folder: the run folder.
        config: the resolved configuration as nested tables; it is not checked again, so that runs of other versions, and
            runs whose input files have moved, can still be read.
        manifest: the manifest; empty if the run was killed before it was written.
        records: one record per evaluation, in the order of rounds.
        baselines: the records of each baseline that was run.
        node_scores: every measure at the end, (n,) float over all nodes; empty before the end.
        baseline_divergence: round in which the model of a baseline became NaN or infinite.
        node_names: the names of the nodes, if the graph has them.
    """

    folder: Path
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    records: tuple[Record, ...]
    baselines: Mapping[str, tuple[Record, ...]]
    node_scores: Mapping[str, np.ndarray]
    baseline_divergence: Mapping[str, int]
    node_names: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        status, evaluations = self.manifest.get("status", "unfinished"), units.counted(len(self.records), "evaluation")
        return f"RunData({self.folder}: {status}, {evaluations} up to round {self.records[-1]['round']:,})"

    @classmethod
    def load(cls, folder: Path | str) -> "RunData":
        """Read a run folder.

        Args:
            folder: the run folder.

        Raises:
            ConfigError: the folder is not that of a run, the run was never evaluated, or a file is damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ConfigError(f"no such run: {folder}", hint="give the folder of a run, e.g. one under runs/")
        saved = is_saved(folder)
        for needed in (METRICS,) if saved else (CONFIG, METRICS):
            if not (folder / needed).is_file():
                nested = [str(path.parent) for path in sorted(folder.glob(f"*/{needed}"))[-3:]]
                hint = (
                    f"did you mean {' or '.join(nested)}?" if nested else "a run folder is what 'jaxgossip run' makes"
                )
                if (folder / SWEEP).is_file():
                    hint = f"it is a sweep: 'jaxgossip compare {shlex.quote(str(folder))}' shows its runs"
                raise ConfigError(f"{folder} is not a run: it has no {needed}", hint=hint)
        manifest = manifest_at(folder)
        config = config_of_saved(folder, manifest) if saved else config_at(folder / CONFIG)
        run_folder, every = RunFolder(folder), evaluated_every(config, manifest)
        ended = manifest.get("status") in FINISHED
        records = finished_log(folder, manifest, every) if ended else run_folder.log().records(every)
        if not records:
            raise ConfigError(f"{folder} has no evaluation yet", hint="wait for the first, or resume the run")
        logs = {name: run_folder.log(name).records(every) for name in BASELINES}
        for name in BASELINES:
            if seal_of(manifest, name) is not None:
                run_folder.log(name).check(seal_of(manifest, name), every)
        # the record that marks the divergence of a baseline repeats the numbers of the evaluation before it
        divergence = {
            name: int(record["round"]) for name, log in logs.items() for record in log if record.get("diverged")
        }
        baselines = {name: tuple(record for record in log if not record.get("diverged")) for name, log in logs.items()}
        scores = _arrays(folder / "node_scores.npz")
        names = scores.pop(NODE, None)
        return cls(
            folder=folder,
            config=config,
            manifest=manifest,
            records=tuple(records),
            baselines={name: log for name, log in baselines.items() if log},
            node_scores=scores,
            node_names=None if names is None else tuple(map(str, names.tolist())),
            baseline_divergence=divergence,
        )

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.config.get("name", self.folder.name))

    @property
    def status(self) -> str:
        """The status: completed, diverged, interrupted, running or failed, or 'unknown' without a manifest."""
        return str(self.manifest.get("status", "unknown"))

    @property
    def n_nodes(self) -> int | None:
        """Number of nodes; None if unknown."""
        nodes = self._section("graph", self.manifest).get("nodes") or self._section("topology").get("nodes")
        if nodes is None and self.node_scores:
            nodes = next(iter(self.node_scores.values())).size
        return None if nodes is None else int(nodes)

    @property
    def n_evaluated(self) -> int | None:
        """Number of nodes that are evaluated while running; None if unknown."""
        sampled = self._section("evaluation").get("sampled_nodes")
        return self.n_nodes if sampled is None or self.n_nodes is None else min(int(sampled), self.n_nodes)

    @property
    def diverged_round(self) -> int | None:
        """Round in which a model, or all measurements, ceased to be finite; None if the run has not diverged."""
        if self.status != "diverged":
            return None
        round_number = diverged_round(self.manifest)
        return int(self.records[-1]["round"]) if round_number is None else round_number

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures of the run's nodes, in order of preference.

        Raises:
            ConfigError: there are none.
        """
        measures = measures_of(self.records[-1])
        if not measures:
            raise ConfigError(f"{self.folder} measured nothing of its models", hint="there is nothing to show of it")
        return measures

    def measure(self, name: str) -> Measure:
        """Return the measure of that name: one of ``measures``, or any other key of a record, as one of the network.

        Raises:
            ConfigError: the run recorded nothing of that name.
        """
        try:
            return metric_of(self.records, name)
        except InputError as error:
            raise ConfigError(f"{self.folder}: {error.message}", hint=error.hint) from error

    @property
    def metrics(self) -> "Metrics":
        """The records as ``result.metrics`` has them: by name, a column over evaluations, NaN for what was not finite."""
        from jaxgossip.simulation import Metrics

        return Metrics(self.records)

    @cached_property
    def x(self) -> np.ndarray:
        """(n, p) models at the end, node by node, of a result that was saved from Python.

        Raises:
            ConfigError: the folder holds none, or they are not those that were saved.
        """
        return models_at(self.folder, self.manifest)

    @property
    def final(self) -> Record:
        """The last record."""
        return self.records[-1]

    def column(self, key: str, baseline: str | None = None) -> np.ndarray:
        """Return one value per evaluation, (k,) float64; NaN where it is missing.

        Numbers above ``LARGEST`` become infinite, and those below ``SMALLEST`` 0, for the axes of figures compute squares,
        ratios and powers of them.

        Args:
            key: name in the records.
            baseline: name of a baseline; None for the run itself.
        """
        records = self.records if baseline is None else self.baselines.get(baseline, ())
        values = np.array([_number(record.get(key)) for record in records], np.float64)
        values[np.abs(values) > LARGEST] *= np.inf
        values[np.abs(values) < SMALLEST] = 0.0
        return values

    def bytes_per_node(self) -> np.ndarray:
        """Return (k,) float64: bytes sent per node until each evaluation; NaN if the number of nodes is unknown."""
        return self.column("bytes_sent") / (self.n_nodes or np.nan)

    def values(self, measure: Measure, baseline: str | None = None) -> np.ndarray:
        """Return (k,) float64: the mean over nodes of a measure, or the network's number, at each evaluation.

        The consensus distance of equal initial models is 0 in spite of rounding.
        """
        values = self.column(measure.column, baseline)
        if measure == CONSENSUS and values.size > 1 and values[0] < 1e-9 * np.nanmax(values[1:], initial=0.0):
            values[0] = 0.0  # the mean of equal numbers is not always that number
        return values

    def last(self, measure: Measure) -> float | None:
        """Return the final value of a measure; None if it is not finite, or if the run diverged."""
        return None if self.diverged_round is not None else _finite(self.final.get(measure.column))

    @property
    def target(self) -> float | None:
        """The target for the mean of the first measure; None if the configuration has none."""
        target = self.setting("evaluation", "target")
        return float(target) if isinstance(target, int | float) else None

    def reached(self, measure: Measure | None = None) -> dict[str, Any]:
        """Return when the target was first reached; see :func:`jaxgossip.experiment.results.target.reached`.

        Args:
            measure: the measure; the values are all None unless it is the run's first one, to which the target refers.
        """
        if self.target is None or measure not in (None, self.measures[0]):
            return dict.fromkeys(("measure", "target", "round", "bytes_sent", "virtual_s", "joules"))
        return reached(self.records, self.target, self.measures[0])

    def setting(self, section: str, key: str) -> Any:
        """Return the value of ``section.key`` in the configuration, or None."""
        return self._section(section).get(key)

    def _section(self, name: str, tree: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        section = (self.config if tree is None else tree).get(name)
        return section if isinstance(section, Mapping) else {}


def final_numbers(run: RunData, measure: Measure | None = None) -> dict[str, Any]:
    """Return the numbers of :func:`last_numbers`, with None for the scores of a run that diverged.

    Args:
        run: the run.
        measure: the measure of mean, worst, …; None for the run's first one.
    """
    numbers = last_numbers(run, measure)
    of_models = ("mean", "worst", "mean_model", CONSENSUS.key)
    return numbers if run.diverged_round is None else numbers | dict.fromkeys(of_models)


def last_numbers(run: RunData, measure: Measure | None = None) -> dict[str, Any]:
    """Return the numbers of a run's last record as JSON values, with None for those not measured or not finite.

    Args:
        run: the run.
        measure: the measure of mean, worst, …; None for the run's first one.

    Returns:
        A dict with the keys run, status, round, measure, mean, worst, mean_model, the baselines, consensus_distance,
        messages, bytes_sent, metadata_bytes, virtual_s, joules, wall_s; target, and rounds_to_target, bytes_to_target,
        virtual_s_to_target and joules_to_target of the first evaluation that reached it.
    """
    measure = measure or run.measures[0]
    baselines = {name: _last(run.column(measure.column, name)) for name in BASELINES}
    baselines |= dict.fromkeys(run.baseline_divergence)
    first = run.reached(measure)
    return {
        "run": run.folder.name,
        "status": run.status if run.diverged_round is None else f"diverged at round {run.diverged_round:,}",
        "round": int(run.final["round"]),
        "measure": measure.key,
        "mean": _finite(run.final.get(measure.column)),
        "worst": _finite(run.final.get(measure.statistic(measure.worst))),
        "mean_model": _finite(run.final.get(f"mean_model_{measure.key}")),
        **baselines,
        CONSENSUS.key: _finite(run.final.get(CONSENSUS.key)),
        "messages": run.final.get("messages"),
        "bytes_sent": run.final.get("bytes_sent"),
        "metadata_bytes": run.final.get("metadata_bytes"),
        "virtual_s": _finite(run.final.get("virtual_s")),
        "joules": _finite(run.final.get("joules")),
        "wall_s": _finite(run.final.get("wall_s")),
        "target": first["target"],
        "rounds_to_target": first["round"],
        "bytes_to_target": first["bytes_sent"],
        "virtual_s_to_target": first["virtual_s"],
        "joules_to_target": first["joules"],
    }


def target_cells(numbers: Mapping[str, Any], measure: Measure, *, timed: bool, metered: bool) -> dict[str, str]:
    """Return the cost of reaching the target, column title to text; a dash if it was not reached.

    Args:
        numbers: result of :func:`final_numbers`, or means of several.
        measure: the measure to which the target refers.
        timed: whether there is a column of virtual time.
        metered: whether there is a column of energy.
    """
    to = " to target" if numbers["target"] is None else f" to {measure.text(numbers['target'])}"
    rounds = numbers["rounds_to_target"]
    cells = {
        f"rounds{to}": "–" if rounds is None else f"{rounds:,.0f}",
        f"sent{to}": units.bytes_text(numbers["bytes_to_target"]),
    }
    cells |= {f"virtual time{to}": units.duration(numbers["virtual_s_to_target"])} if timed else {}
    return cells | ({f"energy{to}": units.joules_text(numbers["joules_to_target"])} if metered else {})


def value_title(measure: Measure, name: str = "") -> str:
    """Return the title of a table's column with a measure's values, called ``name`` in place of its own."""
    return f"{name or measure.name}{', mean' * measure.of_nodes}"


def compare_table(runs: Sequence[RunData], metrics: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return one row per run, column title to text, all with the same columns.

    Args:
        runs: the runs.
        metrics: names of the measures to show, of which the first also has columns of the worst node, the mean model and
            the baselines; if empty, the first measure of each run, with a column that names them if they differ, and the
            consensus distance.

    Raises:
        ConfigError: a run has no measure of such a name.
    """
    rows: list[dict[str, str]] = []
    shown = [tuple(map(run.measure, dict.fromkeys(metrics))) or (run.measures[0], CONSENSUS) for run in runs]
    kinds = {measure.key for measure, *_ in shown}
    timed, metered = (any(run.final.get(key) is not None for run in runs) for key in ("virtual_s", "joules"))
    reached = [run.reached(measure)["target"] for run, (measure, *_) in zip(runs, shown, strict=True)]
    targets = {target for target in reached if target is not None}
    for run, (measure, *more), target in zip(runs, shown, reached, strict=True):
        numbers, title = final_numbers(run, measure), value_title(measure, "" if len(kinds) == 1 else "final")
        scores = {title: numbers["mean"]}
        scores |= {"worst node": numbers["worst"], "mean model": numbers["mean_model"]} if measure.of_nodes else {}
        scores |= {"isolated": numbers["isolated"], "centralised": numbers["centralised"]}
        cells = {column: measure.text(value) for column, value in scores.items()}
        cells |= dict.fromkeys(run.baseline_divergence, "diverged")
        cells |= {title: "diverged"} if run.diverged_round is not None else {}
        measured = {"measured": measure.name} if len(kinds) > 1 else {}
        to_target = {}
        if targets:  # all rows need the same columns: if targets differ, a column gives them
            same = {"target": next(iter(targets))} if len(targets) == 1 and len(kinds) == 1 else {"target": None}
            own = {} if same["target"] else {"target": measure.text(target)}
            to_target = own | target_cells({**numbers, **same}, measure, timed=timed, metered=metered)
        rows.append(
            {"run": numbers["run"], "round": f"{numbers['round']:,}"}
            | measured
            | cells
            | {
                **{value_title(other): other.text(run.last(other)) for other in more},
                "sent": units.bytes_text(numbers["bytes_sent"]),
                **({"virtual time": units.duration(numbers["virtual_s"])} if timed else {}),
                **({"energy": units.joules_text(numbers["joules"])} if metered else {}),
                **to_target,
                "time": units.duration(numbers["wall_s"]),
                "status": numbers["status"],
            }
        )
    return rows


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] if name == NODE else np.asarray(file[name], np.float64) for name in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ConfigError(f"{path}: not readable: {error}", hint="the file is damaged; run it again") from error


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _finite(value: Any) -> float | None:
    number = _number(value)
    return number if np.isfinite(number) else None


def _last(values: Iterable[float]) -> float | None:
    return next((_finite(value) for value in reversed(list(values))), None)
