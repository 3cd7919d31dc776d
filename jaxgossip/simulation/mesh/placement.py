"""Where the arrays of a run lie on a mesh: rows of nodes are spread over the devices, all others are on each of them."""

import enum
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxgossip.core.devices.blocks import Layout
from jaxgossip.core.devices.mesh import NODES
from jaxgossip.core.typing import PyTree


class Place(enum.Enum):
    """Where an array lies.

    Attributes:
        ROWS: its first axis is that of the nodes, and is spread over the devices.
        DEVICES: its first axis is that of the devices, each of which has its own entry.
        ALL: it is on every device.
    """

    ROWS = enum.auto()
    DEVICES = enum.auto()
    ALL = enum.auto()


def places(tree: PyTree) -> list[Place]:
    """Return the place of every leaf of a tree, as its classes declare it.

    They do so by names of attributes: ``per_node``, ``per_device`` and ``replicated``, for all that an attribute holds.
    """
    return list(_places(tree, Place.ALL))


def _places(value: Any, place: Place) -> Iterator[Place]:
    children = jax.tree_util.default_registry.flatten_one_level_with_keys(value)
    if children is None:
        yield place if np.ndim(value) and place is not Place.ALL else Place.ALL
        return
    kinds = ("per_node", "per_device", "replicated")
    per_node, per_device, replicated = (getattr(type(value), kind, ()) for kind in kinds)
    for key, child in children[0]:
        name = getattr(key, "name", None)
        if name in replicated:  # whatever it holds
            yield from (Place.ALL for _ in jax.tree.leaves(child))
            continue
        its = Place.ROWS if name in per_node else Place.DEVICES if name in per_device else place
        yield from _places(child, its)


def spec(place: Place) -> P:
    """Return how an array is partitioned."""
    return P() if place is Place.ALL else P(NODES)


def spread(leaves: Sequence[Any], of: Sequence[Place], layout: Layout, mesh: Mesh) -> list[jax.Array]:
    """Return arrays on the devices of a mesh; rows are filled up with copies of the last, and keep those that fill up."""
    return [spread_one(leaf, place, layout, mesh) for leaf, place in zip(leaves, of, strict=True)]


def spread_one(leaf: Any, place: Place, layout: Layout, mesh: Mesh) -> jax.Array:
    """Return one array on the devices of a mesh: see :func:`spread`."""
    # Of an array without numbers, such as no private columns, the compiler takes no notice how it is spread.
    sharding = NamedSharding(mesh, spec(place if leaf.size else Place.ALL))
    if place is Place.DEVICES and isinstance(leaf, jax.Array) and leaf.sharding == sharding:  # made there
        return leaf
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    values = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
    if place is Place.ROWS and values.shape[0] < layout.n_rows:
        values = np.concatenate([values, np.repeat(values[-1:], layout.n_rows - values.shape[0], axis=0)])
    made = jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])
    return jax.random.wrap_key_data(made, impl=jax.random.key_impl(leaf)) if is_key else made
