"""Counts of what every node does in a run, from which its energy follows: rounds of work, bytes sent, bytes received.

They are 64-bit integers for models of any dtype, carried as pairs of 32-bit words. Work is counted where virtual time counts
it, in rounds; what is sent and received follows from the transfers of a round (:mod:`jaxgossip.network.wallclock`).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, UInt32

from jaxgossip.core.devices.blocks import count_rows
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.typing import NodeMask
from jaxgossip.network.energy import SPENT, Energy, Spent
from jaxgossip.network.wallclock import Clock, Transfer, to_seconds, to_words
from jaxgossip.topology import Order

Words = UInt32[Array, "n 2"]


class Meter(NamedTuple):
    """What the nodes have done, in row order.

    Attributes:
        works: (n,) uint32, rounds in which each node has done its local work.
        sent: (n, 2) uint32, the words of the bytes that it has sent.
        received: (n, 2) uint32, the words of the bytes that have reached it.
    """

    works: UInt32[Array, " n"]
    sent: Words
    received: Words


class Metering(Pytree):
    """The meters of a run, and what follows from them.

    Args:
        energy: what the machines of the nodes spend.
        n_nodes: number of nodes.
        order: the order of the rows; None if row i is node i.
        timed: whether the run keeps virtual time.

    Raises:
        InputError: ``energy`` is of another number of nodes, or of machines that draw power in virtual time, and none is
            kept.
    """

    per_node = ("_words",)

    def __init__(self, energy: Energy, n_nodes: int, order: Order | None = None, *, timed: bool = False) -> None:
        energy.check_idle(timed=timed)
        if energy.n_nodes != n_nodes:
            raise InputError(
                f"energy of {energy.n_nodes:,} nodes for a network of {n_nodes:,}", hint="one machine for each node"
            )
        arrays = (energy.work_j, energy.sent_j_byte, energy.received_j_byte, energy.idle_w, energy.battery_j)
        self._words = tuple(jnp.asarray(to_words(array if order is None else array[order.nodes])) for array in arrays)
        self.has_batteries, self._n_nodes = energy.has_batteries, n_nodes

    @property
    def energy(self) -> Energy:
        """What the machines spend, in row order."""
        return Energy(*(to_seconds(words) for words in self._words))

    def start(self) -> Meter:
        """Return the meters before the first round."""
        return new_meter(self._n_nodes)

    def advance(
        self, meter: Meter, exchanges: tuple[Transfer, ...], online: NodeMask | None, works: NodeMask | None
    ) -> Meter:
        """Return the meters after a round.

        Args:
            meter: the meters before it.
            exchanges: the transfers of the round.
            online: (n,) bool, the nodes that take part; None if all do.
            works: (n,) bool, the nodes that do their local work; None if all do.
        """
        done = jnp.ones_like(meter.works)
        for mask in (online, works):
            done = done if mask is None else done * mask.astype(done.dtype)
        with jax.enable_x64(True):
            sent, received = (jax.lax.bitcast_convert_type(words, jnp.uint64) for words in meter[1:])
            for exchange in exchanges:
                up, down = exchange.carried()
                sent, received = sent + up, received + down
            words = (jax.lax.bitcast_convert_type(bytes_, jnp.uint32) for bytes_ in (sent, received))
            return Meter(meter.works + done, *words)

    def alive(self, meter: Meter, clock: Clock | None) -> NodeMask | None:
        """Return (n,) bool, the nodes whose batteries are not spent; None if there are no batteries."""
        if not self.has_batteries:
            return None
        with jax.enable_x64(True):
            work_j, sent_j, received_j, idle_w, battery_j = map(_floats, self._words)
            sent, received = (jax.lax.bitcast_convert_type(words, jnp.uint64) for words in meter[1:])
            spent = work_j * meter.works + sent_j * sent + received_j * received
            if clock is not None:
                spent = spent + idle_w * _floats(clock)
            return spent < battery_j * (1 - SPENT)

    def record(self, meter: Any, clock: Any) -> dict[str, float | int]:
        """Return what a record has of energy, of meters and clocks on the host, clocks None if not kept."""
        return self.energy.record(spent_of(self.energy, meter, clock))


def new_meter(n_nodes: int) -> Meter:
    """Return meters of zeros."""
    zeros = jnp.zeros((count_rows(n_nodes), 2), jnp.uint32)
    return Meter(zeros[:, 0], zeros, zeros)


def spent_of(energy: Energy, meter: Any, clock: Any = None) -> Spent:
    """Return the joules that every node has spent; all arguments are in one order."""
    works, sent, received = np.asarray(meter.works), *(to_counts(words) for words in meter[1:])
    return energy.spent(works, sent, received, None if clock is None else to_seconds(clock))


def to_counts(words: Any) -> np.ndarray:
    """Return (…,) uint64 NumPy: the counts of words (…, 2)."""
    return np.ascontiguousarray(np.asarray(words)).view(np.uint64)[..., 0]


def _floats(words: Words) -> Float64[Array, " n"]:
    return jax.lax.bitcast_convert_type(words, jnp.float64)
