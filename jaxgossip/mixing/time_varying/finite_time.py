"""Mixing that reaches the exact mean in finitely many rounds: repeated sequences of graphs, and one static graph."""

from jaxgossip.core.arguments import guarded
from jaxgossip.mixing.build import operator
from jaxgossip.mixing.operator import Operator, TimeVarying
from jaxgossip.mixing.time_varying.periodic import periodic
from jaxgossip.topology.generators import directed, sequences
from jaxgossip.topology.graph import Graph


@guarded
def base_k_plus_one(graph: Graph, *, degree: int = 1) -> TimeVarying:
    """Reach the exact mean in at most 2 log_{k+1} n + 2 rounds for any n; only the number of nodes of the topology matters.

    Args:
        graph: the topology.
        degree: k, the most links of a node in a round.

    Raises:
        GraphError: ``degree`` is below one.
    """
    return periodic(sequences.base_k_plus_one(graph.n_nodes, degree))


@guarded
def hyper_hypercube(graph: Graph, *, degree: int = 1) -> TimeVarying:
    """Average in groups of up to k + 1 nodes that differ in one digit; only the number of nodes of the topology matters.

    Args:
        graph: the topology.
        degree: k, the most links of a node in a round.

    Raises:
        GraphError: ``degree`` is below one, or the number of nodes has a prime factor above k + 1.
    """
    return periodic(sequences.hyper_hypercube(graph.n_nodes, degree))


@guarded
def k_peer_exponential(graph: Graph, *, degree: int = 1) -> TimeVarying:
    """Average with nodes at 1, …, k times 1, k + 1, (k + 1)², … in turn; only the number of nodes of the topology matters.

    The mean is exact after τ = ⌈log_{k+1} n⌉ rounds if n divides (k + 1)^τ.

    Args:
        graph: the topology.
        degree: k, the most links of a node in a round.

    Raises:
        GraphError: ``degree`` is below one.
    """
    return periodic(directed.k_peer_exponential(graph.n_nodes, degree))


@guarded
def de_bruijn(graph: Graph, *, degree: int = 1) -> Operator:
    """Average along a de Bruijn graph, which is the same every round; only the number of nodes of the topology matters.

    The mean is exact after log_{k+1} n rounds. Delvenne, Carli and Zampieri 2009, "Optimal strategies in the average
    consensus problem".

    Args:
        graph: the topology.
        degree: k; each node averages k + 1 nodes, which for k + 1 of the nodes include itself.

    Raises:
        GraphError: ``degree`` is below one, or the number of nodes is not a power of k + 1.
    """
    return operator(directed.de_bruijn(graph.n_nodes, degree))
