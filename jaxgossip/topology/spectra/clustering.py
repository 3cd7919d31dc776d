"""The clustering coefficient: how many of a node's neighbours are neighbours of each other."""

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.arguments import guarded
from jaxgossip.topology.graph import Circulant, Complete, Graph, Hypercube, Star

MAX_PRODUCT = 4e8
"""Operations of the sparse product A·A, Σ d², up to which it is cheap: some seconds."""
BLOCK = 2**16
"""Rows of the product computed at a time, to bound its memory."""


@guarded
def average_clustering(graph: Graph) -> float | None:
    """Return the mean over nodes of c_i = (A³)_ii / (d_i (d_i − 1)), or 0 if d_i < 2 (Watts and Strogatz 1998).

    Args:
        graph: any graph.

    Returns:
        The mean; None for directed graphs, for which there are several definitions, and if it is not cheap.
    """
    n, structure = graph.n_nodes, graph.structure
    if graph.directed:
        return None
    if isinstance(structure, Complete):
        return float(n > 2)
    if isinstance(structure, Hypercube | Star):
        return 0.0
    if isinstance(structure, Circulant):  # all nodes are equivalent
        steps = {offset % n for offset in structure.offsets}
        closed = sum((a - b) % n in steps for a in steps for b in steps)
        return closed / max(1, len(steps) * (len(steps) - 1))
    degrees = graph.degrees.astype(np.float64)
    if np.square(degrees).sum() > MAX_PRODUCT:
        return None
    links = graph.to_scipy()
    closed = np.concatenate([_closed(links[start : start + BLOCK], links) for start in range(0, n, BLOCK)])
    return float((closed / np.maximum(1, degrees * (degrees - 1))).mean())


def _closed(rows: sp.csr_array, links: sp.csr_array) -> np.ndarray:
    """Return (k,) float64: the number of ordered pairs of linked neighbours, for each of k rows of the adjacency matrix."""
    return np.asarray(sp.csr_array(rows @ links).multiply(rows).sum(axis=1)).ravel()
