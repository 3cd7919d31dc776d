"""Operators of structured graphs: rows are rolled, shifted, flipped or averaged, and no index is stored."""

from typing import override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float

from jaxgossip.core.errors import GraphError
from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.typing import NodeFloats, NodeInts, Rows, accumulator, derived
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.operator import Operator, SlotOperator, check_sender_count
from jaxgossip.mixing.operators.tables import Slots

MAX_MASK = 2**28
"""Most link states that are held; a mean under faults needs one for each ordered pair of nodes of a group."""


@pytree_dataclass
class Roll(SlotOperator):
    """Circulant W: slot k brings row i + offsets[k] (mod n).

    Attributes:
        self_weight: scalar or (n,), the weight of a node's own row.
        weights: a scalar or (n,) per slot.
        offsets: the offset of each slot.
        n_nodes: number of nodes.
        n_links: messages per round when all nodes are online.
    """

    self_weight: Array
    weights: tuple[Array, ...]
    offsets: tuple[int, ...] = static_field()
    n_nodes: int = static_field()
    n_links: int | None = static_field()

    @override
    def take(self, x: Array, slot: int) -> Array:
        return jnp.roll(x, -self.offsets[slot], axis=0)

    @override
    def give(self, values: Array, slot: int) -> Array:
        return jnp.roll(values, self.offsets[slot])


@pytree_dataclass
class LatticeShift(SlotOperator):
    """W of a box of cells in C order: slots 2a and 2a + 1 bring the next and the previous cell along axis a.

    Shifts wrap around; at open boundaries the weight is zero.

    Attributes:
        self_weight: scalar or (n,), the weight of a node's own row.
        weights: a scalar or (n,) per slot.
        shape: number of cells along each axis.
        n_nodes: number of nodes.
        n_links: messages per round when all nodes are online.
    """

    self_weight: Array
    weights: tuple[Array, ...]
    shape: tuple[int, ...] = static_field()
    n_nodes: int = static_field()
    n_links: int | None = static_field()

    @override
    def take(self, x: Array, slot: int) -> Array:
        axis, step = slot // 2, -1 if slot % 2 == 0 else 1
        return jnp.roll(x.reshape(self.shape + x.shape[1:]), step, axis).reshape(x.shape)

    @override
    def give(self, values: Array, slot: int) -> Array:
        return self.take(values, slot ^ 1)


@pytree_dataclass
class HypercubeFlip(SlotOperator):
    """W of a hypercube: slot b brings row i xor 2^b, a flip of one axis of length two.

    Attributes:
        self_weight: scalar or (n,), the weight of a node's own row.
        weights: a scalar or (n,) per slot.
        n_nodes: number of nodes.
        n_links: messages per round when all nodes are online.
    """

    self_weight: Array
    weights: tuple[Array, ...]
    n_nodes: int = static_field()
    n_links: int | None = static_field()

    @override
    def take(self, x: Array, slot: int) -> Array:
        halves = x.reshape((self.n_nodes >> slot + 1, 2, 1 << slot, *x.shape[1:]))
        return jnp.flip(halves, axis=1).reshape(x.shape)

    @override
    def give(self, values: Array, slot: int) -> Array:
        return self.take(values, slot)


