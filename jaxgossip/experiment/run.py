"""Carry a configuration through: build, simulate, save, run the baselines, draw; and go on where a run stopped."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, override

import jax

from jaxgossip.algorithms import Algorithm
from jaxgossip.errors import JaxGossipError, RunError
from jaxgossip.experiment.build import Experiment, build, in_own_code, place_of
from jaxgossip.experiment.config import load, resolved_toml
from jaxgossip.experiment.facts import privacy_facts, target_facts
from jaxgossip.experiment.folder import MetricsLog, RunFolder
from jaxgossip.experiment.plan import check_fits, check_outline
from jaxgossip.experiment.provenance import provenance
from jaxgossip.experiment.sections import Config
from jaxgossip.simulation import Observer, Result, RunState, checkpoint, simulate
from jaxgossip.simulation.program import initial_shapes


class Reporter:
    """What a run tells while it goes; every method does nothing until it is overridden."""

    def note(self, text: str) -> None:
        """One line about what happens next."""

    def begin(self, name: str, rounds: int, done: int) -> None:
        """A simulation called ``name`` of ``rounds`` rounds is about to start, ``done`` of them done before."""

    def advanced(self, done: int) -> None:
        """So many rounds are done."""

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """An evaluation was made."""

    def end(self) -> None:
        """The simulation is over."""

    def should_stop(self) -> bool:
        """Say whether the user asked to stop."""
        return False


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        folder: its folder.
        status: completed, diverged or interrupted.
        rounds: rounds done.
        final: the last record, and those of the baselines by name.
        target: when the configuration's target was reached, as the manifest has it; None without one.
        seconds: from the start of the process's work to its end.
    """

    folder: Path
    status: str
    rounds: int
    final: Mapping[str, Mapping[str, Any]]
    seconds: float
    target: Mapping[str, Any] | None = None


def run(
    config: Config, *, out: Path | None = None, force: bool = False, command: str = "", reporter: Reporter | None = None
) -> Outcome:
    """Run a configuration in a new folder.

    Args:
        config: the configuration.
        out: the folder; None makes one under ``runs/``.
        force: overwrite a run that is there, and run what does not seem to fit into memory.
        command: what the user typed, for the manifest.
        reporter: listens.

    Raises:
        InputError: the configuration cannot be built or does not fit into memory, or the folder is in use.
        RunError: the run failed.
    """
    reporter, began = reporter or Reporter(), time.perf_counter()
    with precision(config):
        RunFolder.check_free(out, force=force)  # before minutes of building
        if not force:
            check_outline(config)
        experiment = announced_build(config, reporter)
        if not force:
            check_fits(experiment, reporter.note)
        manifest = {
            "status": "running",
            "name": config.name,
            "command": command,
            "seed": config.seed,
            "started": now(),
            "dtype": config.device.dtype,
            "matmul_precision": config.device.matmul_precision,
            "graph": experiment.graph.describe(),
            "parameters": experiment.problem.n_params,
            **privacy_facts(experiment, reporter.note),
            **provenance(),
        }
        resolved = resolved_toml(config)
        folder = RunFolder.create(out, name=config.name, resolved=resolved, manifest=manifest, force=force)
        return carry_through(experiment, folder, manifest, reporter, began)


def resume(path: Path, *, reporter: Reporter | None = None) -> Outcome:
    """Go on with the run in ``path``, from its newest intact checkpoint or, without one, from the start.

    Raises:
        ConfigError: there is no run.
        RunError: its checkpoints are damaged.
    """
    reporter, began = reporter or Reporter(), time.perf_counter()
    folder = RunFolder.open(path)
    manifest = folder.manifest()
    config = load(folder.path / "config.toml")
    with precision(config):
        if manifest["status"] in ("completed", "diverged"):
            final = {"run": folder.log().records()[-1]}
            final |= {name: log[-1] for name in config.evaluation.baselines if (log := folder.log(name).records())}
            if not (path / "summary.png").is_file():
                draw_summary(path)
            return Outcome(path, manifest["status"], manifest["rounds"], final, 0.0, manifest.get("target"))
        experiment = announced_build(config, reporter)
        for stale in ("error", "finished", "rounds"):
            manifest.pop(stale, None)
        today = provenance()
        for what in ("versions", "device", "flags"):
            if manifest[what] != today[what]:
                reporter.note(f"warning: {what} differ from those the run began with: its bits may differ too")
        session = {"at": now(), **today}
        manifest |= {"status": "running", "resumed": [*manifest.get("resumed", []), session]}
        folder.write_manifest(manifest)
        return carry_through(experiment, folder, manifest, reporter, began)


