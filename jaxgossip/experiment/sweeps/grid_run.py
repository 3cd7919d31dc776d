"""Run a grid: runs that one program can serve go together under one ``vmap``, each into a run folder of its own.

A run's ``manifest.json`` comes last, so that whoever finds one finds the run; what a group of runs has come to is kept in
``checkpoint/`` until all of them stand. The same grid again, or a larger one that holds it, runs what is missing.
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

from jaxgossip.core import disk
from jaxgossip.core.disk import strict_json
from jaxgossip.core.errors import JaxGossipError, RunError
from jaxgossip.core.units import counted
from jaxgossip.experiment.build.builders import in_own_code, place_of
from jaxgossip.experiment.build.description import idle_note
from jaxgossip.experiment.build.experiment import Experiment, Shared, build
from jaxgossip.experiment.config.describe import resolved_toml
from jaxgossip.experiment.config.toml import value_text
from jaxgossip.experiment.results.divergence import divergence
from jaxgossip.experiment.results.folder import RunFolder, log_name
from jaxgossip.experiment.results.inputs import CONFIG
from jaxgossip.experiment.runs.engines import simulated
from jaxgossip.experiment.runs.manifest import privacy_facts, target_facts
from jaxgossip.experiment.runs.run import now, precision
from jaxgossip.experiment.sweeps.grid import Grid, GridRun, lifted_numbers
from jaxgossip.experiment.sweeps.group_checkpoint import CHECKPOINTS, GroupObserver, members_done, members_kept
from jaxgossip.experiment.sweeps.ownership import check_claim, check_inputs, claim, inputs_of, status_of
from jaxgossip.plotting.measures import named
from jaxgossip.simulation import Observer
from jaxgossip.simulation.program import Run
from jaxgossip.simulation.replicas import Replica, families, simulate_family
from jaxgossip.simulation.results.endings import ending_entries
from jaxgossip.simulation.results.provenance import provenance

SMALL_NETWORK = 20_000
"""Networks of at most so many nodes are built in no time."""


@dataclass(frozen=True)
class GridOutcome:
    """What became of a grid.

    Attributes:
        kept: runs that were complete before.
        done: runs of this call.
        diverged: the names of the runs that diverged, of both.
        interrupted: whether it was stopped.
        seconds: taken by this call.
    """

    kept: int
    done: int
    diverged: tuple[str, ...]
    interrupted: bool
    seconds: float


def run_grid(
    grid: Grid, out: Path, *, force: bool = False, command: str = "", observer: Observer | None = None
) -> GridOutcome:
    """Run what is missing of a grid.

    Args:
        grid: the grid.
        out: its folder; a run's stands in it.
        force: start anew, also where another grid was.
        command: what the user typed, for the manifests.
        observer: listens.

    Raises:
        ConfigError: ``out`` holds something else, or another grid.
        InputError: a run cannot be built.
    """
    observer, began = observer or Observer(), time.perf_counter()
    check_claim(grid, out, force=force)
    if out.is_dir():
        disk.check_unlocked(out)
    inputs = inputs_of(grid)
    status = _statuses(grid, out, inputs, force=force)
    missing = [run for run in grid.runs if status[run.config.name] is None]
    if grid.lists_baselines and len(missing) == len(grid.runs):
        observer.note("a grid runs no baselines; algorithm.kind=isolated as a value runs one of them")
    if len(missing) < len(grid.runs):
        there = len(grid.runs) - len(missing)
        observer.note(f"{there} of {counted(len(grid.runs), 'run')} {'is' if there == 1 else 'are'} there already")
    kept = out / CHECKPOINTS
    bundles = _bundles(grid.runs, missing, [] if force else members_done(kept), [] if force else members_kept(kept))
    shared = Shared()
    _build_first(grid, bundles, shared, observer)
    disk.make_folder(out, parents=True)
    with disk.locked(out, observer.note) as lock:
        claim(grid, out, inputs, force=force)
        disk.remove_leftovers(out)
        facts = {"command": command, **provenance()} if missing else {}
        work = _Work(grid, out, lock, shared, facts, inputs, observer)
        interrupted = work.do(bundles, status)
        if not interrupted:
            disk.remove(out / CHECKPOINTS)
    diverged = tuple(name for name, one in status.items() if one == "diverged")
    seconds = time.perf_counter() - began
    done = sum(status[run.config.name] is not None for run in missing)
    return GridOutcome(len(grid.runs) - len(missing), done, diverged, interrupted, seconds)


@dataclass(frozen=True)
class _Work:
    """What the groups of a grid have in common while they run."""

    grid: Grid
    out: Path
    lock: disk.Lock
    shared: Shared
    facts: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, str]]
    observer: Observer
    told: set[str] = field(default_factory=set)

    def tell_idle(self, experiment: Experiment) -> None:
        """Tell once of each method which sections do nothing there."""
        idle = idle_note(experiment.algorithm, experiment.conditions)
        if idle and idle not in self.told:
            self.told.add(idle)
            self.observer.note(idle)

    def do(self, bundles: Sequence[Sequence[GridRun]], status: dict[str, str | None]) -> bool:
        """Run bundles one after another, note the status of each run, and return whether they were stopped."""
        for number, bundle in enumerate(bundles, start=1):
            if self.observer.should_stop():
                return True
            self.observer.note(f"[group {number} of {len(bundles)}] {_told(bundle)}: {counted(len(bundle), 'run')}")
            with precision(bundle[0].config), _named(self.grid, ", ".join(_common(bundle))):
                for (runs, experiments), replicas in _run_bundle(bundle, self):
                    self.lock.check()
                    new = [
                        one for one in zip(runs, experiments, replicas, strict=True) if status[_name(one[0])] is None
                    ]
                    for run, experiment, replica in new:
                        facts = {**self.facts, "inputs": dict(self.inputs[_name(run)])}
                        _write(self.out / _name(run), experiment, replica, facts)
                        status[_name(run)] = replica.status
                    disk.remove(self.out / CHECKPOINTS)
                    _tell_endings([run for run, *_ in new], [replica for *_, replica in new], self.observer)
            if any(status[_name(run)] is None for run in bundle):
                return True
        return False


def _name(run: GridRun) -> str:
    return run.config.name


def _statuses(grid: Grid, out: Path, inputs: Mapping[str, Mapping[str, str]], *, force: bool) -> dict[str, str | None]:
    """Return how each run ended; None where it is to be run.

    Raises:
        ConfigError: a run that is there has read other files than are there now, or has lost records.
    """
    if force:
        return dict.fromkeys(map(_name, grid.runs))
    status = {_name(run): status_of(out / _name(run), run) for run in grid.runs}
    check_inputs(out, inputs, [run for run in grid.runs if status[_name(run)] is not None])
    return status


def _bundles(
    runs: Sequence[GridRun], missing: Sequence[GridRun], done: Sequence[str], kept: Sequence[str]
) -> list[list[GridRun]]:
    """Return the runs that differ in their seeds and in numbers that can be lifted alone, together.

    Those that a checkpoint holds (``kept``, their names) come first and by themselves, if all are to be run: with others
    among them, the group would have another shape, and what it has come to would be lost. So does a group that is ``done``
    and has not got all of its folders.
    """
    by_name, lacking = {_name(run): run for run in runs}, {_name(run) for run in missing}
    first = []
    if by_name.keys() >= set(done) and lacking & set(done):
        first = [by_name[name] for name in done]
    elif lacking >= set(kept):
        first = [by_name[name] for name in kept]
    names = {_name(run) for run in first}
    found: dict[str, list[GridRun]] = {}
    for run in missing:
        if _name(run) in names:
            continue
        tree = run.config.tree() | {"name": "", "seed": 0}
        for section, key in lifted_numbers(run):
            tree[section] = {name: value for name, value in tree[section].items() if name != key}
        found.setdefault(repr(tree), []).append(run)
    return [*([first] if first else []), *found.values()]


def _build_first(grid: Grid, bundles: Sequence[Sequence[GridRun]], shared: Shared, observer: Observer) -> None:
    """Build the first run of each bundle of small networks: what cannot be built is told before anything runs.

    Raises:
        InputError: one cannot be built; the message says which.
    """
    for bundle in bundles:
        first = bundle[0]
        if observer.should_stop():
            return
        if (first.config.topology.keywords().get("nodes") or 0) <= SMALL_NETWORK:
            with precision(first.config), _named(grid, ", ".join(_common(bundle))):
                _built(first, shared)


@contextlib.contextmanager
def _named(grid: Grid, point: str) -> Iterator[None]:
    """Begin every error with the configuration's file and the point of the grid."""
    try:
        yield
    except JaxGossipError as error:
        where = f"{grid.source} ({point})" if point else grid.source
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from error


