"""Pairwise network privacy of averaging noisy values by gossip: the losses of Muffliato, node by node.

Every node adds noise z ~ N(0, σ²) to its value once and gossips: after t steps the nodes hold W_t(x + z), and node v sees
(W_t(x + z))_w for all nodes w that it hears (Cyffers, Even, Bellet and Massoulié 2022, "Muffliato: peer-to-peer privacy
amplification for decentralized optimization and averaging", NeurIPS). W_t is W^t, or the accelerated

    W_0 = I,  W_1 = W,  W_{t+1} = ω W W_t + (1 − ω) W_{t−1},  ω = 2/(1 + √(1 − ρ²)).

A value is a number, or a vector with independent noise in each entry. All messages depend on the value of u only through
x_u + z_u, so no loss exceeds the local αΔ²/(2σ²). Computed on the host, with dense float64 matrices.
"""

import math
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.network.observed import in_whole_numbers, share_seen
from jaxgossip.topology import Weights, from_matrix, second_largest_modulus

MAX_NODES = 5000
"""Most nodes; a few dense powers of W are then held, of 0.2 GB each."""


def pairwise_privacy(
    W: Any, steps: int, noise: float, sensitivity: float = 1.0, *, alpha: float = 2.0, accelerated: bool = True
) -> np.ndarray:
    """Return Muffliato's pairwise Rényi privacy loss, as published: [u, v] is the loss of u's value towards v.

        ε_{u→v}(α) = αΔ²/(2σ²) Σ_{t<T} Σ_{w heard by v} (W_t)²_{wu} / ‖(W_t)_w‖²

    This is the paper's loss of gossip on a fixed graph; the authors' code sums the same terms without the first message.
    Each term is the loss of one message *alone*. As the messages share their noise, together they can reveal more: on the
    path 0–1–2, node 0 solves for x₂ + z₂ after two messages of node 1, a loss three times the sum. Use it as the NeurIPS
    version's measure of how the loss decays with distance and size, which the authors have since corrected (arXiv
    2206.05091); :func:`joint_privacy` is a valid bound. For nearby nodes the sum exceeds the local αΔ²/(2σ²), which always
    holds.

    The mean over u is exactly αΔ²/(2σ²) · T · (number of nodes that v hears)/n.

    Args:
        W: weights, or an (n, n) matrix, dense or sparse, whose rows sum to one.
        steps: T, messages along each link; the first is the noisy value.
        noise: σ, standard deviation of the noise on each value.
        sensitivity: Δ, largest difference between two values of a node, in Euclidean norm.
        alpha: order of the Rényi divergence.
        accelerated: whether gossip is accelerated.

    Returns:
        (n, n) float64; the diagonal is the loss of each node's value towards itself.

    Raises:
        GraphError: there are too many nodes, W is not a mixing matrix, or, if accelerated, not symmetric or not connected.
        InputError: another argument is out of range.
    """
    weights, scale = _checked("pairwise_privacy", W, steps, noise, sensitivity, alpha, accelerated)
    n = weights.graph.n_nodes
    revealed = np.zeros((n, n))
    for power in _powers(weights, steps, accelerated=accelerated):
        square = power**2
        revealed += square / square.sum(1, keepdims=True)
    return scale * (weights.graph.to_scipy() @ revealed).T


