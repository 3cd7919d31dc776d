"""Many runs from Python: the points of a grid times seeds, those that share their programs together under one ``vmap``."""

import inspect
import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.core.arguments import MOST_SEED, is_number, shown, whole
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.units import counted
from jaxgossip.network import Conditions, Speeds
from jaxgossip.schedule import Source
from jaxgossip.simulation.arguments import (
    check_counts,
    check_observer,
    check_parts,
    check_precision,
    check_protocol,
)
from jaxgossip.simulation.events.engine import simulate_events
from jaxgossip.simulation.listening.observer import Forwarding, Observer, attended
from jaxgossip.simulation.metrics import Metrics
from jaxgossip.simulation.program import Run
from jaxgossip.simulation.replicas import families, simulate_family
from jaxgossip.simulation.results.sweep_result import Point, SweepResult, SweepRun

NAME = "algorithm"
"""The name in a point of which of several algorithms it is."""
TAKEN = ("seed", "status", "round", "rounds")
"""What a row of the table holds beside its point."""

type Made = Algorithm | GossipProtocol
type Make = Callable[..., Made] | Made


def sweep(
    make: Make | Mapping[str, Make] | Sequence[Made],
    rounds: int,
    *,
    grid: Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]] | None = None,
    seeds: int | Iterable[int] = 1,
    evaluate_every: int = 10,
    conditions: Conditions | Callable[..., Conditions | None] | None = None,
    sampled_nodes: int = 1000,
    byte_budget: int = 0,
    matmul_precision: str = "highest",
    speeds: Speeds | Callable[..., Speeds | None] | None = None,
    schedule: Source | Callable[..., Source] | None = None,
    observer: Observer | None = None,
    progress: bool = False,
) -> SweepResult:
    """Run an algorithm at every point of a grid, with every seed: each run is what :func:`simulate` gives, to rounding.

    >>> def make(rate, nodes):
    ...     W = jg.mixing.metropolis_hastings(jg.topology.ring(nodes))
    ...     problem = jg.learning.classification(data, "iid", model, nodes=nodes, batch_size=5)
    ...     return jg.algorithms.dsgd(problem, optax.sgd(rate), W)
    >>> result = jg.sweep(make, 1000, grid={"rate": [0.1, 0.05], "nodes": [16, 64]}, seeds=4)
    >>> result.summary("test_accuracy")                        # mean and std over seeds, a dict a point
    >>> jg.sweep({"D-SGD": dsgd, "D²": d2}, 1000, seeds=4).plot()   # algorithms, or functions that make them

    Runs that differ in nothing but the values of device arrays share their programs, and run together: the seeds of a
    point do, and so do points that differ in JAX arrays alone. An optimizer of optax holds its numbers where no program
    can see them; ``grid={"rate": jnp.array([0.1, 0.05])}`` with ``jg.optimizers.Optimizer(optax.sgd,
    {"learning_rate": rate})`` makes of all its rates one program.

    Ctrl-C ends the sweep between two chunks, and what was measured is returned; a second one raises KeyboardInterrupt.

    Args:
        make: gives the algorithm of a point, whose values it takes by name; if it takes ``seed``, it is called for each
            seed, else once a point. Or an algorithm as it is; or several, by name or in a list: then their names are the
            values of ``"algorithm"`` in the points. Protocols by the nodes' own clocks, which need a ``schedule``, run
            one by one.
        rounds: how many rounds, or cycles.
        grid: the values of each name, of which every combination is a point; or the points themselves.
        seeds: how many, from 0 on; or which.
        evaluate_every: rounds between evaluations; round 0 and the last one are always evaluated.
        conditions: faults of network and nodes; or what gives them of a point's values (and ``seed``) that it takes by
            name, such as ``lambda drop: jg.network.Conditions(drop=drop)``.
        sampled_nodes: how many nodes an evaluation looks at, drawn once a run.
        byte_budget: a run ends before all its nodes together have sent more than so many bytes; 0: no limit.
        matmul_precision: of float32 matrix products; "highest" is full float32 on every device.
        speeds: of the nodes' machines, or what gives them, like ``conditions``.
        schedule: of protocols, or what gives it, like ``conditions``.
        observer: listens, and may stop the sweep; of runs that go together, records are means.
        progress: show progress on stderr.

    Returns:
        The runs, seed by seed within point by point: a table, means over seeds, a picture. Of a sweep that was stopped,
        those that are done and those that were under way.

    Raises:
        InputError: a grid whose names nothing takes, a number out of range, or something else in the place of an argument.
    """
    its_seeds = _seeds(seeds)
    for seed in its_seeds:
        check_counts(rounds, seed, evaluate_every, sampled_nodes, byte_budget)
    check_precision(matmul_precision)
    check_observer(observer, Observer)
    parts = {"conditions": conditions, "speeds": speeds, "schedule": schedule}
    points = _points(make, grid, parts)
    began, asked = time.perf_counter(), len(points) * len(its_seeds)
    found: dict[int, SweepRun] = {}
    with attended(observer, progress=progress) as heard:
        planned: list[_Planned] = []
        for number, (point, maker) in enumerate(points):
            if heard.should_stop():
                break
            planned += _at_point(number, point, maker, parts, its_seeds)
        common = {"evaluate_every": evaluate_every, "matmul_precision": matmul_precision}
        for places, done in _in_turn(planned, rounds, sampled_nodes, byte_budget, common, heard):
            found |= {
                place: SweepRun(planned[place].point, planned[place].seed, Metrics(records), status, rounds_done)
                for place, (records, status, rounds_done) in zip(places, done, strict=True)
            }
    runs = tuple(found[place] for place in sorted(found))
    return SweepResult(runs, asked, time.perf_counter() - began)