def _told(bundle: Sequence[GridRun]) -> str:
    return ", ".join(_common(bundle)) or bundle[0].config.algorithm.kind


def _common(bundle: Sequence[GridRun]) -> list[str]:
    """Return what the runs of a bundle have in common of the grid, ``key=value`` each."""
    first = bundle[0]
    same = [key for key, value in first.values.items() if all(run.values[key] == value for run in bundle)]
    return [f"{key}={value_text(first.values[key])}" for key in same]


def _run_bundle(
    bundle: Sequence[GridRun], work: _Work
) -> Iterator[tuple[tuple[list[GridRun], list[Experiment]], list[Replica]]]:
    """Yield what is done, ((runs, their parts), what became of each); less than the bundle if it was stopped."""
    config, observer = bundle[0].config, work.observer
    experiments = [_built(run, work.shared) for run in bundle]
    for experiment in experiments:
        work.tell_idle(experiment)
    if config.in_events:
        yield from _one_by_one(bundle, experiments, observer)
        return
    simulations = [
        Run(
            one.in_rounds,
            seed=one.config.seed,
            conditions=one.conditions,
            sampled_nodes=config.evaluation.sampled_nodes,
            byte_budget=config.byte_budget,
            speeds=one.speeds,
        )
        for one in experiments
    ]
    with _own_errors(experiments[0]):
        found = families(simulations)
    parts = [part for family in found for part in family.split_to_fit()]
    for number, family in enumerate(parts, start=1):
        part = f", program {number} of {len(parts)}" if len(parts) > 1 else ""
        runs = [bundle[member] for member in family.members]
        its = [experiments[member] for member in family.members]
        every_s = config.checkpoint.every_s
        keeping = GroupObserver(work.out / CHECKPOINTS, list(map(_name, runs)), every_s, observer, work.lock)
        replicas = keeping.done()
        if replicas is not None:
            yield (runs, its), replicas
            continue
        observer.note(f"compiling {experiments[0].algorithm.name} for {counted(len(runs), 'run')}{part}")
        with _own_errors(experiments[0]):
            replicas = simulate_family(
                family, [run.point for run in runs], config.rounds,
                evaluate_every=config.evaluation.every, observer=keeping, restore=keeping.restore,
                matmul_precision=config.device.matmul_precision,
            )  # fmt: skip
        if any(replica.status == "interrupted" for replica in replicas):
            return
        keeping.finish(replicas)
        yield (runs, its), replicas


