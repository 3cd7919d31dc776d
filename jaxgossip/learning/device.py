"""What all problems ask of the device: a floating type it has, and whole numbers drawn at random."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Int

from jaxgossip.errors import DataError, InputError
from jaxgossip.topology import Order
from jaxgossip.typing import NodeInts, PRNGKey


def float_type(dtype: DTypeLike) -> np.dtype:
    """Return ``dtype`` as NumPy's, if models can be of it.

    Raises:
        InputError: not a floating type, or float64 while JAX has it switched off and would quietly take float32.
    """
    kind = np.dtype(dtype)
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


def check_order(order: Order | None, n_nodes: int) -> None:
    """Raise DataError unless ``order`` is None or one of ``n_nodes`` nodes."""
    if order is not None and order.nodes.size != n_nodes:
        raise DataError(f"an order of {order.nodes.size:,} nodes does not fit a problem of {n_nodes:,}")
