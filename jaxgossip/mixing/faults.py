"""What befalls the messages of a round, in one place: whether the message from one node to another arrives.

Every answer is a function of (round, sender, receiver), so that whoever asks, sender or receiver, hears the same, and it
does not matter in which table of which operator the link stands.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxgossip.core.random import pair_words, to_unit
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import NodeInts, NodeMask, PRNGKey

Probability = float | Array


class Faults(NamedTuple):
    """What befalls this round's messages. All arrays over nodes stand row by row.

    Attributes:
        key: draws which messages are lost.
        drop: probability that a message that was sent is lost, each by itself.
        online: (n,) bool, the nodes that take part; None if all do.
        nodes: (n,) int32, the node that each row stands for; None where row i is node i. What befalls a message is drawn
            by the numbers of its nodes, wherever their rows stand.
        link_drop: probability that a link fails for the round, in both directions together.
        side: (n,) int32, on which side of a split network each node is: no message crosses; None without a split.
        reverse: whether receivers and senders have changed roles: asked of a link i ← j, it answers for j ← i.
    """

    key: PRNGKey
    drop: Probability = 0.0
    online: NodeMask | None = None
    nodes: NodeInts | None = None
    link_drop: Probability = 0.0
    side: NodeInts | None = None
    reverse: bool = False

    def reversed(self) -> "Faults":
        """Return the same faults, seen by senders: what operators take for the receiver is the sender."""
        return self._replace(reverse=not self.reverse)

    def arrive(self, receivers: Int[Array, "..."], senders: Int[Array, "..."]) -> Bool[Array, "..."]:
        """Return whether a message from ``senders`` reaches ``receivers``: rows, of shapes that broadcast."""
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
            if _may_happen(self.drop):  # one word of the pair's block for each direction
                up, down = pair_words(jax.random.fold_in(self.key, 0), low, high)
                arrives = arrives & (to_unit(jnp.where(by < to, up, down)) >= self.drop)
            if _may_happen(self.link_drop):
                word, _ = pair_words(jax.random.fold_in(self.key, 1), low, high)
                arrives = arrives & (to_unit(word) >= self.link_drop)
        if self.online is not None:
            arrives = arrives & gather(self.online, receivers) & gather(self.online, senders)
        if self.side is not None:
            arrives = arrives & (gather(self.side, receivers) == gather(self.side, senders))
        return arrives


def _may_happen(probability: Probability) -> bool:
    return not isinstance(probability, float | int) or probability > 0
