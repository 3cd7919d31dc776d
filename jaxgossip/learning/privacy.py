"""Differentially private gradients at each node, and the (ε, δ) that they guarantee.

DP-SGD (Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar and Zhang 2016, "Deep learning with differential privacy",
algorithm 1): the gradient g_j of every sample in a minibatch of b is clipped separately, then noise is added to the mean,

    ḡ = (1/b) (Σ_j g_j / max(1, ‖g_j‖₂/C) + N(0, z² C² I)),

with C the clip and z the noise multiplier. Each node does this with its own samples, so everything it sends is private
whoever listens, and nobody needs to be trusted. What the graph adds to this guarantee is in ``jaxgossip.network.privacy``.
"""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike
from scipy.special import gammaln, logsumexp
from scipy.stats import binom

from jaxgossip.core.arguments import plain, reals
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, Row

MAX_KAPPAS_TRIED = 8
"""Number of κ tried, starting at the first that leaves half of δ: beyond, the divergence grows without any gain in δ."""


@dataclass(frozen=True)
class DifferentialPrivacy:
    """Clipping and noise of DP-SGD at a node; pass it to :func:`jaxgossip.learning.classification`.

    Attributes:
        clip: C, the largest Euclidean norm allowed for the gradient of one sample.
        noise_multiplier: z, standard deviation of the noise added to the sum of a minibatch's gradients, in units of C.

    Raises:
        InputError: a clip that is not a positive number, or a noise multiplier that is negative or not a number.
    """

    clip: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        if not _is_finite(self.clip) or self.clip <= 0:
            raise InputError(
                f"DifferentialPrivacy: clip must be a positive number, not {self.clip!r}",
                hint="it bounds the norm of one sample's gradient; the median of those norms is a common choice",
            )
        if not _is_finite(self.noise_multiplier) or self.noise_multiplier < 0:
            raise InputError(
                f"DifferentialPrivacy: noise_multiplier must be a number from 0, not {self.noise_multiplier!r}",
                hint="the noise of a minibatch's sum in units of clip; 0 clips only, and keeps nothing private",
            )

    def mean(self, gradients: Float[Array, "b p"], used: Bool[Array, " b"] | None, key: PRNGKey) -> Row:
        """Return the private mean (p,) of one node's gradients, in their dtype.

        Args:
            gradients: (b, p), one row per sample.
            used: (b,) which rows count; None if all do.
            key: key of the node, which draws the noise.
        """
        # C / max(‖g‖, C) equals 1/max(1, ‖g‖/C) without a division by zero; a norm that overflows gives a zero gradient.
        scale = self.clip / jnp.maximum(jnp.linalg.norm(gradients, axis=1), self.clip)
        scale, count = (scale, scale.size) if used is None else (jnp.where(used, scale, 0), used.sum())
        total = scale @ gradients
        if self.noise_multiplier:
            noise = jax.random.normal(key, total.shape, total.dtype)
            total = total + self.noise_multiplier * self.clip * noise
        return total / count


def epsilon(privacy: DifferentialPrivacy, steps: int, batch_size: int, samples: ArrayLike, delta: float) -> np.ndarray:
    """Return ε per node: everything it has sent after ``steps`` gradients is (ε, δ) differentially private.

    Neighbouring data sets differ in one sample of one node, which is *replaced* (the number of samples is public). Each
    time that sample is in the minibatch, the sum of clipped gradients moves by up to 2C, so the noise is z/2 in units of
    what one appearance moves. dp-accounting's events express noise in units of the sensitivity under the accountant's own
    relation, here ``REPLACE_ONE``, and so are given z/2.

    All samples (``batch_size`` 0): Gaussian mechanisms, composed and converted by dp-accounting's Rényi accountant.

    A single sample (1): sampling with and without replacement coincide, and dp-accounting accounts for it. Its figure is
    returned where it is below the bound given next, that is, unless a node has only a handful of samples.

    Larger minibatches drawn with replacement: dp-accounting has an event for them but no accountant, so the Rényi divergence
    is bounded here and only converted there. A sample appears K ~ Binomial(b, 1/m) times. With
    q = P(K ≥ 1), the k-fold Gaussian ε_k(α) = 2αk²/z², and expectations over K given K ≥ 1, the argument of Wang, Balle
    and Kasiviswanathan 2019 ("Subsampled Rényi differential privacy and analytical moments accountant", theorem 9),
    conditioned on K, gives for integer α

        e^{(α−1) ε(α)} ≤ 1 + C(α,2) q² E min(4(e^{ε_K(2)} − 1), 2e^{ε_K(2)}) + Σ_{j=3}^α C(α,j) q^j E 2e^{(j−1) ε_K(j)};

    between integer α, (α − 1) ε(α) is convex (their corollary 10). Joint convexity alone gives E e^{(α−1) ε_K(α)}, now over
    all K; the smaller of the two bounds is used. Minibatches in which the sample appears more than κ times are rare enough to
    be charged to δ: the rest has to hold with δ − steps · P(K > κ), and the best κ is taken.

    All results are upper bounds. The one for larger minibatches is close after many steps: 1.0 to 1.3 times dp-accounting's
    figure for as many samples drawn without replacement, for z from 4 to 8 and 1,000 steps. After fewer steps or with strong
    noise, where dp-accounting has a finer bound, it is several times too large: at δ = 1e-5, 6.9 times (z = 2, b = 10,
    m = 1000, 100 steps) and 8.5 times (z = 50, b = 5, m = 200, 10 steps), and up to 141 times for the Rényi divergence
    itself. They are guarantees of the mathematics: the noise of an emulation is pseudo-random and of finite precision.

    Args:
        privacy: clip and noise; the result depends on ``noise_multiplier`` only.
        steps: number of gradients that every node has taken: rounds × local steps. Where nodes go through epochs, each sample
            is in one minibatch of an epoch: give the number of epochs, and 0 for ``batch_size``.
        batch_size: b, samples per minibatch; 0 takes all samples of a node.
        samples: (n,) number m of training samples of each node, ``problem.sample_counts``; or one number.
        delta: δ in (0, 1); only meaningful below 1/m.

    Returns:
        (n,) float64, infinite without noise. Each distinct number of samples is computed only once.

    Raises:
        InputError: dp-accounting is not installed, or an argument is out of range.
    """
    plain("epsilon", "privacy", privacy, DifferentialPrivacy)
    if not _is_whole(steps) or steps < 0:
        raise InputError(f"epsilon: steps must be a whole number from 0, not {steps!r}")
    if not _is_whole(batch_size) or batch_size < 0:
        raise InputError(
            f"epsilon: batch_size must be a whole number from 0, not {batch_size!r}", hint="0 takes all samples"
        )
    if not _is_finite(delta) or not 0 < delta < 1:
        raise InputError(f"epsilon: delta must be between 0 and 1, not {delta!r}", hint="a common choice is 1e-5")
    counts = np.atleast_1d(reals("epsilon", "samples", samples))
    if counts.ndim != 1 or not (np.isfinite(counts) & (counts >= 1) & (counts == np.floor(counts))).all():
        raise InputError("epsilon: samples must be whole numbers from 1, one a node", hint="give problem.sample_counts")
    library, z = _dp_accounting(), privacy.noise_multiplier
    if steps == 0 or z == 0:
        return np.full(counts.size, math.inf if steps else 0.0)
    if batch_size == 0:
        return np.full(counts.size, _accountant_epsilon(library, library.GaussianDpEvent(z / 2), steps, delta))
    distinct, place = np.unique(counts, return_inverse=True)
    epsilons = [_minibatch_epsilon(library, z, steps, batch_size, int(m), delta) for m in distinct]
    return np.array(epsilons, np.float64)[place]


