"""How the time of a node-update grows with the number of nodes: what the chart draws."""

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
"""States that a case holds at most without its reference: its own, the scratch memory, the two of the copy."""
NODE_BYTES = MappingProxyType({"round_merge_update": 100, "round_update_merge": 100, "random_8_regular": 400})
"""What a case takes besides, per node: the graph and its tables, or ages and samples."""


@dataclass(frozen=True)
class Scaling:
    """One case at many sizes.

    Attributes:
        points: what was measured, in ascending order; ``reference_s`` is NaN where the reference was left out.
        skipped: sizes that do not fit into memory.
    """

    points: tuple[Measured, ...]
    skipped: tuple[int, ...]

    def record(self) -> dict[str, Any]:
        """Return JSON values; what was not measured is null."""
        points = [point.record() for point in self.points]
        for point in points:
            point |= {name: None for name in ("reference_s", "speedup") if point[name] != point[name]}
        return {"points": points, "skipped": list(self.skipped)}


def sizes(largest: int) -> tuple[int, ...]:
    """Return 1,000, 10,000, … up to ``largest``."""
    found = [SMALLEST]
    while 10 * found[-1] <= largest:
        found.append(10 * found[-1])
    return tuple(found)


def needed_bytes(name: str, nodes: int, params: int) -> int:
    """Return about what a case takes at its height, in bytes, without its reference."""
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
        largest: most nodes.
        repeats: samples a point.
        sample_s: a sample lasts at least about this long.
        note: told what is measured, and what does not fit.

    Returns:
        Name of the case to its points.
    """
    found: dict[str, Scaling] = {}
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
        found[name] = Scaling(tuple(points), tuple(skipped))
    return found
