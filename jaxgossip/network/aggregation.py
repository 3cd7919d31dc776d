"""Robust aggregation: how a node combines the rows it hears when some of its neighbours may lie.

Node i holds x_i and hears the rows h_1 … h_m that arrived, of weights w_k; w_0 = 1 − Σ w_k is its own.

    clipped        x_i + Σ_k w_k clip(h_k − x_i, τ_i),   clip(v, τ) = min(1, τ/‖v‖) v
    median         median of x_i, h_1 … h_m, column by column
    trimmed_mean   mean of these without the b smallest and the b largest, column by column
    krum           the one of these with the least sum of squared distances to its m − b − 1 nearest others
    nearest        mean of x_i and the m − b heard rows nearest to x_i

clipped is ClippedGossip (He, Karimireddy and Jaggi 2022, "Byzantine-robust decentralized learning via ClippedGossip",
algorithm 1), with the radius "cs_plus" CS⁺ of Gaucher, Dieuleveut and Hendrikx 2025, "Unified breakdown analysis for
Byzantine robust gossip"; krum: Blanchard et al. 2017; median and trimmed mean: Yin et al. 2018; nearest: nearest
neighbour averaging, Farhadkhani et al. 2023, "Robust collaborative learning with linear gradient overhead", algorithm 1.

Lost messages are ignored: every rule combines only what arrived.
"""

import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgossip.core.arguments import check_fields, guarded, number, plain
from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.core.registry import Registry
from jaxgossip.core.typing import NodeInts, Rows
from jaxgossip.mixing.operator import Operator, SlotOperator

if TYPE_CHECKING:
    from jaxgossip.network.adversaries import Scene


ROUNDING = 1e-5
"""Tolerance for float32 sums of weights that would equal a bound in exact arithmetic."""


@dataclass(frozen=True)
class Heard:
    """The rows that every node hears, by slot.

    Attributes:
        x: (n, p), the rows that nodes hold.
        rows: n_slots arrays (n, p), one heard row per node each.
        weights: (n, n_slots), 0 where nothing arrived.
        lying: (n, n_slots) bool, whether the sender lies; None if all are honest. Only oracles may use it.
    """

    x: Rows
    rows: tuple[Rows, ...]
    weights: Float[Array, "n k"]
    lying: Bool[Array, "n k"] | None

    @classmethod
    def of(cls, scene: "Scene") -> "Heard":
        """Return the rows that nodes hear in an exchange.

        Raises:
            GraphError: W has no slot form, or a node has too many senders.
        """
        slots, n, dtype = senders(scene.operator), scene.operator.n_nodes, scene.x.dtype
        rows, lying = [slots.take(scene.sent, k) for k in range(slots.n_slots)], None
        weights = jnp.stack(
            [jnp.broadcast_to(slots.slot_weight(k), (n,)).astype(dtype) for k in range(slots.n_slots)], axis=1
        )
        if scene.faults is not None:
            weights = jnp.where(slots.arrivals(scene.faults), weights, 0)
        if scene.liars is not None:
            lying = jnp.stack([slots.take(scene.liars, k) for k in range(slots.n_slots)], axis=1)
            if scene.targeted is not None:
                rows = [jnp.where(lying[:, k, None], scene.targeted, row) for k, row in enumerate(rows)]
        return cls(scene.x, tuple(rows), weights, lying)

    @property
    def arrived(self) -> Bool[Array, "n k"]:
        """(n, n_slots) bool: which rows arrived."""
        return self.weights != 0

    def squared_distances(self) -> Float[Array, "n k"]:
        """Return (n, n_slots): ‖h_k − x_i‖²."""
        return jnp.stack([jnp.square(row - self.x).sum(1) for row in self.rows], axis=1)

    def pulled(self, factors: Float[Array, "n k"]) -> Rows:
        """Return (n, p): x_i + Σ_k factors_ik (h_k − x_i)."""
        terms = (factors[:, k, None] * (row - self.x) for k, row in enumerate(self.rows))
        return self.x + functools.reduce(operator.add, terms)


