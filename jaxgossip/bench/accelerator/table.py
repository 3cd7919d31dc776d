"""The rows as a table of 80 columns, without colour, and as one JSON object."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgossip.bench.accelerator.check import FULL, Sizes
from jaxgossip.bench.accelerator.run import Row, failed
from jaxgossip.core.units import counted, duration

WIDTH = 80
NAME, STATUS = 33, 9
EXPLANATION = (
    "apart: largest difference, relative to the largest number compared. updates: of one node in one round. copies: a round in "
    "copies of its state, which the device reads and writes once. floor: the time of its memory traffic, at the speed of a "
    "copy, as a share of the round; above 100 % where caches help."
)


def title(machine: Mapping[str, Any], sizes: Sizes) -> str:
    """Return what was checked where; of a CPU, that figures are of a CPU.

    Args:
        machine: as returned by :func:`jaxgossip.simulation.results.provenance.provenance`.
        sizes: the sizes of the checks.
    """
    device, versions = machine["device"], machine["versions"]
    size = "" if sizes == FULL else ", in small"
    text = (
        f"jaxgossip {versions['jaxgossip']} on {device['kind']} ({device['platform']}), jax {versions['jax']}, "
        f"jaxlib {versions['jaxlib']}{size}"
    )
    lines = [text]
    if device["platform"] == "cpu":
        lines.append(
            f"All figures are of a CPU ({counted(device['cores'], 'core')}, {device['machine']}); they tell nothing of any "
            "other device. What would be compared with the CPU is compared with a second run on it."
        )
    return "\n".join(textwrap.fill(line, WIDTH) for line in lines)


def heading(section: str) -> str:
    """Return the line above the rows of a section."""
    return f"\n{section}\n{'-' * len(section)}"


def line(row: Row) -> str:
    """Return one row: its name, its status, and its figures, on as many lines as they need."""
    status = row.status.upper() if row.status == "failed" else row.status
    figures = textwrap.wrap(row.text, WIDTH - NAME - STATUS, break_on_hyphens=False) or [""]
    names = textwrap.wrap(row.name, NAME - 1, break_on_hyphens=False)
    lines = []
    for number in range(max(len(names), len(figures))):
        name, text = (part[number] if number < len(part) else "" for part in (names, figures))
        lines.append(f"{name:<{NAME}}{status if number == 0 else '':<{STATUS}}{text}".rstrip())
    return "\n".join(lines)


def summary(rows: Sequence[Row], seconds: float) -> str:
    """Return what the table explains, how many checks ended how, and every one that failed, with its figures."""
    counts = Counter(row.status for row in rows)
    parts = [f"{counts[status]:,} {status}" for status in ("ok", "measured", "skipped", "failed") if counts[status]]
    total = f"{counted(len(rows), 'check')} in {duration(seconds)}: {', '.join(parts)}"
    wrong = [
        textwrap.fill(f"FAILED {row.section}: {row.name}: {row.text}", WIDTH, subsequent_indent="  ")
        for row in failed(rows)
    ]
    return "\n".join(["", textwrap.fill(EXPLANATION, WIDTH), "", total, *wrong])


def record(
    machine: Mapping[str, Any], sizes: Sizes, rows: Sequence[Row], seconds: float, *, ended: bool
) -> dict[str, Any]:
    """Return everything as JSON values.

    Args:
        machine: versions, device and flags.
        sizes: the sizes of the checks.
        rows: the rows so far.
        seconds: seconds since the beginning.
        ended: whether these are all rows.
    """
    return {
        "machine": dict(machine),
        "figures_of": machine["device"]["platform"],
        "full_size": sizes == FULL,
        "seconds": seconds,
        "ended": ended,
        "passed": ended and not failed(rows),
        "rows": [row.record() for row in rows],
    }
