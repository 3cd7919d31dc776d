"""Builders of mixing: operators chosen by the structure of a graph, and the kinds that a configuration can name.

Builders named after a rule of :mod:`jaxgossip.topology.weights` raise GraphError if the rule does not suit the graph,
or if the operator exceeds the free memory.
"""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import GraphError
from jaxgossip.mixing.column_stochastic import Mass, PushSum, PushSumExponential
from jaxgossip.mixing.operator import MAX_SLOTS, Operator, TimeVarying
from jaxgossip.mixing.operators.hybrid import Hybrid, rest_of
from jaxgossip.mixing.operators.structured import AxisMean, Dense, HypercubeFlip, LatticeShift, Roll
from jaxgossip.mixing.operators.tables import Slots, max_in_degree, select_rows, slots, slots_of
from jaxgossip.mixing.time_varying.fresh import FreshRegular, RandomPair
from jaxgossip.mixing.time_varying.peers import Neighbours, RandomMatching, RandomPull, RandomPush
from jaxgossip.mixing.time_varying.periodic import OnePeer
from jaxgossip.topology import WEIGHT_RULES
from jaxgossip.topology import weights as rules
from jaxgossip.topology.graph import Circulant, Complete, Graph, Hypercube, Lattice, transposed
from jaxgossip.topology.memory_check import LISTED_BYTES, WEIGHTED_BYTES, check_bytes
from jaxgossip.topology.structures import Structure
from jaxgossip.topology.weights import Weights

MAX_PADDING = 1.25
"""Largest size of a padded table of slots, as a multiple of the number of links; above, mixing is hybrid."""
MAX_REST = 1 / 6
"""Largest share of the nodes that hear more than the slots hold; the sums for these nodes take extra memory."""
PROGRAM_BYTES = 700
"""Bytes of memory that compilation takes per pair of slots, measured from 350 to 1,400 slots."""
MAX_DENSE = 2**13
"""Most nodes of a dense operator, whose matrix then takes a quarter of a gibibyte."""


@guarded
def operator(weights: Weights) -> Operator:
    """Return W as the fastest operator that the structure of its graph allows.

    Circulants roll, lattices shift, hypercubes flip, the complete graph takes a mean; other graphs gather by index.

    Args:
        weights: weights on a graph.

    Raises:
        GraphError: too large for the free memory, or unequal weights on a complete graph of more than 8,192 nodes.
    """
    graph, own = weights.graph, jnp.asarray(weights.self_weight)
    n, structure = graph.n_nodes, graph.structure
    match structure:
        case Circulant(offsets):
            check_slots(graph, len(offsets), 0)
            return Roll(own, _slot_weights(weights, structure), tuple(o % n for o in offsets), n, graph.n_links)
        case Lattice(shape):
            return LatticeShift(own, _slot_weights(weights, structure), shape, n, graph.n_links)
        case Hypercube():
            return HypercubeFlip(own, _slot_weights(weights, structure), n, graph.n_links)
        case Complete() if not _uneven(weights) and n > 1:
            return AxisMean(jnp.asarray(float(np.ravel(weights.edge)[0]) * n), (1, n, 1))
        case Complete() if n > MAX_DENSE:
            raise GraphError(
                f"unequal weights on the complete graph of {n:,} nodes need a dense matrix",
                hint=f"at most {MAX_DENSE:,} nodes, or weights that are the same for every link",
            )
        case Complete():
            return dense(weights)
    return table_operator(weights)


