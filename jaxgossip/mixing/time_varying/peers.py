"""Mixing that is drawn anew each round: random pairs, and random peers by push or by pull.

On the complete graph peers are uniform over all other nodes; on any other graph they are a node's own neighbours.
"""

import functools
from dataclasses import dataclass, field
from typing import override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Int

from jaxgossip.core.errors import GraphError
from jaxgossip.core.pytree import register_dataclass
from jaxgossip.core.rows import gather, settle
from jaxgossip.core.typing import NodeFloats, NodeInts, PRNGKey, Rows, SlotInts, SlotMask, accumulator, derived
from jaxgossip.mixing.bijection import random_bijection
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.operator import Operator, TimeVarying
from jaxgossip.mixing.operators.tables import Slots, taken_rows
from jaxgossip.topology.graph import Complete, Graph

_static = functools.partial(field, metadata={"static": True})


@register_dataclass
@dataclass(frozen=True, eq=False)
class Neighbours:
    """Whom each node may choose: the lists of a graph on the device, or everybody else.

    Attributes:
        start: (n,) int32, where a row's list starts; None for the complete graph.
        degree: (n,) int32, the length of each node's list, by node; None for the complete graph.
        indices: (m,) int32, the lists, of rows; None for the complete graph.
        nodes: (n,) int32, the node that each row stands for; None where row i is node i.
        n_nodes: number of nodes.
        numbering: which order of the nodes the rows are in (see :class:`jaxgossip.topology.Order`).
    """

    start: NodeInts | None
    degree: NodeInts | None
    indices: Int[Array, " m"] | None
    nodes: NodeInts | None
    n_nodes: int = _static()
    numbering: str = _static()

    @classmethod
    def of(cls, graph: Graph) -> "Neighbours":
        """Return the neighbours in ``graph``.

        Raises:
            GraphError: the graph is directed, or a node has no neighbour to talk to.
        """
        if graph.directed:
            raise GraphError(
                f"random peers need an undirected graph, and {graph.name} is directed",
                hint="topology.kind = 'ring' or another undirected one, or mixing.kind = 'static' or 'push_sum'",
            )
        if graph.n_nodes < 2:
            raise GraphError("random peers need at least two nodes", hint="topology.nodes = 2 or more")
        if isinstance(graph.structure, Complete):
            return cls(None, None, None, None, graph.n_nodes, "")
        if graph.degrees.min() == 0:
            lonely = graph.name_of(int(graph.degrees.argmin()))
            raise GraphError(
                f"node {lonely} of {graph.name} has no neighbour to talk to",
                hint="link it, or leave it out; or mixing.kind = 'static'",
            )
        indptr, indices, order = graph.indptr, graph.indices, graph.order
        if order is not None:
            indptr, entries = taken_rows(indptr, order.nodes)
            indices = order.rows[indices[entries]]
        return cls(
            jnp.asarray(indptr[:-1].astype(np.int32)),
            jnp.asarray(graph.degrees.astype(np.int32)),
            jnp.asarray(indices),
            None if order is None else jnp.asarray(order.nodes),
            graph.n_nodes,
            "" if order is None else order.numbering,
        )

    def by_row(self, drawn: Array) -> Array:
        """Return what was drawn node by node, (n, ...), row by row: a node draws the same wherever its row stands."""
        return drawn if self.nodes is None else gather(drawn, self.nodes)

    def choose(self, key: PRNGKey, fanout: int) -> Int[Array, "n fanout"]:
        """Draw the rows of ``fanout`` distinct neighbours a node; a node with fewer names its own row in the rest."""
        node = jnp.arange(self.n_nodes, dtype=jnp.int32)[:, None]
        choices = self.n_nodes - 1 if self.degree is None else self.degree
        rank = self.by_row(distinct(key, jnp.broadcast_to(jnp.asarray(choices, jnp.int32), (self.n_nodes,)), fanout))
        if self.start is None or self.indices is None:
            return jnp.where(rank < 0, node, rank + (rank >= node))
        return jnp.where(rank < 0, node, gather(self.indices, self.start[:, None] + jnp.maximum(rank, 0)))


def distinct(key: PRNGKey, population: NodeInts, size: int) -> Int[Array, "n size"]:
    """Draw ``size`` distinct numbers below ``population[i]`` for every i, as (n, size) int32; -1 where there are no more.

    Draw j is uniform over what the earlier draws left: below population − j, then moved up past each earlier draw that
    is not above it, taken in ascending order.
    """
    drawn: list[Array] = []
    for j in range(size):
        left = population - j
        draw = jax.random.randint(jax.random.fold_in(key, j), population.shape, 0, jnp.maximum(left, 1), jnp.int32)
        earlier = jnp.sort(jnp.stack(drawn), axis=0) if drawn else ()
        for before in earlier:
            draw = draw + (draw >= before)
        drawn.append(jnp.where(left > 0, draw, jnp.iinfo(jnp.int32).max))
    ranks = jnp.stack(drawn, axis=1)
    return jnp.where(ranks == jnp.iinfo(jnp.int32).max, -1, ranks)


