"""Contacts in files: our own CSV, and three formats in which traces are published.

    csv            a header ``t_s,u,v`` or ``t_s,u,v,duration_s``; nodes are numbered from 0, ``#`` starts a comment
    sociopatterns  ``t i j``, perhaps ``Ci Cj`` behind it: i and j were in contact in [t − w, t], w = 20 s
    one            ``time CONN i j up`` and ``… down``, of the ONE simulator, in order of time; whatever is up at the end
                   lasts to the last time of the file
    haggle         ``i j start end``, perhaps ``count gap`` behind it, of CRAWDAD: what either of the two logged is a contact

Columns are separated by blanks or tabs, but in CSV. In all formats but CSV names of nodes are words: node k is the k-th of
those that occur, in order of numbers if all of them are whole numbers, else in order of text; and time 0 is when the first
contact begins. Contacts of a pair that overlap or touch are one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from jaxgossip.core import disk
from jaxgossip.core.arguments import guarded, number
from jaxgossip.core.errors import InputError
from jaxgossip.core.files import read_text
from jaxgossip.schedule.contacts.contacts import Contacts, fault
from jaxgossip.schedule.contacts.sources import ContactSource, recorded
from jaxgossip.schedule.files.tables import read_table

Format = Literal["csv", "sociopatterns", "one", "haggle"]
WINDOW_S = 20.0
"""Seconds between two records of SocioPatterns."""
HINT = "t_s,u,v,duration_s in CSV; t i j of SocioPatterns; time CONN i j up|down of the ONE; i j start end of Haggle"


@dataclass(frozen=True, eq=False)
class Trace:
    """A trace of contacts.

    Attributes:
        contacts: the contacts.
        labels: what the file calls each node.
        format: the format of the file.
    """

    contacts: Contacts
    labels: tuple[str, ...]
    format: Format


class _Rows(NamedTuple):
    """Contacts as they stand in a file, in its own time.

    Attributes:
        line: the line of each.
        t_s: when it begins.
        duration_s: how long it lasts.
        first: name of a node.
        second: name of the other.
    """

    line: Sequence[int]
    t_s: np.ndarray
    duration_s: np.ndarray
    first: Sequence[str]
    second: Sequence[str]


class _Words(NamedTuple):
    """The lines of a file that are not comments, as words.

    Attributes:
        file: the file.
        lines: number of each line, and its words.
    """

    file: Path
    lines: Sequence[tuple[int, list[str]]]

    def error(self, line: int, message: str, hint: str = HINT) -> InputError:
        """Return an error that names a line."""
        return InputError(f"{self.file}:{line}: {message}", hint=hint)

    def seconds(self, line: int, word: str) -> float:
        """Return a word as a time in seconds."""
        try:
            value = float(word)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise self.error(line, f"'{word}' is no time", "write finite seconds")
        return value

    def check(self, widths: Sequence[int], columns: str) -> None:
        """Raise InputError unless all lines have one of the given numbers of words."""
        for line, words in self.lines:
            if len(words) not in widths:
                raise self.error(line, f"{len(words)} columns", columns)


@guarded
def from_file(
    n_nodes: int,
    *,
    path: Path,
    format: Literal["auto", "csv", "sociopatterns", "one", "haggle"] = "auto",  # noqa: A002 - the key's name
    start_s: float | None = None,
    window_s: float = WINDOW_S,
) -> ContactSource:
    """Return the contacts of a file; after the last one there are no more.

    Args:
        n_nodes: number of nodes.
        path: the file: CSV with the header t_s,u,v,duration_s, or a trace of SocioPatterns, the ONE or Haggle.
        format: what the file is, if its content does not tell.
        start_s: time of the file at which the run begins, in seconds; 0 in CSV and else the first contact's if left out.
        window_s: how long a contact without a duration lasts, in seconds; SocioPatterns looks every 20 s.

    Raises:
        InputError: the file is missing or of no known format, a line is malformed, or it has contacts of other nodes.
    """
    trace = read(path, n_nodes=n_nodes, format=format, start_s=start_s, window_s=window_s)
    return recorded(trace.contacts)


@guarded
def read(
    path: Path,
    *,
    n_nodes: int | None = None,
    format: Literal["auto", "csv", "sociopatterns", "one", "haggle"] = "auto",  # noqa: A002 - as in from_file
    start_s: float | None = None,
    window_s: float = WINDOW_S,
) -> Trace:
    """Read a trace of contacts.

    Args:
        path: the file.
        n_nodes: number of nodes; None for as many as occur, or are numbered up to the highest one in CSV.
        format: what the file is, if its content does not tell.
        start_s: time of the file that is time 0; None for 0 in CSV, and else for when the first contact begins.
        window_s: how long a contact without a duration lasts, in seconds.

    Raises:
        InputError: the file is missing or of no known format, a line is malformed, or there are other nodes than ``n_nodes``.
    """
    number("contacts", "window_s", window_s, above=True)
    file = Path(path).expanduser()
    words = _words(file)
    kind = _format(words) if format == "auto" else format
    rows = READERS[kind](words, window_s)
    if not len(rows.line):
        raise InputError(f"{file} holds no contact", hint=HINT)
    if kind == "csv":
        u, v = (np.array(names, np.int64) for names in (rows.first, rows.second))
        size = int(max(u.max(), v.max())) + 1 if n_nodes is None else n_nodes
        labels = tuple(map(str, range(max(size, 1))))
    else:
        for line, one, other in zip(rows.line, rows.first, rows.second, strict=True):
            if one == other:
                raise words.error(line, f"{one} meets itself", "a contact is between two nodes")
        labels = _labels((*rows.first, *rows.second))
        place = {label: node for node, label in enumerate(labels)}
        u, v = (np.array([place[name] for name in names], np.int64) for names in (rows.first, rows.second))
        size = len(labels)
        if n_nodes not in (None, size):
            raise InputError(
                f"{file} has contacts of {size:,} nodes, the network {n_nodes:,}", hint=f"topology.nodes = {size}"
            )
    begin_s = start_s if start_s is not None else 0.0 if kind == "csv" else float(rows.t_s.min())
    in_file = rows.t_s if kind == "csv" else np.zeros_like(rows.t_s)  # elsewhere, times may begin anywhere
    first = fault(max(size, 1), in_file, u, v, rows.duration_s)
    if first is not None:
        row, message, hint = first
        raise words.error(rows.line[row], message, hint)
    t_s = np.maximum(rows.t_s - begin_s, 0.0)
    lasts_s = rows.t_s - begin_s + rows.duration_s - t_s
    kept = lasts_s > 0
    return Trace(Contacts.of(size, t_s[kept], u[kept], v[kept], lasts_s[kept]), labels, kind)


def save(path: str | Path, contacts: Contacts) -> None:
    """Write contacts as CSV, atomically; :func:`read` gives the same numbers to the last bit.

    Args:
        path: the file.
        contacts: the contacts.

    Raises:
        InputError: the name does not end in .csv, or the folder does not exist.
    """
    file = Path(path).expanduser()
    if file.suffix != ".csv":
        raise InputError(f"{file}: contacts are written as .csv", hint=f"{file.with_suffix('.csv')}")
    if not file.absolute().parent.is_dir():
        raise InputError(f"no such folder: {file.absolute().parent}", hint="make it first")
    columns = (contacts.t_s, contacts.u, contacts.v, contacts.duration_s)

    def put(out: BinaryIO) -> None:
        out.write(b"t_s,u,v,duration_s\n")
        rows = zip(*(map(repr, column.tolist()) for column in columns), strict=True)
        out.writelines((",".join(row) + "\n").encode() for row in rows)

    disk.write(file, put)


def _words(file: Path) -> _Words:
    text = read_text(file, InputError, hint=HINT)
    stripped = ((line, content.split("#", 1)[0].split()) for line, content in enumerate(text.splitlines(), start=1))
    return _Words(file, [(line, words) for line, words in stripped if words])


def _format(words: _Words) -> Format:
    """Return the format that the first line of a file tells."""
    if not words.lines:
        raise InputError(f"{words.file} holds no contact", hint=HINT)
    line, first = words.lines[0]
    if "," in " ".join(first):
        return "csv"
    if len(first) > 1 and first[1].upper() == "CONN":
        return "one"
    kinds: Mapping[int, Format] = {3: "sociopatterns", 5: "sociopatterns", 4: "haggle", 6: "haggle"}
    if len(first) not in kinds:
        raise words.error(line, f"{len(first)} columns, which is no known format of contacts")
    return kinds[len(first)]


def _labels(names: Sequence[str]) -> tuple[str, ...]:
    known = set(names)
    return tuple(sorted(known, key=int) if all(name.isdecimal() for name in known) else sorted(known))


def _csv(words: _Words, window_s: float) -> _Rows:
    table = read_table(words.file, ("t_s", "u", "v"), ("duration_s",))
    u, v = (table.whole_numbers(name) for name in ("u", "v"))
    t_s = table.numbers("t_s")
    lasts_s = table.numbers("duration_s") if "duration_s" in table.columns else np.full(t_s.size, window_s)
    return _Rows(table.lines, t_s, lasts_s, u.tolist(), v.tolist())


def _sociopatterns(words: _Words, window_s: float) -> _Rows:
    words.check((3, 5), "t i j, or t i j Ci Cj")
    t_s = np.array([words.seconds(line, row[0]) for line, row in words.lines])
    first, second = ([row[column] for _, row in words.lines] for column in (1, 2))
    return _Rows([line for line, _ in words.lines], t_s - window_s, np.full(t_s.size, window_s), first, second)


def _haggle(words: _Words, _: float) -> _Rows:
    words.check((4, 5, 6), "i j start end, or i j start end count gap")
    start_s, end_s = (np.array([words.seconds(line, row[column]) for line, row in words.lines]) for column in (2, 3))
    first, second = ([row[column] for _, row in words.lines] for column in (0, 1))
    return _Rows([line for line, _ in words.lines], start_s, end_s - start_s, first, second)


def _one(words: _Words, _: float) -> _Rows:
    words.check((5,), "time CONN i j up, or time CONN i j down")
    up: dict[tuple[str, str], tuple[int, float]] = {}
    rows: list[tuple[int, float, float, str, str]] = []
    now_s = -np.inf
    for line, (time, event, one, other, state) in words.lines:
        before_s, now_s = now_s, words.seconds(line, time)
        if event.upper() != "CONN" or state.lower() not in ("up", "down"):
            raise words.error(line, f"'{event} … {state}' is no connection", "time CONN i j up, or time CONN i j down")
        if now_s < before_s:
            raise words.error(line, f"{now_s:g} s comes after {before_s:g} s", "lines stand in order of time")
        pair = (one, other) if one <= other else (other, one)
        if state.lower() == "up":
            if pair in up:
                raise words.error(line, f"{one} and {other} are up since line {up[pair][0]}", "write their down first")
            up[pair] = (line, now_s)
        elif pair in up:
            begun, start_s = up.pop(pair)
            rows.append((begun, start_s, now_s - start_s, *pair))
        else:
            raise words.error(line, f"{one} and {other} are not up", "write their up first")
    rows += [(begun, start_s, now_s - start_s, *pair) for pair, (begun, start_s) in up.items()]
    line, t_s, lasts_s, first, second = zip(*rows, strict=True) if rows else ((),) * 5
    return _Rows(line, np.array(t_s, float), np.array(lasts_s, float), first, second)


READERS: Mapping[Format, Callable[[_Words, float], _Rows]] = MappingProxyType(
    {"csv": _csv, "sociopatterns": _sociopatterns, "one": _one, "haggle": _haggle}
)
"""Readers by format."""