@dataclass(frozen=True)
class _Planned:
    """A run that is to be."""

    number: int
    point: Point
    seed: int
    algorithm: Any
    conditions: Conditions | None
    speeds: Speeds | None
    schedule: Source | None


def _in_turn(
    planned: Sequence[_Planned],
    rounds: int,
    sampled_nodes: int,
    byte_budget: int,
    common: Mapping[str, Any],
    heard: Observer,
) -> Iterable[tuple[Sequence[int], list[tuple[Sequence[Mapping[str, Any]], Any, int]]]]:
    """Yield (places among the planned, what became of each): family by family, then protocols one by one, until stopped."""
    in_rounds = [place for place, one in enumerate(planned) if isinstance(one.algorithm, Algorithm)]
    runs = [
        Run(
            planned[place].algorithm,
            seed=planned[place].seed,
            conditions=planned[place].conditions,
            sampled_nodes=sampled_nodes,
            byte_budget=byte_budget,
            speeds=planned[place].speeds,
        )
        for place in in_rounds
    ]
    groups = [part for family in families(runs) for part in family.in_memory()]
    others = [place for place, one in enumerate(planned) if not isinstance(one.algorithm, Algorithm)]
    for number, family in enumerate(groups, start=1):
        if heard.should_stop():
            return
        places = [in_rounds[member] for member in family.members]
        heard.note(
            f"compiling {family.name} for {counted(len(places), 'run')}"
            + (f", program {number} of {len(groups)}" if len(groups) > 1 else "")
        )
        kinds = [planned[place].number for place in places]
        replicas = simulate_family(family, kinds, rounds, observer=heard, **common)
        yield places, [(replica.records, replica.status, replica.rounds) for replica in replicas]
        if any(replica.status == "interrupted" for replica in replicas):
            return
    for place in others:
        if heard.should_stop():
            return
        one = planned[place]
        assert one.schedule is not None
        result = simulate_events(
            one.algorithm, one.schedule, rounds, seed=one.seed, sampled_nodes=sampled_nodes,
            byte_budget=byte_budget, observer=Forwarding(heard), **common,
        )  # fmt: skip
        yield [place], [(result.metrics.records, result.status, result.rounds)]
        if result.status == "interrupted":
            return


