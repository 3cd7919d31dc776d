"""Runs a configuration: build, simulate, save, run the baselines, plot; and resumes stopped runs."""

import contextlib
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import jax

from jaxgossip.core import disk
from jaxgossip.core.devices.mesh import make_cpu_devices
from jaxgossip.core.disk import Seal
from jaxgossip.core.errors import ConfigError, JaxGossipError, RunError
from jaxgossip.experiment.build.builders import in_own_code, place_of
from jaxgossip.experiment.build.description import file_note, idle_notes
from jaxgossip.experiment.build.devices import check_devices
from jaxgossip.experiment.build.experiment import Experiment, build, check_round
from jaxgossip.experiment.config.load import load, resolved_toml
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.planning.plan import check_fits, check_outline
from jaxgossip.experiment.results.divergence import divergence
from jaxgossip.experiment.results.folder import FINISHED, SCORES, RunFolder, finished_log, log_name, seal_of
from jaxgossip.experiment.results.inputs import CONFIG, accepted, digest, digests
from jaxgossip.experiment.runs.baselines import measured_baselines, run_baseline
from jaxgossip.experiment.runs.engines import numbering_of, restore, simulate_experiment
from jaxgossip.experiment.runs.manifest import not_finite_warning, privacy_entry, target_entry
from jaxgossip.experiment.runs.observer import RunObserver
from jaxgossip.experiment.runs.spread import bearing, config_of, devices_entry, over_all
from jaxgossip.experiment.runs.together import Timer, begin_alike, check_same_start, follow, peers_reached
from jaxgossip.simulation import Observer
from jaxgossip.simulation.agreement import ALONE, Agreement
from jaxgossip.simulation.results.endings import ending_entries
from jaxgossip.simulation.results.provenance import provenance
from jaxgossip.topology.memory_check import WEIGHTED_BYTES, links_cost, without_memory_check


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        folder: the run's folder.
        status: ``"completed"``, ``"diverged"`` or ``"interrupted"``.
        rounds: rounds completed.
        final: the last record of the run, under ``"run"``, and of each baseline, by name.
        seconds: wall-clock seconds of this call; 0 if the run had already ended.
        target: the manifest's entry on when the target was reached; None without a target.
        ending: description of how the run diverged; empty if it did not.
    """

    folder: Path
    status: str
    rounds: int
    final: Mapping[str, Mapping[str, Any]]
    seconds: float
    target: Mapping[str, Any] | None = None
    ending: str = ""


def run(
    config: Config,
    *,
    out: Path | None = None,
    force: bool = False,
    command: str = "",
    observer: Observer | None = None,
    agreement: Agreement = ALONE,
) -> Outcome:
    """Run a configuration in a new folder.

    Args:
        config: the configuration.
        out: the run's folder; None for a new folder under ``runs/``.
        force: whether to overwrite an existing run, and to skip the checks of available memory.
        command: command line of the user, for the manifest.
        observer: receives records and progress, and may stop the run.
        agreement: between the processes of the run, which all call this; the first writes the folder.

    Raises:
        InputError: the configuration cannot be built, or does not fit into memory.
        ConfigError: the folder is not free, or is in use by another process; or processes have begun differently.
        RunError: the run failed, or another process of it.
    """
    observer, began = observer or Observer(), time.perf_counter()
    memory_check = without_memory_check() if force else links_cost(WEIGHTED_BYTES, "--force runs it all the same")
    config = over_all(config, agreement)
    with precision(config), memory_check, contextlib.ExitStack() as held:
        resolved = resolved_toml(config)
        if out is not None and agreement.first:  # fail before building, which can take minutes
            disk.check_unlocked(out)
            RunFolder.check_free(out, resolved, force=force)
        make_cpu_devices(-(-config.device.count // agreement.count))  # before the outline computes anything
        if not force:
            check_outline(config)
        inputs = {
            CONFIG: sha256(resolved.encode()).hexdigest(),
            **digests(config),
        }  # before the build reads the files
        begin_alike(agreement, "run", resolved, inputs)
        with agreement.step():
            experiment = announced_build(config, observer)
            check_devices(experiment)
            if not force:
                check_fits(experiment, observer.note)
        if not agreement.first:
            return _followed(experiment, agreement, observer, began)
        with agreement.step():
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
                **privacy_entry(experiment, observer.note),
                **provenance(),
                **devices_entry(config),
                "inputs": inputs,
            }
            path = out if out is not None else RunFolder.new_path(config.name, resolved)
            disk.make_folder(path, parents=True)
            lock = held.enter_context(disk.locked(path, observer.note))
            folder = RunFolder.create(path, lock, resolved=resolved, manifest=manifest, force=force)
        return execute(experiment, folder, manifest, observer, began, agreement)


def resume(
    path: Path,
    *,
    force: bool = False,
    devices: int | None = None,
    observer: Observer | None = None,
    agreement: Agreement = ALONE,
) -> Outcome:
    """Resume the run in ``path`` from its newest intact checkpoint or, if it has none yet, from the start.

    Args:
        path: the run's folder.
        force: whether to resume even if the configuration or an input file has changed; the manifest records the changes.
        devices: number of devices to go on with, in place of the configuration's ``device.count``; on a mesh, the bits do not
            depend on it.
        observer: receives records and progress, and may stop the run.
        agreement: between the processes that go on with the run, which all call this; the first writes the folder.

    Raises:
        ConfigError: there is no run, an input has changed, another process uses the folder, or a file is damaged; or the run
            is not spread over devices, and there are several processes.
        RunError: all checkpoints are damaged, or the run failed, or another process of it.
    """
    observer, began = observer or Observer(), time.perf_counter()
    folder = RunFolder.open(path)
    manifest = folder.manifest()
    try:
        config = config_of(path, devices)
    except ConfigError:
        if not force:
            accepted(manifest, path, observer.note)  # that a file is gone is the better reason
        raise
    begin_alike(agreement, "resume", resolved_toml(config), {})
    make_cpu_devices(-(-config.device.count // agreement.count))
    ended, session = None, {}
    with contextlib.ExitStack() as held:
        with agreement.step():
            if not agreement.alone and config.device.count == 1 and not config.device.blocked:
                raise ConfigError(
                    f"the run in {path} is not spread over devices, and goes on in one process",
                    hint=f"'jaxgossip resume {shlex.quote(str(path))}'",
                )
            if agreement.first and manifest["status"] in FINISHED and not force:
                accepted(manifest, path, observer.note, only=(CONFIG,))
                ended = ended_outcome(folder, manifest)
            elif agreement.first:
                lock = held.enter_context(disk.locked(path, observer.note))
                folder = RunFolder.open(path, lock)
                disk.remove_leftovers(path)
                manifest = folder.manifest()
                changed = accepted(manifest, path, observer.note, force=force)
                session = {"at": now(), **provenance(), **devices_entry(config), **changed}
                if manifest["status"] in FINISHED:
                    if "changed" in session:
                        folder.write_manifest(manifest | {"resumed": [*manifest.get("resumed", []), session]})
                    ended = ended_outcome(folder, manifest)
        if agreement.of_first(int(ended is not None)):
            return ended or Outcome(path, manifest["status"], manifest["rounds"], {}, 0.0)
        return continue_run(config, folder, manifest, session, observer, began, agreement)


def continue_run(
    config: Config,
    folder: RunFolder,
    manifest: dict[str, Any],
    session: dict[str, Any],
    observer: Observer,
    began: float,
    agreement: Agreement = ALONE,
) -> Outcome:
    """Continue a run that has not ended; ``session`` is the manifest's entry on this process."""
    with precision(config), without_memory_check():  # checked, or forced, when the run began
        with agreement.step():
            experiment = announced_build(config, observer)
            check_devices(experiment)
        if not agreement.first:
            return _followed(experiment, agreement, observer, began)
        with agreement.step():
            for stale in ("error", "finished", "rounds"):
                manifest.pop(stale, None)
            for what in ("versions", "device", "flags"):
                if bearing(manifest, what, config) != bearing(session, what, config):
                    observer.note(f"warning: {what} differ from those the run began with: its bits may differ too")
            manifest |= {"status": "running", "resumed": [*manifest.get("resumed", []), session]}
            folder.write_manifest(manifest)
        return execute(experiment, folder, manifest, observer, began, agreement)


