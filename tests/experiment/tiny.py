"""A run that takes no time: three nodes, four rounds; and what is built, traced and compiled of it only once."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jaxgossip.core import disk
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.experiment.config.describe import resolved_toml
from jaxgossip.experiment.runs import run as runs
from jaxgossip.experiment.sweeps import grid_run
from jaxgossip.simulation import replicas, rounds

TEXT = """
name = "small"
rounds = 4
[topology]
kind = "ring"
nodes = 3
[learning]
dataset = "isotropic_quadratic"
dataset_options = { dimension = 2, noise = 0.5 }
[algorithm]
kind = "dsgd"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[evaluation]
every = 2
baselines = ["isolated"]
[checkpoint]
every_s = 0.0
"""
VARIANTS = """
[[variants]]
name = "slow"
[[variants]]
name = "quick"
optimizer = { learning_rate = 0.2 }
"""


class Stop(runs.Observer):
    """Keeps notes, and asks to stop once so many rounds are done."""

    def __init__(self, after: int = 1000) -> None:
        self.notes: list[str] = []
        self._after, self._done = after, 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advanced(self, done: int) -> None:
        self._done = done

    def should_stop(self) -> bool:
        return self._done >= self._after


@contextmanager
def quick() -> Iterator[None]:
    """Build, trace and compile what is the same only once, stop the clocks, and draw nothing."""
    known: dict[Any, Any] = {}

    def once(key: Any, make: Callable[[], Any]) -> Any:
        if key not in known:
            known[key] = make()
        return known[key]

    build, program, families = runs.build, rounds.Program, grid_run.families
    built, many, baseline = grid_run._built, replicas.Replicas, Experiment.baseline
    origin = {"versions": {}, "device": {}, "flags": {}, "git": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "build", lambda config: once(resolved_toml(config), lambda: build(config)))
        patch.setattr(rounds, "Program", lambda one, **its: once((id(one), "program"), lambda: program(one, **its)))
        patch.setattr(Experiment, "baseline", lambda self, name: once((id(self), name), lambda: baseline(self, name)))
        patch.setattr(
            grid_run, "_built", lambda run, shared: once(("run", resolved_toml(run.config)), lambda: built(run, shared))
        )
        patch.setattr(
            grid_run, "families",
            lambda simulated: once(tuple(id(one.algorithm) for one in simulated), lambda: families(simulated)),
        )  # fmt: skip
        patch.setattr(
            replicas, "Replicas",
            lambda family, layout, *_: once((id(family.specs), layout.places.tobytes()), lambda: many(family, layout)),
        )  # fmt: skip
        for module in (runs, grid_run):
            patch.setattr(module, "provenance", lambda: origin)
        patch.setattr(runs, "check_outline", lambda *_: None)
        patch.setattr(runs, "check_fits", lambda *_: None)
        patch.setattr(runs, "draw_summary", lambda path: disk.write(path / "summary.png", b"drawn"))
        patch.setattr(time, "perf_counter", lambda: 0.0)
        yield
