"""The events engine: exact asynchrony, stretch by stretch of a schedule, with metrics and a graceful stop between them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from jaxgossip.algorithms.protocol import GossipProtocol
from jaxgossip.core.pytree import leaves_text, register_dataclass
from jaxgossip.core.typing import PyTree
from jaxgossip.core.units import counted
from jaxgossip.schedule import Kind, Source
from jaxgossip.simulation.arguments import check_counts, check_observer, check_precision, check_protocol
from jaxgossip.simulation.events.program import Carried, Events, WaveProgram
from jaxgossip.simulation.events.stretches import Flow
from jaxgossip.simulation.listening.observer import Observer, attended, begun
from jaxgossip.simulation.loop import Stopwatch, drive
from jaxgossip.simulation.metrics import Metrics
from jaxgossip.simulation.program import check_start
from jaxgossip.simulation.results.result import Result, settings
from jaxgossip.simulation.rounds import ended

STRETCH = 2**20
"""A stretch has about so many messages: less than a second of work, and some tens of megabytes of schedule."""


@register_dataclass
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

    def __repr__(self) -> str:
        return f"EventRun({leaves_text(self.state)}, {counted(self.waiting, 'message')} in flight)"

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
    like = jax.eval_shape(Events(protocol, frozenset(Kind), seed=seed, sampled_nodes=1).first)
    flag = jax.ShapeDtypeStruct((), bool)
    sent = jax.eval_shape(protocol.message, like)
    slots = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((waiting, *leaf.shape[1:]), leaf.dtype), sent)
    return EventRun(jax.ShapeDtypeStruct((), np.int32), flag, flag, like, slots, waiting)


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
    progress: bool = False,
) -> Result:
    """Run ``protocol`` on ``schedule`` for ``cycles`` cycles: exactly what one event after the other would give.

    Ctrl-C ends the run between two stretches, as it does in :func:`~jaxgossip.simulation.rounds.simulate`.

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
        observer: listens, and may stop the run; a round is a cycle.
        progress: show progress on stderr.

    Returns:
        The result; a diverged or interrupted run keeps all that was measured before.

    Raises:
        InputError: counts out of range, a schedule of other nodes, or a problem whose rows stand in another order.
    """
    check_protocol(protocol, schedule)
    check_counts(cycles, seed, evaluate_every, sampled_nodes, byte_budget)
    check_precision(matmul_precision)
    check_observer(observer, Observer)
    with attended(observer, progress=progress) as heard:
        heard.note(f"compiling {protocol.name} for {protocol.problem.n_nodes:,} nodes")
        with begun(heard, protocol.name, cycles, start):
            heard.compiling()
            began = time.perf_counter()
            program = WaveProgram(
                protocol, schedule.kinds, seed=seed, sampled_nodes=sampled_nodes, matmul_precision=matmul_precision
            )
            heard.compiled(time.perf_counter() - began)
            clock, engine = Stopwatch(start_wall_s), EventsEngine(program, schedule, cycles, byte_budget)
            if start is not None:
                check_start(program.like, getattr(start, "state", start))
                engine.resume(start)
            stopped = drive(engine, cycles, evaluate_every, heard, clock, begin=start is None)
            wall_s, run = clock.seconds(), engine.checkpoint().settled()
            status = ended(engine.records, diverged=engine.diverged, stopped=stopped)
            heard.finished(run, wall_s)
            scored = {} if stopped else program.score_all(engine.carried.state)
    scores = {name: np.asarray(values) for name, values in scored.items()}
    asked = settings(cycles, seed, evaluate_every, sampled_nodes, byte_budget, matmul_precision)
    return Result(Metrics(engine.records), protocol, scores, status, engine.done, wall_s, run, asked)


class EventsEngine:
    """A run by the nodes' own clocks on its way: its program, its schedule, and what it carries.

    Args:
        program: its compiled programs.
        schedule: who sends to whom, and when.
        cycles: at most so many are done.
        byte_budget: see :func:`simulate_events`.

    Attributes:
        flow: what of the schedule is done.
        carried: models, and copies in flight.
        records: of its evaluations.
        diverged: whether a model became NaN or infinite in the last stretch.
        spent: whether another cycle like the last one would exceed the budget of bytes.
    """

    def __init__(self, program: WaveProgram, schedule: Source, cycles: int, byte_budget: int) -> None:
        self.flow, self.carried = Flow(schedule), program.start()
        self.records: list[Mapping[str, Any]] = []
        self.diverged = self.spent = False
        self._program, self._protocol, self._budget = program, program.protocol, byte_budget
        settle_at = self._protocol.settle_at
        self._settles = cycles if settle_at is None else min(settle_at, cycles)
        # Cycles; how many messages one has is not known yet. Stretches of other lengths are compiled by themselves.
        self._at_a_time = max(1, STRETCH // (16 * schedule.n_nodes))

    @property
    def done(self) -> int:
        """Cycles done."""
        return self.flow.cycle

    @property
    def over(self) -> bool:
        """Whether it diverged or has spent its bytes."""
        return self.diverged or self.spent

    def resume(self, start: EventRun) -> None:
        """Go on from a checkpoint: what was sent before is drawn again, and not executed."""
        self.carried = self._program.resumed(start.state, start.slots)
        self.diverged, self.spent = bool(start.diverged), bool(start.spent)
        before = int(start.round)
        if self._settles < before:
            self.flow.skip(self._settles)
            self._settle()
        self.flow.skip(before - self.done)

    def advance(self, goal: int) -> None:
        """Execute the next stretch, no further than cycle ``goal``."""
        if self.done == self._settles:
            self._settle()
        until = min(goal, self.done + (1 if self._budget else self._at_a_time))
        if self.done < self._settles:
            until = min(until, self._settles)
        sent, stretch = self.flow.tally.models, until - self.done
        work = self.flow.next(stretch)
        self.carried = jax.block_until_ready(self._program.execute(self.carried, work))
        self._at_a_time = max(1, min(2 * stretch, stretch * STRETCH // max(1, work.receiver.size)))
        self.diverged = not self._program.is_finite(self.carried.state)
        after_another = (2 * self.flow.tally.models - sent) * self._protocol.bytes[0]
        self.spent = 0 < self._budget < after_another

    def evaluate(self, wall_s: float) -> Mapping[str, Any] | None:
        """Keep a record, unless the models are lost."""
        if self.diverged:
            return None
        self.records.append(make_record(self._program, self.flow, self.carried, wall_s))
        return self.records[-1]

    def checkpoint(self) -> EventRun:
        """Return what a checkpoint holds; consumed by the next stretch."""
        diverged, spent, (state, slots) = np.bool_(self.diverged), np.bool_(self.spent), self.carried
        return EventRun(np.int32(self.done), diverged, spent, state, slots, self.flow.waiting)

    def _settle(self) -> None:
        """Let nodes call whom they prefer; done again, it changes nothing."""
        if self._protocol.settle_at is not None:
            state, prefers = self._protocol.settle(self.carried.state)
            self.flow.prefer(np.asarray(prefers))
            self.carried = self.carried._replace(state=state)


def make_record(program: WaveProgram, flow: Flow, carried: Carried, wall_s: float) -> dict[str, Any]:
    """Return one evaluation as a flat dict of Python numbers."""
    measured = {name: float(value) for name, value in jax.device_get(program.measure(carried.state)).items()}
    tally, (whole, metadata) = flow.tally, program.protocol.bytes
    return {
        "round": flow.cycle,
        **measured,
        "messages": tally.sent,
        **({"requests": tally.requests} if Kind.REQUEST in flow.kinds else {}),
        "bytes_sent": tally.models * whole,
        "metadata_bytes": tally.models * metadata,
        "delivered": tally.delivered,
        **{f"lost_{fate.name.lower()}": count for fate, count in tally.lost.items()},
        "in_flight": tally.in_flight,
        "virtual_s": flow.cycle * flow.period_s,
        "wall_s": round(wall_s, 6),
    }
