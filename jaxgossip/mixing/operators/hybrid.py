"""W of graphs with very unequal degrees: slots for the first neighbours of each node, and a rest for longer lists.

The rest of a list is cut into pieces of at most ``WIDTHS[-1]`` neighbours; the sums of a node's pieces are summed in the
same way, level by level, so a hub with 10⁶ neighbours takes four small levels. The split is that of the hybrid format of
Bell and Garland 2009, "Implementing sparse matrix-vector multiplication on throughput-oriented processors", without
scatters.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float, Int

from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.rows import gather, materialize
from jaxgossip.core.typing import NodeFloats, NodeInts, Rows, SlotMask, accumulator, derived
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.operator import Operator, SlotOperator, check_sender_count, column
from jaxgossip.mixing.operators.tables import Slots

WIDTHS = (1, 2, 4, 8, 16, 32)
"""Pieces are padded to the next of these widths; longer lists are cut into pieces of the last."""
Masks = tuple[Bool[Array, "_ _"], ...]
Levels = tuple[tuple[Float[Array, "_ _"], ...], ...]


@pytree_dataclass
class Rest:
    """Sums over the neighbours that have no slot.

    Attributes:
        tables: a tuple of (m, k) int32 tables per level; level 0 indexes the rows of x, every other level the sums of the
            level below. Padding has index 0 and weight 0.
        weights: (m, k) weights of each table; above level 0 they are 0 or 1.
        owners: (m,) int32 for each table of level 0, the row that each piece belongs to.
        position: (n,) int32, the index of each node's sum in level 0, whose last row is zero.
        position_above: (n,) int32, its index in the concatenated sums of all levels above, whose last row is zero.
    """

    tables: tuple[tuple[Int[Array, "_ _"], ...], ...]
    weights: Levels
    owners: tuple[Int[Array, " _"], ...]
    position: NodeInts
    position_above: NodeInts

    def sums(self, x: Float[Array, "m p"], masks: Masks | None) -> Rows:
        """Return (n, p), at least float32: each node's weighted sum of the rows of x over its rest.

        The sum is over the links in ``masks`` only, if given.
        """
        dtype = accumulator(x.dtype)
        weights = self.weights
        if masks is not None:
            weights = (tuple(jnp.where(m, w, 0) for m, w in zip(masks, weights[0], strict=True)), *weights[1:])
        zero = jnp.zeros((1, x.shape[1]), dtype)
        levels, below = [], x
        for level, level_weights in zip(self.tables, weights, strict=True):
            sums, start = jnp.zeros((sum(table.shape[0] for table in level) + 1, x.shape[1]), dtype), 0
            for table, weight in zip(level, level_weights, strict=True):
                terms = (column(weight[:, k], dtype) * gather(below, table[:, k]) for k in range(table.shape[1]))
                # Written in place: a concatenation would hold all sums twice. The index is int32 even in 64-bit mode, as
                # clocks are traced in that mode but, in a grid, lowered without it.
                place = (jnp.int32(start), jnp.int32(0))
                sums = jax.lax.dynamic_update_slice(sums, functools.reduce(jnp.add, terms), place)
                start += table.shape[0]
            below = materialize(sums)
            levels.append(below)
        heard = gather(levels[0], self.position)
        if len(levels) == 1:
            return heard
        above = materialize(jnp.concatenate([*(sums[:-1] for sums in levels[1:]), zero]))
        return heard + gather(above, self.position_above)

    def received(self, masks: Masks | None) -> NodeInts:
        """Return (n,) int32: the messages that reach each node through the rest."""
        links = tuple(tuple((weight != 0).astype(jnp.float32) for weight in level) for level in self.weights)
        ones = jnp.ones((self.position.shape[0], 1), jnp.float32)
        return dataclasses.replace(self, weights=links).sums(ones, masks)[:, 0].astype(jnp.int32)

    def highest(self, values: NodeFloats, masks: Masks | None) -> NodeFloats:
        """Return (n,): the largest value each node receives through the rest; the lowest finite number if none."""
        lowest = jnp.finfo(values.dtype).min
        reaches = [[weight != 0 for weight in weights] for weights in self.weights]
        if masks is not None:
            reaches[0] = [filled & mask for filled, mask in zip(reaches[0], masks, strict=True)]
        outputs, below = [], values
        for level, level_reaches in zip(self.tables, reaches, strict=True):
            largest = [
                jnp.where(reach, gather(below, table), lowest).max(1)
                for table, reach in zip(level, level_reaches, strict=True)
            ]
            below = jnp.concatenate([*largest, jnp.full(1, lowest, values.dtype)])
            outputs.append(below)
        above = jnp.concatenate([*(output[:-1] for output in outputs[1:]), jnp.full(1, lowest, values.dtype)])
        return jnp.maximum(gather(outputs[0], self.position), gather(above, self.position_above))

    def arrivals(self, faults: Faults) -> Masks:
        """Return a mask per table of level 0: which messages arrive."""
        tables = self.tables[0]
        owners = [jnp.repeat(o, table.shape[1]) for o, table in zip(self.owners, tables, strict=True)]
        # In one call, since every call compiles another hash.
        arrive = faults.arrive(jnp.concatenate(owners), jnp.concatenate([table.ravel() for table in tables]))
        masks = jnp.split(arrive, np.cumsum([table.size for table in tables])[:-1])
        return tuple(mask.reshape(table.shape) for mask, table in zip(masks, tables, strict=True))

    def padded_lists(self, most: int) -> tuple[Int[Array, "n most"], Float[Array, "n most"]]:
        """Return (sources, weights), (n, most) each: the rest of each node's neighbours, padded with weight 0.

        Args:
            most: length of the longest list, at most ``WIDTHS[-1]`` squared, so that one level sums its pieces.
        """
        lowest = zip(self.tables[0], self.weights[0], strict=True)
        sources, weights = (_stacked(tables, 0) for tables in zip(*lowest, strict=True))
        nothing = sources.shape[0] - 1
        pieces = self.position[:, None]
        if len(self.tables) > 1:
            numbers = [
                jnp.where(w != 0, table, nothing) for table, w in zip(self.tables[1], self.weights[1], strict=True)
            ]
            several = gather(_stacked(numbers, nothing), self.position_above)
            alone = jnp.pad(pieces, ((0, 0), (0, several.shape[1] - 1)), constant_values=nothing)
            pieces = jnp.where(pieces != nothing, alone, several)
        # All pieces of a list but the last have the full width, so they concatenate without gaps.
        sources, weights = (
            gather(table, pieces).reshape(pieces.shape[0], -1)[:, :most] for table in (sources, weights)
        )
        return sources, weights

    def to_scipy(self) -> sp.csr_array:
        """Return the weights of the rest as an (n, n) float64 CSR array."""
        n, levels = self.position.shape[0], []
        below, width = sp.eye_array(n, format="csr"), n
        for level, weights in zip(self.tables, self.weights, strict=True):
            rows = []
            for table, weight in zip(level, weights, strict=True):
                index, value = np.asarray(table), np.asarray(weight, np.float64)
                pointer = np.arange(index.shape[0] + 1) * index.shape[1]
                picks = sp.csr_array((value.ravel(), index.ravel(), pointer), shape=(index.shape[0], width))
                rows.append(picks @ below)
            below, width = sp.vstack(rows, format="csr"), sum(table.shape[0] for table in level)
            levels.append(below)
        nothing = sp.csr_array((1, n))
        first, above = (sp.csr_array(sp.vstack([*sums, nothing], format="csr")) for sums in (levels[:1], levels[1:]))
        return sp.csr_array(first[np.asarray(self.position)] + above[np.asarray(self.position_above)])


@pytree_dataclass
class Hybrid(Operator):
    """W as slots for the first neighbours of each node, and a rest; its cost is proportional to the number of edges.

    Attributes:
        slots: the first k neighbours of each node, and the weight of its own row.
        rest: the other neighbours.
        out_degree: (n,) int32, the messages that each node sends.
        n_links: messages per round when all nodes are online.
        longest: largest in-degree.
        numbering: the order of the rows (see :class:`jaxgossip.topology.Order`).
    """

    slots: Slots
    rest: Rest
    out_degree: NodeInts
    n_links: int | None = static_field()
    longest: int = static_field()
    numbering: str = static_field(default="")

    @derived
    @override
    def n_nodes(self) -> int:
        return self.slots.n_nodes

    @property
    def self_weight(self) -> Array:
        """(n,), the weight of each node's own row."""
        return self.slots.self_weight

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        own, heard = self.slots.hear(sent, faults)
        masks = None if faults is None else self.rest.arrivals(faults)
        if masks is not None:
            own = own - self.rest.sums(jnp.ones((self.n_nodes, 1), heard.dtype), masks)[:, 0]
        return own, heard + self.rest.sums(sent, masks)

    @override
    def arriving(self, faults: Faults | None) -> tuple[SlotMask | None, Masks | None]:
        masks = None if faults is None else jax.lax.optimization_barrier(self.rest.arrivals(faults))
        return self.slots.arriving(faults), masks

    @override
    def highest(self, values: NodeFloats, arriving: tuple[SlotMask | None, Masks | None]) -> NodeFloats:
        return jnp.maximum(self.slots.highest(values, arriving[0]), self.rest.highest(values, arriving[1]))

    @override
    def received(self, arriving: tuple[SlotMask | None, Masks | None]) -> NodeInts:
        return self.slots.received(arriving[0]) + self.rest.received(arriving[1])

    @override
    def out_degrees(self) -> NodeInts:
        return self.out_degree

    @override
    def to_scipy(self) -> sp.csr_array:
        return sp.csr_array(self.slots.to_scipy() + self.rest.to_scipy())

    @override
    def by_slots(self) -> SlotOperator:
        check_sender_count(self.longest)
        first, rows = self.slots, jnp.arange(self.n_nodes, dtype=jnp.int32)[:, None]
        sources, weights = self.rest.padded_lists(self.longest - first.n_slots)
        sources = jnp.where(weights != 0, sources, rows)
        return Slots(
            first.self_weight, (*first.weights, *weights.T), (*first.sources, *sources.T), self.n_links,
            numbering=self.numbering,
        )  # fmt: skip


