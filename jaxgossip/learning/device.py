"""What all problems ask of the device: a floating type it has, and whole numbers drawn at random."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Int

from jaxgossip.errors import InputError
from jaxgossip.typing import PRNGKey


def float_type(dtype: DTypeLike) -> np.dtype:
    """Return ``dtype`` as NumPy's, if models can be of it.

    Raises:
        InputError: not a floating type, or float64 while JAX has it switched off and would quietly take float32.
    """
    kind = np.dtype(dtype)
    if not jnp.issubdtype(kind, jnp.floating):
        raise InputError(f"models are of a floating type, not {kind}", hint="dtype is float32 or float64")
    if jax.dtypes.canonicalize_dtype(kind) != kind:
        raise InputError(f"{kind} is switched off in JAX", hint="build and run within jax.enable_x64(True)")
    return kind


def integers_below(key: PRNGKey, bound: Int[Array, "n 1"] | int, shape: tuple[int, int]) -> Int[Array, "n b"]:
    """Return uniform integers 0..bound-1 of ``shape``, int32, a bound for each row or one for all.

    One word of 32 bits each, modulo the bound: no integer is likelier than another by more than bound/2³², where
    ``jax.random.randint`` would draw two words.
    """
    words = jax.random.bits(key, shape, jnp.uint32)
    return (words % jnp.asarray(bound).astype(jnp.uint32)).astype(jnp.int32)
