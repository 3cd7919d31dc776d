"""Exchanges between the blocks of a network, carried out between the devices of a mesh.

Everything here runs within ``shard_map`` over the nodes: a device has ``blocks_each`` blocks of L rows, and arrays of rows
are (blocks, L, …). Sums are added in a fixed order, row after row within a block and block after block, whatever the number
of devices. All buffers have a bounded size; where more is to be sent than they hold, it is sent in several passes.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxgossip.core.devices.blocks import Layout
from jaxgossip.core.devices.exchanges import Result, column_width
from jaxgossip.core.devices.local import (
    are_narrow,
    capacity,
    chosen,
    in_columns,
    of_owner,
    rows_at,
    seated,
    sums_of_blocks,
)
from jaxgossip.core.devices.mesh import NODES
from jaxgossip.core.devices.workspace import Workspace, while_loop
from jaxgossip.core.rows import gather

FETCH_PARTS = 16
"""Rows are fetched for at most this part, 1/16, of the blocks of a device at a time, or for one block."""
Run = Callable[..., tuple[list[Any], list[bool]]]


class Moved(NamedTuple):
    """What one exchange moves, as found while a program is traced.

    Attributes:
        collective: name of the collective operation, as the compiler has it.
        buffer: bytes of its result on a device.
        received: bytes that a device receives from others.
        times: how often it is carried out when the program runs once; further passes are not counted.
    """

    collective: str
    buffer: int
    received: int
    times: int


class Transport:
    """The exchanges of one device.

    Args:
        layout: how the rows lie on the devices.
        moved: list to which all that is moved is appended.
        times: how often what is carried out is repeated.
        workspace: buffers for what is carried out; by default they are made anew.
    """

    def __init__(
        self, layout: Layout, moved: list[Moved] | None = None, times: int = 1, workspace: Workspace | None = None
    ) -> None:
        self.layout, self._moved, self._times = layout, [] if moved is None else moved, times
        self.workspace = workspace

    def buffer(self, shape: tuple[int, ...], dtype: Any) -> tuple[int | None, Array]:
        """Return (its number in the workspace, a buffer), which holds anything."""
        return (None, jax.lax.empty(shape, dtype)) if self.workspace is None else self.workspace.take(shape, dtype)

    def keep(self, number: int | None, array: Array) -> Array:
        """Return an array that is stored in the place of a buffer, and note that it is."""
        if self.workspace is not None and number is not None:
            self.workspace.keep(number, array)
        return array

    def repeated(self, times: int) -> "Transport":
        """Return the exchanges of what is carried out ``times`` times."""
        return Transport(self.layout, self._moved, self._times * times)

    def _note(self, collective: str, result: jax.Array, share: float, times: int = 1) -> None:
        """Note that a device receives a ``share`` of a result from others."""
        size = result.size * result.dtype.itemsize
        self._moved.append(Moved(collective, size, round(share * size), self._times * times))

    @property
    def _others(self) -> float:
        return 1 - 1 / self.layout.n_devices

    def first_rows(self) -> Int[Array, " blocks"]:
        """Return the row that each block of the device begins with."""
        blocks = jax.lax.axis_index(NODES) * self.layout.blocks_each + jnp.arange(
            self.layout.blocks_each, dtype=jnp.int32
        )
        return (blocks * self.layout.block_rows).astype(jnp.int32)

    def carry_out(
        self,
        kind: str,
        options: dict[str, Any],
        results: Sequence[Result],
        inputs: Sequence[Array],
        kinds: Sequence[bool],
        run: Run,
        into: Array | None = None,
    ) -> list[Array]:
        """Return the ``results`` of an exchange of a ``kind``, if that is possible in the place of ``into``.

        ``kinds`` tells which inputs are of blocks; ``run`` runs programs within the exchange.
        """
        if kind == "columns":
            rows = self._stacked(inputs[0], kinds[0])
            return [self._by_columns(rows, inputs[1:], kinds[1:], run, into, **options)]
        if kind == "halo":
            is_table = not kinds[0] and inputs[0].shape[0] == results[0].shape[0]
            rows = inputs[0] if is_table else self.layout.flat(self._stacked(inputs[0], kinds[0]))
            return [self._halo(rows, inputs[1:], **options)]
        arrays = [self._stacked(array, of_block) for array, of_block in zip(inputs, kinds, strict=True)]
        if kind == "send":
            return list(self._send(*arrays))
        if kind == "everyone":
            return [self._everyone(arrays[0], results[0].shape[0])]
        exchange: Callable[..., Array] = {
            "sum": self._sum, "max": self._max, "fetch": self._fetch
        }[kind]  # fmt: skip
        return [exchange(*arrays, **options)]

    def _stacked(self, array: Array, kind: bool) -> Array:
        return array if kind else jnp.broadcast_to(array, (self.layout.blocks_each, *array.shape))

    def _sum(self, values: Array, *, of_rows: bool = False) -> Array:
        """Return the sum of values (blocks, q, …); if they are ``of_rows``, without those that only fill up."""

        def counted(part: Array, first: Array | int = 0) -> Array:
            if not of_rows:
                return part
            rows = self.first_rows()[:, None] + first + jnp.arange(part.shape[1], dtype=jnp.int32)
            return jnp.where((rows < self.layout.n_nodes).reshape(*rows.shape, *[1] * (part.ndim - 2)), part, 0)

        if not jnp.issubdtype(values.dtype, jnp.floating):
            total = jax.lax.psum(counted(values).sum((0, 1), dtype=values.dtype), NODES)
            self._note("all-reduce", total, 2 * self._others)
            return total
        n_blocks, mine = self.layout.blocks_each * self.layout.n_devices, sums_of_blocks(values, counted)
        # Disjoint parts are added to zeros, which is exact.
        place = jax.lax.axis_index(NODES) * self.layout.blocks_each
        spread = jnp.zeros((n_blocks, *values.shape[2:]), values.dtype)
        of_all = jax.lax.psum(jax.lax.dynamic_update_slice_in_dim(spread, mine, place, 0), NODES)
        self._note("all-reduce", of_all, 2 * self._others)
        return jax.lax.fori_loop(
            jnp.int32(0), jnp.int32(n_blocks), lambda number, total: total + of_all[number], jnp.zeros_like(of_all[0])
        )

    def _max(self, values: Array) -> Array:
        most = jax.lax.pmax(values.max((0, 1)), NODES)
        self._note("all-reduce", most, 2 * self._others)
        return most

    def _everyone(self, values: Array, number: int) -> Array:
        flags = values.dtype == bool
        rows = values.reshape(-1, *values.shape[2:])
        everyone = jax.lax.all_gather(rows.astype(jnp.uint8) if flags else rows, NODES, tiled=True)
        self._note("all-gather", everyone, self._others)
        return everyone[:number].astype(bool) if flags else everyone[:number]

    def _halo(self, rows: Array, lists: Sequence[Array], *, shifts: tuple[int, ...]) -> Array:
        """Return the rows of this device (m, …), followed by those that others send it, shift after shift.

        ``rows`` is (m, …), or already a table of as many rows as the result, whose first m are those of this device.
        """
        n, own = self.layout.n_devices, self.layout.rows_each
        received = [
            jax.lax.ppermute(gather(rows, list_[0]), NODES, [(device, (device + shift) % n) for device in range(n)])
            for shift, list_ in zip(shifts, lists, strict=True)
        ]
        for border in received:
            self._note("collective-permute", border, 1)
        # One table, not two of which each row is taken from either: their rows would be rounded differently.
        if rows.shape[0] == own:
            return jnp.concatenate([rows, *received])
        return jax.lax.dynamic_update_slice_in_dim(rows, jnp.concatenate(received), own, 0)

    def _by_columns(
        self,
        values: Array,
        consts: Sequence[Array],
        kinds: Sequence[bool],
        run: Run,
        into: Array | None,
        *,
        program: Any,
        width: int,
    ) -> Array:
        rows, out, inside = self.layout.flat(values), program.outvars[0].aval, self.repeated(1)
        n_columns, n_needed = rows.shape[1], program.invars[0].aval.shape[0]

        def some(start: Array | int) -> Array:
            part = jax.lax.dynamic_slice_in_dim(rows, start, width, 1) if width < n_columns else rows
            table = part if self.layout.n_devices == 1 else jax.lax.all_gather(part, NODES, tiled=True)
            self._note("all-gather", table, self._others, -(-n_columns // width))
            (made,), (of_block,) = run(inside, program, consts, [table[:n_needed]], kinds, [False])
            return self._stacked(made, of_block)

        if width == n_columns:
            return some(0)
        shape = (self.layout.blocks_each, *out.shape[:1], n_columns)
        number, made = self.buffer(shape, out.dtype) if into is None else (None, into)
        inside.workspace, parts = Workspace(), -(-n_columns // width)

        def fill(state: tuple[Array, Array]) -> tuple[Array, Array]:
            part, made = state
            start = jnp.minimum(part * width, n_columns - width)
            return part + 1, jax.lax.dynamic_update_slice_in_dim(made, some(start), start, 2)

        filled = while_loop(lambda state: state[0] < parts, fill, (jnp.int32(0), made), inside.workspace)
        return self.keep(number, filled[1])

    def _fetch(self, values: Array, index: Array) -> Array:
        rows, requests = self.layout.flat(values), index.reshape(self.layout.blocks_each, -1)
        shape = (*index.shape, *rows.shape[1:])
        if self.layout.n_devices == 1:
            return rows_at(rows, index)
        # The rows of some blocks at a time, so that buffers are small.
        at_once = self.layout.blocks_each if are_narrow(rows) else -(-self.layout.blocks_each // FETCH_PARTS)
        parts = -(-self.layout.blocks_each // at_once)
        room = capacity(at_once * requests.shape[1], self.layout.n_devices)
        counts = jnp.cumsum(self._counts(*self._remote(requests)), axis=0, dtype=jnp.int32)
        of_parts = jnp.concatenate([jnp.zeros_like(counts[:1]), counts])
        passes = self._passes(of_parts[at_once:] - of_parts[:-at_once], room)

        kept, found = self.buffer((requests.size, *rows.shape[1:]), rows.dtype)

        def some(again: bool, number: Array, found: Array) -> Array:
            first = jnp.minimum(number % parts * at_once, self.layout.blocks_each - at_once)
            asked = jax.lax.dynamic_slice_in_dim(requests, first, at_once).reshape(-1)
            start = first * requests.shape[1]
            before = jax.lax.dynamic_slice_in_dim(found, start, asked.size) if again else None
            made = self._fetch_some(rows, asked, room, number // parts, parts, before)
            return jax.lax.dynamic_update_slice_in_dim(found, made, start, 0)

        found = jax.lax.fori_loop(jnp.int32(0), jnp.int32(parts), partial(some, False), found)
        noted = len(self._moved)
        found = jax.lax.fori_loop(jnp.int32(parts), jnp.maximum(passes, 1) * parts, partial(some, True), found)
        del self._moved[noted:]  # of further passes, of which there are none as a rule
        return self.keep(kept, found).reshape(shape)

    def _fetch_some(
        self, rows: Array, requests: Array, room: int, number: Array, times: int, before: Array | None
    ) -> Array:
        """Return the rows ``requests`` (q,) of all devices, given those of this one and what the passes ``before`` found.

        Args:
            rows: (m, …), those of this device.
            requests: the numbers of the rows.
            room: how many rows a device sends another in a pass.
            number: of the pass.
            times: how often this is done.
            before: (q, …), of which those of the next ``room`` requests are replaced; None in the first pass.
        """
        owner, remote = self._remote(requests)
        place, seat = requests % self.layout.rows_each, self._ranks(owner, remote) - number * room
        here = remote & (seat >= 0) & (seat < room)
        # Of two devices, each sends to the other alone.
        desk = jnp.zeros_like(owner) if self.layout.n_devices == 2 else owner
        desks = 1 if self.layout.n_devices == 2 else self.layout.n_devices
        asked = self._swapped(seated(desks, room, desk, jnp.where(here, seat, room), place), times)
        answers = self._swapped(rows_at(rows, asked), times).reshape(-1, *rows.shape[1:])
        slot, own = jax.lax.optimization_barrier((jnp.where(here, desk * room + seat, 0), jnp.where(remote, 0, place)))
        return chosen(here, gather(answers, slot), gather(rows, own) if before is None else before)

    def _swapped(self, rows: Array, times: int) -> Array:
        """Return what the others send this device, of rows (D, room, …), or (1, room, …) if there is one other."""
        if self.layout.n_devices != 2:
            return self._exchanged(rows, times)
        arrived = jax.lax.ppermute(rows, NODES, [(0, 1), (1, 0)])
        self._note("collective-permute", arrived, 1, times)
        return arrived

    def _remote(self, requests: Array) -> tuple[Array, Array]:
        """Return (the device that has each row, whether it is another one)."""
        owner = requests // self.layout.rows_each
        return owner, owner != jax.lax.axis_index(NODES)

    def _send(self, values: Array, targets: Array, sent: Array) -> tuple[Array, Array]:
        rows, n_slots = self.layout.flat(values), targets.shape[2]
        targets, sent = self.layout.flat(targets), self.layout.flat(sent)
        heard = jnp.zeros_like(rows), jnp.zeros(rows.shape[0], jnp.int32)
        for slot in range(n_slots):
            heard = self._send_one(rows, targets[:, slot], sent[:, slot], *heard)
        # Without a barrier, whatever is added to the sum would become what it begins with: other bits.
        sums, counts = jax.lax.optimization_barrier(heard)
        return sums.reshape(values.shape), counts.reshape(values.shape[:2])

    def _send_one(self, rows: Array, target: Array, sent: Array, sums: Array, counts: Array) -> tuple[Array, Array]:
        if self.layout.n_devices == 1:
            places = jnp.where(sent, target, rows.shape[0])
            return sums.at[places].add(rows, mode="drop"), counts.at[places].add(1, mode="drop")
        owner, place = target // self.layout.rows_each, target % self.layout.rows_each
        rank, number = self._ranks(owner, sent), self._counts(owner[None], sent[None])
        room = capacity(target.size, self.layout.n_devices)
        passes = self._passes(number, room)
        me, row = jax.lax.axis_index(NODES), jnp.arange(rows.shape[0], dtype=jnp.int32)

        def step(sends: Array, first: Array, heard: tuple[Array, Array]) -> tuple[Array, Array]:
            sums, counts = heard
            seat = rank - first
            here = sends & sent & (seat >= 0) & (seat < room)
            seat = jnp.where(here, seat, room)
            senders = seated(self.layout.n_devices, room, owner, seat, row)
            places = seated(self.layout.n_devices, room, owner, seat, place, empty=self.layout.rows_each)
            places = self._exchanged(places).reshape(-1)

            parts = 1 if rows.ndim != 2 else -(-rows.shape[1] // column_width(rows.shape[1], self.layout.n_devices))

            def some(rows: Array, sums: Array) -> Array:
                arriving = self._exchanged(rows_at(rows, senders), parts)
                return sums.at[places].add(arriving.reshape(-1, *rows.shape[1:]), mode="drop")

            return in_columns(some, rows, sums, self.layout.n_devices), counts.at[places].add(1, mode="drop")

        # Arrivals are added in the order of their senders. Where one pass does not do, the devices therefore send in turn.
        several = passes > 1
        heard = step(~several, jnp.int32(0), (sums, counts))
        noted = len(self._moved)

        def in_turn(number: Array, heard: tuple[Array, Array]) -> tuple[Array, Array]:
            return step(number // passes == me, number % passes * room, heard)

        heard = jax.lax.fori_loop(jnp.int32(0), jnp.where(several, passes * self.layout.n_devices, 0), in_turn, heard)
        del self._moved[noted:]
        return heard

    def _exchanged(self, rows: Array, times: int = 1) -> Array:
        """Return what the devices send this one, of rows (D, room, …) of which each is for one of them."""
        arrived = jax.lax.all_to_all(rows, NODES, 0, 0, tiled=True)
        self._note("all-to-all", arrived, self._others, times)
        return arrived

    def _counts(self, owner: Array, counted: Array) -> Int[Array, "blocks D"]:
        """Return how many entries (blocks, q) that count each device owns."""
        theirs = (owner[..., None] == jnp.arange(self.layout.n_devices, dtype=owner.dtype)) & counted[..., None]
        return theirs.sum(1, dtype=jnp.int32)

    def _ranks(self, owner: Array, counted: Array) -> Int[Array, " q"]:
        """Return, for each entry (q,) that counts, how many of the same owner count before it."""
        devices, lanes = jnp.arange(self.layout.n_devices, dtype=owner.dtype), max(1, math.isqrt(owner.size))
        filled = jnp.pad(jnp.where(counted, owner, -1), (0, -owner.size % lanes), constant_values=-1)
        owners = filled.reshape(lanes, -1).T  # each lane counts its own part

        def count(before: Array, owner: Array) -> tuple[Array, Array]:
            theirs = owner[:, None] == devices
            return before + theirs.astype(jnp.int32), of_owner(theirs, before)

        of_lanes, within = jax.lax.scan(count, jnp.zeros((lanes, self.layout.n_devices), jnp.int32), owners)
        before = jnp.cumsum(of_lanes, axis=0, dtype=jnp.int32) - of_lanes
        return (within + of_owner(owners[..., None] == devices, before)).T.reshape(-1)[: owner.size]

    def _passes(self, counts: Array, room: int) -> Array:
        passes = jax.lax.pmax(-(-counts.max() // room), NODES).astype(jnp.int32)
        self._note("all-reduce", passes, 2 * self._others)
        return passes
