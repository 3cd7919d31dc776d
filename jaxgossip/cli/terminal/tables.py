"""Tables that fit the terminal: headings are wrapped, values common to all rows are listed once, columns go into blocks."""

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
"""Largest number of runs that are shown side by side; more are shown one per row."""
UNBOUNDED = 10_000
"""Width if stdout is not a terminal."""
GAP = "  "
NUMERIC = "0123456789-–~≥≤<>∞"
"""First characters of cells that are aligned to the right."""
NARROWEST = 12
"""Least width to which a column of words is wrapped."""

MOST_LINES = 6
"""Largest number of lines of a heading."""


def terminal_width() -> int:
    """Return the width of the terminal, or ``UNBOUNDED`` if there is none."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or UNBOUNDED
    except (OSError, ValueError, AttributeError):
        return UNBOUNDED


def render(*tables: Table) -> str:
    """Return rich tables as text of the width of the terminal, without colour or trailing blanks."""
    width = terminal_width() if terminal_width() < UNBOUNDED else 80
    console = Console(color_system=None, force_terminal=False, markup=False, emoji=False, highlight=False, width=width)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def run_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table that compares runs: a few of them side by side, many of them one per row."""
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
    """Return rows with the same keys as a table, with numbers aligned to the right.

    If the table is wider than the terminal, headings and then words are wrapped, values that all rows share are put in a
    line above the table, and columns that still do not fit go into further blocks, each with the first column.
    """
    if not rows:
        return ""
    columns = [Column(name, tuple(_cell(row[name]) for row in rows)) for name in rows[0]]
    width = terminal_width()
    if _width(columns, MOST_LINES) <= width:
        return _block(columns, width)
    first, others = columns[0], columns[1:]
    constant = [column for column in others if len(rows) > 1 and len(set(column.cells)) == 1]
    others = [column for column in others if column not in constant]
    common = ", ".join(f"{column.name} {column.cells[0]}" for column in constant if column.cells[0] != "–")
    lines = ["\n".join(_lines(f"all: {common}", width)), ""] if common else []
    return "\n".join([*lines, "\n\n".join(_block(block, width) for block in _blocks([first, *others], width))])


@dataclass(frozen=True)
class Column:
    """A column of a table; its cells may have several lines.

    Attributes:
        name: the heading.
        cells: the strings, one per row.
    """

    name: str
    cells: tuple[str, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether the cells are aligned to the right."""
        return all(cell[:1] in NUMERIC or cell in ("diverged", "never", "none") for cell in self.cells)

    @cached_property
    def cells_width(self) -> int:
        """Width of the widest cell."""
        return max(map(_widest, self.cells), default=0)

    @cached_property
    def least(self) -> int:
        """Least width to which the cells can be wrapped."""
        return max((cell_len(word) for cell in self.cells for word in cell.split()), default=0)

    def heading(self, lines: int) -> list[str]:
        """Return the heading wrapped to at most ``lines`` lines, as narrow as that and the cells allow."""
        narrowest = max(self.cells_width, *map(cell_len, self.name.split()), 1)
        for width in range(narrowest, max(narrowest, cell_len(self.name)) + 1):
            wrapped = _lines(self.name, width) or [""]
            if len(wrapped) <= lines:
                return wrapped
        return [self.name]

    def width(self, lines: int) -> int:
        """Return the width of the column with a heading of at most ``lines`` lines."""
        return max(self.cells_width, *map(_widest, self.heading(lines)))

    def narrowed(self, width: int) -> "Column":
        """Return the column with its cells wrapped to ``width``."""
        wrapped = [_lines(cell.replace("\n", " "), width) for cell in self.cells]
        return Column(self.name, tuple("\n".join(lines) for lines in wrapped))


def _blocks(columns: Sequence[Column], width: int) -> list[list[Column]]:
    wrapped = _wrapped(columns, width)
    if _width(wrapped, MOST_LINES) <= width:
        return [wrapped]
    first = _wrapped(columns[:1], max(NARROWEST, width // 2))[0]
    blocks: list[list[Column]] = [[first]]
    for column in columns[1:]:
        fitting = _wrapped([column], max(NARROWEST, width - first.width(MOST_LINES) - len(GAP)))[0]
        if len(blocks[-1]) > 1 and _width([*blocks[-1], fitting], MOST_LINES) > width:
            blocks.append([first])
        blocks[-1].append(fitting)
    return blocks


def _wrapped(columns: Sequence[Column], width: int) -> list[Column]:
    """Return the columns with the widest ones wrapped until all fit, or none can be made narrower."""
    wrapped = list(columns)
    while (excess := _width(wrapped, MOST_LINES) - width) > 0:
        widths = [column.cells_width for column in wrapped]
        candidates = [i for i, column in enumerate(wrapped) if widths[i] > max(NARROWEST, column.least)]
        if not candidates:
            break
        widest = max(candidates, key=lambda i: widths[i])
        next_width = max((widths[i] for i in candidates if i != widest), default=0)
        least = max(NARROWEST, wrapped[widest].least)
        narrower = max(least, widths[widest] - excess, min(next_width, widths[widest] - 1))
        wrapped[widest] = wrapped[widest].narrowed(narrower)
    return wrapped


def _block(columns: Sequence[Column], width: int) -> str:
    lines = next((count for count in range(1, MOST_LINES) if _width(columns, count) <= width), MOST_LINES)
    headings = [column.heading(lines) for column in columns]
    height = max(map(len, headings))
    rows = [[[""] * (height - len(heading)) + heading for heading in headings]]
    rows += [[column.cells[number].split("\n") for column in columns] for number in range(len(columns[0].cells))]
    text = []
    for row in rows:
        for number in range(max(map(len, row))):
            cells = [cell_lines[number] if number < len(cell_lines) else "" for cell_lines in row]
            padded = [_padded(cell, column, lines) for cell, column in zip(cells, columns, strict=True)]
            text.append(GAP.join(padded).rstrip())
    return "\n".join(text)


def _padded(cell: str, column: Column, lines: int) -> str:
    blanks = " " * (column.width(lines) - cell_len(cell))
    return blanks + cell if column.is_numeric else cell + blanks


def _width(columns: Sequence[Column], lines: int) -> int:
    return sum(column.width(lines) for column in columns) + len(GAP) * (len(columns) - 1)


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _widest(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _cell(value: Any) -> str:
    return "–" if value is None else str(value)
