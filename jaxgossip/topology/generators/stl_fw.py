"""STL-FW: weights that are learnt from the class shares of nodes, by Frank–Wolfe over permutations.

    g(W) = (1/n) ‖(W − J) Π‖²_F + (λ/n) ‖W − J‖²_F          (Π: (n, C) class shares, J = 11ᵀ/n)
    W⁺ = (1 − γ) W + γ P,   P = argmin ⟨P, ∇g(W)⟩ over all permutations,   from W = I

The first term is the bias of what a node hears: how far the classes of those that it averages with are from those of all. The
second is the variance, and lets nodes mix with few. Each step adds one node that is heard, by an assignment problem, and γ
minimises g along it: after l steps W is doubly stochastic and directed, and a node hears at most l others. Le Bars, Bellet,
Tommasi, Lavoie and Kermarrec 2023, "Refined convergence and topology learning for decentralized SGD with heterogeneous data".

Whoever learns W knows the class shares of all nodes, which each of them reveals once, before the first round; no node reveals
a sample or a gradient.
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from jaxgossip.core.arguments import generator
from jaxgossip.topology.checks import class_shares_of, real_number, whole_number
from jaxgossip.topology.memory_check import check_bytes
from jaxgossip.topology.weights import Weights, from_matrix

MATRICES = 8
"""Number of dense (n, n) matrices of float64 that a step holds."""
FLAT = 1e-15
"""Gain of a step, relative to the gradient, that is rounding."""


def stl_fw(
    class_shares: Float[np.ndarray, "n C"],
    *,
    degree: int = 10,
    regularization: float = 0.1,
    rng: np.random.Generator | int = 0,
) -> Weights:
    """Return the weights of STL-FW: doubly stochastic, and such that each node hears the classes of all.

    Args:
        class_shares: (n, C), the share of each class in the samples of each node; rows sum to one.
        degree: l, largest number of nodes that a node hears.
        regularization: λ, weight of the variance. With 0 the classes alone count, and nodes that hear each of them once may
            fall into groups that never agree.
        rng: generator, or its seed, that chooses among permutations that are equally good, as they are of nodes of one class.

    Raises:
        GraphError: shares that are no (n, C) with rows that sum to one, a degree below one, a negative
            regularization, or more nodes than the free memory holds matrices of.
    """
    shares = class_shares_of("stl_fw", class_shares)
    degree = whole_number("stl_fw", "degree", degree, 1, hint="a node must hear somebody")
    lam = real_number("stl_fw", "regularization", regularization, 0.0, np.inf)
    rng, n = generator("stl_fw", rng), len(shares)
    check_bytes(f"stl_fw: {MATRICES} matrices of {n:,} nodes", MATRICES * 8.0 * n**2, "fewer nodes, or d_cliques")
    W = np.eye(n)
    for _ in range(degree):
        bias, variance = W @ shares - shares.mean(0), W - 1 / n
        gradient = (2 / n) * (bias @ shares.T + lam * variance)
        # The first of equally good permutations would link the same nodes again.
        rows, columns = rng.permutation(n), rng.permutation(n)
        _, heard = linear_sum_assignment(gradient[np.ix_(rows, columns)])
        towards = -W
        towards[rows, columns[heard]] += 1
        slope = float((gradient * towards).sum())
        if slope >= -FLAT * np.abs(gradient).sum():
            break  # no permutation is better: W is optimal
        curvature = np.square(towards @ shares).sum() + lam * np.square(towards).sum()
        W = W + min(1.0, -n * slope / (2 * curvature)) * towards
    W[W < FLAT] = 0
    weights = from_matrix(W / W.sum(1, keepdims=True))
    graph = dataclasses.replace(weights.graph, name="stl_fw")
    return dataclasses.replace(weights, graph=graph, rule="stl_fw", doubly_stochastic=True)
