"""Operators of graphs without a pattern: rows are gathered by index, never scattered (a scatter runs on one thread)."""

import functools
from dataclasses import dataclass, field
from typing import override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float, Int

from jaxgossip.mixing.counting import Count, count, total
from jaxgossip.mixing.operator import Faults, Operator, SlotOperator, column
from jaxgossip.typing import NodeFloats, NodeInts, Rows, SlotInts

_static = functools.partial(field, metadata={"static": True})

WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Lists of neighbours are padded to the next of these; longer ones are cut into pieces of the last."""


def gather(x: Array, index: Int[Array, "..."]) -> Array:
    """Return x[index] for indices known to be valid, which spares the clamping pass."""
    return x.at[index].get(mode="promise_in_bounds")


def settle(index: Int[Array, "..."]) -> Int[Array, "..."]:
    """Return ``index``, computed once: fused into a gather of rows it would be computed anew for every column."""
    return jax.lax.optimization_barrier(index)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Slots(SlotOperator):
    """W with at most k neighbours a node: slot j brings row ``sources[:, j]``.

    The sum over slots is unrolled, which XLA fuses into one pass over the receivers.

    Attributes:
        sources: (n, k) int32; a node with fewer neighbours names itself in the rest, with weight 0.
        weights: scalar, or (n, k).
        self_weight: scalar, or (n,).
        n_links: messages a round when all are online; None if they have to be counted each round.
        on_request: whether a message is sent only when its receiver, being online, asks for it (a pull).
    """

    self_weight: Array
    weights: Array  # pyright: ignore[reportIncompatibleVariableOverride] - one table in place of a tuple
    sources: SlotInts
    n_links: int | None = _static(default=None)  # pyright: ignore[reportIncompatibleVariableOverride]
    on_request: bool = _static(default=False)

    @property
    @override
    def n_nodes(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        return self.sources.shape[0]

    @property
    @override
    def n_slots(self) -> int:
        return self.sources.shape[1]

    @override
    def take(self, x: Array, slot: int) -> Array:
        return gather(x, self.sources[:, slot])

    @override
    def slot_weight(self, slot: int) -> Array:
        return self.weights[:, slot] if self.weights.ndim else self.weights

    @override
    def maximum(self, values: NodeFloats, faults: Faults | None) -> NodeFloats:
        heard = gather(values, self.sources)  # padding names the node itself and cannot raise its maximum
        if faults is not None:
            heard = jnp.where(self.arrivals(faults), heard, values[:, None])
        return jnp.maximum(values, heard.max(1))

    @override
    def messages(self, faults: Faults | None) -> Count:
        online = None if faults is None else faults.online
        if online is None and self.n_links is not None:
            return count(self.n_links)
        sent = self.sources != jnp.arange(self.n_nodes)[:, None]
        if online is not None:
            sent = sent & gather(online, self.sources)
            sent = sent & online[:, None] if self.on_request else sent
        return total(sent.sum(1, dtype=jnp.uint32))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Buckets(Operator):
    """W with very unequal degrees, at a cost in proportion to its edges.

    Nodes with lists of like length share a table. A list longer than ``WIDTHS[-1]`` is cut into pieces; the sums of its
    pieces are summed in the same way, level by level, so that a hub with 10⁵ neighbours takes four small levels.

    Attributes:
        self_weight: (n,).
        tables: for every level a tuple of (m, k) int32 tables; entries point into the rows of the level below (level 0:
            into x). Padding points at row 0 and has weight 0.
        weights: (m, k) weights of every table; only level 0 has others than 0 and 1.
        position: (n,) int32, where node i's sum stands in the concatenated outputs of all levels, and one zero row.
        n_links: messages a round when all are online.
        out_degrees: (n,) int32, messages that each node sends.
    """

    self_weight: Array
    tables: tuple[tuple[Int[Array, "m k"], ...], ...]
    weights: tuple[tuple[Float[Array, "m k"], ...], ...]
    position: NodeInts
    out_degrees: NodeInts
    n_links: int = _static()

    @property
    @override
    def n_nodes(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - derived, not stored
        return self.position.shape[0]

    @override
    def mix(self, x: Rows, faults: Faults | None) -> Rows:
        if faults is None:
            return column(self.self_weight, x) * x + gather(self._sums(x, self.weights), self.position)
        arrived = self._arrivals(faults)
        level0 = tuple(jnp.where(a, w, 0) for a, w in zip(arrived, self.weights[0], strict=True))
        weights = (level0, *self.weights[1:])
        heard = gather(self._sums(x, weights), self.position)
        weight = gather(self._sums(jnp.ones((self.n_nodes, 1), x.dtype), weights), self.position)
        return (1 - weight) * x + heard

    def _sums(self, x: Rows, weights: tuple[tuple[Array, ...], ...]) -> Rows:
        """Return the outputs of all levels, one below the other, and a last row of zeros for nodes that hear nobody."""
        outputs, below = [], x
        for level_tables, level_weights in zip(self.tables, weights, strict=True):
            parts = []
            for table, weight in zip(level_tables, level_weights, strict=True):
                part = column(weight[:, 0], x) * gather(below, table[:, 0])
                for slot in range(1, table.shape[1]):
                    part = part + column(weight[:, slot], x) * gather(below, table[:, slot])
                parts.append(part)
            below = jnp.concatenate(parts)
            outputs.append(below)
        return jnp.concatenate([*outputs, jnp.zeros((1, x.shape[1]), x.dtype)])

    def _arrivals(self, faults: Faults) -> list[Bool[Array, "m k"]]:
        """Return, for the tables of level 0, which messages arrive. An offline receiver is masked in its own row."""
        arrived = [faults.survives(table.shape, stream) for stream, table in enumerate(self.tables[0])]
        if faults.online is None:
            return arrived
        both = zip(arrived, self.tables[0], self._receivers(), strict=True)
        return [
            a & gather(faults.online, table) & gather(faults.online, receiver)[:, None] for a, table, receiver in both
        ]

    def _receivers(self) -> list[Int[Array, " m"]]:
        """Return, for the tables of level 0, whose piece each row is."""
        node = jnp.arange(self.n_nodes, dtype=jnp.int32)
        n_rows = sum(table.shape[0] for level in self.tables for table in level)
        owner = jnp.zeros(n_rows + 1, jnp.int32).at[self.position].set(node)
        ends = np.cumsum([0, *(sum(table.shape[0] for table in level) for level in self.tables)])
        above = owner[ends[-2] : ends[-1]]
        for level in range(len(self.tables) - 1, 0, -1):
            own = owner[ends[level - 1] : ends[level]]
            start = 0
            for table, weight in zip(self.tables[level], self.weights[level], strict=True):
                rows = jnp.broadcast_to(above[start : start + table.shape[0], None], table.shape)
                own = own.at[jnp.where(weight != 0, table, own.shape[0])].set(rows, mode="drop")
                start += table.shape[0]
            above = own
        split = np.cumsum([table.shape[0] for table in self.tables[0]])[:-1]
        return jnp.split(above, split)

    @override
    def maximum(self, values: NodeFloats, faults: Faults | None) -> NodeFloats:
        lowest = jnp.finfo(values.dtype).min
        arrived = None if faults is None else self._arrivals(faults)
        outputs, below = [], values
        for level, (level_tables, level_weights) in enumerate(zip(self.tables, self.weights, strict=True)):
            parts = []
            for number, (table, weight) in enumerate(zip(level_tables, level_weights, strict=True)):
                reaches = weight != 0 if arrived is None or level > 0 else (weight != 0) & arrived[number]
                parts.append(jnp.where(reaches, gather(below, table), lowest).max(1))
            below = jnp.concatenate(parts)
            outputs.append(below)
        heard = jnp.concatenate([*outputs, jnp.full(1, lowest)])
        return jnp.maximum(values, gather(heard, self.position))

    @override
    def messages(self, faults: Faults | None) -> Count:
        if faults is None or faults.online is None:
            return count(self.n_links)
        return total(jnp.where(faults.online, self.out_degrees, 0))

    @override
    def as_matrix(self) -> np.ndarray:
        n, blocks = self.n_nodes, []
        below, width = sp.eye_array(n, format="csr"), n
        for level_tables, level_weights in zip(self.tables, self.weights, strict=True):
            rows = []
            for table, weight in zip(level_tables, level_weights, strict=True):
                index, value = np.asarray(table), np.asarray(weight, np.float64)
                pointer = np.arange(index.shape[0] + 1) * index.shape[1]
                picks = sp.csr_array((value.ravel(), index.ravel(), pointer), shape=(index.shape[0], width))
                rows.append(picks @ below)
            below, width = sp.vstack(rows, format="csr"), sum(table.shape[0] for table in level_tables)
            blocks.append(below)
        sums = sp.vstack([*blocks, sp.csr_array((1, n))], format="csr")
        return sp.csr_array(sums)[np.asarray(self.position)].toarray() + np.diag(
            np.asarray(self.self_weight, np.float64)
        )


def padded_slots(
    indptr: np.ndarray, indices: np.ndarray, values: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray | float]:
    """Return ((n, k) int32 sources, their weights (n, k) float64 or the scalar) of CSR lists, padded with (self, 0)."""
    degrees = np.diff(indptr)
    n, width = degrees.size, max(int(degrees.max(initial=0)), 1)
    filled = np.arange(width) < degrees[:, None]
    sources = np.broadcast_to(np.arange(n, dtype=np.int32)[:, None], (n, width)).copy()
    sources[filled] = indices
    if np.ndim(values) == 0 and filled.all():
        return sources, float(values)
    weights = np.zeros((n, width))
    weights[filled] = values
    return sources, weights


def bucket_tables(
    indptr: np.ndarray, indices: np.ndarray, values: np.ndarray
) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]], np.ndarray]:
    """Cut CSR lists into the tables of :class:`Buckets`: (tables, weights, position), all NumPy."""
    n = indptr.size - 1
    tables: list[list[np.ndarray]] = []
    weights: list[list[np.ndarray]] = []
    position = np.full(n, -1, np.int64)
    owners, base = np.arange(n), 0
    while True:
        heads, lengths, piece_owner = _pieces(indptr)
        order, level_tables, level_weights = _level(heads, lengths, indices, values)
        tables.append(level_tables)
        weights.append(level_weights)
        place = np.empty(order.size, np.int64)
        place[order] = np.arange(order.size)  # piece -> row in this level's output
        per_owner = np.bincount(piece_owner, minlength=owners.size)
        single = per_owner[piece_owner] == 1
        position[owners[piece_owner[single]]] = base + place[single]
        if single.all():
            break
        base += order.size
        many = per_owner > 1
        owners = owners[many]
        indptr = np.concatenate([[0], np.cumsum(per_owner[many])])
        indices = place[~single]
        values = np.ones(indices.size)
    position[position < 0] = base + place.size
    return tables, weights, position


def _pieces(indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut lists into pieces of at most WIDTHS[-1]: (start of each piece, its length, its list); empty lists have none."""
    widest, degrees = WIDTHS[-1], np.diff(indptr)
    n_pieces = -(-degrees // widest)
    owner = np.repeat(np.arange(degrees.size), n_pieces)
    rank = np.arange(owner.size) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
    heads = indptr[owner] + rank * widest
    return heads, np.minimum(widest, indptr[owner + 1] - heads), owner


def _level(
    heads: np.ndarray, lengths: np.ndarray, indices: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Sort pieces into tables by width: (piece numbers in output order, tables, weights)."""
    group = np.searchsorted(WIDTHS, lengths)
    order, tables, weights = [], [], []
    for number in np.unique(group):
        pieces, width = np.flatnonzero(group == number), WIDTHS[number]
        filled = np.arange(width) < lengths[pieces, None]
        entries = np.where(filled, heads[pieces, None] + np.arange(width), 0)
        tables.append(np.where(filled, indices[entries], 0).astype(np.int32))
        weights.append(np.where(filled, values[entries], 0.0))
        order.append(pieces)
    return np.concatenate(order), tables, weights
