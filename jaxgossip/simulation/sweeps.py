"""Sweeps from Python: a grid of points × seeds, in which runs that share compiled programs run together under ``vmap``."""

import inspect
import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.core.arguments import MOST_SEED, is_number, shown, whole
from jaxgossip.core.devices.mesh import check_mesh, over_replicas
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.units import counted
from jaxgossip.network import Conditions, Energy, Speeds
from jaxgossip.schedule import Source
from jaxgossip.simulation.arguments import check_algorithm, check_observer, check_protocol, settings
from jaxgossip.simulation.events.together import EventsRun, at_once, simulate_together
from jaxgossip.simulation.listening.observer import Observer, combined
from jaxgossip.simulation.metrics import Metrics
from jaxgossip.simulation.program import Run
from jaxgossip.simulation.replicas import families, simulate_family
from jaxgossip.simulation.results.sweep_result import Point, SweepResult, SweepRun

ALGORITHM = "algorithm"
"""Name under which a point holds the name of its algorithm, if there are several."""
RESERVED_NAMES = ("seed", "status", "round", "rounds")
"""Names that a grid cannot use, since rows of the table have columns of these names."""

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
    energy: Energy | Callable[..., Energy | None] | None = None,
    schedule: Source | Callable[..., Source] | None = None,
    observer: Observer | None = None,
    progress: bool = False,
    mesh: Mesh | None = None,
) -> SweepResult:
    """Run an algorithm at every point of a grid with every seed; each run equals that of :func:`simulate`, up to rounding.

    >>> def make(rate, nodes):
    ...     W = jg.mixing.metropolis_hastings(jg.topology.ring(nodes))
    ...     problem = jg.learning.classification(data, "iid", model, nodes=nodes, batch_size=5)
    ...     return jg.algorithms.dsgd(problem, optax.sgd(rate), W)
    >>> result = jg.sweep(make, 1000, grid={"rate": [0.1, 0.05], "nodes": [16, 64]}, seeds=4)
    >>> result.summary("test_accuracy")                        # mean and std over seeds, one dict per point
    >>> jg.sweep({"D-SGD": dsgd, "D²": d2}, 1000, seeds=4).plot()   # algorithms, or functions that make them

    Runs that differ only in the values of device arrays share compiled programs and run together: the seeds of a point, and
    points whose values are JAX arrays. The numbers of a plain optax optimizer are constants of the program, so every learning
    rate is compiled separately; with ``grid={"rate": jnp.array([0.1, 0.05])}`` and ``jg.optimizers.Optimizer(optax.sgd,
    {"learning_rate": rate})`` all rates share one program.

    With ``mesh=jg.mesh(4)`` the runs of a shared program are spread over four devices, each run wholly on one of them; so are
    runs by the nodes' own clocks, which take turns of four. Those by clocks have the same bits on any number of devices.
    Those in rounds have the same bits on one device as without a mesh; on several they differ as runs that share a program
    differ from the same runs in smaller groups, by rounding: about 1e-6 of a measurement, for XLA rounds by the shapes of a
    program.

    The first Ctrl-C stops the sweep after the current chunk and returns what has been measured; a second one raises
    KeyboardInterrupt immediately.

    Args:
        make: function that returns the algorithm of a point, whose values it takes as keyword arguments. It is called once
            per point, or for every seed if it has a parameter ``seed``. Alternatively an algorithm, or several functions or
            algorithms in a mapping by name, or algorithms in a list; points of several have their names under
            ``"algorithm"``. Gossip protocols need a ``schedule`` and run one at a time.
        rounds: number of rounds, or cycles.
        grid: a mapping from names to values, every combination of which is a point; or a list of points.
        seeds: the number of seeds, which are then 0, 1, …; or the seeds.
        evaluate_every: rounds between evaluations; round 0 and the last round are always evaluated.
        conditions: faults of the network and the nodes; or a function that returns them and takes values of the point, and
            ``seed``, by name, such as ``lambda drop: jg.network.Conditions(drop=drop)``.
        sampled_nodes: maximum number of nodes per evaluation, drawn once per run.
        byte_budget: a run ends before all its nodes together have sent more than this many bytes; 0 for no limit.
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.
        speeds: speeds of the nodes' machines, or a function that returns them, as for ``conditions``.
        energy: what the nodes' machines spend, or a function that returns it, as for ``conditions``.
        schedule: schedule of the protocols, or a function that returns one, as for ``conditions``.
        observer: receives records and progress, and may stop the sweep; records of runs that run together are their means.
        progress: whether to show progress on stderr.
        mesh: the devices over which the runs that share a program are spread; None for the default device alone.

    Returns:
        The runs, point by point and seed by seed. If the sweep was stopped, the runs that have ended and those in progress.

    Raises:
        InputError: a name of the grid is used by no function, a number is out of range, or arguments do not fit together.
        ArgumentTypeError: an argument is of the wrong type.
    """
    seed_list = _seeds(seeds)
    asked = settings(
        "sweep", rounds=rounds, seed=seed_list[0], evaluate_every=evaluate_every, sampled_nodes=sampled_nodes,
        byte_budget=byte_budget, matmul_precision=matmul_precision,
    )  # fmt: skip
    check_observer(observer, Observer)
    check_mesh("sweep", mesh)
    devices = None if mesh is None else over_replicas(mesh)
    options = {"conditions": conditions, "speeds": speeds, "energy": energy, "schedule": schedule}
    points = _points(make, grid, options)
    began, requested = time.perf_counter(), len(points) * len(seed_list)
    finished: dict[int, SweepRun] = {}
    with combined(observer, progress=progress) as listener:
        planned: list[_PlannedRun] = []
        for number, (point, maker) in enumerate(points):
            if listener.should_stop():
                break
            planned += _plan_point(number, point, maker, options, seed_list)
        common = {"evaluate_every": evaluate_every, "matmul_precision": matmul_precision}
        for places, outcomes in _run_planned(planned, rounds, sampled_nodes, byte_budget, common, listener, devices):
            for place, (records, status, rounds_done) in zip(places, outcomes, strict=True):
                run = planned[place]
                n_nodes, given = run.algorithm.problem.n_nodes, asked | {"seed": run.seed}
                finished[place] = SweepRun(run.point, run.seed, Metrics(records), status, rounds_done, n_nodes, given)
    runs = tuple(finished[place] for place in sorted(finished))
    return SweepResult(runs, requested, time.perf_counter() - began)


