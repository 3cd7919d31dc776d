"""The layout of a model's parameters in a row: shared columns first, private ones last."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jaxgossip.core.errors import InputError
from jaxgossip.core.random import purpose_key
from jaxgossip.core.registry import nearest
from jaxgossip.core.typing import PRNGKey, PyTree, Row, Rows, accumulator
from jaxgossip.learning.models.model import Model

FEW_LEAVES = 4
"""Number of leaves up to which a row is split into slices.

Their gradient is a sum of padded pieces, which XLA fuses into one pass without another array as large as all models; but every
number is compared with the bounds of every leaf. That of a split is a concatenation.
"""


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
        state: (start, end) of the columns that no gradient moves; empty if there are none.
        state_names: the top-level entries that they hold.
    """

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    ends: tuple[int, ...]
    dtype: np.dtype
    n_shared: int
    state: tuple[tuple[int, int], ...] = ()
    state_names: tuple[str, ...] = ()

    @property
    def is_state(self) -> Bool[np.ndarray, " p"]:
        """(p,) bool: the columns that no gradient moves."""
        mask = np.zeros(self.n_params, bool)
        for start, end in self.state:
            mask[start:end] = True
        return mask

    def trained(self, params: PyTree) -> PyTree:
        """Return what gradients move: all of it, or the only entry beside the state, or the entries beside it."""
        if not self.state_names:
            return params
        rest = {name: entry for name, entry in params.items() if name not in self.state_names}
        return next(iter(rest.values())) if len(rest) == 1 else rest

    def with_trained(self, trained: PyTree, params: PyTree) -> PyTree:
        """Return ``params`` with what gradients move replaced by ``trained``: the inverse of :meth:`trained`."""
        if not self.state_names:
            return trained
        names = [name for name in params if name not in self.state_names]
        return {**params, **({names[0]: trained} if len(names) == 1 else trained)}

    @property
    def n_params(self) -> int:
        """p, the number of columns of a row."""
        return self.ends[-1]

    def ravel(self, params: PyTree) -> Row:
        """Return parameters as a row (p,) of the layout's dtype."""
        return self.join(params, self.dtype)

    def join(self, params: PyTree, dtype: np.dtype) -> Row:
        """Return parameters as a row (p,) of ``dtype``."""
        leaves = jax.tree.leaves(params)
        return jnp.concatenate([jnp.ravel(leaves[leaf]).astype(dtype) for leaf in self.order])

    def split(self, row: Row) -> PyTree:
        """Return the parameters of a row (p,), in the row's own dtype."""
        leaves: list[PyTree] = [None] * len(self.order)
        for leaf, part in zip(self.order, self._parts(row), strict=True):
            leaves[leaf] = part.reshape(self.shapes[leaf])
        return jax.tree.unflatten(self.tree, leaves)

    def _parts(self, row: Row) -> Sequence[Array]:
        bounds = list(itertools.pairwise(self.ends))
        if len(bounds) > FEW_LEAVES:
            return jax.lax.split(row, [end - start for start, end in bounds])
        return [jax.lax.slice(row, (start,), (end,)) for start, end in bounds]

    def unravel(self, row: Row) -> PyTree:
        """Return the parameters of a row (p,) as :meth:`split` does, for losses, whose gradients are taken."""
        # Each leaf's gradient is finished before they are summed; otherwise XLA on CPU computes matrix products inside of
        # the sum.
        params = self.split(row)
        return jax.lax.optimization_barrier(params) if len(self.order) > 1 else params


def layout(model: Model, private: Sequence[str], dtype: np.dtype) -> Layout:
    """Return the layout of ``model``'s parameters in rows of ``dtype``: leaves in pytree order, private ones last.

    Raises:
        InputError: a parameter that is not a float, a private name that is not a top-level parameter, or no parameters left
            to share.
    """
    # Of shapes alone: to draw a model, XLA would compile each of its operations by itself.
    example = jax.eval_shape(lambda key: jax.tree.map(jnp.asarray, model.init(key)), jax.random.key(0))
    for name in model.state:
        if not isinstance(example, Mapping) or name not in example:
            raise InputError(f"the model has no state '{name}'", hint="return a dict with it from init")
    names = _private_names(example, (*private, *(model.state if model.state_rule != "mixed" else ())))
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

    of_state = [bool(model.state) and by_path[leaf][0][0].key in model.state for leaf in order]
    state = tuple(bounds for bounds, kept in zip(itertools.pairwise(ends), of_state, strict=True) if kept)
    return Layout(tree, tuple(shapes), tuple(order), tuple(ends), np.dtype(dtype), n_shared, state, tuple(model.state))


def _private_names(example: PyTree, private: Sequence[str]) -> Sequence[str]:
    if private and not isinstance(example, Mapping):
        raise InputError("private names need a model whose parameters are a dict", hint="return a dict from init")
    for name in private:
        if name not in example:
            raise InputError(f"the model has no parameter '{name}' to keep private", hint=nearest(name, example))
    return private


def starts(model: Model, layout: Layout, gain: float, key: PRNGKey) -> Callable[[PRNGKey], Row]:
    """Return key -> (p,), a start that is drawn, with what is drawn of its exchanged columns times ``gain``.

    Args:
        model: draws the starts.
        layout: that of its rows.
        gain: the factor; 1 leaves starts as they are drawn.
        key: draws two models whose differences show what is drawn; other parameters start at a constant.
    """
    if gain == 1:
        return lambda key: layout.ravel(model.init(key))
    kind = accumulator(layout.dtype)

    def factor(one: Array, other: Array) -> Array:
        one, other = jnp.asarray(one), jnp.asarray(other)
        return jnp.full(one.shape, jnp.where((one == other).all(), 1, gain), kind)

    drawn = jax.tree.map(factor, *map(model.init, jax.random.split(purpose_key(key, "what is drawn"))))
    factors = jnp.where(jnp.arange(layout.n_params) < layout.n_shared, layout.join(drawn, kind), 1)
    return lambda key: (factors * layout.join(model.init(key), kind)).astype(layout.dtype)


def aligned(align: Callable[[PyTree, PyTree], PyTree], layout: Layout, kind: np.dtype, own: Rows, heard: Rows) -> Rows:
    """Return the received models (b, p), with the parts of each in the order of the receiver's own (b, p).

    Args:
        align: (own parameters, those received) -> those received, reordered.
        layout: that of the models.
        kind: dtype in which they are compared.
        own: models of the receivers.
        heard: received models.
    """

    def one(own: Row, heard: Row) -> Row:
        return layout.ravel(align(*(layout.unravel(row.astype(kind)) for row in (own, heard))))

    return jax.vmap(one)(own, heard)
