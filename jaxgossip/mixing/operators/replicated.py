"""Operators without a form of their own on a mesh: every device computes all of them, of some columns at a time.

Memory is bounded, but all devices do the work of one. Faults are those of all nodes, which every device knows.
"""

from typing import Any, override

import jax
import jax.numpy as jnp
import scipy.sparse as sp
from jaxtyping import Array

from jaxgossip.core.devices.blocks import at_hand, for_all, own, own_of
from jaxgossip.core.devices.exchanges import by_columns, everyone, node_mean
from jaxgossip.core.pytree import pytree_dataclass
from jaxgossip.core.typing import NodeFloats, NodeInts, PRNGKey, Rows, accumulator, derived
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.operator import Conserved, Operator, SlotOperator, TimeVarying
from jaxgossip.mixing.operators.structured import AxisMean
from jaxgossip.mixing.operators.tables import Slots


@pytree_dataclass
class Replicated(Operator):
    """An operator that every device computes for all nodes, to keep what concerns its own rows.

    Attributes:
        inner: the operator, for all nodes.
    """

    replicated = ("inner",)
    inner: Operator

    @derived
    @override
    def n_nodes(self) -> int:
        block = at_hand()
        return self.inner.n_nodes if block is None else block.n_nodes

    @derived
    @override
    def n_links(self) -> int | None:
        return self.inner.n_links

    @derived
    @override
    def numbering(self) -> str:
        return self.inner.numbering

    @derived
    @override
    def conserves(self) -> Conserved:  # pyright: ignore[reportIncompatibleVariableOverride] - that of what it holds
        return self.inner.conserves

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        nothing = jnp.zeros((self.n_nodes, 1), sent.dtype)
        weight = for_all(lambda: self.inner.hear(nothing, faults)[0])
        heard = by_columns(lambda table: own(for_all(lambda: self.inner.hear(table, faults)[1])), sent)
        return (own(weight) if weight.ndim else weight), heard

    @override
    def arriving(self, faults: Faults | None) -> Any:
        return for_all(lambda: self.inner.arriving(faults))

    @override
    def highest(self, values: NodeFloats, arriving: Any) -> NodeFloats:
        table = everyone(values)
        return own_of(lambda: self.inner.highest(table, arriving))

    @override
    def received(self, arriving: Any) -> NodeInts:
        return own_of(lambda: self.inner.received(arriving))

    @override
    def out_degrees(self) -> NodeInts:
        return own_of(self.inner.out_degrees)

    @override
    def sent(self, faults: Faults | None) -> NodeInts:
        return own_of(lambda: self.inner.sent(faults))

    @override
    def to_scipy(self) -> sp.csr_array:
        return for_all(self.inner.to_scipy)

    @override
    def by_slots(self) -> SlotOperator:
        slots = for_all(self.inner.by_slots)
        weights = [for_all(lambda slot=slot: slots.slot_weight(slot)) for slot in range(slots.n_slots)]
        rows = for_all(lambda: jnp.arange(slots.n_nodes, dtype=jnp.int32))
        sources = [own(for_all(lambda slot=slot: slots.take(rows, slot))) for slot in range(slots.n_slots)]
        return Slots(
            _own(slots.self_weight), tuple(map(_own, weights)), tuple(sources), slots.n_links,
            numbering=self.numbering,
        )  # fmt: skip


@pytree_dataclass
class MeanOfAll(Replicated):
    """The complete graph with equal weights, of which every device adds up its own rows unless messages are lost."""

    inner: AxisMean

    @override
    def mix(self, x: Rows, faults: Faults | None, sent: Rows | None = None) -> Rows:
        if faults is not None or sent is not None:
            return super().mix(x, faults, sent)
        dtype = accumulator(x.dtype)
        amount, mean = self.inner.amount.astype(dtype), node_mean(x, self.n_nodes)
        return jnp.where(amount == 1, mean, x + amount * (mean - x)).astype(x.dtype)

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        if faults is not None:
            return super().hear(sent, faults)
        amount = self.inner.amount.astype(accumulator(sent.dtype))
        weight = amount / self.n_nodes
        return 1 - amount + weight, amount * node_mean(sent, self.n_nodes) - weight * sent


@pytree_dataclass
class ReplicatedAtRounds(TimeVarying):
    """Mixing whose operators every device draws for all nodes.

    Attributes:
        inner: the mixing, for all nodes.
    """

    replicated = ("inner",)
    inner: TimeVarying

    @derived
    @override
    def n_nodes(self) -> int:
        return self.inner.n_nodes

    @derived
    @override
    def numbering(self) -> str:
        return self.inner.numbering

    @derived
    @override
    def conserves(self) -> Conserved:  # pyright: ignore[reportIncompatibleVariableOverride] - that of what it holds
        return self.inner.conserves

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        return Replicated(for_all(lambda: self.inner.at(round_number, key)))


def _own(weight: Array) -> Array:
    return own(weight) if weight.ndim else weight
