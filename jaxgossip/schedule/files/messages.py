"""Messages in files: a schedule that was measured elsewhere, or saved from a run, in place of a drawn one.

``.npz`` has one array per column, ``.csv`` one line per message. Columns: sender, receiver, sent_s, arrives_s; and
optionally event (by default the order in the file), kind, fate and part (by default 0). In text, kinds and fates are given
by their lower-case names or their numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from jaxgossip.core import disk
from jaxgossip.core.arguments import number
from jaxgossip.core.errors import InputError
from jaxgossip.core.npz import read_npz
from jaxgossip.core.units import counted
from jaxgossip.schedule.files.tables import Table, read_table
from jaxgossip.schedule.messages import Fate, Kind, Messages
from jaxgossip.schedule.peers import Preferences

REQUIRED = ("sender", "receiver", "sent_s", "arrives_s")
TIMES = ("sent_s", "arrives_s")
OPTIONAL = ("event", "kind", "fate", "part")
NAMED = MappingProxyType[str, type[IntEnum]]({"kind": Kind, "fate": Fate})
LATEST_S = 1e15
"""Latest time in seconds at which a message can be sent, so that its cycle can be counted: thirty million years."""
HINT = "columns: sender, receiver, sent_s, arrives_s; optional event, kind, fate, part"

RowError = Callable[[int, str, str], InputError]
"""(row, message, hint) -> the error to raise about a row."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """Recorded messages, in place of a schedule.

    Attributes:
        n_nodes: number of nodes.
        period_s: length of a cycle in seconds.
        messages: all messages, in any order.
    """

    n_nodes: int
    period_s: float
    messages: Messages

    def __repr__(self) -> str:
        messages = counted(self.messages.sender.size, "message")
        return f"Recorded({counted(self.n_nodes, 'node')}, {messages}, cycles of {self.period_s:g} s)"

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of messages that occur."""
        return frozenset(map(Kind, np.unique(self.messages.kind).tolist()))

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        """Yield the messages sent in cycle 0, 1, …, endlessly; cycles after the last message are empty.

        Args:
            preferences: ignored, for the messages are fixed.
        """
        del preferences
        cycle = np.floor(self.messages.sent_s / self.period_s).astype(np.int64)
        order = np.argsort(cycle, kind="stable")
        cycle = cycle[order]
        last = int(cycle[-1]) if cycle.size else -1
        for k in count():
            if k > last:
                yield Messages.none()
            else:
                start, end = np.searchsorted(cycle, (k, k + 1))
                yield self.messages.take(order[start:end])


def read(path: str | Path, n_nodes: int, *, period_s: float = 1.0) -> Recorded:
    """Read messages from a file.

    Args:
        path: ``.npz`` or ``.csv``.
        n_nodes: number of nodes of the network.
        period_s: length of a cycle in seconds.

    Raises:
        InputError: the file does not exist or has another format, a column is missing or malformed, a node does not
            exist, a message arrives before it is sent, or a time is negative or not a number; names the line or index.
    """
    file = Path(path).expanduser()
    period_s = number("schedule file", "period_s", period_s, above=True)
    if file.suffix not in (".npz", ".csv"):
        raise InputError(f"{file} is neither .npz nor .csv", hint=HINT)
    columns, row_error = _from_text(file) if file.suffix == ".csv" else _from_arrays(file)
    _check(columns, n_nodes, row_error)
    columns.setdefault("event", np.arange(columns["sender"].size))
    return Recorded(n_nodes, period_s, Messages.of(**columns))


def save(path: str | Path, messages: Messages) -> None:
    """Write messages to a file atomically.

    Args:
        path: ``.npz``, or ``.csv`` with the same numbers to the last bit.
        messages: the messages, whose order is kept.

    Raises:
        InputError: the format is unknown, or the folder does not exist.
    """
    file = check(path)
    columns = {name: getattr(messages, name) for name in (*REQUIRED, *OPTIONAL)}

    def put(out: BinaryIO) -> None:
        if file.suffix == ".npz":
            np.savez_compressed(out, **columns)  # pyright: ignore[reportArgumentType] - a mapping of arrays
            return
        out.write((",".join(columns) + "\n").encode())
        names = {name: [member.name.lower() for member in members] for name, members in NAMED.items()}
        texts = [
            [names[name][value] for value in column.tolist()] if name in names else map(repr, column.tolist())
            for name, column in columns.items()
        ]
        out.writelines((",".join(row) + "\n").encode() for row in zip(*texts, strict=True))

    disk.write(file, put)


