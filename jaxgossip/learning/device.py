"""What all problems ask of the device: a floating type it has, rows of tables, and numbers drawn at random."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxgossip.core.errors import DataError, InputError
from jaxgossip.core.random import pair_words
from jaxgossip.core.typing import DrawNumbers, NodeInts, PRNGKey
from jaxgossip.topology import Order


def float_type(dtype: DTypeLike) -> np.dtype:
    """Return ``dtype`` as NumPy's, if models can be of it.

    Raises:
        InputError: not a floating type, or float64 while JAX has it switched off and would quietly take float32.
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


def integers_below(
    key: PRNGKey, bound: Int[Array, "n 1"] | int, shape: tuple[int, int], nodes: NodeInts | None = None
) -> Int[Array, "n b"]:
    """Return uniform integers 0..bound-1 of ``shape``, int32, a bound for each row or one for all.

    Each node draws by its number: where row i is not node i, ``nodes`` (n,) says which it is.

    One word of 32 bits each, modulo the bound: no integer is likelier than another by more than bound/2³², where
    ``jax.random.randint`` would draw two words.
    """
    words = jax.random.bits(key, shape, jnp.uint32)
    words = words if nodes is None else words.at[nodes].get(mode="promise_in_bounds")
    return (words % jnp.asarray(bound).astype(jnp.uint32)).astype(jnp.int32)


def integers_at(key: PRNGKey, bound: Int[Array, " b"] | int, numbers: DrawNumbers, columns: int) -> Int[Array, "b c"]:
    """Return uniform integers 0..bound-1 (b, columns), int32: row j is a function of (key, numbers[j], bound) alone.

    As :func:`integers_below`, a word each modulo the bound; a block of threefry gives two.
    """
    pairs = jnp.arange(-(-columns // 2), dtype=jnp.uint32)
    counters = jnp.broadcast_arrays(numbers.astype(jnp.uint32)[:, None], pairs)
    words = jnp.concatenate(pair_words(key, *counters), axis=1)[:, :columns]
    return (words % jnp.asarray(bound).astype(jnp.uint32)[..., None]).astype(jnp.int32)


def normal_at(key: PRNGKey, numbers: DrawNumbers, columns: int, dtype: DTypeLike) -> Float[Array, "b c"]:
    """Return standard normal numbers (b, columns): row j is a function of (key, numbers[j]) alone."""
    return jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), (columns,), dtype))(numbers)


def rows_at(table: Array, index: Array | slice | tuple[Array, ...]) -> Array:
    """Return rows of a table by their numbers, which lie within it: nothing is checked or clipped on the device."""
    return table.at[index].get(mode="promise_in_bounds")


def check_order(order: Order | None, n_nodes: int) -> None:
    """Raise DataError unless there are nodes, and ``order`` is None or one of all of them."""
    if n_nodes < 1:
        raise DataError(f"a problem of {n_nodes:,} nodes: there is nobody to learn it")
    if order is not None and order.nodes.size != n_nodes:
        raise DataError(f"an order of {order.nodes.size:,} nodes does not fit a problem of {n_nodes:,}")
