"""Mixing drawn anew each round: random matchings, and random peers by push or by pull.

On the complete graph, peers are uniform over all other nodes; on any other graph, over the node's neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Int

from jaxgossip.core.devices.blocks import are_nodes, at_hand, own, own_of, row_numbers
from jaxgossip.core.devices.exchanges import everyone, sum_of_sent
from jaxgossip.core.errors import GraphError
from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.random import NodeDraws
from jaxgossip.core.rows import gather, materialize
from jaxgossip.core.typing import NodeFloats, NodeInts, PRNGKey, Rows, SlotInts, SlotMask, accumulator, derived
from jaxgossip.mixing.bijection import random_bijection
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.operator import Operator, TimeVarying
from jaxgossip.mixing.operators.tables import Slots, select_rows
from jaxgossip.topology.graph import Complete, Graph


@pytree_dataclass
class Neighbours:
    """The peers among which each node chooses: neighbour lists on the device, or all other nodes.

    Attributes:
        start: (n,) int32, the start of the list of each row; None for the complete graph.
        degree: (n,) int32, the length of each list, in order of the nodes; None for the complete graph.
        indices: (m,) int32, the lists, of row numbers; None for the complete graph.
        nodes: (n,) int32, the node of each row; None if row i is node i.
        n_nodes: number of nodes.
        numbering: the order of the rows (see :class:`jaxgossip.topology.Order`).
    """

    start: NodeInts | None
    degree: NodeInts | None
    indices: Int[Array, " m"] | None
    nodes: NodeInts | None
    n_nodes: int = static_field()
    numbering: str = static_field()

    @classmethod
    def of(cls, graph: Graph) -> "Neighbours":
        """Return the neighbours in ``graph``.

        Raises:
            GraphError: the graph is directed, or a node has no neighbour.
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
            indptr, entries = select_rows(indptr, order.nodes)
            indices = order.rows[indices[entries]]
        return cls(
            jnp.asarray(indptr[:-1].astype(np.int32)),
            jnp.asarray(graph.degrees.astype(np.int32)),
            jnp.asarray(indices),
            None if order is None else jnp.asarray(order.nodes),
            graph.n_nodes,
            "" if order is None else order.numbering,
        )

    @property
    def draws(self) -> NodeDraws:
        """Draws by node, which a node has the same in any order of rows."""
        return NodeDraws(self.n_nodes, self.nodes)

    def choose(self, key: PRNGKey, fanout: int) -> Int[Array, "n fanout"]:
        """Draw ``fanout`` distinct neighbours per node, as row numbers; missing ones are the node's own row."""
        row = row_numbers(self.n_nodes)
        if self.degree is None:
            population = jnp.full(row.shape, self.n_nodes - 1, jnp.int32)
        else:
            population = gather(self.degree, jnp.minimum(self.draws.numbers(), self.n_nodes - 1))
        node, rank = row[:, None], draw_distinct(key, population, fanout, self.draws.integers)
        if self.start is None or self.indices is None:
            chosen = jnp.where(rank < 0, node, rank + (rank >= node))
        else:
            chosen = jnp.where(rank < 0, node, gather(self.indices, own(self.start)[:, None] + jnp.maximum(rank, 0)))
        real = are_nodes(self.n_nodes)
        return chosen if real is None else jnp.where(real[:, None], chosen, node)


def draw_distinct(
    key: PRNGKey,
    population: NodeInts,
    size: int,
    integers: Callable[[PRNGKey, NodeInts], NodeInts] | None = None,
) -> Int[Array, "n size"]:
    """Draw ``size`` distinct numbers below ``population[i]`` for each i, (n, size) int32; -1 once none are left.

    Draw j is uniform over the numbers that are left: it is drawn below population − j, then incremented for each earlier
    draw, in ascending order, that is not above it.

    Args:
        key: key of the draw.
        population: (n,) int32.
        size: how many numbers are drawn.
        integers: (key, bounds (n,)) -> (n,) int32, uniform below the bounds; None for ``jax.random.randint``.
    """
    integers = integers or (lambda key, bounds: jax.random.randint(key, bounds.shape, 0, bounds, jnp.int32))
    drawn: list[Array] = []
    for j in range(size):
        left = population - j
        draw = integers(jax.random.fold_in(key, j), jnp.maximum(left, 1))
        earlier = jnp.sort(jnp.stack(drawn), axis=0) if drawn else ()
        for before in earlier:
            draw = draw + (draw >= before)
        drawn.append(jnp.where(left > 0, draw, jnp.iinfo(jnp.int32).max))
    ranks = jnp.stack(drawn, axis=1)
    return jnp.where(ranks == jnp.iinfo(jnp.int32).max, -1, ranks)


