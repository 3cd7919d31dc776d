"""How a model's parameters stand in a row: shared columns first, private ones last."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import nearest
from jaxgossip.core.typing import PyTree, Row
from jaxgossip.learning.models.model import Model


@dataclass(frozen=True)
class Layout:
    """A pair of inverse functions between a pytree of parameters and a row; equal layouts are the same functions.

    Attributes:
        tree: the structure of the parameters.
        shapes: of its leaves.
        order: in which the leaves stand in a row.
        ends: where each begins there, and the last one ends.
        dtype: of a row.
        n_shared: leading columns that are exchanged.
    """

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    ends: tuple[int, ...]
    dtype: np.dtype
    n_shared: int

    @property
    def n_params(self) -> int:
        """P, the columns of a row."""
        return self.ends[-1]

    def ravel(self, params: PyTree) -> Row:
        """Return the row (p,) of some parameters."""
        leaves = jax.tree.leaves(params)
        return jnp.concatenate([jnp.ravel(leaves[leaf]).astype(self.dtype) for leaf in self.order])

    def unravel(self, row: Row) -> PyTree:
        """Return the parameters of a row (p,), in the row's own dtype."""
        # The gradient of slices is sums of padded pieces, which XLA fuses into one pass; that of jnp.split, which
        # ravel_pytree takes, is a concatenation, and costs another array of all models.
        leaves: list[PyTree] = [None] * len(self.order)
        for leaf, (start, end) in zip(self.order, itertools.pairwise(self.ends), strict=True):
            leaves[leaf] = jax.lax.slice(row, (start,), (end,)).reshape(self.shapes[leaf])
        # Each leaf's gradient is finished before those sums: XLA on CPU else computes products of matrices inside them.
        leaves = jax.lax.optimization_barrier(leaves) if len(leaves) > 1 else leaves
        return jax.tree.unflatten(self.tree, leaves)


def layout(model: Model, private: Sequence[str], dtype: np.dtype) -> Layout:
    """Return the layout of ``model``'s parameters in rows of ``dtype``: leaves in the pytree's order, private ones last.

    Raises:
        InputError: a parameter that is no float, a private name that is no top-level parameter, or nothing left to
            share.
    """
    example = jax.tree.map(jnp.asarray, model.init(jax.random.key(0)))
    names = _private_names(example, private)
    by_path, tree = jax.tree.flatten_with_path(example)
    for path, leaf in by_path:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            name = jax.tree_util.keystr(path)
            raise InputError(f"the model's parameter {name} is of type {leaf.dtype}", hint="return floats from init")
    shapes = [leaf.shape for _, leaf in by_path]
    is_private = [bool(names) and path[0].key in names for path, _ in by_path]
    order = sorted(range(len(shapes)), key=lambda leaf: is_private[leaf])
    ends = np.cumsum([0, *(np.prod(shapes[leaf], dtype=int) for leaf in order)]).tolist()
    n_shared = ends[is_private.count(False)]
    if n_shared == 0:
        if not names:
            raise InputError("the model has no parameters", hint="return some from the model's init")
        raise InputError(
            "all parameters are private: nothing is left to exchange",
            hint=f"learning.private (in Python: private) names {', '.join(names)}: leave one of them out",
        )

    return Layout(tree, tuple(shapes), tuple(order), tuple(ends), np.dtype(dtype), n_shared)


def _private_names(example: PyTree, private: Sequence[str]) -> Sequence[str]:
    if private and not isinstance(example, Mapping):
        raise InputError("private names need a model whose parameters are a dict", hint="return a dict from init")
    for name in private:
        if name not in example:
            raise InputError(f"the model has no parameter '{name}' to keep private", hint=nearest(name, example))
    return private
