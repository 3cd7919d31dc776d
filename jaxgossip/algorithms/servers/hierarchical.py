"""Hierarchical federated averaging: clusters of nodes with a server each, and gossip between the servers, z_c their models:

    every round       x_i = z_c after τ local steps, for the sampled nodes i of cluster c;   z_c⁺ = Σ_i m_i x_i / Σ_i m_i
    every k rounds    Z⁺ = W^g Z                        W: weights of the servers, m_i = samples of node i
                                                              (in stacked form X⁺ = C W^g M (X + U), C from clusters to nodes)
Servers that mix completely are the edge servers of one cloud (HierFAVG); over a sparse graph, learning is semi-decentralised
(SD-FEEL). One cluster is federated averaging, and clusters of one node are D-SGD over W. The gossip of servers keeps the mean
over all nodes if clusters are of one size and the columns of W sum to one.

Nodes and uploads fail as in federated averaging; a server that hears nobody keeps its model. Servers are always online, and
what they lose of each other leaves its weight with the receiver. Nodes wait for their own server, and this for its neighbours.

Liu, Zhang, Song and Letaief 2020, "Client-edge-cloud hierarchical federated learning", algorithm 1. Sun, Shao, Mao, Wang and
Zhang 2022, "Semi-decentralized federated edge learning for fast convergence on non-IID data", algorithm 1.
"""

from dataclasses import replace
from typing import ClassVar, NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one
from jaxgossip.algorithms.base import Algorithm, Method, descend, fixed_operator
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.servers.server import (
    Participants,
    exchanged,
    fresh_on,
    participants,
    sampled_nodes,
    samples_of,
)
from jaxgossip.core.arguments import shown
from jaxgossip.core.devices.exchanges import fetch, of_row, only_nodes, sum_of_sent
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Operator, metropolis_hastings, operator
from jaxgossip.network import Links, Round, Traffic
from jaxgossip.network.wallclock import BetweenServers, ClusterTransfer
from jaxgossip.topology import TOPOLOGIES, Graph
from jaxgossip.topology.weights import from_matrix


class Clustered(NamedTuple):
    """State of hierarchical averaging.

    Attributes:
        x: (n, p) the model of each node's server, with the node's own private columns.
    """

    x: Rows


class Hierarchical(Method):
    """See :func:`hierarchical_averaging`."""

    counts: ClassVar[tuple[str, ...]] = ("rounds",)
    per_node: ClassVar[tuple[str, ...]] = ("seat",)

    optimizer: Transformation
    sampled: int
    local_steps: Steps
    every: int
    gossip_steps: int
    seat: NodeInts  # (n,) int32, the row where the server of each row's cluster works: that of the cluster's first node

    @override
    def init(self, problem: Problem, key: PRNGKey) -> Clustered:
        x = problem.init(key)
        common = jnp.broadcast_to(of_row(x, 0), x.shape)
        return Clustered(jnp.where(_is_shared(problem), common, x))

    @override
    def step(self, problem: Problem, W: Operator, state: Clustered, round_: Round) -> tuple[Clustered, Traffic]:
        begun = fresh_on(problem, self.optimizer, state.x, round_)
        after = widened(descend(problem, self.optimizer, begun, round_, self.local_steps).x)
        part = participants(problem, round_, self.sampled)
        kept = jnp.where(part.reached[:, None], after, state.x)  # of which the private columns stay
        means = jnp.where(_is_shared(problem), self._means(problem, part, after, widened(state.x)), kept)
        if self.every == 1:
            mixed = self._gossip(problem, W, means, round_)
        else:
            mixed = jax.lax.cond(
                self._is_exchange(round_), lambda: self._gossip(problem, W, means, round_), lambda: means
            )
        x = jnp.where(_is_shared(problem), fetch(mixed, self.seat), kept)
        return Clustered(x), self._traffic(problem, W, state.x, part, round_)

    def _means(self, problem: Problem, part: Participants, after: Rows, otherwise: Rows) -> Rows:
        """Return (n, p): at each seat the mean of its cluster by samples; ``otherwise`` where nothing arrives."""
        weight = samples_of(problem, part)[:, None].astype(after.dtype)
        sent = jnp.concatenate([weight * after, weight], axis=1)
        sums, _ = sum_of_sent(sent, self.seat[:, None], only_nodes(part.arrives)[:, None])
        total = sums[:, -1:]
        return jnp.where(total > 0, sums[:, :-1] / jnp.where(total > 0, total, 1), otherwise)

    def _is_exchange(self, round_: Round) -> jax.Array:
        return (round_.number + 1) % self.every == 0

    def _gossip(self, problem: Problem, W: Operator, z: Rows, round_: Round) -> Rows:
        def once(number: int | jax.Array, z: Rows) -> Rows:
            links = _links(problem, W, round_, number)
            return widened(links.operator.mix(materialize(links.as_sent(z)), links.faults))

        return once(0, z) if self.gossip_steps == 1 else jax.lax.fori_loop(0, self.gossip_steps, once, z)

    def _traffic(self, problem: Problem, W: Operator, x: Rows, part: Participants, round_: Round) -> Traffic:
        links, size = _links(problem, W, round_), problem.n_shared * np.dtype(problem.dtype).itemsize
        within, between = exchanged(problem, round_, part), links.sent(x, repeats=self.gossip_steps)
        if round_.timed:
            reached = {"receivers": part.reached, "senders": part.reached}
            waits = ClusterTransfer(part.arrives, size, size, seat=self.seat, **reached)
            follows = BetweenServers(W, links.faults, size, self.gossip_steps, seat=self.seat)
            within, between = replace(within, exchanges=(waits,)), replace(between, exchanges=(follows,))
        return within + (between if self.every == 1 else between.only_if(self._is_exchange(round_)))


