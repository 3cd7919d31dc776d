"""The cost of a grid of runs, 5 topologies × 4 learning rates × 8 seeds of 256 nodes, against that of the same runs one by one.

The whole grid is run from scratch, including building, compiling and writing. Of the alternatives only a few runs are timed
and extrapolated: with their programs compiled beforehand ("from cache"), down to one program in memory, with nothing built
or written. Rounds and evaluations cost the same in each case: a grid saves the building, tracing, compiling and plotting of
every run.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.runs.run import run
from jaxgossip.experiment.sweeps.grid import GridRun, expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.simulation import Program, Result, simulate
from jaxgossip.simulation.rounds import make_record

CONFIG = """
name = "grid"
rounds = 100
[topology]
kind = "ring"
nodes = 256
[learning]
dataset = "spambase"
model = "logistic"
batch_size = 8
[algorithm]
kind = "dsgd"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[evaluation]
every = 20
baselines = []
"""
AXES = ("topology.kind=ring,torus,star,hypercube,complete", "optimizer.learning_rate=0.01,0.03,0.1,0.3")
SEEDS = 8


@dataclass(frozen=True)
class GridTime:
    """The time that all runs take by one method.

    Attributes:
        name: name of the method.
        seconds: seconds for all runs.
        timed: number of runs that were timed.
    """

    name: str
    seconds: float
    timed: int


@dataclass(frozen=True)
class GridReport:
    """The results of the grid benchmark.

    Attributes:
        runs: number of runs of the grid.
        times: times of the grid, then of the alternatives.
        apart: largest difference between a test accuracy in the grid and in the same run alone.
    """

    runs: int
    times: tuple[GridTime, ...]
    apart: float

    def record(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        grid = self.times[0].seconds
        times = [
            {"name": each.name, "seconds": each.seconds, "timed": each.timed, "x_grid": each.seconds / grid}
            for each in self.times
        ]
        return {"runs": self.runs, "ways": times, "accuracy_apart": self.apart}


def bench_grid(
    *,
    config: str = CONFIG,
    axes: tuple[str, ...] = AXES,
    seeds: int = SEEDS,
    commands: int = 3,
    begun: Callable[[str], None] = lambda _: None,
) -> GridReport:
    """Time a grid, and the same runs one by one.

    Args:
        config: TOML of the runs.
        axes: ``--grid`` options; each value of the first needs a program of its own.
        seeds: number of seeds per point.
        commands: number of runs that are timed as separate processes.
        begun: called with the name of each method before it is timed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "grid.toml"
        path.write_text(config, encoding="utf-8")
        began = time.perf_counter()
        grid = expand(path, axes, seeds)
        begun("the grid")
        run_grid(grid, folder / "grid")
        times = [GridTime("the grid", time.perf_counter() - began, len(grid.runs))]
        programs = len(grid.axes[0].values)
        sample = grid.runs[:: max(1, len(grid.runs) // programs) + 1]
        with _compiled_programs_in(folder / "compiled"):
            begun("programs for the others")
            alone = [_simulated(grid_run) for grid_run in sample]
            apart = max(_difference(folder / "grid", *pair) for pair in zip(sample, alone, strict=True))
            methods: list[tuple[str, Callable[[], object], int]] = [
                ("run() one after another, programs from cache", lambda: _run_all(sample, folder / "runs"), len(sample)),
                ("build and simulate() alone, programs from cache", lambda: list(map(_simulated, sample)), len(sample)),
                ("one program that is there, nothing built or written", _resident(sample[0], 20), 20),
            ]  # fmt: skip
            for method, do, timed in methods:
                begun(method)
                times.append(_timed(method, do, timed, len(grid.runs)))
        if commands:
            method = "'jaxgossip run', a process each"
            begun(method)
            times.append(_timed(method, lambda: _commands(path, commands, folder), commands, len(grid.runs)))
    return GridReport(len(grid.runs), tuple(times), apart)


def _timed(name: str, do: Callable[[], object], timed: int, runs: int) -> GridTime:
    began = time.perf_counter()
    do()
    return GridTime(name, (time.perf_counter() - began) / timed * runs, timed)


@contextmanager
def _compiled_programs_in(folder: Path) -> Iterator[None]:
    """Cache compiled programs in a folder within the context."""
    wanted = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    before = {name: getattr(jax.config, name) for name in wanted}
    try:
        for name, value in wanted.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def _simulated(grid_run: GridRun) -> Result:
    config, experiment = grid_run.config, build(grid_run.config)
    return simulate(
        experiment.in_rounds,
        config.rounds,
        seed=config.seed,
        evaluate_every=config.evaluation.every,
        conditions=experiment.conditions,
    )


def _difference(grid: Path, grid_run: GridRun, result: Result) -> float:
    in_grid = RunData.load(grid / grid_run.config.name).column("test_accuracy_mean")
    return float(np.abs(in_grid - np.asarray(result.metrics["test_accuracy_mean"])).max())


def _run_all(sample: tuple[GridRun, ...], folder: Path) -> None:
    for grid_run in sample:
        run(grid_run.config, out=folder / grid_run.config.name)
    shutil.rmtree(folder)


def _resident(grid_run: GridRun, times: int) -> Callable[[], None]:
    config, experiment = grid_run.config, build(grid_run.config)
    program = Program(experiment.in_rounds, conditions=experiment.conditions)

    def repeat() -> None:
        for _ in range(times):
            state = program.start()
            make_record(program, state, 0.0)
            for until in range(config.evaluation.every, config.rounds + 1, config.evaluation.every):
                state = program.advance(state, until)
                make_record(program, state, 0.0)

    repeat()
    return repeat


def _commands(path: Path, count: int, folder: Path) -> None:
    for seed in range(count):
        command = [
            sys.executable,
            "-m",
            "jaxgossip",
            "run",
            str(path),
            "--seed",
            str(seed),
            "--out",
            str(folder / f"{seed}"),
        ]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command
