"""Text files of separated fields: detection of the separator, quotes, blank lines and comments."""

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
"""Separator that stands for any number of blanks."""
SEPARATORS = ("\t", ";", ",", "|", "::")
"""Separators to try, those that occur inside numbers last; blanks are assumed if none of them fits."""
DETECTION_LINES = 50
"""Number of lines from which the separator is detected."""
DETECTION_CHARACTERS = 2**20
"""Largest number of characters from which the separator is detected."""

_WORD = re.compile(r'"((?:[^"]|"")*)"(?!\S)|(\S+)')


@dataclass(frozen=True)
class Fields:
    """The non-empty lines of a file, split into fields.

    Attributes:
        path: the file.
        separator: the separator; a blank means any number of blanks.
        lines: line number of each row, from 1.
        rows: the fields of each line, stripped of quotes and surrounding blanks.
        comments: number of skipped lines that began with #.
    """

    path: str
    separator: str
    lines: list[int]
    rows: list[list[str]]
    comments: int

    @property
    def separator_name(self) -> str:
        """The separator in words."""
        names = {",": "commas", ";": "semicolons", "\t": "tabs", BLANKS: "blanks"}
        return names.get(self.separator, f"'{self.separator}'")

    def description(self, *, header: bool) -> str:
        """Return how the file was read, in words."""
        named = "the first line names the columns" if header else "no line of names"
        return f"fields separated by {self.separator_name}, {named}"


def read_fields(path: str | Path, separator: str | None = None) -> Fields:
    """Read a text file of separated fields.

    Args:
        path: the file, UTF-8 text, optionally compressed with gzip.
        separator: one character, "::", or a blank for any number of blanks; None detects it.

    Raises:
        DataError: an invalid separator, a missing or empty file, one that is not text, or an unclosed quote.
    """
    if separator is not None and separator != "::" and (len(separator) != 1 or separator in '"\n\r#'):
        raise DataError(
            f"{path}: delimiter must be one character or '::', not {separator!r}", hint="left out, it is found"
        )
    text = read_text(path, DataError)
    separator = separator or _detected_separator(text[:DETECTION_CHARACTERS])
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
    """Iterate over the lines of a text, skipping blank lines and comments outside quoted fields.

    Attributes:
        first: number of the line at which the current row began, from 1.
        comments: number of comments skipped.
        open_quote: whether the text ended inside a row, which can only happen within quotes.
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
        """Mark the end of a row: the next line begins another."""
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


def _detected_separator(text: str) -> str:
    """Return the separator that splits most lines into the same, and largest, number of fields."""
    widths = {separator: _width(text, separator) for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda separator: widths[separator])
    return best if widths[best] > 1 else BLANKS


def _width(text: str, separator: str) -> int:
    """Return the number of fields into which ``separator`` splits at least half of the first lines; 0 if there is none."""
    widths: Counter[int] = Counter()
    with contextlib.suppress(DataError):  # errors are raised when the whole file is read
        widths.update(len(row) for row in islice(_rows("", _Lines(text), separator), DETECTION_LINES))
    width, often = widths.most_common(1)[0] if widths else (0, 0)
    return width if 2 * often >= widths.total() else 0