@dataclass(frozen=True, eq=False)
class RandomPeers(TimeVarying):
    """Mixing in which nodes draw their peers anew each round.

    Attributes:
        neighbours: the peers among which each node chooses.
    """

    neighbours: Neighbours

    @derived
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.neighbours.n_nodes

    @derived
    def numbering(self) -> str:
        """The order of the rows."""
        return self.neighbours.numbering


@pytree_dataclass
class RandomMatching(RandomPeers):
    """Every round nodes are paired at random, and pairs average: W = (I + P)/2, symmetric and doubly stochastic.

    On the complete graph the matching is uniform, and perfect but for one node if n is odd: partner(i) = π⁻¹(π(i) xor 1)
    for a random permutation π. On other graphs there are ``attempts`` handshakes: a fair coin makes each free node a
    caller or a listener, each caller calls a random neighbour, and each listener accepts one of its callers at random.
    Four attempts pair about 70 % of the nodes of a random regular graph.

    Attributes:
        neighbours: the peers among which each node chooses.
        attempts: number of handshakes per round; unused on the complete graph.
    """

    attempts: int = static_field(default=4)

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        partner, complete = materialize(self.partners(key)), self.neighbours.start is None
        if complete and self.n_nodes % 2 == 0:
            half = jnp.asarray(0.5)
            return Slots(half, (half,), (partner,), self.n_nodes, balanced=True, numbering=self.neighbours.numbering)
        return pair_averaging(partner, self.n_nodes - 1 if complete else None, self.neighbours.numbering)

    def partners(self, key: PRNGKey) -> NodeInts:
        """Draw (n,) int32, an involution: the partner of each node, which is itself if the node is idle."""
        n = self.n_nodes
        if self.neighbours.start is None:
            node = row_numbers(n)
            bijection = random_bijection(key, n)
            seat = bijection(jnp.minimum(node, n - 1).astype(jnp.uint32)) ^ 1
            partner = bijection.inverse(jnp.minimum(seat, n - 1)).astype(jnp.int32)
            return jnp.where((seat < n) & (node < n), partner, node)
        drawn = own_of(lambda: self._shaken_hands(key))
        return drawn if (real := are_nodes(n)) is None else jnp.where(real, drawn, row_numbers(n))

    def _shaken_hands(self, key: PRNGKey) -> NodeInts:
        """Draw the partners of all nodes by handshakes."""
        partner = jnp.arange(self.n_nodes, dtype=jnp.int32)
        for attempt in range(self.attempts):
            partner = self._handshake(partner, jax.random.fold_in(key, attempt))
        return partner

    def _handshake(self, partner: NodeInts, key: PRNGKey) -> NodeInts:
        """Return ``partner`` after one handshake among the nodes that are still free."""
        n = self.n_nodes
        node = jnp.arange(n, dtype=jnp.int32)
        keys, draws = jax.random.split(key, 3), self.neighbours.draws
        free = partner == node
        calls = free & (draws.uniform(keys[0]) < 0.5)
        callee = self.neighbours.choose(keys[1], 1)[:, 0]
        listens = gather(free & ~calls, callee)
        callee = jnp.where(calls & listens, callee, n)  # n: no callee
        # Ranks are distinct, so each listener has one winner, and integer maxima do not depend on the order: these
        # scatters are reproducible on every device.
        rank = random_bijection(keys[2], n)(draws.numbers().astype(jnp.uint32)) + 1
        best = jnp.zeros(n, jnp.uint32).at[callee].max(rank, mode="drop")
        accepted = (callee < n) & (gather(best, jnp.minimum(callee, n - 1)) == rank)
        caller = jnp.full(n, -1, jnp.int32).at[jnp.where(accepted, callee, n)].set(node, mode="drop")
        return jnp.where(accepted, callee, jnp.where(caller >= 0, caller, partner)).astype(jnp.int32)


def pair_averaging(partner: NodeInts, n_links: int | None, numbering: str) -> Slots:
    """Return the operator that averages each node with its ``partner`` (n,); nodes that are their own keep their rows.

    A node without a partner hears no one rather than itself, so noise or lies in the row that it sends never return to it.
    """
    paired = partner != row_numbers(partner.shape[0])
    shared = jnp.where(paired, jnp.asarray(0.5), 0)
    return Slots(1 - shared, (shared,), (partner,), n_links, balanced=True, numbering=numbering)


