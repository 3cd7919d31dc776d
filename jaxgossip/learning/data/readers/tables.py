"""Tables of samples from text files: header, label column and columns to leave out."""

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.registry import nearest
from jaxgossip.learning.data.arrays import Dataset, from_arrays
from jaxgossip.learning.data.labels import (
    FEW_CLASSES,
    LABEL_NAMES,
    LARGEST,
    check_classes,
    is_missing,
    labels_of_words,
    number_of,
    shortened,
)
from jaxgossip.learning.data.readers.fields import Fields, read_fields
from jaxgossip.learning.data.readers.headers import has_header

MAX_LISTED_NAMES = 20
"""Up to this many column names are all listed."""
MIN_COUNTED_LINES = 10
"""With at least this many lines, a column that counts them is not a feature; fewer may count by chance."""


@guarded
def read_csv(
    path: str | Path,
    *,
    header: bool | None = None,
    label_column: int | str | None = None,
    owner_column: int | str | None = None,
    drop: tuple[int | str, ...] | None = None,
    delimiter: str | None = None,
    target: Literal["class", "value"] = "class",
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read a table with one sample per line; labels may be integers or text, all other columns are numbers.

    Blank lines, lines that begin with # and empty last columns are left out. ``notes`` of the data set say how the file
    was read.

    Args:
        path: the file, UTF-8 text, optionally compressed with gzip.
        header: whether the first line names the columns; by default, it does unless its features are numbers.
        label_column: the column of labels, by name or by number from 0, where negative numbers count from the end; by default
            the one called label, class or target, else the last.
        owner_column: the column that says whose each sample is, by name or number; None for no owners.
        drop: columns that are not features, by name or number; by default, an unnamed first column that numbers or names the
            lines.
        delimiter: field separator, one character or "::", or a blank for any number of blanks; detected by default.
        target: whether the column of labels holds a "class" or a "value", a number to be predicted.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale each feature to mean 0 and standard deviation 1.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: a missing file or column, lines of different lengths, an ambiguous first line, columns without a name
            or with the same name, a label that is missing or a quantity, a feature that is not a finite number, an
            invalid delimiter, no feature column left, too few samples, or a ``test_fraction`` outside (0, 1).
    """
    table = _table(read_fields(path, delimiter), header, label_column)
    label = _label(table, label_column)
    owner = None if owner_column is None else _column(table, owner_column, "owner_column")
    dropped, notes = _dropped_columns(table, {label} if owner is None else {label, owner}, drop)
    features = [column for column in range(len(table.names)) if column not in {label, owner, *dropped}]
    if not features:
        raise DataError(f"{path}: no column of features remains", hint="label_column and drop take all there are")
    x = _numbers(table, features)
    if target == "value":
        y = _numbers(table, [label])[:, 0]
    else:
        y = labels_of_words(table.path, table.column(label), table.place_of("the label"))
        check_classes(table.path, y, _other_label(table, label))
    owners = None if owner is None else labels_of_words(table.path, table.column(owner), table.place_of("the owner"))
    notes = [f"{'labels' if target == 'class' else 'values'}: column {table.counted_name(label)}", *notes]
    if owner is not None:
        notes.insert(1, f"owners: column {table.counted_name(owner)}")
    return from_arrays(
        x, y, target=target, owners=owners, name=table.path, notes=[*table.notes, *notes], test_fraction=test_fraction,
        standardize=standardize, rng=rng,
    )  # fmt: skip


@dataclass(frozen=True)
class _Table:
    """The samples of a file, as text.

    Attributes:
        path: the file.
        lines: line number of each row, from 1.
        rows: the fields of each sample, all of one length.
        names: names of the columns; their numbers without a header.
        header: whether the file has a header.
        notes: how the file was read.
    """

    path: str
    lines: list[int]
    rows: list[list[str]]
    names: list[str]
    header: bool
    notes: list[str]

    def column(self, number: int) -> list[str]:
        return [row[number] for row in self.rows]

    def place_of(self, what: str) -> Callable[[int], str]:
        """Return what describes the place of a field, given its row."""
        return lambda row: f"{self.path}, line {self.lines[row]}: {what}"

    def display_name(self, number: int) -> str:
        """Return the name of a column in messages."""
        return f"'{self.names[number]}'" if self.header and self.names[number] else str(number)

    def counted_name(self, number: int) -> str:
        """Return the name of a column in messages, and how it is counted if it is a number."""
        name = self.display_name(number)
        return f"{name}, counted from 0" if name.isdecimal() else name

    def config_value(self, number: int) -> str:
        """Return a column as a value of a configuration."""
        return f'"{self.names[number]}"' if self.header and self.names[number] else str(number)


def _table(fields: Fields, header: bool | None, label_column: int | str | None) -> _Table:
    path, rows, lines = fields.path, fields.rows, fields.lines
    notes = []
    if fields.comments:
        notes.append(f"left out: {fields.comments:,} lines that begin with #")
    rows, named = _rows_of_one_length(fields, header)
    empty = 0
    while len(rows[0]) > 2 and _is_empty(rows):
        rows, empty = [row[:-1] for row in rows], empty + 1
    if empty:
        notes.append("left out: an empty last column" if empty == 1 else f"left out: {empty} empty last columns")
    width = len(rows[0])
    if width < 2:
        hint = f"fields are separated by {fields.separator_name}; give another delimiter"
        raise DataError(f"{path}: one column cannot hold both features and labels", hint=hint)
    if header is None:
        label = label_column if isinstance(label_column, int) and -width <= label_column < width else -1
        header = named or label_column in rows[0] or has_header(path, rows, label % width)
    notes.insert(0, fields.description(header=header))
    names = rows[0] if header else [str(number) for number in range(width)]
    if header:
        rows, lines = rows[1:], lines[1:]
        _check_names(path, names)
    if not rows:
        raise DataError(f"{path}: no line after the header", hint="header = false if the first line is a sample")
    return _Table(path, lines, rows, names, header, notes)


def _rows_of_one_length(fields: Fields, header: bool | None) -> tuple[list[list[str]], bool]:
    """Return the rows, and whether the first must be a header: it is one field shorter if lines have names as well."""
    rows = fields.rows
    first, others = rows[0], rows[1:]
    words = header is not False and (header or all(number_of(word) is None for word in first))
    shorter = words and bool(others) and all(len(row) == len(first) + 1 for row in others)
    if shorter:
        trailing = not any(row[-1] for row in others)
        first = [*first, ""] if trailing else ["", *first]
    elif words and first[-1] == "" and others and all(len(row) == len(first) - 1 for row in others):
        first = first[:-1]
    hint = f"fields are separated by {fields.separator_name}; quote a field that holds one"
    widths = {len(row) for row in others}
    if len(others) > 1 and len(widths) == 1 and widths != {len(first)}:
        lengths = f"{len(rows[0])} fields, and {widths.pop()} in all lines below"
        raise DataError(
            f"{fields.path}, line {fields.lines[0]}: {lengths}", hint=f"remove it if it is no sample; {hint}"
        )
    for line, row in zip(fields.lines[1:], others, strict=True):
        if len(row) != len(first):
            lengths = f"{len(row)} fields, not {len(first)} as in line {fields.lines[0]}"
            raise DataError(f"{fields.path}, line {line}: {lengths}", hint=hint)
    return [first, *others], shorter


def _is_empty(rows: list[list[str]]) -> bool:
    """Return whether the last column is empty, with no name but one generated for unnamed columns."""
    first, *others = (row[-1] for row in rows)
    return not any(others) and (not first or (first.startswith("Unnamed:") and bool(others)))


def _check_names(path: str, names: Sequence[str]) -> None:
    for name, often in Counter(filter(None, names)).items():
        if often > 1:
            places = [str(number) for number, other in enumerate(names) if other == name]
            hint = "give each column a name of its own; header = false if the first line is a sample"
            raise DataError(f"{path}: columns {' and '.join(places)} are both called '{name}'", hint=hint)


def _label(table: _Table, wanted: int | str | None) -> int:
    if wanted is not None:
        return _column(table, wanted, "label_column")
    called = [number for number, name in enumerate(table.names) if name.casefold() in LABEL_NAMES]
    return called[0] if table.header and len(called) == 1 else len(table.names) - 1


def _column(table: _Table, wanted: int | str, key: str) -> int:
    names = table.names
    if isinstance(wanted, str):
        if not table.header:
            raise DataError(f"{table.path}: no column '{wanted}' without a header", hint=f"give {key} as a number")
        if wanted not in names:
            raise DataError(f"{table.path}: no column '{wanted}'", hint=_nearest(wanted, names))
        return names.index(wanted)
    if not -len(names) <= wanted < len(names):
        raise DataError(f"{table.path}: no column {wanted}", hint=f"there are {len(names)}, counted from 0")
    return wanted % len(names)


def _nearest(wanted: str, names: Sequence[str]) -> str:
    """Return a hint at column names like ``wanted``, and at all names if they are few."""
    called = [name for name in names if name]
    if len(called) <= MAX_LISTED_NAMES:
        return nearest(wanted, called)
    close = difflib.get_close_matches(wanted, called, n=3, cutoff=0.5)
    guess = f"did you mean '{"', '".join(close)}'? " if close else ""
    return f"{guess}there are {len(called):,}: {', '.join(called[:3])}, … {called[-1]}"


def _dropped_columns(
    table: _Table, taken: AbstractSet[int], drop: Sequence[int | str] | None
) -> tuple[set[int], list[str]]:
    """Return the columns that are not features, and notes about them."""
    dropped = {_column(table, column, "drop") for column in drop or ()}
    notes = [f"left out: column {table.display_name(number)}" for number in sorted(dropped)]
    for number in range(len(table.names)):
        if number in taken or number in dropped:
            continue
        nameless, counts = not table.names[number] or table.names[number].startswith("Unnamed:"), _counts(table, number)
        if table.header and nameless:
            if drop is None and number == 0 and _names_lines(table):
                dropped.add(number)
                notes.append(f"left out: column {number}, which has no name and numbers or names the lines")
            else:
                hint = f"name it in the first line, or leave it out: drop = [{number}]"
                raise DataError(f"{table.path}: column {number} has no name of its own", hint=hint)
        elif counts and number == 0 and not table.header and drop is None and len(table.names) > 2:
            dropped.add(number)
            notes.append("left out: column 0, which counts the lines (drop = [] keeps it)")
        elif counts and table.header:
            suggestion = f"drop = [{table.config_value(number)}] leaves it out"
            notes.append(
                f"column {table.display_name(number)} counts the lines, and is taken as a feature: {suggestion}"
            )
    return dropped, notes


def _counts(table: _Table, number: int) -> bool:
    """Return whether a column counts the lines, from 0 or 1."""
    column = table.column(number)
    if len(column) < MIN_COUNTED_LINES or column[0] not in ("0", "1"):
        return False
    return all(word == str(count) for count, word in enumerate(column, start=int(column[0])))


def _names_lines(table: _Table) -> bool:
    """Return whether the first column holds distinct integers or distinct words."""
    column = table.column(0)
    return len(set(column)) == len(column) and (
        all(word.isdecimal() for word in column) or all(number_of(word) is None for word in column)
    )


def _numbers(table: _Table, features: list[int]) -> Float64[np.ndarray, "m d"]:
    picked = [[row[column] for column in features] for row in table.rows]
    try:
        x = np.array(picked, np.float64)
    except ValueError:
        raise _not_a_number(table, features) from None
    with np.errstate(over="ignore"):  # values too large for float32 are reported below
        finite = np.isfinite(x.astype(np.float32)).all()
    if not finite or any("_" in "".join(row) for row in picked):
        raise _not_a_number(table, features)
    return x


def _not_a_number(table: _Table, features: list[int]) -> DataError:
    """Return the error about the first field that is not a finite number."""
    missing = [
        (row, column) for row, fields in enumerate(table.rows) for column in features if is_missing(fields[column])
    ]
    for row, fields in enumerate(table.rows):
        for column in features:
            word = fields[column]
            number = number_of(word)
            place = f"{table.path}, line {table.lines[row]}, column '{table.names[column]}'"
            if is_missing(word):
                more = f", as are {len(missing) - 1:,} more" if len(missing) > 1 else ""
                problem = f"the value is missing ('{word}')" if word else "the field is empty"
                columns = sorted({column for _, column in missing})
                listed = ", ".join(table.config_value(column) for column in columns[:3]) + ", …" * (len(columns) > 3)
                hint = f"fill what is missing, or leave out its lines, or its columns: drop = [{listed}]"
                return DataError(f"{place}: {problem}{more}", hint=hint)
            if number is None or not abs(number) <= LARGEST:
                hint = _not_a_number_hint(table, row, column, word, number)
                return DataError(f"{place}: '{shortened(word)}' is not a finite number", hint=hint)
    raise AssertionError  # pragma: no cover - only called when there is one


def _not_a_number_hint(table: _Table, row: int, column: int, word: str, number: float | None) -> str:
    if number is not None:
        return "features lie within ±3.4e38, the range of float32"
    if number_of(word.replace(",", ".")) is not None:
        return "write a point before decimals, not a comma"
    if row == 0 and not table.header:
        return (
            f"header = true if the first line names the columns; label_column = {column} if it holds the labels; "
            f"drop = [{column}] leaves it out"
        )
    name = table.config_value(column)
    return f"which column holds labels? see label_column; drop = [{name}] leaves this one out"


def _other_label(table: _Table, label: int) -> str:
    """Return a hint at the other end's column, if it looks like labels."""
    other = 0 if label else len(table.names) - 1
    different = len(set(table.column(other)))
    if not 2 <= different <= min(FEW_CLASSES, len(table.rows) // 2):
        return ""
    return (
        f"or are the labels in column {table.display_name(other)}, of {different} values? "
        f"label_column = {table.config_value(other)}"
    )
