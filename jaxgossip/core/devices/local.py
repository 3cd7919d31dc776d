"""What a device does by itself for an exchange: it adds its rows block by block, picks rows, and seats what it sends."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.devices.exchanges import LEAST_COLUMNS, column_width
from jaxgossip.core.rows import gather


def sums_of_blocks(values: Array, counted: Callable[..., Array]) -> Array:
    """Return (blocks, …): the sums over rows of values (blocks, L, …), in an order that depends on L alone.

    About √L rows at a time are added to as many sums, which are then added one by one, and last the rows that are left.
    ``counted`` (part, first row) leaves out rows that only fill up.
    """
    blocks, length = values.shape[:2]
    lanes = max(1, math.isqrt(length))
    steps = length // lanes
    part = partial(jax.lax.dynamic_slice_in_dim, values, slice_size=lanes, axis=1)
    nothing = jnp.zeros((blocks, lanes, *values.shape[2:]), values.dtype)

    def add_lanes(step: Array, sums: Array) -> Array:
        return sums + counted(part(step * lanes), step * lanes)

    sums = jax.lax.fori_loop(jnp.int32(0), jnp.int32(steps), add_lanes, nothing)
    rest = jnp.concatenate([sums, counted(values[:, steps * lanes :], steps * lanes)], axis=1)

    def add(number: Array, total: Array) -> Array:
        return total + jax.lax.dynamic_index_in_dim(rest, number, 1, keepdims=False)

    return jax.lax.fori_loop(jnp.int32(0), jnp.int32(rest.shape[1]), add, jnp.zeros_like(values[:, 0]))


def capacity(requests: int, n_devices: int) -> int:
    """Return how many rows one device sends another at a time, if ``requests`` fall on all of them at random.

    The mean and eight standard deviations: more are asked for in fewer than one of 10¹² rounds, and then sent in a further
    pass.
    """
    mean = requests / n_devices
    return min(requests, math.ceil(mean + 8 * math.sqrt(mean) + 8))


def are_narrow(rows: Array) -> bool:
    """Return whether rows are so short that lists of them take as much memory."""
    return math.prod(rows.shape[1:]) <= LEAST_COLUMNS


def in_columns(program: Callable[[Array, Array], Array], rows: Array, found: Array, n_parts: int) -> Array:
    """Return program(rows, found), computed some columns at a time if there are many, so that buffers are small."""
    if rows.ndim != 2 or (width := column_width(rows.shape[1], n_parts)) == rows.shape[1]:
        return program(rows, found)
    n_columns = rows.shape[1]

    def fill(number: Array, found: Array) -> Array:
        start = jnp.minimum(number * width, n_columns - width)
        # The last columns overlap those before, which must not be found twice.
        first = number * width - start
        part = partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=width, axis=1)
        new = program(part(rows), part(found))
        new = jnp.where(jnp.arange(width) >= first, new, part(found))
        return jax.lax.dynamic_update_slice_in_dim(found, new, start, 1)

    return jax.lax.fori_loop(jnp.int32(0), jnp.int32(-(-n_columns // width)), fill, found)


def seated(desks: int, room: int, desk: Array, seat: Array, values: Array, *, empty: int = 0) -> Array:
    """Return (desks, room): values at (desk, seat); ``empty`` where there is none. A seat ``room`` is none."""
    seats = jnp.full((desks, room), empty, jnp.int32)
    return seats.at[desk, seat].set(values.astype(jnp.int32), mode="drop", unique_indices=True)


def of_owner(theirs: Array, counts: Array) -> Array:
    """Return, for each entry, those of the ``counts`` by device that are ``theirs`` who own it; 0 if nobody does."""
    return jnp.where(theirs, counts, 0).sum(-1, dtype=jnp.int32)


def rows_at(rows: Array, index: Array) -> Array:
    """Return rows[index], for indices that are none to be wrapped or clamped."""
    return chosen(index >= 0, gather(rows, index), jnp.zeros((), rows.dtype))


def chosen(mask: Array, one: Array, other: Array) -> Array:
    """Return ``one`` where the mask is set, else ``other``; ``one`` has the shape of the mask, and further axes.

    By bits: XLA compiles gathers alone, or those that meet in a select, to code for CPUs that takes more than twice as long.
    """
    wide = (*mask.shape, *[1] * (one.ndim - mask.ndim))
    if one.dtype == bool or jnp.issubdtype(one.dtype, jnp.complexfloating):
        return jnp.where(mask.reshape(wide), one, other)
    unsigned = jnp.dtype(f"uint{8 * one.dtype.itemsize}")
    bits = jax.lax.optimization_barrier(jnp.where(mask, ~unsigned.type(0), unsigned.type(0))).reshape(wide)
    ours, theirs = (jax.lax.bitcast_convert_type(array, unsigned) for array in (one, other))
    return jax.lax.bitcast_convert_type((ours & bits) | (theirs & ~bits), one.dtype)