@dataclass(frozen=True)
class _PlannedRun:
    """A run to be executed; ``number`` is the index of its point."""

    number: int
    point: Point
    seed: int
    algorithm: Any
    conditions: Conditions | None
    speeds: Speeds | None
    energy: Energy | None
    schedule: Source | None


def _run_planned(
    planned: Sequence[_PlannedRun],
    rounds: int,
    sampled_nodes: int,
    byte_budget: int,
    common: Mapping[str, Any],
    listener: Observer,
    mesh: Mesh | None,
) -> Iterable[tuple[Sequence[int], list[tuple[Sequence[Mapping[str, Any]], Any, int]]]]:
    """Yield (indices in ``planned``, their outcomes): family by family, then the protocols, until stopped."""
    in_rounds = [place for place, run in enumerate(planned) if isinstance(run.algorithm, Algorithm)]
    runs = [
        Run(
            planned[place].algorithm,
            seed=planned[place].seed,
            conditions=planned[place].conditions,
            sampled_nodes=sampled_nodes,
            byte_budget=byte_budget,
            speeds=planned[place].speeds,
            energy=planned[place].energy,
        )
        for place in in_rounds
    ]
    groups = [part for family in families(runs) for part in family.split_to_fit(mesh)]
    protocols = [place for place, run in enumerate(planned) if not isinstance(run.algorithm, Algorithm)]
    for number, family in enumerate(groups, start=1):
        if listener.should_stop():
            return
        places = [in_rounds[member] for member in family.members]
        listener.note(
            f"compiling {family.name} for {counted(len(places), 'run')}"
            + (f", program {number} of {len(groups)}" if len(groups) > 1 else "")
        )
        points = [planned[place].number for place in places]
        replicas = simulate_family(family, points, rounds, observer=listener, mesh=mesh, **common)
        yield places, [(replica.records, replica.status, replica.rounds) for replica in replicas]
        if any(replica.status == "interrupted" for replica in replicas):
            return
    while protocols and not listener.should_stop():
        turn = protocols[: at_once([planned[place].algorithm for place in protocols], mesh)]
        together = []
        for run in (planned[place] for place in turn):
            assert run.schedule is not None
            given = (
                run.algorithm,
                run.schedule,
                run.seed,
                sampled_nodes,
                byte_budget,
                common["matmul_precision"],
                run.energy,
            )
            together.append(EventsRun(*given))
        outcomes = simulate_together(together, rounds, mesh, evaluate_every=common["evaluate_every"], observer=listener)
        yield turn, [(replica.records, replica.status, replica.rounds) for replica in outcomes]
        if any(replica.status == "interrupted" for replica in outcomes):
            return
        protocols = protocols[len(turn) :]


