"""Convolutional networks: a few of them against the CPU, and many of them timed.

Two 3×3 convolutions of 32 and 64 maps on 16 images of 32×32×3 a node, 60,362 parameters, D-SGD on a random 4-regular graph.
"""

from collections.abc import Iterator
from functools import partial

import jax
import numpy as np

from jaxgossip import mixing, topology
from jaxgossip.algorithms import Algorithm, dsgd
from jaxgossip.bench.accelerator.check import Check, Found, Sizes, compared
from jaxgossip.bench.accelerator.device import check_room, device_memory, on_cpu
from jaxgossip.bench.deep import networks
from jaxgossip.bench.deep.cases import measured
from jaxgossip.bench.memory import DEEP_NODE_BYTES
from jaxgossip.bench.table import number
from jaxgossip.bench.timing import ProgramRounds, seconds_a_round
from jaxgossip.core.units import duration
from jaxgossip.simulation.compiled import Compiler
from jaxgossip.simulation.program import Run

DEGREE = 4
ROUNDS = 2
TOLERANCE = 1e-4
"""Of models after two rounds: sums of thousands of products in another order, and the larger of two that are almost equal."""
NODE_BYTES = 2_000_000
"""Roughly the bytes of a node in a round: models, samples, gradients. What is computed at a time fits into the rest."""


def checks(sizes: Sizes) -> Iterator[Check]:
    """Yield the comparison with the CPU, a round, and a step beside plain ``vmap`` of ``grad``."""
    yield Check(f"{sizes.cnn_compared:,} nodes, {ROUNDS} rounds", partial(agrees, sizes.cnn_compared))
    yield Check(f"{sizes.cnn:,} nodes, a round of D-SGD", partial(round_of, sizes.cnn, sizes.sample_s))
    yield Check(f"{sizes.cnn:,} nodes, a step", partial(step_of, sizes.cnn, sizes.sample_s))


def agrees(nodes: int) -> Found:
    """Check the models after two rounds."""
    found = _after_rounds(nodes)
    with on_cpu():
        expected = _after_rounds(nodes)
    return compared(found, expected, TOLERANCE)


def round_of(nodes: int, sample_s: float) -> Found:
    """Time a whole round."""
    check_room(nodes * NODE_BYTES)
    network = networks.cnn_32(nodes, seed=0)
    rounds = ProgramRounds(_algorithm(network, nodes), seed=0)
    round_s = seconds_a_round(rounds, 1, sample_s)
    samples = network.x.shape[0] * network.x.shape[1]
    figures = {
        "round_s": round_s,
        "samples_per_s": samples / round_s,
        "scratch_bytes": rounds.scratch_bytes,
        "peak_bytes": device_memory().peak,
    }
    return Found(f"{duration(round_s)}, {samples / round_s:,.0f} samples/s", figures)


def step_of(nodes: int, sample_s: float) -> Found:
    """Time a step beside plain ``vmap`` of ``grad``, which computes all nodes at once."""
    check_room(nodes * DEEP_NODE_BYTES)
    case = measured("cnn_step", networks.cnn_32(nodes, seed=0), 1, 0, sample_s)
    text = f"{duration(case.round_s)}, plain vmap(grad) {number(case.speedup)} times that"
    return Found(text, case.record())


def _algorithm(network: networks.Network, nodes: int) -> Algorithm:
    graph = topology.random_regular(nodes, DEGREE, rng=0) if nodes > DEGREE else topology.complete(nodes)
    return dsgd(network.problem(), network.optimizer, mixing.metropolis_hastings(graph))


def _after_rounds(nodes: int) -> np.ndarray:
    run = Run(_algorithm(networks.cnn_32(nodes, seed=0), nodes))
    return np.asarray(Compiler().compile(_models, run)())


def _models(run: Run) -> jax.Array:
    return run.algorithm.models(run.rounds(run.initialization.state(), jax.numpy.int32(ROUNDS)).state)
