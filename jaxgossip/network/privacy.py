"""What a node learns of another's value when a network averages noisy values: Muffliato, pair by pair.

Every node adds noise N(0, σ²) to its value once and gossips: after t steps the nodes hold W_t(x + z), and node v sees
(W_t(x + z))_w of all nodes w that it hears (Cyffers, Even, Bellet and Massoulié 2022, "Muffliato: peer-to-peer privacy
amplification for decentralized optimization and averaging", NeurIPS). W_t is W^t, or the accelerated

    W_0 = I,  W_1 = W,  W_{t+1} = ω W W_t + (1 − ω) W_{t−1},  ω = 2/(1 + √(1 − ρ²)).

A value stands for a number or a vector with independent noise in each entry. All that is ever sent of u's value stems
from x_u + z_u, so no pair loses more than the local αΔ²/(2σ²). On the host, dense in float64.
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
"""Up to this size powers of W are held: a handful of dense matrices of 0.2 GB each."""


def pairwise_privacy(
    W: Any, steps: int, noise: float, sensitivity: float = 1.0, *, alpha: float = 2.0, accelerated: bool = True
) -> np.ndarray:
    """Return Muffliato's pairwise Rényi privacy loss, as published: [u, v] is the loss of u's value towards v.

        ε_{u→v}(α) = αΔ²/(2σ²) Σ_{t<T} Σ_{w heard by v} (W_t)²_{wu} / ‖(W_t)_w‖²

    (the paper's privacy of gossip on a fixed graph; the authors' own code takes the same terms, but leaves the first
    message out). The sum adds up what each message tells *by itself*. The messages carry the same noise, however, so
    that together they can tell more: on the path 0–1–2 node 0 solves for x₂ + z₂ after two messages of node 1, where
    the sum says a third of that. Take it as the measure of the NeurIPS version of how the loss falls with distance and
    size, which the authors have since corrected (arXiv 2206.05091); what holds as a bound is :func:`joint_privacy`. Near
    nodes' sums exceed the local αΔ²/(2σ²), which always holds.

    Its mean over u is αΔ²/(2σ²) · T · (nodes that v hears)/n, exactly.

    Args:
        W: weights, or an (n, n) matrix, dense or sparse, whose rows sum to one.
        steps: T, messages that each node sends to each that hears it; the first is its noisy value.
        noise: σ, standard deviation of the noise in each value.
        sensitivity: Δ, by how much a value can differ, in Euclidean norm.
        alpha: order of the Rényi divergence.
        accelerated: whether gossip is accelerated.

    Returns:
        (n, n) float64. The diagonal is what comes back to a node of its own value.

    Raises:
        GraphError: too many nodes, or a W that is no mixing matrix, or (accelerated) not symmetric or not connected.
        InputError: another argument is out of range.
    """
    weights, scale = _checked(W, steps, noise, sensitivity, alpha, accelerated)
    n = weights.graph.n_nodes
    told = np.zeros((n, n))
    for power in _powers(weights, steps, accelerated=accelerated):
        square = power**2
        told += square / square.sum(1, keepdims=True)
    return scale * (weights.graph.to_scipy() @ told).T


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
    """Return the Rényi privacy loss of each node's value towards observers that take all they saw together.

        ε_{u→v}(α) = αΔ²/(2σ²) ‖P_v e_u‖²

    with P_v the projection onto the span of all rows (W_t)_w of what v hears, t < T, and of e_v, for v knows its own
    noise: the divergence of two Gaussians R(x + z) whose means differ by ΔR e_u is αΔ²/(2σ²) e_uᵀRᵀ(RRᵀ)⁺R e_u. Its mean
    over u is αΔ²/(2σ²) · rank/n. It is the same with and without acceleration, for both tell the same span.

    The span is decided in whole numbers, so that no direction is too faint to be seen; only the last step rounds. The
    result is exact where the observer solves for every node within reach, and where working the span out takes no more than
    ``observed.WORK``: regular and symmetric networks up to thousands of nodes, irregular ones of some hundred, and larger
    ones as long as no more than some forty directions are seen. Else it is an upper bound: all nodes fewer than T links
    from those that the observer hears have the local loss. Weights that look like fractions (1/3) are taken for them, and
    others for the number that their float64 is: see :mod:`jaxgossip.network.observed`.

    Args:
        W: weights, or an (n, n) matrix, dense or sparse, whose rows sum to one.
        steps: T, messages that each node sends to each that hears it; the first is its noisy value.
        noise: σ, standard deviation of the noise in each value.
        sensitivity: Δ, by how much a value can differ, in Euclidean norm.
        alpha: order of the Rényi divergence.
        accelerated: whether gossip is accelerated.
        observers: (s,) who looks; None: all nodes. Each takes up to some ten seconds.

    Returns:
        (n, s) float64 from 0 to αΔ²/(2σ²), the latter at [v, v].

    Raises:
        GraphError: too many nodes, or a W that is no mixing matrix, or (accelerated) not symmetric or not connected.
        InputError: another argument is out of range.
    """
    weights, scale = _checked(W, steps, noise, sensitivity, alpha, accelerated)
    n = weights.graph.n_nodes
    eyes = np.arange(n) if observers is None else np.asarray(observers)
    if eyes.ndim != 1 or eyes.dtype.kind not in "iu" or not ((eyes >= 0) & (eyes < n)).all():
        raise InputError(f"observers must be node numbers from 0 to {n - 1}")
    heard, matrix = weights.graph.to_scipy(), in_whole_numbers(weights)
    seen = [share_seen(matrix, np.append(v, heard.indices[heard.indptr[v] : heard.indptr[v + 1]]), steps) for v in eyes]
    found = np.stack(seen, axis=1) if seen else np.zeros((n, 0))
    found[eyes, np.arange(eyes.size)] = 1.0
    return scale * found


def _powers(weights: Weights, steps: int, *, accelerated: bool) -> Iterator[np.ndarray]:
    """Yield W_0 = I, W_1, …, W_{T−1}, (n, n) each."""
    matrix, before, now = weights.to_scipy(), None, np.eye(weights.graph.n_nodes)
    omega = 2 / (1 + math.sqrt(1 - second_largest_modulus(weights) ** 2)) if accelerated else 1.0
    for _ in range(steps):
        yield now
        mixed = matrix @ now
        before, now = now, mixed if before is None else omega * mixed + (1 - omega) * before


def _checked(
    W: Any, steps: int, noise: float, sensitivity: float, alpha: float, accelerated: bool
) -> tuple[Weights, float]:
    """Return the weights and the local loss αΔ²/(2σ²), or raise."""
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 0:
        raise InputError(f"steps must be a whole number from 0, not {steps!r}")
    for name, value, low in (("noise", noise, 0), ("sensitivity", sensitivity, 0), ("alpha", alpha, 1)):
        if not isinstance(value, Real) or isinstance(value, bool) or not low < value < math.inf:
            raise InputError(f"{name} must be a number above {low}, not {value!r}")
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