def _followed(experiment: Experiment, agreement: Agreement, observer: Observer, began: float) -> Outcome:
    """Take part in a run as one of the processes that are not the first."""
    with agreement.step():
        pass  # the first makes the folder
    path = Path(agreement.text_of_first(""))
    status, rounds = follow(experiment, path, agreement, observer)
    return Outcome(path, status, rounds, {}, time.perf_counter() - began)


def ended_outcome(folder: RunFolder, manifest: Mapping[str, Any]) -> Outcome:
    """Return the outcome of a run that has already ended, drawing ``summary.png`` if it is missing.

    Raises:
        ConfigError: its records have been altered.
    """
    config = load(folder.path / CONFIG)
    every = config.evaluation.every
    records = finished_log(folder.path, manifest, every)
    final = {"run": records[-1]}
    for name in config.evaluation.baselines:
        if folder.log(name).path.is_file() or seal_of(manifest, name):
            final[name] = folder.log(name).check(seal_of(manifest, name), every)[-1]
    if not (folder.path / "summary.png").is_file():
        draw_summary(folder.path)
    target = target_entry(config, records).get("target")
    return Outcome(folder.path, manifest["status"], manifest["rounds"], final, 0.0, target, divergence(manifest))


def execute(
    experiment: Experiment,
    folder: RunFolder,
    manifest: dict[str, Any],
    observer: Observer,
    began: float,
    agreement: Agreement = ALONE,
) -> Outcome:
    """Simulate the rest of a run and its baselines, and write all files.

    Args:
        experiment: the experiment.
        folder: the run's folder.
        manifest: the run's manifest, which is updated and written.
        observer: receives records, progress and notes.
        began: ``time.perf_counter`` at the beginning of this call.
        agreement: between the processes of the run, of which this is the first.

    Raises:
        RunError: the run failed, or another process of it.
    """
    config, final = experiment.config, {}
    agreement.text_of_first(str(folder.path.resolve()))
    log, compiled = folder.log(), []

    def simulated() -> tuple[str, int]:
        with agreement.step():
            start, metadata = restore(experiment, folder)
            done = int(start.round) if start is not None else -1
            earlier, sealing = log.keep(done, config.evaluation.every, Seal.of(metadata.get("log")))
        check_same_start(agreement, done, folder.path)
        timer, numbering = Timer(config.checkpoint.every_s, agreement), numbering_of(experiment)
        writer = RunObserver(observer, log, sealing, folder, compiled, timer=timer, numbering=numbering)
        result = simulate_experiment(
            experiment, experiment.algorithm, writer, start=start, start_wall_s=metadata.get("wall_s", 0.0)
        )
        start = None
        status, rounds, spent = result.status, result.rounds, bool(result.run.spent)
        with agreement.step():
            if result.node_scores:
                folder.write_scores(result.node_scores, experiment.graph.labels)
        final["run"] = result.metrics.final if len(result.metrics) else earlier[-1]
        del result  # free the models before the baselines run
        if status != "interrupted":
            # If the run ended by its byte budget, baselines run for as many rounds as it did.
            many = rounds if spent else config.rounds
            for name in measured_baselines(experiment, observer):
                baseline = run_baseline(experiment, name, folder, manifest, observer, compiled, many, agreement)
                if baseline is None:
                    return "interrupted", rounds
                final[name] = baseline
        return status, rounds

    try:
        with peers_reached(folder.path):
            ended = simulated()
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(OSError, RunError):  # full disk, deleted folder
            folder.write_manifest(
                manifest | {"status": status, "finished": now(), "error": f"{type(error).__name__}: {error}"}
            )
        if isinstance(error, Exception) and not isinstance(error, JaxGossipError | OSError):
            folder.keep_trace(error)
            if experiment.own:
                raise RunError(in_own_code(error, experiment.own), hint=place_of(error, experiment.own)) from error
        raise
    seconds = time.perf_counter() - began
    times = {"compile_s": round(sum(compiled), 3), "total_s": round(seconds, 3)}
    with agreement.step():
        ending = _finish(config, folder, manifest, observer, *ended, times)
    return Outcome(folder.path, ending["status"], ended[1], final, seconds, ending.get("target"), divergence(ending))


