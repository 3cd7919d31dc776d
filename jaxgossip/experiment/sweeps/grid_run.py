"""Runs a grid. Runs that share a compiled program run together under ``vmap``, and each is written to its own run folder.

On several devices each run is wholly on one of them.

The ``manifest.json`` of a run is written last, so its presence implies the other files. Progress of the current group of runs
is kept in ``checkpoint/`` until all of its folders are written. Running the same grid again, or a larger grid that contains
it, executes only the missing runs.
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh

from jaxgossip.core import disk
from jaxgossip.core.devices.mesh import mesh, over_replicas
from jaxgossip.core.disk import strict_json
from jaxgossip.core.errors import JaxGossipError, RunError
from jaxgossip.core.units import counted
from jaxgossip.experiment.build.builders import in_own_code, place_of
from jaxgossip.experiment.build.description import idle_notes
from jaxgossip.experiment.build.experiment import Experiment, Shared, build
from jaxgossip.experiment.config.describe import resolved_toml
from jaxgossip.experiment.results.divergence import divergence
from jaxgossip.experiment.results.folder import RunFolder, log_name
from jaxgossip.experiment.results.inputs import CONFIG
from jaxgossip.experiment.runs.manifest import privacy_entry, target_entry
from jaxgossip.experiment.runs.run import now, precision
from jaxgossip.experiment.sweeps.bundles import bundles, common_values, in_turns, label_of, name_of
from jaxgossip.experiment.sweeps.grid import Grid, GridRun, lifted_numbers
from jaxgossip.experiment.sweeps.group_checkpoint import (
    CHECKPOINTS,
    GroupObserver,
    checkpointed_members,
    finished_members,
)
from jaxgossip.experiment.sweeps.ownership import (
    check_inputs,
    check_ownership,
    finished_status,
    input_digests,
    take_ownership,
)
from jaxgossip.plotting.measures import named
from jaxgossip.simulation import Observer
from jaxgossip.simulation.events.together import EventsRun, at_once, simulate_together
from jaxgossip.simulation.program import Run
from jaxgossip.simulation.replicas import Replica, families, simulate_family
from jaxgossip.simulation.results.endings import ending_entries
from jaxgossip.simulation.results.provenance import provenance

SMALL_NETWORK = 20_000
"""Maximum number of nodes of networks that take negligible time to build."""


@dataclass(frozen=True)
class GridOutcome:
    """The outcome of a grid.

    Attributes:
        kept: number of runs that had finished earlier.
        done: number of runs finished by this call.
        diverged: names of all runs that diverged, earlier or in this call.
        interrupted: whether the grid was stopped before all runs finished.
        seconds: wall-clock seconds of this call.
    """

    kept: int
    done: int
    diverged: tuple[str, ...]
    interrupted: bool
    seconds: float


def run_grid(
    grid: Grid, out: Path, *, force: bool = False, command: str = "", observer: Observer | None = None
) -> GridOutcome:
    """Run the missing runs of a grid.

    Args:
        grid: the grid.
        out: folder of the grid, in which every run has its folder.
        force: whether to remove existing runs, also those of another sweep, and start over.
        command: command line of the user, for the manifests.
        observer: receives records and progress, and may stop the grid.

    Raises:
        ConfigError: ``out`` holds something else, another sweep, damaged records, or runs whose inputs have changed.
        InputError: a run cannot be built, or there are fewer devices than the grid asks for.
        RunError: code of the user raised an error.
    """
    observer, began, devices = observer or Observer(), time.perf_counter(), _devices(grid)
    check_ownership(grid, out, force=force)
    if out.is_dir():
        disk.check_unlocked(out)
    inputs = input_digests(grid)
    status = _statuses(grid, out, inputs, force=force)
    missing = [run for run in grid.runs if status[run.config.name] is None]
    if grid.lists_baselines and len(missing) == len(grid.runs):
        observer.note("a grid runs no baselines; algorithm.kind=isolated as a value runs one of them")
    if len(missing) < len(grid.runs):
        existing = len(grid.runs) - len(missing)
        verb = "is" if existing == 1 else "are"
        observer.note(f"{existing} of {counted(len(grid.runs), 'run')} {verb} there already")
    checkpoints = out / CHECKPOINTS
    n_devices = 1 if devices is None else devices.size
    found = bundles(
        grid.runs,
        missing,
        [] if force else finished_members(checkpoints),
        [] if force else checkpointed_members(checkpoints),
    )
    found = in_turns(found, n_devices)
    shared = Shared()
    _build_first(grid, found, shared, observer)
    disk.make_folder(out, parents=True)
    with disk.locked(out, observer.note) as lock:
        take_ownership(grid, out, inputs, force=force)
        disk.remove_leftovers(out)
        entries = {"command": command, "devices": n_devices, **provenance()} if missing else {}
        execution = _GridExecution(grid, out, lock, shared, entries, inputs, observer, devices)
        interrupted = execution.execute(found, status)
        if not interrupted:
            disk.remove(checkpoints)
    diverged = tuple(name for name, run_status in status.items() if run_status == "diverged")
    seconds = time.perf_counter() - began
    done = sum(status[run.config.name] is not None for run in missing)
    return GridOutcome(len(grid.runs) - len(missing), done, diverged, interrupted, seconds)


@dataclass(frozen=True)
class _GridExecution:
    """Executes the runs of a grid; holds what all bundles share, and remembers which notes it has passed on."""

    grid: Grid
    out: Path
    lock: disk.Lock
    shared: Shared
    entries: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, str]]
    observer: Observer
    mesh: Mesh | None
    notes: set[str] = field(default_factory=set)

    def note_idle(self, experiment: Experiment) -> None:
        """Note which settings have no effect on the experiment's method, each note once per grid."""
        for idle in idle_notes(experiment):
            if idle not in self.notes:
                self.notes.add(idle)
                self.observer.note(idle)

    def execute(self, bundles: Sequence[Sequence[GridRun]], status: dict[str, str | None]) -> bool:
        """Run the bundles in order, set the ``status`` of each run, and return whether they were stopped."""
        for number, bundle in enumerate(bundles, start=1):
            if self.observer.should_stop():
                return True
            self.observer.note(f"[group {number} of {len(bundles)}] {label_of(bundle)}: {counted(len(bundle), 'run')}")
            with precision(bundle[0].config), _named(self.grid, ", ".join(common_values(bundle))):
                for (runs, experiments), replicas in _run_bundle(bundle, self):
                    self.lock.check()
                    new = [
                        (run, experiment, replica)
                        for run, experiment, replica in zip(runs, experiments, replicas, strict=True)
                        if status[name_of(run)] is None
                    ]
                    for run, experiment, replica in new:
                        entries = {**self.entries, "inputs": dict(self.inputs[name_of(run)])}
                        _write(self.out / name_of(run), experiment, replica, entries)
                        status[name_of(run)] = replica.status
                    disk.remove(self.out / CHECKPOINTS)
                    _note_endings([run for run, *_ in new], [replica for *_, replica in new], self.observer)
            if any(status[name_of(run)] is None for run in bundle):
                return True
        return False


