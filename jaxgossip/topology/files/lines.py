"""Lists of links in text: a link a line, two names and what else a program writes beside them."""

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
from jaxgossip.topology.room import check_bytes

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
"""What the two columns of names are called in the first line of many files, without blanks, dashes and capitals."""
KONECT_KINDS = MappingProxyType({"bip": None, "sym": False, "asym": True})
"""The first word of a file of KONECT's, after %: whether its links have a direction; of two sorts of nodes, none says."""
NO_WEIGHTS = frozenset({"nan", "inf", "-inf", "na"})
"""What a program may write in the place of a weight."""
QUICK_BYTES, SLOW_BYTES = 20, 40
"""What a character takes: 14 to 32 bytes were measured where names are read one by one, 18 of plain numbers."""
KONECT_COLUMNS = 4
"""Two nodes, a weight and a time."""
_LEADING = re.compile(r"\A(?:\s*%[^\n]*(?:\n|\Z))+")
_COUNTS = re.compile(r"\s*%[^\n]*\n%\s+([0-9]{1,10})\s+([0-9]{1,10})\s+([0-9]{1,10})\s*\n")
_WHOLE = re.compile(r"[0-9]{1,10}")
_COMMENT = re.compile(r'"[^"]*"|((?:^|\s)#.*)')
_DATA = re.compile(r"(?P<names>.*?[\s,;])(?P<data>\{(?:\}|['\"].*\}))")


class Row(NamedTuple):
    """A line that is no comment.

    Attributes:
        number: of the line in the file, from 1.
        fields: what it holds.
        data: whether a dictionary of networkx's followed, and was not empty.
    """

    number: int
    fields: list[str]
    data: bool


def read_lines(file: str, text: str, columns: Sequence[str] | None) -> Links:
    """Return the links of a text.

    Args:
        file: what messages call it.
        text: all of it.
        columns: what each column holds: "source" and "target" once each, anything else is passed over.

    Raises:
        GraphError: a line that is no link, named as file:line, or columns without source and target.
    """
    kind = _konect_kind(text)
    places = None if columns is None else _places(columns)
    most = 3 if kind is None else KONECT_COLUMNS
    check_bytes(f"{file}: {len(text):,} characters", QUICK_BYTES * len(text), "a file of fewer links")
    found = _quick(file, _LEADING.sub("", text), most) if places is None else None
    if found is None:
        hint = "a file of fewer links, or of numbers alone, which take half of it"
        check_bytes(f"{file}: {len(text):,} characters of names", SLOW_BYTES * len(text), hint)
        rows, places = _without_header(file, _rows(file, text), places)
        found = Links(*_names(file, rows, places, most))
    if kind != "bip":
        return found if kind is None else replace(found, directed=KONECT_KINDS[kind])
    return replace(found, sides=("left", "right"), alone=_counted(file, text, found))


def _counted(file: str, text: str, found: Links) -> tuple[Names, Names]:
    """Return the nodes of both sides, 1 to as many as the second line of KONECT's says, if it names all that occur."""
    counts = _COUNTS.match(text)
    if counts is None:
        return (), ()
    n_links, left, right = map(int, counts.groups())
    for names, most in ((found.first, left), (found.second, right)):
        if not all(_WHOLE.fullmatch(str(name)) and 1 <= int(name) <= most for name in names):
            return (), ()
    check_named(file, left + right, 2 * n_links)
    return np.arange(1, left + 1), np.arange(1, right + 1)


def _quick(file: str, text: str, most: int) -> Links | None:
    """Return the links of two whole numbers a line, numbers after them or not, or None: names are read line by line."""
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
        _tell_of_more(file, table.size)
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
    found = _DATA.fullmatch(line) if line.endswith("}") else None
    if found is not None:
        names = found["names"].rstrip().rstrip(",;").rstrip()
        return Row(number, _fields(file, number, names, tabbed=tabbed), found["data"] != "{}")
    return Row(number, _fields(file, number, line, tabbed=tabbed), data=False)


def _uncommented(line: str) -> str:
    """Return a line up to a # that begins a word, outside quotes."""
    if "#" not in line:
        return line
    start = next((found.start() for found in _COMMENT.finditer(line) if found[1] is not None), len(line))
    return line[:start]


def _is_tabbed(lines: Sequence[str]) -> bool:
    """Say whether tabs separate the columns, so that names may hold blanks; not where what stands between is numbers."""
    return all("\t" in line for line in lines) and not any(
        len(words) > 1 and all(map(is_number, words)) for line in lines for words in map(str.split, line.split("\t"))
    )


def _fields(file: str, number: int, line: str, *, tabbed: bool) -> list[str]:
    bare = re.sub(r'"[^"]*"', '""', line) if '"' in line else line
    # where both stand, the commas are those of decimals
    separator = next((one for one in ";," if one in bare), "\t" if tabbed else None)
    if '"' not in line:
        return [field.strip() for field in line.split(separator)]
    if separator is None:
        line = re.sub(r'("[^"]*")|\s+', lambda found: found[1] or " ", line)
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
    """Return the rows without a first one that names the columns, and where it says that source and target stand.

    It does if it has a pair of words of ``ENDS`` that are no names later, or words where all later names are numbers.
    """
    if not rows:
        return rows, places
    number, top, _ = rows[0]
    words = [re.sub(r"[\s_\-.]", "", field).lower() for field in top]
    told = next(((words.index(one), words.index(ENDS[one])) for one in words if ENDS.get(one) in words), None)
    at = places or told or (0, 1)
    if max(at) >= len(top):
        return rows, places
    names = {top[column] for column in at}
    if not any(map(is_number, names)) and len(names) == 2:
        later = [row.fields[column] for row in rows[1:] for column in at if column < len(row.fields)]
        if (told is not None and names.isdisjoint(later)) or (later and all(map(is_number, later))):
            text = f"{file}:{number}: {_short(','.join(top))} names the columns and is no link"
            warnings.warn(JaxGossipWarning(text), stacklevel=5)
            return rows[1:], places or told
    return rows, places


def _names(
    file: str, rows: list[Row], places: tuple[int, int] | None, most: int
) -> tuple[list[str], list[str]]:  # fmt: skip
    """Return the names of the first and the second column, and say which line is wrong."""
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
        _tell_of_more(file, weighted)
    return names


def _tell_of_more(file: str, lines: int) -> None:
    text = f"{file}: what follows the names in {lines:,} lines is ignored, the weight rule decides"
    warnings.warn(JaxGossipWarning(text), stacklevel=6)


def _check(file: str, number: int, fields: list[str], most: int) -> None:
    """Raise GraphError unless a line is two names, and numbers after them in at most ``most`` columns."""
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
