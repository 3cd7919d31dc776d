"""Faults of a round: which of its messages arrive.

The fate of a message is a function of (round, sender, receiver), so sender and receiver agree on it, and it does not
depend on how an operator stores the link.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxgossip.core.random import pair_words, to_unit
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import NodeInts, NodeMask, PRNGKey
from jaxgossip.mixing.bursts import Bursts

Probability = float | Array


class Faults(NamedTuple):
    """The faults of a round. Arrays are of all nodes, in row order, whichever rows are at hand.

    Attributes:
        key: key of the draws.
        drop: probability that a message is lost, independently of all others.
        online: (n,) bool, the nodes that take part; None if all do.
        nodes: (n,) int32, the node of each row; None if row i is node i. Losses are drawn by node number, so they do not
            depend on the order of the rows.
        link_drop: probability that a link fails for the round, in both directions.
        side: (n,) int32, the side of a split network that each node is on, which no message crosses; None without a split.
        bursts: how failures of links last; None if they are drawn anew each round.
        fragment: number of the fragment of a row that the messages carry, with losses of its own (see
            :mod:`jaxgossip.mixing.fragments`); failures of links are the same for all.
        reverse: whether the roles of receiver and sender are swapped: a query for the link i ← j is answered for j ← i.
    """

    key: PRNGKey
    drop: Probability = 0.0
    online: NodeMask | None = None
    nodes: NodeInts | None = None
    link_drop: Probability = 0.0
    side: NodeInts | None = None
    bursts: Bursts | None = None
    fragment: int = 0
    reverse: bool = False

    def reversed(self) -> "Faults":
        """Return the same faults for the transposed links, on which an operator treats senders as receivers."""
        return self._replace(reverse=not self.reverse)

    def arrive(self, receivers: Int[Array, "..."], senders: Int[Array, "..."]) -> Bool[Array, "..."]:
        """Return bool: whether messages from ``senders`` reach ``receivers``, row numbers whose shapes broadcast."""
        receivers, senders = (senders, receivers) if self.reverse else (receivers, senders)
        receivers, senders = jnp.broadcast_arrays(receivers, senders)
        arrives = jnp.ones(receivers.shape, bool)
        if _may_happen(self.drop) or _may_happen(self.link_drop):
            numbers = (
                (receivers, senders)
                if self.nodes is None
                else (gather(self.nodes, receivers), gather(self.nodes, senders))
            )
            to, by = (number.astype(jnp.uint32) for number in numbers)
            low, high = jnp.minimum(to, by), jnp.maximum(to, by)
            if _may_happen(self.drop):  # one word of the block of random bits of the pair for each direction
                losses = jax.random.fold_in(self.key, 0 if self.fragment == 0 else self.fragment + 1)
                up, down = pair_words(losses, low, high)
                arrives = arrives & (to_unit(jnp.where(by < to, up, down)) >= self.drop)
            if _may_happen(self.link_drop):
                if self.bursts is None:
                    word, _ = pair_words(jax.random.fold_in(self.key, 1), low, high)
                    fails = to_unit(word) < self.link_drop
                else:
                    fails = self.bursts.failing(low, high, self.link_drop)
                arrives = arrives & ~fails
        if self.online is not None:
            arrives = arrives & gather(self.online, receivers) & gather(self.online, senders)
        if self.side is not None:
            arrives = arrives & (gather(self.side, receivers) == gather(self.side, senders))
        return arrives


def _may_happen(probability: Probability) -> bool:
    return not isinstance(probability, float | int) or probability > 0
