"""The events engine: exact asynchrony, stretch by stretch of a schedule, with metrics and a graceful stop between them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from jaxgossip.algorithms.protocol import GossipProtocol
from jaxgossip.errors import InputError
from jaxgossip.network.schedule.messages import Kind
from jaxgossip.simulation.flow import Flow, Source, Work
from jaxgossip.simulation.metrics import Metrics
from jaxgossip.simulation.rounds import Clock, Observer, Result, Status, check_counts
from jaxgossip.simulation.waving import Carried, WaveProgram
from jaxgossip.typing import PyTree

STRETCH = 2**20
"""A stretch has about so many messages: less than a second of work, and some tens of megabytes of schedule."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EventRun:
    """Everything a run carries, and all that a checkpoint holds: the schedule is drawn again.

    Attributes:
        round: int32, cycles done.
        diverged: bool, a model became NaN or infinite in the last stretch done.
        spent: bool, another cycle like the last one would exceed the budget of bytes.
        state: the protocol's state.
        slots: copies in flight, in the order of their messages' numbers; more slots than copies until it is ``settled``.
        waiting: how many copies are in flight.
    """

    round: Any
    diverged: Any
    spent: Any
    state: PyTree
    slots: PyTree
    waiting: int = field(metadata={"static": True})

    def settled(self) -> "EventRun":
        """Return the run with all that it needs on the host, and nothing else."""
        slots = jax.tree.map(lambda leaf: np.asarray(leaf)[: self.waiting], self.slots)
        return replace(self, slots=slots)

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint must tell before its shapes are known."""
        return {"waiting": self.waiting}


def run_shapes(protocol: GossipProtocol, waiting: int, seed: int = 0) -> EventRun:
    """Return the shapes and dtypes of a run with so many copies in flight; nothing is computed."""
    program = WaveProgram(protocol, frozenset(Kind), seed=seed)
    flag = jax.ShapeDtypeStruct((), bool)
    slots = jax.eval_shape(lambda: program.empty_slots(waiting))
    return EventRun(jax.ShapeDtypeStruct((), np.int32), flag, flag, program.like, slots, waiting)


def simulate_events(
    protocol: GossipProtocol,
    schedule: Source,
    cycles: int,
    *,
    seed: int = 0,
    evaluate_every: int = 10,
    sampled_nodes: int = 1000,
    byte_budget: int = 0,
    matmul_precision: str = "highest",
    start: EventRun | None = None,
    start_wall_s: float = 0.0,
    observer: Observer | None = None,
) -> Result:
    """Run ``protocol`` on ``schedule`` for ``cycles`` cycles: exactly what one event after the other would give.

    Args:
        protocol: what nodes send, and what a message does.
        schedule: who sends to whom, and when.
        cycles: how many, counted from the very first.
        seed: determines, with protocol and schedule, every bit of the result.
        evaluate_every: cycles between evaluations; cycle 0 and the last one are always evaluated.
        sampled_nodes: how many nodes an evaluation looks at, drawn once; at the end all are scored.
        byte_budget: end before all nodes together have sent more than so many bytes; 0: no limit.
        matmul_precision: of float32 matrix products; "highest" is full float32 on every device.
        start: a run to continue from (a checkpoint's); consumed. Its own cycle is not evaluated again.
        start_wall_s: seconds spent before ``start``.
        observer: listens; a round is a cycle.

    Returns:
        The result; a diverged or interrupted run keeps all that was measured before.

    Raises:
        InputError: counts out of range, a schedule of other nodes, or a problem whose rows stand in another order.
    """
    check_counts(rounds=(cycles, 0), evaluate_every=(evaluate_every, 1), sampled_nodes=(sampled_nodes, 1))
    _check_fit(protocol, schedule)
    observer = observer or Observer()
    observer.compiling()
    began = time.perf_counter()
    program = WaveProgram(
        protocol, schedule.kinds, seed=seed, sampled_nodes=sampled_nodes, matmul_precision=matmul_precision
    )
    observer.compiled(time.perf_counter() - began)
    clock, flow = Clock(start_wall_s), Flow(schedule)
    records: list[Mapping[str, Any]] = []

    def evaluate() -> None:
        records.append(make_record(program, flow, carried, clock.seconds()))
        observer.evaluated(records[-1])

    def now() -> EventRun:
        flags = np.bool_(diverged), np.bool_(spent)
        return EventRun(np.int32(flow.cycle), *flags, carried.state, carried.slots, flow.waiting)

    diverged = spent = False
    status: Status = "completed"
    if start is None:
        carried = program.start()
        evaluate()
    else:
        carried, diverged, spent = program.resumed(start.state, start.slots), bool(start.diverged), bool(start.spent)
        flow.skip(int(start.round))
    stretch = 1
    while flow.cycle < cycles and not diverged and not spent:
        if observer.should_stop():
            status = "interrupted"
            break
        goal = min(cycles, flow.cycle - flow.cycle % evaluate_every + evaluate_every)
        until, sent = min(goal, flow.cycle + (1 if byte_budget else stretch)), flow.tally.models
        work = flow.next(until - flow.cycle)
        carried = jax.block_until_ready(program.execute(carried, work))
        stretch = _cycles_of_a_stretch(work, stretch)
        diverged = not program.is_finite(carried.state)
        bytes_a_message = protocol.bytes[0]
        spent = 0 < byte_budget < (2 * flow.tally.models - sent) * bytes_a_message
        observer.advanced(flow.cycle)
        if not diverged and (flow.cycle == goal or spent):
            evaluate()
        observer.chunk(now(), clock.seconds())
    status = "diverged" if diverged else status
    wall_s, run = clock.seconds(), now().settled()
    observer.finished(run, wall_s)
    scored = {} if status == "interrupted" else program.score_all(carried.state)
    scores = {name: np.asarray(values) for name, values in scored.items()}
    return Result(Metrics(records), protocol, scores, status, flow.cycle, wall_s, run)


def make_record(program: WaveProgram, flow: Flow, carried: Carried, wall_s: float) -> dict[str, Any]:
    """Return one evaluation as a flat dict of Python numbers."""
    measured = {name: float(value) for name, value in jax.device_get(program.measure(carried.state)).items()}
    tally, (whole, metadata) = flow.tally, program.protocol.bytes
    return {
        "round": flow.cycle,
        **measured,
        "messages": tally.sent,
        "bytes_sent": tally.models * whole,
        "metadata_bytes": tally.models * metadata,
        "delivered": tally.delivered,
        **{f"lost_{fate.name.lower()}": count for fate, count in tally.lost.items()},
        "in_flight": tally.in_flight,
        "virtual_s": flow.cycle * flow.period_s,
        "wall_s": round(wall_s, 6),
    }


def _cycles_of_a_stretch(work: Work, cycles: int) -> int:
    """Return how many cycles the next stretch has, by what this one had."""
    done = max(1, work.receiver.size)
    return max(1, min(2 * cycles, cycles * STRETCH // done))


def _check_fit(protocol: GossipProtocol, schedule: Source) -> None:
    problem = protocol.problem
    if schedule.n_nodes != problem.n_nodes:
        raise InputError(f"a schedule of {schedule.n_nodes:,} nodes does not fit a problem of {problem.n_nodes:,}")
    if problem.order is not None:
        raise InputError(
            "the problem has its nodes in other rows than their numbers", hint="make it without an order: order=None"
        )
