"""Rules that choose among whole rows by their distances: Krum, Bulyan and nearest neighbour averaging."""

import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import NodeInts, Rows
from jaxgossip.network.aggregation.columns import ascending, ascending_in_size, median_of, sum_over_ranks
from jaxgossip.network.aggregation.heard import Aggregation, Heard


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
        rows, present = all_rows(heard)
        # m − b − 1 others count, and there are m + 1 rows.
        counted = present.sum(1) - 1 - liars - 1
        best = jnp.argmin(krum_scores(squared_distances(rows), present, counted), axis=1)
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
        # A row too far away to be measured is the farthest of those that arrived, and still before those that did not.
        farthest = jnp.finfo(heard.x.dtype).max
        distances = jnp.where(heard.arrived, jnp.minimum(heard.squared_distances(), farthest), jnp.inf)
        rank = jnp.argsort(jnp.argsort(distances, axis=1), axis=1)
        number = jnp.maximum(heard.arrived.sum(1, keepdims=True) - liars, 0)
        return heard.pulled(jnp.where(rank < number, 1 / (1 + number.astype(heard.x.dtype)), 0))

    return Aggregation("nearest", combine)


@guarded
def bulyan(*, liars: int = 1) -> Aggregation:
    """Choose rows by Krum, one after the other, and average them column by column near their median.

    Args:
        liars: b, assumed number of liars among the neighbours of a node, each of which has 4b + 2 neighbours or more. Where
            messages are lost, a node assumes as few as go with what it hears.

    Raises:
        InputError: ``liars`` is negative.
    """
    if liars < 0:
        raise InputError(f"aggregation bulyan: liars must not be negative, not {liars}")

    def combine(heard: Heard) -> Rows:
        rows, present = all_rows(heard)
        number = present.sum(1)
        assumed = jnp.clip((number - 3) // 4, 0, liars)
        chosen = repeated_krum(squared_distances(rows), present, assumed)
        columns = ascending([jnp.where(chosen[:, k, None], row, jnp.inf) for k, row in enumerate(rows)])
        middle = median_of(columns, number - 2 * assumed)
        near = ascending_in_size([column - middle for column in columns])
        averaged = number - 4 * assumed
        return middle + sum_over_ranks(near, lambda rank: rank < averaged) / averaged.astype(middle.dtype)[:, None]

    return Aggregation("bulyan", combine, least_heard=4 * liars + 2 if liars else 0)


def all_rows(heard: Heard) -> tuple[tuple[Rows, ...], Bool[Array, "n k"]]:
    """Return (rows, present): each node's own and heard rows, k arrays (n, p), and which of them are there, (n, k)."""
    own = jnp.ones((heard.x.shape[0], 1), bool)
    return (heard.x, *heard.rows), jnp.concatenate([own, heard.arrived], axis=1)


def squared_distances(rows: tuple[Rows, ...]) -> Float[Array, "n k k"]:
    """Return (n, k, k): the squared distances between each node's ``rows``, infinite between a row and itself.

    Others are bounded, so that the sum of all is finite: a row too far away to be measured is the farthest, and not left out.
    """
    k = len(rows)
    farthest = jnp.finfo(rows[0].dtype).max / (2 * k)
    distance = [[jnp.full(rows[0].shape[0], jnp.inf, rows[0].dtype) for _ in range(k)] for _ in range(k)]
    for a in range(k):
        for b in range(a):
            distance[a][b] = distance[b][a] = jnp.minimum(jnp.square(rows[a] - rows[b]).sum(1), farthest)
    return jnp.stack([jnp.stack(row, axis=1) for row in distance], axis=1)


def krum_scores(
    distances: Float[Array, "n k k"], present: Bool[Array, "n k"], counted: NodeInts
) -> Float[Array, "n k"]:
    """Return (n, k): the sum of each row's ``counted`` (n,) least distances to others, at least one; infinite if absent."""
    near = jnp.sort(jnp.where(present[:, :, None] & present[:, None, :], distances, jnp.inf), axis=2)
    count = (jnp.arange(near.shape[2]) < jnp.maximum(counted, 1)[:, None, None]) & jnp.isfinite(near)
    return jnp.where(present, jnp.where(count, near, 0).sum(2), jnp.inf)


def repeated_krum(distances: Float[Array, "n k k"], present: Bool[Array, "n k"], liars: NodeInts) -> Bool[Array, "n k"]:
    """Return (n, k) bool: the m + 1 − 2b rows that Krum takes of m + 1, one after the other, b being ``liars`` (n,).

    Of rows with equal scores, as two rows have that are nearest to each other, it takes the one that is nearer to all that
    are left, so that the order of the rows does not matter.
    """
    number = present.sum(1)

    def take(step: Array, left: Array) -> Array:
        scores = krum_scores(distances, left, number - step - liars - 2)
        others = left[:, None, :] & jnp.isfinite(distances)
        to_all = jnp.where(others, distances, 0).sum(2)
        best = left & (scores == scores.min(1, keepdims=True))
        taken = jnp.argmin(jnp.where(best, to_all, jnp.inf), axis=1)
        takes = (jnp.arange(left.shape[1]) == taken[:, None]) & (step < number - 2 * liars)[:, None]
        return left & ~takes

    return present & ~jax.lax.fori_loop(0, present.shape[1], take, present)
