"""What was sent in a round, counted exactly."""

from dataclasses import dataclass, replace

from jaxgossip.core import counting
from jaxgossip.core.counting import Count
from jaxgossip.core.pytree import register_dataclass
from jaxgossip.network.wallclock import Transfer


@register_dataclass
@dataclass(frozen=True)
class Traffic:
    """Messages and bytes sent by all nodes together; the information that every algorithm's step emits.

    Attributes:
        messages: how many (see :mod:`jaxgossip.core.counting`).
        bytes_sent: their payload, in bytes, all of it.
        metadata_bytes: how many of these bytes are no values of a model: indices, scales, ages, weights.
        exchanges: for whom nodes wait, one exchange after another; empty where no time is kept.
    """

    messages: Count
    bytes_sent: Count
    metadata_bytes: Count
    exchanges: tuple[Transfer, ...] = ()

    @classmethod
    def none(cls) -> "Traffic":
        """Return the traffic of a round in which nobody sends."""
        return cls(counting.count(0), counting.count(0), counting.count(0))

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            counting.add(self.messages, other.messages),
            counting.add(self.bytes_sent, other.bytes_sent),
            counting.add(self.metadata_bytes, other.metadata_bytes),
            self.exchanges + other.exchanges,
        )

    def counts(self) -> "Traffic":
        """Return the numbers alone, without the exchanges."""
        return replace(self, exchanges=())