def _plan_point(
    number: int, point: Point, make: Make, options: Mapping[str, Any], seeds: Sequence[int]
) -> list[_PlannedRun]:
    """Return the runs at a point, one per seed; functions that do not take the seed are called once."""
    makers = {ALGORITHM: make, **options}
    shared = {name: _made(name, maker, point, seeds[0]) for name, maker in makers.items() if not _takes_seed(maker)}
    planned = []
    for seed in seeds:
        made = {
            name: shared[name] if name in shared else _made(name, maker, point, seed) for name, maker in makers.items()
        }
        _check_made(point, *(made[name] for name in makers))
        planned.append(_PlannedRun(number, point, seed, *(made[name] for name in makers)))
    return planned


def _check_made(point: Point, algorithm: Any, conditions: Any, speeds: Any, energy: Any, schedule: Any) -> None:
    """Raise InputError or ArgumentTypeError unless these can form a run."""
    if not isinstance(algorithm, GossipProtocol):
        if not isinstance(algorithm, Algorithm):
            where = f" at {dict(point)}" if point else ""
            raise ArgumentTypeError(
                f"sweep: make gives {shown(algorithm)}{where}, which is no algorithm",
                hint="def make(rate): return jg.algorithms.dsgd(problem, optax.sgd(rate), W)",
            )
        check_algorithm(algorithm, conditions, speeds, energy)
        return
    if schedule is None:
        raise InputError(
            f"sweep: {algorithm.name} is a protocol, and runs on a schedule",
            hint="sweep(…, schedule=jg.schedule.schedule(graph, clock=…)), or a function that makes one of a point's values",
        )
    check_protocol(algorithm, schedule, energy)
    if conditions is not None or speeds is not None:
        what = "conditions" if conditions is not None else "speeds"
        raise InputError(
            f"sweep: {algorithm.name} is a protocol, and takes no {what}",
            hint="what befalls messages is the schedule's",
        )


def _made(name: str, maker: Any, point: Point, seed: int) -> Any:
    """Return the result of ``maker`` for the values of a point that it takes by name; a value that is no function as it is."""
    if not _is_maker(maker):
        return maker
    signature = inspect.signature(maker)
    values = {key: value for key, value in point.items() if key != ALGORITHM or ALGORITHM in signature.parameters}
    keywords = {key: value for key, value in values.items() if _takes(maker, key)}
    if _takes_seed(maker):
        keywords["seed"] = seed
    try:
        signature.bind(**keywords)
    except TypeError as error:
        called = "make" if name == ALGORITHM else name
        raise InputError(
            f"sweep: {called}: {error}", hint="what it takes by name are names of the grid, or it has a default"
        ) from error
    return maker(**keywords)


def _is_maker(value: Any) -> bool:
    return callable(value) and not isinstance(value, Algorithm | GossipProtocol | Conditions | Speeds | Energy)


def _takes(value: Any, name: str) -> bool:
    """Return whether ``value`` is a function that accepts a keyword argument of this name."""
    if not _is_maker(value):
        return False
    parameters = inspect.signature(value).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return True
    return name in parameters and parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY


