"""Casts: a node sends every column in a narrower floating format, or as it is."""

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
    """Rows as half-precision numbers: 11 bits of precision, magnitudes up to 65,504.

    Contraction with δ ≥ 1 − 2⁻²² for rows whose entries are zero or from 6.1·10⁻⁵ to 65,504 in magnitude; smaller ones
    lose precision, below 3·10⁻⁸ they are zero, and larger ones are cut to 65,504. Two bytes an entry.
    """
    return Compressor("float16", partial(_cast, dtype=jnp.float16), _two_bytes)


@guarded
def bfloat16() -> Compressor:
    """Rows as bfloat16 numbers: 8 bits of precision, magnitudes as of float32.

    Contraction with δ ≥ 1 − 2⁻¹⁶ for rows of normal numbers. Two bytes an entry.
    """
    return Compressor("bfloat16", partial(_cast, dtype=jnp.bfloat16), _two_bytes)


@guarded
def identity() -> Compressor:
    """Rows as they are: nothing is compressed, δ = 1."""

    def apply(x: Rows, key: PRNGKey, nodes: NodeInts) -> Rows:
        del key, nodes  # nothing is drawn
        return x

    def size(p: int, dtype: np.dtype) -> Size:
        return Size(p * dtype.itemsize, 0)

    return Compressor("none", apply, size)


def _cast(x: Rows, key: PRNGKey, nodes: NodeInts, dtype: DTypeLike) -> Rows:
    del key, nodes  # nothing is drawn
    largest = float(jnp.finfo(dtype).max)
    # Cut off, for an infinity would never leave the network; one that came in stays one, and NaN stays NaN.
    narrow = jnp.where(jnp.isfinite(x), jnp.clip(x, -largest, largest), x).astype(dtype)
    # The barrier: XLA may otherwise drop a cast there and back, being free to keep more precision than it was asked for.
    return jax.lax.optimization_barrier(narrow).astype(x.dtype)


def _two_bytes(p: int, dtype: np.dtype) -> Size:
    del dtype  # whatever it was
    return Size(2 * p, 0)
