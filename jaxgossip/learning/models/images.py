"""Convolutional networks that a configuration can name."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.arguments import guarded, number, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree
from jaxgossip.learning.models.layers import (
    Images,
    Layer,
    batch_norm,
    batch_statistics,
    convolution,
    convolution_layer,
    convolve,
    dense,
    dense_layer,
    group_norm,
    max_pool,
    mean_pool,
    norm_layer,
    statistics,
)
from jaxgossip.learning.models.model import Model, Outputs, Scores, StateRule

STATISTICS = "batch_stats"
"""Name of the running statistics among a model's parameters."""
MOMENTUM = 0.9
"""Weight of earlier batches in running statistics."""


@guarded
def cnn(
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    channels: tuple[int, ...] = (8, 16),
    kernel: int = 3,
    regularization: float = 0.0,
) -> Model:
    """Small convolutional network: convolutions with rectified linear units and 2×2 mean pooling, then a linear layer.

    Args:
        input_shape: (height, width), (height, width, colours), or the length of a flattened square image.
        n_classes: number of classes.
        channels: number of feature maps of each convolution.
        kernel: side length of the kernels.
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: samples that are not images, no channels, images too small for this many poolings, a ``kernel``
            below one, or a negative ``regularization``.
    """
    whole("cnn", "kernel", kernel, 1)
    number("cnn", "regularization", regularization)
    height, width, colours = image_shape("cnn", input_shape)
    halvings = 2 ** len(channels)
    if not channels or min(height, width) < halvings:
        raise InputError(
            f"images of {height}×{width} cannot be halved {len(channels)} times", hint="give fewer channels"
        )
    features = (height // halvings) * (width // halvings) * channels[-1]

    def init(key: PRNGKey) -> PyTree:
        params = {}
        for layer, (before, after) in enumerate(itertools.pairwise((colours, *channels))):
            scale = jnp.sqrt(2 / (kernel * kernel * before))
            shape = (after, kernel, kernel, before)
            params[f"k{layer}"] = scale * jax.random.normal(jax.random.fold_in(key, layer), shape)
            params[f"c{layer}"] = jnp.zeros(after)
        last = dense_layer(jax.random.fold_in(key, len(channels)), features, n_classes)
        return params | {"w0": last["kernel"].reshape(features, n_classes).T, "b0": last["bias"]}

    def apply(params: PyTree, x: Array) -> Scores:
        x = x.reshape(x.shape[0], height, width, colours)
        for layer in range(len(channels)):
            kernels = params[f"k{layer}"].transpose(1, 2, 3, 0)
            x = mean_pool(jax.nn.relu(convolve(x, kernels) + params[f"c{layer}"]))
        # Features are in the order of channels, rows, columns: the fewer weights are brought into that of images.
        weights = params["w0"].reshape(n_classes, *(x.shape[axis] for axis in (3, 1, 2))).transpose(2, 3, 1, 0)
        return x.reshape(x.shape[0], -1) @ weights.reshape(-1, n_classes) + params["b0"]

    return Model(init, apply, regularization=regularization)


@guarded
def lenet(input_shape: tuple[int, ...], n_classes: int, *, regularization: float = 0.0) -> Model:
    """LeNet-5 with rectified linear units: two convolutions of 6 and 16 maps, 5×5, 2×2 max pooling, 120 and 84 units.

    LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition".

    Args:
        input_shape: (height, width), (height, width, colours), or the length of a flattened square image.
        n_classes: number of classes.
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: samples that are not images of at least 4×4, or a negative ``regularization``.
    """
    number("lenet", "regularization", regularization)
    height, width, colours = image_shape("lenet", input_shape, 4)
    sizes = (height // 4 * (width // 4) * 16, 120, 84, n_classes)

    def init(key: PRNGKey) -> PyTree:
        keys = jax.random.split(key, 5)
        params = {"conv0": convolution_layer(keys[0], 5, colours, 6), "conv1": convolution_layer(keys[1], 5, 6, 16)}
        pairs = enumerate(itertools.pairwise(sizes))
        return params | {f"dense{layer}": dense_layer(keys[2 + layer], *pair) for layer, pair in pairs}

    def apply(params: PyTree, x: Array) -> Scores:
        x = x.reshape(x.shape[0], height, width, colours)
        for layer in range(2):
            x = max_pool(jax.nn.relu(convolution(params[f"conv{layer}"], x)))
        x = x.reshape(x.shape[0], -1)
        for layer in range(3):
            x = dense(params[f"dense{layer}"], jax.nn.relu(x) if layer else x)
        return x

    return Model(init, apply, regularization=regularization)


@guarded
def gn_lenet(input_shape: tuple[int, ...], n_classes: int, *, groups: int = 2, regularization: float = 0.0) -> Model:
    """LeNet with group normalisation, the usual model for CIFAR-10 on networks: 89,834 parameters for 32×32×3 images.

    Three convolutions of 32, 32 and 64 maps, 5×5, each with group normalisation, rectified linear units and 2×2 max pooling,
    then a linear layer. Hsieh, Phanishayee, Mutlu and Gibbons 2020, "The non-IID data quagmire of decentralized machine
    learning".

    Args:
        input_shape: (height, width), (height, width, colours), or the length of a flattened square image.
        n_classes: number of classes.
        groups: number of groups of channels.
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: samples that are not images of at least 8×8, ``groups`` that do not divide 32, or a negative
            ``regularization``.
    """
    number("gn_lenet", "regularization", regularization)
    whole("gn_lenet", "groups", groups, 1)
    height, width, colours = image_shape("gn_lenet", input_shape, 8)
    channels = (colours, 32, 32, 64)
    _check_groups("gn_lenet", groups, channels[1:])
    features = height // 8 * (width // 8) * 64

    def init(key: PRNGKey) -> PyTree:
        keys = jax.random.split(key, 4)
        params: dict[str, Layer] = {}
        for layer, (before, after) in enumerate(itertools.pairwise(channels)):
            params[f"conv{layer}"] = convolution_layer(keys[layer], 5, before, after)
            params[f"norm{layer}"] = norm_layer(after)
        return params | {"dense": dense_layer(keys[3], features, n_classes)}

    def apply(params: PyTree, x: Array) -> Scores:
        x = x.reshape(x.shape[0], height, width, colours)
        for layer in range(3):
            x = group_norm(params[f"norm{layer}"], convolution(params[f"conv{layer}"], x), groups)
            x = max_pool(jax.nn.relu(x))
        return dense(params["dense"], x.reshape(x.shape[0], -1))

    return Model(init, apply, regularization=regularization)


@guarded
def resnet8(
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    norm: Literal["group", "batch"] = "group",
    groups: int = 8,
    state: StateRule = "mixed",
    remat: bool = False,
    regularization: float = 0.0,
) -> Model:
    """Residual network of 8 layers for small images: 16, 32 and 64 maps, one block each.

    He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", section 4.2.

    Args:
        input_shape: (height, width), (height, width, colours), or the length of a flattened square image.
        n_classes: number of classes.
        norm: "group" normalisation, or "batch" normalisation, whose running statistics have the momentum .9.
        groups: number of groups of channels of group normalisation.
        state: what becomes of running statistics, as :class:`.Model` says.
        remat: whether gradients compute each block anew and keep only what enters it: less memory for a third more work.
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: samples that are not images, ``groups`` that do not divide 16, or a negative ``regularization``.
    """
    return _resnet("resnet8", input_shape, n_classes, (16, 32, 64), 1, norm, groups, state, remat, regularization)


@guarded
def resnet18(
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    norm: Literal["group", "batch"] = "group",
    groups: int = 8,
    state: StateRule = "mixed",
    remat: bool = False,
    regularization: float = 0.0,
) -> Model:
    """Residual network of 18 layers for small images: 64, 128, 256 and 512 maps, two blocks each, and no pooling at first.

    He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", table 1, with the first layer of section 4.2.

    Args:
        input_shape: (height, width), (height, width, colours), or the length of a flattened square image.
        n_classes: number of classes.
        norm: "group" normalisation, or "batch" normalisation, whose running statistics have the momentum .9.
        groups: number of groups of channels of group normalisation.
        state: what becomes of running statistics, as :class:`.Model` says.
        remat: whether gradients compute each block anew and keep only what enters it: less memory for a third more work.
        regularization: weight of ‖params‖²/2.

    Raises:
        InputError: samples that are not images, ``groups`` that do not divide 64, or a negative ``regularization``.
    """
    return _resnet(
        "resnet18", input_shape, n_classes, (64, 128, 256, 512), 2, norm, groups, state, remat, regularization
    )


def _resnet(
    name: str,
    input_shape: Sequence[int],
    n_classes: int,
    widths: tuple[int, ...],
    blocks: int,
    norm: Literal["group", "batch"],
    groups: int,
    state: StateRule,
    remat: bool,
    regularization: float,
) -> Model:
    number(name, "regularization", regularization)
    whole(name, "groups", groups, 1)
    height, width, colours = image_shape(name, input_shape)
    _check_groups(name, groups, widths)
    strides = {f"stage{s}_block{b}": 2 if s and not b else 1 for s in range(len(widths)) for b in range(blocks)}
    before = dict(zip(strides, (widths[0], *(w for w in widths for _ in range(blocks))), strict=False))
    after = dict(zip(strides, (w for w in widths for _ in range(blocks)), strict=True))
    by_batch = norm == "batch"

    def init(key: PRNGKey) -> PyTree:
        keys = iter(jax.random.split(key, 2 + 3 * len(strides)))
        params: dict[str, PyTree] = {"stem": _unit(next(keys), 3, colours, widths[0])}
        for block in strides:
            own = {
                "first": _unit(next(keys), 3, before[block], after[block]),
                "second": _unit(next(keys), 3, after[block], after[block]),
            }
            if before[block] != after[block]:
                own["shortcut"] = _unit(next(keys), 1, before[block], after[block])
            params[block] = own
        params["dense"] = dense_layer(next(keys), widths[-1], n_classes, gain=1.0)
        if not by_batch:
            return params
        stats = {block: {part: statistics(after[block]) for part in params[block]} for block in strides}
        return params | {STATISTICS: {"stem": statistics(widths[0]), **stats}}

    def run(params: PyTree, x: Array, *, trains: bool) -> tuple[Outputs, Mapping[str, PyTree]]:
        running = params.get(STATISTICS, {})

        def unit(layer: PyTree, x: Images, old: PyTree, stride: int = 1) -> tuple[Array, PyTree]:
            x = convolve(x, layer["kernel"], stride)
            if not by_batch:
                return group_norm(layer, x, groups), {}
            if not trains:
                return batch_norm(layer, x, old), old
            found = batch_statistics(x)
            new = jax.tree.map(lambda old, found: MOMENTUM * old + (1 - MOMENTUM) * found, old, found)
            return batch_norm(layer, x, found), new

        def through(own: PyTree, x: Images, old: PyTree, stride: int) -> tuple[Images, PyTree]:
            new = {}
            y, new["first"] = unit(own["first"], x, old.get("first"), stride)
            y, new["second"] = unit(own["second"], jax.nn.relu(y), old.get("second"))
            if "shortcut" in own:
                x, new["shortcut"] = unit(own["shortcut"], x, old.get("shortcut"), stride)
            return jax.nn.relu(x + y), new

        through_block = jax.checkpoint(through, static_argnums=3) if remat else through
        new: dict[str, PyTree] = {}
        x = x.reshape(x.shape[0], height, width, colours)
        x, new["stem"] = unit(params["stem"], x, running.get("stem"))
        x = jax.nn.relu(x)
        for block, stride in strides.items():
            x, new[block] = through_block(params[block], x, running.get(block, {}), stride)
        scores = dense(params["dense"], x.mean((1, 2)))
        return scores, {STATISTICS: new} if by_batch else {}

    return Model(
        init,
        lambda params, x: run(params, x, trains=False)[0],
        regularization=regularization,
        forward=(lambda params, x, _: run(params, x, trains=True)) if by_batch else None,
        state=(STATISTICS,) if by_batch else (),
        state_rule=state,
    )


def _unit(key: PRNGKey, size: int, channels: int, features: int) -> Layer:
    """Return a convolution whose normalisation has the bias."""
    return {"kernel": convolution_layer(key, size, channels, features)["kernel"], **norm_layer(features)}


def _check_groups(name: str, groups: int, widths: Sequence[int]) -> None:
    if any(width % groups for width in widths):
        raise InputError(f"{name}: {groups} groups do not divide {widths[0]} channels", hint="groups = 2, 4 or 8")


def image_shape(model: str, shape: Sequence[int], least: int = 1) -> tuple[int, int, int]:
    """Return (height, width, colours) of samples of ``shape``.

    Args:
        model: name of the model, for messages.
        shape: shape of a sample.
        least: smallest height and width.

    Raises:
        InputError: samples that are not images, or too small.
    """
    side = math.isqrt(shape[0]) if len(shape) == 1 else 0
    if len(shape) not in (2, 3) and side * side != math.prod(shape):
        raise InputError(f"model '{model}' needs images, not samples of shape {list(shape)}", hint="use mlp")
    height, width, colours = (side, side, 1) if side else (*shape, 1)[:3]
    if min(height, width) < least:
        raise InputError(
            f"model '{model}' needs images of at least {least}×{least}, not {height}×{width}", hint="use cnn or mlp"
        )
    return height, width, colours
