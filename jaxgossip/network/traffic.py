"""What was sent in a round, counted exactly."""

from dataclasses import dataclass

import jax

from jaxgossip.mixing import counting
from jaxgossip.mixing.counting import Count


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Traffic:
    """Messages and bytes sent by all nodes together; the information that every algorithm's step emits.

    Attributes:
        messages: how many (see :mod:`jaxgossip.mixing.counting`).
        bytes_sent: their payload, in bytes, all of it.
        metadata_bytes: how many of these bytes are no values of a model: indices, scales, ages, weights.
    """

    messages: Count
    bytes_sent: Count
    metadata_bytes: Count

    @classmethod
    def none(cls) -> "Traffic":
        """Return the traffic of a round in which nobody sends."""
        return cls(counting.count(0), counting.count(0), counting.count(0))

    def __add__(self, other: "Traffic") -> "Traffic":
        return jax.tree.map(counting.add, self, other)