def check(path: str | Path) -> Path:
    """Return the path of a file that messages can be written to.

    Raises:
        InputError: the format is unknown, or the folder does not exist.
    """
    file = Path(path).expanduser()
    if file.suffix not in (".npz", ".csv"):
        raise InputError(f"{file} is neither .npz nor .csv", hint="name the file so that it ends in one of them")
    if not file.absolute().parent.is_dir():
        raise InputError(f"no such folder: {file.absolute().parent}", hint="make it first")
    return file


def _from_text(file: Path) -> tuple[dict[str, np.ndarray], RowError]:
    table = read_table(file, REQUIRED, OPTIONAL)
    columns = {name: table.numbers(name) for name in TIMES}
    for name in table.columns:
        if name in NAMED:
            columns[name] = _named(table, name)
        elif name not in columns:
            columns[name] = table.whole_numbers(name)
    return columns, table.error


def _named(table: Table, name: str) -> np.ndarray:
    numbers = {member.name.lower(): int(member) for member in NAMED[name]}
    numbers |= {str(int(member)): int(member) for member in NAMED[name]}
    texts = table.columns[name]
    try:
        return np.array([numbers[text] for text in texts], np.int64)
    except KeyError:
        row = next(row for row, text in enumerate(texts) if text not in numbers)
        allowed = ", ".join(member.name.lower() for member in NAMED[name])
        raise table.error(row, f"unknown {name} '{texts[row]}'", hint=f"allowed: {allowed}") from None


def _from_arrays(file: Path) -> tuple[dict[str, np.ndarray], RowError]:
    columns = read_npz(file, InputError, REQUIRED, OPTIONAL, hint=HINT)
    shape = (columns["sender"].size,)
    wrong = [f"'{name}' of shape {array.shape}, not {shape}" for name, array in columns.items() if array.shape != shape]
    wrong += [
        f"'{name}' of {array.dtype}, not {'numbers' if name in TIMES else 'integers'}"
        for name, array in columns.items()
        if array.dtype.kind not in ("iuf" if name in TIMES else "iu")
    ]
    if wrong:
        raise InputError(f"{file} has {wrong[0]}", hint=HINT)
    columns = {name: array.astype(np.float64 if name in TIMES else np.int64) for name, array in columns.items()}

    def row_error(row: int, message: str, hint: str) -> InputError:
        return InputError(f"{file}: message {row}: {message}", hint=hint)

    return columns, row_error


def _check(columns: dict[str, np.ndarray], n_nodes: int, row_error: RowError) -> None:
    """Raise the error of the first message that violates the first condition violated."""
    sender, receiver, sent_s, arrives_s = (columns[name] for name in REQUIRED)
    kind, fate, part = (columns.get(name, np.zeros(sender.size, np.int64)) for name in ("kind", "fate", "part"))
    is_local = (kind == Kind.SPLIT) | (kind == Kind.LEARN)

    def within(numbers: np.ndarray, size: int) -> np.ndarray:
        return (numbers >= 0) & (numbers < size)

    nodes = f"nodes are numbered 0 to {n_nodes - 1}"
    times = "write finite seconds, arrives_s at least sent_s"
    conditions: list[tuple[np.ndarray, Callable[[int], str], str]] = [
        (within(sender, n_nodes), lambda row: f"sender {sender[row]} does not exist", nodes),
        (within(receiver, n_nodes), lambda row: f"receiver {receiver[row]} does not exist", nodes),
        ((sent_s >= 0) & np.isfinite(sent_s), lambda row: f"it is sent at {sent_s[row]:g} s", "a run starts at time 0"),
        (sent_s <= LATEST_S, lambda row: f"it is sent at {sent_s[row]:g} s", f"times are at most {LATEST_S:g} s"),
        (
            (arrives_s >= sent_s) & np.isfinite(arrives_s),
            lambda row: f"it is sent at {sent_s[row]:g} s and arrives at {arrives_s[row]:g} s",
            times,
        ),
        (within(kind, len(Kind)), lambda row: f"unknown kind {kind[row]}", f"0 to {len(Kind) - 1}"),
        (within(fate, len(Fate)), lambda row: f"unknown fate {fate[row]}", f"0 to {len(Fate) - 1}"),
        (within(part, 2**15), lambda row: f"part {part[row]} is out of range", f"0 to {2**15 - 1}"),
        (
            ~is_local | (sender == receiver),
            lambda row: f"node {sender[row]} cannot {Kind(int(kind[row])).name.lower()} for node {receiver[row]}",
            "sender and receiver of kinds split and learn are one node",
        ),
    ]
    for met, message, hint in conditions:
        if not met.all():
            row = int(np.argmin(met))
            raise row_error(row, message(row), hint)
