"""The memory and the time per round of an experiment, by its compiled programs, for runs in rounds and in events."""

import time
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgossip.algorithms import GossipProtocol
from jaxgossip.experiment.build.devices import mesh_of
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.simulation.events.engine import SEGMENT_MESSAGES
from jaxgossip.simulation.events.program import WaveProgram
from jaxgossip.simulation.events.segments import MessageStream
from jaxgossip.simulation.mesh.program import MeshProgram
from jaxgossip.simulation.program import Program, initial_shapes

CALIBRATION_S = 1.0
"""Approximate duration of a calibration in seconds."""
TRIED_CYCLES = 12
"""Largest number of cycles of a schedule from which the copies in flight are counted."""
CONVERGED = 1.02
"""Factor of growth in a cycle below which the number of copies counts as converged."""
MESSAGE_BYTES = 300
"""Bytes per message of a stretch, or waiting for it, while messages are divided into waves, not counting its copy."""


class Footprint(NamedTuple):
    """The memory of a run in bytes.

    Attributes:
        state: models and optimizer states.
        copies: copies of models in flight; 0 in rounds.
        scratch: largest temporary memory of a program.
        messages: the schedule of a stretch; 0 in rounds.
        spread: data and tables on the devices of a mesh, which have copies of their own; 0 without one.
    """

    state: int
    copies: int
    scratch: int
    messages: int
    spread: int = 0


class OnDevices(NamedTuple):
    """A run on a mesh, as its devices have it.

    Attributes:
        devices: number of devices.
        bytes_each: bytes of state, data, tables and temporary memory of a device.
        received: bytes that a device receives from others in a round.
    """

    devices: int
    bytes_each: int
    received: int


def state_bytes(experiment: Experiment) -> int:
    """Return the bytes of models and optimizer states, without computing them."""
    algorithm, seed = experiment.algorithm, experiment.config.seed
    if isinstance(algorithm, GossipProtocol):
        return tree_bytes(jax.eval_shape(algorithm.init, jax.random.key(0)))
    timed, metered = experiment.speeds is not None, experiment.energy is not None
    return tree_bytes(initial_shapes(algorithm, seed, timed=timed, metered=metered))


def footprint(experiment: Experiment) -> tuple[Footprint, OnDevices | None]:
    """Return the memory of a run, and what each device of a mesh has of it; no models are allocated."""
    if isinstance(experiment.algorithm, GossipProtocol):
        return _events_footprint(experiment), None
    program = _rounds(experiment)
    if isinstance(program, Program):
        return Footprint(tree_bytes(program.like), 0, program.scratch_bytes, 0), None
    count, each = program.mesh.size, program.array_bytes + program.scratch_bytes
    state = tree_bytes(program.like)
    total = Footprint(state, 0, count * program.scratch_bytes, 0, max(0, count * program.array_bytes - state))
    return total, OnDevices(count, each, program.received_bytes)


def _events_footprint(experiment: Experiment) -> Footprint:
    config = experiment.config
    program, slots, most = _events(experiment), 0, 0
    assert experiment.schedule is not None
    flow = MessageStream(experiment.schedule)
    for _ in range(min(TRIED_CYCLES, config.rounds)):
        before, earlier, work = slots, len(flow.standing.in_flight), flow.next(1)
        slots, cycle = max(slots, work.n_slots), max(1, len(flow.standing.in_flight) - earlier + work.receiver.size)
        cycles = max(1, min(config.rounds, SEGMENT_MESSAGES // cycle))
        most = max(most, earlier + cycles * cycle)
        program.compile_for(work, slots)
        if slots and slots < CONVERGED * before:
            break
    # The slots grow by doubling, during which they are in memory twice.
    copies = 2 * slots * tree_bytes(program.slot_like)
    return Footprint(tree_bytes(program.like), copies, program.scratch_bytes, MESSAGE_BYTES * most)


def round_seconds(experiment: Experiment) -> float:
    """Measure the seconds of a round, or of a cycle including its schedule."""
    return _event_seconds(experiment) if experiment.schedule is not None else _round_seconds(experiment)


def _round_seconds(experiment: Experiment) -> float:
    program = _rounds(experiment)
    run, done, chunk, seconds = program.start(), 0, 1, 0.0
    run = jax.block_until_ready(program.advance(run, 1))
    while seconds < CALIBRATION_S / 2 and not bool(run.diverged):
        chunk = max(1, round(chunk * CALIBRATION_S / seconds)) if seconds > CALIBRATION_S / 100 else 4 * chunk
        done, began = int(run.round), time.perf_counter()
        run = jax.block_until_ready(program.advance(run, done + chunk))
        seconds = time.perf_counter() - began
    return seconds / max(1, int(run.round) - done)


def _event_seconds(experiment: Experiment) -> float:
    assert experiment.schedule is not None
    program, flow, began = _events(experiment), MessageStream(experiment.schedule), time.perf_counter()
    carried, best, cycles = program.start(), np.inf, 1
    while time.perf_counter() - began < 4 * CALIBRATION_S:  # including compilation, which occurs for every new shape
        start = time.perf_counter()
        work = flow.next(cycles)
        carried = jax.block_until_ready(program.execute(carried, work))
        best = min(best, (time.perf_counter() - start) / cycles)
        cycles = max(1, min(2 * cycles, cycles * SEGMENT_MESSAGES // max(1, work.receiver.size)))
    return float(best)


def _rounds(experiment: Experiment) -> Program | MeshProgram:
    config, algorithm, mesh = experiment.config, experiment.algorithm, mesh_of(experiment.config.device)
    assert not isinstance(algorithm, GossipProtocol)
    return (Program if mesh is None else partial(MeshProgram, mesh=mesh))(
        algorithm,
        seed=config.seed,
        conditions=experiment.conditions,
        sampled_nodes=config.evaluation.sampled_nodes,
        matmul_precision=config.device.matmul_precision,
        speeds=experiment.speeds,
        energy=experiment.energy,
    )


def _events(experiment: Experiment) -> WaveProgram:
    config, algorithm = experiment.config, experiment.algorithm
    assert isinstance(algorithm, GossipProtocol)
    assert experiment.schedule is not None
    return WaveProgram(
        algorithm,
        experiment.schedule.kinds,
        seed=config.seed,
        sampled_nodes=config.evaluation.sampled_nodes,
        matmul_precision=config.device.matmul_precision,
    )


def tree_bytes(tree: Any) -> int:
    """Return the bytes of all arrays, or shapes, in a tree."""
    return sum(leaf.size * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype"))
