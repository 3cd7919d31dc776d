"""Deliveries per second of the events engine, including its schedule, on networks of several sizes.

The task is Pegasos on one sample of Spambase per node and a complete graph; models merge with the one received last and learn
where they arrive (MU of Ormándi et al. 2013). "calm": clocks of different periods, messages that take up to a cycle.
"failures": half of the messages lost, delays of one to ten cycles, nodes online in nine cycles of ten.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np

from jaxgossip import learning, topology
from jaxgossip.algorithms import gossip_learning
from jaxgossip.schedule import CHURNS, CLOCKS, DELAYS, Schedule, schedule
from jaxgossip.simulation.events.engine import SEGMENT_MESSAGES
from jaxgossip.simulation.events.program import WaveProgram
from jaxgossip.simulation.events.segments import MessageStream

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SETTINGS = ("calm", "failures")
WARM_CYCLES = 12
"""Cycles (at least two stretches) that are not timed, while programs are compiled and messages in flight build up."""
USUAL = 2_050
"""Deliveries per second of a conventional simulator, with one Python object per node, on one core of such a machine."""


@dataclass(frozen=True)
class EventTime:
    """The time per delivery.

    Attributes:
        setting: "calm" or "failures".
        nodes: number of nodes.
        deliveries: number of deliveries that were timed.
        waves: number of waves into which they were divided.
        schedule_us: microseconds per delivery to draw the schedule.
        level_us: microseconds per delivery to order it and to divide it into waves.
        execute_us: microseconds per delivery to copy, merge and learn.
    """

    setting: str
    nodes: int
    deliveries: int
    waves: int
    schedule_us: float
    level_us: float
    execute_us: float

    @property
    def total_us(self) -> float:
        """Microseconds per delivery in total."""
        return self.schedule_us + self.level_us + self.execute_us

    @property
    def per_s(self) -> float:
        """Deliveries per second."""
        return 1e6 / self.total_us

    def record(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        return {**asdict(self), "per_s": self.per_s, "x_usual": self.per_s / USUAL}


def network(setting: str, nodes: int) -> Schedule:
    """Return the schedule on the complete graph.

    Args:
        setting: "calm" or "failures", as in the module docstring.
        nodes: number of nodes.
    """
    rng = np.random.default_rng(0)
    failures: dict[str, Any] = {}
    if setting == "failures":
        failures = {"drop": 0.5, "churn": CHURNS["coin"](nodes, rng, online=0.9)}
    low_s, high_s = (1.0, 10.0) if failures else (0.0, 1.0)
    delay = DELAYS["uniform"](low_s=low_s, high_s=high_s)
    return schedule(topology.complete(nodes), clock=CLOCKS["normal"](nodes, rng), delay=delay, **failures)


def bench_events(
    sizes: Sequence[int] = SIZES,
    *,
    settings: Sequence[str] = SETTINGS,
    stretches: int = 3,
    messages: int = SEGMENT_MESSAGES,
    begun: Callable[[str], None] = lambda _: None,
) -> list[EventTime]:
    """Time the engine on networks of several sizes.

    Args:
        sizes: numbers of nodes.
        settings: "calm", "failures" or both, as in the module docstring.
        stretches: number of stretches that are timed, of which the median is reported.
        messages: approximate number of messages per stretch.
        begun: called with a description of each network before it is timed.
    """
    data = learning.DATASETS["spambase"](rng=0)
    model = learning.MODELS["pegasos"]((57,), 2)
    times = []
    for setting in settings:
        for nodes in sizes:
            begun(f"{nodes:,} nodes, {setting}")
            partition = learning.PARTITIONS["one_sample"](np.asarray(data.y_train), nodes)
            problem = learning.classification(data, partition, model)
            protocol = gossip_learning(problem, learning.OPTIMIZERS["pegasos"]())
            program = WaveProgram(protocol, network(setting, nodes).kinds)
            times.append(_timed(setting, program, network(setting, nodes), stretches, messages))
    return times


def _timed(setting: str, program: WaveProgram, source: Schedule, stretches: int, messages: int) -> EventTime:
    cycles = max(1, messages // source.n_nodes)
    flow, carried, drawn = MessageStream(source), program.start(), source.cycles()
    seconds, counts, warm = [], [], max(2, -(-WARM_CYCLES // cycles))
    for number in range(warm + stretches):
        times = [time.perf_counter()]
        for _ in range(cycles):
            next(drawn)
        times.append(time.perf_counter())
        work = flow.next(cycles)  # draws the same cycles again
        times.append(time.perf_counter())
        carried = jax.block_until_ready(program.execute(carried, work))
        times.append(time.perf_counter())
        if number >= warm:
            seconds.append(np.diff(times) / work.receiver.size)
            counts.append((work.receiver.size, work.n_waves))
    draw, level, execute = 1e6 * np.median(seconds, axis=0)
    deliveries, waves = np.sum(counts, axis=0).tolist()
    return EventTime(setting, source.n_nodes, deliveries, waves, draw, max(0.0, level - draw), execute)
