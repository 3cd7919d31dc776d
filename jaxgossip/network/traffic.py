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
        bytes_sent: their payload, in bytes.
    """

    messages: Count
    bytes_sent: Count

    @classmethod
    def none(cls) -> "Traffic":
        """Return the traffic of a round in which nobody sends."""
        return cls(counting.count(0), counting.count(0))

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(counting.add(self.messages, other.messages), counting.add(self.bytes_sent, other.bytes_sent))
