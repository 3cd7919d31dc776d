"""Many runs as one program: a family of runs under ``vmap``, each with its own seed, scalars and data.

Runs form a grid of points × seeds. An array shared along an axis of the grid is stored once along it; other arrays are
stacked. Every draw is a function of (seed, round, purpose, node), so a replica equals the same run on its own, up to rounding.
On a mesh every device executes the program for its own runs, and nothing is exchanged.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgossip.core.counting import to_int
from jaxgossip.core.pytree import Static, partition
from jaxgossip.core.typing import PyTree
from jaxgossip.network import Metering
from jaxgossip.simulation.compiled import Compiler, Program, Shapes, Vmapped, compile_together
from jaxgossip.simulation.layout import RunLayout, Stacks, most_at_once
from jaxgossip.simulation.listening.observer import Observer, announced
from jaxgossip.simulation.loop import Pace, Status, Stopwatch, drive
from jaxgossip.simulation.program import ProgramSpec, Run, RunState
from jaxgossip.simulation.results.endings import final_status
from jaxgossip.simulation.rounds import joules, virtual_seconds

STATES_HELD = 8
"""Memory of a replica as a multiple of its state: old and new state, gradients, temporaries of mixing …"""
BLOCK_BYTES = 2**25
"""… plus at most this many bytes of temporary samples and scores (see :mod:`jaxgossip.learning.problem`)."""


@dataclass
class Replica:
    """The outcome of one run of a family.

    Attributes:
        records: its evaluations.
        status: as in :class:`~jaxgossip.simulation.results.result.Result`.
        rounds: rounds completed.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    status: Status = "completed"
    rounds: int = 0


class FamilyState(NamedTuple):
    """The progress of a family: everything needed to continue from there.

    Attributes:
        runs: the states; every leaf has shape (points, seeds, …), or (rows, columns, …) of the layout.
        records: the evaluations of each run, point by point.
        layout: the places of the states; None if they are in the order of points and seeds.
    """

    runs: RunState
    records: list[list[dict[str, Any]]]
    layout: RunLayout | None = None

    def settled(self) -> "FamilyState":
        """Return the progress with the states in the order of points and seeds, for checkpoints."""
        return self if self.layout is None else FamilyState(self.layout.gathered(self.runs), self.records)


Restore = Callable[[RunState], tuple[FamilyState, float] | None]
"""Function from the shapes of a family's states to (its stored progress, seconds spent so far); None if none is stored."""


@dataclass(frozen=True, eq=False)
class Family:
    """Runs that share compiled programs, since they differ only in the values of device arrays.

    Attributes:
        specs: the programs of the first run.
        statics: for each program, the static part of its input, which all runs share.
        members: index of each run in the sequence that was divided into families.
        arrays: for each member and program, the arrays of the input.
        meterings: the account of energy of each member; None if it keeps none.
    """

    specs: tuple[ProgramSpec, ...]
    statics: tuple[Static, ...]
    members: list[int] = field(default_factory=list)
    arrays: list[list[list[jax.Array]]] = field(default_factory=list)
    meterings: list[Metering | None] = field(default_factory=list)

    @property
    def like(self) -> RunState:
        """Shapes and dtypes of the state of one run."""
        return self.specs[1].example[0]

    @property
    def name(self) -> str:
        """Name of the first run's algorithm."""
        run = self.specs[1].inputs
        assert isinstance(run, Run)
        return run.algorithm.name

    def split_to_fit(self, mesh: Mesh | None = None) -> list["Family"]:
        """Return the family split into parts, each of which fits into half of the available memory of each device."""
        size = most_at_once(bytes_of_run(self.like), mesh)
        return [
            Family(self.specs, self.statics, self.members[part], self.arrays[part], self.meterings[part])
            for part in (slice(start, start + size) for start in range(0, len(self.members), size))
        ]


def bytes_of_run(like: PyTree) -> int:
    """Return an estimate of the memory that a run takes, in bytes, from the shapes and dtypes of its state."""
    state_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(like))
    return STATES_HELD * state_bytes + min(BLOCK_BYTES, 64 * state_bytes)