def _one_by_one(
    bundle: Sequence[GridRun], experiments: Sequence[Experiment], observer: Observer
) -> Iterator[tuple[tuple[list[GridRun], list[Experiment]], list[Replica]]]:
    """Yield the runs by the nodes' own clocks, each with a schedule of its own; fewer if they were stopped."""
    for run, experiment in zip(bundle, experiments, strict=True):
        with _own_errors(experiment):
            result = simulated(experiment, experiment.algorithm, observer)
        if result.status == "interrupted":
            return
        records = [dict(record) for record in result.metrics]
        yield ([run], [experiment]), [Replica(records, result.status, result.rounds)]


def _built(run: GridRun, shared: Shared) -> Experiment:
    lifted = {place: jnp.asarray(value) for place, value in lifted_numbers(run).items()}
    return build(run.config, shared=shared, lifted=lifted)


def _write(folder: Path, experiment: Experiment, replica: Replica, facts: Mapping[str, Any]) -> None:
    config = experiment.config
    disk.remove(folder)  # what a kill left of it
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
            **privacy_facts(experiment, Observer().note),
            **target_facts(config, replica.records),
            "logs": {log_name(): RunFolder(folder).log().seal().facts()},
            **facts,
        }
    )


def _tell_endings(runs: Sequence[GridRun], replicas: Sequence[Replica], observer: Observer) -> None:
    """Name the runs that diverged, and what other runs have no finite number of at their end."""
    unmeasured: Counter[str] = Counter()
    for run, replica in zip(runs, replicas, strict=True):
        found = ending_entries(replica.status, replica.rounds, replica.records)
        if found["status"] == "diverged":
            observer.note(f"  {run.config.name} {divergence(found)}; the others went on")
        else:
            unmeasured.update(found.get("not_finite", ()))
    for name, count in unmeasured.items():
        observer.note(f"  warning: no finite number at the end of {counted(count, 'run')}: {named(name)}")


@contextlib.contextmanager
def _own_errors(experiment: Experiment) -> Iterator[None]:
    """Turn what the user's own code raises into an error of the run."""
    try:
        yield
    except JaxGossipError:
        raise
    except Exception as error:
        if not experiment.own:
            raise
        raise RunError(in_own_code(error, experiment.own), hint=place_of(error, experiment.own)) from error
