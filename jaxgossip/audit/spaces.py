"""Growing spaces of rows, in floating point or in integers, and the nodes that they solve for."""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
import scipy.sparse as sp

from jaxgossip.audit.scene import Scene
from jaxgossip.network.observed import Span, fraction

FAINTEST = 1e-10
"""Smallest new component, relative to the row that brings it, that floating point tells from rounding."""
RECOVERED = 1e-7
"""By how much (K⁺K)_uu may fall short of 1."""
ROW_SUM = 1e-12
"""Largest deviation of a sum of weights from 1 that is taken for rounding."""


class Floating:
    """A growing space of rows in float64, by orthogonalisation (Gram–Schmidt, twice).

    Args:
        n: number of columns.

    Attributes:
        n: number of columns.
        rank: number of dimensions.
    """

    def __init__(self, n: int) -> None:
        self.n, self.rank = n, 0
        self._basis, self._share = np.zeros((8, n)), np.zeros(n)

    def units(self, nodes: Sequence[int]) -> list[np.ndarray]:
        """Return the rows e_u of some nodes."""
        return list(units_of(self.n, nodes))

    def add(self, row: np.ndarray) -> np.ndarray | None:
        """Add a row (n,), and return its new direction (n,); None if there is none."""
        size = np.linalg.norm(row)
        if size < FAINTEST:  # rows are of nodes' units: what a singular W leaves of them is rounding
            return None
        basis, left = self._basis[: self.rank], row / size
        for _ in range(2):
            left = left - (basis @ left) @ basis
        length = np.linalg.norm(left)
        if length < FAINTEST or self.rank == self.n:
            return None
        if self.rank == len(self._basis):
            self._basis = np.concatenate([self._basis, np.zeros_like(self._basis)])
        left = left / length
        left -= (basis @ left) @ basis
        left /= np.linalg.norm(left)
        self._basis[self.rank] = left
        self.rank += 1
        self._share += np.square(left)
        return left

    def solved(self) -> np.ndarray:
        """Return (k,) int, the nodes u whose e_u is in the space."""
        return np.flatnonzero(self._share >= 1 - RECOVERED)

    def share(self) -> np.ndarray:
        """Return (n,) float64 ‖P e_u‖² for the projection P onto the space."""
        return np.clip(self._share, 0, 1)

    def steps(self, scene: Scene) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function that takes a row to its product with the W of all rounds."""
        matrix = targets_only(scene, scene.matrices[0])
        return lambda row: np.asarray(row @ matrix)

    def products(self, scene: Scene) -> list[np.ndarray]:
        """Return for each round (k, n), the rows of K; see :func:`products_of`."""
        return products_of(scene)


class Exact:
    """A growing space of rows in integers; its methods are those of :class:`Floating`.

    Args:
        n: number of columns.

    Attributes:
        n: number of columns.
    """

    def __init__(self, n: int) -> None:
        self.n, self._span = n, Span(n)

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return self._span.rows.shape[0]

    def units(self, nodes: Sequence[int]) -> list[np.ndarray]:
        """Return the rows e_u of some nodes."""
        return list(units_of(self.n, nodes).astype(int).astype(object))

    def add(self, row: np.ndarray) -> np.ndarray | None:
        """Add a row (n,) of integers or fractions, and return its new component (n,); None if there is none."""
        scale = math.lcm(*(Fraction(value).denominator for value in row))
        return self._span.add(np.array([int(value * scale) for value in row], object))

    def solved(self) -> np.ndarray:
        """Return (k,) int, the nodes u whose e_u is in the space."""
        return self._span.solved

    def share(self) -> np.ndarray:
        """Return (n,) float64 ‖P e_u‖² for the projection P onto the space."""
        return self._span.leverage()

    def steps(self, scene: Scene) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function that takes a row to its product with the W of all rounds."""
        by_row = _rational(scene, 0)
        return lambda row: _image(row, by_row)

    def products(self, scene: Scene) -> list[np.ndarray]:
        """Return for each round (k, n), the rows of K; see :func:`products_of`."""
        n, rows, sums = self.n, [], []
        for number in reversed(range(len(scene.heard))):
            if rows:
                by_row = _rational(scene, number)
                sums = [total + row for total, row in zip(sums, rows, strict=True)]
                rows = [_image(row, by_row) for row in rows]
            fresh = self.units(scene.heard[number])
            rows, sums = fresh + rows, [np.full(n, 0, object) for _ in fresh] + sums
        found = rows if scene.form == "values" else [row + total for row, total in zip(rows, sums, strict=True)]
        ends = np.cumsum([len(nodes) for nodes in scene.heard])
        return [np.array(found[end - len(nodes) : end], object) for end, nodes in zip(ends, scene.heard, strict=True)]