def _takes_seed(value: Any) -> bool:
    return _is_maker(value) and "seed" in inspect.signature(value).parameters


def _seeds(seeds: Any) -> list[int]:
    """Return the seeds as a list.

    Raises:
        ArgumentTypeError: ``seeds`` is neither a number nor an iterable.
        InputError: there are no seeds, one is not a whole number in range, or one occurs twice.
    """
    if isinstance(seeds, str) or not (is_number(seeds) or isinstance(seeds, Iterable)):
        raise ArgumentTypeError(f"sweep: seeds cannot be {shown(seeds)}", hint="seeds=4, or seeds=[0, 1, 2, 3]")
    if is_number(seeds):
        return list(range(whole("sweep", "seeds", seeds, 1)))
    numbers = [whole("sweep", "seeds", seed, 0, MOST_SEED) for seed in seeds]
    if not numbers or len(set(numbers)) < len(numbers):
        hint = "seeds=[0, 1, 2, 3]"
        raise InputError(f"sweep: seeds are {'none' if not numbers else 'not all different'}", hint=hint)
    return numbers


def _points(make: Any, grid: Any, options: Mapping[str, Any]) -> list[tuple[Point, Any]]:
    """Return every point with its algorithm or the function that makes it.

    Raises:
        InputError: the grid is empty or inconsistent, or one of its names is reserved or used by no function.
        ArgumentTypeError: ``make`` or ``grid`` is of the wrong type.
    """
    makers, several = _makers(make)
    values = _values(grid)
    for name in dict.fromkeys(name for point in values for name in point):
        if not isinstance(name, str) or name in RESERVED_NAMES or (several and name == ALGORITHM):
            hint = "seeds=… gives the seeds" if name == "seed" else "rename it in the grid and in make"
            raise InputError(f"sweep: {shown(name)} cannot be a name of the grid", hint=hint)
    points = []
    for label, maker in makers.items():
        for point in values:
            for name in point:
                if not any(_takes(value, name) for value in (maker, *options.values())):
                    what = f"the function of '{label}'" if several else "make"
                    hint = "an algorithm as it is takes nothing: give a function" if not _is_maker(maker) else ""
                    hint = hint or f"def make({', '.join(point)}): …, or conditions=lambda {name}: …"
                    raise InputError(f"sweep: {what} does not take '{name}', nor does anything else", hint=hint)
            points.append(({ALGORITHM: label, **point} if several else dict(point), maker))
    return points


def _makers(make: Any) -> tuple[dict[str, Any], bool]:
    """Return (algorithms or functions that make them, by name; whether several were given)."""
    if isinstance(make, Mapping):
        if not make or not all(isinstance(name, str) for name in make):
            raise InputError("sweep: algorithms are given by name", hint="{'D-SGD': make_dsgd, 'D²': make_d2}")
        return dict(make), True
    if isinstance(make, Sequence) and not isinstance(make, str):
        by_name: dict[str, Any] = {}
        for algorithm in make:
            if not isinstance(algorithm, Algorithm | GossipProtocol):
                hint = "functions go by name: {'D-SGD': make_dsgd, 'D²': make_d2}"
                raise ArgumentTypeError(f"sweep: {shown(algorithm)} is no algorithm", hint=hint)
            same = sum(name == algorithm.name or name.startswith(f"{algorithm.name} #") for name in by_name)
            by_name[f"{algorithm.name} #{same + 1}" if same else algorithm.name] = algorithm
        if not by_name:
            raise InputError("sweep: there is no algorithm in the list")
        return by_name, True
    if not callable(make) and not isinstance(make, Algorithm | GossipProtocol):
        hint = "def make(rate): return jg.algorithms.dsgd(problem, optax.sgd(rate), W)"
        raise ArgumentTypeError(f"sweep: {shown(make)} makes no algorithm", hint=hint)
    return {"": make}, False


def _values(grid: Any) -> list[Mapping[str, Any]]:
    """Return the points of a grid: every combination of the values of a mapping, or the points of a list."""
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
