"""The rounds engine: one compiled program advances all nodes by any number of rounds."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgossip.algorithms import Algorithm
from jaxgossip.core.counting import to_int
from jaxgossip.core.devices.mesh import check_mesh
from jaxgossip.network import Conditions, Energy, Metering, Speeds
from jaxgossip.network.wallclock import Clock, to_seconds
from jaxgossip.simulation.agreement import ALONE, Agreement
from jaxgossip.simulation.arguments import check_algorithm, check_observer, settings
from jaxgossip.simulation.checks import check_start
from jaxgossip.simulation.listening.observer import Observer
from jaxgossip.simulation.loop import Pace
from jaxgossip.simulation.mesh.program import MeshProgram
from jaxgossip.simulation.mesh.spread_run import SpreadRun
from jaxgossip.simulation.program import Program, RunState
from jaxgossip.simulation.results.result import Result
from jaxgossip.simulation.single import run_single


def simulate(
    algorithm: Algorithm,
    rounds: int,
    *,
    seed: int = 0,
    evaluate_every: int = 10,
    conditions: Conditions | None = None,
    sampled_nodes: int = 1000,
    byte_budget: int = 0,
    matmul_precision: str = "highest",
    speeds: Speeds | None = None,
    energy: Energy | None = None,
    mesh: Mesh | None = None,
    start: RunState | None = None,
    start_wall_s: float = 0.0,
    observer: Observer | None = None,
    progress: bool = False,
) -> Result:
    """Run ``algorithm`` for ``rounds`` rounds.

    The first Ctrl-C stops the run after the current chunk, which takes about a second, and returns what has been measured; a
    second one raises KeyboardInterrupt immediately. A SIGINT handler other than Python's default is left in place.

    Args:
        algorithm: the algorithm to run.
        rounds: total number of rounds, including those before ``start``.
        seed: seed of all random draws; together with the algorithm it determines every bit of the result.
        evaluate_every: rounds between evaluations; round 0 and the last round are always evaluated.
        conditions: faults of the network and the nodes; none by default.
        sampled_nodes: maximum number of nodes per evaluation, drawn once per run; all nodes are scored at the end.
        byte_budget: the run ends before all nodes together have sent more than this many bytes; 0 for no limit.
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.
        speeds: speeds of the nodes' machines; if given, records contain the virtual seconds that the run takes on them.
        energy: what the nodes' machines spend; if given, records contain the joules of all nodes together, and nodes whose
            batteries are spent are offline (see :mod:`jaxgossip.network.energy`).
        mesh: the devices over which the nodes are spread, such as ``jg.mesh(8)``; None for one device. On a mesh of any number
            of devices, one included, the results are the same to the bit; without one they equal these up to rounding. If its
            devices belong to several processes, all of them must call this alike; they stop together, and ``run`` of the
            result stays spread.
        start: a run state to continue from, such as a checkpoint's; donated. Its round is not evaluated again.
        start_wall_s: wall-clock seconds spent before ``start``.
        observer: receives records and progress, and may stop the run.
        progress: whether to show progress on stderr.

    Returns:
        The result. A diverged or interrupted run keeps all records up to its end.

    Raises:
        InputError: a number is out of range, ``start`` does not fit this run, or the algorithm cannot be spread over devices.
        ArgumentTypeError: an argument is of the wrong type.
    """
    check_algorithm(algorithm, conditions, speeds, energy)
    asked = settings(
        "simulate", rounds=rounds, seed=seed, evaluate_every=evaluate_every, sampled_nodes=sampled_nodes,
        byte_budget=byte_budget, matmul_precision=matmul_precision,
    )  # fmt: skip
    check_observer(observer, Observer)
    check_mesh("simulate", mesh)
    agreement = Agreement.over(mesh)
    compiled = partial(
        Program if mesh is None else partial(MeshProgram, mesh=mesh), algorithm, seed=seed, conditions=conditions,
        sampled_nodes=sampled_nodes, byte_budget=byte_budget, matmul_precision=matmul_precision, speeds=speeds,
        energy=energy,
    )  # fmt: skip
    return run_single(
        algorithm, asked, compiled, lambda program: RoundsEngine(program, start, agreement),
        start=start, start_wall_s=start_wall_s, observer=observer, progress=progress, agreement=agreement,
    )  # fmt: skip


class RoundsEngine:
    """A run in rounds, as the host loop drives it.

    Args:
        program: the compiled programs of the run.
        start: the state to continue from, donated; None for the initial state.
        agreement: between the processes of the run.

    Raises:
        InputError: ``start`` does not fit this run.
        ArgumentTypeError: ``start`` is not the state of a run.

    Attributes:
        run: the current state.
        records: the evaluations so far.
        done: rounds completed.
    """

    def __init__(
        self, program: Program | MeshProgram, start: RunState | None = None, agreement: Agreement = ALONE
    ) -> None:
        if start is not None:
            check_start(program.like, start)
        self._program, self._pace, self._agreement = program, Pace(), agreement
        self.run = program.start() if start is None else program.spread(start)
        self.records: list[Mapping[str, Any]] = []
        self.done = int(self.run.round)

    @property
    def diverged(self) -> bool:
        """Whether a model has become NaN or infinite."""
        return bool(self.run.diverged)

    @property
    def over(self) -> bool:
        """Whether the run has diverged or exhausted its byte budget."""
        return self.diverged or bool(self.run.spent)

    def advance(self, goal: int) -> None:
        """Advance by one chunk, at most to round ``goal``."""
        before, began = self.done, time.perf_counter()
        until = min(goal, before + self._agreement.of_first(self._pace.rounds()))
        self.run = jax.block_until_ready(self._program.advance(self.run, until))
        self.done = int(self.run.round)
        self._pace.update(time.perf_counter() - began, self.done - before)

    def evaluate(self, wall_s: float) -> Mapping[str, Any] | None:
        """Append and return a record; None if the run has diverged."""
        if self.diverged:
            return None
        self.records.append(make_record(self._program, self.run, wall_s))
        return self.records[-1]

    def checkpoint(self) -> RunState | SpreadRun:
        """Return the state, which the next chunk consumes."""
        return self._program.kept(self.run)

    def final(self) -> RunState | SpreadRun:
        """Return the last state."""
        last = self._program.kept(self.run)
        return last.gathered() if isinstance(last, SpreadRun) and self._agreement.alone else last

    def score_all(self) -> dict[str, jax.Array]:
        """Return every measure of every node, (n,) each."""
        return self._program.score_all(self.run)


def make_record(program: Program | MeshProgram, run: RunState, wall_s: float) -> dict[str, Any]:
    """Evaluate a run and return the record, a flat dict of Python numbers."""
    measured = {name: float(value) for name, value in jax.device_get(program.measure(run)).items()}
    return {
        "round": int(run.round),
        **measured,
        "messages": to_int(run.traffic.messages),
        "bytes_sent": to_int(run.traffic.bytes_sent),
        "metadata_bytes": to_int(run.traffic.metadata_bytes),
        **virtual_seconds(program.clock(run)),
        **joules(program.metering, program.meter(run), program.clock(run)),
        "wall_s": round(wall_s, 6),
    }


def virtual_seconds(clock: Clock | np.ndarray | None) -> dict[str, float]:
    """Return the virtual seconds of (n, 2) clocks for a record, latest and mean over nodes; empty without clocks."""
    if clock is None:
        return {}
    seconds = to_seconds(clock)
    return {"virtual_s": float(seconds.max()), "virtual_s_mean": float(seconds.mean())}


def joules(metering: Metering | None, meter: Any, clock: Clock | np.ndarray | None) -> dict[str, float | int]:
    """Return the joules of all nodes for a record, and how many nodes are not out of energy; empty without meters."""
    return {} if metering is None or meter is None else metering.record(meter, clock)
