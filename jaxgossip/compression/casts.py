"""Casts: every column is sent in a narrower floating-point format, or unchanged."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxgossip.compression.compressor import Compressor, Size
from jaxgossip.core.arguments import guarded
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows


@guarded
def float16() -> Compressor:
    """Cast to half precision: 11 bits of precision, magnitudes up to 65,504.

    A contraction with δ ≥ 1 − 2⁻²² for rows whose entries are zero or from 6.1·10⁻⁵ to 65,504 in magnitude; smaller entries
    lose precision and become zero below 3·10⁻⁸, larger ones are clipped to 65,504. Two bytes per entry.
    """
    return Compressor("float16", partial(_cast, dtype=jnp.float16), _two_bytes)


@guarded
def bfloat16() -> Compressor:
    """Cast to bfloat16: 8 bits of precision, magnitudes as of float32.

    A contraction with δ ≥ 1 − 2⁻¹⁶ for rows of normal numbers. Two bytes per entry.
    """
    return Compressor("bfloat16", partial(_cast, dtype=jnp.bfloat16), _two_bytes)


@guarded
def identity() -> Compressor:
    """Identity: rows are sent uncompressed, δ = 1."""

    def apply(x: Rows, key: PRNGKey, nodes: NodeInts) -> Rows:
        del key, nodes  # nothing is drawn
        return x

    def size(p: int, dtype: np.dtype) -> Size:
        return Size(p * dtype.itemsize, 0)

    return Compressor("none", apply, size)


def _cast(x: Rows, key: PRNGKey, nodes: NodeInts, dtype: DTypeLike) -> Rows:
    del key, nodes  # nothing is drawn
    largest = float(jnp.finfo(dtype).max)
    # Clipped, since an infinity would never leave the network; infinities and NaN in the input are kept.
    narrow = jnp.where(jnp.isfinite(x), jnp.clip(x, -largest, largest), x).astype(dtype)
    # Without the barrier XLA may drop a cast there and back, being free to keep excess precision.
    return jax.lax.optimization_barrier(narrow).astype(x.dtype)


def _two_bytes(p: int, dtype: np.dtype) -> Size:
    del dtype  # the size does not depend on it
    return Size(2 * p, 0)