def _statuses(grid: Grid, out: Path, inputs: Mapping[str, Mapping[str, str]], *, force: bool) -> dict[str, str | None]:
    """Return the status of each finished run by name, and None for runs still to be executed.

    Raises:
        ConfigError: an input file of a finished run has changed, or its records have been altered.
    """
    if force:
        return dict.fromkeys(map(name_of, grid.runs))
    status = {name_of(run): finished_status(out / name_of(run), run) for run in grid.runs}
    check_inputs(out, inputs, [run for run in grid.runs if status[name_of(run)] is not None])
    return status


def _devices(grid: Grid) -> Mesh | None:
    """Return the devices over which the runs are spread; None for a single one."""
    if grid.devices == 1:
        return None
    devices = over_replicas(mesh(grid.devices))
    return None if devices.size == 1 else devices


def _build_first(grid: Grid, found: Sequence[Sequence[GridRun]], shared: Shared, observer: Observer) -> None:
    """Build the first run of each bundle or point with a small network, so that errors surface before anything runs.

    Raises:
        InputError: a run cannot be built; the message names it.
    """
    by_point = {run.point: run for bundle in found for run in reversed(bundle) if run.config.in_events}
    firsts = [(bundle[0], ", ".join(common_values(bundle))) for bundle in found if not bundle[0].config.in_events]
    for first, point in (*firsts, *((run, point) for point, run in by_point.items())):
        if observer.should_stop():
            return
        if (first.config.topology.keywords().get("nodes") or 0) <= SMALL_NETWORK:
            with precision(first.config), _named(grid, point):
                _built(first, shared)


@contextlib.contextmanager
def _named(grid: Grid, point: str) -> Iterator[None]:
    """Prefix errors with the configuration's file and the point of the grid."""
    try:
        yield
    except JaxGossipError as error:
        where = f"{grid.source} ({point})" if point else grid.source
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from error


