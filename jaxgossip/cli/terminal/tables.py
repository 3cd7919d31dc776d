"""Tables as wide as the terminal: headings in several lines, what all rows share said once, the rest in blocks."""

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

FEW_RUNS = 3
"""So many runs stand side by side; more stand below each other."""
UNBOUNDED = 10_000
"""Columns where nobody looks on: a file, or a program that reads line by line."""
GAP = "  "
NUMERIC = "0123456789-–~≥≤<>∞"
"""What a cell begins with that stands right."""
NARROWEST = 12
"""Columns that a column of words keeps when its words are wrapped."""

MOST_LINES = 6
"""Of a heading."""


def columns() -> int:
    """Return how wide the terminal is; ``UNBOUNDED`` where there is none."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or UNBOUNDED
    except (OSError, ValueError, AttributeError):
        return UNBOUNDED


def render(*tables: Table) -> str:
    """Return rich tables as text as wide as the terminal, without colour or trailing blanks."""
    width = columns() if columns() < UNBOUNDED else 80
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
        grid.add_row(name, *(_cell(row[name]) for row in rows))
    return render(grid)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as a table, numbers to the right.

    Where it is wider than the terminal, headings and then words are wrapped, what is the same in all rows stands in a line
    above it, and columns that still have no room stand in blocks below each other, each with the first column.
    """
    if not rows:
        return ""
    made = [Column(name, tuple(_cell(row[name]) for row in rows)) for name in rows[0]]
    width = columns()
    if _width(made, MOST_LINES) <= width:
        return _block(made, width)
    first, others = made[0], made[1:]
    alike = [column for column in others if len(rows) > 1 and len(set(column.cells)) == 1]
    others = [column for column in others if column not in alike]
    said = ", ".join(f"{column.name} {column.cells[0]}" for column in alike if column.cells[0] != "–")
    lines = ["\n".join(_lines(f"all: {said}", width)), ""] if said else []
    return "\n".join([*lines, "\n\n".join(_block(one, width) for one in _blocks([first, *others], width))])


@dataclass(frozen=True)
class Column:
    """A column: its heading, and its cells, of which each may have several lines."""

    name: str
    cells: tuple[str, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether its cells stand right."""
        return all(cell[:1] in NUMERIC or cell in ("diverged", "never", "none") for cell in self.cells)

    @cached_property
    def cells_width(self) -> int:
        """How wide its widest cell is."""
        return max(map(_widest, self.cells), default=0)

    @cached_property
    def least(self) -> int:
        """How narrow its cells can be made."""
        return max((cell_len(word) for cell in self.cells for word in cell.split()), default=0)

    def heading(self, lines: int) -> list[str]:
        """Return the heading in at most so many lines, as narrow as that allows or as the cells are wide."""
        narrowest = max(self.cells_width, *map(cell_len, self.name.split()), 1)
        for width in range(narrowest, max(narrowest, cell_len(self.name)) + 1):
            found = _lines(self.name, width) or [""]
            if len(found) <= lines:
                return found
        return [self.name]

    def width(self, lines: int) -> int:
        """Return how wide it is with a heading of at most so many lines."""
        return max(self.cells_width, *map(_widest, self.heading(lines)))

    def narrowed(self, width: int) -> "Column":
        """Return it with its cells wrapped at blanks."""
        wrapped = [_lines(cell.replace("\n", " "), width) for cell in self.cells]
        return Column(self.name, tuple("\n".join(lines) for lines in wrapped))


def _blocks(made: Sequence[Column], width: int) -> list[list[Column]]:
    wrapped = _wrapped(made, width)
    if _width(wrapped, MOST_LINES) <= width:
        return [wrapped]
    first = _wrapped(made[:1], max(NARROWEST, width // 2))[0]
    blocks: list[list[Column]] = [[first]]
    for column in made[1:]:
        fitting = _wrapped([column], max(NARROWEST, width - first.width(MOST_LINES) - len(GAP)))[0]
        if len(blocks[-1]) > 1 and _width([*blocks[-1], fitting], MOST_LINES) > width:
            blocks.append([first])
        blocks[-1].append(fitting)
    return blocks


def _wrapped(made: Sequence[Column], width: int) -> list[Column]:
    """Return the columns with the widest words wrapped until all fit, or none can be made narrower."""
    found = list(made)
    while (over := _width(found, MOST_LINES) - width) > 0:
        widths = [column.cells_width for column in found]
        can = [at for at, column in enumerate(found) if widths[at] > max(NARROWEST, column.least)]
        if not can:
            break
        widest = max(can, key=lambda at: widths[at])
        next_width = max((widths[at] for at in can if at != widest), default=0)
        least = max(NARROWEST, found[widest].least)
        found[widest] = found[widest].narrowed(max(least, widths[widest] - over, min(next_width, widths[widest] - 1)))
    return found


def _block(made: Sequence[Column], width: int) -> str:
    lines = next((some for some in range(1, MOST_LINES) if _width(made, some) <= width), MOST_LINES)
    headings = [column.heading(lines) for column in made]
    height = max(map(len, headings))
    rows = [[[""] * (height - len(one)) + one for one in headings]]
    rows += [[column.cells[number].split("\n") for column in made] for number in range(len(made[0].cells))]
    text = []
    for row in rows:
        for at in range(max(map(len, row))):
            cells = [one[at] if at < len(one) else "" for one in row]
            padded = [_padded(cell, column, lines) for cell, column in zip(cells, made, strict=True)]
            text.append(GAP.join(padded).rstrip())
    return "\n".join(text)


def _padded(cell: str, column: Column, lines: int) -> str:
    blanks = " " * (column.width(lines) - cell_len(cell))
    return blanks + cell if column.is_numeric else cell + blanks


def _width(made: Sequence[Column], lines: int) -> int:
    return sum(column.width(lines) for column in made) + len(GAP) * (len(made) - 1)


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _widest(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _cell(value: Any) -> str:
    return "–" if value is None else str(value)
