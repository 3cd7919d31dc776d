"""The rounds engine: a host loop over one compiled program, with progress, metrics and a graceful stop between chunks."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import numpy as np

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.core.counting import to_int
from jaxgossip.core.typing import PyTree, Rows
from jaxgossip.network import Conditions, Speeds
from jaxgossip.network.wallclock import Clock, to_seconds
from jaxgossip.simulation.arguments import check_counts, check_observer, check_parts, check_precision
from jaxgossip.simulation.metrics import Metrics, lost_in
from jaxgossip.simulation.program import Program, RunState, by_node, check_start

CHUNK_S = 1.0
"""A chunk aims at this many seconds: progress moves, and a stop is prompt."""
CHUNK_ROUNDS = 4
"""Long rounds come at least so many a chunk, for every chunk takes fresh scratch memory, as large as all models …"""
MOST_CHUNK_S = 5.0
"""… but no more than last this long."""

Status = Literal["completed", "diverged", "interrupted"]


class Observer:
    """What a caller of :func:`simulate` may listen to; every method does nothing until it is overridden."""

    def compiling(self) -> None:
        """The programs are about to be compiled."""

    def compiled(self, seconds: float) -> None:
        """They were, in so many seconds."""

    def advanced(self, rounds_done: int) -> None:
        """A chunk is done."""

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """An evaluation was made."""

    def chunk(self, run: Any, wall_s: float) -> None:
        """The state after a chunk, to be saved or left; it must not be kept, the next chunk consumes it."""

    def finished(self, run: Any, wall_s: float) -> None:
        """Rounds are over; the state at the end, before all nodes are scored; it must not be kept."""

    def should_stop(self) -> bool:
        """Say whether to end the run here, between two chunks."""
        return False


@dataclass(frozen=True)
class Result:
    """What a run gave.

    Attributes:
        metrics: records of all evaluations.
        algorithm: what ran.
        node_scores: every measurement at the end for all nodes, (n,) NumPy each; empty if interrupted.
        status: completed, diverged (a model became NaN or infinite in round ``rounds``, or nothing that is measured of the
            models is finite any more) or interrupted.
        rounds: rounds done; fewer than asked for where it diverged, was interrupted, or its bytes were spent.
        wall_s: seconds of rounds and evaluations, without compilation.
        run: the whole run state, to be continued from, in rows as the problem orders them.
    """

    metrics: Metrics
    algorithm: Algorithm | GossipProtocol
    node_scores: Mapping[str, np.ndarray]
    status: Status
    rounds: int
    wall_s: float
    run: Any

    def __repr__(self) -> str:
        scores = ", ".join(self.node_scores) or "none"
        return (
            f"Result({self.algorithm.name}: {self.status} after {self.rounds:,} rounds in {self.wall_s:.3g} s; "
            f"{len(self.metrics)} evaluations, scores of nodes: {scores})"
        )

    @cached_property
    def state(self) -> PyTree:
        """The algorithm's state at the end, node by node."""
        return by_node(self.run.state, self.algorithm.problem.order)

    @cached_property
    def x(self) -> Rows:
        """(n, p) models at the end, node by node."""
        return self.algorithm.models(self.state)

    @cached_property
    def virtual_s(self) -> np.ndarray | None:
        """(n,) float64 virtual seconds at the end, node by node; None if no time was kept."""
        if self.run.clock is None:
            return None
        seconds, order = to_seconds(self.run.clock), self.algorithm.problem.order
        return seconds if order is None else seconds[order.rows]


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
) -> Result:
    """Run ``algorithm`` for ``rounds`` rounds.

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
        observer: listens.

    Returns:
        The result; a diverged or interrupted run keeps all that was measured before.

    Raises:
        InputError: a number out of range, or something else in the place of an argument.
    """
    check_parts(algorithm, conditions, speeds)
    check_counts(rounds, seed, evaluate_every, sampled_nodes, byte_budget)
    check_precision(matmul_precision)
    check_observer(observer, Observer)
    observer = observer or Observer()
    observer.compiling()
    began = time.perf_counter()
    program = Program(
        algorithm, seed=seed, conditions=conditions, sampled_nodes=sampled_nodes,
        byte_budget=byte_budget, matmul_precision=matmul_precision, speeds=speeds,
    )  # fmt: skip
    observer.compiled(time.perf_counter() - began)

    clock = Stopwatch(start_wall_s)
    records: list[Mapping[str, Any]] = []

    def evaluate(run: RunState) -> None:
        records.append(make_record(program, run, clock.seconds()))
        observer.evaluated(records[-1])

    if start is None:
        run = program.start()
        evaluate(run)
    else:
        check_start(program.like, start)
        run = start
    done, seconds_a_round, status = int(run.round), None, "completed"
    while done < rounds and not bool(run.diverged) and not bool(run.spent):
        if observer.should_stop():
            status = "interrupted"
            break
        goal = min(rounds, done - done % evaluate_every + evaluate_every)
        until = min(goal, done + rounds_of_a_chunk(seconds_a_round))
        began = time.perf_counter()
        run = jax.block_until_ready(program.advance(run, until))
        seconds_a_round = (time.perf_counter() - began) / max(1, int(run.round) - done)
        done = int(run.round)
        observer.advanced(done)
        if not bool(run.diverged) and (done == goal or bool(run.spent)):
            evaluate(run)
        observer.chunk(run, clock.seconds())
    if bool(run.diverged) or (status == "completed" and lost_in(records) is not None):
        status = "diverged"
    wall_s = clock.seconds()
    observer.finished(run, wall_s)
    scored = {} if status == "interrupted" else program.score_all(run)
    scores = {name: np.asarray(values) for name, values in scored.items()}
    return Result(Metrics(records), algorithm, scores, status, done, wall_s, run)


def rounds_of_a_chunk(seconds_a_round: float | None) -> int:
    """Return how many rounds to do at a time; one while nobody knows how long it takes."""
    if seconds_a_round is None:
        return 1
    seconds = max(seconds_a_round, 1e-9)
    return max(1, int(CHUNK_S / seconds), min(CHUNK_ROUNDS, int(MOST_CHUNK_S / seconds)))


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


class Stopwatch:
    """Seconds since it was made, plus those spent before."""

    def __init__(self, before: float) -> None:
        self._began = time.perf_counter() - before

    def seconds(self) -> float:
        """Return them."""
        return time.perf_counter() - self._began
