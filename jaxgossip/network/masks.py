"""Masks of nodes, of which None stands for all."""

import jax
import jax.numpy as jnp

from jaxgossip.core.typing import NodeMask, PyTree


def both(first: NodeMask | None, second: NodeMask | None) -> NodeMask | None:
    """Return (n,) bool, the nodes of both masks; None if both are."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


def chosen(mask: NodeMask | None, new: PyTree, old: PyTree) -> PyTree:
    """Return the rows of ``new`` where ``mask`` (n,) holds or is None, else of ``old``; leaves have the node axis first."""
    if mask is None:
        return new
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape((-1,) + (1,) * (a.ndim - 1)), a, b), new, old)
