"""Programs for one block of rows, run for all blocks of a device.

A program is traced for one block. Its operations fall into stretches between exchanges; a stretch runs in a loop over the
blocks of the device, an exchange for all of them at once. What depends on no block is computed once on each device.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.devices.blocks import Layout, for_block
from jaxgossip.core.devices.interpreter import run_traced
from jaxgossip.core.devices.traced import avals_of
from jaxgossip.core.devices.transport import Moved, Transport
from jaxgossip.core.devices.workspace import Workspace
from jaxgossip.core.typing import PyTree


def on_blocks(
    program: Callable[..., PyTree],
    layout: Layout,
    per_block: Sequence[PyTree],
    moved: list[Moved] | None = None,
    workspace: Workspace | None = None,
) -> Callable[..., tuple[PyTree, PyTree]]:
    """Return a program for one block as a program for all blocks of a device, within ``shard_map`` over the nodes.

    Args:
        program: (*arguments) -> pytree of arrays, for one block.
        layout: how rows lie on devices.
        per_block: for every argument, a tree of the same structure that says which leaves are of rows.
        moved: list to which is appended, while tracing, what a run of the program moves between devices.
        workspace: buffers of a program that is a step of a loop, whose state is the last argument: its rows are computed
            in place.

    Returns:
        (*arguments) -> (results, whether each is of rows); arrays of rows are (m, …) there, and come back as (m, …).
    """

    def run(*arguments: PyTree) -> tuple[PyTree, PyTree]:
        leaves, tree = jax.tree.flatten(arguments)
        kinds = [bool(kind) for kind in jax.tree.leaves(tuple(per_block))]
        shapes = [
            jax.ShapeDtypeStruct((layout.block_rows, *leaf.shape[1:]) if kind else leaf.shape, leaf.dtype)
            for leaf, kind in zip(leaves, kinds, strict=True)
        ]

        def for_one(first: Array, *leaves: Array) -> PyTree:
            with for_block(layout.block(first)):
                return program(*jax.tree.unflatten(tree, leaves))

        first = jax.ShapeDtypeStruct((), jnp.int32)
        traced, result = jax.make_jaxpr(for_one, return_shape=True)(first, *shapes)
        transport = Transport(layout, moved, workspace=workspace)
        n_carried = 0 if workspace is None else len(jax.tree.leaves(arguments[-1]))
        carried = [number >= len(leaves) - n_carried for number in range(len(leaves))]
        inputs = [layout.stacked(leaf) if kind else leaf for leaf, kind in zip(leaves, kinds, strict=True)]
        wide = any(aval.dtype.itemsize == 8 for aval in avals_of(traced.jaxpr) if hasattr(aval, "dtype"))
        with jax.enable_x64(wide or bool(jax.config.jax_enable_x64)):
            values, flags = run_traced(
                transport,
                traced.jaxpr,
                traced.consts,
                [transport.first_rows(), *inputs],
                (),
                [True, *kinds],
                [False, *carried],
            )
        results = [
            layout.flat(value) if flag and value.ndim > 1 else value for value, flag in zip(values, flags, strict=True)
        ]
        structure = jax.tree.structure(result)
        return jax.tree.unflatten(structure, results), jax.tree.unflatten(structure, flags)

    return run
