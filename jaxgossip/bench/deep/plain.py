"""Deep networks as a careful user would write them without jaxgossip, trained by ``vmap`` of ``grad`` over nodes.

They take the parameters of our models of the same names, so that both do the same work; a test compares their gradients.
Convolutions are XLA's own, pooling is by windows, attention and normalisation are those of ``jax.nn``.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxgossip.core.typing import PyTree

Apply = Callable[[PyTree, Array], Array]
Images = Float[Array, "b h w c"]
Scores = Float[Array, "b *t k"]
WINDOW = (1, 2, 2, 1)
HEADS = 4
"""Heads of attention of :func:`gpt`, which its parameters do not tell."""


def cnn(params: PyTree, x: Images) -> Scores:
    """Return the scores of our ``cnn``."""
    for layer in range(sum(name.startswith("k") for name in params)):
        x = _convolved(x, params[f"k{layer}"].transpose(1, 2, 3, 0)) + params[f"c{layer}"]
        x = jax.lax.reduce_window(jax.nn.relu(x), 0.0, jax.lax.add, WINDOW, WINDOW, "VALID") / 4
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1) @ params["w0"].T + params["b0"]


def gn_lenet(params: PyTree, x: Images) -> Scores:
    """Return the scores of our ``gn_lenet``, with two groups."""
    for layer in range(3):
        x = _convolved(x, params[f"conv{layer}"]["kernel"]) + params[f"conv{layer}"]["bias"]
        b, h, w, c = x.shape
        normal = jax.nn.standardize(x.reshape(b, h * w, 2, c // 2), axis=(1, 3), epsilon=1e-5).reshape(x.shape)
        x = jax.nn.relu(normal * params[f"norm{layer}"]["scale"] + params[f"norm{layer}"]["bias"])
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, WINDOW, WINDOW, "VALID")
    return _dense(params["dense"], x.reshape(x.shape[0], -1))


def gpt(params: PyTree, x: Int[Array, "b t"]) -> Scores:
    """Return the scores of our ``gpt``, with four heads."""
    x = params["embedding"][x] + params["places"]
    b, t, c = x.shape
    for layer in range(sum(name.startswith("block") for name in params)):
        block = params[f"block{layer}"]
        qkv = _dense(block["attention"]["qkv"], _normal(block["norm0"], x)).reshape(b, t, 3, HEADS, c // HEADS)
        attended = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], is_causal=True)
        x = x + _dense(block["attention"]["out"], attended.reshape(b, t, c))
        x = x + _dense(block["narrow"], jax.nn.gelu(_dense(block["wide"], _normal(block["norm1"], x))))
    return _dense(params["dense"], _normal(params["norm"], x))


def mlp(params: PyTree, x: Float[Array, "b d"]) -> Scores:
    """Return the scores of our ``mlp``."""
    for layer in range(len(params) // 2):
        x = (jax.nn.relu(x) if layer else x) @ params[f"w{layer}"].T + params[f"b{layer}"]
    return x


class PlainRounds:
    """Rounds of a step at every node, and of mixing, each a call of one compiled program.

    Args:
        apply: (params, x (b, …)) -> scores (b, …, classes).
        optimizer: any optax transformation.
        params: the initial models, whose every leaf has the node axis first.
        x: (n, b, …), the samples of every node.
        y: (n, b, …), their classes or tokens.
        mix: (models) -> models, after every step; None mixes nothing.

    Attributes:
        params: the models after the rounds run so far.
    """

    def __init__(
        self,
        apply: Apply,
        optimizer: optax.GradientTransformation,
        params: PyTree,
        x: Array,
        y: Array,
        mix: Callable[[PyTree], PyTree] | None = None,
    ) -> None:
        self._apply, self._optimizer, self._mix, self._x, self._y = apply, optimizer, mix, x, y
        self.params = jax.tree.map(jnp.array, params)  # copies, for they are donated
        self._states = jax.vmap(optimizer.init)(self.params)

    def __call__(self) -> None:
        """Run one round, and return when it is done; compiles it before the first."""
        after = self.compiled(self.params, self._states, self._x, self._y)
        self.params, self._states = jax.block_until_ready(after)

    @cached_property
    def compiled(self) -> Any:
        """The compiled program of a round."""
        with jax.default_matmul_precision("highest"):  # as the engine compiles its programs
            program = jax.jit(self._round, donate_argnums=(0, 1))
            return program.lower(self.params, self._states, self._x, self._y).compile()

    def _round(self, params: PyTree, states: PyTree, x: Array, y: Array) -> tuple[PyTree, PyTree]:
        def node(params: PyTree, state: PyTree, x: Array, y: Array) -> tuple[PyTree, PyTree]:
            updates, after = self._optimizer.update(jax.grad(loss)(params, x, y), state, params)
            return optax.apply_updates(params, updates), after

        def loss(params: PyTree, x: Array, y: Array) -> Array:
            return mean_loss(self._apply, params, x, y)

        params, states = jax.vmap(node)(params, states, x, y)
        return params if self._mix is None else self._mix(params), states


def mean_loss(apply: Apply, params: PyTree, x: Array, y: Array) -> Float[Array, ""]:
    """Return the mean cross entropy of one node's samples."""
    return optax.softmax_cross_entropy_with_integer_labels(apply(params, x), y).mean()


def _convolved(x: Images, kernel: Float[Array, "p q c f"]) -> Float[Array, "b h w f"]:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _dense(layer: PyTree, x: Float[Array, "*b c"]) -> Float[Array, "*b f"]:
    return x @ layer["kernel"] + layer["bias"]


def _normal(layer: PyTree, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
    return jax.nn.standardize(x, axis=-1, epsilon=1e-5) * layer["scale"] + layer["bias"]
