"""Peak memory of runs against their plan.

On an accelerator, the plan's parts that live on the device are compared with the most bytes that its allocator had in use. On
a CPU, the whole plan is compared with the peak resident memory of this process. Peaks never fall, so a run that stays below
an earlier one tells nothing: sizes ascend, and little is allocated before.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax

from jaxgossip.bench.accelerator.check import Check, Found, Sizes, SkipError
from jaxgossip.bench.accelerator.device import check_room, device_memory, is_cpu
from jaxgossip.core.units import bytes_text
from jaxgossip.experiment.build.experiment import Experiment, build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.planning.plan import Plan, memory_plan
from jaxgossip.simulation.program import Program

EXCESS = 0.1
"""Share of the plan by which a run may exceed it."""
ROUNDS = 5
ON_DEVICE = (
    "models and optimizer state",
    "scratch of a round",
    "graph and mixing tables",
    "samples and their numbers",
)
"""Parts of a plan that are in the memory of the device."""
NODE_BYTES = 600
"""Roughly the bytes of a node of gossip learning: its model twice, its sample's number and its age."""
HOST_NODE_BYTES = 60
"""Roughly the bytes of a node on the machine while samples are dealt."""
GOSSIP = """
rounds = 5
[topology]
kind = "complete"
nodes = {nodes}
[mixing]
kind = "matching"
[learning]
dataset = "spambase"
model = "pegasos"
model_options = {{ regularization = 1e-4 }}
batch_size = 1
[partition]
kind = "one_sample"
[algorithm]
kind = "gossip"
order = "update_merge"
[optimizer]
kind = "pegasos"
regularization = 1e-4
"""
CNN = """
rounds = 5
[topology]
kind = "random_regular"
degree = 4
nodes = {nodes}
[learning]
dataset = "mnist_10k"
model = "cnn"
batch_size = 16
[algorithm]
kind = "dsgd"
[optimizer]
learning_rate = 0.01
"""


def checks(sizes: Sizes) -> Iterator[Check]:
    """Yield runs of gossip learning in ascending size, and one of convolutional networks."""
    previous = (0, "")
    for n in sizes.memory:
        name = f"gossip learning, {n:,} nodes"
        like = {"like": previous[1], "times": n / previous[0]} if previous[1] else {}
        yield Check(name, partial(gossip_memory, n), **like)
        previous = (n, name)
    if sizes.memory_cnn:
        yield Check(f"convolutional, {sizes.memory_cnn:,} nodes", partial(run_memory, CNN, sizes.memory_cnn))


def gossip_memory(nodes: int) -> Found:
    """Check a run of gossip learning, unless it clearly does not fit."""
    check_room(nodes * NODE_BYTES, nodes * HOST_NODE_BYTES)
    return run_memory(GOSSIP, nodes)


def run_memory(config: str, nodes: int) -> Found:
    """Run a configuration, and compare its peak memory with its plan."""
    experiment = build(load(config.format(nodes=nodes), folder=Path.cwd()))
    plan = memory_plan(experiment)
    planned = plan.peak if is_cpu() else sum(plan.parts[part] for part in ON_DEVICE)
    check_room(plan.parts["models and optimizer state"] + plan.parts["scratch of a round"])
    before = device_memory().peak
    if before is None:
        raise SkipError("the device does not tell its peak memory")
    _run(experiment)
    peak = device_memory().peak
    assert peak is not None
    return _judged(plan, planned, before, peak)


def _run(experiment: Experiment) -> None:
    config = experiment.config
    program = Program(experiment.in_rounds, seed=config.seed, sampled_nodes=config.evaluation.sampled_nodes)
    run = program.advance(program.start(), ROUNDS)
    jax.block_until_ready(program.measure(run))


def _judged(plan: Plan, planned: int, before: int, peak: int) -> Found:
    figures = {"peak_bytes": peak, "planned_bytes": planned, "parts_bytes": dict(plan.parts)}
    if peak <= before:
        raise SkipError(f"planned {bytes_text(planned)}; an earlier check took more ({bytes_text(before)})")
    share = peak / planned
    text = f"peak {bytes_text(peak)}, planned {bytes_text(planned)}: {100 * share:.0f} %"
    return Found(text, figures | {"share": share}, "ok" if share <= 1 + EXCESS else "failed")