@pytree_dataclass
class AxisMean(Operator):
    """W of groups that average internally: W = (1 − a) I + a M, M the mean over axis 1 of the rows reshaped to ``shape``.

    Attributes:
        amount: scalar, a; 1 replaces each row by the mean of its group.
        shape: (before, group, after) with before · group · after = n; (1, n, 1) is the complete graph.
    """

    amount: Array
    shape: tuple[int, int, int] = static_field()

    @derived
    @override
    def n_nodes(self) -> int:
        return int(np.prod(self.shape))

    @derived
    @override
    def n_links(self) -> int | None:
        return self.n_nodes * (self.shape[1] - 1)

    @override
    def mix(self, x: Rows, faults: Faults | None, sent: Rows | None = None) -> Rows:
        if faults is not None or sent is not None:
            return super().mix(x, faults, sent)
        amount, means = self.amount.astype(accumulator(x.dtype)), self._means(x)
        return jnp.where(amount == 1, means, x + amount * (means - x)).astype(x.dtype)

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        dtype = accumulator(sent.dtype)
        amount = self.amount.astype(dtype)
        weight = amount / self.shape[1]
        if faults is None:
            return 1 - amount + weight, amount * self._means(sent) - weight * sent
        arrived = self._arrivals(faults).astype(dtype)
        boxes = sent.reshape((*self.shape, sent.shape[1])).astype(dtype)
        heard = jnp.einsum("bgah,bhap->bgap", arrived, boxes)
        return (1 - weight * arrived.sum(-1)).reshape(-1), weight * heard.reshape(sent.shape)

    def _means(self, x: Rows) -> Rows:
        """Return (n, p): the mean over each row's group, its own row included."""
        before, group, after = self.shape
        boxes = x.reshape((*self.shape, x.shape[1]))
        means = blocked_mean(boxes.swapaxes(0, 1).reshape(group, -1)).reshape(before, 1, after, -1)
        return jnp.broadcast_to(means, boxes.shape).reshape(x.shape)

    @override
    def maximum(self, values: NodeFloats, faults: Faults | None) -> NodeFloats:
        if faults is None:
            boxes = values.reshape(self.shape)
            return jnp.broadcast_to(boxes.max(1, keepdims=True), self.shape).reshape(-1)
        return jnp.maximum(values, self.highest(values, self._arrivals(faults)))

    @override
    def arriving(self, faults: Faults | None) -> Bool[Array, "before group after group"] | None:
        return None if faults is None else jax.lax.optimization_barrier(self._arrivals(faults))

    @override
    def highest(self, values: NodeFloats, arriving: Bool[Array, "before group after group"] | None) -> NodeFloats:
        boxes, lowest = values.reshape(self.shape), jnp.finfo(values.dtype).min
        if arriving is not None:
            return jnp.where(arriving, boxes.swapaxes(1, 2)[:, None], lowest).max(-1).reshape(-1)
        # The first node with the largest value receives the second largest; all others receive the largest.
        largest, place = boxes.max(1, keepdims=True), jnp.arange(self.shape[1], dtype=jnp.int32)[:, None]
        first = place == jnp.where(boxes == largest, place, self.shape[1]).min(1, keepdims=True)
        second = jnp.where(first, lowest, boxes).max(1, keepdims=True)
        return jnp.where(first, second, largest).reshape(-1)

    @override
    def received(self, arriving: Bool[Array, "before group after group"] | None) -> NodeInts:
        if arriving is None:
            return jnp.full(self.n_nodes, self.shape[1] - 1, jnp.int32)
        return arriving.sum(-1, dtype=jnp.int32).reshape(-1)

    @override
    def out_degrees(self) -> NodeInts:
        return jnp.full(self.n_nodes, self.shape[1] - 1, jnp.int32)

    def _arrivals(self, faults: Faults) -> Bool[Array, "before group after group"]:
        group = self.shape[1]
        if self.n_nodes * group > MAX_MASK:
            raise GraphError(
                f"faults on a complete graph of {self.n_nodes:,} nodes need {self.n_nodes * group:,} link states",
                hint="use a sparser topology, or random peers (mixing 'push', 'pull' or 'matching') on the complete one",
            )
        rows = jnp.arange(self.n_nodes, dtype=jnp.int32).reshape(self.shape)
        arrived = faults.arrive(rows[..., None], rows.swapaxes(1, 2)[:, None])
        return arrived & ~jnp.eye(group, dtype=bool)[:, None, :]

    @override
    def to_scipy(self) -> sp.csr_array:
        before, group, after = self.shape
        if self.n_nodes * group > MAX_MASK:
            raise GraphError(f"a complete graph of {self.n_nodes:,} nodes has too many links for a matrix")
        mean = sp.kron(sp.kron(sp.eye_array(before), np.full((group, group), 1 / group)), sp.eye_array(after))
        amount = float(self.amount)
        return sp.csr_array((1 - amount) * sp.eye_array(self.n_nodes) + amount * mean)

    @override
    def by_slots(self) -> SlotOperator:
        group = self.shape[1]
        check_sender_count(group - 1)
        rows, place = np.arange(self.n_nodes, dtype=np.int32).reshape(self.shape), np.arange(group)
        sources = (
            rows[:, other + (place <= other)] for other in range(group - 1)
        )  # every node of the group but itself
        weight = self.amount / group
        return Slots(
            1 - self.amount + weight, (weight,) * (group - 1), tuple(jnp.asarray(source.ravel()) for source in sources),
            self.n_nodes * (group - 1), balanced=True,
        )  # fmt: skip


