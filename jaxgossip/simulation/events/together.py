"""Several runs by the nodes' own clocks at the same time, each wholly on a device of its own.

The host loop drives them as one engine. In every step each run executes one segment, in a thread of its own, and they meet at
every evaluation. Observers are called, and Ctrl-C is handled, between two steps, as for a single run; and every run executes
the segments that it would alone, with the same bits.
"""

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgossip.algorithms.protocols.protocol import GossipProtocol
from jaxgossip.core.pytree import partition
from jaxgossip.core.typing import PyTree
from jaxgossip.core.units import counted
from jaxgossip.network import Energy
from jaxgossip.schedule import Source
from jaxgossip.simulation.arguments import check_protocol
from jaxgossip.simulation.events.engine import EventRun, EventsEngine, simulate_events
from jaxgossip.simulation.events.program import WaveProgram
from jaxgossip.simulation.layout import most_at_once
from jaxgossip.simulation.listening.observer import Observer, announced
from jaxgossip.simulation.loop import Stopwatch, drive
from jaxgossip.simulation.replicas import Replica, bytes_of_run
from jaxgossip.simulation.results.endings import final_status


@dataclass(frozen=True)
class EventsRun:
    """A run by events.

    Attributes:
        protocol: what nodes send, and how they process messages.
        schedule: which node sends to which, and when.
        seed: seed of all random draws.
        sampled_nodes: maximum number of nodes per evaluation.
        byte_budget: the run ends before all nodes together have sent more than this many bytes; 0 for no limit.
        matmul_precision: precision of float32 matrix products.
        energy: what the nodes' machines spend; None to keep no account of it.
    """

    protocol: GossipProtocol
    schedule: Source
    seed: int = 0
    sampled_nodes: int = 1000
    byte_budget: int = 0
    matmul_precision: str = "highest"
    energy: Energy | None = None


def at_once(protocols: Sequence[GossipProtocol], mesh: Mesh | None) -> int:
    """Return how many of some protocols, the first ones, run at the same time: one a device, or fewer if memory is short."""
    if mesh is None:
        return 1
    first = protocols[: mesh.size]
    largest = max(bytes_of_run(jax.eval_shape(protocol.init, jax.random.key(0))) for protocol in first)
    return min(len(first), most_at_once(largest, mesh))


def simulate_together(
    runs: Sequence[EventsRun],
    cycles: int,
    mesh: Mesh | None,
    *,
    evaluate_every: int = 10,
    observer: Observer | None = None,
) -> list[Replica]:
    """Run several protocols at the same time, run k on device k, each with the result of ``simulate_events``, to the bit.

    Args:
        runs: the runs, as many as :func:`at_once` allows.
        cycles: number of cycles.
        mesh: the devices; None for the default device and a single run, of which observers hear as in ``simulate_events``.
        evaluate_every: cycles between evaluations; cycle 0 and the last cycle are always evaluated.
        observer: receives records that are means over the runs, and states that are a tuple of those of the runs;
            ``finished`` is called only if it stops the runs. It is called in the thread of the caller alone.

    Returns:
        The outcome of each run, in order. A run that diverges or exhausts its byte budget keeps its records, and the others
        continue. If the observer stops the runs, those that had not ended are interrupted.

    Raises:
        InputError: protocol and schedule of a run do not fit together.
    """
    for run in runs:
        check_protocol(run.protocol, run.schedule, run.energy)
    if mesh is None:
        return [_alone(run, cycles, evaluate_every, observer) for run in runs]
    observer, devices = observer or Observer(), list(mesh.devices.flat)[: len(runs)]
    name = runs[0].protocol.name
    observer.note(f"compiling {name} for {counted(len(runs), 'run')}")
    with announced(observer, name, cycles), _threads(devices) as on_devices:
        observer.compiling()
        began = time.perf_counter()
        programs = on_devices(_compiled, list(zip(runs, devices, strict=True)))
        observer.compiled(time.perf_counter() - began)
        clock = Stopwatch()
        members = on_devices(
            lambda pair: EventsEngine(
                pair[0], pair[1].schedule, cycles, evaluate_every, pair[1].byte_budget, energy=pair[1].energy
            ),
            list(zip(programs, runs, strict=True)),
        )
        engine = TogetherEngine(members, on_devices)
        stopped = drive(engine, cycles, evaluate_every, observer, clock, begin=True)
        if stopped:
            observer.finished(engine.checkpoint(), clock.seconds())
    return [
        Replica(
            [dict(record) for record in member.records],
            final_status(member.records, diverged=member.diverged, stopped=stopped and not member.spent),
            member.done,
        )
        for member in members
    ]


