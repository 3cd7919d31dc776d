"""The model of own_flax_model.toml: a convolutional network as one writes it in flax.linen, for images of any size."""

from typing import Any, Literal

from flax import linen

import jaxgossip as jg


class Network(linen.Module):
    """Two convolutions with batch normalisation, dropout, and a linear layer."""

    n_classes: int
    channels: tuple[int, ...]
    dropout: float

    @linen.compact
    def __call__(self, x: Any, *, train: bool) -> Any:  # x: images (b, height, width), or (b, height, width, colours)
        # jaxgossip itself sets 'train': true in training, false in evaluation.
        x = x if x.ndim == 4 else x[..., None]
        for features in self.channels:
            x = linen.Conv(features, (3, 3), strides=2, use_bias=False)(x)
            x = linen.relu(linen.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = linen.Dropout(self.dropout, deterministic=not train)(x.reshape(x.shape[0], -1))
        return linen.Dense(self.n_classes)(x)


def model(
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    channels: tuple[int, ...] = (8, 16),
    dropout: float = 0.2,
    state: Literal["mixed", "private", "recalibrated"] = "mixed",
) -> jg.learning.Model:
    """Small convolutional network with batch normalisation and dropout.

    Args:
        input_shape: shape of an image, which the run supplies.
        n_classes: number of classes, which the run supplies.
        channels: number of feature maps of each convolution.
        dropout: fraction of features that are dropped in training.
        state: whether batch statistics are mixed like weights, private, or private and recalibrated before evaluation.
    """
    return jg.learning.models.from_linen(Network(n_classes, channels, dropout), input_shape, state=state)
