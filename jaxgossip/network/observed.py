"""The directions of x + z that an observer can solve for: spans of rows (W_t)_w, decided in integer arithmetic.

A node v that averages by W knows its own noise and sees (W_t)_w (x + z) for all nodes w that it hears, t < T. It learns
x + z on the span of these rows. As W_t is a polynomial of degree t in W, accelerated or not, this span is

    K = span{e_wᵀ Wᵗ : w heard by v, or v itself; t < T}

(v's own rows are combinations of those that it heard a step before). Directions count however faint they are; but powers
of W converge to a single direction, and floating point loses the faint ones. Integer arithmetic loses none.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from jaxgossip.topology import Weights

SIMPLEST = 10**6
"""Largest denominator of fractions that float64 weights are identified with, as 0.333… with 1/3."""
WORK = 2 * 10**7
"""Most operations on 64-bit words spent on the span of an observer; they take about ten seconds."""
MODULAR_WORK = 2 * 10**9
"""Largest n·rank² for which the rank is computed modulo a prime."""
PRIME = 2**31 - 1


class Scaled(NamedTuple):
    """An integer matrix D W, in coordinate format.

    Attributes:
        n: number of rows and of columns.
        row: (m,) int, row of each entry.
        column: (m,) int, column of each entry.
        entry: (m,) object, the integers D W_ij.
    """

    n: int
    row: np.ndarray
    column: np.ndarray
    entry: np.ndarray


def in_whole_numbers(weights: Weights) -> Scaled:
    """Return D W for the least common denominator D of the entries of W; rows sum to D exactly.

    Entries within four units in the last place of a fraction with denominator up to ``SIMPLEST`` are taken as that
    fraction, others as the exact value of their float64.
    """
    n = weights.graph.n_nodes
    matrix = sp.coo_array(weights.to_scipy())
    off = (matrix.row != matrix.col) & (matrix.data != 0)
    row, column = matrix.row[off].astype(np.int64), matrix.col[off].astype(np.int64)
    known = {value: fraction(value) for value in np.unique(matrix.data[off]).tolist()}
    fractions = [known[value] for value in matrix.data[off].tolist()]
    own = [Fraction(1)] * n
    for node, share in zip(row.tolist(), fractions, strict=True):
        own[node] -= share
    values = fractions + own
    scale = math.lcm(*{value.denominator for value in values})
    entry = np.array([value.numerator * (scale // value.denominator) for value in values], object)
    return Scaled(n, np.append(row, np.arange(n)), np.append(column, np.arange(n)), entry)


def share_seen(matrix: Scaled, starts: np.ndarray, steps: int) -> np.ndarray:
    """Return (n,) float64 ‖P e_u‖² for the projection P onto span{e_wᵀ Wᵗ : w in ``starts``, t < ``steps``}.

    Exact up to the rounding of the last step if the span has as many dimensions as there are nodes within reach (all of
    which are then solved for), or if computing it takes at most ``WORK`` operations. Otherwise an upper bound: 1 for every
    node within reach.
    """
    seen = np.zeros(matrix.n)
    if steps == 0:
        return seen
    within = _reached(matrix, starts, steps)
    rank = _rank(matrix, starts, steps)
    if rank < within.sum() and (span := Span.of(matrix, starts, steps)) is not None:
        return span.leverage()
    seen[within] = 1.0
    return seen


def fraction(value: float) -> Fraction:
    """Return the simple fraction that a float64 is within four units in the last place of, else its exact value."""
    simple = Fraction(value).limit_denominator(SIMPLEST)
    return simple if abs(float(simple) - value) <= 4 * math.ulp(value) else Fraction(value)


def _reached(matrix: Scaled, starts: np.ndarray, steps: int) -> np.ndarray:
    """Return (n,) bool: the nodes on which any row of the span can depend."""
    links = sp.csr_array((np.ones(matrix.row.size), (matrix.row, matrix.column)), shape=(matrix.n, matrix.n))
    within = np.zeros(matrix.n, bool)
    within[starts] = True
    for _ in range(steps - 1):
        further = within | ((within @ links) > 0)
        if (further == within).all():
            break
        within = further
    return within


def _rank(matrix: Scaled, starts: np.ndarray, steps: int) -> int:
    """Return the rank of the span modulo a prime, which never exceeds the true rank and is almost never smaller.

    The computation stops early, with a smaller rank, when it exceeds ``MODULAR_WORK``.
    """
    n, entry = matrix.n, (matrix.entry % PRIME).astype(np.int64)
    place = (matrix.row, matrix.column)
    high, low = (sp.csr_array((half, place), shape=(n, n)) for half in (entry >> 16, entry & 0xFFFF))
    rows, pivots = np.zeros((0, n), np.int64), np.zeros(0, np.int64)
    block = np.zeros((starts.size, n), np.int64)
    block[np.arange(starts.size), starts] = 1
    for _ in range(steps):
        fresh, places = _reduced_modulo((block - _times(block[:, pivots], rows)) % PRIME)
        if not places.size:
            break
        rows = np.concatenate([(rows - _times(rows[:, places], fresh)) % PRIME, fresh])
        pivots = np.append(pivots, places)
        if n * pivots.size**2 > MODULAR_WORK:
            break
        block = ((fresh @ high % PRIME << 16) + fresh @ low) % PRIME
    return pivots.size


def _times(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the product (k, n) modulo ``PRIME`` of residues (k, r) and (r, n), by 16-bit halves that do not overflow."""
    return (((first >> 16) @ second % PRIME << 16) + (first & 0xFFFF) @ second) % PRIME