def _is_shared(problem: Problem) -> jax.Array:
    return jnp.arange(problem.n_params) < problem.n_shared


def _links(problem: Problem, W: Operator, round_: Round, exchange: int | jax.Array = 0) -> Links:
    """Return the links between servers, which are always online."""
    links = round_.links(W, problem.n_shared, "servers", exchange)
    return links if links.faults is None else replace(links, faults=links.faults._replace(online=None))


@algorithm
def hierarchical_averaging(
    problem: Problem,
    optimizer: Transformation,
    *,
    clusters: int = 4,
    between: str | Graph | Operator = "ring",
    every: int = 1,
    gossip_steps: int = 1,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model a cluster at its server, and let the servers gossip: hierarchical federated averaging.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, with a new state on each sampled node every round.
        clusters: number of clusters, of consecutive nodes, and of sizes that differ by one at most.
        between: what links the servers: the name of a topology, or a graph, both with Metropolis–Hastings weights; or mixing of
            as many nodes as there are clusters, the same in every round.
        every: k, rounds from one exchange between servers to the next.
        gossip_steps: g, mixings of an exchange.
        fraction: fraction of all nodes that is sampled each round.
        local_steps: τ, optimizer steps per sampled node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``clusters``, ``every`` or ``gossip_steps`` is below 1, there are more clusters than nodes, ``between`` does
            not link as many servers or its rows do not sum to one, ``fraction`` is outside (0, 1], the local steps or
            epochs cannot be taken (:func:`.chosen_steps`), or the problem has start steps.
    """
    name = "hierarchical_averaging"
    check_at_least_one(name, clusters=clusters, every=every, gossip_steps=gossip_steps)
    if clusters > problem.n_nodes:
        raise InputError(f"{name}: {problem.n_nodes:,} nodes do not fill {clusters:,} clusters")
    sampled = sampled_nodes(name, "hierarchical averaging", problem, fraction)
    steps = chosen_steps(name, problem, local_steps, local_epochs)

    n = problem.n_nodes
    first = -(-np.arange(clusters) * n // clusters)
    seat_node = first[np.arange(n) * clusters // n]
    W = _on_seats(_of_servers(name, between, clusters), first, problem)
    order = problem.order
    seat = seat_node if order is None else order.rows[seat_node[order.nodes]]
    method = Hierarchical(optimizer, sampled, steps, every, gossip_steps, jnp.asarray(seat, jnp.int32))
    return Algorithm(method, problem, W, name="hierarchical federated averaging", mixings=0)


def _of_servers(name: str, between: str | Graph | Operator, clusters: int) -> Operator:
    """Return the mixing of the servers.

    Raises:
        InputError: it is of another number of servers, or cannot be made of ``between``.
    """
    if isinstance(between, str):
        try:
            between = TOPOLOGIES["complete" if clusters == 1 else between](clusters)
        except TypeError as error:
            raise InputError(
                f"{name}: between = {between!r} takes more than a number of servers",
                hint="in Python: between = the graph; in a configuration a topology such as 'ring', 'complete' or 'star'",
            ) from error
    if isinstance(between, Graph):
        between = metropolis_hastings(between)
    if not isinstance(between, Operator):
        raise ArgumentTypeError(
            f"{name}: between must be the name of a topology, a graph or mixing, not {shown(between)}",
            hint="between = 'ring', jg.topology.star(5) or jg.mixing.uniform(jg.topology.star(5))",
        )
    if between.n_nodes != clusters:
        raise InputError(
            f"{name}: between links {between.n_nodes:,} servers, and there are {clusters:,} clusters",
            hint=f"clusters = {between.n_nodes}",
        )
    return fixed_operator(name, between, symmetric=False)


def _on_seats(servers: Operator, first: np.ndarray, problem: Problem) -> Operator:
    """Return W of the servers as mixing of the nodes: of the ``first`` of every cluster, while the others keep their rows."""
    links, n = servers.to_scipy().tocoo(), problem.n_nodes
    apart = links.row != links.col
    receivers, senders, values = first[links.row[apart]], first[links.col[apart]], links.data[apart]
    own = 1 - np.bincount(receivers, weights=values, minlength=n)
    everyone = np.arange(n)
    rows, columns = np.concatenate([receivers, everyone]), np.concatenate([senders, everyone])
    matrix = sp.csr_array((np.concatenate([values, own]), (rows, columns)), shape=(n, n))
    weights = from_matrix(matrix)
    return operator(replace(weights, graph=replace(weights.graph, order=problem.order)))
