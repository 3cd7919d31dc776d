"""Slot operators on a mesh: of near neighbours by the border rows of devices, of far ones by columns of all rows.

Where most neighbours of a device's rows are its own, which an order of the graph provides, every device is sent the rows that
it lacks: its halo. Which those are is found once, on the host. Whether a graph is near does not depend on the number of
devices, since both forms add the same numbers, but in programs of their own.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import override

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxgossip.core.devices.blocks import Layout
from jaxgossip.core.devices.exchanges import Result, exchanged
from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import NodeInts
from jaxgossip.mixing.operator import SlotOperator
from jaxgossip.mixing.operators.tables import Slots

NEAR = 0.25
"""Largest share of all rows that must be sent to others, if there are ``PARTS`` devices, for a graph to be near."""
PARTS = 8


@pytree_dataclass
class NearSlots(Slots):
    """Slots whose rows are those of the device, or of its halo.

    Attributes:
        places: (n,) int32 per slot: the place of the row among those of the device, followed by the halo.
        lists: (D, h) int32 per shift: the rows that each device sends to the device at that distance.
        shifts: the distances, in devices.
        rows_each: number of rows of a device.
    """

    per_node = ("self_weight", "weights", "sources", "places")
    per_device = ("lists",)
    places: tuple[NodeInts, ...] = ()
    lists: tuple[Int[Array, "D _"], ...] = ()
    shifts: tuple[int, ...] = static_field(default=())
    rows_each: int = static_field(default=0)

    @override
    def take(self, x: Array, slot: int) -> Array:
        length = self.rows_each + sum(list_.shape[1] for list_ in self.lists)
        result = Result((length, *x.shape[1:]), x.dtype, per_block=False)
        return gather(exchanged("halo", [result], x, *self.lists, shifts=self.shifts)[0], self.places[slot])

    @override
    def weighted(self, sent: Array, weights: Sequence[Array]) -> Array:
        return SlotOperator.weighted(self, sent, weights)


def slots_on_mesh(operator: SlotOperator, layout: Layout) -> Slots:
    """Return a slot operator on a mesh, given one that moves rows by their numbers.

    Args:
        operator: its ``take`` is a function of row numbers.
        layout: how the rows lie on the devices.
    """
    rows = jnp.arange(operator.n_nodes, dtype=jnp.int32)
    sources = [np.asarray(operator.take(rows, slot)) for slot in range(operator.n_slots)]
    weights = tuple(operator.slot_weight(slot) for slot in range(operator.n_slots))
    in_balance = bool(np.all([np.array_equal(np.sort(source), rows) for source in sources])) and not _partial(weights)
    plain = Slots(
        operator.self_weight, weights, tuple(jnp.asarray(source, jnp.int32) for source in sources), operator.n_links,
        balanced=in_balance, numbering=operator.numbering,
    )  # fmt: skip
    return near_or_far(plain, sources, layout)


def near_or_far(slots: Slots, sources: Sequence[np.ndarray], layout: Layout) -> Slots:
    """Return slots as programs for one block of rows use them: with a halo if its neighbours are near."""
    table = np.stack(sources) if sources else np.zeros((0, layout.n_nodes), np.int64)
    if not sources or not is_near(table):
        return slots
    filled = np.concatenate([table, np.tile(np.arange(layout.n_nodes, layout.n_rows), (table.shape[0], 1))], axis=1)
    places, lists, shifts = halo(filled, layout)
    kept = {field.name: getattr(slots, field.name) for field in fields(Slots)}
    kept["sources"] = tuple(jnp.asarray(row, jnp.int32) for row in filled)
    return NearSlots(
        **kept,
        places=tuple(jnp.asarray(row, jnp.int32) for row in places),
        lists=tuple(jnp.asarray(list_, jnp.int32) for list_ in lists),
        shifts=shifts,
        rows_each=layout.rows_each,
    )


def is_near(sources: np.ndarray) -> bool:
    """Return whether few rows of ``sources`` (k, n) belong to other parts of the rows than those that hear them."""
    n = sources.shape[1]
    part = np.arange(n) * PARTS // n
    crossing = part[sources] != part
    needed = np.unique(part[np.nonzero(crossing)[1]].astype(np.int64) * n + sources[crossing])
    return needed.size <= NEAR * n


def halo(
    sources: Int[np.ndarray, "k rows"], layout: Layout
) -> tuple[Int[np.ndarray, "k rows"], list[Int[np.ndarray, "D h"]], tuple[int, ...]]:
    """Return (places, lists, shifts) of :class:`NearSlots`, for the rows ``sources`` (k, rows) that each row hears."""
    m, n_devices = layout.rows_each, layout.n_devices
    hearer, owner = np.arange(sources.shape[1]) // m, sources // m
    places, lists, shifts, start = sources % m, [], [], m
    crossing = owner != hearer
    for shift in sorted(set(((hearer - owner)[crossing] % n_devices).tolist())):
        which = crossing & ((hearer - owner) % n_devices == shift)
        slot, row = np.nonzero(which)
        # By device that hears, then by row: both ends know the order.
        keys, number = np.unique(hearer[row].astype(np.int64) * layout.n_rows + sources[slot, row], return_inverse=True)
        device, wanted = keys // layout.n_rows, keys % layout.n_rows
        first = np.searchsorted(device, np.arange(n_devices))
        rank = np.arange(keys.size) - first[device]
        sent = np.zeros((n_devices, int(rank.max(initial=-1)) + 1), np.int64)
        sent[wanted // m, rank] = wanted % m
        places[slot, row] = start + rank[number]
        lists.append(sent)
        shifts.append(shift)
        start += sent.shape[1]
    return places, lists, tuple(shifts)


def _partial(weights: Sequence[Array]) -> bool:
    return any(np.ndim(weight) > 0 and bool((np.asarray(weight) == 0).any()) for weight in weights)
