"""Many runs as one program: the runs of a family under ``vmap``, each with its own seed, scalars and data.

    points × seeds: an array that a whole row or column of runs shares is held once, and only the others are stacked

Every draw is a function of (seed, round, purpose, node), so a replica is what it would be alone, to within rounding.
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
from jaxgossip.simulation.listening.observer import Observer, begun
from jaxgossip.simulation.loop import Pace, Status, Stopwatch, drive
from jaxgossip.simulation.program import Purpose, Run, RunState
from jaxgossip.simulation.rounds import ended, virtual_seconds

STATES_HELD = 8
"""A run among others takes about so many times its state: old and new one, gradients, what mixing holds."""
BLOCK_BYTES = 2**25
"""… and at most this much for samples and scores in between (see :mod:`jaxgossip.learning.problem`)."""


@dataclass
class Replica:
    """What became of one run among others.

    Attributes:
        records: of its evaluations.
        status: as of :class:`~jaxgossip.simulation.rounds.Result`.
        rounds: rounds done.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    status: Status = "completed"
    rounds: int = 0


class Group(NamedTuple):
    """What a family has come to, and all that is needed to go on from there.

    Attributes:
        runs: the states, every leaf (points, seeds, …).
        records: of each run, in the order of the grid.
    """

    runs: RunState
    records: list[list[dict[str, Any]]]


Restore = Callable[[RunState], tuple[Group, float] | None]
"""Given the shapes of a family's states, what it had come to, and the seconds spent before; None: nothing is kept."""


@dataclass(frozen=True, eq=False)
class Family:
    """Runs that the same programs serve: all but the values of their device arrays is equal.

    Attributes:
        purposes: the programs of its first run.
        statics: by program, what the runs have in common.
        members: their places in the list that was asked about.
        arrays: by member and program, the arrays of its input.
    """

    purposes: tuple[Purpose, ...]
    statics: tuple[Static, ...]
    members: list[int] = field(default_factory=list)
    arrays: list[list[list[jax.Array]]] = field(default_factory=list)

    @property
    def like(self) -> RunState:
        """The shapes and dtypes of the state of one run."""
        return self.purposes[1].example[0]

    @property
    def name(self) -> str:
        """The name of the algorithm of its first run."""
        run = self.purposes[1].inputs
        assert isinstance(run, Run)
        return run.algorithm.name

    def in_memory(self) -> list["Family"]:
        """Return it in parts that fit into half the memory that is there."""
        state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.like))
        each = STATES_HELD * state + min(BLOCK_BYTES, 64 * state)
        most = max(1, int(available_bytes() / 2 / max(1, each)))
        return [
            Family(self.purposes, self.statics, self.members[start : start + most], self.arrays[start : start + most])
            for start in range(0, len(self.members), most)
        ]


def families(runs: Sequence[Run]) -> list[Family]:
    """Divide runs into families, in the order of their first members."""
    found: dict[Any, Family] = {}
    for number, run in enumerate(runs):
        purposes = run.programs()
        parts = [partition(purpose.inputs) for purpose in purposes]
        arrays, statics = [arrays for arrays, _ in parts], tuple(static for _, static in parts)
        key = statics, tuple(Shapes.of(some) for some in arrays)
        if key not in found:
            found[key] = Family(purposes, statics)
        found[key].members.append(number)
        found[key].arrays.append(arrays)
    return list(found.values())


