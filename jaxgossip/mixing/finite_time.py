"""Mixing along sequences of graphs that reach the exact mean in finitely many rounds, repeated."""

from jaxgossip.mixing.operator import Schedule
from jaxgossip.mixing.periodic import periodic
from jaxgossip.topology import sequences
from jaxgossip.topology.graph import Graph


def base_k_plus_one(graph: Graph, *, degree: int = 1) -> Schedule:
    """Reach the exact mean in at most 2 log_{k+1} n + 2 rounds on any number of nodes; the topology gives only that number.

    Args:
        graph: the topology.
        degree: k, most links of a node in a round.

    Raises:
        GraphError: degree below one.
    """
    return periodic(sequences.base_k_plus_one(graph.n_nodes, degree))


def hyper_hypercube(graph: Graph, *, degree: int = 1) -> Schedule:
    """Average in groups of up to k + 1, one digit of the node's number a round; the topology gives only the number of nodes.

    Args:
        graph: the topology.
        degree: k, most links of a node in a round.

    Raises:
        GraphError: degree below one, or a number of nodes with a prime factor above k + 1.
    """
    return periodic(sequences.hyper_hypercube(graph.n_nodes, degree))
