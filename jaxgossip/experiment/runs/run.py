"""Carry a configuration through: build, simulate, save, run the baselines, draw; and go on where a run stopped."""

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
from jaxgossip.experiment.build.description import file_note, idle_note
from jaxgossip.experiment.build.experiment import Experiment, build, check_round
from jaxgossip.experiment.config.load import load, resolved_toml
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.planning.plan import check_fits, check_outline
from jaxgossip.experiment.results.divergence import divergence
from jaxgossip.experiment.results.folder import FINISHED, SCORES, RunFolder, finished_log, log_name, seal_of
from jaxgossip.experiment.results.inputs import CONFIG, accepted, digest, digests
from jaxgossip.experiment.runs.engines import numbering_of, restore, simulated
from jaxgossip.experiment.runs.manifest import privacy_facts, target_facts, unmeasured_words
from jaxgossip.experiment.runs.observer import RunObserver
from jaxgossip.simulation import Observer
from jaxgossip.simulation.results.endings import ending_entries
from jaxgossip.simulation.results.provenance import provenance
from jaxgossip.topology.memory_check import WEIGHTED_BYTES, links_cost, without_memory_check


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        folder: its folder.
        status: completed, diverged or interrupted.
        rounds: rounds done.
        final: the last record, and those of the baselines by name.
        seconds: from the start of the process's work to its end.
        target: when the configuration's target was reached, as the manifest has it; None without one.
        ending: how a run that diverged did; empty of others.
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
        out: the folder; None makes one under ``runs/``.
        force: overwrite a run that is there, and run what does not seem to fit into memory.
        command: what the user typed, for the manifest.
        observer: listens.

    Raises:
        InputError: the configuration cannot be built or does not fit into memory, or the folder is in use.
        RunError: the run failed.
    """
    observer, began = observer or Observer(), time.perf_counter()
    room = without_memory_check() if force else links_cost(WEIGHTED_BYTES, "--force runs it all the same")
    with precision(config), room:
        resolved = resolved_toml(config)
        if out is not None:  # before minutes of building
            disk.check_unlocked(out)
            RunFolder.check_free(out, resolved, force=force)
        if not force:
            check_outline(config)
        inputs = {
            CONFIG: sha256(resolved.encode()).hexdigest(),
            **digests(config),
        }  # as the build is about to read them
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
            **privacy_facts(experiment, observer.note),
            **provenance(),
            "inputs": inputs,
        }
        path = out if out is not None else RunFolder.new_path(config.name, resolved)
        disk.make_folder(path, parents=True)
        with disk.locked(path, observer.note) as lock:
            folder = RunFolder.create(path, lock, resolved=resolved, manifest=manifest, force=force)
            return carry_through(experiment, folder, manifest, observer, began)


def resume(path: Path, *, force: bool = False, observer: Observer | None = None) -> Outcome:
    """Go on with the run in ``path``, from its newest intact checkpoint or, without one, from the start.

    Args:
        path: the run's folder.
        force: go on also if the configuration or what it reads has changed since; the manifest then says so.
        observer: listens.

    Raises:
        ConfigError: there is no run, what it reads has changed, another process is at work in it, or a file is damaged.
        RunError: its checkpoints are damaged.
    """
    observer, began = observer or Observer(), time.perf_counter()
    folder = RunFolder.open(path)
    manifest = folder.manifest()
    if manifest["status"] in FINISHED and not force:
        accepted(manifest, path, observer.note, only=(CONFIG,))
        return ended(folder, manifest)
    with disk.locked(path, observer.note) as lock:
        folder = RunFolder.open(path, lock)
        disk.remove_leftovers(path)
        manifest = folder.manifest()
        session = {"at": now(), **provenance(), **accepted(manifest, path, observer.note, force=force)}
        if manifest["status"] in FINISHED:
            if "changed" in session:
                folder.write_manifest(manifest | {"resumed": [*manifest.get("resumed", []), session]})
            return ended(folder, manifest)
        return go_on(folder, manifest, session, observer, began)


def go_on(
    folder: RunFolder, manifest: dict[str, Any], session: dict[str, Any], observer: Observer, began: float
) -> Outcome:
    """Go on with a run that has not ended; ``session`` is what the manifest is to say of this process."""
    config = load(folder.path / CONFIG)
    with precision(config), without_memory_check():  # whoever forced it when it began, means it still
        experiment = announced_build(config, observer)
        for stale in ("error", "finished", "rounds"):
            manifest.pop(stale, None)
        for what in ("versions", "device", "flags"):
            if manifest.get(what) != session[what]:
                observer.note(f"warning: {what} differ from those the run began with: its bits may differ too")
        manifest |= {"status": "running", "resumed": [*manifest.get("resumed", []), session]}
        folder.write_manifest(manifest)
        return carry_through(experiment, folder, manifest, observer, began)


def ended(folder: RunFolder, manifest: Mapping[str, Any]) -> Outcome:
    """Return what became of a run that has ended, and draw its picture if that is missing.

    Raises:
        ConfigError: what it had measured is no longer as it was.
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
    target = target_facts(config, records).get("target")
    return Outcome(folder.path, manifest["status"], manifest["rounds"], final, 0.0, target, divergence(manifest))