def grown(scene: Scene, space: Floating | Exact) -> Iterator[None]:
    """Extend the space of K by the rows of one round after the other, and yield after each."""
    if scene.form == "values":
        for row in space.units(scene.attackers):
            space.add(row)
    if not scene.fixed:
        for rows in space.products(scene):
            for row in rows:
                space.add(row)
            yield
        return
    # Of a Krylov space, only what was new in a round can bring something new in the next one. Sums of powers span it, too.
    step, block = space.steps(scene), space.units(scene.heard[0])
    for _ in scene.heard:
        fresh = [left for row in block if (left := space.add(row)) is not None]
        yield
        block = [step(row) for row in fresh]


def products_of(scene: Scene) -> list[np.ndarray]:
    """Return for each round (k, n): the rows of W_{t−1} ⋯ W_0, or of P_t, of the nodes heard in it."""
    matrices = [targets_only(scene, matrix) for matrix in scene.matrices]
    rounds, many = len(scene.heard), [len(nodes) for nodes in scene.heard]
    ends = np.cumsum(many)
    # All rows of later rounds move at once: from right to left, one product a round.
    rows = np.zeros((0, scene.n_nodes))
    sums = np.zeros((0, scene.n_nodes))
    for number in reversed(range(rounds)):
        if number < rounds - 1:
            moved = np.asarray(rows @ matrices[min(number, len(matrices) - 1)])
            sums, rows = sums + rows, moved
        fresh = units_of(scene.n_nodes, scene.heard[number])
        rows, sums = np.concatenate([fresh, rows]), np.concatenate([np.zeros_like(fresh), sums])
    found = rows if scene.form == "values" else rows + sums
    return [found[end - count : end] for end, count in zip(ends, many, strict=True)]


def targets_only(scene: Scene, matrix: sp.csr_array) -> sp.csr_array:
    """Return the matrix, in the form "updates" without the rows and columns of attackers."""
    if scene.form == "values":
        return matrix
    kept = np.ones(scene.n_nodes)
    kept[list(scene.attackers)] = 0
    return sp.csr_array(sp.diags_array(kept) @ matrix @ sp.diags_array(kept))


def _rational(scene: Scene, number: int) -> list[list[tuple[int, Fraction]]]:
    """Return the entries of each row of W_t as fractions, in the form "updates" without attackers."""
    place = min(number, len(scene.matrices) - 1)
    given, matrix = scene.rational[place], scene.matrices[place]
    exactly = isinstance(given, np.ndarray) and given.dtype == object
    away = set(scene.attackers) if scene.form == "updates" else set()
    entries: list[list[tuple[int, Fraction]]] = []
    for node in range(scene.n_nodes):
        span = slice(matrix.indptr[node], matrix.indptr[node + 1])
        columns, values = matrix.indices[span].tolist(), matrix.data[span].tolist()
        row = {
            column: Fraction(given[node, column]) if exactly else fraction(value)
            for column, value in zip(columns, values, strict=True)
        }
        if not exactly and abs(math.fsum(values) - 1) <= ROW_SUM:
            row[node] = 1 - sum((value for column, value in row.items() if column != node), Fraction(0))
        kept = (
            [] if node in away else [(column, value) for column, value in row.items() if column not in away and value]
        )
        entries.append(kept)
    return entries


def _image(row: np.ndarray, by_row: Sequence[Sequence[tuple[int, Fraction]]]) -> np.ndarray:
    """Return the product (n,) of a row of integers or fractions and a matrix given by its rows."""
    image = np.full(row.size, 0, object)
    for node in np.flatnonzero(row).tolist():
        for column, entry in by_row[node]:
            image[column] += row[node] * entry
    return image


def units_of(n: int, nodes: Sequence[int]) -> np.ndarray:
    """Return (k, n), the rows e_u of some nodes."""
    rows = np.zeros((len(nodes), n))
    rows[np.arange(len(nodes)), list(nodes)] = 1
    return rows
