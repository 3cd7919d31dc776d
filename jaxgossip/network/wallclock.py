"""Virtual wall-clock time: the seconds that a run in rounds would take on machines of given speeds, node by node.

Every node works, sends its message to its neighbours, and continues once all messages that reach it in this round have
arrived; there is no other barrier. Let c_i be the seconds of its work, S the bytes of a message, d_j the number of
messages that j sends in the round and e_i the number that reach i. Each link gets an equal share of both ends' bandwidths:

    a_i = t_i + c_i
    t_i ← max( a_i,  max_{j heard by i} ( a_j + L_ij + S / min(up_j/d_j, down_i/e_i) ) ),   L_ij = latency_i + latency_j

This is linear in max-plus algebra. As S/min(u, v) = max(S/u, S/v), the maximum over links splits into one over quantities
of senders and one over quantities of receivers: two passes over the links.

* A lost message is not waited for, but has used its share of the sender's bandwidth.
* An offline node keeps its clock, and no node waits for it. A straggler skips its work, not its messages.
* Several exchanges in a round take place one after another; all arrays of one exchange travel in one message. Fragments of rows
  travel at the same time, in a message each: lines are shared in proportion to the bytes.
* The request of a pull takes no time.
* With a server, of unlimited bandwidth, all nodes wait for the last node that the server waits for. With a server for each
  cluster, those of the cluster do; servers wait for the neighbours that they hear, whose messages take no time.

Times are float64 on the device for models of any dtype, carried as pairs of 32-bit words: at 10⁶ s, a millisecond is still
resolved to 10⁻⁷ of itself.

Max-plus: Baccelli, Cohen, Olsder and Quadrat 1992, "Synchronization and linearity". sacs-epfl/decentralized-learning-simulator
times the same rounds transfer by transfer: there the transfers of a node queue for its line, first come, first served;
here they share it evenly from the first to the last byte of a round.
"""

import functools
from dataclasses import dataclass, field
from typing import Any, Protocol, override, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, UInt32, UInt64

from jaxgossip.core.devices.blocks import count_rows, own
from jaxgossip.core.devices.exchanges import everyone, fetch, node_max, node_min
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree, register_dataclass, static_field
from jaxgossip.core.typing import NodeInts, NodeMask
from jaxgossip.mixing import Faults, Operator
from jaxgossip.mixing.fragments import Fragments, parts_of
from jaxgossip.network.speeds import Speeds
from jaxgossip.topology import Order

Times = Float64[Array, " n"]
Bytes = UInt64[Array, " n"]
Clock = UInt32[Array, "n 2"]
"""Float64 seconds (n,) in row order, as pairs of the 32-bit words that programs without 64-bit numbers can carry."""


@dataclass(frozen=True)
class Machines:
    """Speeds on the device in row order, (n,) float64 each.

    Attributes:
        compute_s: seconds of a round's local work.
        up: upload bandwidth in bytes per second.
        down: download bandwidth in bytes per second.
        latency: each node's part of the latency in seconds.
    """

    compute_s: Times
    up: Times
    down: Times
    latency: Times


@runtime_checkable
class Transfer(Protocol):
    """A part of a round in which nodes wait for messages."""

    def after(self, ready: Times, machines: Machines) -> Times:
        """Return (n,) float64 seconds: when each node is done, given when it is ready to send."""
        ...

    def carried(self) -> tuple[Bytes, Bytes]:
        """Return (n,) uint64 each: the bytes that every node sends, arriving or not, and that reach it."""
        ...


