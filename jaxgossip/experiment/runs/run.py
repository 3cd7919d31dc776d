"""Runs a configuration: build, simulate, save, run the baselines, plot; and resumes stopped runs."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import jax

from jaxgossip.core import disk
from jaxgossip.core.disk import Seal
from jaxgossip.core.errors import ConfigError, JaxGossipError, RunError
from jaxgossip.experiment.build.builders import in_own_code, place_of
from jaxgossip.experiment.build.description import file_note, idle_notes
from jaxgossip.experiment.build.experiment import Experiment, build, check_round
from jaxgossip.experiment.config.load import load, resolved_toml
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.planning.plan import check_fits, check_outline
from jaxgossip.experiment.results.divergence import divergence
from jaxgossip.experiment.results.folder import FINISHED, SCORES, RunFolder, finished_log, log_name, seal_of
from jaxgossip.experiment.results.inputs import CONFIG, accepted, digest, digests
from jaxgossip.experiment.runs.engines import numbering_of, restore, simulate_experiment
from jaxgossip.experiment.runs.manifest import not_finite_warning, privacy_entry, target_entry
from jaxgossip.experiment.runs.observer import RunObserver
from jaxgossip.simulation import Observer
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
    config: Config, *, out: Path | None = None, force: bool = False, command: str = "", observer: Observer | None = None
) -> Outcome:
    """Run a configuration in a new folder.

    Args:
        config: the configuration.
        out: the run's folder; None for a new folder under ``runs/``.
        force: whether to overwrite an existing run, and to skip the checks of available memory.
        command: command line of the user, for the manifest.
        observer: receives records and progress, and may stop the run.

    Raises:
        InputError: the configuration cannot be built, or does not fit into memory.
        ConfigError: the folder is not free, or is in use by another process.
        RunError: the run failed.
    """
    observer, began = observer or Observer(), time.perf_counter()
    memory_check = without_memory_check() if force else links_cost(WEIGHTED_BYTES, "--force runs it all the same")
    with precision(config), memory_check:
        resolved = resolved_toml(config)
        if out is not None:  # fail before building, which can take minutes
            disk.check_unlocked(out)
            RunFolder.check_free(out, resolved, force=force)
        if not force:
            check_outline(config)
        inputs = {
            CONFIG: sha256(resolved.encode()).hexdigest(),
            **digests(config),
        }  # before the build reads the files
        experiment = announced_build(config, observer)
        if not force:
            check_fits(experiment, observer.note)
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
            "inputs": inputs,
        }
        path = out if out is not None else RunFolder.new_path(config.name, resolved)
        disk.make_folder(path, parents=True)
        with disk.locked(path, observer.note) as lock:
            folder = RunFolder.create(path, lock, resolved=resolved, manifest=manifest, force=force)
            return execute(experiment, folder, manifest, observer, began)


def resume(path: Path, *, force: bool = False, observer: Observer | None = None) -> Outcome:
    """Resume the run in ``path`` from its newest intact checkpoint or, if it has none yet, from the start.

    Args:
        path: the run's folder.
        force: whether to resume even if the configuration or an input file has changed; the manifest records the changes.
        observer: receives records and progress, and may stop the run.

    Raises:
        ConfigError: there is no run, an input has changed, another process uses the folder, or a file is damaged.
        RunError: all checkpoints are damaged, or the run failed.
    """
    observer, began = observer or Observer(), time.perf_counter()
    folder = RunFolder.open(path)
    manifest = folder.manifest()
    if manifest["status"] in FINISHED and not force:
        accepted(manifest, path, observer.note, only=(CONFIG,))
        return ended_outcome(folder, manifest)
    with disk.locked(path, observer.note) as lock:
        folder = RunFolder.open(path, lock)
        disk.remove_leftovers(path)
        manifest = folder.manifest()
        session = {"at": now(), **provenance(), **accepted(manifest, path, observer.note, force=force)}
        if manifest["status"] in FINISHED:
            if "changed" in session:
                folder.write_manifest(manifest | {"resumed": [*manifest.get("resumed", []), session]})
            return ended_outcome(folder, manifest)
        return continue_run(folder, manifest, session, observer, began)


def continue_run(
    folder: RunFolder, manifest: dict[str, Any], session: dict[str, Any], observer: Observer, began: float
) -> Outcome:
    """Continue a run that has not ended; ``session`` is the manifest's entry on this process."""
    config = load(folder.path / CONFIG)
    with precision(config), without_memory_check():  # checked, or forced, when the run began
        experiment = announced_build(config, observer)
        for stale in ("error", "finished", "rounds"):
            manifest.pop(stale, None)
        for what in ("versions", "device", "flags"):
            if manifest.get(what) != session[what]:
                observer.note(f"warning: {what} differ from those the run began with: its bits may differ too")
        manifest |= {"status": "running", "resumed": [*manifest.get("resumed", []), session]}
        folder.write_manifest(manifest)
        return execute(experiment, folder, manifest, observer, began)


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
    experiment: Experiment, folder: RunFolder, manifest: dict[str, Any], observer: Observer, began: float
) -> Outcome:
    """Simulate the rest of a run and its baselines, and write all files.

    Args:
        experiment: the experiment.
        folder: the run's folder.
        manifest: the run's manifest, which is updated and written.
        observer: receives records, progress and notes.
        began: ``time.perf_counter`` at the beginning of this call.

    Raises:
        RunError: the run failed.
    """
    config, final = experiment.config, {}
    log, compiled = folder.log(), []

    def finish(status: str, rounds: int) -> Outcome:
        seconds = time.perf_counter() - began
        times = {"finished": now(), "compile_s": round(sum(compiled), 3), "total_s": round(seconds, 3)}
        records = log.records()
        ending = ending_entries(status, rounds, records) | target_entry(config, records)
        if ending["status"] in FINISHED:
            manifest.setdefault("logs", {})[log_name()] = log.seal().facts()
            if (folder.path / SCORES).is_file():
                ending["node_scores_sha256"] = digest(folder.path / SCORES)
        folder.write_manifest(manifest | ending | times)
        if status != "interrupted":
            if ending["status"] == "completed" and (warning := not_finite_warning(records[-1])):
                observer.note(warning)
            observer.note("drawing summary.png")
            draw_summary(folder.path)
        return Outcome(folder.path, ending["status"], rounds, final, seconds, ending.get("target"), divergence(ending))

    try:
        start, metadata = restore(experiment, folder)
        done = int(start.round) if start is not None else -1
        earlier, sealing = log.keep(done, config.evaluation.every, Seal.of(metadata.get("log")))
        numbering = numbering_of(experiment)
        writer = RunObserver(
            observer, log, sealing, folder, compiled, every_s=config.checkpoint.every_s, numbering=numbering
        )
        result = simulate_experiment(
            experiment, experiment.algorithm, writer, start=start, start_wall_s=metadata.get("wall_s", 0.0)
        )
        start = None
        status, rounds, spent = result.status, result.rounds, bool(result.run.spent)
        if result.node_scores:
            folder.write_scores(result.node_scores, experiment.graph.labels)
        final["run"] = result.metrics.final if len(result.metrics) else earlier[-1]
        del result  # free the models before the baselines run
        if status != "interrupted":
            # If the run ended by its byte budget, baselines run for as many rounds as it did.
            baseline_rounds = rounds if spent else config.rounds
            for name in _measured_baselines(experiment, observer):
                baseline = run_baseline(experiment, name, folder, manifest, observer, compiled, baseline_rounds)
                if baseline is None:
                    status = "interrupted"
                    break
                final[name] = baseline
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
    return finish(status, rounds)