def senders(operator: Operator) -> SlotOperator:
    """Return the slot form of ``operator``.

    Raises:
        GraphError: it has none, or a node has too many senders.
    """
    try:
        return operator.by_slots()
    except GraphError as error:
        raise GraphError(
            f"robust aggregation hears senders one by one: {error.message}",
            hint=f"{error.hint}; or leave out the section [aggregation] (in Python: aggregation=None)",
        ) from error


@dataclass(frozen=True)
class Aggregation:
    """A rule that combines the rows heard.

    Attributes:
        name: name of the rule.
        combine: heard -> (n, p), the combined rows.
    """

    name: str
    combine: Callable[[Heard], Rows]

    def __post_init__(self) -> None:
        check_fields("aggregation", self)


@guarded
def clipped(
    *, radius: Literal["adaptive", "cs_plus", "oracle"] | float = "adaptive", tolerance: float = 0.25
) -> Aggregation:
    """Clip the difference to each neighbour to a radius before averaging: ClippedGossip.

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
            by_distance = jnp.argsort(jnp.where(heard.arrived, distances, jnp.inf), axis=1)
            weight, distance = (jnp.take_along_axis(values, by_distance, 1) for values in (heard.weights, distances))
            own = 1 - heard.weights.sum(1, keepdims=True)
            reached = own + jnp.cumsum(weight, axis=1) - ROUNDING
            if radius == "cs_plus":
                return jnp.where((reached <= 1 - 2 * tolerance) & (weight > 0), distance, 0).max(1)
            return jnp.where(reached <= 1 - tolerance, weight * distance, 0).sum(1) / tolerance
        lying = jnp.zeros_like(heard.arrived) if heard.lying is None else heard.lying
        share = jnp.where(lying, heard.weights, 0).sum(1)
        honest = jnp.where(lying, 0, heard.weights)
        return jnp.where(share > 0, (honest * distances).sum(1) / jnp.where(share > 0, share, 1), jnp.inf)

    def combine(heard: Heard) -> Rows:
        distances = heard.squared_distances()
        limit = squared_radius(heard, distances)[:, None]
        factor = jnp.where(distances > limit, jnp.sqrt(limit / jnp.where(distances > 0, distances, 1)), 1)
        return heard.pulled(heard.weights * factor)

    return Aggregation("clipped", combine)


@guarded
def median() -> Aggregation:
    """Take the column-wise median of a node's own row and the rows it hears."""

    def combine(heard: Heard) -> Rows:
        columns, number = sorted_columns(heard)
        low, high = (number - 1) // 2, number // 2
        return (
            sum_over_ranks(columns, lambda rank: rank == low) + sum_over_ranks(columns, lambda rank: rank == high)
        ) / 2

    return Aggregation("median", combine)


