"""The fate of messages: network splits, drops, and receivers that are offline.

While the network is split, nothing is sent or arrives across sides; node i is on side ⌊i · sides/n⌋. Other messages are
dropped independently with a given probability, and the rest are lost if the receiver is offline when they arrive. In an
exchange the messages of both directions are lost together, and both nodes must be online.
"""

from dataclasses import dataclass

import numpy as np

from jaxgossip.core.arguments import check_fields, number, whole
from jaxgossip.core.errors import InputError
from jaxgossip.schedule.churn import Churn
from jaxgossip.schedule.messages import Fate


@dataclass(frozen=True)
class Faults:
    """The faults of messages and nodes.

    Attributes:
        n_nodes: number of nodes.
        churn: when nodes are online; None if they always are.
        drop: probability that a message is dropped.
        split: number of sides into which the network splits; 1 for no split.
        split_at_s: time at which it splits, in seconds.
        heal_at_s: time at which the split ends, in seconds.

    Raises:
        InputError: a number is out of range, or the split ends before it begins.
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
        check_fields("network", self)

    @property
    def lossless(self) -> bool:
        """Whether every message arrives."""
        return self.churn is None and not self.drop and self.split == 1

    def online(self, node: np.ndarray, time_s: np.ndarray) -> np.ndarray | None:
        """Return (m,) bool: whether each node is online at its time; None if all are.

        Raises:
            InputError: a user's own churn does not return one value per node.
        """
        if self.churn is None:
            return None
        online = np.asarray(self.churn.online(node, time_s), bool)
        if online.shape != node.shape:
            raise InputError(
                f"churn: {node.size} questions got answers of shape {online.shape}",
                hint="answer one bool a node and time",
            )
        return online

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
        """Return the :class:`Fate` of messages, (m,) int8.

        Args:
            sender: (m,) int32, online at ``sent_s``.
            receiver: (m,) int32.
            sent_s: (m,) float64, times of sending in seconds.
            arrives_s: (m,) float64, times of arrival in seconds.
            rng: generator of the drops.
            both_ways: whether each message stands for an exchange that includes a message from receiver to sender.
        """
        fate = np.zeros(sender.size, np.int8)
        for node, time_s in [(receiver, arrives_s)] + both_ways * [(receiver, sent_s), (sender, arrives_s)]:
            online = self.online(node, time_s)
            if online is not None:
                fate[~online] = Fate.OFFLINE
        if self.drop:
            fate[rng.random(sender.size) < self.drop] = Fate.DROPPED
        if self.split > 1:
            crosses = self._side(sender) != self._side(receiver)
            fate[crosses & (self._is_split(sent_s) | self._is_split(arrives_s))] = Fate.DIVIDED
        return fate

    def _is_split(self, time_s: np.ndarray) -> np.ndarray:
        return (time_s >= self.split_at_s) & (time_s < self.heal_at_s)

    def _side(self, node: np.ndarray) -> np.ndarray:
        return node.astype(np.int64) * self.split // self.n_nodes