@pytree_dataclass
class Dense(Operator):
    """W as a dense (n, n) matrix: the reference, and fast enough below a few thousand nodes.

    Attributes:
        matrix: (n, n) W.
        senders: the same W as slots; None if a node hears too many.
        n_links: messages per round when all nodes are online.
        longest: largest in-degree.
    """

    matrix: Float[Array, "n n"]
    senders: Slots | None
    n_links: int | None = static_field()
    longest: int = static_field()

    @derived
    @override
    def n_nodes(self) -> int:
        return self.matrix.shape[0]

    @override
    def mix(self, x: Rows, faults: Faults | None, sent: Rows | None = None) -> Rows:
        if faults is not None or sent is not None:
            return super().mix(x, faults, sent)
        matrix, wide = (array.astype(accumulator(x.dtype)) for array in (self.matrix, x))
        return (matrix @ wide).astype(x.dtype)

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        matrix, wide = (array.astype(accumulator(sent.dtype)) for array in (self.matrix, sent))
        heard = jnp.where(self._links() if faults is None else self._arrivals(faults), matrix, 0)
        own = jnp.diagonal(matrix) if faults is None else 1 - heard.sum(1)
        return own, heard @ wide

    @override
    def arriving(self, faults: Faults | None) -> Bool[Array, "n n"]:
        return self._links() if faults is None else jax.lax.optimization_barrier(self._arrivals(faults))

    @override
    def highest(self, values: NodeFloats, arriving: Bool[Array, "n n"]) -> NodeFloats:
        return jnp.where(arriving, values[None], jnp.finfo(values.dtype).min).max(1)

    @override
    def received(self, arriving: Bool[Array, "n n"]) -> NodeInts:
        return arriving.sum(1, dtype=jnp.int32)

    @override
    def out_degrees(self) -> NodeInts:
        return self._links().sum(0, dtype=jnp.int32)

    def _links(self) -> Bool[Array, "n n"]:
        return (self.matrix != 0) & ~jnp.eye(self.n_nodes, dtype=bool)

    def _arrivals(self, faults: Faults) -> Bool[Array, "n n"]:
        rows = jnp.arange(self.n_nodes, dtype=jnp.int32)
        return faults.arrive(rows[:, None], rows[None]) & self._links()

    @override
    def to_scipy(self) -> sp.csr_array:
        return sp.csr_array(np.asarray(self.matrix, np.float64))

    @override
    def by_slots(self) -> SlotOperator:
        check_sender_count(self.longest)
        assert self.senders is not None
        return self.senders


def blocked_mean(x: Float[Array, "n ..."]) -> Float[Array, "..."]:
    """Return the mean over axis 0, summed in blocks of about √n rows.

    A single float32 sum of 10⁶ rows would lose four digits. The mean of 16-bit numbers is float32.
    """
    n, x = x.shape[0], x.astype(accumulator(x.dtype))
    block = max(1, int(np.sqrt(n)))
    whole = n // block * block
    sums = x[:whole].reshape((n // block, block, *x.shape[1:])).sum(1).sum(0)
    return (sums + x[whole:].sum(0)) / n