def rest_of(indptr: np.ndarray, indices: np.ndarray, values: np.ndarray) -> Rest:
    """Return the rest of CSR lists, most of which are empty.

    Args:
        indptr: (n + 1,) int; row i hears ``indices[indptr[i]:indptr[i + 1]]``.
        indices: (m,) int, the rows heard.
        values: (m,) their weights.
    """
    n = indptr.size - 1
    tables: list[tuple[Array, ...]] = []
    weights: list[tuple[Array, ...]] = []
    piece_owners: list[np.ndarray] = []
    position = np.full((2, n), -1, np.int64)  # in the sums of level 0, and of the levels above
    owners, base = np.arange(n), 0
    while True:
        heads, lengths, piece_owner = _pieces(indptr)
        groups, level_tables, level_weights = _level(heads, lengths, indices, values)
        tables.append(tuple(jnp.asarray(table) for table in level_tables))
        weights.append(tuple(jnp.asarray(weight) for weight in level_weights))
        above = len(tables) > 1
        if not above:
            piece_owners = [owners[piece_owner[group]] for group in groups]
        order = np.concatenate(groups)
        place = np.empty(order.size, np.int64)
        place[order] = np.arange(order.size)  # piece -> row in this level's output
        per_owner = np.bincount(piece_owner, minlength=owners.size)
        single = per_owner[piece_owner] == 1
        position[int(above), owners[piece_owner[single]]] = base + place[single]
        base = base + order.size if above else 0
        if not above:
            position[0, position[0] < 0] = order.size
        if single.all():
            break
        many = per_owner > 1
        owners = owners[many]
        indptr = np.concatenate([[0], np.cumsum(per_owner[many])])
        indices = place[~single]
        values = np.ones(indices.size)
    position[1, position[1] < 0] = base
    return Rest(
        tuple(tables),
        tuple(weights),
        tuple(jnp.asarray(owner.astype(np.int32)) for owner in piece_owners),
        *(jnp.asarray(index.astype(np.int32)) for index in position),
    )