def _at_point(number: int, point: Point, make: Make, parts: Mapping[str, Any], seeds: Sequence[int]) -> list[_Planned]:
    """Return the runs at a point, one a seed; what does not take the seed is made once."""
    makers = {NAME: make, **parts}
    once = {name: _made(name, part, point, seeds[0]) for name, part in makers.items() if not _takes_seed(part)}
    found = []
    for seed in seeds:
        made = {name: once[name] if name in once else _made(name, part, point, seed) for name, part in makers.items()}
        algorithm, conditions, speeds, schedule = (made[name] for name in makers)
        _check_made(point, algorithm, conditions, speeds, schedule)
        found.append(_Planned(number, point, seed, algorithm, conditions, speeds, schedule))
    return found


def _check_made(point: Point, algorithm: Any, conditions: Any, speeds: Any, schedule: Any) -> None:
    """Raise InputError unless these run together."""
    if not isinstance(algorithm, GossipProtocol):
        if not isinstance(algorithm, Algorithm):
            where = f" at {dict(point)}" if point else ""
            raise ArgumentTypeError(
                f"sweep: make gives {shown(algorithm)}{where}, which is no algorithm",
                hint="def make(rate): return jg.algorithms.dsgd(problem, optax.sgd(rate), W)",
            )
        check_parts(algorithm, conditions, speeds)
        return
    if schedule is None:
        raise InputError(
            f"sweep: {algorithm.name} is a protocol, and runs on a schedule",
            hint="sweep(…, schedule=jg.schedule.schedule(graph, clock=…)), or a function that makes one of a point's values",
        )
    check_protocol(algorithm, schedule)
    if conditions is not None or speeds is not None:
        what = "conditions" if conditions is not None else "speeds"
        raise InputError(
            f"sweep: {algorithm.name} is a protocol, and takes no {what}",
            hint="what befalls messages is the schedule's",
        )


def _made(name: str, part: Any, point: Point, seed: int) -> Any:
    """Return what ``part`` gives of the values that it takes by name; anything that is no function as it is."""
    if not _is_maker(part):
        return part
    signature = inspect.signature(part)
    values = {key: value for key, value in point.items() if key != NAME or NAME in signature.parameters}
    chosen = {key: value for key, value in values.items() if _takes(part, key)}
    if _takes_seed(part):
        chosen["seed"] = seed
    try:
        signature.bind(**chosen)
    except TypeError as error:
        called = "make" if name == NAME else name
        raise InputError(
            f"sweep: {called}: {error}", hint="what it takes by name are names of the grid, or it has a default"
        ) from error
    return part(**chosen)


def _is_maker(part: Any) -> bool:
    return callable(part) and not isinstance(part, Algorithm | GossipProtocol | Conditions | Speeds)


def _takes(part: Any, name: str) -> bool:
    """Return whether a function takes an argument by this name."""
    if not _is_maker(part):
        return False
    parameters = inspect.signature(part).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return True
    return name in parameters and parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY


def _takes_seed(part: Any) -> bool:
    return _is_maker(part) and "seed" in inspect.signature(part).parameters


def _seeds(seeds: Any) -> list[int]:
    """Return the seeds.

    Raises:
        InputError: none, or some that are no whole numbers; one that is there twice.
    """
    if isinstance(seeds, str) or not (is_number(seeds) or isinstance(seeds, Iterable)):
        raise ArgumentTypeError(f"sweep: seeds cannot be {shown(seeds)}", hint="seeds=4, or seeds=[0, 1, 2, 3]")
    if is_number(seeds):
        return list(range(whole("sweep", "seeds", seeds, 1)))
    found = [whole("sweep", "seeds", seed, 0, MOST_SEED) for seed in seeds]
    if not found or len(set(found)) < len(found):
        raise InputError(f"sweep: seeds are {'none' if not found else 'not all different'}", hint="seeds=[0, 1, 2, 3]")
    return found