@pytree_dataclass
class RandomPull(RandomPeers):
    """Every round each node pulls from ``fanout`` = k random peers and averages, with weights 1/(k + 1).

    Rows sum to one; columns do only in expectation.

    Attributes:
        neighbours: the peers among which each node chooses.
        fanout: k, number of peers per node and round.
    """

    fanout: int = static_field()

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        sources = materialize(self.neighbours.choose(key, self.fanout))
        heard = sources != row_numbers(self.n_nodes)[:, None]
        share = 1 / (1 + heard.sum(1).astype(jnp.result_type(float)))
        weights = tuple(jnp.where(column, share, 0) for column in heard.T)
        return Slots(share, weights, tuple(sources.T), on_request=True, numbering=self.neighbours.numbering)


@pytree_dataclass
class RandomPush(RandomPeers):
    """Every round each node sends to ``fanout`` random peers and averages its row with all that arrive.

    On the complete graph this is EL-Local (de Vos et al. 2023, "Epidemic learning"). W is row-stochastic only: the mean
    drifts.

    Attributes:
        neighbours: the peers among which each node chooses.
        fanout: number of peers per node and round.
    """

    fanout: int = static_field()

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        return Push(materialize(self.neighbours.choose(key, self.fanout)), self.neighbours.numbering)


@dataclass(frozen=True, eq=False)
class PushOperator(Operator):
    """An operator on pushed messages: the messages that arrive, without the arithmetic on them.

    Attributes:
        targets: (n, k) int32, the rows that each row sends to; its own number where it sends nothing.
        numbering: the order of the rows (see :class:`jaxgossip.topology.Order`).
    """

    targets: SlotInts
    numbering: str = static_field(default="")

    @derived
    @override
    def n_nodes(self) -> int:
        block = at_hand()
        return self.targets.shape[0] if block is None else block.n_nodes

    @override
    def arriving(self, faults: Faults | None) -> SlotMask:
        return materialize(arriving_pushes(self.targets, faults))

    @override
    def highest(self, values: NodeFloats, arriving: SlotMask) -> NodeFloats:
        return max_received(values, self.targets, arriving)

    @override
    def received(self, arriving: SlotMask) -> NodeInts:
        return count_received(self.targets, arriving)

    @override
    def out_degrees(self) -> NodeInts:
        return arriving_pushes(self.targets, None).sum(1, dtype=jnp.int32)


@pytree_dataclass
class Push(PushOperator):
    """W that averages what arrives: y_i = (x_i + Σ_s x_s)/(1 + number of senders s whose messages reach i)."""

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        arrives = arriving_pushes(self.targets, faults)
        wide = sent.astype(accumulator(sent.dtype))
        heard, counts = sum_of_sent(wide, self.targets, arrives)
        number = 1 + counts.astype(wide.dtype)[:, None]
        return 1 / number[:, 0], heard / number

    @override
    def to_scipy(self) -> sp.csr_array:
        links = link_matrix(np.asarray(self.targets))
        share = sp.diags_array(1 / (1 + links.sum(1)))
        return sp.csr_array(share @ (links + sp.eye_array(self.n_nodes)))


def arriving_pushes(targets: SlotInts, faults: Faults | None) -> SlotMask:
    """Return (n, k) bool: which messages to ``targets`` arrive; a node that targets itself sends nothing."""
    rows = row_numbers(targets.shape[0])[:, None]
    sent = targets != rows
    return sent if faults is None else sent & faults.arrive(targets, rows)


def count_received(targets: SlotInts, arrives: SlotMask) -> NodeInts:
    """Return (n,) int32: the number of messages to ``targets`` that reach each node, given the mask ``arrives``."""
    targets, arrives = everyone(targets), everyone(arrives)
    number = jnp.zeros(targets.shape[0], jnp.int32)
    return own(number.at[jnp.where(arrives, targets, number.size)].add(1, mode="drop"))


def max_received(values: NodeFloats, targets: SlotInts, arrives: SlotMask) -> NodeFloats:
    """Return (n,): the largest value that reaches each node; the lowest finite number if none does."""
    values, targets, arrives = everyone(values), everyone(targets), everyone(arrives)
    lowest = jnp.full(values.shape, jnp.finfo(values.dtype).min, values.dtype)
    target = jnp.where(arrives, targets, values.size)
    return own(lowest.at[target].max(jnp.broadcast_to(values[:, None], target.shape), mode="drop"))


def link_matrix(targets: np.ndarray) -> sp.csr_array:
    """Return (n, n) CSR: 1 where the node of the row hears that of the column, given the targets of each node."""
    n, k = targets.shape
    senders = np.repeat(np.arange(n), k)
    real = targets.ravel() != senders
    return sp.csr_array((np.ones(real.sum()), (targets.ravel()[real], senders[real])), shape=(n, n))
