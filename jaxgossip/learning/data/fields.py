"""Lines of fields, as people's files have them: whatever separates the fields, with quotes, blank lines and comments."""

import contextlib
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from jaxgossip.core.errors import DataError
from jaxgossip.core.files import read_text

BLANKS = " "
"""Stands for any number of blanks between fields."""
SEPARATORS = ("\t", ";", ",", "|", "::")
"""What is looked for between fields, those that occur inside of numbers last; blanks, if none of them separates."""
LOOKED_AT = 50
"""So many lines tell what separates their fields."""
HEAD = 2**20
"""But no more than so many characters."""

_WORD = re.compile(r'"((?:[^"]|"")*)"(?!\S)|(\S+)')


@dataclass(frozen=True)
class Fields:
    """The lines of a file that hold something, cut into fields.

    Attributes:
        path: the file.
        separator: what separates fields; a blank means any number of them.
        lines: the number of each line, from 1.
        rows: the fields of each line, without quotes and blanks around them.
        comments: how many lines began with # and were left out.
    """

    path: str
    separator: str
    lines: list[int]
    rows: list[list[str]]
    comments: int

    @property
    def separator_name(self) -> str:
        """What separates the fields, in words."""
        names = {",": "commas", ";": "semicolons", "\t": "tabs", BLANKS: "blanks"}
        return names.get(self.separator, f"'{self.separator}'")

    def told(self, *, header: bool) -> str:
        """Return how the file was understood, in words."""
        named = "the first line names the columns" if header else "no line of names"
        return f"fields separated by {self.separator_name}, {named}"


def read_fields(path: str | Path, separator: str | None = None) -> Fields:
    """Read a text file of fields.

    Args:
        path: the file, in UTF-8, packed by gzip or not.
        separator: what separates fields, one character or "::"; None finds it out.

    Raises:
        DataError: no such file or no text, nothing in it, or a quote that is not closed.
    """
    if separator is not None and separator != "::" and (len(separator) != 1 or separator in '"\n\r#'):
        raise DataError(
            f"{path}: delimiter must be one character or '::', not {separator!r}", hint="left out, it is found"
        )
    text = read_text(path, DataError)
    separator = separator or _found(text[:HEAD])
    lines = _Lines(text)
    numbers, rows = [], []
    for row in _rows(str(path), lines, separator):
        if any(row):
            numbers.append(lines.first)
            rows.append(row)
    if not rows:
        why = f": {lines.comments:,} lines begin with #" if lines.comments else ""
        raise DataError(f"{path} is empty{why}", hint="one sample, or one rating, a line")
    return Fields(str(path), separator, numbers, rows, lines.comments)


class _Lines:
    """Hands out lines, those left out that are blank or a comment, unless they are the inside of a quoted field.

    Attributes:
        first: number of the line with which the present row began, from 1.
        comments: how many were left out.
        open_quote: whether the text ended inside of a row, which happens within quotes alone.
    """

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self._number = self.first = self.comments = 0
        self._inside = self.open_quote = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            self._number += 1
            if self._inside:
                return line
            comment = line.lstrip().startswith("#")
            self.comments += comment
            if not comment and not line.isspace():
                self.first, self._inside = self._number, True
                return line
        self.open_quote = self._inside
        raise StopIteration

    def end_row(self) -> None:
        """Say that the next line begins a row."""
        self._inside = False


def _rows(path: str, lines: _Lines, separator: str) -> Iterator[list[str]]:
    if separator in ("::", BLANKS):
        for line in lines:
            lines.end_row()
            yield [_unquoted(field) for field in line.split("::")] if separator == "::" else _words(line)
        return
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}, line {lines.first}: {error}", hint="is a quote left open?") from error
        if lines.open_quote:
            raise DataError(
                f"{path}, line {lines.first}: a quote is left open", hint='close it, or write "" for a quote'
            )
        lines.end_row()
        if row is None:
            return
        yield [field.strip() for field in row]


def _words(line: str) -> list[str]:
    return [quoted.replace('""', '"').strip() or plain for quoted, plain in _WORD.findall(line)]


def _unquoted(field: str) -> str:
    field = field.strip()
    quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"').strip() if quoted else field


def _found(text: str) -> str:
    """Return the separator that cuts most lines into one number of fields, the largest number of those."""
    widths = {separator: _width(text, separator) for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda separator: widths[separator])
    return best if widths[best] > 1 else BLANKS


def _width(text: str, separator: str) -> int:
    """Return into how many fields a separator cuts at least half of the first lines; 0 if there is no such number."""
    widths: Counter[int] = Counter()
    with contextlib.suppress(DataError):  # what is wrong is told by those who read the whole
        widths.update(len(row) for row in islice(_rows("", _Lines(text), separator), LOOKED_AT))
    width, often = widths.most_common(1)[0] if widths else (0, 0)
    return width if 2 * often >= widths.total() else 0
