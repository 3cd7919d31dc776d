"""Helpers that all problems share: dtype checks, row look-ups and random draws on the device."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxgossip.core.errors import DataError, InputError
from jaxgossip.core.random import NodeDraws, pair_words
from jaxgossip.core.typing import DrawNumbers, PRNGKey
from jaxgossip.topology import Order


def float_type(dtype: DTypeLike) -> np.dtype:
    """Return ``dtype`` as a NumPy dtype, if models may have it.

    Raises:
        InputError: not a floating type, or float64 while JAX has it disabled and would silently use float32.
    """
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise InputError(f"{dtype!r} is no dtype", hint="dtype is bfloat16, float16, float32 or float64") from error
    if not jnp.issubdtype(kind, jnp.floating):
        raise InputError(
            f"models are of a floating type, not {kind}", hint="dtype is bfloat16, float16, float32 or float64"
        )
    if jax.dtypes.canonicalize_dtype(kind) != kind:
        raise InputError(f"{kind} is switched off in JAX", hint="build and run within jax.enable_x64(True)")
    return kind


def integers_below(key: PRNGKey, bound: Int[Array, "n 1"] | int, draws: NodeDraws, columns: int) -> Int[Array, "n b"]:
    """Return (n, columns) int32, uniform on 0..bound-1, with one bound per row or one for all, drawn by node.

    Each integer is one 32-bit word modulo the bound, so no value is more likely than another by more than bound/2³²;
    ``jax.random.randint`` would draw two words.
    """
    words = draws.bits(key, (columns,))
    return (words % jnp.asarray(bound).astype(jnp.uint32)).astype(jnp.int32)


def integers_at(key: PRNGKey, bound: Int[Array, " b"] | int, numbers: DrawNumbers, columns: int) -> Int[Array, "b c"]:
    """Return (b, columns) int32, uniform on 0..bound-1, with one bound per row or one for all.

    Row j depends only on the key, numbers[j] (the number of its draw) and its bound. As in :func:`integers_below`, each
    integer is one word modulo the bound; a block of threefry yields two words.
    """
    pairs = jnp.arange(-(-columns // 2), dtype=jnp.uint32)
    counters = jnp.broadcast_arrays(numbers.astype(jnp.uint32)[:, None], pairs)
    words = jnp.concatenate(pair_words(key, *counters), axis=1)[:, :columns]
    return (words % jnp.asarray(bound).astype(jnp.uint32)[..., None]).astype(jnp.int32)


def normal_at(key: PRNGKey, numbers: DrawNumbers, columns: int, dtype: DTypeLike) -> Float[Array, "b c"]:
    """Return (b, columns) standard normal numbers of ``dtype``: row j depends only on the key and numbers[j]."""
    return jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), (columns,), dtype))(numbers)


def check_order(order: Order | None, n_nodes: int) -> None:
    """Raise DataError unless there is at least one node and ``order``, if any, covers all of them."""
    if n_nodes < 1:
        raise DataError(f"a problem of {n_nodes:,} nodes: there is nobody to learn it")
    if order is not None and order.nodes.size != n_nodes:
        raise DataError(f"an order of {order.nodes.size:,} nodes does not fit a problem of {n_nodes:,}")