@guarded
def trimmed_mean(*, trim: int = 1) -> Aggregation:
    """Average a node's own row and the rows it hears, column by column, without the extremes.

    Args:
        trim: b, number of values left out at either end; nodes that hear too few leave out as many as possible.

    Raises:
        InputError: ``trim`` is negative.
    """
    if trim < 0:
        raise InputError(f"aggregation trimmed_mean: trim must not be negative, not {trim}")

    def combine(heard: Heard) -> Rows:
        columns, number = sorted_columns(heard)
        left_out = jnp.minimum(trim, (number - 1) // 2)
        kept = sum_over_ranks(columns, lambda rank: (rank >= left_out) & (rank < number - left_out))
        return kept / (number - 2 * left_out).astype(kept.dtype)[:, None]

    return Aggregation("trimmed_mean", combine)


@guarded
def krum(*, liars: int = 1) -> Aggregation:
    """Take, of a node's own row and the rows it hears, the one closest to its nearest others.

    Args:
        liars: b, assumed number of liars among the neighbours of a node.

    Raises:
        InputError: ``liars`` is negative.
    """
    if liars < 0:
        raise InputError(f"aggregation krum: liars must not be negative, not {liars}")

    def combine(heard: Heard) -> Rows:
        rows = (heard.x, *heard.rows)
        present = jnp.concatenate([jnp.ones((heard.x.shape[0], 1), bool), heard.arrived], axis=1)
        k = len(rows)
        distance = [[jnp.full(heard.x.shape[0], jnp.inf, heard.x.dtype) for _ in range(k)] for _ in range(k)]
        for a in range(k):
            for b in range(a):
                between = jnp.square(rows[a] - rows[b]).sum(1)
                distance[a][b] = distance[b][a] = jnp.where(present[:, a] & present[:, b], between, jnp.inf)
        near = jnp.sort(jnp.stack([jnp.stack(row, axis=1) for row in distance], axis=1), axis=2)
        # m − b − 1 others count, and there are m + 1 rows.
        counted = jnp.maximum(present.sum(1) - 1 - liars - 1, 1)[:, None, None]
        scores = jnp.where((jnp.arange(k) < counted) & jnp.isfinite(near), near, 0).sum(2)
        best = jnp.argmin(jnp.where(present, scores, jnp.inf), axis=1)
        return functools.reduce(operator.add, (jnp.where((best == j)[:, None], row, 0) for j, row in enumerate(rows)))

    return Aggregation("krum", combine)


@guarded
def nearest(*, liars: int = 1) -> Aggregation:
    """Average a node's own row and the heard rows nearest to it: nearest neighbour averaging.

    Args:
        liars: b, how many of the farthest rows heard are left out.

    Raises:
        InputError: ``liars`` is negative.
    """
    if liars < 0:
        raise InputError(f"aggregation nearest: liars must not be negative, not {liars}")

    def combine(heard: Heard) -> Rows:
        distances = jnp.where(heard.arrived, heard.squared_distances(), jnp.inf)
        rank = jnp.argsort(jnp.argsort(distances, axis=1), axis=1)
        number = jnp.maximum(heard.arrived.sum(1, keepdims=True) - liars, 0)
        return heard.pulled(jnp.where(rank < number, 1 / (1 + number.astype(heard.x.dtype)), 0))

    return Aggregation("nearest", combine)


def sorted_columns(heard: Heard) -> tuple[list[Rows], NodeInts]:
    """Return (columns, counts): each node's own and heard rows, sorted column by column, and their number (n,).

    ``columns`` are k + 1 arrays (n, p) in ascending order, infinite for rows that did not arrive. They are sorted by a
    network of comparisons of whole arrays, which XLA fuses, unlike a sort along an axis.
    """
    arrived = heard.arrived
    columns = [heard.x, *(jnp.where(arrived[:, k, None], row, jnp.inf) for k, row in enumerate(heard.rows))]
    for a, b in comparators(len(columns)):
        columns[a], columns[b] = jnp.minimum(columns[a], columns[b]), jnp.maximum(columns[a], columns[b])
    return columns, 1 + arrived.sum(1)


def sum_over_ranks(columns: list[Rows], which: Callable[[int], Array | bool]) -> Rows:
    """Return (n, p): the sum of ``columns`` over the ranks for which ``which``(rank), scalar or (n,) bool, holds."""
    return functools.reduce(
        operator.add, (jnp.where(jnp.asarray(which(rank))[:, None], column, 0) for rank, column in enumerate(columns))
    )


def comparators(n: int) -> list[tuple[int, int]]:
    """Return the comparators (a, b), a < b, of Batcher's odd-even merge sort on n wires (Knuth, TAOCP 3, 5.2.2 M)."""
    pairs, top = [], 1 << max(0, (n - 1).bit_length() - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            q, d, r = q // 2, q - p, p
        p //= 2
    return pairs


AGGREGATIONS = Registry("aggregation", [clipped, median, trimmed_mean, krum, nearest])
"""Builders of aggregations by name, as in ``aggregation.kind``; without one, nodes take the weighted mean."""
