"""Mixing along graphs that reach the exact mean in finitely many rounds: sequences, repeated, and one that stays."""

from jaxgossip.core.arguments import guarded
from jaxgossip.mixing.build import operator
from jaxgossip.mixing.operator import Operator, TimeVarying
from jaxgossip.mixing.time_varying.periodic import periodic
from jaxgossip.topology.generators import directed, sequences
from jaxgossip.topology.graph import Graph


@guarded
def base_k_plus_one(graph: Graph, *, degree: int = 1) -> TimeVarying:
    """Reach the exact mean in at most 2 log_{k+1} n + 2 rounds on any number of nodes; the topology gives only that number.

    Args:
        graph: the topology.
        degree: k, most links of a node in a round.

    Raises:
        GraphError: degree below one.
    """
    return periodic(sequences.base_k_plus_one(graph.n_nodes, degree))


@guarded
def hyper_hypercube(graph: Graph, *, degree: int = 1) -> TimeVarying:
    """Average in groups of up to k + 1, one digit of the node's number a round; the topology gives only the number of nodes.

    Args:
        graph: the topology.
        degree: k, most links of a node in a round.

    Raises:
        GraphError: degree below one, or a number of nodes with a prime factor above k + 1.
    """
    return periodic(sequences.hyper_hypercube(graph.n_nodes, degree))


@guarded
def k_peer_exponential(graph: Graph, *, degree: int = 1) -> TimeVarying:
    """Hear the nodes at 1, …, k times 1, k + 1, (k + 1)², … in turn; the topology gives only the number of nodes.

    The exact mean after τ = ⌈log_{k+1} n⌉ rounds if n divides (k + 1)^τ.

    Args:
        graph: the topology.
        degree: k, most links of a node in a round.

    Raises:
        GraphError: degree below one.
    """
    return periodic(directed.k_peer_exponential(graph.n_nodes, degree))


@guarded
def de_bruijn(graph: Graph, *, degree: int = 1) -> Operator:
    """Hear the nodes whose numbers, in base k + 1, go on from one's own; the topology gives only the number of nodes.

    The exact mean after log_{k+1} n rounds of a graph that never changes.

    Args:
        graph: the topology.
        degree: k; a node hears k + 1 others.

    Raises:
        GraphError: degree below one, or a number of nodes that is no power of k + 1.
    """
    return operator(directed.de_bruijn(graph.n_nodes, degree))
