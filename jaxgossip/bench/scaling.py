"""The time per node-update as a function of the number of nodes, for the scaling chart."""

import dataclasses
import gc
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jaxgossip.bench.case import Measured, Setting
from jaxgossip.bench.memory import ROUND_PARAMS, available_bytes
from jaxgossip.bench.report import CASES, measure
from jaxgossip.bench.timing import SAMPLE_S
from jaxgossip.core.units import bytes_text

SMALLEST = 1000
SERIES = ("round_merge_update", "round_update_merge", "random_8_regular")
COMPARED = "round_merge_update"
"""The case whose NumPy reference is drawn."""
MAX_REFERENCE_NODES = 1_000_000
STATES = MappingProxyType({"round_merge_update": 7, "round_update_merge": 6, "random_8_regular": 5})
"""Largest number of states in memory, without the reference: the case's own, scratch memory, and two of the copy."""
NODE_BYTES = MappingProxyType({"round_merge_update": 100, "round_update_merge": 100, "random_8_regular": 400})
"""Further bytes per node: the graph and its tables, or ages and samples."""


@dataclass(frozen=True)
class Scaling:
    """The results of a case at several sizes.

    Attributes:
        points: results in ascending order of size; ``reference_s`` is NaN where the reference was not timed.
        skipped: sizes that do not fit into memory.
    """

    points: tuple[Measured, ...]
    skipped: tuple[int, ...]

    def record(self) -> dict[str, Any]:
        """Return the results as JSON values, with None for what was not measured."""
        points = [point.record() for point in self.points]
        for point in points:
            point |= {name: None for name in ("reference_s", "speedup") if point[name] != point[name]}
        return {"points": points, "skipped": list(self.skipped)}


def sizes(largest: int) -> tuple[int, ...]:
    """Return 1,000, 10,000, … up to ``largest``."""
    nodes = [SMALLEST]
    while 10 * nodes[-1] <= largest:
        nodes.append(10 * nodes[-1])
    return tuple(nodes)


def needed_bytes(name: str, nodes: int, params: int) -> int:
    """Return roughly the peak memory of a case without its reference, in bytes."""
    columns = params if name == "random_8_regular" else ROUND_PARAMS
    return nodes * (4 * columns * STATES[name] + NODE_BYTES[name])


def scale(
    setting: Setting,
    largest: int,
    *,
    repeats: int = 3,
    sample_s: float = SAMPLE_S,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, Scaling]:
    """Measure each of ``SERIES`` at 1,000, 10,000, … nodes.

    Args:
        setting: parameters and seed; its number of nodes is not used.
        largest: largest number of nodes.
        repeats: samples per point.
        sample_s: approximate least duration of a sample in seconds.
        note: called with a line on each measurement, and on each size that does not fit.

    Returns:
        The results by name of the case.
    """
    scaling: dict[str, Scaling] = {}
    for name in SERIES:
        points, skipped = [], []
        for nodes in sizes(largest):
            needed, free = needed_bytes(name, nodes, setting.params), available_bytes()
            if needed > free:
                note(
                    f"{name}: {nodes:,} nodes left out: about {bytes_text(needed)} needed, {bytes_text(free)} to be had"
                )
                skipped.append(nodes)
                continue
            compare = name == COMPARED and nodes <= MAX_REFERENCE_NODES
            case = CASES[name](dataclasses.replace(setting, nodes=nodes))
            points.append(measure(name, case, repeats, sample_s, compare=compare))
            del case
            gc.collect()
            note(f"{name}: {nodes:,} nodes, {1e9 * points[-1].round_s / nodes:.3g} ns a node-update")
        scaling[name] = Scaling(tuple(points), tuple(skipped))
    return scaling
