"""Operators of unstructured graphs: rows are gathered by index, never scattered, as a scatter runs on one thread."""

import functools
import operator
from collections.abc import Sequence
from typing import override

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array

from jaxgossip.core.counting import Count, count, total
from jaxgossip.core.devices.blocks import at_hand, count_rows, own, row_numbers
from jaxgossip.core.devices.exchanges import by_columns, everyone, fetch
from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import NodeInts, Rows, accumulator, derived
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.operator import SlotOperator, column

MOST_FETCHED = 2
"""Most slots whose rows each device asks others for, slot by slot; of more, it takes all rows, some columns at a time."""


@pytree_dataclass
class Slots(SlotOperator):
    """W with at most k neighbours per node: slot j brings row ``sources[j]``.

    The sum over slots is unrolled, and XLA fuses it into one pass over the receivers.

    Attributes:
        self_weight: scalar or (n,), the weight of a node's own row.
        weights: a scalar or (n,) per slot.
        sources: (n,) int32 per slot; unused slots of a node point at the node itself, with weight 0. Slots are separate
            arrays because columns of a single table would be copied out of it before the first round.
        n_links: messages per round when all nodes are online; None if they have to be counted each round.
        on_request: whether a message is sent only if its receiver is online and asks for it (a pull).
        balanced: whether each node is known to send as many messages as it hears when all nodes are online, so that
            out-degrees need no count.
        numbering: the order of the rows (see :class:`jaxgossip.topology.Order`).
    """

    per_node = ("self_weight", "weights", "sources")
    self_weight: Array
    weights: tuple[Array, ...]
    sources: tuple[NodeInts, ...]
    n_links: int | None = static_field(default=None)
    on_request: bool = static_field(default=False)
    balanced: bool = static_field(default=False)
    numbering: str = static_field(default="")

    @derived
    @override
    def n_nodes(self) -> int:
        block = at_hand()
        return self.sources[0].shape[0] if block is None else block.n_nodes

    @override
    def take(self, x: Array, slot: int) -> Array:
        if at_hand() is not None and x.ndim == 1:
            return gather(everyone(x), self.sources[slot])
        return fetch(x, self.sources[slot])

    @override
    def weighted(self, sent: Rows, weights: Sequence[Array]) -> Rows:
        if at_hand() is None or self.n_slots <= MOST_FETCHED:
            return super().weighted(sent, weights)
        dtype = accumulator(sent.dtype)

        def some(table: Array) -> Array:
            pairs = zip(weights, self.sources, strict=True)
            return functools.reduce(
                operator.add, (column(weight, dtype) * gather(table, rows) for weight, rows in pairs)
            )

        return by_columns(some, sent, by_index=True)

    @override
    def sends(self, slot: int) -> Array:
        # In a network of one, a node may be its own neighbour; it sends itself nothing.
        return (self.slot_weight(slot) != 0) & (self.sources[slot] != row_numbers(self.n_nodes))

    @override
    def out_degrees(self) -> NodeInts:
        return self.received(None) if self.balanced else super().out_degrees()

    @override
    def sent(self, faults: Faults | None) -> NodeInts:
        online = None if faults is None else faults.online
        if online is None or not self.on_request or self.balanced:
            return super().sent(faults)
        online, number = own(online), jnp.zeros(count_rows(self.n_nodes), jnp.int32)
        for slot in range(self.n_slots):
            number = number + self.give((self.sends(slot) & online).astype(jnp.int32), slot)
        return jnp.where(online, number, 0)

    @override
    def messages(self, faults: Faults | None) -> Count:
        # Counted at the receivers; counting at the senders takes a scatter, which runs on one thread.
        online = None if faults is None else faults.online
        if online is None and self.n_links is not None:
            return count(self.n_links)
        rows, sent = row_numbers(self.n_nodes), jnp.zeros(count_rows(self.n_nodes), jnp.uint32)
        for source in self.sources:
            sends = source != rows
            if online is not None:
                sends = sends & gather(online, source)
                sends = sends & own(online) if self.on_request else sends
            sent = sent + sends
        return total(sent)


def slots(
    self_weight: np.ndarray | float,
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray | float,
    n_links: int | None = None,
    numbering: str = "",
) -> Slots:
    """Return the slots of CSR lists of sources ``indices`` with weights ``values``, a scalar or one per link.

    Args:
        self_weight: scalar or (n,), the weight of each node's own row.
        indptr: (n + 1,) int; row i hears ``indices[indptr[i]:indptr[i + 1]]``.
        indices: (m,) int, the rows heard.
        values: scalar or (m,), their weights.
        n_links: messages per round when all nodes are online; None to count the links that are not zero.
        numbering: the order of the rows.
    """
    sources, weights = padded_slots(indptr, indices, values)
    columns = tuple(jnp.asarray(column) for column in sources.T.copy())
    if np.ndim(weights):
        by_slot = tuple(jnp.asarray(column) for column in np.asarray(weights).T.copy())
    else:
        by_slot = (jnp.asarray(weights),) * len(columns)
    balanced = np.array_equal(np.bincount(indices, minlength=indptr.size - 1), np.diff(indptr))
    return Slots(jnp.asarray(self_weight), by_slot, columns, n_links, balanced=balanced, numbering=numbering)


def slots_of(matrix: sp.csr_array, numbering: str = "") -> Slots:
    """Return any W, including its diagonal, as slots, all lists padded to the longest."""
    links = sp.csr_array(matrix - sp.diags_array(matrix.diagonal()))
    links.eliminate_zeros()
    links.sort_indices()
    return slots(matrix.diagonal(), links.indptr, links.indices, links.data, int(links.nnz), numbering)


def max_in_degree(matrix: sp.csr_array) -> int:
    """Return the largest number of other nodes that a node hears; the matrix must have no duplicate entries."""
    before = np.append(0, np.cumsum(matrix.data != 0))
    others = np.diff(before[matrix.indptr]) - (matrix.diagonal() != 0)
    return int(others.max(initial=0))


def padded_slots(
    indptr: np.ndarray, indices: np.ndarray, values: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray | float]:
    """Return (sources (n, k) int32, weights (n, k) float64 or the scalar) of CSR lists, padded with (self, 0)."""
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


def select_rows(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (indptr, entries) of the CSR lists ``rows``, in that order: list j is at ``entries[indptr[j]:indptr[j + 1]]``."""
    degrees = np.diff(indptr)[rows]
    taken = np.concatenate([[0], np.cumsum(degrees)])
    return taken, np.arange(taken[-1]) + np.repeat(indptr[rows] - taken[:-1], degrees)