type _OnDevices = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""(function, one argument for each device or None to leave it out) -> results, by device."""


class TogetherEngine:
    """Several runs by events, each on its device, as the host loop drives them.

    Args:
        members: the runs.
        on_devices: calls a function for each run, all at the same time.
    """

    def __init__(self, members: Sequence[EventsEngine], on_devices: _OnDevices) -> None:
        self._members, self._on_devices = members, on_devices

    @property
    def done(self) -> int:
        """Cycles completed by all runs that have not ended early."""
        return min((member.done for member in self._members if not member.over), default=self._latest)

    @property
    def over(self) -> bool:
        """Whether every run has diverged or exhausted its byte budget."""
        return all(member.over for member in self._members)

    def advance(self, goal: int) -> None:
        """Execute the next segment of every run that has not ended, at most to cycle ``goal``."""
        behind = [member if not member.over and member.done < goal else None for member in self._members]
        self._on_devices(lambda member: member.advance(goal), behind)

    def evaluate(self, wall_s: float) -> Mapping[str, Any] | None:
        """Append a record for every run that has not diverged or been recorded at its current cycle; return their mean.

        The ``wall_s`` of a run is that of all divided by their number.
        """
        share = wall_s / len(self._members)
        due = [
            None if member.records and member.records[-1]["round"] == member.done else member
            for member in self._members
        ]
        found = self._on_devices(lambda member: member.evaluate(share), due)
        new = [record for record in found if record is not None]
        names = [name for name in new[0] if all(name in record for record in new)] if new else []
        return {name: float(np.mean([record[name] for record in new])) for name in names} if new else None

    def checkpoint(self) -> tuple[EventRun, ...]:
        """Return the states of the runs, which the next segments consume."""
        return tuple(member.checkpoint() for member in self._members)

    @property
    def _latest(self) -> int:
        return max(member.done for member in self._members)


def _alone(run: EventsRun, cycles: int, evaluate_every: int, observer: Observer | None) -> Replica:
    result = simulate_events(
        run.protocol, run.schedule, cycles, seed=run.seed, evaluate_every=evaluate_every,
        sampled_nodes=run.sampled_nodes, byte_budget=run.byte_budget, matmul_precision=run.matmul_precision,
        energy=run.energy, observer=observer,
    )  # fmt: skip
    return Replica([dict(record) for record in result.metrics], result.status, result.rounds)


def _compiled(pair: tuple[EventsRun, Any]) -> WaveProgram:
    run, device = pair
    # Moved once: programs would otherwise be sent the data with every call.
    return WaveProgram(
        _moved(run.protocol, device),
        run.schedule.kinds,
        seed=run.seed,
        sampled_nodes=run.sampled_nodes,
        matmul_precision=run.matmul_precision,
    )


def _moved(tree: PyTree, device: Any) -> PyTree:
    arrays, static = partition(tree)
    return static.combined(jax.device_put(arrays, device))


@contextlib.contextmanager
def _threads(devices: Sequence[Any]) -> Iterator[_OnDevices]:
    """Yield a function that calls another one for each device, in a thread whose default device it is.

    What the threads raise, the caller receives, the first by the order of devices. A KeyboardInterrupt of the caller does
    not wait for them: each ends with its segment.
    """
    pool, x64 = ThreadPoolExecutor(len(devices), "jaxgossip-device"), bool(jax.config.jax_enable_x64)

    def call(function: Callable[[Any], Any], device: Any, argument: Any) -> Any:
        with jax.default_device(device), jax.enable_x64(x64):
            return function(argument)

    def on_devices(function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        futures = [
            None if argument is None else pool.submit(contextvars.copy_context().run, call, function, device, argument)
            for device, argument in zip(devices, arguments, strict=True)
        ]
        return [None if future is None else future.result() for future in futures]

    at_once = False
    try:
        yield on_devices
    except KeyboardInterrupt:
        at_once = True
        raise
    finally:
        pool.shutdown(wait=not at_once, cancel_futures=True)
