"""Directed graphs that reach the exact mean in finitely many rounds if the number of nodes is a power of k + 1.

k-peer exponential   in round t node i hears i + j(k+1)^t, j = 1 … k (mod n):  Π_{t<τ} 1/(k+1) Σ_{j≤k} P^{j(k+1)^t} is
                     the mean of P^0, …, P^{(k+1)^τ − 1}, which is J if and only if n divides (k+1)^τ
de Bruijn            node i hears i(k+1) + j, j = 0 … k (mod n): after t rounds i holds the mean of all nodes whose
                     numbers begin with its last τ − t digits, so that W^τ = J, although ‖W − J‖₂ = 1
"""

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.errors import GraphError
from jaxgossip.topology.checks import node_count, whole_number
from jaxgossip.topology.graph import Graph
from jaxgossip.topology.memory_check import check_bytes, check_links
from jaxgossip.topology.weights import Weights, circulant


def k_peer_exponential(nodes: int, degree: int = 1) -> list[Weights]:
    """Return the k-peer exponential sequence, τ = ⌈log_{k+1} n⌉ rounds: exact if and only if n divides (k+1)^τ.

    With k = 1 it is the one-peer exponential graph (Ying et al. 2021). Weights of coinciding distances add up, and those of
    multiples of n are self-weights. The name is from Niwa, Takezawa, Zhang and Kleijn 2025, "Revisiting 1-peer exponential
    graph for enhancing decentralized learning efficiency"; the formula is the one that telescopes.

    Args:
        nodes: number of nodes n.
        degree: k, largest number of links of a node in a round.

    Raises:
        GraphError: there is no node, or the degree is below one.
    """
    nodes = node_count("k_peer_exponential", nodes)
    degree = whole_number("k_peer_exponential", "degree", degree, 1, hint="a node must hear somebody")
    check_bytes(f"k_peer_exponential: {degree:,} links of every node", 24 * degree, "a smaller degree")
    rounds, power = [], 1
    while power < nodes or not rounds:
        heard = np.arange(degree + 1) * power % nodes
        share = np.bincount(heard, minlength=nodes) / (degree + 1)
        rounds.append(circulant("k_peer_exponential", share, directed=True))
        power *= degree + 1
    return rounds


def de_bruijn(nodes: int, degree: int = 1) -> Weights:
    """Return the de Bruijn graph of n = (k+1)^τ nodes, equal weights 1/(k+1): W^τ = J, yet its spectral gap is zero.

    The neighbours are fixed, and after τ rounds all models are equal. The graph is directed and doubly stochastic. Of its
    nodes, k + 1 hear themselves among others: they have k links, all others k + 1.

    Args:
        nodes: number of nodes n, a power of k + 1.
        degree: k, one less than the number of nodes that each node averages.

    Raises:
        GraphError: the number of nodes is not a power of k + 1, or the degree is below one.
    """
    nodes = node_count("de_bruijn", nodes)
    base = whole_number("de_bruijn", "degree", degree, 1, hint="a node must hear somebody") + 1
    power = 1
    while power < nodes:
        power *= base
    if power != nodes:
        raise GraphError(
            f"de_bruijn: {nodes} nodes are no power of degree + 1 = {base}",
            hint=f"{power // base} or {power} nodes, or base_k_plus_one, which takes any number of nodes",
        )
    if nodes == 1:
        return Weights(
            Graph(1, "de_bruijn", lists=(np.zeros(2, np.int64), np.empty(0, np.int32))), 0.0, 1.0, "de_bruijn"
        )
    check_links("de_bruijn", nodes, nodes * base)
    node = np.repeat(np.arange(nodes), base)
    heard = (node * base + np.tile(np.arange(base), nodes)) % nodes
    is_link = heard != node
    matrix = sp.csr_array((np.ones(is_link.sum()), (node[is_link], heard[is_link])), shape=(nodes, nodes))
    matrix.sort_indices()
    lists = (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))
    graph = Graph(nodes, "de_bruijn", lists=lists, directed=True)
    own = np.bincount(node[~is_link], minlength=nodes) / base
    return Weights(graph, 1 / base, own, "de_bruijn", doubly_stochastic=True)
