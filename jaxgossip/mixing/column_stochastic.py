"""Column-stochastic mixing for push-sum: a node splits its mass between itself and its receivers.

    y_i = A_ii x_i + Σ_j A_ij x_j,   A_ij = 1/(1 + outdeg_j) if j sends to i, or i = j                 (columns sum to one)

**The mass of a lost message stays with its sender**, which learns of the loss: columns still sum to one, and the sum of x
over all nodes is conserved. (In row-stochastic mixing the weight of a lost message stays with the receiver; see
:mod:`jaxgossip.mixing.operator`.) Kempe, Dobra and Gehrke 2003, "Gossip-based computation of aggregate information";
directed graphs: Nedić and Olshevsky 2015, "Distributed optimization over time-varying directed graphs".
"""

from typing import ClassVar, override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array

from jaxgossip.core.counting import Count
from jaxgossip.core.devices.blocks import are_nodes, count_rows, row_numbers
from jaxgossip.core.devices.exchanges import sum_of_sent
from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, Rows, accumulator, derived
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.operator import Conserved, Operator, TimeVarying, column
from jaxgossip.mixing.operators.tables import Slots
from jaxgossip.mixing.time_varying.peers import (
    PushOperator,
    RandomPeers,
    arriving_pushes,
    link_matrix,
)


@pytree_dataclass
class Mass(Operator):
    """Mass-conserving mixing on fixed links, made of two operators with these links.

    Attributes:
        inward: operator on the links of the graph, with equal weights.
        outward: operator on the reversed links, with equal weights.
        share: scalar or (n,), the share of its mass that a node sends along each link: 1/(1 + out-degree).
        unit: scalar, the weight of each link of ``inward`` and ``outward``.
    """

    per_node = ("share",)
    inward: Operator
    outward: Operator
    share: Array
    unit: Array
    conserves: ClassVar[Conserved] = "mass"

    @derived
    @override
    def n_nodes(self) -> int:
        return self.inward.n_nodes

    @derived
    @override
    def numbering(self) -> str:
        return self.inward.numbering

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        dtype = accumulator(sent.dtype)
        share, unit = self.share.astype(dtype), self.unit.astype(dtype)
        _, heard = self.inward.hear(column(share / unit, dtype) * sent, faults)
        if faults is None:
            _, given = self.outward.hear(jnp.ones((count_rows(self.n_nodes), 1), dtype), None)
        else:
            _, given = self.outward.hear(jnp.ones((count_rows(self.n_nodes), 1), dtype), faults.reversed())
        return 1 - share * given[:, 0] / unit, heard

    @property
    @override
    def links(self) -> Operator:
        return self.inward

    @override
    def messages(self, faults: Faults | None) -> Count:
        return self.inward.messages(faults)

    @override
    def to_scipy(self) -> sp.csr_array:
        n = self.n_nodes
        links = self.inward.to_scipy()
        links = sp.csr_array(links - sp.diags_array(links.diagonal()))
        links.eliminate_zeros()
        links.data[:] = 1
        share = np.broadcast_to(np.asarray(self.share, np.float64), n)
        kept = 1 - share * np.asarray(links.sum(0)).ravel()
        return sp.csr_array(links @ sp.diags_array(share) + sp.diags_array(kept))


@pytree_dataclass
class MassPush(PushOperator):
    """Mass-conserving mixing in which each node sends 1/(1 + number of targets) of its mass to each target."""

    conserves: ClassVar[Conserved] = "mass"

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        dtype = accumulator(sent.dtype)
        arrives = arriving_pushes(self.targets, faults)
        share = 1 / (1 + arriving_pushes(self.targets, None).sum(1).astype(dtype))
        heard, _ = sum_of_sent(share[:, None] * sent.astype(dtype), self.targets, arrives)
        return 1 - share * arrives.sum(1), heard

    @override
    def to_scipy(self) -> sp.csr_array:
        links = link_matrix(np.asarray(self.targets)) + sp.eye_array(self.n_nodes)
        return sp.csr_array(links @ sp.diags_array(1 / np.asarray(links.sum(0)).ravel()))


@pytree_dataclass
class PushSum(RandomPeers):
    """Mass-conserving mixing in which every round each node sends to ``fanout`` random peers.

    Attributes:
        neighbours: the peers among which each node chooses.
        fanout: number of peers per node and round.
    """

    fanout: int = static_field()
    conserves: ClassVar[Conserved] = "mass"

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        return MassPush(materialize(self.neighbours.choose(key, self.fanout)), self.neighbours.numbering)


@pytree_dataclass
class PushSumExponential(TimeVarying):
    """Mixing in which each node sends half of its mass to the node at distance 2^(r mod τ) in round r, τ = ⌈log₂ n⌉.

    The directed one-peer exponential graph of Assran, Loizou, Ballas and Rabbat 2019, "Stochastic gradient push".
    """

    n_nodes: int = static_field()
    conserves: ClassVar[Conserved] = "mass"

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        n, half = self.n_nodes, jnp.asarray(0.5)
        distance = jnp.left_shift(1, round_number % max(1, (n - 1).bit_length()))
        node, real = row_numbers(n), are_nodes(n)
        peers = [((node + step) % n).astype(jnp.int32) for step in (distance, -distance)]
        sources, targets = (materialize(peer if real is None else jnp.where(real, peer, node)) for peer in peers)
        links = n if n > 1 else 0
        inward, outward = (Slots(half, (half,), (peer,), links, balanced=True) for peer in (sources, targets))
        return Mass(inward, outward, half, half)