def carry_through(
    experiment: Experiment, folder: RunFolder, manifest: dict[str, Any], reporter: Reporter, began: float
) -> Outcome:
    """Simulate what is left of a run and its baselines, and write all files."""
    config, final = experiment.config, {}
    compiled: list[float] = []

    def finish(status: str, rounds: int) -> Outcome:
        seconds = time.perf_counter() - began
        times = {"finished": now(), "compile_s": round(sum(compiled), 3), "total_s": round(seconds, 3)}
        found = target_facts(config, folder.log().records())
        folder.write_manifest(manifest | {"status": status, "rounds": rounds} | times | found)
        if status != "interrupted":
            reporter.note("drawing summary.png")
            draw_summary(folder.path)
        return Outcome(folder.path, status, rounds, final, seconds, found.get("target"))

    try:
        start, start_wall_s = restore(experiment, folder)
        done = int(start.round) if start is not None else -1
        earlier = folder.log().truncate(done)
        log = folder.log()
        observer = RunObserver(reporter, log, folder, config.checkpoint.every_s, compiled, numbering_of(experiment))
        result = simulated(experiment, experiment.algorithm, observer, start=start, start_wall_s=start_wall_s)
        start = None
        status, rounds, spent = result.status, result.rounds, bool(result.run.spent)
        if result.node_scores:
            folder.write_scores(result.node_scores)
        final["run"] = result.metrics.final if len(result.metrics) else earlier[-1]
        del result  # a million models make room for the baselines
        if status != "interrupted":
            # Where its bytes ended the run, baselines go no further than it did.
            wanted = rounds if spent else config.rounds
            for name in config.evaluation.baselines:
                baseline = run_baseline(experiment, name, folder.log(name), reporter, compiled, wanted)
                if baseline is None:
                    status = "interrupted"
                    break
                final[name] = baseline
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        folder.write_manifest(
            manifest | {"status": status, "finished": now(), "error": f"{type(error).__name__}: {error}"}
        )
        if isinstance(error, Exception) and not isinstance(error, JaxGossipError | OSError) and experiment.own:
            raise RunError(in_own_code(error, experiment.own), hint=place_of(error, experiment.own)) from error
        raise
    return finish(status, rounds)


def run_baseline(
    experiment: Experiment, name: str, log: MetricsLog, reporter: Reporter, compiled: list[float], rounds: int
) -> Mapping[str, Any] | None:
    """Run a baseline beside the run unless its log is whole; return its last record, None if interrupted."""
    records = log.records()
    if records and (records[-1]["round"] == rounds or records[-1].get("diverged")):
        return records[-1]
    log.truncate(-1)
    observer = RunObserver(reporter, log, None, 0.0, compiled)
    algorithm = experiment.baseline(name)
    result = simulated(experiment, algorithm, observer, rounds=rounds, faultless=name == "centralised")
    if result.status == "interrupted":
        return None
    if result.status == "diverged":
        log.append({**result.metrics.final, "round": result.rounds, "diverged": True})
    return log.records()[-1]


