"""Quantisers: every column is sent, in a few bits."""

import math

import jax.numpy as jnp
import numpy as np

from jaxgossip.compression.compressor import Compressor, Size, bytes_of_bits, check_count
from jaxgossip.core.arguments import guarded
from jaxgossip.core.random import hashed_uniform
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows


@guarded
def qsgd(*, levels: int = 16, rescale: bool = True) -> Compressor:
    """Stochastic rounding of each entry to one of s levels of the row's norm.

        Q(x)_c = ‖x‖ sign(x_c) ℓ_c / s / τ,   ℓ_c = ⌊s|x_c|/‖x‖ + u_c⌋,   u_c uniform on [0, 1)

    Alistarh, Grubic, Li, Tomioka and Vojnovic 2017, "QSGD: communication-efficient SGD via gradient quantization and
    encoding", equation 4 and lemma 3.1. With τ = 1 + min(p/s², √p/s) it is a contraction with δ = 1/τ, as in Koloskova,
    Stich and Jaggi 2019, section 3.1; without ``rescale`` τ = 1, and it is unbiased (to 2⁻²⁴, the resolution of u) with
    E‖Q(x) − x‖² ≤ min(p/s², √p/s)‖x‖². A message holds the norm and ⌈log₂(2s + 1)⌉ bits per entry.

    Args:
        levels: s, the number of levels above zero.
        rescale: whether to divide by τ.

    Raises:
        InputError: fewer than one level.
    """
    check_count("qsgd", "levels", levels)

    def apply(x: Rows, key: PRNGKey, nodes: NodeInts) -> Rows:
        p = x.shape[1]
        tau = 1 + min(p / levels**2, math.sqrt(p) / levels) if rescale else 1.0
        norm = jnp.linalg.norm(x, axis=1, keepdims=True)
        exact = jnp.abs(x) * (levels / jnp.where(norm > 0, norm, 1))
        lower = jnp.floor(exact)
        # Compared with the remainder rather than added: a sum near s would be rounded up to a level that does not exist.
        up = hashed_uniform(key, nodes, p).astype(x.dtype) < exact - lower
        level = jnp.minimum(lower + up.astype(x.dtype), levels)
        return jnp.sign(x) * level * (norm / (levels * tau))

    def size(p: int, dtype: np.dtype) -> Size:
        return Size(bytes_of_bits(p * (2 * levels).bit_length()), dtype.itemsize)

    return Compressor("qsgd", apply, size)


@guarded
def sign() -> Compressor:
    """Signs, scaled by the mean magnitude of the row.

        Q(x) = ‖x‖₁ sign(x)/p

    Karimireddy, Rebjock, Stich and Jaggi 2019, "Error feedback fixes SignSGD and other gradient compression schemes",
    section 4. A contraction with exactly δ = ‖x‖₁²/(p‖x‖₂²), between 1/p and 1; biased. A message holds the scale and one
    bit per entry, so zero is sent as +1.
    """

    def apply(x: Rows, key: PRNGKey, nodes: NodeInts) -> Rows:
        del key, nodes  # nothing is drawn
        scale = jnp.mean(jnp.abs(x), 1, keepdims=True)
        return jnp.where(x >= 0, scale, -scale)

    def size(p: int, dtype: np.dtype) -> Size:
        return Size(bytes_of_bits(p), dtype.itemsize)

    return Compressor("sign", apply, size)
