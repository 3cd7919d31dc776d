"""Augmentations of images (h, w) or (h, w, c) of floats: each is a function (key, x) -> x of one image.

Crop and flip: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks", in
the form of He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", section 4.2. Cutout: DeVries and
Taylor 2017, "Improved regularization of convolutional neural networks with cutout".

They are values, not closures: two problems with equal augmentations share their compiled programs.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgossip.core.arguments import guarded, number, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import hashed_uniform
from jaxgossip.core.typing import PRNGKey

Sample = Float[Array, "..."]
SMALLEST = 2.0**-24
"""Distance between the uniform numbers of which noise is made."""


@dataclass(frozen=True)
class Shift:
    """A shift by up to some pixels in each direction, filled with zeros.

    Attributes:
        name: name in messages.
        pixels: largest shift.
    """

    name: str
    pixels: int

    def __call__(self, key: PRNGKey, x: Sample) -> Sample:
        """Return the image, shifted."""
        _check_image(self.name, x, self.pixels + 1)
        most = self.pixels
        padded = jnp.pad(x, ((most, most), (most, most), *((0, 0),) * (x.ndim - 2)))
        row, column = jax.random.randint(key, (2,), 0, 2 * most + 1)
        # Under vmap a gather of whole images, which copies them as quickly as memory allows; selecting rows and columns
        # by products with one-hot matrices takes seven times as long on a CPU.
        return jax.lax.dynamic_slice(padded, (row, column, *(0,) * (x.ndim - 2)), x.shape)


@dataclass(frozen=True)
class Flip:
    """A reflection from left to right.

    Attributes:
        probability: of the reflection.
    """

    probability: float

    def __call__(self, key: PRNGKey, x: Sample) -> Sample:
        """Return the image or its reflection."""
        _check_image("flip", x, 1)
        return jnp.where(jax.random.bernoulli(key, self.probability), x[:, ::-1], x)


@dataclass(frozen=True)
class Cutout:
    """A square of the image's own mean.

    Attributes:
        size: its side.
    """

    size: int

    def __call__(self, key: PRNGKey, x: Sample) -> Sample:
        """Return the image with a square of its mean, colour by colour."""
        _check_image("cutout", x, self.size)
        centre = jax.random.randint(key, (2,), 0, jnp.asarray(x.shape[:2]))
        inside = [
            (jnp.arange(side) >= place) & (jnp.arange(side) < place + self.size)
            for side, place in zip(x.shape[:2], centre - self.size // 2, strict=True)
        ]
        square = (inside[0][:, None] & inside[1]).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))
        return jnp.where(square, x.mean((0, 1)), x)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on every number of a sample.

    Attributes:
        deviation: its standard deviation.
    """

    deviation: float

    def __call__(self, key: PRNGKey, x: Sample) -> Sample:
        """Return the sample with noise."""
        # Words of a hash: threefry would take seven times as long, longer than the gradients of a small model.
        uniform = hashed_uniform(key, jnp.zeros(1, jnp.uint32), x.size)[0]
        normal = jnp.sqrt(2.0) * jax.lax.erf_inv(2 * uniform - 1 + SMALLEST)
        return x + (self.deviation * normal.reshape(x.shape)).astype(x.dtype)


@guarded
def crop(*, padding: int = 4) -> Shift:
    """Pad images with zeros on all sides, and crop them back to their size at a random place.

    Args:
        padding: pixels of zeros on each side.

    Raises:
        InputError: ``padding`` is below one.
    """
    return Shift("crop", whole("crop", "padding", padding, 1))


@guarded
def flip(*, probability: float = 0.5) -> Flip:
    """Reflect images from left to right.

    Args:
        probability: share of the images that are reflected.

    Raises:
        InputError: ``probability`` is outside [0, 1].
    """
    return Flip(number("flip", "probability", probability, most=1))


@guarded
def shift(*, pixels: int = 2) -> Shift:
    """Shift images by a random number of pixels in each direction, filled with zeros: crop, by another name.

    Args:
        pixels: largest shift.

    Raises:
        InputError: ``pixels`` is below one.
    """
    return Shift("shift", whole("shift", "pixels", pixels, 1))


@guarded
def cutout(*, size: int = 8) -> Cutout:
    """Replace a square around a random pixel by the mean of the image in each colour; it may reach over the border.

    Args:
        size: side of the square in pixels.

    Raises:
        InputError: ``size`` is below one.
    """
    return Cutout(whole("cutout", "size", size, 1))


@guarded
def noise(*, deviation: float = 0.1) -> Noise:
    """Add Gaussian noise to every number of a sample, which may be any array of floats.

    Args:
        deviation: standard deviation, in the units of the samples after they are scaled.

    Raises:
        InputError: ``deviation`` is negative.
    """
    return Noise(number("noise", "deviation", deviation))


def _check_image(name: str, x: Sample, least: int) -> None:
    """Raise InputError unless x is an image whose sides are at least ``least``."""
    if x.ndim not in (2, 3):
        raise InputError(
            f"{name}: a sample of shape {x.shape} is no image",
            hint="images are (height, width) or (height, width, colours): reshape the samples, or leave the augmentation out",
        )
    if min(x.shape[:2]) < least:
        raise InputError(
            f"{name}: images of {x.shape[0]}×{x.shape[1]} pixels are too small",
            hint=f"it needs sides of at least {least}: choose a smaller number of pixels",
        )
