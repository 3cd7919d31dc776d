"""What every reader of a file returns: links by the names of their ends; and the numbers that nodes get by their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from jaxgossip.topology.room import LISTED_BYTES, check_bytes

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
NAMED_BYTES = 250
"""What a node takes that has a name."""
_LONGEST = 300
"""A longer run of digits is a name, not a number."""

Names = Sequence[str] | np.ndarray
"""Names of nodes, as text or as (m,) int64."""


@dataclass(frozen=True)
class Links:
    """The links of a file.

    Attributes:
        first: (m,) whose messages go to ...
        second: (m,) ... whom; both in the order of the file.
        alone: nodes to be there whether or not a link names them.
        sides: what the two sorts of nodes are called where ``first`` and ``second`` are of different sorts, and equal
            names different nodes; ``alone`` has then a list for each. None: all nodes are of one sort.
        directed: whether links go one way only; None where the file does not say.
    """

    first: Names
    second: Names
    alone: tuple[Names, Names] = ((), ())
    sides: tuple[str, str] | None = None
    directed: bool | None = None


@dataclass(frozen=True)
class Numbered:
    """The same by numbers.

    Attributes:
        n_nodes: number of nodes.
        first: (m,) int64.
        second: (m,) int64.
        labels: the names of the nodes; None where they are their numbers.
    """

    n_nodes: int
    first: np.ndarray
    second: np.ndarray
    labels: tuple[str, ...] | None


def numbered(links: Links) -> Numbered:
    """Number the nodes from 0 in the order of their names: as numbers if all of them are, so that 1 and 1.0 are one.

    Of two sorts of nodes, those of ``first`` come first; names that both sorts have are told apart by the sort's.
    """
    if links.sides is None:
        names, (first, second, *_) = _ordered((links.first, links.second, *links.alone))
        plain = isinstance(names, np.ndarray) and np.array_equal(names, np.arange(names.size))
        return Numbered(len(names), first, second, None if plain else tuple(map(str, names)))
    sides = zip((links.first, links.second), links.alone, strict=True)
    (left, (first, *_)), (right, (second, *_)) = map(_ordered, sides)
    labels = [list(map(str, names)) for names in (left, right)]
    if not set(labels[0]).isdisjoint(labels[1]):
        labels = [[f"{side} {name}" for name in names] for side, names in zip(links.sides, labels, strict=True)]
    return Numbered(len(left) + len(right), first, second + len(left), (*labels[0], *labels[1]))


def check_named(file: str, nodes: int, links: int) -> None:
    """Check that a graph of named nodes has room in memory, by what its file says of their number.

    Raises:
        GraphError: it has none.
    """
    check_bytes(
        f"{file}: {nodes:,} nodes with {links:,} directed links",
        NAMED_BYTES * nodes + LISTED_BYTES * links,
        "fewer nodes, or fewer links a node",
    )


def is_number(text: str) -> bool:
    """Say whether a word is a finite number in decimal notation."""
    return len(text) <= _LONGEST and _NUMBER.fullmatch(text) is not None


def _ordered(groups: Sequence[Names]) -> tuple[Names, list[np.ndarray]]:
    """Return the different names in order, and the groups by their places in it."""
    arrays = [_as_integers(group) for group in groups]
    if all(array is not None for array in arrays):
        joined = np.concatenate([array for array in arrays if array is not None])
        values, places = np.unique(joined, return_inverse=True)
        ends = np.cumsum([len(group) for group in groups])
        return values, np.split(places.astype(np.int64), ends[:-1])
    texts = [group.tolist() if isinstance(group, np.ndarray) else group for group in groups]
    words = [[str(name) for name in group] for group in texts]
    if all(is_number(word) for group in words for word in group):
        numbers = [[Decimal(word) for word in group] for group in words]
        ordered = sorted({number for group in numbers for number in group})
        place = {number: at for at, number in enumerate(ordered)}
        return [_plain(number) for number in ordered], [
            np.array([place[number] for number in group], np.int64) for group in numbers
        ]
    known = sorted({word for group in words for word in group})
    at = {word: number for number, word in enumerate(known)}
    return known, [np.array([at[word] for word in group], np.int64) for group in words]


def _as_integers(group: Names) -> np.ndarray | None:
    if isinstance(group, np.ndarray):
        return group
    if not all(map(_WHOLE.fullmatch, group)):
        return None
    return np.array(group, dtype=str).astype(np.int64) if len(group) else np.empty(0, np.int64)


def _plain(number: Decimal) -> str:
    """Return a number without what does not count: 1 for 1.0, 0.5 for .50."""
    if number == number.to_integral_value():
        return str(int(number)) if number.adjusted() < _LONGEST else f"{number:E}"
    text = f"{number:f}" if number.adjusted() > -_LONGEST else f"{number:E}"
    return text.rstrip("0") if "E" not in text else text