def _points(make: Any, grid: Any, parts: Mapping[str, Any]) -> list[tuple[Point, Any]]:
    """Return (point, what makes its algorithm) of all points.

    Raises:
        InputError: a grid that is none, or names that nothing takes.
    """
    makers, several = _makers(make)
    values = _values(grid)
    for name in dict.fromkeys(name for point in values for name in point):
        if not isinstance(name, str) or name in TAKEN or (several and name == NAME):
            hint = "seeds=… gives the seeds" if name == "seed" else "rename it in the grid and in make"
            raise InputError(f"sweep: {shown(name)} cannot be a name of the grid", hint=hint)
    found = []
    for called, maker in makers.items():
        for point in values:
            for name in point:
                if not any(_takes(part, name) for part in (maker, *parts.values())):
                    what = f"the function of '{called}'" if several else "make"
                    hint = "an algorithm as it is takes nothing: give a function" if not _is_maker(maker) else ""
                    hint = hint or f"def make({', '.join(point)}): …, or conditions=lambda {name}: …"
                    raise InputError(f"sweep: {what} does not take '{name}', nor does anything else", hint=hint)
            found.append(({NAME: called, **point} if several else dict(point), maker))
    return found


def _makers(make: Any) -> tuple[dict[str, Any], bool]:
    """Return (what makes algorithms, by name; whether there are several)."""
    if isinstance(make, Mapping):
        if not make or not all(isinstance(name, str) for name in make):
            raise InputError("sweep: algorithms are given by name", hint="{'D-SGD': make_dsgd, 'D²': make_d2}")
        return dict(make), True
    if isinstance(make, Sequence) and not isinstance(make, str):
        found: dict[str, Any] = {}
        for one in make:
            if not isinstance(one, Algorithm | GossipProtocol):
                hint = "functions go by name: {'D-SGD': make_dsgd, 'D²': make_d2}"
                raise ArgumentTypeError(f"sweep: {shown(one)} is no algorithm", hint=hint)
            same = sum(name == one.name or name.startswith(f"{one.name} #") for name in found)
            found[f"{one.name} #{same + 1}" if same else one.name] = one
        if not found:
            raise InputError("sweep: there is no algorithm in the list")
        return found, True
    if not callable(make) and not isinstance(make, Algorithm | GossipProtocol):
        hint = "def make(rate): return jg.algorithms.dsgd(problem, optax.sgd(rate), W)"
        raise ArgumentTypeError(f"sweep: {shown(make)} makes no algorithm", hint=hint)
    return {"": make}, False


def _values(grid: Any) -> list[Mapping[str, Any]]:
    """Return the points of a grid: every combination of its values, or those that are listed."""
    hint = "grid={'rate': [0.1, 0.05], 'n': [16, 64]}, or a list of points, [{'rate': 0.1, 'n': 16}, …]"
    if grid is None:
        return [{}]
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise ArgumentTypeError(f"sweep: the values of '{name}' are {shown(values)}, not a list", hint=hint)
        lists = {name: list(values) for name, values in grid.items()}
        for name, values in lists.items():
            if not values:
                raise InputError(f"sweep: the grid has no value of '{name}'", hint=hint)
        return [dict(zip(lists, point, strict=True)) for point in itertools.product(*lists.values())]
    if not isinstance(grid, Sequence) or not grid or not all(isinstance(point, Mapping) for point in grid):
        raise ArgumentTypeError(f"sweep: {shown(grid)} is no grid", hint=hint)
    if any(point.keys() != grid[0].keys() for point in grid):
        raise InputError("sweep: the points of the grid have other names", hint="give all of them the same names")
    return list(grid)
