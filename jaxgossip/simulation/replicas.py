"""Many runs as one program: the runs of a family under ``vmap``, each with its own seed, scalars and data.

    points × seeds: an array that a whole row or column of runs shares is held once, and only the others are stacked

Every draw is a function of (seed, round, purpose, node), so a replica is what it would be alone, to within rounding.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.counting import to_int
from jaxgossip.core.pytree import Static, digest, partition
from jaxgossip.simulation.compiled import Compiler, Program, Shapes, Vmapped, compile_together
from jaxgossip.simulation.metrics import lost_in
from jaxgossip.simulation.program import Purpose, Run, RunState, check_step
from jaxgossip.simulation.rounds import Observer, Status, rounds_of_a_chunk, virtual_seconds


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


class Keeper(Protocol):
    """Keeps what a family has come to, so that it can go on from there."""

    def load(self, like: RunState) -> tuple[RunState, list[list[dict[str, Any]]], float] | None:
        """Return (states, records of each run, seconds spent before); None if nothing is kept."""
        ...

    def save(self, runs: RunState, records: list[list[dict[str, Any]]], wall_s: float, *, last: bool) -> None:
        """Keep these, if it is time to; ``last``: at once, for nothing follows."""
        ...


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


def families(runs: Sequence[Run]) -> list[Family]:
    """Divide runs into families, in the order of their first members.

    Raises:
        RunError: a step of one of them does not keep the shapes of its state.
    """
    found: dict[Any, Family] = {}
    for number, run in enumerate(runs):
        purposes = run.programs()
        parts = [partition(purpose.inputs) for purpose in purposes]
        arrays, statics = [arrays for arrays, _ in parts], tuple(static for _, static in parts)
        key = statics, tuple(Shapes.of(some) for some in arrays)
        if key not in found:
            check_step(run.algorithm, purposes[1].example[0], run.step)
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
    keeper: Keeper | None = None,
) -> list[Replica] | None:
    """Run a family for ``rounds`` rounds.

    Args:
        family: the runs.
        points: what each of them shares with those that differ in their seeds alone; hashable.
        rounds: how many rounds.
        evaluate_every: rounds between evaluations; round 0 and the last one are always evaluated.
        observer: listens; the records it gets are means over the runs.
        matmul_precision: of float32 matrix products: "highest" is full float32 on every device.
        keeper: keeps what the family has come to, and hands it back to go on from.

    Returns:
        What became of each, in the family's order; None if the observer stopped them. One that diverges keeps what was
        measured before, and the others go on.
    """
    observer = observer or Observer()
    order, arrays = _as_grid(points, family.arrays)
    observer.compiling()
    began = time.perf_counter()
    program = Replicas(family, arrays, matmul_precision)
    observer.compiled(time.perf_counter() - began)
    began, found = time.perf_counter(), [Replica() for _ in order]
    kept = None if keeper is None else keeper.load(program.like)
    if kept is None:
        runs = program.start()
        _evaluate(program, runs, found, 0.0, observer)
    else:
        runs, records, before = kept
        began -= before
        for replica, its in zip(found, records, strict=True):
            replica.records.extend(its)
    done, seconds_a_round = int(_flat(runs.round).max()), None
    while done < rounds and any(_goes_on(runs)):
        if observer.should_stop():
            if keeper is not None:
                keeper.save(runs, [one.records for one in found], time.perf_counter() - began, last=True)
            return None
        goal = min(rounds, done - done % evaluate_every + evaluate_every)
        until = min(goal, done + rounds_of_a_chunk(seconds_a_round))
        start = time.perf_counter()
        runs = jax.block_until_ready(program.advance(runs, until))
        seconds_a_round = (time.perf_counter() - start) / (until - done)
        done = until
        observer.advanced(done)
        if done == goal or not any(_goes_on(runs)):
            _evaluate(program, runs, found, (time.perf_counter() - began) / len(found), observer)
        if keeper is not None:
            keeper.save(runs, [one.records for one in found], time.perf_counter() - began, last=False)
    for replica, done, diverged in zip(found, *(_flat(leaf) for leaf in (runs.round, runs.diverged)), strict=True):
        replica.rounds = int(done)
        replica.status = "diverged" if diverged or lost_in(replica.records) is not None else "completed"
    ordered: list[Replica] = [Replica()] * len(found)
    for place, replica in zip(order, found, strict=True):
        ordered[place] = replica
    return ordered


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


def _evaluate(program: Replicas, runs: RunState, found: list[Replica], wall_s: float, observer: Observer) -> None:
    """Append a record to every run that is in order and was not measured in this round of its own.

    ``wall_s`` of a run is its share of the group's time.
    """
    measured = {name: _flat(values) for name, values in jax.device_get(program.measure(runs)).items()}
    rounds, diverged = _flat(runs.round), _flat(runs.diverged)
    traffic = {
        name: np.asarray(getattr(runs.traffic, name)).reshape(-1, 2)
        for name in ("messages", "bytes_sent", "metadata_bytes")
    }
    clocks = None if runs.clock is None else np.asarray(runs.clock).reshape(-1, *runs.clock.shape[-2:])
    new: list[Mapping[str, Any]] = []
    for place, replica in enumerate(found):
        if diverged[place] or (replica.records and replica.records[-1]["round"] == rounds[place]):
            continue
        record = {"round": int(rounds[place])} | {name: float(values[place]) for name, values in measured.items()}
        record |= {name: to_int(counts[place]) for name, counts in traffic.items()}
        record |= virtual_seconds(None if clocks is None else clocks[place]) | {"wall_s": round(wall_s, 6)}
        replica.records.append(record)
        new.append(record)
    if new:
        observer.evaluated({name: float(np.mean([record[name] for record in new])) for name in new[0]})


def _goes_on(runs: RunState) -> np.ndarray:
    return ~(_flat(runs.diverged) | _flat(runs.spent))


def _flat(values: Any) -> np.ndarray:
    return np.asarray(values).reshape(-1)
