"""The events engine: exact asynchronous execution of a schedule, one segment at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxgossip.algorithms.protocols.conditions import under_conditions
from jaxgossip.algorithms.protocols.protocol import GossipProtocol
from jaxgossip.core.pytree import leaves_text, register_dataclass, static_field
from jaxgossip.core.typing import PyTree
from jaxgossip.core.units import counted
from jaxgossip.network import Conditions, Energy
from jaxgossip.schedule import Kind, Source
from jaxgossip.simulation.arguments import check_conditions, check_observer, check_protocol, settings
from jaxgossip.simulation.checks import check_start
from jaxgossip.simulation.events.metered import MeteredSource
from jaxgossip.simulation.events.program import Carried, Events, WaveProgram
from jaxgossip.simulation.events.segments import MessageStream, Standing, WavePlan
from jaxgossip.simulation.events.waiting import Waiting
from jaxgossip.simulation.listening.observer import Observer
from jaxgossip.simulation.loop import next_goal
from jaxgossip.simulation.results.result import Result
from jaxgossip.simulation.single import run_single

SEGMENT_MESSAGES = 2**20
"""Target number of messages per segment: less than a second of work, and tens of megabytes of schedule."""


@register_dataclass
@dataclass(frozen=True)
class EventRun:
    """The state of a run by events, as stored in checkpoints; the schedule is not part of it, since it can be redrawn.

    Attributes:
        round: () int32, cycles completed.
        diverged: () bool, whether a model became NaN or infinite in the last segment.
        spent: () bool, whether another cycle like the last one would exceed the byte budget.
        state: the protocol's state.
        slots: copies of models; once :meth:`settled`, those in flight, in the order of their messages' numbers.
        waiting: number of copies in flight.
        in_flight: the messages whose copies wait in slots, as :meth:`settled` needs them; None once it is.
    """

    round: Any
    diverged: Any
    spent: Any
    state: PyTree
    slots: PyTree
    waiting: int = static_field()
    in_flight: Waiting | None = static_field(default=None)  # noqa: RUF009 - it is a field

    def __repr__(self) -> str:
        return f"EventRun({leaves_text(self.state)}, {counted(self.waiting, 'message')} in flight)"

    def settled(self) -> "EventRun":
        """Return the run with its slots on the host, those of the copies in flight alone, in the order of their numbers."""
        which = slice(self.waiting) if self.in_flight is None else self.in_flight.all().slot
        slots = jax.tree.map(lambda leaf: np.asarray(leaf)[which], self.slots)
        return replace(self, slots=slots, in_flight=None)

    @property
    def metadata(self) -> dict[str, Any]:
        """Checkpoint metadata from which the shapes of the arrays follow (see :func:`run_shapes`)."""
        return {"waiting": self.waiting}


def run_shapes(protocol: GossipProtocol, waiting: int, seed: int = 0) -> EventRun:
    """Return the shapes and dtypes of a run with ``waiting`` copies in flight, without computing anything."""
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
    conditions: Conditions | None = None,
    energy: Energy | None = None,
    start: EventRun | None = None,
    start_wall_s: float = 0.0,
    observer: Observer | None = None,
    progress: bool = False,
) -> Result:
    """Run ``protocol`` on ``schedule`` for ``cycles`` cycles, with the result of executing one event after another.

    Ctrl-C stops the run after the current segment, as in :func:`~jaxgossip.simulation.rounds.simulate`.

    Args:
        protocol: what nodes send, and how they process messages.
        schedule: which node sends to which, and when.
        cycles: total number of cycles, including those before ``start``.
        seed: seed of all random draws; together with protocol and schedule it determines every bit of the result.
        evaluate_every: cycles between evaluations; cycle 0 and the last cycle are always evaluated.
        sampled_nodes: maximum number of nodes per evaluation, drawn once per run; all nodes are scored at the end.
        byte_budget: the run ends before all nodes together have sent more than this many bytes; 0 for no limit.
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.
        conditions: lies, noise and clipping of messages, and stragglers (see
            :func:`~jaxgossip.algorithms.protocols.conditions.under_conditions`); none by default.
        energy: what the nodes' machines spend, in the local work of one update; if given, records contain the joules of all
            nodes together.
        start: a run to continue from, such as a checkpoint's; donated. Its cycle is not evaluated again.
        start_wall_s: wall-clock seconds spent before ``start``.
        observer: receives records and progress, and may stop the run; its rounds are cycles.
        progress: whether to show progress on stderr.

    Returns:
        The result. A diverged or interrupted run keeps all records up to its end.

    Raises:
        InputError: a number is out of range, protocol and schedule do not fit together, the rows of the problem are
            reordered, conditions do not apply, ``energy`` is of another number of nodes or has batteries, or ``start`` does not
            fit this run.
        ArgumentTypeError: an argument is of the wrong type.
    """
    check_protocol(protocol, schedule, energy)
    check_conditions("simulate_events", conditions)
    protocol = under_conditions(protocol, conditions)
    asked = settings(
        "simulate_events", cycles=cycles, seed=seed, evaluate_every=evaluate_every, sampled_nodes=sampled_nodes,
        byte_budget=byte_budget, matmul_precision=matmul_precision,
    )  # fmt: skip
    check_observer(observer, Observer)
    compiled = partial(
        WaveProgram, protocol, schedule.kinds, seed=seed, sampled_nodes=sampled_nodes, matmul_precision=matmul_precision
    )
    return run_single(
        protocol, asked, compiled,
        lambda program: EventsEngine(program, schedule, cycles, evaluate_every, byte_budget, start, energy),
        start=start, start_wall_s=start_wall_s, observer=observer, progress=progress,
    )  # fmt: skip


class EventsEngine:
    """A run by events, as the host loop drives it; while the device executes a segment, the host plans the next one.

    Args:
        program: the compiled programs of the run.
        schedule: which node sends to which, and when.
        cycles: total number of cycles.
        evaluate_every: cycles between evaluations.
        byte_budget: see :func:`simulate_events`.
        start: the run to continue from, donated; None for the initial state.
        energy: what the nodes' machines spend; None to keep no account of it.

    Raises:
        InputError: ``start`` does not fit this run.
        ArgumentTypeError: ``start`` is not the state of a run.

    Attributes:
        standing: how far the schedule has been executed.
        carried: the protocol's state and the copies in flight.
        records: the evaluations so far.
        diverged: whether a model became NaN or infinite in the last segment.
        spent: whether another cycle like the last one would exceed the byte budget.
    """

    def __init__(
        self,
        program: WaveProgram,
        schedule: Source,
        cycles: int,
        evaluate_every: int,
        byte_budget: int,
        start: EventRun | None = None,
        energy: Energy | None = None,
    ) -> None:
        if start is not None:
            check_start(program.like, getattr(start, "state", start))
        self._energy, self._meter = energy, None if energy is None else MeteredSource(schedule)
        self.records: list[Mapping[str, Any]] = []
        self.diverged = self.spent = False
        self._stream = MessageStream(self._meter or schedule)
        self._program, self._protocol, self._budget = program, program.protocol, byte_budget
        self._goals = partial(next_goal, rounds=cycles, evaluate_every=evaluate_every)
        settle_at = self._protocol.settle_at
        self._settles = cycles if settle_at is None else min(settle_at, cycles)
        # A first guess: the number of messages per cycle is not known yet.
        self._segment_cycles = max(1, SEGMENT_MESSAGES // (16 * schedule.n_nodes))
        self._next: WavePlan | None = None
        if start is None:
            self.carried = program.start()
        else:
            self._resume(start)
        self.standing = self._stream.standing

    @property
    def done(self) -> int:
        """Cycles completed."""
        return self.standing.cycle

    @property
    def over(self) -> bool:
        """Whether the run has diverged or exhausted its byte budget."""
        return self.diverged or self.spent

    def advance(self, goal: int) -> None:
        """Execute the next segment, at most to cycle ``goal``, which is that of :func:`next_goal`."""
        if self.done == self._settles:
            self._settle()
        plan = self._plan() if self._next is None else self._next
        sent = self.standing.tally.models
        self.standing = self._stream.standing
        assert self.done <= goal
        carried = self._program.execute(self.carried, plan)
        finite = self._program.is_finite(carried.state)
        self._count()
        # The device has begun; meanwhile the next segment is planned, unless it depends on what comes of this one.
        last = self.done in (self._goals(self.done), self._settles)
        self._next = None if last else self._plan()
        self.carried, self.diverged = jax.block_until_ready(carried), not bool(finite)
        after_another = (2 * self.standing.tally.models - sent) * self._protocol.bytes[0]
        self.spent = 0 < self._budget < after_another

    def evaluate(self, wall_s: float) -> Mapping[str, Any] | None:
        """Append and return a record; None if the run has diverged."""
        if self.diverged:
            return None
        record = make_record(self._program, self._stream, self.standing, self.carried, wall_s)
        if self._meter is not None and self._energy is not None:
            joules = self._meter.record(self._protocol, self._energy, record["virtual_s"])
            record = record | joules | {"wall_s": record.pop("wall_s")}
        self.records.append(record)
        return record

    def checkpoint(self) -> EventRun:
        """Return the run's state, which the next segment consumes."""
        diverged, spent, (state, slots) = np.bool_(self.diverged), np.bool_(self.spent), self.carried
        in_flight = self.standing.in_flight
        return EventRun(np.int32(self.done), diverged, spent, state, slots, len(in_flight), in_flight)

    def final(self) -> EventRun:
        """Return the last state, without unused slots."""
        return self.checkpoint().settled()

    def score_all(self) -> dict[str, jax.Array]:
        """Return every measure of every node, (n,) each."""
        return self._program.score_all(self.carried.state)

    def _plan(self) -> WavePlan:
        """Return the plan of the next segment."""
        done = self._stream.standing.cycle
        until = min(self._goals(done), done + (1 if self._budget else self._segment_cycles))
        if done < self._settles:
            until = min(until, self._settles)
        plan, cycles = self._stream.next(until - done), until - done
        self._segment_cycles = max(1, min(2 * cycles, cycles * SEGMENT_MESSAGES // max(1, plan.receiver.size)))
        return plan

    def _resume(self, start: EventRun) -> None:
        """Continue from a checkpoint; messages sent before it are redrawn but not executed."""
        start = start if start.in_flight is None else start.settled()
        self.carried = self._program.resumed(start.state, start.slots)
        self.diverged, self.spent = bool(start.diverged), bool(start.spent)
        before = int(start.round)
        if self._settles < before:
            self._stream.skip(self._settles)
            self._count()
            self._settle()
        self._stream.skip(before - self._stream.standing.cycle)
        self._count()

    def _count(self) -> None:
        """Count what has been sent and has arrived up to where the schedule has been executed."""
        if self._meter is not None:
            self._meter.count(self._stream.standing.cycle * self._stream.period_s)

    def _settle(self) -> None:
        """Let nodes call the peers that they prefer from now on; idempotent."""
        if self._protocol.settle_at is not None:
            state, prefers = self._protocol.settle(self.carried.state)
            self._stream.prefer(np.asarray(prefers))
            if self._meter is not None:
                self._meter.settle()
            self.carried = self.carried._replace(state=state)


def make_record(
    program: WaveProgram, stream: MessageStream, standing: Standing, carried: Carried, wall_s: float
) -> dict[str, Any]:
    """Evaluate a run and return the record, a flat dict of Python numbers."""
    measured = {name: float(value) for name, value in jax.device_get(program.measure(carried.state)).items()}
    tally, (whole, metadata) = standing.tally, program.protocol.bytes
    return {
        "round": standing.cycle,
        **measured,
        **{f"liars_in_{name}": share for name, share in stream.liar_shares(standing.cycle).items()},
        "messages": tally.sent,
        **({"requests": tally.requests} if Kind.REQUEST in stream.kinds else {}),
        "bytes_sent": tally.models * whole,
        "metadata_bytes": tally.models * metadata,
        "delivered": tally.delivered,
        **{f"lost_{fate.name.lower()}": count for fate, count in tally.lost.items()},
        "in_flight": tally.in_flight,
        "virtual_s": standing.cycle * stream.period_s,
        "wall_s": round(wall_s, 6),
    }
