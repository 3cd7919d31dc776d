"""Every algorithm of the registry for three rounds, and every protocol for three cycles, against the same on the CPU.

Where the default device is a CPU, they are compared with a second run on it. Models have to agree up to rounding, and what was
sent to the byte.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms import PROTOCOLS, GossipProtocol
from jaxgossip.bench.accelerator.check import TOLERANCE, Check, Found, Sizes, compared, together
from jaxgossip.bench.accelerator.device import on_cpu
from jaxgossip.bench.case import Setting
from jaxgossip.bench.methods import method, method_names, task
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.simulation.compiled import Compiler
from jaxgossip.simulation.events.program import WaveProgram
from jaxgossip.simulation.events.segments import MessageStream
from jaxgossip.simulation.program import Run

ROUNDS = 3
FIRST = (
    "choco top_k",
    "deep_squeeze sign",
    "beer top_k",
    "motef random_k",
    "lead qsgd",
    "cedas qsgd",
    "sparse_loco top_k",
)
"""Algorithms that compress, with the compressor that they are tried with before all others."""
ROUNDED = MappingProxyType({"float16": 1e-3, "bfloat16": 1e-2, "low_rank": 1e-4, "power_gossip": 1e-4})
"""Tolerances by compressor or algorithm. A number at the edge between two 16-bit numbers may be rounded either way, which makes
2⁻¹¹ or 2⁻⁸ of it; low-rank factors are divided by their lengths, which adds to rounding."""
PROTOCOL = """
rounds = 3
[topology]
kind = "random_regular"
degree = 4
nodes = {nodes}
[learning]
dataset = "synthetic"
dataset_options = {{ samples = 1000, features = {features} }}
model = "logistic"
[algorithm]
kind = "{name}"
[optimizer]
learning_rate = 0.1
"""


def checks(sizes: Sizes) -> Iterator[Check]:
    """Yield every algorithm and every protocol, and then those that compress with all other compressors."""
    setting = Setting(nodes=sizes.method_nodes, params=sizes.method_params)
    names = method_names()
    first = [name for name in names if name in FIRST or " " not in name]
    for name in first:
        yield Check(name, partial(agrees, name, setting))
    for name in PROTOCOLS:
        yield Check(f"{name}, own clocks", partial(protocol_agrees, name, setting))
    for name in [name for name in names if name not in first] if sizes.compressors else []:
        yield Check(name, partial(agrees, name, setting))


def tolerance_of(name: str) -> float:
    """Return the tolerance of an algorithm, named as by :func:`jaxgossip.bench.methods.method_names`."""
    return max((ROUNDED.get(word, TOLERANCE) for word in name.split()), default=TOLERANCE)


def agrees(name: str, setting: Setting) -> Found:
    """Check three rounds of an algorithm."""
    found = after_rounds(name, setting)
    with on_cpu():
        expected = after_rounds(name, setting)
    return _agreement(found, expected, tolerance_of(name))


def after_rounds(name: str, setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Return (models (n, p), or (1, p) where one serves all; what was sent, as words) after three rounds."""
    algorithm, _ = method(name, task(setting), setting)
    models, traffic = Compiler().compile(_three_rounds, Run(algorithm))()
    return np.asarray(models), _words(traffic)


def protocol_agrees(name: str, setting: Setting) -> Found:
    """Check three cycles of a protocol."""
    found = after_cycles(name, setting)
    with on_cpu():
        expected = after_cycles(name, setting)
    return _agreement(found, expected, TOLERANCE)


def after_cycles(name: str, setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Return (models (n, p), numbers of deliveries by cycle) after three cycles of a protocol."""
    text = PROTOCOL.format(name=name, nodes=setting.nodes, features=setting.params - 1)
    experiment = build(load(text, folder=Path.cwd()))
    protocol, schedule = experiment.algorithm, experiment.schedule
    assert isinstance(protocol, GossipProtocol)
    assert schedule is not None
    program, flow = WaveProgram(protocol, schedule.kinds), MessageStream(schedule)
    carried, deliveries = program.start(), []
    for _ in range(ROUNDS):
        work = flow.next(1)
        carried = program.execute(carried, work)
        deliveries.append(work.receiver.size)
    return np.asarray(protocol.models(carried.state)), np.asarray(deliveries)


def _three_rounds(run: Run) -> tuple[jax.Array, Any]:
    done = run.rounds(run.initialization.state(), jnp.int32(ROUNDS))
    return run.algorithm.models(done.state), done.traffic


def _words(traffic: Any) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(leaf, np.int64)) for leaf in jax.tree.leaves(traffic)])


def _agreement(
    found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray], tolerance: float
) -> Found:
    parts: Mapping[str, Found] = {
        "models": compared(found[0], expected[0], tolerance),
        "sent": compared(found[1], expected[1], 0.0),
    }
    return together(parts)
