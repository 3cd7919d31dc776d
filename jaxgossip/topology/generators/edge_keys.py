"""Edges as numbers: {a, b} is min(a, b)·n + max(a, b), so that sorting finds doubles and bisection finds edges."""

import numpy as np

STALE = 100
"""The sorted edges are rebuilt once more than one in so many has moved."""


class EdgeSet:
    """Tells of many edges at once whether they could be added to a graph that changes in place.

    Edges that have moved away may be remembered as taken for a while: refusing too much only costs another draw.

    Args:
        n_nodes: number of nodes.
        first: (m,) int, one end of each edge; changed in place by the owner.
        second: (m,) int, the other end; changed in place by the owner.
    """

    def __init__(self, n_nodes: int, first: np.ndarray, second: np.ndarray) -> None:
        self._n_nodes, self._first, self._second = n_nodes, first, second
        self._rebuild()

    def repeated(self) -> np.ndarray:
        """Return the (k,) int numbers of the edges that are there already under a lower number."""
        double = np.unique(self._sorted[1:][self._sorted[1:] == self._sorted[:-1]])
        keys = self._keys(self._first, self._second)
        where = np.flatnonzero(_is_in(double, keys))
        where = where[np.argsort(keys[where], kind="stable")]
        return where[1:][keys[where[1:]] == keys[where[:-1]]]

    def could_add(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return (k,) bool: the edge is no loop, not there, and not among those before it in the same question."""
        keys = self._keys(first, second)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        is_new = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: keys.size]
        possible = np.empty(keys.size, bool)
        possible[order] = is_new & ~_is_in(self._sorted, ordered) & ~_is_in(self._added, ordered)
        return possible & (first != second)

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Note edges that the owner has put into its arrays in place of others."""
        self._added = np.sort(np.concatenate([self._added, self._keys(first, second)]))
        if self._added.size * STALE > self._sorted.size:
            self._rebuild()

    def _rebuild(self) -> None:
        self._sorted = np.sort(self._keys(self._first, self._second))
        self._added = self._sorted[:0]

    def _keys(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.minimum(first, second).astype(np.int64) * self._n_nodes + np.maximum(first, second)


def _is_in(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (k,) bool: which of ``values`` (k,) are in ``ordered`` (m,), which is sorted."""
    if not ordered.size:
        return np.zeros(values.size, bool)
    place = np.searchsorted(ordered, values)
    return ordered[np.minimum(place, ordered.size - 1)] == values
