"""Text files with one link per line: two names, and whatever columns other programs add."""

import csv
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jaxgossip.core.errors import GraphError, JaxGossipWarning
from jaxgossip.topology.files.links import Links, Names, check_named, is_number
from jaxgossip.topology.memory_check import check_bytes

HINT = "write two names a line, separated by blanks, tabs, a comma or a semicolon; # starts a comment"
COLUMNS_HINT = "name the columns in their order: columns = ['source', 'target', '_']"
ENDS = MappingProxyType(
    {
        "source": "target",
        "sourceid": "targetid",
        "src": "dst",
        "from": "to",
        "fromid": "toid",
        "fromnode": "tonode",
        "fromnodeid": "tonodeid",
        "node1": "node2",
        "nodea": "nodeb",
        "id1": "id2",
        "user1": "user2",
        "vertex1": "vertex2",
        "tail": "head",
        "start": "end",
        "sender": "receiver",
        "origin": "destination",
        "follower": "followee",
    }
)
"""Common pairs of column names in the first line of a file, without blanks and dashes and in lower case."""
KONECT_KINDS = MappingProxyType({"bip": None, "sym": False, "asym": True})
"""First word of a KONECT file, after %, with whether its links are directed; None for bipartite graphs."""
NO_WEIGHTS = frozenset({"nan", "inf", "-inf", "na"})
"""Words that programs write in place of a weight."""
QUICK_BYTES, SLOW_BYTES = 20, 40
"""Bytes of memory per character: 18 were measured for plain numbers, 14 to 32 where names are read one by one."""
KONECT_COLUMNS = 4
"""Columns of a KONECT file: two nodes, a weight and a time."""
_LEADING = re.compile(r"\A(?:\s*%[^\n]*(?:\n|\Z))+")
_COUNTS = re.compile(r"\s*%[^\n]*\n%\s+([0-9]{1,10})\s+([0-9]{1,10})\s+([0-9]{1,10})\s*\n")
_WHOLE = re.compile(r"[0-9]{1,10}")
_COMMENT = re.compile(r'"[^"]*"|((?:^|\s)#.*)')
_DATA = re.compile(r"(?P<names>.*?[\s,;])(?P<data>\{(?:\}|['\"].*\}))")


class Row(NamedTuple):
    """A line that is not a comment.

    Attributes:
        number: number of the line in the file, from 1.
        fields: the columns of the line.
        data: whether a nonempty dictionary, as networkx writes, follows.
    """

    number: int
    fields: list[str]
    data: bool


def read_lines(file: str, text: str, columns: Sequence[str] | None) -> Links:
    """Return the links in the text of a file.

    Args:
        file: name of the file in messages.
        text: content of the file.
        columns: content of each column: "source" and "target" once each; all others are skipped.

    Raises:
        GraphError: a line is not a link (named as file:line), or ``columns`` lacks source or target.
    """
    kind = _konect_kind(text)
    places = None if columns is None else _places(columns)
    most = 3 if kind is None else KONECT_COLUMNS
    check_bytes(f"{file}: {len(text):,} characters", QUICK_BYTES * len(text), "a file of fewer links")
    links = _read_numbers(file, _LEADING.sub("", text), most) if places is None else None
    if links is None:
        hint = "a file of fewer links, or of numbers alone, which take half of it"
        check_bytes(f"{file}: {len(text):,} characters of names", SLOW_BYTES * len(text), hint)
        rows, places = _without_header(file, _rows(file, text), places)
        links = Links(*_names(file, rows, places, most))
    if kind != "bip":
        return links if kind is None else replace(links, directed=KONECT_KINDS[kind])
    return replace(links, sides=("left", "right"), declared=_declared_nodes(file, text, links))


def _declared_nodes(file: str, text: str, links: Links) -> tuple[Names, Names]:
    """Return the nodes of both sides by the counts in the second line of a KONECT file, if these cover all that occur."""
    counts = _COUNTS.match(text)
    if counts is None:
        return (), ()
    n_links, left, right = map(int, counts.groups())
    for names, most in ((links.first, left), (links.second, right)):
        if not all(_WHOLE.fullmatch(str(name)) and 1 <= int(name) <= most for name in names):
            return (), ()
    check_named(file, left + right, 2 * n_links)
    return np.arange(1, left + 1), np.arange(1, right + 1)


def _read_numbers(file: str, text: str, most: int) -> Links | None:
    """Read lines of two whole numbers and possibly further numbers at once; None if lines must be read one by one."""
    start = re.search(r"^\s*([^#\s].*)", text, re.MULTILINE)
    if start is None or "%" in text or re.search(r"[^\s#]#", text):
        return None
    separator = "," if "," in text else None
    width = len(_uncommented(start[1]).split(separator))
    if not 2 <= width <= most:
        return None
    kinds = np.dtype([("first", np.int64), ("second", np.int64), *((f"_{n}", np.float64) for n in range(2, width))])
    try:
        table = np.loadtxt(io.StringIO(text), kinds, comments="#", delimiter=separator, ndmin=1)
    except (ValueError, OverflowError):
        return None
    if width > 2:
        _warn_of_extra_columns(file, table.size)
    return Links(table["first"], table["second"])


def _konect_kind(text: str) -> str | None:
    start = text.lstrip().split("\n", 1)[0].split()
    return start[1] if len(start) > 1 and start[0] == "%" and start[1] in KONECT_KINDS else None


def _rows(file: str, text: str) -> list[Row]:
    contents = [
        (number, _uncommented(line).strip()) for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    ]
    contents = [(number, line) for number, line in contents if line and not line.startswith("%")]
    tabbed = _is_tabbed([line for _, line in contents])
    return [_row(file, number, line, tabbed=tabbed) for number, line in contents]