def _minibatch_epsilon(library: ModuleType, z: float, steps: int, b: int, m: int, delta: float) -> float:
    """Return ε of a node with m samples."""
    bound = _epsilon_with_replacement(library, z, steps, b, m, delta)
    if b > 1:
        return bound
    event = library.SampledWithoutReplacementDpEvent(m, 1, library.GaussianDpEvent(z / 2))
    return min(bound, _accountant_epsilon(library, event, steps, delta))


def _accountant_epsilon(library: ModuleType, event: Any, steps: int, delta: float) -> float:
    """Return dp-accounting's ε of ``steps`` repetitions of an event."""
    accountant = library.rdp.RdpAccountant(neighboring_relation=library.NeighboringRelation.REPLACE_ONE)
    return float(accountant.compose(event, steps).get_epsilon(delta))


def _epsilon_with_replacement(library: ModuleType, z: float, steps: int, b: int, m: int, delta: float) -> float:
    """Return ε of a node with m samples, minimised over κ."""
    orders = np.asarray(library.rdp.RdpAccountant().orders, np.float64)
    most = np.arange(1, b + 1)
    tail = steps * binom.sf(most, b, 1 / m)
    best = math.inf
    for kappa in most[tail <= delta / 2][:MAX_KAPPAS_TRIED]:
        divergence = steps * _renyi_bound(orders, z, b, m, int(kappa))
        best = min(best, library.rdp.compute_epsilon(orders, divergence, delta - tail[kappa - 1])[0])
    return float(best)


def _renyi_bound(orders: np.ndarray, z: float, b: int, m: int, kappa: int) -> np.ndarray:
    """Return (orders,) bounds on ε(α) of one step in which a sample appears at most κ times: see :func:`epsilon`."""
    k = np.arange(kappa + 1)
    log_p = binom.logpmf(k, b, 1 / m)
    log_p -= logsumexp(log_p)
    curve = 2 * k**2 / z**2  # ε_k(α)/α
    convexity = logsumexp(log_p + np.multiply.outer(orders * (orders - 1), curve), axis=1)

    log_q = logsumexp(log_p[1:])
    log_w, curve = log_p[1:] - log_q, curve[1:]
    j = np.arange(2, int(np.ceil(orders.max())) + 1)
    moments = math.log(2) + np.multiply.outer(j * (j - 1), curve)
    # log(4(e^x − 1)) at x = ε_k(2) = 2·curve, without overflow
    moments[0] = np.minimum(moments[0], math.log(4) + 2 * curve + np.log(-np.expm1(-2 * curve)))
    terms = j * log_q + logsumexp(log_w + moments, axis=1)
    amplified = {1: 0.0}
    for order in sorted({int(side(alpha)) for alpha in orders for side in (np.floor, np.ceil)} - {1}):
        choose = gammaln(order + 1) - gammaln(j + 1) - gammaln(np.maximum(order - j, 0) + 1)
        amplified[order] = float(np.logaddexp(0, logsumexp((terms + choose)[: order - 1])))
    low, high = (np.array([amplified[int(side(alpha))] for alpha in orders]) for side in (np.floor, np.ceil))
    between = low + (orders - np.floor(orders)) * (high - low)
    return np.minimum(between, convexity) / (orders - 1)


def _dp_accounting() -> ModuleType:
    try:
        import dp_accounting  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise InputError(
            "privacy is accounted for by dp-accounting, which is not installed",
            hint='pip install "jaxgossip[privacy]"',
        ) from error
    return dp_accounting


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
