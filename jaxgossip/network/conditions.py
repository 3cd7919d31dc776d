"""What the network does to messages and nodes, round by round. The semantics, once:

* **drop**: each message is lost with this probability, by itself. It was sent, so it counts. Its weight stays with the
  receiver (see :mod:`jaxgossip.mixing.operator`), in push-sum its mass with the sender
  (:mod:`jaxgossip.mixing.column_stochastic`): all messages dropped is training in isolation.
* **link_drop**: each link fails for a round with this probability, in both directions together: symmetric weights stay
  symmetric, and the mean is kept.
* **online**: a node takes part with this probability. A node that is offline does nothing: it sends no message, receives
  none, takes no local step, and keeps its whole state. Messages to it are sent and lost, except where a peer has to ask
  for them first. **session**: rounds from one such draw of a node to its next; nodes draw at different times.
* **straggle**: a node that takes part skips its local work with this probability: it computes no gradient in this round
  (methods that remember gradients keep the last one), its optimizer stands still, and it exchanges what it has.
* **split**: from round ``split_at`` on the nodes are divided into so many sides, by their numbers, and no message crosses
  from one to another; in round ``heal_at`` the network is whole again.
* **noise**: what a node sends in a round reaches all its receivers with Gaussian noise of this standard deviation added
  to every number; what it holds stays exact.
* **adversary**: some nodes lie about what they hold (see :mod:`jaxgossip.network.adversaries`).
* **aggregation**: how nodes take in what they hear, if not as the plain weighted mean
  (see :mod:`jaxgossip.network.aggregation`).
"""

from dataclasses import dataclass

import jax

from jaxgossip.core.arguments import described_as, is_number, number, shown, whole
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.network.adversaries import Adversary
from jaxgossip.network.aggregation import Aggregation


@dataclass(frozen=True)
class Conditions(Pytree):
    """What happens to messages and nodes.

    Probabilities and the noise may be traced scalars, so that one compiled program, or one ``vmap``, serves many of them.
    It then reckons with what they say in every round, also where it never happens, and nobody checks them.

    Args:
        drop: probability that a message is lost, 0 to 1.
        online: probability that a node takes part in a round, 0 to 1.
        link_drop: probability that a link fails in a round, both ways, 0 to 1.
        session: rounds from one draw of a node's being online to the next.
        straggle: probability that a node skips its local work in a round, 0 to 1.
        split: sides into which the network falls apart; 1: it does not.
        split_at: first round in which it is split.
        heal_at: first round in which it is whole again.
        noise: standard deviation of the noise in every number that is sent.
        adversary: who lies, and how.
        aggregation: how nodes take in what they hear; None: the weighted mean.

    Raises:
        InputError: a probability outside 0..1, or a number below its least value.
    """

    drop: float | jax.Array = 0.0
    online: float | jax.Array = 1.0
    link_drop: float | jax.Array = 0.0
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
        _check_part("adversary", self.adversary, Adversary, "jg.network.adversaries.bit_flip(n_nodes=…)")
        _check_part("aggregation", self.aggregation, Aggregation, "jg.network.aggregation.median()")
        if self.split > 1 and self.heal_at <= self.split_at:
            raise InputError(
                f"the network is split from round {self.split_at} and whole again from round {self.heal_at}: never split",
                hint="set heal_at to a later round",
            )

    @property
    def lossless(self) -> bool:
        """Whether every message arrives; the compiled round then has no trace of faults."""
        certain = surely(self.drop, 0) and surely(self.link_drop, 0) and surely(self.online, 1)
        return certain and self.split == 1

    @property
    def on_mixing(self) -> list[str]:
        """What there is of those that act only where nodes take the mean of models, by section or key."""
        lies = self.adversary is not None and (
            self.adversary.broadcast is not None or self.adversary.targeted is not None
        )
        there = {
            "network.noise": not surely(self.noise, 0),
            "adversary": lies,
            "aggregation": self.aggregation is not None,
        }
        return [name for name, given in there.items() if given]


def _check_part(name: str, value: object, kind: type, hint: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ArgumentTypeError(f"network {name} must be {described_as(kind.__name__)}, not {shown(value)}", hint=hint)


def surely(value: float | jax.Array, number: float) -> bool:
    """Return whether ``value`` is known to be ``number`` when the program is made: what is traced never is."""
    return not isinstance(value, jax.Array) and value == number


FAULTLESS = Conditions()
"""Every message arrives and every node takes part."""