@dataclass(frozen=True, eq=False)
class AmongNeighbours(TimeVarying):
    """Mixing in which nodes draw whom they talk to, anew each round.

    Attributes:
        neighbours: whom each node may choose.
    """

    neighbours: Neighbours

    @derived
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.neighbours.n_nodes

    @derived
    def numbering(self) -> str:
        """Which order of the nodes its rows are in."""
        return self.neighbours.numbering


@register_dataclass
@dataclass(frozen=True, eq=False)
class RandomMatching(AmongNeighbours):
    """Every round pairs nodes at random, and each pair averages: W = (I + P)/2, symmetric and doubly stochastic.

    On the complete graph the matching is perfect and uniform (one node is left over if n is odd):
    partner(i) = π⁻¹(π(i) xor 1) for a random permutation π. On another graph nodes shake hands ``attempts`` times: a fair
    coin makes each node that is still free a caller or a listener; a caller calls a random neighbour; a listener answers
    one of its callers at random. Four attempts pair some 70 % of the nodes of a random regular graph.
    """

    attempts: int = _static(default=4)

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        partner, everybody = settle(self.partners(key)), self.neighbours.start is None
        if everybody and self.n_nodes % 2 == 0:
            half = jnp.asarray(0.5)
            return Slots(half, (half,), (partner,), self.n_nodes, balanced=True, numbering=self.neighbours.numbering)
        return pairs(partner, self.n_nodes - 1 if everybody else None, self.neighbours.numbering)

    def partners(self, key: PRNGKey) -> NodeInts:
        """Draw (n,) int32: whom each node meets; itself if nobody. An involution."""
        n = self.n_nodes
        node = jnp.arange(n, dtype=jnp.int32)
        if self.neighbours.start is None:
            bijection = random_bijection(key, n)
            seat = bijection(node.astype(jnp.uint32)) ^ 1
            partner = bijection.inverse(jnp.minimum(seat, n - 1)).astype(jnp.int32)
            return jnp.where(seat < n, partner, node)
        partner = node
        for attempt in range(self.attempts):
            partner = self._handshake(partner, jax.random.fold_in(key, attempt))
        return partner

    def _handshake(self, partner: NodeInts, key: PRNGKey) -> NodeInts:
        """Return ``partner`` with some of the nodes that had none paired up."""
        n = self.n_nodes
        node = jnp.arange(n, dtype=jnp.int32)
        keys, by_row = jax.random.split(key, 3), self.neighbours.by_row
        free = partner == node
        calls = free & by_row(jax.random.bernoulli(keys[0], 0.5, (n,)))
        callee = self.neighbours.choose(keys[1], 1)[:, 0]
        listens = gather(free & ~calls, callee)
        callee = jnp.where(calls & listens, callee, n)  # n: nobody
        # Distinct ranks leave one winner a listener, and integer maxima are the same in any order: these scatters are
        # reproducible on every device.
        rank = by_row(random_bijection(keys[2], n)(node.astype(jnp.uint32))) + 1
        best = jnp.zeros(n, jnp.uint32).at[callee].max(rank, mode="drop")
        heard = (callee < n) & (gather(best, jnp.minimum(callee, n - 1)) == rank)
        answered = jnp.full(n, -1, jnp.int32).at[jnp.where(heard, callee, n)].set(node, mode="drop")
        return jnp.where(heard, callee, jnp.where(answered >= 0, answered, partner)).astype(jnp.int32)


def pairs(partner: NodeInts, n_links: int | None, numbering: str) -> Slots:
    """Return the operator in which each node averages with its ``partner`` (n,); who is its own keeps its row whole.

    A node without a partner hears nobody, not itself: what it says, a lie or through noise, never comes back to it.
    """
    paired = partner != jnp.arange(partner.shape[0])
    shared = jnp.where(paired, jnp.asarray(0.5), 0)
    return Slots(1 - shared, (shared,), (partner,), n_links, balanced=True, numbering=numbering)


