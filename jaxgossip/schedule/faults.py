"""What becomes of messages on their way, in one place.

While the network is split, nothing leaves one side for another or arrives from there; node i is on side ⌊i · sides/n⌋.
Otherwise a message is dropped with a probability, by itself; otherwise it is lost if its receiver is offline
when it arrives. In an exchange the messages of both directions are lost together, and both nodes have to be online.
"""

from dataclasses import dataclass

import numpy as np

from jaxgossip.core.arguments import number, whole
from jaxgossip.core.errors import InputError
from jaxgossip.schedule.churn import Churn
from jaxgossip.schedule.messages import Fate


@dataclass(frozen=True)
class Faults:
    """What befalls messages and nodes.

    Attributes:
        n_nodes: number of nodes.
        churn: who is online when; None: everybody always.
        drop: probability that a message is lost.
        split: sides into which the network falls apart; 1: it does not.
        split_at_s: when it falls apart, in seconds.
        heal_at_s: when it is whole again.

    Raises:
        InputError: a number out of range.
    """

    n_nodes: int
    churn: Churn | None = None
    drop: float = 0.0
    split: int = 1
    split_at_s: float = 0.0
    heal_at_s: float = 0.0

    def __post_init__(self) -> None:
        number("network", "drop", self.drop, most=1.0)
        number("network", "split_at_s", self.split_at_s)
        number("network", "heal_at_s", self.heal_at_s)
        if whole("network", "split", self.split, 1) > 1 and not self.heal_at_s > self.split_at_s:
            raise InputError(
                f"the network is split at {self.split_at_s} s and whole again at {self.heal_at_s} s: never split",
                hint="set heal_at_s to a later time",
            )

    @property
    def lossless(self) -> bool:
        """Whether every message arrives."""
        return self.churn is None and not self.drop and self.split == 1

    def online(self, node: np.ndarray, time_s: np.ndarray) -> np.ndarray | None:
        """Return (m,) bool: which nodes are online at their times; None for all of them.

        Raises:
            InputError: a user's own churn does not answer every question.
        """
        if self.churn is None:
            return None
        there = np.asarray(self.churn.online(node, time_s), bool)
        if there.shape != node.shape:
            raise InputError(
                f"churn: {node.size} questions got answers of shape {there.shape}",
                hint="answer one bool a node and time",
            )
        return there

    def fates(
        self,
        sender: np.ndarray,
        receiver: np.ndarray,
        sent_s: np.ndarray,
        arrives_s: np.ndarray,
        rng: np.random.Generator,
        *,
        both_ways: bool = False,
    ) -> np.ndarray:
        """Return (m,) int8 of :class:`Fate`: what becomes of messages that are sent.

        Args:
            sender: (m,) int32, online at ``sent_s``.
            receiver: (m,) int32.
            sent_s: (m,) float64.
            arrives_s: (m,) float64.
            rng: draws what is dropped.
            both_ways: each stands for an exchange, which the receiver's own message to the sender is a part of.
        """
        fate = np.zeros(sender.size, np.int8)
        for node, time_s in [(receiver, arrives_s)] + both_ways * [(receiver, sent_s), (sender, arrives_s)]:
            there = self.online(node, time_s)
            if there is not None:
                fate[~there] = Fate.OFFLINE
        if self.drop:
            fate[rng.random(sender.size) < self.drop] = Fate.DROPPED
        if self.split > 1:
            crosses = self._side(sender) != self._side(receiver)
            fate[crosses & (self._apart(sent_s) | self._apart(arrives_s))] = Fate.DIVIDED
        return fate

    def _apart(self, time_s: np.ndarray) -> np.ndarray:
        return (time_s >= self.split_at_s) & (time_s < self.heal_at_s)

    def _side(self, node: np.ndarray) -> np.ndarray:
        return node.astype(np.int64) * self.split // self.n_nodes