@register_dataclass
@dataclass(frozen=True)
class LinkTransfer:
    """One message along each link; rows in fragments send one along each link of every fragment, all at once.

    Attributes:
        operator: operator of the round, which has the links.
        faults: faults of the round; None if all messages arrive.
        size: bytes of each message; of each fragment's messages, if rows are in fragments.
        repeats: number of repetitions, one after another; repetition k has the losses of exchange k.
    """

    operator: Operator
    faults: Faults | None
    size: int | tuple[int, ...] = static_field()
    repeats: int = static_field(default=1)

    def after(self, ready: Times, machines: Machines) -> Times:
        """Return (n,) float64 seconds: when each node is ready and has received all messages that reach it."""
        if self.repeats == 1:
            return self._once(self.faults, ready, machines)

        def once(k: Array, ready: Times) -> Times:
            return self._once(self._faults_of(k), ready, machines)

        return jax.lax.fori_loop(jnp.int32(0), jnp.int32(self.repeats), once, ready)

    def carried(self) -> tuple[Bytes, Bytes]:
        """Return (n,) uint64 each: the bytes that every node sends, arriving or not, and that reach it."""
        if self.repeats == 1:
            return self._carried(self.faults)

        def once(k: Array, so_far: tuple[Bytes, Bytes]) -> tuple[Bytes, Bytes]:
            sent, received = self._carried(self._faults_of(k))
            return so_far[0] + sent, so_far[1] + received

        none = _no_bytes(self.operator.n_nodes)
        return jax.lax.fori_loop(jnp.int32(0), jnp.int32(self.repeats), once, (none, none))

    def _carried(self, faults: Faults | None) -> tuple[Bytes, Bytes]:
        return self._bytes(faults, self.operator.arriving(faults), jnp.uint64)

    def _faults_of(self, k: Array) -> Faults | None:
        """Return the faults of repetition k."""
        return self.faults and self.faults._replace(key=jax.random.fold_in(self.faults.key, k))

    def _once(self, faults: Faults | None, ready: Times, machines: Machines) -> Times:
        arriving = self.operator.arriving(faults)
        up, down = self._bytes(faults, arriving, ready.dtype)
        # Fused into the gathers below, these would be recomputed for every neighbour.
        leaves, sent_off = jax.lax.optimization_barrier(
            (ready + machines.latency, ready + machines.latency + up / machines.up)
        )
        by_senders = self.operator.highest(sent_off, arriving)
        by_receivers = self.operator.highest(leaves, arriving) + down / machines.down
        return jnp.maximum(ready, machines.latency + jnp.maximum(by_senders, by_receivers))

    def _bytes(self, faults: Faults | None, arriving: Any, dtype: Any) -> tuple[Array, Array]:
        """Return the bytes, (n,) each, that every node sends, and that reach it."""
        sizes = (self.size,) if isinstance(self.size, int) else self.size
        masks = arriving if isinstance(self.operator, Fragments) else (arriving,)
        parts = list(zip(parts_of(self.operator), sizes, masks, strict=True))
        up = [size * part.sent(faults).astype(dtype) for part, size, _ in parts]
        down = [size * part.received(mask).astype(dtype) for part, size, mask in parts]
        return functools.reduce(jnp.add, up), functools.reduce(jnp.add, down)


@register_dataclass
@dataclass(frozen=True)
class ServerTransfer:
    """An exchange with a server, which waits for some nodes and which all nodes wait for.

    Attributes:
        nodes: (n,) bool, the nodes that the server waits for; if there are none, it continues when the first node is ready.
        received: bytes that each of these receives before its work.
        sent: bytes that each sends after it.
        receivers: (n,) bool, the nodes that the server's message reaches; None for ``nodes``.
        senders: (n,) bool, the nodes that send, arriving or not; None for ``nodes``.
    """

    nodes: NodeMask
    received: int = static_field()
    sent: int = static_field()
    receivers: NodeMask | None = field(default=None, kw_only=True)
    senders: NodeMask | None = field(default=None, kw_only=True)

    def after(self, ready: Times, machines: Machines) -> Times:
        """Return (n,) float64 seconds, the same for all: when the server has received the messages that it awaits."""
        lines = 2 * machines.latency + self.sent / machines.up + self.received / machines.down
        last = node_max(jnp.where(self.nodes, ready + lines, node_min(ready)))
        return jnp.broadcast_to(last, ready.shape)

    def carried(self) -> tuple[Bytes, Bytes]:
        """Return (n,) uint64 each: the bytes that every node sends to the server, and that it receives from it."""
        senders = self.nodes if self.senders is None else self.senders
        receivers = self.nodes if self.receivers is None else self.receivers
        return jnp.uint64(self.sent) * senders, jnp.uint64(self.received) * receivers


@register_dataclass
@dataclass(frozen=True)
class ClusterTransfer(ServerTransfer):
    """An exchange of each cluster with a server of its own, which the nodes of the cluster wait for.

    Attributes:
        seat: (n,) int32, the row that stands for the cluster of each row, the same for all of a cluster.
    """

    seat: NodeInts = field(kw_only=True)

    @override
    def after(self, ready: Times, machines: Machines) -> Times:
        """Return (n,) float64 seconds: when the server of each has received the messages that it awaits."""
        lines = 2 * machines.latency + self.sent / machines.up + self.received / machines.down
        seats, begun = everyone(self.seat), everyone(ready)
        awaited = everyone(jnp.where(self.nodes, ready + lines, -jnp.inf))
        first = jnp.full_like(begun, jnp.inf).at[seats].min(begun)
        last = first.at[seats].max(awaited)
        return own(last[seats])


