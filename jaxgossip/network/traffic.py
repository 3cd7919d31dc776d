"""The traffic of a round, counted exactly."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxgossip.core import counting
from jaxgossip.core.counting import Count
from jaxgossip.core.pytree import register_dataclass
from jaxgossip.network.wallclock import Occasional, Transfer


@register_dataclass
@dataclass(frozen=True)
class Traffic:
    """Messages and bytes sent by all nodes together, as returned by every algorithm's step.

    Attributes:
        messages: number of messages (see :mod:`jaxgossip.core.counting`).
        bytes_sent: bytes of their payload, metadata included.
        metadata_bytes: bytes of the payload that are not model values: indices, scales, ages, weights.
        exchanges: the transfers that nodes wait for, in order; empty if the run keeps no virtual time.
    """

    messages: Count
    bytes_sent: Count
    metadata_bytes: Count
    exchanges: tuple[Transfer, ...] = ()

    @classmethod
    def none(cls) -> "Traffic":
        """Return the traffic of a round without messages."""
        return cls(counting.count(0), counting.count(0), counting.count(0))

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            counting.add(self.messages, other.messages),
            counting.add(self.bytes_sent, other.bytes_sent),
            counting.add(self.metadata_bytes, other.metadata_bytes),
            self.exchanges + other.exchanges,
        )

    def only_if(self, takes_place: Bool[Array, ""]) -> "Traffic":
        """Return this traffic if the exchanges take place in this round, and none if not."""
        once = takes_place.astype(jnp.uint32)
        occasional = tuple(Occasional(exchange, takes_place) for exchange in self.exchanges)
        return Traffic(once * self.messages, once * self.bytes_sent, once * self.metadata_bytes, occasional)

    def counts(self) -> "Traffic":
        """Return the counts, without the exchanges."""
        return replace(self, exchanges=())
