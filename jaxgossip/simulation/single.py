"""A single run, by rounds or by events: compiled, driven to its end, scored node by node."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.simulation.agreement import ALONE, Agreed, Agreement
from jaxgossip.simulation.listening.observer import Observer, announced, combined
from jaxgossip.simulation.loop import Engine, Stopwatch, drive
from jaxgossip.simulation.metrics import Metrics
from jaxgossip.simulation.results.endings import final_status
from jaxgossip.simulation.results.result import Result


class SingleEngine(Engine, Protocol):
    """An engine of one run."""

    records: list[Mapping[str, Any]]
    """The evaluations so far."""

    @property
    def diverged(self) -> bool:
        """Whether a model has become NaN or infinite."""
        ...

    def final(self) -> Any:
        """Return the state that the result keeps."""
        ...

    def score_all(self) -> Mapping[str, jax.Array]:
        """Return every measure of every node, (n,) each."""
        ...


def run_single[P](
    method: Algorithm | GossipProtocol,
    asked: Mapping[str, Any],
    compiled: Callable[[], P],
    engine_of: Callable[[P], SingleEngine],
    *,
    start: Any,
    start_wall_s: float,
    observer: Observer | None,
    progress: bool,
    agreement: Agreement = ALONE,
) -> Result:
    """Compile a run, drive it to its end and return its result.

    Args:
        method: what the nodes do.
        asked: the arguments of the run, as :func:`~jaxgossip.simulation.arguments.settings` returns them.
        compiled: returns the compiled programs.
        engine_of: returns the engine of those programs, at ``start``.
        start: the state to continue from, which is not evaluated again; None for a new run.
        start_wall_s: wall-clock seconds spent before ``start``.
        observer: receives records and progress, and may stop the run.
        progress: whether to show progress on stderr.
        agreement: between the processes of the run.
    """
    with combined(observer, progress=progress) as own:
        listener = own if agreement.alone else Agreed(own, agreement)
        listener.note(f"compiling {method.name} for {method.problem.n_nodes:,} nodes")
        with announced(listener, method.name, asked["rounds"], start):
            listener.compiling()
            began = time.perf_counter()
            program = compiled()
            listener.compiled(time.perf_counter() - began)
            clock, engine = Stopwatch(start_wall_s), engine_of(program)
            stopped = drive(engine, asked["rounds"], asked["evaluate_every"], listener, clock, begin=start is None)
            wall_s, run = clock.seconds(), engine.final()
            listener.finished(run, wall_s)
            scored = {} if stopped else engine.score_all()
    scores = {name: np.asarray(values) for name, values in scored.items()}
    status = final_status(engine.records, diverged=engine.diverged, stopped=stopped)
    return Result(Metrics(engine.records), method, scores, status, engine.done, wall_s, run, asked)