def _row(file: str, number: int, line: str, *, tabbed: bool) -> Row:
    match = _DATA.fullmatch(line) if line.endswith("}") else None
    if match is not None:
        names = match["names"].rstrip().rstrip(",;").rstrip()
        return Row(number, _fields(file, number, names, tabbed=tabbed), match["data"] != "{}")
    return Row(number, _fields(file, number, line, tabbed=tabbed), data=False)


def _uncommented(line: str) -> str:
    """Return a line up to a # that begins a word outside quotes."""
    if "#" not in line:
        return line
    start = next((match.start() for match in _COMMENT.finditer(line) if match[1] is not None), len(line))
    return line[:start]


def _is_tabbed(lines: Sequence[str]) -> bool:
    """Return whether tabs separate the columns, so that names may contain blanks; not if a column is several numbers."""
    return all("\t" in line for line in lines) and not any(
        len(words) > 1 and all(map(is_number, words)) for line in lines for words in map(str.split, line.split("\t"))
    )


def _fields(file: str, number: int, line: str, *, tabbed: bool) -> list[str]:
    bare = re.sub(r'"[^"]*"', '""', line) if '"' in line else line
    # in a line with both, the commas are decimal commas
    separator = next((mark for mark in ";," if mark in bare), "\t" if tabbed else None)
    if '"' not in line:
        return [field.strip() for field in line.split(separator)]
    if separator is None:
        line = re.sub(r'("[^"]*")|\s+', lambda match: match[1] or " ", line)
    try:
        reader = csv.reader([line], delimiter=separator or " ", skipinitialspace=True, strict=True)
        return [field.strip() for field in next(reader)]
    except csv.Error as error:
        raise GraphError(
            f"{file}:{number}: {_short(line)} cannot be read: {error}", hint="close every quote"
        ) from error


def _places(columns: Sequence[str]) -> tuple[int, int]:
    names = [str(name) for name in columns]
    for name in ("source", "target"):
        if names.count(name) != 1:
            raise GraphError(
                f"edge_list: columns = {names} has {'no' if name not in names else 'more than one'} '{name}'",
                hint="'source' and 'target' once each, '_' for a column that is not needed",
            )
    return names.index("source"), names.index("target")


def _without_header(
    file: str, rows: list[Row], places: tuple[int, int] | None
) -> tuple[list[Row], tuple[int, int] | None]:
    """Return the rows without a header, and the columns of source and target that it names.

    The first row is a header if it has a pair of words of ``ENDS`` that are no names in later rows, or if it has words and
    all names in later rows are numbers.
    """
    if not rows:
        return rows, places
    number, top, _ = rows[0]
    words = [re.sub(r"[\s_\-.]", "", field).lower() for field in top]
    named = next(((words.index(word), words.index(ENDS[word])) for word in words if ENDS.get(word) in words), None)
    columns = places or named or (0, 1)
    if max(columns) >= len(top):
        return rows, places
    names = {top[column] for column in columns}
    if not any(map(is_number, names)) and len(names) == 2:
        later = [row.fields[column] for row in rows[1:] for column in columns if column < len(row.fields)]
        if (named is not None and names.isdisjoint(later)) or (later and all(map(is_number, later))):
            text = f"{file}:{number}: {_short(','.join(top))} names the columns and is no link"
            warnings.warn(JaxGossipWarning(text), stacklevel=5)
            return rows[1:], places or named
    return rows, places


def _names(
    file: str, rows: list[Row], places: tuple[int, int] | None, most: int
) -> tuple[list[str], list[str]]:  # fmt: skip
    """Return the names of sources and targets.

    Raises:
        GraphError: a line is not a link.
    """
    first, second = places or (0, 1)
    names: tuple[list[str], list[str]] = ([], [])
    weighted = 0
    for number, fields, data in rows:
        if places is None:
            _check(file, number, fields, most)
        if max(first, second) >= len(fields) or not fields[first] or not fields[second]:
            raise GraphError(
                f"{file}:{number}: {_short(' '.join(fields))} has no names in columns {first + 1} and {second + 1}",
                hint=f"there {'is' if len(fields) == 1 else 'are'} {len(fields)} in this line; {COLUMNS_HINT}",
            )
        weighted += data or (places is None and len(fields) > 2)
        names[0].append(fields[first])
        names[1].append(fields[second])
    if weighted:
        _warn_of_extra_columns(file, weighted)
    return names


def _warn_of_extra_columns(file: str, lines: int) -> None:
    text = f"{file}: what follows the names in {lines:,} lines is ignored, the weight rule decides"
    warnings.warn(JaxGossipWarning(text), stacklevel=6)


def _check(file: str, number: int, fields: list[str], most: int) -> None:
    """Raise GraphError unless a line is two names, followed only by numbers, in at most ``most`` columns."""
    if len(fields) == 2 and all(fields):
        return
    other = "; format = 'adjacency' or 'metis' where a line lists all neighbours of a node"
    if len(fields) > most:
        hint = COLUMNS_HINT + other
        raise GraphError(f"{file}:{number}: {_short(' '.join(fields))} has {len(fields)} columns", hint=hint)
    if len(fields) < 2 or not all(fields):
        raise GraphError(f"{file}:{number}: {_short(' '.join(fields))} is not two node names", hint=HINT + other)
    more = ((field, field.replace(",", ".").lower()) for field in fields[2:])
    wrong = next((field for field, word in more if not is_number(word) and word not in NO_WEIGHTS), None)
    if wrong is not None:
        raise GraphError(
            f"{file}:{number}: the third column {_short(wrong)} is not a number",
            hint=f"only an edge weight can follow the two node names, and it is ignored; or {COLUMNS_HINT}",
        )


def _short(text: str) -> str:
    return f"'{text if len(text) <= 80 else text[:77] + '...'}'"