def _measured_baselines(experiment: Experiment, observer: Observer) -> list[str]:
    """Return the baselines to run, noting those that are left out since nothing would be measured of them."""
    measured, config = experiment.baselines, experiment.config
    for name in config.evaluation.baselines:
        if name not in measured:
            own = f"'{config.learning.dataset}' is measured on the nodes' own data"
            observer.note(f"baseline '{name}' is left out: {own}, and it has one model for all")
    return measured


def run_baseline(
    experiment: Experiment,
    name: str,
    folder: RunFolder,
    manifest: dict[str, Any],
    observer: Observer,
    compiled: list[float],
    rounds: int,
) -> Mapping[str, Any] | None:
    """Run a baseline unless its log is complete; return its last record, or None if it was interrupted.

    The seal of a complete log is written to the manifest before the next baseline begins.

    Args:
        experiment: the experiment.
        name: name of the baseline.
        folder: the run's folder.
        manifest: the run's manifest, to which the seal is added in place.
        observer: receives progress and notes.
        compiled: list to which the seconds of every compilation are appended.
        rounds: number of rounds.
    """
    log, every = folder.log(name), experiment.config.evaluation.every
    seal, records = seal_of(manifest, name), []
    if seal is not None or "inputs" not in manifest:  # the first release kept no seals
        try:
            records = log.check(seal, every) if seal is not None else log.records(every)
        except ConfigError as error:
            observer.note(f"warning: {error.message}; this baseline is run again")
    if records and (records[-1]["round"] == rounds or records[-1].get("diverged")):
        return records[-1]
    _, sealing = log.keep(-1, every)
    disk.make_folder(log.path.parent)
    writer = RunObserver(observer, log, sealing, folder, compiled)
    algorithm = experiment.baseline(name)
    result = simulate_experiment(experiment, algorithm, writer, rounds=rounds, faultless=name == "centralised")
    if result.status == "interrupted":
        return None
    if result.status == "diverged":
        sealing.add(log.append({**result.metrics.final, "round": result.rounds, "diverged": True}))
    manifest.setdefault("logs", {})[log_name(name)] = sealing.seal.facts()
    folder.write_manifest(manifest)
    return log.records()[-1]


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
