"""Standardisation: of features once and for all, of images where they are used."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float32, UInt8

from jaxgossip.core.pytree import register_dataclass


@register_dataclass
@dataclass(frozen=True, eq=False)
class Scaling:
    """What stored samples are scaled with where they are used: (x − mean)/deviation.

    Attributes:
        mean: broadcasts against a sample.
        deviation: standard deviation, positive; broadcasts against a sample.
    """

    mean: Float32[np.ndarray | Array, "..."]
    deviation: Float32[np.ndarray | Array, "..."]

    def __call__(self, x: Array) -> Array:
        """Return samples, scaled, in the dtype of the mean."""
        return (x - self.mean) / self.deviation


def standardized(
    x: Float32[np.ndarray, "m ..."], x_test: Float32[np.ndarray, "t ..."]
) -> tuple[Float32[np.ndarray, "m ..."], Float32[np.ndarray, "t ..."]]:
    """Return features of mean 0 and standard deviation 1 over the training rows, and the test rows scaled alike."""
    mean = x.mean(0, dtype=np.float64)
    constant = x.max(0) == x.min(0)  # the computed deviation may be above 0 by rounding
    scale = np.where(constant, 0, 1 / np.where(constant, 1, x.std(0, dtype=np.float64)))
    train, test = (((rows - mean) * scale).astype(np.float32) for rows in (x, x_test))
    return train, test


def channel_scaling(images: UInt8[np.ndarray, "m h w"] | UInt8[np.ndarray, "m h w c"]) -> Scaling:
    """Return the scaling of images to mean 0 and standard deviation 1 in each colour channel, over all pixels."""
    channels = images.reshape(-1, images.shape[3] if images.ndim == 4 else 1)
    # From how often each value occurs: pixels as floats would take eight times the memory of the images.
    counts = np.stack([np.bincount(channel, minlength=256) for channel in channels.T]).astype(np.float64)
    values, total = np.arange(256.0), counts.sum(1)
    mean = counts @ values / total
    deviation = np.sqrt(np.maximum(counts @ values**2 / total - mean**2, 0))
    deviation = np.where((counts > 0).sum(1) == 1, 1, deviation)  # of one value only: it becomes 0
    shape = (-1,) if images.ndim == 4 else ()
    return Scaling(*(row.astype(np.float32).reshape(shape) for row in (mean, deviation)))
