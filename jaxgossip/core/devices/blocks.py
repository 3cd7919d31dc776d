"""Rows at hand: those of all nodes, or of one block, for which a program on a mesh is written.

On a mesh, a round is a program for one **block** of L consecutive rows, L a function of the number of nodes alone, and is
run for all blocks of all devices (see :mod:`.program`). Whatever shape the mesh has, it then executes the same instructions
on arrays of the same shapes, so that its bits do not depend on the number of devices. Without a mesh the rows at hand are
those of all nodes.

A program of rows is the same in both cases, if whatever concerns other rows goes through the functions of this module and of
:mod:`.exchanges`. Rows that fill up the last blocks stand after all nodes, hold any number, and are never counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxgossip.core.typing import PyTree

BLOCKS = 64
"""Number of blocks into which a network of at least as many nodes is divided, at least; so many devices can share it."""
CPU_BLOCK_ROWS, MOST_BLOCKS = 4096, 1024
"""Rows of the largest blocks on a CPU, whose cache then holds what a round makes of a block, and the most blocks for that."""


class Block(NamedTuple):
    """The block that a program is written for.

    Attributes:
        n_nodes: n, number of nodes of the network.
        n_rows: L, rows of a block.
        n_blocks: number of blocks of all devices together, those included that only fill up.
        n_devices: D, number of devices.
        first: () int32, the row that the block begins with.
    """

    n_nodes: int
    n_rows: int
    n_blocks: int
    n_devices: int
    first: Int[Array, ""]


_BLOCK: ContextVar[Block | None] = ContextVar("block", default=None)


@contextmanager
def for_block(block: Block | None) -> Iterator[None]:
    """Trace a program for a block of rows; for None, one for all nodes."""
    token = _BLOCK.set(block)
    try:
        yield
    finally:
        _BLOCK.reset(token)


def at_hand() -> Block | None:
    """Return the block for which a program is being traced; None if it is for all nodes."""
    return _BLOCK.get()


def rows_of_a_block(n_nodes: int) -> int:
    """Return L, the number of rows of a block of a network of ``n_nodes``: at least two, so that one model is no block."""
    rows = -(-n_nodes // BLOCKS)
    if jax.default_backend() == "cpu":
        rows = max(-(-n_nodes // MOST_BLOCKS), min(rows, CPU_BLOCK_ROWS))
    return max(2, rows)


class Layout:
    """How the rows of a network lie on the devices of a mesh.

    Args:
        n_nodes: n, number of nodes.
        n_devices: D, number of devices.

    Attributes:
        block_rows: L, rows of a block.
        blocks_each: blocks of each device.
        rows_each: m, rows of each device.
        n_rows: rows of all devices, at least n.
    """

    def __init__(self, n_nodes: int, n_devices: int) -> None:
        self.n_nodes, self.n_devices, self.block_rows = n_nodes, n_devices, rows_of_a_block(n_nodes)
        self.blocks_each = -(-n_nodes // (self.block_rows * n_devices))
        self.rows_each = self.blocks_each * self.block_rows
        self.n_rows = self.rows_each * n_devices

    def block(self, first: Array) -> Block:
        """Return the block that begins with the row ``first``."""
        return Block(self.n_nodes, self.block_rows, self.blocks_each * self.n_devices, self.n_devices, first)

    def stacked(self, rows: Array) -> Array:
        """Return rows (m, …) of a device as blocks (blocks, L, …)."""
        return rows.reshape(self.blocks_each, self.block_rows, *rows.shape[1:])

    def flat(self, blocks: Array) -> Array:
        """Return blocks (blocks, L, …) of a device as rows (m, …)."""
        return blocks.reshape(self.rows_each, *blocks.shape[2:])


def count_rows(n_nodes: int) -> int:
    """Return the number of rows at hand, of a network of ``n_nodes``."""
    block = at_hand()
    return n_nodes if block is None else block.n_rows


def row_numbers(n_nodes: int) -> Int[Array, " rows"]:
    """Return (rows,) int32, the numbers of the rows at hand; from ``n_nodes`` on they only fill up."""
    block = at_hand()
    numbers = jnp.arange(count_rows(n_nodes), dtype=jnp.int32)
    return numbers if block is None else block.first + numbers


def are_nodes(n_nodes: int) -> Array | None:
    """Return (rows,) bool, whether the rows at hand hold nodes; None if all do."""
    return None if at_hand() is None else row_numbers(n_nodes) < n_nodes


def own(table: Array | np.ndarray) -> Array:
    """Return the rows at hand of a table (n, …) of all nodes; fillers have those of the last node."""
    block = at_hand()
    if block is None:
        return jnp.asarray(table)
    rows = jnp.minimum(row_numbers(block.n_nodes), block.n_nodes - 1)
    return jnp.asarray(table).at[rows].get(mode="promise_in_bounds", wrap_negative_indices=False)


def for_all[T](program: Callable[[], T]) -> T:
    """Return what a program gives that is written for all nodes, and computed once on each device.

    It must not depend on rows at hand. It serves small arrays (n,) that decide who talks to whom.
    """
    with for_block(None):
        return program()


def own_of(program: Callable[[], PyTree]) -> PyTree:
    """Return the rows at hand of arrays (n, …) that a program for all nodes gives: see :func:`for_all`."""
    return program() if at_hand() is None else jax.tree.map(own, for_all(program))
