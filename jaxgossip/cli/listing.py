"""Tables for the terminal."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from jaxgossip.experiment.plan import Plan

FEW_RUNS = 3
"""So many runs stand side by side; more stand below each other."""
UNFOLDED = 1000
"""Columns for a table that is better cut by the terminal than folded into shreds."""


def render(*tables: Table, width: int | None = None) -> str:
    """Return tables as text, ``width`` columns or as wide as the terminal, without colour or trailing blanks."""
    console = Console(color_system=None, force_terminal=False, markup=False, emoji=False, highlight=False, width=width)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def run_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table that compares runs: a few of them side by side, many below each other."""
    if len(rows) > FEW_RUNS:
        return table(rows)
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(no_wrap=True)
    for _ in rows:
        grid.add_column(justify="right", overflow="fold")
    for name in rows[0] if rows else ():
        grid.add_row(name, *("–" if row[name] is None else str(row[name]) for row in rows))
    return render(grid)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as a table; numbers stand right, nothing is folded."""
    grid = Table(box=None, pad_edge=False, header_style="")
    for name in rows[0] if rows else ():
        words = any(isinstance(row[name], str) and not row[name][:1].isdigit() for row in rows)
        grid.add_column(name, justify="left" if words else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*("–" if value is None else str(value) for value in row.values()))
    return render(grid, width=UNFOLDED)


def plan_table(plan: "Plan", rounds: int) -> str:
    """Return what a run takes: memory part by part, and time."""
    from jaxgossip.experiment.units import bytes_text, count_text, duration

    links = "" if plan.links is None else f", {count_text(plan.links)} links"
    lines = [f"{plan.nodes:,} nodes{links}, {plan.parameters:,} parameters each", "", "memory"]
    lines += [f"  {name:<28}{bytes_text(size):>10}" for name, size in plan.parts.items()]
    lines += [f"  {'at its peak':<28}{bytes_text(plan.peak):>10}", f"  {'free':<28}{bytes_text(plan.free):>10}", ""]
    if plan.links is None:
        lines += ["by a network of few nodes of the same kind: this one is too large to be built", ""]
    if not plan.fits:
        lines.append("it does not fit" + (f"; about {plan.largest:,} nodes would" if plan.largest else ""))
    elif plan.round_s is not None:
        total = duration(rounds * plan.round_s)
        speed = count_text(plan.nodes / plan.round_s)
        lines.append(f"time: {duration(plan.round_s)} a round, {speed} node-updates/s; {rounds:,} rounds in {total},")
        lines.append("compilation, evaluations and baselines not counted")
    return "\n".join(lines)


def machine() -> str:
    """Return versions, devices, cores and memory."""
    from jaxgossip.experiment.provenance import provenance

    facts = provenance()
    lines = [f"{name:<12} {number}" for name, number in facts["versions"].items()]
    device = facts["device"]
    lines.append(f"{'device':<12} {device['count']} x {device['kind']} ({device['platform']})")
    lines.append(f"{'machine':<12} {device['system']} {device['machine']}, {device['cores']} cores, {_memory()}")
    lines += [f"{name:<12} {value}" for name, value in facts["flags"].items() if name.isupper() and value]
    lines.append(f"{'allocator':<12} {facts['allocator'] or 'as it is'}")
    extra = "installed" if importlib.util.find_spec("sklearn") else "missing: pip install 'jaxgossip[data]'"
    lines.append(f"{'extra data':<12} {extra}")
    return "\n".join(lines)


def _memory() -> str:
    from jaxgossip.memory import available_bytes, total_bytes

    return f"{total_bytes() / 2**30:.1f} GiB memory, {available_bytes() / 2**30:.1f} GiB available"
