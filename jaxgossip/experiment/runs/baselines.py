"""Runs the baselines of a run, one after the other, each into a log of its own."""

from collections.abc import Mapping
from typing import Any

from jaxgossip.core import disk
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.experiment.results.folder import RunFolder, log_name, seal_of
from jaxgossip.experiment.results.log import Record
from jaxgossip.experiment.runs.engines import simulate_experiment
from jaxgossip.experiment.runs.observer import RunObserver
from jaxgossip.simulation import Observer
from jaxgossip.simulation.agreement import Agreement


def measured_baselines(experiment: Experiment, observer: Observer) -> list[str]:
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
    agreement: Agreement,
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
        agreement: between the processes of the run.
    """
    log, every = folder.log(name), experiment.config.evaluation.every
    with agreement.telling():
        records = _records_of(name, folder, manifest, observer, every)
        complete = bool(records) and (records[-1]["round"] == rounds or bool(records[-1].get("diverged")))
    if not agreement.of_first(int(not complete)):
        return records[-1]
    with agreement.step():
        _, sealing = log.keep(-1, every)
        disk.make_folder(log.path.parent)
        writer = RunObserver(observer, log, sealing, folder, compiled)
        algorithm = experiment.baseline(name)
    result = simulate_experiment(experiment, algorithm, writer, rounds=rounds, faultless=name == "centralised")
    if result.status == "interrupted":
        return None
    with agreement.step():
        if result.status == "diverged":
            sealing.add(log.append({**result.metrics.final, "round": result.rounds, "diverged": True}))
        manifest.setdefault("logs", {})[log_name(name)] = sealing.seal.facts()
        folder.write_manifest(manifest)
    return log.records()[-1]


def _records_of(
    name: str, folder: RunFolder, manifest: Mapping[str, Any], observer: Observer, every: int
) -> list[Record]:
    """Return the records of a baseline that has been run, or of a part of it; empty if there are none, or they are damaged."""
    log, seal = folder.log(name), seal_of(manifest, name)
    if seal is not None or "inputs" not in manifest:  # the first release kept no seals
        try:
            return log.check(seal, every) if seal is not None else log.records(every)
        except ConfigError as error:
            observer.note(f"warning: {error.message}; this baseline is run again")
    return []
