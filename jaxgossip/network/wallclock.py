"""Virtual wall-clock: how many seconds a run in rounds would take on machines of given speeds, node by node.

Every node works, sends what it has to its neighbours, and goes on when it has heard all that reach it in this round; there
is no other barrier. With c_i the seconds of its work, S the bytes of a message, d_j how many messages j sends in the round
and e_i how many reach i, each link has its share of both ends' bandwidths:

    a_i = t_i + c_i
    t_i ← max( a_i,  max_{j heard by i} ( a_j + L_ij + S / min(up_j/d_j, down_i/e_i) ) ),   L_ij = latency_i + latency_j

which is linear in the algebra of (max, +). S/min(u, v) = max(S/u, S/v), so that the maximum over links is one of numbers
that belong to senders, and one of numbers that belong to receivers: two passes over the links.

* A message that is lost is not waited for; it took its part of the sender's bandwidth all the same.
* A node that is offline keeps its clock, and nobody waits for it. A straggler skips its work, not its messages.
* Several exchanges in a round follow one another; what one exchange carries of several arrays is one message.
* A request for a message (a pull) takes no time of its own.
* With a server, whose own bandwidth has no bounds, all wait for the last node that it waits for.

Times are float64 on the device whatever the models are, kept as pairs of 32-bit words: beside 10⁶ s, a millisecond is
exact to 10⁻⁷ of itself.

Max-plus: Baccelli, Cohen, Olsder and Quadrat 1992, "Synchronization and linearity". sacs-epfl/decentralized-learning-simulator
times the same rounds transfer by transfer; there the transfers of a node queue for its line, first come, first served, where
here they share it evenly from the first to the last byte of a round.
"""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, UInt32

from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree, register_dataclass
from jaxgossip.core.typing import NodeMask
from jaxgossip.mixing import Faults, Operator
from jaxgossip.network.speeds import Speeds
from jaxgossip.topology import Order

Times = Float64[Array, " n"]
Clock = UInt32[Array, "n 2"]
"""(n,) float64 seconds, row by row, as the words that programs without 64-bit numbers carry."""


@dataclass(frozen=True)
class Machines:
    """Speeds on the device, row by row, (n,) float64 each; seconds and bytes a second."""

    compute_s: Times
    up: Times
    down: Times
    latency: Times


@runtime_checkable
class Transfer(Protocol):
    """A part of a round in which nodes wait for others."""

    def after(self, ready: Times, machines: Machines) -> Times:
        """Return when each node is done with it, given when each has what it will send."""
        ...


@register_dataclass
@dataclass(frozen=True)
class Neighbourly:
    """Messages along links.

    Attributes:
        operator: of the round: who hears whom.
        faults: what befalls messages.
        size: bytes of each message.
        repeats: how many times in a row; repetition k has the losses of exchange k.
    """

    operator: Operator
    faults: Faults | None
    size: int = field(metadata={"static": True})
    repeats: int = field(default=1, metadata={"static": True})

    def after(self, ready: Times, machines: Machines) -> Times:
        """Return when each node has heard all that reach it."""
        if self.repeats == 1:
            return self._once(self.faults, ready, machines)

        def once(k: Array, ready: Times) -> Times:
            faults = self.faults
            if faults is not None:
                faults = faults._replace(key=jax.random.fold_in(faults.key, k))
            return self._once(faults, ready, machines)

        return jax.lax.fori_loop(jnp.int32(0), jnp.int32(self.repeats), once, ready)

    def _once(self, faults: Faults | None, ready: Times, machines: Machines) -> Times:
        arriving = self.operator.arriving(faults)
        counts = self.operator.sent(faults), self.operator.received(arriving)
        sent, received = (number.astype(ready.dtype) for number in counts)
        # A gather of what is computed here would compute it anew for every neighbour.
        leaves, sent_off = jax.lax.optimization_barrier(
            (ready + machines.latency, ready + machines.latency + self.size * sent / machines.up)
        )
        by_senders = self.operator.highest(sent_off, arriving)
        by_receivers = self.operator.highest(leaves, arriving) + self.size * received / machines.down
        return jnp.maximum(ready, machines.latency + jnp.maximum(by_senders, by_receivers))


@register_dataclass
@dataclass(frozen=True)
class AtServer:
    """A server waits for nodes, and all nodes for it.

    Attributes:
        nodes: (n,) bool, those it waits for; if nobody, it goes on with the first node that is ready.
        size: bytes that each of them receives before its work, and sends after it.
    """

    nodes: NodeMask
    size: int = field(metadata={"static": True})

    def after(self, ready: Times, machines: Machines) -> Times:
        """Return (n,) the one time at which the server has heard all it waits for."""
        lines = 2 * machines.latency + self.size / machines.up + self.size / machines.down
        last = jnp.where(self.nodes, ready + lines, ready.min()).max()
        return jnp.broadcast_to(last, ready.shape)


class Timing(Pytree):
    """The clocks of a run.

    Args:
        speeds: of the nodes.
        n_nodes: number of nodes.
        order: in which rows the nodes stand; None where row i is node i.

    Raises:
        InputError: speeds of another number of nodes.
    """

    def __init__(self, speeds: Speeds, n_nodes: int, order: Order | None = None) -> None:
        if speeds.n_nodes != n_nodes:
            raise InputError(
                f"speeds of {speeds.n_nodes:,} nodes for a network of {n_nodes:,}", hint="one of each node"
            )
        arrays = (speeds.compute_s, speeds.up_bytes_s, speeds.down_bytes_s, speeds.latency_s)
        self._words = tuple(jnp.asarray(to_words(array if order is None else array[order.nodes])) for array in arrays)

    def advance(
        self,
        clock: Clock,
        exchanges: tuple[Transfer, ...],
        online: NodeMask | None,
        works: NodeMask | None,
        *,
        together: bool = False,
    ) -> Clock:
        """Return the clocks after a round.

        Args:
            clock: before it.
            exchanges: of the round, in their order.
            online: (n,) bool, the nodes that take part; None: all.
            works: (n,) bool, the nodes that do their local work; None: all.
            together: whether all nodes' work goes into one model, for which all wait without any messages.
        """
        with jax.enable_x64(True):
            machines, now = Machines(*map(_seconds, self._words)), _seconds(clock)
            ready = now + machines.compute_s
            for mask in (online, works):
                ready = ready if mask is None else jnp.where(mask, ready, now)
            for exchange in exchanges:
                ready = exchange.after(ready, machines)
            if together and not exchanges:
                ready = jnp.broadcast_to(ready.max(), ready.shape)
            return jax.lax.bitcast_convert_type(ready, jnp.uint32)


def _seconds(words: Clock) -> Times:
    return jax.lax.bitcast_convert_type(words, jnp.float64)


def to_words(seconds: np.ndarray) -> np.ndarray:
    """Return (…, 2) uint32: the words of (…,) float64 numbers, on the host."""
    return np.ascontiguousarray(seconds, np.float64).view(np.uint32).reshape(*np.shape(seconds), 2)


def to_seconds(clock: Clock | np.ndarray) -> np.ndarray:
    """Return (…,) float64 NumPy: the seconds of clocks (…, 2), on the host."""
    return np.ascontiguousarray(np.asarray(clock)).view(np.float64)[..., 0]
