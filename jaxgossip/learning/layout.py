"""How a model's parameters stand in a row: shared columns first, private ones last."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxgossip.errors import InputError
from jaxgossip.learning.models import Model
from jaxgossip.registry import nearest
from jaxgossip.typing import PyTree, Row


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
    """Return the layout of ``model``'s parameters in rows of ``dtype``.

    Raises:
        InputError: a private name that is no top-level parameter, or nothing left to share.
    """
    example = _cast(model.init(jax.random.key(0)), dtype)
    if not private:
        row, unravel_all = ravel_pytree(example)
        return Layout(lambda params: ravel_pytree(_cast(params, dtype))[0], unravel_all, row.size, row.size)
    if not isinstance(example, Mapping):
        raise InputError("private names need a model whose parameters are a dict", hint="return a dict from init")
    for name in private:
        if name not in example:
            raise InputError(f"the model has no parameter '{name}' to keep private", hint=nearest(name, example))
    shared_row, unravel_shared = ravel_pytree({name: example[name] for name in example if name not in private})
    private_row, unravel_private = ravel_pytree({name: example[name] for name in private})
    if shared_row.size == 0:
        raise InputError("all parameters are private: nothing is left to exchange")

    def ravel(params: PyTree) -> Row:
        cast = _cast(params, dtype)
        shared = ravel_pytree({name: cast[name] for name in cast if name not in private})[0]
        return jnp.concatenate([shared, ravel_pytree({name: cast[name] for name in private})[0]])

    def unravel(row: Any) -> PyTree:
        return {**unravel_shared(row[: shared_row.size]), **unravel_private(row[shared_row.size :])}

    return Layout(ravel, unravel, shared_row.size + private_row.size, shared_row.size)


def _cast(params: PyTree, dtype: np.dtype) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(dtype), params)
