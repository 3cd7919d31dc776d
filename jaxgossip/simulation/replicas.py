"""Many runs as one program: a family of runs under ``vmap``, each with its own seed, scalars and data.

Runs form a grid of points × seeds. An array shared along an axis of the grid is stored once along it; other arrays are
stacked. Every draw is a function of (seed, round, purpose, node), so a replica equals the same run on its own, up to rounding.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.counting import to_int
from jaxgossip.core.memory import available_bytes
from jaxgossip.core.pytree import Static, digest, partition
from jaxgossip.simulation.compiled import Compiler, Program, Shapes, Vmapped, compile_together
from jaxgossip.simulation.listening.observer import Observer, announced
from jaxgossip.simulation.loop import Pace, Status, Stopwatch, drive
from jaxgossip.simulation.program import ProgramSpec, Run, RunState
from jaxgossip.simulation.results.endings import final_status
from jaxgossip.simulation.rounds import virtual_seconds

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
        runs: the states; every leaf has shape (points, seeds, …).
        records: the evaluations of each run, point by point.
    """

    runs: RunState
    records: list[list[dict[str, Any]]]


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
    """

    specs: tuple[ProgramSpec, ...]
    statics: tuple[Static, ...]
    members: list[int] = field(default_factory=list)
    arrays: list[list[list[jax.Array]]] = field(default_factory=list)

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

    def split_to_fit(self) -> list["Family"]:
        """Return the family split into parts, each of which fits into half of the available memory."""
        state_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.like))
        run_bytes = STATES_HELD * state_bytes + min(BLOCK_BYTES, 64 * state_bytes)
        size = max(1, int(available_bytes() / 2 / max(1, run_bytes)))
        return [
            Family(self.specs, self.statics, self.members[start : start + size], self.arrays[start : start + size])
            for start in range(0, len(self.members), size)
        ]


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
    return list(by_key.values())


class Replicas:
    """The compiled programs of a family of runs.

    Args:
        family: the runs.
        arrays: ``arrays[point][seed][program]`` is the list of arrays of that run's input to that program.
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.
    """

    def __init__(
        self, family: Family, arrays: Sequence[Sequence[list[list[jax.Array]]]], matmul_precision: str = "highest"
    ) -> None:
        self.shape = len(arrays), len(arrays[0])
        self.like: RunState = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((*self.shape, *leaf.shape), leaf.dtype), family.like
        )
        compiler, stacks = Compiler(matmul_precision), _Stacks()
        programs: list[Program] = []
        self._arrays: list[list[jax.Array]] = []
        for number, spec in enumerate(family.specs):
            inputs = [[run[number] for run in row] for row in arrays]
            stacked = [stacks.of([[run[place] for run in row] for row in inputs]) for place in range(len(inputs[0][0]))]
            example = (self.like, *spec.example[1:]) if spec.example else ()
            axes = tuple(tuple(axes[level] for _, axes in stacked) for level in range(2))
            vmapped = Vmapped(self.shape, axes, (0, None)[: len(example)])
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
        self._first, self._rounds, self._measured = (program.call for program in programs)

    def start(self) -> RunState:
        """Return the states before the first round; every leaf has shape (points, seeds, …)."""
        return self._first(self._arrays[0])

    def advance(self, runs: RunState, until: int) -> RunState:
        """Return the runs after round ``until``, or each where it ended earlier; ``runs`` is donated."""
        return self._rounds(self._arrays[1], runs, jnp.asarray(until, jnp.int32))

    def measure(self, runs: RunState) -> dict[str, jax.Array]:
        """Return the scalars of one evaluation, each of shape (points, seeds)."""
        return self._measured(self._arrays[2], runs)


class _Stacks:
    """Stacks the arrays of many runs, without copies along an axis on which all are equal, and caches the results."""

    def __init__(self) -> None:
        self._digests: dict[int, str] = {}
        self._made: dict[tuple[int, ...], tuple[jax.Array, tuple[int | None, int | None]]] = {}

    def of(self, grid: Sequence[Sequence[jax.Array]]) -> tuple[jax.Array, tuple[int | None, int | None]]:
        """Return the arrays stacked along the axes (points, seeds) on which they differ, and 0 or None for each axis."""
        key = tuple(id(array) for row in grid for array in row)
        if key not in self._made:
            self._made[key] = self._stacked(grid)
        return self._made[key]

    def _stacked(self, grid: Sequence[Sequence[jax.Array]]) -> tuple[jax.Array, tuple[int | None, int | None]]:
        codes = np.array([[self._digest(array) for array in row] for row in grid])
        by_point, by_seed = (codes != codes[:1]).any(), (codes != codes[:, :1]).any()
        rows = grid if by_point else grid[:1]
        stacks = [jnp.stack(list(row)) if by_seed else jnp.asarray(row[0]) for row in rows]
        whole = jnp.stack(stacks) if by_point else stacks[0]
        return whole, (0 if by_point else None, 0 if by_seed else None)

    def _digest(self, array: jax.Array) -> str:
        if id(array) not in self._digests:
            self._digests[id(array)] = digest(array)
        return self._digests[id(array)]


def simulate_family(
    family: Family,
    points: Sequence[Any],
    rounds: int,
    *,
    evaluate_every: int = 10,
    observer: Observer | None = None,
    matmul_precision: str = "highest",
    restore: Restore | None = None,
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

    Returns:
        The outcome of each run, in the family's order. A run that diverges keeps its records, and the others continue. If the
        observer stops the family, runs that had neither diverged nor exhausted their byte budget are interrupted.
    """
    observer = observer or Observer()
    order, arrays = _as_grid(points, family.arrays)
    with announced(observer, family.name, rounds):
        observer.compiling()
        began = time.perf_counter()
        program = Replicas(family, arrays, matmul_precision)
        observer.compiled(time.perf_counter() - began)
        restored = None if restore is None else restore(program.like)
        engine, clock = ReplicasEngine(program, restored and restored[0]), Stopwatch(restored[1] if restored else 0.0)
        stopped = drive(engine, rounds, evaluate_every, observer, clock, begin=restored is None)
        if stopped:
            observer.finished(engine.checkpoint(), clock.seconds())
    replicas = engine.replicas(stopped=stopped)
    ordered: list[Replica] = [Replica()] * len(replicas)
    for place, replica in zip(order, replicas, strict=True):
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
        self._program, self._pace = program, Pace()
        if start is None:
            points, seeds = program.shape
            self.runs, self.records = program.start(), [[] for _ in range(points * seeds)]
        else:
            self.runs, self.records = start
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
        runs = self.runs
        measured = {name: _flat(values) for name, values in jax.device_get(self._program.measure(runs)).items()}
        rounds, diverged, share = _flat(runs.round), _flat(runs.diverged), wall_s / len(self.records)
        traffic = {
            name: np.asarray(getattr(runs.traffic, name)).reshape(-1, 2)
            for name in ("messages", "bytes_sent", "metadata_bytes")
        }
        clocks = None if runs.clock is None else np.asarray(runs.clock).reshape(-1, *runs.clock.shape[-2:])
        new: list[Mapping[str, Any]] = []
        for place, records in enumerate(self.records):
            if diverged[place] or (records and records[-1]["round"] == rounds[place]):
                continue
            record = {"round": int(rounds[place])} | {name: float(values[place]) for name, values in measured.items()}
            record |= {name: to_int(counts[place]) for name, counts in traffic.items()}
            record |= virtual_seconds(None if clocks is None else clocks[place]) | {"wall_s": round(share, 6)}
            records.append(record)
            new.append(record)
        return {name: float(np.mean([record[name] for record in new])) for name in new[0]} if new else None

    def checkpoint(self) -> FamilyState:
        """Return the progress of the family, whose states the next chunk consumes."""
        return FamilyState(self.runs, self.records)

    def replicas(self, *, stopped: bool = False) -> list[Replica]:
        """Return the outcome of each run; if ``stopped``, runs that had not ended are interrupted."""
        leaves = (self.runs.round, self.runs.diverged, self.runs.spent)
        ends = zip(self.records, *(_flat(leaf) for leaf in leaves), strict=True)
        return [
            Replica(records, final_status(records, diverged=bool(diverged), stopped=stopped and not spent), int(done))
            for records, done, diverged, spent in ends
        ]


def _as_grid(points: Sequence[Any], arrays: Sequence[Any]) -> tuple[list[int], list[list[Any]]]:
    """Return (indices of the runs point by point, their arrays as points × seeds); one row if points have unequal counts."""
    rows: dict[Any, list[int]] = {}
    for place, point in enumerate(points):
        rows.setdefault(point, []).append(place)
    if len({len(row) for row in rows.values()}) > 1:
        rows = {None: list(range(len(points)))}
    return [place for row in rows.values() for place in row], [
        [arrays[place] for place in row] for row in rows.values()
    ]


def _flat(values: Any) -> np.ndarray:
    return np.asarray(values).reshape(-1)
