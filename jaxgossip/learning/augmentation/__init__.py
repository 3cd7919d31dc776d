"""Random changes of samples in training: the usual ones of images, and any function (key, x) -> x of one sample."""

from jaxgossip.core.registry import Registry
from jaxgossip.learning.augmentation.images import crop as crop
from jaxgossip.learning.augmentation.images import cutout as cutout
from jaxgossip.learning.augmentation.images import flip as flip
from jaxgossip.learning.augmentation.images import noise as noise
from jaxgossip.learning.augmentation.images import shift as shift

AUGMENTATIONS = Registry("augmentation", [crop, flip, shift, cutout, noise])
"""Builders of augmentations that ``learning.augment`` can name."""