class Replicas:
    """The compiled programs of a family of runs.

    Args:
        family: the runs.
        arrays: the arrays of each run, a list of points of lists of seeds of one list a program.
        matmul_precision: of float32 matrix products: "highest" is full float32 on every device.
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
        for number, purpose in enumerate(family.purposes):
            own = [[run[number] for run in row] for row in arrays]
            stacked = [stacks.of([[run[place] for run in row] for row in own]) for place in range(len(own[0][0]))]
            example = (self.like, *purpose.example[1:]) if purpose.example else ()
            axes = tuple(tuple(axes[level] for _, axes in stacked) for level in range(2))
            vmapped = Vmapped(self.shape, axes, (0, None)[: len(example)])
            self._arrays.append([array for array, _ in stacked])
            programs.append(
                compiler.lower(
                    purpose.function,
                    family.statics[number],
                    self._arrays[-1],
                    example,
                    donate=purpose.donate,
                    vmapped=vmapped,
                )
            )
        compile_together(programs)
        self._first, self._rounds, self._measured = (program.call for program in programs)

    def start(self) -> RunState:
        """Return the states before the first round, every leaf (points, seeds, …)."""
        return self._first(self._arrays[0])

    def advance(self, runs: RunState, until: int) -> RunState:
        """Return the runs after round ``until``, each that diverged as it was then; ``runs`` is consumed."""
        return self._rounds(self._arrays[1], runs, jnp.asarray(until, jnp.int32))

    def measure(self, runs: RunState) -> dict[str, jax.Array]:
        """Return the scalars of one evaluation, (points, seeds) each."""
        return self._measured(self._arrays[2], runs)


class _Stacks:
    """Arrays of many runs as one, each made once: an array that all runs share, or a whole row of them, is held once."""

    def __init__(self) -> None:
        self._digests: dict[int, str] = {}
        self._made: dict[tuple[int, ...], tuple[jax.Array, tuple[int | None, int | None]]] = {}

    def of(self, grid: Sequence[Sequence[jax.Array]]) -> tuple[jax.Array, tuple[int | None, int | None]]:
        """Return the arrays of all runs, stacked along the axes along which they differ, and these axes (0 or None)."""
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
        points: what each of them shares with those that differ in their seeds alone; hashable.
        rounds: how many rounds.
        evaluate_every: rounds between evaluations; round 0 and the last one are always evaluated.
        observer: listens; the records it gets are means over the runs, the states it gets are a :class:`Group`, the last one
            where it stops the runs.
        matmul_precision: of float32 matrix products: "highest" is full float32 on every device.
        restore: gives what to go on from.

    Returns:
        What became of each, in the family's order. One that diverges keeps what was measured before, and the others go on;
        if the observer stops them, those that had neither diverged nor spent their bytes are interrupted.
    """
    observer = observer or Observer()
    order, arrays = _as_grid(points, family.arrays)
    with begun(observer, family.name, rounds):
        observer.compiling()
        began = time.perf_counter()
        program = Replicas(family, arrays, matmul_precision)
        observer.compiled(time.perf_counter() - began)
        kept = None if restore is None else restore(program.like)
        engine, clock = ReplicasEngine(program, kept and kept[0]), Stopwatch(kept[1] if kept else 0.0)
        stopped = drive(engine, rounds, evaluate_every, observer, clock, begin=kept is None)
        if stopped:
            observer.finished(engine.checkpoint(), clock.seconds())
    found = engine.replicas(stopped=stopped)
    ordered: list[Replica] = [Replica()] * len(found)
    for place, replica in zip(order, found, strict=True):
        ordered[place] = replica
    return ordered


class ReplicasEngine:
    """A family of runs on its way.

    Args:
        program: its compiled programs.
        start: what it goes on from; None: the first states.

    Attributes:
        runs: the states.
        records: of each run.
        done: rounds done by those that go on.
    """

    def __init__(self, program: Replicas, start: Group | None = None) -> None:
        self._program, self._pace = program, Pace()
        if start is None:
            points, seeds = program.shape
            self.runs, self.records = program.start(), [[] for _ in range(points * seeds)]
        else:
            self.runs, self.records = start
        self.done = int(_flat(self.runs.round).max())

    @property
    def over(self) -> bool:
        """Whether all of them diverged or have spent their bytes."""
        return bool((_flat(self.runs.diverged) | _flat(self.runs.spent)).all())

    def advance(self, goal: int) -> None:
        """Do some rounds, none beyond round ``goal``; those that diverged stay where they are."""
        until, began = min(goal, self.done + self._pace.rounds()), time.perf_counter()
        self.runs = jax.block_until_ready(self._program.advance(self.runs, until))
        self._pace.took(time.perf_counter() - began, until - self.done)
        self.done = until

    def evaluate(self, wall_s: float) -> Mapping[str, Any] | None:
        """Keep a record of every run that is in order, and was not measured in this round of its own; return their mean.

        ``wall_s`` of a run is its share of the group's time.
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

    def checkpoint(self) -> Group:
        """Return what they have come to."""
        return Group(self.runs, self.records)

    def replicas(self, *, stopped: bool = False) -> list[Replica]:
        """Return what became of each; ``stopped`` are those that would go on."""
        leaves = (self.runs.round, self.runs.diverged, self.runs.spent)
        ends = zip(self.records, *(_flat(leaf) for leaf in leaves), strict=True)
        return [
            Replica(records, ended(records, diverged=bool(diverged), stopped=stopped and not spent), int(done))
            for records, done, diverged, spent in ends
        ]


def _as_grid(points: Sequence[Any], arrays: Sequence[Any]) -> tuple[list[int], list[list[Any]]]:
    """Return the members point by point, as places and as a grid of their arrays; one row if it has holes."""
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
