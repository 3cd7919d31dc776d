"""Models of sequences of tokens that a configuration can name."""

import math
from typing import Literal

import jax
from jaxtyping import Array, Float

from jaxgossip.core.arguments import guarded, number, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree
from jaxgossip.learning.models.layers import (
    causal_attention,
    dense,
    dense_layer,
    dropout,
    embedding,
    layer_norm,
    lstm,
    lstm_layer,
    norm_layer,
)
from jaxgossip.learning.models.model import Model, Outputs

Predicts = Literal["every", "last"]
"""Whether scores are given at every place of a sequence, or for the whole of it, at its last place."""


@guarded
def lstm_char(
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    n_tokens: int = 0,
    embedding_size: int = 8,
    width: int = 256,
    layers: int = 2,
    predicts: Predicts = "every",
    regularization: float = 0.0,
) -> Model:
    """Character model of federated learning: embeddings, long short-term memories one on another, and a linear layer.

    McMahan, Moore, Ramage, Hampson and Agüera y Arcas 2017, "Communication-efficient learning of deep networks from
    decentralized data"; widths are those for Shakespeare there and in LEAF.

    Args:
        input_shape: (length,) of a sequence.
        n_classes: number of classes, or of tokens to predict.
        n_tokens: number of different tokens in samples; 0 is ``n_classes``, as where the next token is predicted.
        embedding_size: length of an embedding.
        width: units of each memory.
        layers: number of memories.
        predicts: "every" gives scores (length, classes) of a sample, "last" (classes,).
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: samples that are no sequences, a size below one, or a negative ``regularization``.
    """
    name = "lstm_char"
    tokens = _tokens(name, input_shape, n_classes, n_tokens)
    for option, value in (("embedding_size", embedding_size), ("width", width), ("layers", layers)):
        whole(name, option, value, 1)
    number(name, "regularization", regularization)

    def init(key: PRNGKey) -> PyTree:
        keys = jax.random.split(key, layers + 2)
        params: dict[str, PyTree] = {"embedding": jax.random.normal(keys[0], (tokens, embedding_size))}
        for layer in range(layers):
            params[f"lstm{layer}"] = lstm_layer(keys[1 + layer], width if layer else embedding_size, width)
        return params | {"dense": dense_layer(keys[-1], width, n_classes, gain=1.0)}

    def apply(params: PyTree, x: Array) -> Outputs:
        x = embedding(params["embedding"], x)
        for layer in range(layers):
            x = lstm(params[f"lstm{layer}"], x)
        return dense(params["dense"], x if predicts == "every" else x[:, -1])

    return Model(init, apply, regularization=regularization)


