"""Random subsets of the nodes, on the host."""

import numpy as np


def random_subset(n_nodes: int, fraction: float, rng: np.random.Generator | int) -> np.ndarray:
    """Return max(1, round(fraction · n)) distinct nodes, drawn uniformly, as (k,) int64 in ascending order.

    Args:
        n_nodes: n, number of nodes.
        fraction: fraction of the nodes that are drawn, above 0 and at most 1.
        rng: random generator of the draw, or its seed.
    """
    number = max(1, round(fraction * n_nodes))
    return np.sort(np.random.default_rng(rng).choice(n_nodes, number, replace=False))