def _run_bundle(
    bundle: Sequence[GridRun], execution: _GridExecution
) -> Iterator[tuple[tuple[list[GridRun], list[Experiment]], list[Replica]]]:
    """Yield ((runs, their experiments), their outcomes) as they finish; not all of the bundle if it is stopped."""
    config, observer = bundle[0].config, execution.observer
    experiments = [_built(run, execution.shared) for run in bundle]
    for experiment in experiments:
        execution.note_idle(experiment)
    if config.in_events:
        yield from _by_clocks(bundle, experiments, execution)
        return
    simulations = [
        Run(
            experiment.in_rounds,
            seed=experiment.config.seed,
            conditions=experiment.conditions,
            sampled_nodes=config.evaluation.sampled_nodes,
            byte_budget=config.byte_budget,
            speeds=experiment.speeds,
            energy=experiment.energy,
        )
        for experiment in experiments
    ]
    with _own_errors(experiments[0]):
        whole_families = families(simulations)
    groups = [group for family in whole_families for group in family.split_to_fit(execution.mesh)]
    for number, family in enumerate(groups, start=1):
        position = f", program {number} of {len(groups)}" if len(groups) > 1 else ""
        runs = [bundle[member] for member in family.members]
        members = [experiments[member] for member in family.members]
        every_s = config.checkpoint.every_s
        group_observer = GroupObserver(
            execution.out / CHECKPOINTS, list(map(name_of, runs)), every_s, observer, execution.lock,
            n_devices=1 if execution.mesh is None else execution.mesh.size,
        )  # fmt: skip
        replicas = group_observer.done()
        if replicas is not None:
            yield (runs, members), replicas
            continue
        observer.note(f"compiling {experiments[0].algorithm.name} for {counted(len(runs), 'run')}{position}")
        with _own_errors(experiments[0]):
            replicas = simulate_family(
                family, [run.point for run in runs], config.rounds,
                evaluate_every=config.evaluation.every, observer=group_observer, restore=group_observer.restore,
                matmul_precision=config.device.matmul_precision, mesh=execution.mesh,
            )  # fmt: skip
        if any(replica.status == "interrupted" for replica in replicas):
            return
        group_observer.finish(replicas)
        yield (runs, members), replicas


def _by_clocks(
    bundle: Sequence[GridRun], experiments: Sequence[Experiment], execution: _GridExecution
) -> Iterator[tuple[tuple[list[GridRun], list[Experiment]], list[Replica]]]:
    """Yield the runs by events, each of which has its own schedule and device; not all of them if they are stopped."""
    config, waiting = bundle[0].config, list(zip(bundle, experiments, strict=True))
    while waiting:
        turn = waiting[: at_once([experiment.in_events for _, experiment in waiting], execution.mesh)]
        waiting = waiting[len(turn) :]
        runs = [_events_run(experiment) for _, experiment in turn]
        with _own_errors(next((experiment for _, experiment in turn if experiment.own), turn[0][1])):
            replicas = simulate_together(
                runs, config.rounds, execution.mesh, evaluate_every=config.evaluation.every, observer=execution.observer
            )
        ended = [each for each in zip(turn, replicas, strict=True) if each[1].status != "interrupted"]
        if ended:
            pairs, ends = zip(*ended, strict=True)
            yield ([run for run, _ in pairs], [experiment for _, experiment in pairs]), list(ends)
        if len(ended) < len(turn):
            return


def _events_run(experiment: Experiment) -> EventsRun:
    config = experiment.config
    assert experiment.schedule is not None
    return EventsRun(
        experiment.in_events,
        experiment.schedule,
        energy=experiment.energy,
        seed=config.seed,
        sampled_nodes=config.evaluation.sampled_nodes,
        byte_budget=config.byte_budget,
        matmul_precision=config.device.matmul_precision,
    )


def _built(run: GridRun, shared: Shared) -> Experiment:
    lifted = {place: jnp.asarray(value) for place, value in lifted_numbers(run).items()}
    return build(run.config, shared=shared, lifted=lifted)


def _write(folder: Path, experiment: Experiment, replica: Replica, entries: Mapping[str, Any]) -> None:
    config = experiment.config
    disk.remove(folder)  # incomplete, if the process was killed while writing it
    disk.make_folder(folder)
    disk.write(folder / CONFIG, resolved_toml(config))
    lines = "".join(json.dumps(strict_json(record)) + "\n" for record in replica.records)
    disk.write(folder / log_name(), lines)
    RunFolder(folder).write_manifest(
        {
            **ending_entries(replica.status, replica.rounds, replica.records),
            "name": config.name,
            "seed": config.seed,
            "finished": now(),
            "dtype": config.device.dtype,
            "matmul_precision": config.device.matmul_precision,
            "graph": experiment.graph.describe(),
            "parameters": experiment.problem.n_params,
            **privacy_entry(experiment, Observer().note),
            **target_entry(config, replica.records),
            "logs": {log_name(): RunFolder(folder).log().seal().facts()},
            **entries,
        }
    )


def _note_endings(runs: Sequence[GridRun], replicas: Sequence[Replica], observer: Observer) -> None:
    """Note the runs that diverged, and the measurements of the others that are not finite at the end."""
    unmeasured: Counter[str] = Counter()
    for run, replica in zip(runs, replicas, strict=True):
        ending = ending_entries(replica.status, replica.rounds, replica.records)
        if ending["status"] == "diverged":
            observer.note(f"  {run.config.name} {divergence(ending)}; the others went on")
        else:
            unmeasured.update(ending.get("not_finite", ()))
    for name, count in unmeasured.items():
        observer.note(f"  warning: no finite number at the end of {counted(count, 'run')}: {named(name)}")


@contextlib.contextmanager
def _own_errors(experiment: Experiment) -> Iterator[None]:
    """Turn exceptions of the user's own code into RunError."""
    try:
        yield
    except JaxGossipError:
        raise
    except Exception as error:
        if not experiment.own:
            raise
        raise RunError(in_own_code(error, experiment.own), hint=place_of(error, experiment.own)) from error
