"""What an experiment holds and how long a round of it takes, by its compiled programs: in rounds, or in events."""

import time
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgossip.algorithms import GossipProtocol
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.simulation.events.engine import STRETCH
from jaxgossip.simulation.events.program import WaveProgram
from jaxgossip.simulation.events.stretches import Flow
from jaxgossip.simulation.program import Program, initial_shapes

CALIBRATION_S = 1.0
"""A calibration runs about so long."""
TRIED_CYCLES = 12
"""Cycles of a schedule from which the copies in flight are counted, if they do not settle before."""
SETTLED = 1.02
"""… which they have when a cycle adds less than this factor."""
MESSAGE_BYTES = 300
"""What a message of a stretch, or one that waits for it, takes while all are levelled, beside its copy."""


class Footprint(NamedTuple):
    """Bytes of a run.

    Attributes:
        state: models and optimizer states.
        copies: copies of models in flight; 0 in rounds.
        scratch: what the hungriest program takes besides.
        messages: the schedule of a stretch; 0 in rounds.
    """

    state: int
    copies: int
    scratch: int
    messages: int


def state_bytes(experiment: Experiment) -> int:
    """Return the bytes of models and optimizer states; nothing is computed."""
    algorithm, seed = experiment.algorithm, experiment.config.seed
    if isinstance(algorithm, GossipProtocol):
        return tree_bytes(jax.eval_shape(algorithm.init, jax.random.key(0)))
    return tree_bytes(initial_shapes(algorithm, seed, timed=experiment.speeds is not None))


def footprint(experiment: Experiment) -> Footprint:
    """Return what a run holds: its programs are compiled, and none of its models are made."""
    algorithm, config = experiment.algorithm, experiment.config
    if not isinstance(algorithm, GossipProtocol):
        program = _rounds(experiment)
        return Footprint(tree_bytes(program.like), 0, program.scratch_bytes, 0)
    program, slots, most = _events(experiment), 0, 0
    assert experiment.schedule is not None
    flow = Flow(experiment.schedule)
    for _ in range(min(TRIED_CYCLES, config.rounds)):
        before, earlier, work = slots, flow.waiting, flow.next(1)
        slots, cycle = max(slots, work.n_slots), max(1, flow.waiting - earlier + work.receiver.size)
        cycles = max(1, min(config.rounds, STRETCH // cycle))
        most = max(most, earlier + cycles * cycle)
        program.compile_for(work, slots)
        if slots and slots < SETTLED * before:
            break
    # The slots grow by doubling, and are twice in memory while they do.
    copies = 2 * slots * tree_bytes(program.slot_like)
    return Footprint(tree_bytes(program.like), copies, program.scratch_bytes, MESSAGE_BYTES * most)


def round_seconds(experiment: Experiment) -> float:
    """Return the seconds of a round, or of a cycle with its schedule, measured."""
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
    program, flow, began = _events(experiment), Flow(experiment.schedule), time.perf_counter()
    carried, best, cycles = program.start(), np.inf, 1
    while time.perf_counter() - began < 4 * CALIBRATION_S:  # compilation included, for it comes with every new shape
        start = time.perf_counter()
        work = flow.next(cycles)
        carried = jax.block_until_ready(program.execute(carried, work))
        best = min(best, (time.perf_counter() - start) / cycles)
        cycles = max(1, min(2 * cycles, cycles * STRETCH // max(1, work.receiver.size)))
    return float(best)


def _rounds(experiment: Experiment) -> Program:
    config, algorithm = experiment.config, experiment.algorithm
    assert not isinstance(algorithm, GossipProtocol)
    return Program(
        algorithm,
        seed=config.seed,
        conditions=experiment.conditions,
        sampled_nodes=config.evaluation.sampled_nodes,
        matmul_precision=config.device.matmul_precision,
        speeds=experiment.speeds,
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
