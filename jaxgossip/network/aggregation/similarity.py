"""Rules that accept whole rows by how similar they are to a node's own: BALANCE."""

import jax.numpy as jnp

from jaxgossip.core.arguments import guarded, number, whole
from jaxgossip.core.typing import Rows
from jaxgossip.network.aggregation.heard import Aggregation, Heard


@guarded
def balance(*, gamma: float = 0.3, kappa: float = 1.0, alpha: float = 0.5, rounds: int = 1000) -> Aggregation:
    """Average the heard rows that differ little from a node's own, relative to its norm, with its own: BALANCE.

    A row scaled by 1 + δ is accepted if |δ| ≤ γ e^(−κt/T), whatever its norm; rows near zero accept hardly any other.

    Args:
        gamma: γ, the largest relative difference in the first round.
        kappa: κ, by which logarithm it falls until round T.
        alpha: α, the weight of a node's own row; the rows accepted share the rest.
        rounds: T, the number of rounds of the run.

    Raises:
        InputError: ``gamma`` is not positive, ``kappa`` is negative, ``alpha`` is outside [0, 1], or ``rounds`` is less
            than 1.
    """
    number("aggregation balance", "gamma", gamma, above=True)
    number("aggregation balance", "kappa", kappa)
    number("aggregation balance", "alpha", alpha, most=1.0)
    whole("aggregation balance", "rounds", rounds, 1)

    def combine(heard: Heard) -> Rows:
        limit = gamma * jnp.exp(-kappa * heard.round.astype(heard.x.dtype) / rounds)
        own = jnp.square(heard.x).sum(1, keepdims=True)
        accepted = heard.arrived & (heard.squared_distances() <= jnp.square(limit) * own)
        share = (1 - alpha) / jnp.maximum(accepted.sum(1, keepdims=True), 1).astype(heard.x.dtype)
        return heard.pulled(jnp.where(accepted, share, 0))

    return Aggregation("balance", combine)