@guarded
def table_operator(weights: Weights) -> Slots | Hybrid:
    """Return W on any graph as an operator that gathers by index, with rows in the order of the graph.

    Slots, and a hybrid if some nodes hear many more neighbours than most. Neighbours are summed in the sequence of the
    user's lists, so the order of the rows does not change a bit of the result.

    Args:
        weights: weights on a graph.

    Raises:
        GraphError: too large for the free memory.
    """
    graph = weights.graph
    n, order = graph.n_nodes, graph.order
    nodes = np.arange(n, dtype=np.int32) if order is None else order.nodes
    numbering = "" if order is None else order.numbering
    indptr, entries = select_rows(graph.indptr, nodes)
    indices = graph.indices[entries] if order is None else order.rows[graph.indices[entries]]
    values = weights.edge if np.ndim(weights.edge) == 0 else np.asarray(weights.edge)[entries]
    own = weights.self_weight if np.ndim(weights.self_weight) == 0 else np.asarray(weights.self_weight)[nodes]
    degrees = np.diff(indptr)
    longest = int(degrees.max(initial=0))
    width = max(1, int(np.quantile(degrees, 1 - MAX_REST, method="inverted_cdf")))
    check_slots(graph, width, graph.n_links)
    if longest <= width or longest * n <= MAX_PADDING * graph.n_links:
        return slots(own, indptr, indices, values, graph.n_links, numbering)
    values = np.broadcast_to(values, indices.shape)
    within = np.arange(indices.size) - np.repeat(indptr[:-1], degrees) < width
    first, last = (
        np.concatenate([[0], np.cumsum(part)]) for part in (np.minimum(degrees, width), np.maximum(degrees - width, 0))
    )
    return Hybrid(
        slots(np.broadcast_to(own, n), first, indices[within], values[within]),
        rest_of(last, indices[~within], values[~within]),
        jnp.asarray(graph.out_degrees[nodes].astype(np.int32)),
        graph.n_links,
        longest,
        numbering,
    )


def check_slots(graph: Graph, slots: int, listed: int) -> None:
    """Check that the tables of a slot operator, and the compilation of its program, fit into the free memory.

    Args:
        graph: the topology.
        slots: slots per node, each of which is unrolled in the program.
        listed: number of directed links in tables.

    Raises:
        GraphError: they do not fit.
    """
    check_bytes(
        f"{graph.name}: {graph.n_nodes:,} nodes with {graph.n_links:,} directed links, {slots:,} of each node one by one,",
        PROGRAM_BYTES * slots**2 + (WEIGHTED_BYTES - LISTED_BYTES) * listed,
        hint="fewer links a node, or peers that are drawn: mixing = { kind = 'matching' }",
    )


@guarded
def dense(weights: Weights) -> Dense:
    """Return W as a dense operator: the reference for all other operators."""
    matrix = weights.to_scipy()
    longest = max_in_degree(matrix)
    senders = slots_of(matrix) if longest <= MAX_SLOTS else None
    return Dense(jnp.asarray(matrix.toarray()), senders, weights.graph.n_links, longest)


def _uneven(weights: Weights) -> bool:
    return np.ndim(weights.edge) > 0 and bool(np.ptp(weights.edge) > 0)


def _slot_weights(weights: Weights, structure: Structure) -> tuple[Array, ...]:
    """Return the weights of the links in each direction of a structure: a scalar if they are equal, otherwise (n,)."""
    n = weights.graph.n_nodes
    degree = structure.regular_degree(n)
    if degree is not None and not _uneven(weights):
        return (jnp.asarray(float(np.ravel(weights.edge)[0]) if np.size(weights.edge) else 0.0),) * degree
    tables = (_slot_weight(weights, *links) for links in structure.sources(n))
    return tuple(jnp.asarray(table if np.ptp(table) else table[0]) for table in tables)


