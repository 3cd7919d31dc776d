"""The links that every reader of a file returns, between named nodes, and the numbering of the nodes by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from jaxgossip.topology.memory_check import LISTED_BYTES, check_bytes

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
NAMED_BYTES = 250
"""Bytes per node that has a name."""
_LONGEST = 300
"""Longer runs of digits are names, not numbers."""

Names = Sequence[str] | np.ndarray
"""Names of nodes, as texts or as (m,) int64."""


@dataclass(frozen=True)
class Links:
    """The links of a file.

    Attributes:
        first: (m,) names, the sending end of each link, in the order of the file.
        second: (m,) names, the receiving end.
        declared: nodes that exist whether or not a link names them.
        sides: names of the two sides of a bipartite graph, if ``first`` and ``second`` name nodes of different sides, where
            equal names are different nodes; ``declared`` then has a list for each side. None if there are no sides.
        directed: whether links have a direction; None if the file does not say.
    """

    first: Names
    second: Names
    declared: tuple[Names, Names] = ((), ())
    sides: tuple[str, str] | None = None
    directed: bool | None = None


@dataclass(frozen=True)
class Numbered:
    """The links of a file between numbered nodes.

    Attributes:
        n_nodes: number of nodes.
        first: (m,) int64, the sending end of each link.
        second: (m,) int64, the receiving end.
        labels: the names of the nodes; None if they are their numbers.
    """

    n_nodes: int
    first: np.ndarray
    second: np.ndarray
    labels: tuple[str, ...] | None


def numbered(links: Links) -> Numbered:
    """Number the nodes from 0 in the order of their names, which are compared as numbers if all of them are numbers.

    Of a bipartite graph, the side of ``first`` comes first; if the sides share names, the side's name is prefixed.
    """
    if links.sides is None:
        names, (first, second, *_) = _ordered((links.first, links.second, *links.declared))
        plain = isinstance(names, np.ndarray) and np.array_equal(names, np.arange(names.size))
        return Numbered(len(names), first, second, None if plain else tuple(map(str, names)))
    sides = zip((links.first, links.second), links.declared, strict=True)
    (left, (first, *_)), (right, (second, *_)) = map(_ordered, sides)
    labels = [list(map(str, names)) for names in (left, right)]
    if not set(labels[0]).isdisjoint(labels[1]):
        labels = [[f"{side} {name}" for name in names] for side, names in zip(links.sides, labels, strict=True)]
    return Numbered(len(left) + len(right), first, second + len(left), (*labels[0], *labels[1]))


def check_named(file: str, nodes: int, links: int) -> None:
    """Check that a graph of named nodes fits into memory, given the sizes that its file declares.

    Raises:
        GraphError: it does not.
    """
    check_bytes(
        f"{file}: {nodes:,} nodes with {links:,} directed links",
        NAMED_BYTES * nodes + LISTED_BYTES * links,
        "fewer nodes, or fewer links a node",
    )


def is_number(text: str) -> bool:
    """Return whether a word is a finite number in decimal notation."""
    return len(text) <= _LONGEST and _NUMBER.fullmatch(text) is not None


def _ordered(groups: Sequence[Names]) -> tuple[Names, list[np.ndarray]]:
    """Return the distinct names in order, and each group as indices into them."""
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
        place = {number: index for index, number in enumerate(ordered)}
        return [_plain(number) for number in ordered], [
            np.array([place[number] for number in group], np.int64) for group in numbers
        ]
    distinct = sorted({word for group in words for word in group})
    index = {word: number for number, word in enumerate(distinct)}
    return distinct, [np.array([index[word] for word in group], np.int64) for group in words]


def _as_integers(group: Names) -> np.ndarray | None:
    if isinstance(group, np.ndarray):
        return group
    if not all(map(_WHOLE.fullmatch, group)):
        return None
    return np.array(group, dtype=str).astype(np.int64) if len(group) else np.empty(0, np.int64)


def _plain(number: Decimal) -> str:
    """Return a number in canonical form: 1 for 1.0, 0.5 for .50."""
    if number == number.to_integral_value():
        return str(int(number)) if number.adjusted() < _LONGEST else f"{number:E}"
    text = f"{number:f}" if number.adjusted() > -_LONGEST else f"{number:E}"
    return text.rstrip("0") if "E" not in text else text