@guarded
def gpt(
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    n_tokens: int = 0,
    layers: int = 2,
    width: int = 64,
    heads: int = 4,
    dropout_rate: float = 0.0,
    remat: bool = False,
    predicts: Predicts = "every",
    regularization: float = 0.0,
) -> Model:
    """Small causal transformer: embeddings of tokens and places, blocks of attention and of a perceptron, and a linear layer.

        x ← x + attention(norm(x)),   x ← x + W₂ gelu(W₁ norm(x))

    Radford, Wu, Child, Luan, Amodei and Sutskever 2019, "Language models are unsupervised multitask learners" (GPT-2).

    Args:
        input_shape: (length,) of a sequence.
        n_classes: number of classes, or of tokens to predict.
        n_tokens: number of different tokens in samples; 0 is ``n_classes``, as where the next token is predicted.
        layers: number of blocks.
        width: length of an embedding; the perceptrons have four times as many units.
        heads: heads of attention, which divide ``width``.
        dropout_rate: share of the outputs of each block's two parts that is left out in training.
        remat: whether gradients compute each block anew and keep only what enters it: less memory for a third more work.
        predicts: "every" gives scores (length, classes) of a sample, "last" (classes,).
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: samples that are no sequences, a size below one, heads that do not divide the width, a ``dropout_rate``
            outside [0, 1), or a negative ``regularization``.
    """
    tokens = _tokens("gpt", input_shape, n_classes, n_tokens)
    for option, value in (("layers", layers), ("width", width), ("heads", heads)):
        whole("gpt", option, value, 1)
    if width % heads:
        raise InputError(f"gpt: {heads} heads do not divide a width of {width}")
    if number("gpt", "dropout_rate", dropout_rate) >= 1:
        raise InputError(f"gpt: dropout_rate must be below 1, not {dropout_rate}")
    number("gpt", "regularization", regularization)
    length, deviation = input_shape[0], 0.02  # as in GPT-2
    into_sum = deviation / math.sqrt(2 * layers)

    def matrix(key: PRNGKey, fan_in: int, fan_out: int, deviation: float = deviation) -> dict[str, Array]:
        return dense_layer(key, fan_in, fan_out, gain=fan_in * deviation**2)

    def init(key: PRNGKey) -> PyTree:
        keys = iter(jax.random.split(key, 3 + 4 * layers))
        params: dict[str, PyTree] = {
            "embedding": deviation * jax.random.normal(next(keys), (tokens, width)),
            "places": deviation * jax.random.normal(next(keys), (length, width)),
        }
        for layer in range(layers):
            params[f"block{layer}"] = {
                "norm0": norm_layer(width),
                "attention": {
                    "qkv": matrix(next(keys), width, 3 * width),
                    "out": matrix(next(keys), width, width, into_sum),
                },
                "norm1": norm_layer(width),
                "wide": matrix(next(keys), width, 4 * width),
                "narrow": matrix(next(keys), 4 * width, width, into_sum),
            }
        return params | {"norm": norm_layer(width), "dense": matrix(next(keys), width, n_classes)}

    def through(block: PyTree, x: Float[Array, "b t c"], keys: PRNGKey | None) -> Float[Array, "b t c"]:
        def thinned(x: Float[Array, "b t c"], part: int) -> Float[Array, "b t c"]:
            return x if keys is None else dropout(keys[part], x, dropout_rate)

        x = x + thinned(causal_attention(block["attention"], layer_norm(block["norm0"], x), heads), 0)
        wide = jax.nn.gelu(dense(block["wide"], layer_norm(block["norm1"], x)))
        return x + thinned(dense(block["narrow"], wide), 1)

    through_block = jax.checkpoint(through) if remat else through

    def run(params: PyTree, x: Array, key: PRNGKey | None) -> Outputs:
        keys = [None] * layers if key is None else jax.random.split(key, (layers, 2))
        x = embedding(params["embedding"], x) + params["places"]
        for layer in range(layers):
            x = through_block(params[f"block{layer}"], x, keys[layer])
        x = layer_norm(params["norm"], x)
        return dense(params["dense"], x if predicts == "every" else x[:, -1])

    return Model(
        init,
        lambda params, x: run(params, x, None),
        regularization=regularization,
        forward=(lambda params, x, key: (run(params, x, key), {})) if dropout_rate else None,
    )


@guarded
def embedding_bag(
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    n_tokens: int = 0,
    width: int = 64,
    regularization: float = 0.0,
) -> Model:
    """Classifier of texts by the mean of their tokens' embeddings, and a linear layer.

    Joulin, Grave, Bojanowski and Mikolov 2017, "Bag of tricks for efficient text classification".

    Args:
        input_shape: (length,) of a sequence.
        n_classes: number of classes.
        n_tokens: number of different tokens in samples, at least 1.
        width: length of an embedding.
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: samples that are no sequences, a size below one, or a negative ``regularization``.
    """
    whole("embedding_bag", "width", width, 1)
    number("embedding_bag", "regularization", regularization)
    whole("embedding_bag", "n_tokens", n_tokens, 1)
    tokens = _tokens("embedding_bag", input_shape, n_classes, n_tokens)

    def init(key: PRNGKey) -> PyTree:
        words, last = jax.random.split(key)
        return {
            "embedding": jax.random.normal(words, (tokens, width)),
            "dense": dense_layer(last, width, n_classes, gain=1.0),
        }

    def apply(params: PyTree, x: Array) -> Outputs:
        return dense(params["dense"], embedding(params["embedding"], x).mean(1))

    return Model(init, apply, regularization=regularization)


def _tokens(name: str, input_shape: tuple[int, ...], n_classes: int, n_tokens: int) -> int:
    """Return the number of tokens that samples are made of."""
    whole(name, "n_tokens", n_tokens, 0)
    if len(input_shape) != 1:
        raise InputError(f"model '{name}' needs sequences of tokens, not samples of shape {list(input_shape)}")
    return n_tokens or n_classes