def _slot_weight(weights: Weights, receivers: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return (n,) float64: the weight of the link to each of ``receivers`` from its entry of ``sources``; 0 elsewhere."""
    graph = weights.graph
    slot = np.zeros(graph.n_nodes)
    if np.ndim(weights.edge) == 0:
        slot[receivers] = weights.edge
        return slot
    rows = np.repeat(np.arange(graph.n_nodes), graph.degrees)
    links = rows * graph.n_nodes + graph.indices
    slot[receivers] = np.asarray(weights.edge)[np.searchsorted(links, receivers * graph.n_nodes + sources)]
    return slot


@guarded
def metropolis_hastings(graph: Graph) -> Operator:
    """Return W_ij = 1/(1 + max(d_i, d_j)): symmetric and doubly stochastic on any undirected graph."""
    return operator(rules.metropolis_hastings(graph))


@guarded
def max_degree(graph: Graph) -> Operator:
    """Return W = I − L/(d_max + 1): symmetric and doubly stochastic on any undirected graph."""
    return operator(rules.max_degree(graph))


@guarded
def best_constant(graph: Graph) -> Operator:
    """Return W = I − αL with the fastest contracting α (Xiao and Boyd 2004)."""
    return operator(rules.best_constant(graph))


@guarded
def uniform(graph: Graph) -> Operator:
    """Return W_ij = 1/(1 + d_i): row-stochastic, and doubly stochastic only on regular graphs."""
    return operator(rules.uniform(graph))


@guarded
def sinkhorn(graph: Graph) -> Operator:
    """Return A + I scaled to be doubly stochastic (Sinkhorn and Knopp 1967)."""
    return operator(rules.sinkhorn(graph))


@guarded
def static(
    graph: Graph,
    *,
    weights: Literal[
        "metropolis_hastings", "max_degree", "best_constant", "uniform", "sinkhorn"
    ] = "metropolis_hastings",
    lazy: bool = False,
) -> Operator:
    """Mix with the same weights on the same graph every round.

    Args:
        graph: the topology.
        weights: rule for the weights of the links.
        lazy: use (I + W)/2, which has no negative eigenvalue, instead of W.

    Raises:
        GraphError: the rule does not suit the graph, or the operator exceeds the free memory.
    """
    rule = WEIGHT_RULES[weights](graph)
    return operator(rules.lazy(rule) if lazy else rule)


@guarded
def matching(graph: Graph, *, attempts: int = 4) -> TimeVarying:
    """Average in random pairs each round: of any two nodes on the complete graph, otherwise of neighbours.

    Args:
        graph: the topology.
        attempts: how often unpaired nodes try to find a free neighbour; not used on the complete graph.

    Raises:
        GraphError: ``attempts`` is below one or too large to compile, the graph is directed, or a node has no
            neighbour.
    """
    return RandomMatching(Neighbours.of(graph), checked_count("matching", "attempts", attempts))


@guarded
def push(graph: Graph, *, fanout: int = 1) -> TimeVarying:
    """Send to random neighbours each round (on the complete graph, to any nodes), and average what arrives.

    Args:
        graph: the topology.
        fanout: number of neighbours each node sends to.

    Raises:
        GraphError: ``fanout`` is below one or too large to compile, the graph is directed, or a node has no neighbour.
    """
    return RandomPush(Neighbours.of(graph), checked_count("push", "fanout", fanout))


@guarded
def pull(graph: Graph, *, fanout: int = 1) -> TimeVarying:
    """Request the models of random neighbours each round (on the complete graph, of any nodes), and average them.

    Only the replies count as messages, cost bytes and can be lost; requests are free.

    Args:
        graph: the topology.
        fanout: number of neighbours each node asks.

    Raises:
        GraphError: ``fanout`` is below one or too large to compile, the graph is directed, or a node has no neighbour.
    """
    return RandomPull(Neighbours.of(graph), checked_count("pull", "fanout", fanout))


@guarded
def pairwise(graph: Graph) -> TimeVarying:
    """Average one random node with one random neighbour each round; all others are idle.

    Args:
        graph: the topology.

    Raises:
        GraphError: the graph is directed, or a node has no neighbour.
    """
    return RandomPair(Neighbours.of(graph))


@guarded
def fresh_regular(graph: Graph, *, degree: int = 7) -> TimeVarying:
    """Average over a new random regular graph each round; only the number of nodes of the topology matters.

    Args:
        graph: the topology.
        degree: number of nodes that each node hears, and is heard by.

    Raises:
        GraphError: ``degree`` is below one, not below the number of nodes, or too large to compile.
    """
    checked_degree("fresh_regular", degree, graph.n_nodes)
    _check_unrolled("degree", degree)
    return FreshRegular(graph.n_nodes, degree)


@guarded
def push_sum(
    graph: Graph, *, peers: Literal["all", "random", "exponential"] = "all", fanout: int = 1
) -> Operator | TimeVarying:
    """Split each model among its node and the receivers, conserving the sum over all nodes: for sgp, push_diging, push_sum.

    Args:
        graph: the topology, directed or not.
        peers: the receivers of a node each round: all nodes that hear it, ``fanout`` random neighbours, or the node at
            distance 1, 2, 4, … in turn (only the number of nodes of the topology then matters).
        fanout: number of random neighbours; only for ``peers = "random"``.

    Raises:
        GraphError: ``fanout`` is below one, too large to compile, or given with other ``peers``; or the peers are
            random, and the graph is directed or a node has no neighbour.
    """
    if peers != "random" and fanout != 1:
        raise GraphError(
            f"push_sum: fanout = {fanout} says nothing for peers = '{peers}'", hint="leave it out, or peers = 'random'"
        )
    if peers == "random":
        return PushSum(Neighbours.of(graph), checked_count("push_sum", "fanout", fanout))
    if peers == "exponential":
        return PushSumExponential(graph.n_nodes)
    inward, outward = (rules.equal_links(links) for links in (graph, transposed(graph)))
    if inward.edge != outward.edge:  # a directed graph whose largest in- and out-degrees differ
        edge = 1 / (1 + max(graph.degrees.max(), graph.out_degrees.max()))
        inward, outward = (
            Weights(equal.graph, edge, 1 - edge * equal.graph.degrees, equal.rule) for equal in (inward, outward)
        )
    listeners = graph.out_degrees if graph.order is None else graph.out_degrees[graph.order.nodes]
    regular = graph.regular_degree is not None and not np.ptp(listeners)
    share = 1 / (1 + (listeners[0] if regular else listeners))
    return Mass(operator(inward), operator(outward), jnp.asarray(share), jnp.asarray(float(inward.edge)))


def checked_count(what: str, name: str, value: int) -> int:
    """Return ``value``, over which programs are unrolled, if it is at least one and they can be compiled.

    Raises:
        GraphError: it is below one or too large.
    """
    if value < 1:
        raise GraphError(f"{what}: {name} must be at least 1, not {value}")
    _check_unrolled(name, value)
    return value


def checked_degree(what: str, degree: int, n_nodes: int, nodes: str = "nodes") -> int:
    """Return ``degree`` if nodes can have as many others.

    Raises:
        GraphError: it is below one, or not below their number.
    """
    if not 1 <= degree < n_nodes:
        raise GraphError(f"{what}: degree must be from 1 to {n_nodes - 1} on {n_nodes} {nodes}, not {degree}")
    return degree


def _check_unrolled(name: str, value: int) -> None:
    """Check that a program unrolled over the ``value`` peers of a round can be compiled in the free memory."""
    check_bytes(f"the programs of {name} = {value:,}", PROGRAM_BYTES * value**2, hint=f"a smaller {name}")


@guarded
def one_peer_exponential(graph: Graph) -> TimeVarying:
    """Average with the node at distance 1, 2, 4, … in turn; only the number of nodes of the topology matters.

    Args:
        graph: the topology.
    """
    return OnePeer(graph.n_nodes, "exponential")


@guarded
def one_peer_hypercube(graph: Graph) -> TimeVarying:
    """Average in pairs along each dimension of a hypercube in turn; only the number of nodes of the topology matters.

    Args:
        graph: the topology.

    Raises:
        GraphError: the number of nodes is not a power of two.
    """
    if graph.n_nodes & (graph.n_nodes - 1):
        raise GraphError(
            f"one_peer_hypercube needs a power of two, not {graph.n_nodes} nodes",
            hint=f"{1 << graph.n_nodes.bit_length() - 1} or {1 << graph.n_nodes.bit_length()} nodes, or one_peer_exponential",
        )
    return OnePeer(graph.n_nodes, "hypercube")
