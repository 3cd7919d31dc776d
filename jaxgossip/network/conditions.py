"""Network conditions: the faults, attacks and aggregation of a run in rounds. Their semantics:

* **drop**: each message is lost with this probability, independently. It still counts as sent. Its weight stays with the
  receiver (see :mod:`jaxgossip.mixing.operator`), or in push-sum its mass with the sender (see
  :mod:`jaxgossip.mixing.column_stochastic`); if all messages are dropped, every node trains in isolation.
* **link_drop**: each link fails for a round with this probability, in both directions: symmetric weights stay symmetric,
  and the mean is conserved. **link_burst**: mean number of rounds for which a failed link stays so, a Gilbert–Elliott chain
  (see :mod:`jaxgossip.mixing.bursts`); all exchanges of a round then meet the same failures. At 0, failures are drawn for
  each round and exchange anew, as they are at the least length of bursts, 1/(1 − link_drop), for each round.
* **online**: a node takes part with this probability. An offline node sends and receives no messages, takes no local
  step, and keeps its whole state. Messages to it are sent and lost, unless the receiver has to request them.
  **session**: number of rounds between two such draws of a node; nodes draw in different rounds.
* **straggle**: a node that takes part skips its local work with this probability: it computes no gradient in this round
  (methods that store gradients keep the last one), its optimizer state does not change, and it exchanges what it has.
* **split**: from round ``split_at`` the nodes are divided into this many sides, by their numbers, and no message crosses
  between sides; from round ``heal_at`` the network is whole again.
* **noise**: the row that a node sends in a round reaches all its receivers with Gaussian noise of this standard deviation
  added to every entry; the row that it holds stays exact.
* **adversary**: some nodes lie about the rows that they hold (see :mod:`jaxgossip.network.adversaries`).
* **aggregation**: how nodes combine the rows that they hear, if not by the weighted mean (see
  :mod:`jaxgossip.network.aggregation`).
"""

from dataclasses import dataclass

import jax

from jaxgossip.core.arguments import described_as, is_number, number, shown, whole
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.network.adversaries import Adversary
from jaxgossip.network.aggregation import Aggregation

LONGEST_BURST = 1e6
"""Longest mean burst of failures, in rounds."""
ROUNDING = 1e-6
"""By how much a length may be below its bound, which is a quotient."""


@dataclass(frozen=True)
class Conditions(Pytree):
    """The conditions of a network: faults, attacks and aggregation.

    Probabilities and the noise may be traced scalars, so that one compiled program, or one ``vmap``, serves many values.
    Such values are not checked, and the program computes their faults in every round even if they never occur.

    Args:
        drop: probability that a message is lost, from 0 to 1.
        online: probability that a node takes part in a round, from 0 to 1.
        link_drop: probability that a link fails in a round, in both directions, from 0 to 1.
        link_burst: mean number of rounds for which a failed link stays so, at least 1/(1 − link_drop); 0 for failures that
            are drawn anew each round.
        session: rounds for which a node stays online or offline before the next draw.
        straggle: probability that a node skips its local work in a round, from 0 to 1.
        split: number of sides into which the network splits; 1 for no split.
        split_at: first round in which it is split.
        heal_at: first round in which it is whole again.
        noise: standard deviation of the noise on every number that is sent.
        adversary: the Byzantine nodes and their attack; None if all nodes are honest.
        aggregation: how nodes combine the rows they hear; None for the weighted mean.

    Raises:
        InputError: a probability is outside [0, 1], another number is out of its bounds, bursts are shorter than those of
            independent failures, or a split ends before it begins.
        ArgumentTypeError: ``adversary`` or ``aggregation`` is of another type.
    """

    drop: float | jax.Array = 0.0
    online: float | jax.Array = 1.0
    link_drop: float | jax.Array = 0.0
    link_burst: float = 0.0
    session: int = 1
    straggle: float | jax.Array = 0.0
    split: int = 1
    split_at: int = 0
    heal_at: int = 0
    noise: float | jax.Array = 0.0
    adversary: Adversary | None = None
    aggregation: Aggregation | None = None

    def __post_init__(self) -> None:
        for name in ("drop", "online", "link_drop", "straggle"):
            value = getattr(self, name)
            if not isinstance(value, jax.Array) and not (is_number(value) and 0 <= value <= 1):
                raise InputError(
                    f"network {name} is a probability, not {shown(value)}", hint="give a number from 0 to 1"
                )
        for name, least in (("session", 1), ("split", 1), ("split_at", 0), ("heal_at", 0), ("noise", 0)):
            value = getattr(self, name)
            if is_number(value) and not value >= least:
                raise InputError(f"network {name} must be at least {least}, not {value}")
            if name != "noise":
                whole("network", name, value, least)
            elif not isinstance(value, jax.Array):
                number("network", name, value)
        number("network", "link_burst", self.link_burst, most=LONGEST_BURST)
        if self.link_burst and not isinstance(self.link_drop, jax.Array) and self.link_drop < 1:
            least = 1 / (1 - self.link_drop)
            if self.link_burst < least - ROUNDING:
                raise InputError(
                    f"network link_burst must be at least 1/(1 − link_drop) = {least:g}, not {self.link_burst:g}: bursts of "
                    "independent failures are as long",
                    hint="network.link_burst = 0 for independent failures",
                )
        _check_part("adversary", self.adversary, Adversary, "jg.network.adversaries.bit_flip(n_nodes=…)")
        _check_part("aggregation", self.aggregation, Aggregation, "jg.network.aggregation.median()")
        if self.split > 1 and self.heal_at <= self.split_at:
            raise InputError(
                f"the network is split from round {self.split_at} and whole again from round {self.heal_at}: never split",
                hint="set heal_at to a later round",
            )

    @property
    def lossless(self) -> bool:
        """Whether every message arrives, in which case the compiled round has no code for faults."""
        certain = surely(self.drop, 0) and surely(self.link_drop, 0) and surely(self.online, 1)
        return certain and self.split == 1

    @property
    def on_mixing(self) -> list[str]:
        """The keys or sections of those conditions in use that act only on the mixing of models."""
        lies = self.adversary is not None and (
            self.adversary.alone is not None
            or self.adversary.broadcast is not None
            or self.adversary.targeted is not None
        )
        in_use = {
            "network.noise": not surely(self.noise, 0),
            "adversary": lies,
            "aggregation": self.aggregation is not None,
        }
        return [name for name, used in in_use.items() if used]


def _check_part(name: str, value: object, kind: type, hint: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ArgumentTypeError(f"network {name} must be {described_as(kind.__name__)}, not {shown(value)}", hint=hint)


def surely(value: float | jax.Array, number: float) -> bool:
    """Return whether ``value`` is known to equal ``number`` at trace time; a traced value never is."""
    return not isinstance(value, jax.Array) and value == number


FAULTLESS = Conditions()
"""Every message arrives and every node takes part."""
