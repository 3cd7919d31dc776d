"""Comma-separated text files: a header of column names, then one line per row; errors name the line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxgossip.core.errors import InputError
from jaxgossip.core.files import read_text


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a file, as text.

    Attributes:
        file: path of the file.
        lines: (rows,) line number of each row in the file.
        columns: from the name of each column to its strings, one per row.
    """

    file: Path
    lines: Sequence[int]
    columns: Mapping[str, Sequence[str]]

    def error(self, row: int, message: str, hint: str) -> InputError:
        """Return an error that names the line of a row."""
        return InputError(f"{self.file}:{self.lines[row]}: {message}", hint=hint)

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as (rows,) float64.

        Raises:
            InputError: an entry is not a finite number.
        """
        return self._read(name, float, np.float64, "number")

    def whole_numbers(self, name: str) -> np.ndarray:
        """Return a column as (rows,) int64.

        Raises:
            InputError: an entry is not a whole number.
        """
        return self._read(name, int, np.int64, "whole number")

    def _read(self, name: str, read: type[int | float], dtype: type[np.generic], what: str) -> np.ndarray:
        texts = self.columns[name]
        try:
            values = np.fromiter(map(read, texts), dtype, len(texts))
            wrong = int(np.argmin(np.isfinite(values))) if values.size and not np.isfinite(values).all() else None
        except (ValueError, OverflowError):
            wrong = next(row for row, text in enumerate(texts) if not _is_readable(text, read, dtype))
            values = None
        if values is None or wrong is not None:
            assert wrong is not None
            raise self.error(wrong, f"{name} '{texts[wrong]}' is not a {what}", hint=f"write a finite {what}")
        return values


def read_table(path: str | Path, required: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read a file of comma-separated values; ``#`` starts a comment, and empty lines are ignored.

    Args:
        path: the file, UTF-8.
        required: columns that it must have, in any order.
        optional: columns that it may have.

    Raises:
        InputError: the file does not exist or is not text, a column is missing, unknown or repeated, or the number of
            values in a line is not that of columns.
    """
    file = Path(path).expanduser()
    header = ",".join(required)
    text = read_text(file, InputError, hint=f"it holds a line '{header}', then one line a row")
    stripped = ((number, line.split("#", 1)[0].strip()) for number, line in enumerate(text.splitlines(), start=1))
    lines = [(number, [value.strip() for value in line.split(",")]) for number, line in stripped if line]
    number, names = lines[0] if lines else (1, [""])
    allowed = (*required, *optional)
    wrong = [f"no column '{name}'" for name in required if name not in names]
    wrong += [f"an unknown column '{name}'" for name in names if name not in allowed]
    wrong += [f"two columns '{name}'" for name in dict.fromkeys(names) if names.count(name) > 1]
    if wrong:
        also = f"; allowed besides: {', '.join(optional)}" if optional else ""
        raise InputError(f"{file}:{number}: the header has {wrong[0]}", hint=f"its first line is '{header}'{also}")
    for number, values in lines[1:]:
        if len(values) != len(names):
            raise InputError(
                f"{file}:{number}: {len(values)} values, where the header has {len(names)} columns",
                hint=f"one value a column: {','.join(names)}",
            )
    columns = zip(*(values for _, values in lines[1:]), strict=True) if len(lines) > 1 else [()] * len(names)
    return Table(file, [number for number, _ in lines[1:]], dict(zip(names, columns, strict=True)))


def _is_readable(text: str, read: type[int | float], dtype: type[np.generic]) -> bool:
    try:
        np.fromiter([read(text)], dtype, 1)
    except (ValueError, OverflowError):
        return False
    return True