@register_dataclass
@dataclass(frozen=True)
class BetweenServers(LinkTransfer):
    """Messages between the servers of clusters, of unlimited bandwidth and no latency: each waits for those that it hears.

    Attributes:
        seat: (n,) int32, the row that stands for the cluster of each row; the operator links these rows.
    """

    seat: NodeInts = field(kw_only=True)

    @override
    def _once(self, faults: Faults | None, ready: Times, machines: Machines) -> Times:
        heard = self.operator.highest(ready, self.operator.arriving(faults))
        return fetch(jnp.maximum(ready, heard), self.seat)

    @override
    def carried(self) -> tuple[Bytes, Bytes]:
        """Return zeros (n,) uint64: what servers send to each other is sent by no node."""
        none = _no_bytes(self.operator.n_nodes)
        return none, none


@register_dataclass
@dataclass(frozen=True)
class UnequalTransfer(LinkTransfer):
    """One message along each link, longer by bytes that its sender has its own number of.

    Attributes:
        more: (n,) int32, how many bytes each message of a node has beside ``size``.
    """

    more: NodeInts = field(kw_only=True)

    @override
    def _bytes(self, faults: Faults | None, arriving: Any, dtype: Any) -> tuple[Array, Array]:
        up, down = super()._bytes(faults, arriving, dtype)
        slots, more = self.operator.by_slots(), self.more.astype(dtype)
        heard = [slots.take(more, slot) for slot in range(slots.n_slots)]
        reaches = [slots.sends(slot) for slot in range(slots.n_slots)]
        if arriving is not None:
            reaches = [sent & arriving[:, slot] for slot, sent in enumerate(reaches)]
        longer = (jnp.where(*one, 0) for one in zip(reaches, heard, strict=True))
        return up + more * self.operator.sent(faults).astype(dtype), functools.reduce(jnp.add, longer, down)


@register_dataclass
@dataclass(frozen=True)
class Occasional:
    """A transfer that takes place in some rounds only.

    Attributes:
        transfer: the transfer.
        takes_place: () bool, whether it does in this round; if not, nobody waits.
    """

    transfer: Transfer
    takes_place: Bool[Array, ""]

    def after(self, ready: Times, machines: Machines) -> Times:
        """Return (n,) float64 seconds: when each node is done."""
        return jnp.where(self.takes_place, self.transfer.after(ready, machines), ready)

    def carried(self) -> tuple[Bytes, Bytes]:
        """Return (n,) uint64 each: the bytes that every node sends, and that reach it; none if it does not take place."""
        sent, received = self.transfer.carried()
        once = self.takes_place.astype(jnp.uint64)
        return once * sent, once * received


class Timing(Pytree):
    """The virtual clocks of a run.

    Args:
        speeds: speeds of the nodes.
        n_nodes: number of nodes.
        order: the order of the rows; None if row i is node i.

    Raises:
        InputError: ``speeds`` is of another number of nodes.
    """

    per_node = ("_words",)

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
            clock: the clocks before it.
            exchanges: the transfers of the round, in order.
            online: (n,) bool, the nodes that take part; None if all do.
            works: (n,) bool, the nodes that do their local work; None if all do.
            together: whether all nodes train one model, so that they wait for each other even without messages.
        """
        with jax.enable_x64(True):
            machines, start = Machines(*map(_seconds, self._words)), _seconds(clock)
            ready = start + machines.compute_s
            for mask in (online, works):
                ready = ready if mask is None else jnp.where(mask, ready, start)
            for exchange in exchanges:
                ready = exchange.after(ready, machines)
            if together and not exchanges:
                ready = jnp.broadcast_to(node_max(ready), ready.shape)
            return jax.lax.bitcast_convert_type(ready, jnp.uint32)


def _no_bytes(n_nodes: int) -> Bytes:
    return jnp.zeros(count_rows(n_nodes), jnp.uint64)


def _seconds(words: Clock) -> Times:
    return jax.lax.bitcast_convert_type(words, jnp.float64)


def to_words(seconds: np.ndarray) -> np.ndarray:
    """Return (…, 2) uint32 NumPy: the words of float64 numbers (…,)."""
    return np.ascontiguousarray(seconds, np.float64).view(np.uint32).reshape(*np.shape(seconds), 2)


def to_seconds(clock: Clock | np.ndarray) -> np.ndarray:
    """Return (…,) float64 NumPy: the seconds of clocks (…, 2)."""
    return np.ascontiguousarray(np.asarray(clock)).view(np.float64)[..., 0]