def families(runs: Sequence[Run]) -> list[Family]:
    """Divide runs into families, ordered by their first members."""
    by_key: dict[Any, Family] = {}
    for number, run in enumerate(runs):
        specs = run.programs()
        partitions = [partition(spec.inputs) for spec in specs]
        arrays, statics = [arrays for arrays, _ in partitions], tuple(static for _, static in partitions)
        key = statics, tuple(Shapes.of(leaves) for leaves in arrays)
        if key not in by_key:
            by_key[key] = Family(specs, statics)
        by_key[key].members.append(number)
        by_key[key].arrays.append(arrays)
        by_key[key].meterings.append(run.metering)
    return list(by_key.values())


class Replicas:
    """The compiled programs of a family of runs.

    Args:
        family: the runs.
        layout: the places of the runs.
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.

    Attributes:
        layout: the places of the runs.
        like: shapes and dtypes of the states in the order of points and seeds, as checkpoints have them.
        programs: the first states, rounds, and an evaluation.
        meterings: the accounts of energy of the runs, point by point.
    """

    def __init__(self, family: Family, layout: RunLayout, matmul_precision: str = "highest") -> None:
        self.layout = layout
        self.meterings = [family.meterings[place] for place in layout.order]
        self.like, placed = (_many(shape, family.like) for shape in (layout.grid.shape, layout.places.shape))
        compiler, stacks = Compiler(matmul_precision), Stacks(layout)
        programs: list[Program] = []
        self._arrays: list[list[jax.Array]] = []
        for number, spec in enumerate(family.specs):
            inputs = [arrays[number] for arrays in family.arrays]
            stacked = [stacks.of([run[place] for run in inputs]) for place in range(len(inputs[0]))]
            example = (placed, *spec.example[1:]) if spec.example else ()
            axes = tuple(tuple(axes[level] for _, axes in stacked) for level in range(2))
            vmapped = Vmapped(layout.places.shape, axes, (0, None)[: len(example)], layout.mesh)
            self._arrays.append([array for array, _ in stacked])
            programs.append(
                compiler.lower(
                    spec.function,
                    family.statics[number],
                    self._arrays[-1],
                    example,
                    donate=spec.donate,
                    vmapped=vmapped,
                )
            )
        compile_together(programs)
        self.programs = tuple(programs)
        self._first, self._rounds, self._measured = (program.call for program in programs)

    def start(self) -> RunState:
        """Return the states before the first round; every leaf has shape (rows, columns, …)."""
        return self._first(self._arrays[0])

    def advance(self, runs: RunState, until: int) -> RunState:
        """Return the runs after round ``until``, or each where it ended earlier; ``runs`` is donated."""
        return self._rounds(self._arrays[1], runs, np.int32(until))

    def measure(self, runs: RunState) -> dict[str, jax.Array]:
        """Return the scalars of one evaluation, each of shape (rows, columns)."""
        return self._measured(self._arrays[2], runs)


def simulate_family(
    family: Family,
    points: Sequence[Any],
    rounds: int,
    *,
    evaluate_every: int = 10,
    observer: Observer | None = None,
    matmul_precision: str = "highest",
    restore: Restore | None = None,
    mesh: Mesh | None = None,
) -> list[Replica]:
    """Run a family for ``rounds`` rounds.

    Args:
        family: the runs.
        points: for each run, a hashable value that is equal for runs that differ only in their seeds.
        rounds: number of rounds.
        evaluate_every: rounds between evaluations; round 0 and the last round are always evaluated.
        observer: receives records that are means over the runs, and states that are a :class:`FamilyState`; ``finished`` is
            called only if it stops the runs.
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.
        restore: returns stored progress to continue from.
        mesh: the devices over which the runs are spread, each wholly on one of them; None for the default device alone.

    Returns:
        The outcome of each run, in the family's order. A run that diverges keeps its records, and the others continue. If the
        observer stops the family, runs that had neither diverged nor exhausted their byte budget are interrupted.

    Raises:
        InputError: a device of the mesh belongs to another process.
    """
    observer, layout = observer or Observer(), RunLayout.of(points, mesh)
    with announced(observer, family.name, rounds):
        observer.compiling()
        began = time.perf_counter()
        program = Replicas(family, layout, matmul_precision)
        observer.compiled(time.perf_counter() - began)
        restored = None if restore is None else restore(program.like)
        engine, clock = ReplicasEngine(program, restored and restored[0]), Stopwatch(restored[1] if restored else 0.0)
        stopped = drive(engine, rounds, evaluate_every, observer, clock, begin=restored is None)
        if stopped:
            observer.finished(engine.checkpoint(), clock.seconds())
    replicas = engine.replicas(stopped=stopped)
    ordered: list[Replica] = [Replica()] * len(replicas)
    for place, replica in zip(layout.order, replicas, strict=True):
        ordered[place] = replica
    return ordered


