"""Edges as integer keys: {a, b} is min(a, b)·n + max(a, b), so that sorting finds duplicates and bisection finds edges."""

import numpy as np

STALE = 100
"""The sorted edges are rebuilt once more than one in this many has moved."""


class EdgeSet:
    """The edges of a graph that is changed in place, which tests many candidate edges at once.

    Edges that have been removed may still count as taken for a while: a needless refusal only costs another draw.

    Args:
        n_nodes: number of nodes.
        first: (m,) int, one end of each edge; changed in place by the owner.
        second: (m,) int, the other end; changed in place by the owner.
    """

    def __init__(self, n_nodes: int, first: np.ndarray, second: np.ndarray) -> None:
        self._n_nodes, self._first, self._second = n_nodes, first, second
        self._rebuild()

    def repeated(self) -> np.ndarray:
        """Return the indices, (k,) int, of edges that duplicate one of lower index."""
        double = np.unique(self._sorted[1:][self._sorted[1:] == self._sorted[:-1]])
        keys = self._keys(self._first, self._second)
        where = np.flatnonzero(_is_in(double, keys))
        where = where[np.argsort(keys[where], kind="stable")]
        return where[1:][keys[where[1:]] == keys[where[:-1]]]

    def could_add(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return (k,) bool: whether each candidate is no loop, not taken, and not a repetition of an earlier candidate."""
        keys = self._keys(first, second)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        is_new = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: keys.size]
        possible = np.empty(keys.size, bool)
        possible[order] = is_new & ~_is_in(self._sorted, ordered) & ~_is_in(self._added, ordered)
        return possible & (first != second)

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Register edges that the owner has put into its arrays in place of others."""
        self._added = np.sort(np.concatenate([self._added, self._keys(first, second)]))
        if self._added.size * STALE > self._sorted.size:
            self._rebuild()

    def _rebuild(self) -> None:
        self._sorted = np.sort(self._keys(self._first, self._second))
        self._added = self._sorted[:0]

    def _keys(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.minimum(first, second).astype(np.int64) * self._n_nodes + np.maximum(first, second)


def _is_in(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (k,) bool: which of ``values`` (k,) occur in the sorted array ``ordered`` (m,)."""
    if not ordered.size:
        return np.zeros(values.size, bool)
    place = np.searchsorted(ordered, values)
    return ordered[np.minimum(place, ordered.size - 1)] == values