def _finish(
    config: Config,
    folder: RunFolder,
    manifest: dict[str, Any],
    observer: Observer,
    status: str,
    rounds: int,
    times: Mapping[str, float],
) -> dict[str, Any]:
    """Write the end of a run into its manifest, draw its summary, and return the manifest's entries on how it ended."""
    log = folder.log()
    records = log.records()
    ending = ending_entries(status, rounds, records) | target_entry(config, records)
    if ending["status"] in FINISHED:
        manifest.setdefault("logs", {})[log_name()] = log.seal().facts()
        if (folder.path / SCORES).is_file():
            ending["node_scores_sha256"] = digest(folder.path / SCORES)
    folder.write_manifest(manifest | ending | {"finished": now(), **times})
    if status != "interrupted":
        if ending["status"] == "completed" and (warning := not_finite_warning(records[-1])):
            observer.note(warning)
        observer.note("drawing summary.png")
        draw_summary(folder.path)
    return ending


def announced_build(config: Config, observer: Observer) -> Experiment:
    """Build the experiment of a configuration, noting progress and settings that have no effect."""
    observer.note(f"building {config.topology.kind} topology, data and models")
    experiment = build(config)
    check_round(experiment)
    for note in (file_note(experiment.problem), *idle_notes(experiment)):
        if note:
            observer.note(note)
    return experiment


def draw_summary(path: Path) -> None:
    """Draw the ``summary.png`` of the run in ``path``."""
    from jaxgossip.experiment.plots.runs import summary
    from jaxgossip.experiment.results.run_data import RunData
    from jaxgossip.plotting.style import save_figure

    save_figure(summary(RunData.load(path)), path / "summary.png")


def precision(config: Config) -> Any:
    """Return a context manager that enables or disables 64-bit types in JAX, according to the configuration's dtype."""
    return jax.enable_x64(config.device.dtype == "float64")


def now() -> str:
    """Return the current UTC time in ISO 8601 format, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
