"""The layout of a model's parameters in a row: shared columns first, private ones last."""

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
    """A bijection between a pytree of parameters and a row; equal layouts define equal functions.

    Attributes:
        tree: the tree structure of the parameters.
        shapes: shapes of the leaves.
        order: order in which the leaves are stored in a row.
        ends: offset at which each of these leaves begins, and the total length.
        dtype: dtype of a row.
        n_shared: number of leading columns that are exchanged.
    """

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    ends: tuple[int, ...]
    dtype: np.dtype
    n_shared: int

    @property
    def n_params(self) -> int:
        """p, the number of columns of a row."""
        return self.ends[-1]

    def ravel(self, params: PyTree) -> Row:
        """Return parameters as a row (p,)."""
        leaves = jax.tree.leaves(params)
        return jnp.concatenate([jnp.ravel(leaves[leaf]).astype(self.dtype) for leaf in self.order])

    def unravel(self, row: Row) -> PyTree:
        """Return the parameters of a row (p,), in the row's own dtype."""
        # The gradient of slices is a sum of padded pieces, which XLA fuses into one pass; that of jnp.split, used by
        # ravel_pytree, is a concatenation, and costs another array as large as all models.
        leaves: list[PyTree] = [None] * len(self.order)
        for leaf, (start, end) in zip(self.order, itertools.pairwise(self.ends), strict=True):
            leaves[leaf] = jax.lax.slice(row, (start,), (end,)).reshape(self.shapes[leaf])
        # Each leaf's gradient is finished before those sums; otherwise XLA on CPU computes matrix products inside them.
        leaves = jax.lax.optimization_barrier(leaves) if len(leaves) > 1 else leaves
        return jax.tree.unflatten(self.tree, leaves)


def layout(model: Model, private: Sequence[str], dtype: np.dtype) -> Layout:
    """Return the layout of ``model``'s parameters in rows of ``dtype``: leaves in pytree order, private ones last.

    Raises:
        InputError: a parameter that is not a float, a private name that is not a top-level parameter, or no parameters left
            to share.
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