def _stacked(tables: Sequence[Array], nothing: int) -> Array:
    """Return tables of several widths stacked into one, padded with ``nothing`` and followed by a row of it."""
    width = max(table.shape[1] for table in tables)
    wide = [jnp.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=nothing) for table in tables]
    return jnp.concatenate([*wide, jnp.full((1, width), nothing, wide[0].dtype)])


def _pieces(indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut lists into pieces of at most WIDTHS[-1]; return the start, the length and the list of each piece."""
    widest, degrees = WIDTHS[-1], np.diff(indptr)
    n_pieces = -(-degrees // widest)
    owner = np.repeat(np.arange(degrees.size), n_pieces)
    rank = np.arange(owner.size) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
    heads = indptr[owner] + rank * widest
    return heads, np.minimum(widest, indptr[owner + 1] - heads), owner


def _level(
    heads: np.ndarray, lengths: np.ndarray, indices: np.ndarray, values: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Group pieces into tables by width; return the pieces, the indices and the weights of each table."""
    width_of = np.searchsorted(WIDTHS, lengths)
    groups, tables, weights = [], [], []
    for number in np.unique(width_of):
        pieces, width = np.flatnonzero(width_of == number), WIDTHS[number]
        filled = np.arange(width) < lengths[pieces, None]
        entries = np.where(filled, heads[pieces, None] + np.arange(width), 0)
        groups.append(pieces)
        tables.append(np.where(filled, indices[entries], 0).astype(np.int32))
        weights.append(np.where(filled, values[entries], 0.0))
    return groups, tables, weights
