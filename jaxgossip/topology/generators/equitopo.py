"""EquiTopo graphs: circulants of random offsets, drawn with replacement, so that links have unequal weights.

W = (1/M) Σ_{a ∈ A} (((n − 1)/n) P^a + I/n), with P the shift by one and A a multiset of M offsets drawn uniformly from
1 … n − 1. Each term is J = 11ᵀ/n in expectation, so that ρ does not grow with n if M is of order ln n. Song, Li, Jin, Shi,
Yan, Yin and Yuan 2022, "Communication-efficient topologies for decentralized learning with O(1) consensus rate".

Offsets drawn twice count twice, so these are weights that no weight rule gives for the graph.
"""

import numpy as np

from jaxgossip.core.arguments import generator
from jaxgossip.topology.checks import node_count, whole_number
from jaxgossip.topology.memory_check import check_bytes
from jaxgossip.topology.weights import Weights, circulant


def equi_static(nodes: int, degree: int, *, rng: np.random.Generator | int = 0) -> Weights:
    """Return D-EquiStatic: directed, doubly stochastic; ρ = max_k |1/n + ((n − 1)/(nM)) Σ_a e^{2πika/n}|.

    Args:
        nodes: number of nodes n, at least 2.
        degree: M, number of offsets drawn; a node hears at most M others.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: there are fewer than 2 nodes, or the degree is below one.
    """
    share = _draw_shares("equi_static", nodes, degree, rng)
    return circulant("equi_static", share, directed=True)


def u_equi_static(nodes: int, degree: int, *, rng: np.random.Generator | int = 0) -> Weights:
    """Return U-EquiStatic, (W + Wᵀ)/2 of D-EquiStatic's W: symmetric; λ_k = 1/n + ((n − 1)/(nM)) Σ_a cos(2πka/n).

    Args:
        nodes: number of nodes n, at least 2.
        degree: M, number of offsets drawn; a node hears at most 2 M others.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: there are fewer than 2 nodes, or the degree is below one.
    """
    share = _draw_shares("u_equi_static", nodes, degree, rng)
    share[1:] = (share[1:] + share[:0:-1]) / 2
    return circulant("u_equi_static", share, directed=False)


def _draw_shares(name: str, nodes: int, degree: int, rng: np.random.Generator | int) -> np.ndarray:
    """Return (n,) float64: the weight of the node at each offset; entry 0 is the self-weight."""
    nodes = node_count(name, nodes, 2, hint="one node is a complete graph")
    degree = whole_number(name, "degree", degree, 1, hint="a node must hear somebody")
    check_bytes(f"{name}: {degree:,} offsets", 16 * degree + 32 * nodes, "a smaller degree, or fewer nodes")
    drawn = generator(name, rng).integers(1, nodes, degree)
    share = np.bincount(drawn, minlength=nodes) * ((nodes - 1) / (nodes * degree))
    share[0] = 1 / nodes
    return share
