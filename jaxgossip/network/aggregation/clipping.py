"""Clipped gossip: differences to neighbours are clipped before they are averaged."""

import math
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.arguments import guarded, number, plain
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import Rows
from jaxgossip.network.aggregation.heard import Aggregation, Heard

ROUNDING = 1e-5
"""Tolerance for float32 sums of weights that would equal a bound in exact arithmetic."""


@guarded
def clipped(
    *, radius: Literal["adaptive", "cs_plus", "oracle"] | float = "adaptive", tolerance: float = 0.25
) -> Aggregation:
    """Clip the difference to each neighbour to a radius before averaging: ClippedGossip.

    A row whose squared distance is too large for the floats at hand is not heard: a lie of infinite size pulls at nothing.

    Args:
        radius: τ, a number or a rule. "adaptive": τ² = (1/δ) Σ w_k ‖h_k − x_i‖² over the nearest rows, the node's own
            included, of total weight at most 1 − δ, which are taken as honest. "cs_plus": the largest distance among the
            nearest rows of total weight at most 1 − 2δ. "oracle": as adaptive, but over the rows known to be honest, with
            the weight of the liars as δ.
        tolerance: δ of "adaptive" and "cs_plus": the assumed weight of liars among the rows that a node hears.

    Raises:
        InputError: ``radius`` is not positive, or ``tolerance`` is outside (0, 1).
    """
    if isinstance(radius, str):
        plain("clipped", "radius", radius, Literal["adaptive", "cs_plus", "oracle"])
    elif number("aggregation clipped", "radius", radius, least=-math.inf) <= 0:
        raise InputError(f"aggregation clipped: radius must be positive, not {radius}")
    if not 0 < tolerance < 1:
        raise InputError(f"aggregation clipped: tolerance is between 0 and 1, not {tolerance}")

    def squared_radius(heard: Heard, distances: Array) -> Array:
        if not isinstance(radius, str):
            return jnp.full(distances.shape[0], radius**2, distances.dtype)
        if radius in ("adaptive", "cs_plus"):
            by_distance = jnp.argsort(jnp.where(heard.arrived, distances, jnp.inf), axis=1)  # the others weigh nothing
            weight, distance = (jnp.take_along_axis(values, by_distance, 1) for values in (heard.weights, distances))
            own = 1 - heard.weights.sum(1, keepdims=True)
            reached = own + jnp.cumsum(weight, axis=1) - ROUNDING
            if radius == "cs_plus":
                return jnp.where((reached <= 1 - 2 * tolerance) & (weight > 0), distance, 0).max(1)
            return jnp.where(reached <= 1 - tolerance, weight * distance, 0).sum(1) / tolerance
        lying = jnp.zeros_like(heard.arrived) if heard.lying is None else heard.lying
        share = jnp.where(lying, heard.weights, 0).sum(1)
        # Distances of rows that lie may be infinite, which times 0 is no number.
        honest = jnp.where(lying, 0, heard.weights * distances).sum(1)
        return jnp.where(share > 0, honest / jnp.where(share > 0, share, 1), jnp.inf)

    def combine(heard: Heard) -> Rows:
        # Those of rows that are lost may be infinite, which times their weight of 0 is no number.
        distances = jnp.where(heard.arrived, heard.squared_distances(), 0)
        limit = squared_radius(heard, distances)[:, None]
        factor = jnp.where(distances > limit, jnp.sqrt(limit / jnp.where(distances > 0, distances, 1)), 1)
        return heard.pulled(heard.weights * factor)

    # Rules of the other kinds look for the nearest of several rows.
    return Aggregation("clipped", combine, by_message=radius == "oracle" or not isinstance(radius, str))
