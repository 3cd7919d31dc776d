"""Owners of samples: writers, speakers, raters, whoever a sample came from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int32

from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.labels import class_labels

OwnerNumbers = Int32[np.ndarray, "m"]


@dataclass(frozen=True, eq=False)
class Owners:
    """Whose each sample is.

    Attributes:
        numbers: (m,) int32, the number of each sample's owner, 0..n-1 in sorted order of the names.
        names: name of each owner.
    """

    numbers: OwnerNumbers
    names: tuple[str, ...]


def owner_numbers(name: str, values: Any, n_samples: int) -> Owners:
    """Return the owners of samples.

    Args:
        name: name of the data in messages.
        values: (m,) integers or strings.
        n_samples: m.

    Raises:
        DataError: not one a sample, of a wrong type, or one that is missing.
    """
    words = class_labels(name, values, lambda row: f"{name}: the owner of row {row} (counted from 0)")
    if len(words) != n_samples:
        raise DataError(f"{name}: {n_samples:,} samples, but {len(words):,} owners", hint="one owner a sample")
    names, numbers = np.unique(words, return_inverse=True)
    return Owners(numbers.astype(np.int32), tuple(map(str, names)))
