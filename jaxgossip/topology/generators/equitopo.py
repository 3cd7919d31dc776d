"""EquiTopo graphs: circulants of random offsets, drawn with repetition, so that links have unequal weights.

W = (1/M) Σ_{a ∈ A} (((n − 1)/n) P^a + I/n), P the shift by one, A of M offsets drawn uniformly from 1 … n − 1. Each term is
J = 11ᵀ/n in expectation, so that ρ does not grow with n where M is of order ln n. Song, Li, Jin, Shi, Yan, Yin and Yuan
2022, "Communication-efficient topologies for decentralized learning with O(1) consensus rate".

Offsets drawn twice count twice: these are weights, and no graph with a weight rule would have them.
"""

import numpy as np

from jaxgossip.topology.checks import node_count, whole_number
from jaxgossip.topology.room import check_bytes
from jaxgossip.topology.weights import Weights, circulant


def equi_static(nodes: int, degree: int, *, rng: np.random.Generator | int = 0) -> Weights:
    """Return D-EquiStatic: directed, doubly stochastic; ρ = max_k |1/n + ((n − 1)/(nM)) Σ_a e^{2πika/n}|.

    Args:
        nodes: number of nodes n, at least 2.
        degree: M, offsets drawn; a node hears at most so many others.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: fewer than 2 nodes, or a degree below one.
    """
    share = _drawn("equi_static", nodes, degree, rng)
    return circulant("equi_static", share, directed=True)


def u_equi_static(nodes: int, degree: int, *, rng: np.random.Generator | int = 0) -> Weights:
    """Return U-EquiStatic, (W + Wᵀ)/2 of D-EquiStatic's W: symmetric; λ_k = 1/n + ((n − 1)/(nM)) Σ_a cos(2πka/n).

    Args:
        nodes: number of nodes n, at least 2.
        degree: M, offsets drawn; a node hears at most 2 M others.
        rng: generator of the draws, or its seed.

    Raises:
        GraphError: fewer than 2 nodes, or a degree below one.
    """
    share = _drawn("u_equi_static", nodes, degree, rng)
    share[1:] = (share[1:] + share[:0:-1]) / 2
    return circulant("u_equi_static", share, directed=False)


def _drawn(name: str, nodes: int, degree: int, rng: np.random.Generator | int) -> np.ndarray:
    """Return (n,) float64: the weight of what stands each offset away; entry 0 is a node's own."""
    nodes = node_count(name, nodes, 2, hint="one node is a complete graph")
    degree = whole_number(name, "degree", degree, 1, hint="a node must hear somebody")
    check_bytes(f"{name}: {degree:,} offsets", 16 * degree + 32 * nodes, "a smaller degree, or fewer nodes")
    drawn = np.random.default_rng(rng).integers(1, nodes, degree)
    share = np.bincount(drawn, minlength=nodes) * ((nodes - 1) / (nodes * degree))
    share[0] = 1 / nodes
    return share