class ReplicasEngine:
    """A family of runs, as the host loop drives it.

    Args:
        program: the compiled programs of the family.
        start: progress to continue from; None for the first states.

    Attributes:
        runs: the current states.
        records: the evaluations of each run.
        done: rounds completed by the runs that have not ended early.
    """

    def __init__(self, program: Replicas, start: FamilyState | None = None) -> None:
        self._program, self._pace, self._slots = program, Pace(), program.layout.slots
        if start is None:
            self.runs, self.records = program.start(), [[] for _ in self._slots]
        else:
            self.runs, self.records = program.layout.spread(start.runs), start.records
        self.done = int(_flat(self.runs.round).max())

    @property
    def over(self) -> bool:
        """Whether every run has diverged or exhausted its byte budget."""
        return bool((_flat(self.runs.diverged) | _flat(self.runs.spent)).all())

    def advance(self, goal: int) -> None:
        """Advance by one chunk, at most to round ``goal``; runs that have ended stay as they are."""
        until, began = min(goal, self.done + self._pace.rounds()), time.perf_counter()
        self.runs = jax.block_until_ready(self._program.advance(self.runs, until))
        self._pace.update(time.perf_counter() - began, until - self.done)
        self.done = until

    def evaluate(self, wall_s: float) -> Mapping[str, Any] | None:
        """Append a record for every run that has not diverged or been recorded at its current round; return their mean.

        The ``wall_s`` of a run is the family's divided by the number of runs.
        """
        runs, share = self.runs, wall_s / len(self.records)
        measured = {name: self._by_run(values) for name, values in jax.device_get(self._program.measure(runs)).items()}
        rounds, diverged = self._by_run(runs.round), self._by_run(runs.diverged)
        traffic = {
            name: self._by_run(getattr(runs.traffic, name)) for name in ("messages", "bytes_sent", "metadata_bytes")
        }
        clocks = None if runs.clock is None else self._by_run(runs.clock)
        meters = None if runs.meter is None else jax.tree.map(self._by_run, runs.meter)
        new: list[Mapping[str, Any]] = []
        for place, records in enumerate(self.records):
            if diverged[place] or (records and records[-1]["round"] == rounds[place]):
                continue
            record = {"round": int(rounds[place])} | {name: float(values[place]) for name, values in measured.items()}
            record |= {name: to_int(counts[place]) for name, counts in traffic.items()}
            clock, meter = jax.tree.map(lambda values, place=place: values[place], (clocks, meters))
            record |= virtual_seconds(clock) | joules(self._program.meterings[place], meter, clock)
            record["wall_s"] = round(share, 6)
            records.append(record)
            new.append(record)
        return {name: float(np.mean([record[name] for record in new])) for name in new[0]} if new else None

    def checkpoint(self) -> FamilyState:
        """Return the progress of the family, whose states the next chunk consumes."""
        return FamilyState(self.runs, self.records, self._program.layout)

    def replicas(self, *, stopped: bool = False) -> list[Replica]:
        """Return the outcome of each run; if ``stopped``, runs that had not ended are interrupted."""
        leaves = (self.runs.round, self.runs.diverged, self.runs.spent)
        ends = zip(self.records, *(self._by_run(leaf) for leaf in leaves), strict=True)
        return [
            Replica(records, final_status(records, diverged=bool(diverged), stopped=stopped and not spent), int(done))
            for records, done, diverged, spent in ends
        ]

    def _by_run(self, values: Any) -> np.ndarray:
        """Return the values of the runs, point by point, of those of all places, (rows, columns, …)."""
        values = np.asarray(values)
        return values.reshape(-1, *values.shape[2:])[self._slots]


def _many(shape: tuple[int, ...], like: RunState) -> RunState:
    """Return the shapes and dtypes of the states of many runs."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*shape, *leaf.shape), leaf.dtype), like)


def _flat(values: Any) -> np.ndarray:
    return np.asarray(values).reshape(-1)
