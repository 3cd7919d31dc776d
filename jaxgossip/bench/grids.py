"""What a grid of runs costs as one: 5 topologies × 4 learning rates × 8 seeds of 256 nodes, beside the same runs one by one.

The grid is run whole, from nothing: what it builds, compiles and writes counts. Of the others a few runs are timed, and
multiplied: with their programs compiled before ("from cache"), down to one program that is there, for which nothing is built
and nothing written. Rounds and evaluations alone cost as much either way: what a grid saves is the building, tracing,
compiling and drawing of every run.
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
    """What one way of doing all runs takes.

    Attributes:
        name: of the way.
        seconds: for all runs.
        timed: how many of them were timed.
    """

    name: str
    seconds: float
    timed: int


@dataclass(frozen=True)
class GridReport:
    """What was found.

    Attributes:
        runs: of the grid.
        times: the grid, then the others.
        apart: the greatest distance of a test accuracy of the grid from that of the same run alone.
    """

    runs: int
    times: tuple[GridTime, ...]
    apart: float

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        grid = self.times[0].seconds
        ways = [
            {"name": one.name, "seconds": one.seconds, "timed": one.timed, "x_grid": one.seconds / grid}
            for one in self.times
        ]
        return {"runs": self.runs, "ways": ways, "accuracy_apart": self.apart}


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
        axes: ``--grid`` options; the first divides the grid into programs.
        seeds: of each point.
        commands: how many runs are timed as processes of their own.
        begun: told what is being timed.
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
            alone = [_simulated(one) for one in sample]
            apart = max(_apart(folder / "grid", one, result) for one, result in zip(sample, alone, strict=True))
            ways: list[tuple[str, Callable[[], object], int]] = [
                ("run() one after another, programs from cache", lambda: _run_all(sample, folder / "runs"), len(sample)),
                ("build and simulate() alone, programs from cache", lambda: [_simulated(one) for one in sample], len(sample)),
                ("one program that is there, nothing built or written", _resident(sample[0], 20), 20),
            ]  # fmt: skip
            for way, do, timed in ways:
                begun(way)
                times.append(_timed(way, do, timed, len(grid.runs)))
        if commands:
            way = "'jaxgossip run', a process each"
            begun(way)
            times.append(_timed(way, lambda: _commands(path, commands, folder), commands, len(grid.runs)))
    return GridReport(len(grid.runs), tuple(times), apart)


def _timed(name: str, do: Callable[[], object], timed: int, runs: int) -> GridTime:
    began = time.perf_counter()
    do()
    return GridTime(name, (time.perf_counter() - began) / timed * runs, timed)


@contextmanager
def _compiled_programs_in(folder: Path) -> Iterator[None]:
    """Keep compiled programs in a folder, for a while."""
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


def _simulated(one: GridRun) -> Result:
    config, parts = one.config, build(one.config)
    return simulate(
        parts.in_rounds,
        config.rounds,
        seed=config.seed,
        evaluate_every=config.evaluation.every,
        conditions=parts.conditions,
    )


def _apart(grid: Path, one: GridRun, result: Result) -> float:
    there = RunData.load(grid / one.config.name).column("test_accuracy_mean")
    return float(np.abs(there - np.asarray(result.metrics["test_accuracy_mean"])).max())


def _run_all(sample: tuple[GridRun, ...], folder: Path) -> None:
    for one in sample:
        run(one.config, out=folder / one.config.name)
    shutil.rmtree(folder)


def _resident(one: GridRun, times: int) -> Callable[[], None]:
    config, parts = one.config, build(one.config)
    program = Program(parts.in_rounds, conditions=parts.conditions)

    def again() -> None:
        for _ in range(times):
            state = program.start()
            make_record(program, state, 0.0)
            for until in range(config.evaluation.every, config.rounds + 1, config.evaluation.every):
                state = program.advance(state, until)
                make_record(program, state, 0.0)

    again()
    return again


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
