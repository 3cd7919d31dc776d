"""What the network does to messages and nodes, round by round. The semantics, once:

* **drop**: each message is lost with this probability, by itself. It was sent, so it counts. Its weight stays with the
  receiver (see :mod:`jaxgossip.mixing.operator`): all messages dropped is training in isolation.
* **online**: each round each node takes part with this probability, by itself. A node that is offline does nothing: it
  sends no message, receives none, takes no local step, and keeps its whole state. Messages to it are sent and lost,
  except where a peer has to ask for them first.
"""

from dataclasses import dataclass

from jaxgossip.errors import InputError


@dataclass(frozen=True)
class Conditions:
    """Probabilities of faults.

    Args:
        drop: probability that a message is lost, 0 to 1.
        online: probability that a node takes part in a round, 0 to 1.

    Raises:
        InputError: a probability outside 0..1.
    """

    drop: float = 0.0
    online: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("drop", self.drop), ("online", self.online)):
            if not 0 <= value <= 1:
                raise InputError(f"network {name} is a probability, not {value}", hint="give a number from 0 to 1")

    @property
    def faultless(self) -> bool:
        """Whether nothing can go wrong; the compiled round then has no trace of faults."""
        return self.drop == 0 and self.online == 1


FAULTLESS = Conditions()
"""Every message arrives and every node takes part."""