def carry_through(
    experiment: Experiment, folder: RunFolder, manifest: dict[str, Any], observer: Observer, began: float
) -> Outcome:
    """Simulate what is left of a run and its baselines, and write all files."""
    config, final = experiment.config, {}
    log, compiled = folder.log(), []

    def finish(status: str, rounds: int) -> Outcome:
        seconds = time.perf_counter() - began
        times = {"finished": now(), "compile_s": round(sum(compiled), 3), "total_s": round(seconds, 3)}
        records = log.records()
        found = ending_entries(status, rounds, records) | target_facts(config, records)
        if found["status"] in FINISHED:
            manifest.setdefault("logs", {})[log_name()] = log.seal().facts()
            if (folder.path / SCORES).is_file():
                found["node_scores_sha256"] = digest(folder.path / SCORES)
        folder.write_manifest(manifest | found | times)
        if status != "interrupted":
            if found["status"] == "completed" and (warning := unmeasured_words(records[-1])):
                observer.note(warning)
            observer.note("drawing summary.png")
            draw_summary(folder.path)
        return Outcome(folder.path, found["status"], rounds, final, seconds, found.get("target"), divergence(found))

    try:
        start, metadata = restore(experiment, folder)
        done = int(start.round) if start is not None else -1
        earlier, sealing = log.keep(done, config.evaluation.every, Seal.of(metadata.get("log")))
        numbering = numbering_of(experiment)
        writer = RunObserver(
            observer, log, sealing, folder, compiled, every_s=config.checkpoint.every_s, numbering=numbering
        )
        result = simulated(
            experiment, experiment.algorithm, writer, start=start, start_wall_s=metadata.get("wall_s", 0.0)
        )
        start = None
        status, rounds, spent = result.status, result.rounds, bool(result.run.spent)
        if result.node_scores:
            folder.write_scores(result.node_scores, experiment.graph.labels)
        final["run"] = result.metrics.final if len(result.metrics) else earlier[-1]
        del result  # a million models make room for the baselines
        if status != "interrupted":
            # Where its bytes ended the run, baselines go no further than it did.
            wanted = rounds if spent else config.rounds
            for name in _measured_baselines(experiment, observer):
                baseline = run_baseline(experiment, name, folder, manifest, observer, compiled, wanted)
                if baseline is None:
                    status = "interrupted"
                    break
                final[name] = baseline
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(OSError, RunError):  # a disk that is full, a folder that is gone
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
    """Return the baselines that are run; those of which nothing would be measured are told, and left out."""
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
    """Run a baseline beside the run unless its log is whole; return its last record, None if interrupted.

    The manifest keeps the seal of a log that is whole, before the next baseline begins.
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
    result = simulated(experiment, algorithm, writer, rounds=rounds, faultless=name == "centralised")
    if result.status == "interrupted":
        return None
    if result.status == "diverged":
        sealing.add(log.append({**result.metrics.final, "round": result.rounds, "diverged": True}))
    manifest.setdefault("logs", {})[log_name(name)] = sealing.seal.facts()
    folder.write_manifest(manifest)
    return log.records()[-1]


def announced_build(config: Config, observer: Observer) -> Experiment:
    """Build the parts of a run and say so."""
    observer.note(f"building {config.topology.kind} topology, data and models")
    experiment = build(config)
    check_round(experiment)
    for said in (file_note(experiment.problem), idle_note(experiment.algorithm, experiment.conditions)):
        if said:
            observer.note(said)
    return experiment


def draw_summary(path: Path) -> None:
    """Draw ``summary.png`` of the run in ``path``."""
    from jaxgossip.experiment.plots.runs import summary
    from jaxgossip.experiment.results.run_data import RunData
    from jaxgossip.plotting.style import save_figure

    save_figure(summary(RunData.load(path)), path / "summary.png")


def precision(config: Config) -> Any:
    """Return the context in which 64-bit numbers are on or off, as the configuration says."""
    return jax.enable_x64(config.device.dtype == "float64")


def now() -> str:
    """Return the time in UTC, ISO 8601, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