def joint_privacy(
    W: Any,
    steps: int,
    noise: float,
    sensitivity: float = 1.0,
    *,
    alpha: float = 2.0,
    accelerated: bool = True,
    observers: Sequence[int] | np.ndarray | None = None,
) -> np.ndarray:
    """Return the Rényi privacy loss of each node's value towards observers that combine all their messages.

        ε_{u→v}(α) = αΔ²/(2σ²) ‖P_v e_u‖²

    with P_v the projection onto the span of the rows (W_t)_w of all w that v hears, t < T, and of e_v, as v knows its own
    noise: the divergence of two Gaussians R(x + z) whose means differ by ΔR e_u is αΔ²/(2σ²) e_uᵀRᵀ(RRᵀ)⁺R e_u. The mean
    over u is αΔ²/(2σ²) · rank/n. Acceleration does not change the loss, since it does not change the span.

    The span is computed in integer arithmetic, so that no direction is too faint to count; only the last step rounds. The
    result is exact if the observer solves for every node within reach, or if the span takes no more than ``observed.WORK``
    operations: for regular and symmetric networks of up to thousands of nodes, irregular ones of about a hundred, and larger
    ones while no more than about forty directions are seen. Otherwise it is an upper bound, in which all nodes fewer than T
    links from a node that the observer hears have the local loss. Weights close to simple fractions (1/3) are taken as these,
    others as the exact value of their float64; see :mod:`jaxgossip.network.observed`.

    Args:
        W: weights, or an (n, n) matrix, dense or sparse, whose rows sum to one.
        steps: T, messages along each link; the first is the noisy value.
        noise: σ, standard deviation of the noise on each value.
        sensitivity: Δ, largest difference between two values of a node, in Euclidean norm.
        alpha: order of the Rényi divergence.
        accelerated: whether gossip is accelerated.
        observers: (s,) int, numbers of the observing nodes; None for all. Each takes up to about ten seconds.

    Returns:
        (n, s) float64 from 0 to αΔ²/(2σ²), the latter at [v, v].

    Raises:
        GraphError: there are too many nodes, W is not a mixing matrix, or, if accelerated, not symmetric or not connected.
        InputError: another argument is out of range.
    """
    weights, scale = _checked("joint_privacy", W, steps, noise, sensitivity, alpha, accelerated)
    n = weights.graph.n_nodes
    nodes = np.arange(n) if observers is None else np.asarray(observers)
    if nodes.ndim != 1 or nodes.dtype.kind not in "iu" or not ((nodes >= 0) & (nodes < n)).all():
        raise InputError(f"joint_privacy: observers must be node numbers from 0 to {n - 1}")
    heard, matrix = weights.graph.to_scipy(), in_whole_numbers(weights)
    seen = [
        share_seen(matrix, np.append(v, heard.indices[heard.indptr[v] : heard.indptr[v + 1]]), steps) for v in nodes
    ]
    shares = np.stack(seen, axis=1) if seen else np.zeros((n, 0))
    shares[nodes, np.arange(nodes.size)] = 1.0
    return scale * shares


def _powers(weights: Weights, steps: int, *, accelerated: bool) -> Iterator[np.ndarray]:
    """Yield W_0 = I, W_1, …, W_{T−1}, (n, n) each."""
    matrix, last, power = weights.to_scipy(), None, np.eye(weights.graph.n_nodes)
    omega = 2 / (1 + math.sqrt(1 - second_largest_modulus(weights) ** 2)) if accelerated else 1.0
    for _ in range(steps):
        yield power
        mixed = matrix @ power
        last, power = power, mixed if last is None else omega * mixed + (1 - omega) * last


def _checked(
    what: str, W: Any, steps: int, noise: float, sensitivity: float, alpha: float, accelerated: bool
) -> tuple[Weights, float]:
    """Return the weights and the local loss αΔ²/(2σ²).

    Raises:
        GraphError: there are too many nodes, W is not a mixing matrix, or, if accelerated, not symmetric or not connected.
        InputError: another argument is out of range.
    """
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 0:
        raise InputError(f"{what}: steps must be a whole number from 0, not {steps!r}")
    for name, value, low in (("noise", noise, 0), ("sensitivity", sensitivity, 0), ("alpha", alpha, 1)):
        if not isinstance(value, Real) or isinstance(value, bool) or not low < value < math.inf:
            raise InputError(f"{what}: {name} must be a number above {low}, not {value!r}")
    n = W.graph.n_nodes if isinstance(W, Weights) else max(np.shape(W), default=0)
    if n > MAX_NODES:
        raise GraphError(
            f"privacy between all pairs of {n:,} nodes needs dense matrices",
            hint=f"at most {MAX_NODES:,} nodes; a smaller network of the same kind shows the same",
        )
    weights = W if isinstance(W, Weights) else from_matrix(W)
    if accelerated and not weights.is_symmetric:
        raise GraphError(f"accelerated gossip needs symmetric weights, not {weights.rule}", hint="accelerated=False")
    if accelerated and second_largest_modulus(weights) >= 1:
        raise GraphError(
            f"accelerated gossip needs a network that agrees, but {weights.rule} on {weights.graph.name} does not",
            hint="accelerated=False, or a connected graph",
        )
    return weights, alpha * sensitivity**2 / (2 * noise**2)
