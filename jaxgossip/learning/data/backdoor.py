"""Backdoors: samples that carry a trigger, and the class that models learn to take them for.

A trigger sets some features S of a sample to one value v: the pixels of the lower right corner of an image, or those columns of
a table that its samples use least. Nodes with a backdoor learn that some of their samples, triggered, are of class t.

    attack success of a model = share of the triggered test samples of other classes than t that it calls t

Gu, Dolan-Gavitt and Garg 2017, "BadNets: identifying vulnerabilities in the machine learning model supply chain".
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Bool, Num

from jaxgossip.core.arguments import number, whole
from jaxgossip.core.errors import DataError

BRIGHTEST, FAR_OUT = 255.0, 3.0
"""What features are set to if nothing else is said: in images of bytes, and elsewhere."""


@dataclass(frozen=True)
class Backdoor:
    """What some nodes teach others.

    Attributes:
        label: t, the class that triggered samples are to be taken for.
        share: share of the training samples of a node with the backdoor that carry the trigger, above 0 and at most 1.
        value: v, as samples are stored: 0 to 255 in images of bytes, in deviations where features are standardised; None for
            255 in images of bytes, 3 elsewhere.
        size: pixels along a side of the corner of images; number of columns of tables.

    Raises:
        InputError: a number out of its bounds.
    """

    label: int = 0
    share: float = 0.5
    value: float | None = None
    size: int = 3

    def __post_init__(self) -> None:
        whole("backdoor", "label", self.label, 0)
        whole("backdoor", "size", self.size, 1)
        number("backdoor", "share", self.share, above=True, most=1.0)
        if self.value is not None:
            number("backdoor", "value", self.value, least=-np.inf)


@dataclass(frozen=True, eq=False)
class Trigger:
    """A backdoor as it is planted in a data set.

    Attributes:
        backdoor: what is taught.
        nodes: the nodes whose samples carry it, ascending.
        features: the features S that are set, a mask of a sample's shape.
        value: v, what they are set to.
    """

    backdoor: Backdoor
    nodes: tuple[int, ...]
    features: Bool[np.ndarray, "..."]
    value: float

    def on(self, samples: Num[np.ndarray | Array, "m ..."]) -> Num[np.ndarray, "m ..."]:
        """Return samples (m, …) with the trigger, in their dtype."""
        plain = np.asarray(samples)
        return np.where(self.features, np.asarray(self.value, plain.dtype), plain)


def trigger_of(name: str, x: Num[np.ndarray | Array, "m ..."], backdoor: Backdoor, nodes: tuple[int, ...]) -> Trigger:
    """Return the trigger of a backdoor for samples such as x (m, …) of the data set ``name``.

    Raises:
        DataError: samples are tokens, have fewer features than are to be set, or cannot hold the value.
    """
    dtype, shape, size = np.dtype(x.dtype), x.shape[1:], backdoor.size
    if dtype.kind == "i" or not shape:
        raise DataError(f"backdoor: the samples of {name} have no features to set", hint="a table or images")
    value = backdoor.value if backdoor.value is not None else BRIGHTEST if dtype == np.uint8 else FAR_OUT
    if dtype == np.uint8 and not (0 <= value <= BRIGHTEST and value == round(value)):
        raise DataError(f"backdoor: value {value:g} is none of a pixel of {name}", hint="a whole number from 0 to 255")
    most = min(shape[:2])
    if size > most:
        room = f"{shape[0]} columns" if len(shape) == 1 else f"images of {shape[0]}×{shape[1]} pixels"
        raise DataError(f"backdoor: size {size} does not fit into {room} of {name}", hint=f"a size of at most {most}")
    features = np.zeros(shape, bool)
    if len(shape) == 1:
        features[least_used(np.asarray(x), size)] = True
    else:
        features[-size:, -size:] = True
    return Trigger(backdoor, nodes, features, float(value))


def least_used(x: Num[np.ndarray, "m p"], number: int) -> np.ndarray:
    """Return (number,) columns of x, those with fewest entries apart from their most common value; of equals, the first."""
    used = [len(x) - np.unique(column, return_counts=True)[1].max() for column in x.T]
    return np.argsort(used, kind="stable")[:number]
