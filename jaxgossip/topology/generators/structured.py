"""Star, hypercube, complete and exponential graphs, each with a spectrum in closed form; and trees."""

import numpy as np

from jaxgossip.core.errors import GraphError
from jaxgossip.topology.checks import node_count, whole_number
from jaxgossip.topology.graph import Circulant, Complete, Graph, Hypercube, Star, from_links
from jaxgossip.topology.memory_check import check_links


def star(nodes: int) -> Graph:
    """Return the star: node 0 hears everybody, everybody hears node 0.

    Under Metropolis–Hastings weights the eigenvalues are 1, 1 − 1/n (n − 2 times) and 0.

    Args:
        nodes: number of nodes, at least 2.

    Raises:
        GraphError: there are fewer than 2 nodes.
    """
    return Graph(node_count("star", nodes, 2, hint="one node is a complete graph"), "star", Star())


def binary_tree(nodes: int, *, branching: int = 2) -> Graph:
    """Return the complete tree in level order: node i > 0 is linked to its parent (i − 1) // branching.

    Args:
        nodes: number of nodes.
        branching: number of children of every inner node; 2 gives a binary tree.

    Raises:
        GraphError: there is no node, or branching is below one.
    """
    nodes = node_count("binary_tree", nodes)
    branching = whole_number("binary_tree", "branching", branching, 1)
    check_links("binary_tree", nodes, 2 * nodes)
    child = np.arange(1, nodes)
    return from_links(nodes, child, (child - 1) // branching, name="binary_tree")


def hypercube(nodes: int) -> Graph:
    """Return the hypercube: node i hears the nodes whose number differs from i in one bit.

    Under Metropolis–Hastings weights λ = 1 − 2k/(d + 1), C(d, k) times, with n = 2^d: ρ = (d − 1)/(d + 1) for
    d ≥ 1.

    Args:
        nodes: number of nodes, a power of two.

    Raises:
        GraphError: the number of nodes is not a power of two.
    """
    nodes = node_count("hypercube", nodes)
    dimension = nodes.bit_length() - 1
    if nodes != 1 << dimension:
        raise GraphError(
            f"hypercube: {nodes} nodes are no power of two", hint=f"{1 << dimension} or {2 << dimension} nodes"
        )
    return Graph(nodes, "hypercube", Hypercube(dimension))


def complete(nodes: int) -> Graph:
    """Return the complete graph: everybody hears everybody, so that one round of equal weights gives the exact mean.

    Args:
        nodes: number of nodes; a single node has no links.

    Raises:
        GraphError: there is no node.
    """
    return Graph(node_count("complete", nodes), "complete", Complete())


def static_exponential(nodes: int) -> Graph:
    """Return the static exponential graph: node i hears i + 1, i + 2, i + 4, … (mod n), directed.

    With τ = ⌈log₂ n⌉ offsets and equal weights 1/(τ + 1) it is doubly stochastic, and ρ = 1 − 2/(τ + 1) for even n and
    strictly less for odd n (Ying et al. 2021, "Exponential graph is provably efficient for decentralized deep training").

    Args:
        nodes: number of nodes, at least 2.

    Raises:
        GraphError: there are fewer than 2 nodes.
    """
    nodes = node_count("static_exponential", nodes, 2, hint="one node is a complete graph")
    offsets = tuple(1 << power for power in range((nodes - 1).bit_length()))
    return Graph(nodes, "static_exponential", Circulant(offsets), directed=True)
