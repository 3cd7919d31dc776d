"""Layers of deep models, as functions of their parameters: samples first, then places, channels last."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree
from jaxgossip.learning.models.convolutions import CONVOLUTIONS, Images, plain_convolution

Layer = dict[str, Array]
NORM_EPSILON = 1e-5
"""Added to variances by which activations are divided, as in PyTorch."""
FEW_OUTPUTS = 16
"""Outputs of a dense layer that are few in comparison with its inputs, as those of the last layer of a classifier."""


def dense_layer(key: PRNGKey, fan_in: int, fan_out: int, *, gain: float = 2.0) -> Layer:
    """Return a kernel (in, out) of variance gain/in, which is 2 in He et al. 2015, and a bias of zeros."""
    kernel = math.sqrt(gain / fan_in) * jax.random.normal(key, (fan_in, fan_out))
    return {"kernel": kernel, "bias": jnp.zeros(fan_out)}


def dense(layer: Layer, x: Float[Array, "*b in"]) -> Float[Array, "*b out"]:
    """Return x times the kernel, plus the bias."""
    # As one product of two matrices: XLA on CPU has a fast one for these alone, and is slow at results (in, few), of which the
    # gradient of a kernel with few outputs is one; so this is computed transposed.
    kernel = layer["kernel"]
    kernel = materialize(kernel.T).T if kernel.shape[1] <= FEW_OUTPUTS else kernel
    flat = x.reshape(-1, x.shape[-1]) @ kernel
    return flat.reshape(*x.shape[:-1], -1) + layer["bias"]


def convolution_layer(key: PRNGKey, size: int, channels: int, features: int) -> Layer:
    """Return a kernel (size, size, channels, features) of variance 2/(size² channels), and a bias of zeros."""
    scale = math.sqrt(2 / (size * size * channels))
    return {"kernel": scale * jax.random.normal(key, (size, size, channels, features)), "bias": jnp.zeros(features)}


def convolution(layer: Layer, x: Images, stride: int = 1) -> Float[Array, "b i j f"]:
    """Return the convolution of images with zeros around them, ⌈h/stride⌉ × ⌈w/stride⌉ places, plus the bias."""
    return convolve(x, layer["kernel"], stride) + layer["bias"]


def convolve(x: Images, kernel: Float[Array, "k k c f"], stride: int = 1) -> Float[Array, "b i j f"]:
    """Return the convolution of images with zeros around them, (b, ⌈h/stride⌉, ⌈w/stride⌉, f)."""
    size = kernel.shape[0]
    around = ((size - 1) // 2, size // 2)
    return CONVOLUTIONS.get(jax.default_backend(), plain_convolution)(x, kernel, (stride, stride), (around, around))


def mean_pool(x: Images) -> Float[Array, "b i j c"]:
    """Return the mean of each 2×2 pixels; an odd last row or column is left out."""
    squares = _squares(x)
    total = squares[:, :, 0, :, 0] + squares[:, :, 0, :, 1] + squares[:, :, 1, :, 0] + squares[:, :, 1, :, 1]
    # Kept, as convolutions and their gradients transpose it: computed within, it would be read against its layout.
    return materialize(total / 4)


def max_pool(x: Images) -> Float[Array, "b i j c"]:
    """Return the largest of each 2×2 pixels; an odd last row or column is left out."""
    return _squares(x).max((2, 4))


def _squares(x: Images) -> Float[Array, "b i 2 j 2 c"]:
    b, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c)


def norm_layer(features: int) -> Layer:
    """Return a scale of ones and a bias of zeros."""
    return {"scale": jnp.ones(features), "bias": jnp.zeros(features)}


def group_norm(layer: Layer, x: Images, groups: int) -> Images:
    """Return images of mean 0 and variance 1 over each group of channels of a sample, times the scale, plus the bias.

    Wu and He 2018, "Group normalization".
    """
    b, _, _, c = x.shape

    def of_groups(means: Float[Array, "b c"]) -> Float[Array, "b 1 1 c"]:
        return jnp.repeat(means.reshape(b, groups, -1).mean(-1), c // groups, axis=1)[:, None, None]

    # Means over places come first: XLA on CPU is quick at those that keep the last axis.
    centred = x - of_groups(x.mean((1, 2)))
    variance = of_groups(jnp.square(centred).mean((1, 2)))
    return centred * (jax.lax.rsqrt(variance + NORM_EPSILON) * layer["scale"]) + layer["bias"]


def layer_norm(layer: Layer, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
    """Return activations of mean 0 and variance 1 over channels, times the scale, plus the bias (Ba et al. 2016)."""
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + NORM_EPSILON) * layer["scale"] + layer["bias"]


def statistics(features: int) -> Layer:
    """Return the running statistics of :func:`batch_norm` before training: means of 0 and variances of 1."""
    return {"mean": jnp.zeros(features), "var": jnp.ones(features)}


def batch_statistics(x: Images) -> Layer:
    """Return the mean and the variance of each channel over all pixels of all samples of a batch."""
    mean = x.mean((0, 1, 2))
    return {"mean": mean, "var": jnp.square(x - mean).mean((0, 1, 2))}


def batch_norm(layer: Layer, x: Images, stats: PyTree) -> Images:
    """Return (x − mean)/√variance by channel, times the scale, plus the bias (Ioffe and Szegedy 2015)."""
    normal = (x - stats["mean"]) * jax.lax.rsqrt(stats["var"] + NORM_EPSILON)
    return normal * layer["scale"] + layer["bias"]


def dropout(key: PRNGKey, x: Array, rate: float) -> Array:
    """Return x with a share ``rate`` of its entries set to 0, and the others divided by 1 − rate (Srivastava et al. 2014)."""
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0)


def embedding(table: Float[Array, "v c"], tokens: Int[Array, "*b"]) -> Float[Array, "*b c"]:
    """Return the row of each token; NaN for tokens that the table does not have, which must not pass for others."""
    return table.at[tokens].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)


def causal_attention(layer: PyTree, x: Float[Array, "b t c"], heads: int) -> Float[Array, "b t c"]:
    """Return scaled dot-product attention of each place to itself and those before it (Vaswani et al. 2017).

    Args:
        layer: "qkv", a dense layer to queries, keys and values, and "out", one from the heads' values.
        x: activations.
        heads: number of heads, which divides c.
    """
    b, t, c = x.shape
    queries, keys, values = jnp.moveaxis(dense(layer["qkv"], x).reshape(b, t, 3, heads, c // heads), 2, 0)
    attended = jax.nn.dot_product_attention(queries, keys, values, is_causal=True)
    return dense(layer["out"], attended.reshape(b, t, c))


def lstm(layer: Layer, x: Float[Array, "b t c"]) -> Float[Array, "b t f"]:
    """Return the outputs of a long short-term memory at every place, from a state of zeros.

        i, f, g, o = x W + h U + b,   c ← σ(f) c + σ(i) tanh(g),   h ← σ(o) tanh(c)

    Hochreiter and Schmidhuber 1997; forget gates as in Gers et al. 2000.

    Args:
        layer: "kernel" (c, 4 f), W; "recurrent" (f, 4 f), U; "bias" (4 f,).
        x: activations.
    """
    features = layer["recurrent"].shape[0]
    into = dense(layer, x).swapaxes(0, 1)
    zeros = jnp.zeros((x.shape[0], features), x.dtype)

    def step(state: tuple[Array, Array], entering: Array) -> tuple[tuple[Array, Array], Array]:
        h, c = state
        i, f, g, o = jnp.split(entering + h @ layer["recurrent"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return jax.lax.scan(step, (zeros, zeros), into)[1].swapaxes(0, 1)


def lstm_layer(key: PRNGKey, fan_in: int, features: int) -> Layer:
    """Return kernels of variance 1/in and 1/features, and biases of 0, of forget gates 1 (Jozefowicz et al. 2015)."""
    into, within = jax.random.split(key)
    return {
        **dense_layer(into, fan_in, 4 * features, gain=1.0),
        "recurrent": jax.random.normal(within, (features, 4 * features)) / math.sqrt(features),
        "bias": jnp.zeros(4 * features).at[features : 2 * features].set(1),
    }