@register_dataclass
@dataclass(frozen=True, eq=False)
class RandomPull(AmongNeighbours):
    """Every round each node asks ``fanout`` random peers and averages with them: rows 1/(k+1); columns only on average."""

    fanout: int = _static()

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        sources = settle(self.neighbours.choose(key, self.fanout))
        heard = sources != jnp.arange(self.n_nodes)[:, None]
        share = 1 / (1 + heard.sum(1).astype(jnp.result_type(float)))
        weights = tuple(jnp.where(column, share, 0) for column in heard.T)
        return Slots(share, weights, tuple(sources.T), on_request=True, numbering=self.neighbours.numbering)


@register_dataclass
@dataclass(frozen=True, eq=False)
class RandomPush(AmongNeighbours):
    """Every round each node sends to ``fanout`` random peers; a node averages its row with all that arrived.

    With the complete graph this is EL-Local (de Vos et al. 2023, "Epidemic Learning"). Row-stochastic: the mean drifts.
    """

    fanout: int = _static()

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        return Push(settle(self.neighbours.choose(key, self.fanout)), self.neighbours.numbering)


class Pushing(Operator):
    """What a push does to clocks and counts, whatever is made of what arrives.

    Attributes:
        targets: (n, k) int32, to whom each node sends; itself where it sends nothing.
    """

    targets: SlotInts

    @derived
    @override
    def n_nodes(self) -> int:
        return self.targets.shape[0]

    @override
    def arriving(self, faults: Faults | None) -> SlotMask:
        return settle(pushed(self.targets, faults))

    @override
    def highest(self, values: NodeFloats, arriving: SlotMask) -> NodeFloats:
        return highest_pushed(values, self.targets, arriving)

    @override
    def received(self, arriving: SlotMask) -> NodeInts:
        return received_pushes(self.targets, arriving)

    @override
    def out_degrees(self) -> NodeInts:
        return pushed(self.targets, None).sum(1, dtype=jnp.int32)


@register_dataclass
@dataclass(frozen=True, eq=False)
class Push(Pushing):
    """y_i = (x_i + Σ x_s over the senders s that reach i) / (1 + their number).

    Attributes:
        targets: (n, k) int32, to whom each node sends; itself where it sends nothing.
        numbering: which node each row stands for (see :class:`jaxgossip.topology.Order`).
    """

    targets: SlotInts
    numbering: str = _static(default="")

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        arrives = pushed(self.targets, faults)
        wide = sent.astype(accumulator(sent.dtype))
        number = 1 + scattered(jnp.ones((self.n_nodes, 1), wide.dtype), self.targets, arrives)
        # Messages are summed sender by sender in index order.
        return 1 / number[:, 0], scattered(wide, self.targets, arrives) / number

    @override
    def to_scipy(self) -> sp.csr_array:
        links = link_matrix(np.asarray(self.targets))
        share = sp.diags_array(1 / (1 + links.sum(1)))
        return sp.csr_array(share @ (links + sp.eye_array(self.n_nodes)))


def pushed(targets: SlotInts, faults: Faults | None) -> SlotMask:
    """Return (n, k): which of the messages to ``targets`` arrive; a node that names itself sends nothing."""
    rows = jnp.arange(targets.shape[0], dtype=jnp.int32)[:, None]
    sent = targets != rows
    return sent if faults is None else sent & faults.arrive(targets, rows)


def received_pushes(targets: SlotInts, arrives: SlotMask) -> NodeInts:
    """Return (n,) int32: how many of the messages to ``targets`` that ``arrives`` tells of reach each node."""
    number = jnp.zeros(targets.shape[0], jnp.int32)
    return number.at[jnp.where(arrives, targets, number.size)].add(1, mode="drop")


def highest_pushed(values: NodeFloats, targets: SlotInts, arrives: SlotMask) -> NodeFloats:
    """Return (n,): the largest value that reaches each node, the lowest number if none does."""
    lowest = jnp.full(values.shape, jnp.finfo(values.dtype).min, values.dtype)
    target = jnp.where(arrives, targets, values.size)
    return lowest.at[target].max(jnp.broadcast_to(values[:, None], target.shape), mode="drop")


def scattered(rows: Rows, targets: SlotInts, arrives: SlotMask) -> Rows:
    """Return (n, p): the sum of the rows that reach each node, sender by sender in index order."""
    heard = jnp.zeros_like(rows)
    for slot in range(targets.shape[1]):
        heard = heard.at[jnp.where(arrives[:, slot], targets[:, slot], rows.shape[0])].add(rows, mode="drop")
    return heard


def link_matrix(targets: np.ndarray) -> sp.csr_array:
    """Return (n, n): 1 where row's node hears column's, by whom each node sends to."""
    n, k = targets.shape
    senders = np.repeat(np.arange(n), k)
    real = targets.ravel() != senders
    return sp.csr_array((np.ones(real.sum()), (targets.ravel()[real], senders[real])), shape=(n, n))
