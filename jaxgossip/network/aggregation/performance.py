"""Rules that choose rows by how well they perform on a node's own samples: UBAR.

Of m heard rows, node i first takes the max(1, ⌊ρm⌋) nearest to its own as candidates (and others as near as the last of them),
then those of them whose loss on a minibatch of its own is no larger than that of its own row:

    X⁺_i = α x_i + (1 − α) mean of those,

or of the candidates of least loss, if there are none. A gradient step precedes or follows, as the algorithm says. One more
forward pass for each row heard; nothing else is sent.

Guo, Zhang, Yu, Xie, Ma, Xiang and Liu 2021, "Byzantine-resilient decentralized stochastic gradient descent", algorithm 1. There
the minibatch is that of the gradient; here it is drawn for the comparison, which the gradient has not fitted yet.
"""

import jax.numpy as jnp

from jaxgossip.core.arguments import guarded, number
from jaxgossip.core.typing import Rows
from jaxgossip.network.aggregation.heard import Aggregation, Heard

ROUNDING = 1e-6
"""Tolerance for ρm that would be a whole number in exact arithmetic."""


@guarded
def ubar(*, rho: float = 0.5, alpha: float = 0.5) -> Aggregation:
    """Average a node's own row with near ones that have no larger loss on its own samples: UBAR, or Mozi.

    Rows without a finite loss are refused; else a copy of a node's own row never is.

    Args:
        rho: ρ, the share of the rows heard that are candidates, the nearest ones; at least one is.
        alpha: α, the weight of a node's own row; the rows accepted share the rest.

    Raises:
        InputError: ``rho`` is not above 0 and at most 1, or ``alpha`` is outside [0, 1].
    """
    number("aggregation ubar", "rho", rho, above=True, most=1.0)
    number("aggregation ubar", "alpha", alpha, most=1.0)

    def combine(heard: Heard) -> Rows:
        far = jnp.where(heard.arrived, heard.squared_distances(), jnp.inf)
        candidates = jnp.maximum(jnp.floor(rho * heard.arrived.sum(1) + ROUNDING).astype(jnp.int32), 1)
        farthest = jnp.take_along_axis(jnp.sort(far, axis=1), candidates[:, None] - 1, 1)
        near = heard.arrived & (far <= farthest)
        own, losses = heard.losses()
        known = near & jnp.isfinite(losses)
        accepted = known & (losses <= own)
        losses = jnp.where(known, losses, jnp.inf)
        best = known & (losses == losses.min(1, keepdims=True))
        accepted = jnp.where(accepted.any(1, keepdims=True), accepted, best)
        share = (1 - alpha) / jnp.maximum(accepted.sum(1, keepdims=True), 1).astype(heard.x.dtype)
        return heard.pulled(jnp.where(accepted, share, 0))

    return Aggregation("ubar", combine, compares_losses=True)
