"""Builders of the models that a configuration can name.

A builder takes the shape of a sample and the number of classes; its other parameters are options of the model.
"""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgossip.core.arguments import guarded, number
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree
from jaxgossip.learning.models.model import (
    Loss,
    Model,
    Scores,
    from_functions,
    hinge_loss,
    logistic_loss,
    squared_loss,
)


@guarded
def logistic(input_shape: tuple[int, ...], n_classes: int, *, regularization: float = 0.0) -> Model:
    """Logistic regression for two classes: s = ⟨w, x⟩ + b, loss log(1 + exp(−y s)).

    Args:
        input_shape: shape of a sample, which is flattened.
        n_classes: must be two.
        regularization: weight of ‖(w, b)‖²/2.

    Raises:
        InputError: a number of classes other than two, or a negative ``regularization``.
    """
    return _linear("logistic", input_shape, n_classes, logistic_loss, regularization)


@guarded
def pegasos(input_shape: tuple[int, ...], n_classes: int, *, regularization: float = 1e-4) -> Model:
    """Linear support vector machine for two classes: hinge loss; optimizer 'pegasos' makes it the Pegasos algorithm.

    The bias is the weight of a constant feature and is regularised like the rest. Shalev-Shwartz, Singer, Srebro and Cotter
    2011, "Pegasos: primal estimated sub-gradient solver for SVM".

    Args:
        input_shape: shape of a sample, which is flattened.
        n_classes: must be two.
        regularization: λ, weight of ‖(w, b)‖²/2.

    Raises:
        InputError: a number of classes other than two, or a negative ``regularization``.
    """
    return _linear("pegasos", input_shape, n_classes, hinge_loss, regularization)


def _linear(name: str, input_shape: Sequence[int], n_classes: int, loss: Loss, regularization: float) -> Model:
    if n_classes != 2:
        raise InputError(f"model '{name}' tells two classes apart, not {n_classes}", hint="use softmax, mlp or cnn")
    number(name, "regularization", regularization)
    size = _size(input_shape)

    def init(key: PRNGKey) -> PyTree:
        del key  # the task is convex, so any start will do
        # One vector with the bias last: a row is then the parameters themselves, with nothing to split or join.
        return {"w": jnp.zeros(size + 1)}

    def prepare(x: Array) -> Array:
        x = x.reshape(x.shape[0], -1)
        return jnp.concatenate([x, jnp.ones((x.shape[0], 1), x.dtype)], axis=1)

    def apply(params: PyTree, x: Array) -> Scores:
        # With one sample, a sum of products fuses with the gather of the sample, which a matrix product would not.
        return (x * params["w"]).sum(-1) if x.shape[0] == 1 else x @ params["w"]

    return from_functions(init, apply, loss, regularization, prepare)


@guarded
def adaline(input_shape: tuple[int, ...], n_classes: int, *, regularization: float = 0.0) -> Model:
    """Adaptive linear neuron for two classes: s = ⟨w, x⟩ + b, loss (s − y)²/2, y = ±1; an SGD step is the delta rule.

        w ← w + α (y − s) x

    Widrow and Hoff 1960, "Adaptive switching circuits". Step sizes below 2/‖(x, 1)‖² are stable.

    Args:
        input_shape: shape of a sample, which is flattened.
        n_classes: must be two.
        regularization: weight of ‖(w, b)‖²/2.

    Raises:
        InputError: a number of classes other than two, or a negative ``regularization``.
    """
    return _linear("adaline", input_shape, n_classes, squared_loss, regularization)


@guarded
def softmax(input_shape: tuple[int, ...], n_classes: int, *, regularization: float = 0.0) -> Model:
    """Softmax regression for any number of classes: scores W x + b, cross-entropy loss.

    Args:
        input_shape: shape of a sample, which is flattened.
        n_classes: number of classes.
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: ``regularization`` is negative.
    """
    number("softmax", "regularization", regularization)
    return mlp(input_shape, n_classes, hidden=(), regularization=regularization)


@guarded
def mlp(
    input_shape: tuple[int, ...], n_classes: int, *, hidden: tuple[int, ...] = (32,), regularization: float = 0.0
) -> Model:
    """Multilayer perceptron with rectified linear units and cross-entropy loss.

    Args:
        input_shape: shape of a sample, which is flattened.
        n_classes: number of classes.
        hidden: width of each hidden layer.
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: a width below one, or a negative ``regularization``.
    """
    if any(width < 1 for width in hidden):
        raise InputError(f"mlp: hidden layers need at least one unit each, not {list(hidden)}")
    number("mlp", "regularization", regularization)
    sizes = [_size(input_shape), *hidden, n_classes]

    def init(key: PRNGKey) -> PyTree:
        layers = {}
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
            layers |= _dense_layer(jax.random.fold_in(key, layer), layer, fan_in, fan_out, zero=not hidden)
        return layers

    def apply(params: PyTree, x: Array) -> Scores:
        x = x.reshape(x.shape[0], -1).T
        for layer in range(len(sizes) - 1):
            x = jax.nn.relu(x) if layer else x
            x = _dense(params, layer, x)
        return x.T

    return from_functions(init, apply, regularization=regularization)


def _dense_layer(key: PRNGKey, number: int, fan_in: int, fan_out: int, *, zero: bool = False) -> dict[str, Array]:
    """Return weights (out, in) as in He et al. 2015, or zeros where the task is convex, and zero biases."""
    shape = (fan_out, fan_in)
    weights = jnp.zeros(shape) if zero else jnp.sqrt(2 / fan_in) * jax.random.normal(key, shape)
    return {f"w{number}": weights, f"b{number}": jnp.zeros(fan_out)}


def _dense(params: PyTree, number: int, x: Float[Array, "in b"]) -> Float[Array, "out b"]:
    """Return W x + b of layer ``number``, with samples as columns.

    The gradient of W is then dy xᵀ, whose left factor has its rows summed over: batched over nodes, XLA on CPU has a fast
    product for that, and a slow one for dWᵀ = x dyᵀ with samples as rows. Also, many samples fill vector registers better
    than few classes.
    """
    return params[f"w{number}"] @ x + params[f"b{number}"][:, None]


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