def simulated(
    experiment: Experiment,
    algorithm: Algorithm,
    observer: "RunObserver",
    *,
    rounds: int | None = None,
    faultless: bool = False,
    **start: Any,
) -> Result:
    """Simulate ``algorithm`` as the configuration says: the run itself, or a baseline of ``rounds`` rounds."""
    config = experiment.config
    budget, rounds = (config.byte_budget, config.rounds) if rounds is None else (0, rounds)
    observer.reporter.note(f"compiling {algorithm.name} for {experiment.graph.n_nodes:,} nodes")
    done = int(start["start"].round) if start.get("start") is not None else 0
    observer.reporter.begin(algorithm.name, rounds, done)
    try:
        return simulate(
            algorithm,
            rounds,
            seed=config.seed,
            evaluate_every=config.evaluation.every,
            sampled_nodes=config.evaluation.sampled_nodes,
            byte_budget=budget,
            conditions=None if faultless else experiment.conditions,
            matmul_precision=config.device.matmul_precision,
            speeds=experiment.speeds,
            observer=observer,
            **start,
        )
    finally:
        observer.reporter.end()


class RunObserver(Observer):
    """Writes records and checkpoints while a simulation goes, and tells the reporter."""

    def __init__(
        self,
        reporter: Reporter,
        log: MetricsLog,
        folder: RunFolder | None,
        every_s: float,
        compiled: list[float],
        numbering: str = "",
    ) -> None:
        self.reporter = reporter
        self._log = log
        self._folder = folder
        self._every_s = every_s
        self._compiled = compiled
        self._numbering = numbering
        self._saved = time.perf_counter()

    @override
    def compiled(self, seconds: float) -> None:
        self._compiled.append(seconds)

    @override
    def advanced(self, rounds_done: int) -> None:
        self.reporter.advanced(rounds_done)

    @override
    def evaluated(self, record: Mapping[str, Any]) -> None:
        self._log.append(record)
        self.reporter.evaluated(record)

    @override
    def chunk(self, run: RunState, wall_s: float) -> None:
        if self._folder is not None and time.perf_counter() - self._saved >= self._every_s:
            self.save(run, wall_s)

    @override
    def finished(self, run: RunState, wall_s: float) -> None:
        self.save(run, wall_s)

    def save(self, run: RunState, wall_s: float) -> None:
        """Write a checkpoint now."""
        if self._folder is not None:
            facts = {"wall_s": wall_s, "numbering": self._numbering}
            checkpoint.save(self._folder.checkpoints, run, round_number=int(run.round), facts=facts)
        self._saved = time.perf_counter()

    @override
    def should_stop(self) -> bool:
        return self.reporter.should_stop()


def restore(experiment: Experiment, folder: RunFolder) -> tuple[RunState | None, float]:
    """Return the newest checkpointed state and the seconds spent before it; (None, 0.0) if there is none yet."""
    if not any(folder.checkpoints.glob("round-*.json")):
        return None, 0.0
    timed = experiment.speeds is not None
    like = initial_shapes(experiment.algorithm, experiment.config.seed, timed=timed)
    state, facts = checkpoint.load(folder.checkpoints, like)
    if facts["numbering"] != numbering_of(experiment):
        raise RunError(
            f"the checkpoint in {folder.checkpoints} has the nodes in other rows than this version gives them",
            hint="go on with the version it was made with (manifest.json), or start anew with 'jaxgossip run'",
        )
    return state, facts["wall_s"]


def numbering_of(experiment: Experiment) -> str:
    """Return in which order the rows of the experiment's models stand."""
    order = experiment.problem.order
    return "" if order is None else order.numbering


def announced_build(config: Config, reporter: Reporter) -> Experiment:
    """Build the parts of a run and say so."""
    reporter.note(f"building {config.topology.kind} topology, data and models")
    return build(config)


def draw_summary(path: Path) -> None:
    """Draw ``summary.png`` of the run in ``path``."""
    from jaxgossip.experiment.plots import save_figure, summary
    from jaxgossip.experiment.report import RunData

    save_figure(summary(RunData.load(path)), path / "summary.png")


def precision(config: Config) -> Any:
    """Return the context in which 64-bit numbers are on or off, as the configuration says."""
    return jax.enable_x64(config.device.dtype == "float64")


def now() -> str:
    """Return the time in UTC, ISO 8601, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
