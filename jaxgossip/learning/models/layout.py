"""How a model's parameters stand in a row: shared columns first, private ones last."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import nearest
from jaxgossip.core.typing import PyTree, Row
from jaxgossip.learning.models.model import Model


@dataclass(frozen=True)
class Layout:
    """A pair of inverse functions between a pytree of parameters and a row.

    Attributes:
        ravel: params -> (p,) row.
        unravel: (p,) row -> params.
        n_params: p.
        n_shared: leading columns that are exchanged.
    """

    ravel: Callable[[PyTree], Row]
    unravel: Callable[[Row], PyTree]
    n_params: int
    n_shared: int


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

    def ravel(params: PyTree) -> Row:
        leaves = jax.tree.leaves(params)
        return jnp.concatenate([jnp.ravel(leaves[leaf]).astype(dtype) for leaf in order])

    def unravel(row: Row) -> PyTree:
        # The gradient of slices is sums of padded pieces, which XLA fuses into one pass; that of jnp.split, which
        # ravel_pytree takes, is a concatenation, and costs another array of all models.
        leaves: list[PyTree] = [None] * len(order)
        for leaf, (start, end) in zip(order, itertools.pairwise(ends), strict=True):
            leaves[leaf] = jax.lax.slice(row, (start,), (end,)).reshape(shapes[leaf])
        # Each leaf's gradient is finished before those sums: XLA on CPU else computes products of matrices inside them.
        leaves = jax.lax.optimization_barrier(leaves) if len(leaves) > 1 else leaves
        return jax.tree.unflatten(tree, leaves)

    return Layout(ravel, unravel, ends[-1], n_shared)


def _private_names(example: PyTree, private: Sequence[str]) -> Sequence[str]:
    if private and not isinstance(example, Mapping):
        raise InputError("private names need a model whose parameters are a dict", hint="return a dict from init")
    for name in private:
        if name not in example:
            raise InputError(f"the model has no parameter '{name}' to keep private", hint=nearest(name, example))
    return private
