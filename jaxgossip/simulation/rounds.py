"""The rounds engine: one compiled program advances all nodes by any number of rounds."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxgossip.algorithms import Algorithm
from jaxgossip.core.counting import to_int
from jaxgossip.network import Conditions, Speeds
from jaxgossip.network.wallclock import Clock, to_seconds
from jaxgossip.simulation.arguments import check_counts, check_observer, check_parts, check_precision
from jaxgossip.simulation.listening.observer import Observer, attended, begun
from jaxgossip.simulation.loop import Pace, Status, Stopwatch, drive
from jaxgossip.simulation.metrics import Metrics, lost_in
from jaxgossip.simulation.program import Program, RunState, check_start
from jaxgossip.simulation.results.result import Result, settings


def simulate(
    algorithm: Algorithm,
    rounds: int,
    *,
    seed: int = 0,
    evaluate_every: int = 10,
    conditions: Conditions | None = None,
    sampled_nodes: int = 1000,
    byte_budget: int = 0,
    matmul_precision: str = "highest",
    speeds: Speeds | None = None,
    start: RunState | None = None,
    start_wall_s: float = 0.0,
    observer: Observer | None = None,
    progress: bool = False,
) -> Result:
    """Run ``algorithm`` for ``rounds`` rounds.

    Ctrl-C ends the run between two chunks, of about a second each, and what was measured is returned; a second one raises
    KeyboardInterrupt at once. Handlers of SIGINT other than Python's own are left alone.

    Args:
        algorithm: what runs.
        rounds: how many rounds, counted from the very first.
        seed: determines, with the algorithm, every bit of the result.
        evaluate_every: rounds between evaluations; round 0 and the last one are always evaluated.
        conditions: faults of network and nodes; none by default.
        sampled_nodes: how many nodes an evaluation looks at, drawn once; at the end all are scored.
        byte_budget: end before all nodes together have sent more than so many bytes; 0: no limit.
        matmul_precision: of float32 matrix products; "highest" is full float32 on every device.
        speeds: of the nodes' machines: records then tell how many virtual seconds the run takes on them.
        start: a run state to continue from (a checkpoint's); consumed. Round 0 or its own round is not evaluated again.
        start_wall_s: seconds spent before ``start``.
        observer: listens, and may stop the run.
        progress: show progress on stderr.

    Returns:
        The result; a diverged or interrupted run keeps all that was measured before.

    Raises:
        InputError: a number out of range, or something else in the place of an argument.
    """
    check_parts(algorithm, conditions, speeds)
    check_counts(rounds, seed, evaluate_every, sampled_nodes, byte_budget)
    check_precision(matmul_precision)
    check_observer(observer, Observer)
    with attended(observer, progress=progress) as heard:
        heard.note(f"compiling {algorithm.name} for {algorithm.problem.n_nodes:,} nodes")
        with begun(heard, algorithm.name, rounds, start):
            heard.compiling()
            began = time.perf_counter()
            program = Program(
                algorithm, seed=seed, conditions=conditions, sampled_nodes=sampled_nodes,
                byte_budget=byte_budget, matmul_precision=matmul_precision, speeds=speeds,
            )  # fmt: skip
            heard.compiled(time.perf_counter() - began)
            if start is not None:
                check_start(program.like, start)
            clock, engine = Stopwatch(start_wall_s), RoundsEngine(program, start)
            stopped = drive(engine, rounds, evaluate_every, heard, clock, begin=start is None)
            wall_s, status = clock.seconds(), engine.status(stopped=stopped)
            heard.finished(engine.run, wall_s)
            scored = {} if stopped else program.score_all(engine.run)
    scores = {name: np.asarray(values) for name, values in scored.items()}
    asked = settings(rounds, seed, evaluate_every, sampled_nodes, byte_budget, matmul_precision)
    return Result(Metrics(engine.records), algorithm, scores, status, engine.done, wall_s, engine.run, asked)


class RoundsEngine:
    """A run in rounds on its way.

    Args:
        program: its compiled programs.
        start: a state to go on from, consumed; None: the first one.

    Attributes:
        run: the state.
        records: of its evaluations.
        done: rounds done.
    """

    def __init__(self, program: Program, start: RunState | None = None) -> None:
        self._program, self._pace = program, Pace()
        self.run = program.start() if start is None else start
        self.records: list[Mapping[str, Any]] = []
        self.done = int(self.run.round)

    @property
    def over(self) -> bool:
        """Whether it diverged or has spent its bytes."""
        return bool(self.run.diverged) or bool(self.run.spent)

    def advance(self, goal: int) -> None:
        """Do some rounds, none beyond round ``goal``."""
        before, began = self.done, time.perf_counter()
        until = min(goal, before + self._pace.rounds())
        self.run = jax.block_until_ready(self._program.advance(self.run, until))
        self.done = int(self.run.round)
        self._pace.took(time.perf_counter() - began, self.done - before)

    def evaluate(self, wall_s: float) -> Mapping[str, Any] | None:
        """Keep a record, unless the models are lost."""
        if bool(self.run.diverged):
            return None
        self.records.append(make_record(self._program, self.run, wall_s))
        return self.records[-1]

    def checkpoint(self) -> RunState:
        """Return the state."""
        return self.run

    def status(self, *, stopped: bool) -> Status:
        """Return how it ended."""
        return ended(self.records, diverged=bool(self.run.diverged), stopped=stopped)


def ended(records: Sequence[Mapping[str, Any]], *, diverged: bool, stopped: bool) -> Status:
    """Return how a run ended of which these are the records."""
    if diverged or (not stopped and lost_in(records) is not None):
        return "diverged"
    return "interrupted" if stopped else "completed"


def make_record(program: Program, run: RunState, wall_s: float) -> dict[str, Any]:
    """Return one evaluation as a flat dict of Python numbers."""
    measured = {name: float(value) for name, value in jax.device_get(program.measure(run)).items()}
    return {
        "round": int(run.round),
        **measured,
        "messages": to_int(run.traffic.messages),
        "bytes_sent": to_int(run.traffic.bytes_sent),
        "metadata_bytes": to_int(run.traffic.metadata_bytes),
        **virtual_seconds(run.clock),
        "wall_s": round(wall_s, 6),
    }


def virtual_seconds(clock: Clock | np.ndarray | None) -> dict[str, float]:
    """Return what a record tells of clocks (n, 2): when the round is over everywhere, and for a node on average."""
    if clock is None:
        return {}
    seconds = to_seconds(clock)
    return {"virtual_s": float(seconds.max()), "virtual_s_mean": float(seconds.mean())}