def _reduced_modulo(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the reduced echelon form (r, n) of ``block`` (k, n) modulo ``PRIME``, and its pivot columns (r,)."""
    kept, pivots = np.zeros((0, block.shape[1]), np.int64), []
    for row in block:
        left = (row - _times(row[None, pivots], kept)[0]) % PRIME
        nonzero = np.flatnonzero(left)
        if nonzero.size:
            left = left * pow(int(left[nonzero[0]]), -1, PRIME) % PRIME
            kept = np.concatenate([(kept - kept[:, nonzero[:1]] * left % PRIME) % PRIME, left[None]])
            pivots.append(int(nonzero[0]))
    return kept, np.array(pivots, np.int64)


class Span:
    """A growing span of integer rows.

    Args:
        n: number of columns.
        most_work: operations on 64-bit words after which no more rows are added.

    Attributes:
        rows: (r, n) object, a basis; at the pivot of a row, all other rows are zero.
        pivots: (r,) int, the pivot columns.
        work: operations on 64-bit words so far.
    """

    def __init__(self, n: int, most_work: float = math.inf) -> None:
        self.rows, self.pivots, self.work = np.zeros((0, n), object), np.zeros(0, np.int64), 0
        self._most_work = most_work

    @classmethod
    def of(cls, matrix: Scaled, starts: np.ndarray, steps: int) -> "Span | None":
        """Return the span of the rows seen, or None if it takes more than ``WORK`` operations."""
        span, by_row = cls(matrix.n, WORK), _by_row(matrix)
        block = [np.array([int(node == start) for node in range(matrix.n)], object) for start in starts]
        for _ in range(steps):
            # Only the new component of each row is kept: the rest of the row, and its image, are in the span already.
            fresh = [left for row in block if (left := span.add(row)) is not None]
            if span.work > WORK:
                return None
            block = [primitive(_image(row, by_row)) for row in fresh]
        return span

    def add(self, row: np.ndarray) -> np.ndarray | None:
        """Add a row (n,), and return its new component (n,), up to scale; None if it is in the span already."""
        left = self._without(row)
        if not left.any() or self.work > self._most_work:
            return None
        pivot = int(np.abs(left).argmax())
        for number in np.flatnonzero(self.rows[:, pivot]):
            self._count(self.rows[number], 1)
            self.rows[number] = primitive(left[pivot] * self.rows[number] - self.rows[number, pivot] * left)
        self.rows, self.pivots = np.concatenate([self.rows, left[None]]), np.append(self.pivots, pivot)
        return left

    @property
    def solved(self) -> np.ndarray:
        """(k,) int: the nodes u whose e_u is in the span."""
        return self.pivots[np.count_nonzero(self.rows, axis=1) == 1]

    def leverage(self) -> np.ndarray:
        """Return (n,) float64 ‖P e_u‖² for the projection P onto the span."""
        r, n = self.rows.shape
        basis = (self.rows / self.rows[np.arange(r), self.pivots][:, None]).astype(np.float64)
        if 2 * r <= n:
            seen = np.square(np.linalg.qr(basis.T)[0]).sum(1)
        else:  # the complement has the smaller basis
            free = np.setdiff1d(np.arange(n), self.pivots)
            unseen = np.zeros((n, n - r))
            unseen[self.pivots] = -basis[:, free]
            unseen[free, np.arange(n - r)] = 1
            seen = 1 - np.square(np.linalg.qr(unseen)[0]).sum(1)
        seen[self.solved] = 1.0
        return np.where(self.rows.any(axis=0), np.clip(seen, 0.0, 1.0), 0.0)

    def _without(self, row: np.ndarray) -> np.ndarray:
        """Return a multiple of ``row`` (n,) minus multiples of basis rows, zero at all pivots."""
        used = np.flatnonzero(row[self.pivots])
        if not used.size:
            return primitive(row)
        own = self.rows[used, self.pivots[used]]
        scale = math.lcm(*own.tolist())
        left = scale * row - (row[self.pivots[used]] * (scale // own)) @ self.rows[used]
        self._count(left, used.size)
        return primitive(left)

    def _count(self, row: np.ndarray, times: int) -> None:
        """Count the work of combining a row (n,) from ``times`` others."""
        self.work += times * row.size * (1 + int(np.abs(row).max()).bit_length() // 64)


def _by_row(matrix: Scaled) -> list[list[tuple[int, int]]]:
    """Return the entries of each row of a matrix, as (column, entry)."""
    entries: list[list[tuple[int, int]]] = [[] for _ in range(matrix.n)]
    for row, column, entry in zip(matrix.row.tolist(), matrix.column.tolist(), matrix.entry.tolist(), strict=True):
        entries[row].append((column, entry))
    return entries


def _image(row: np.ndarray, by_row: list[list[tuple[int, int]]]) -> np.ndarray:
    """Return the product of an integer row (n,) and a matrix given by its rows."""
    image = np.zeros(row.size, object)
    for node in np.flatnonzero(row):
        for column, entry in by_row[node]:
            image[column] += row[node] * entry
    return image


def primitive(row: np.ndarray) -> np.ndarray:
    """Return the row (n,) divided by the greatest common divisor of its entries."""
    divisor = math.gcd(*row.tolist())
    return row // divisor if divisor > 1 else row
