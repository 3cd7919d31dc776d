"""What nodes know of each other's models, and senders that they choose by it; see :mod:`.morph`.

Nodes are named by their numbers, not by the rows that they stand in. All of it is of rows at hand: what a node learns of
others comes as rows of (n, n) arrays that these send.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxgossip.algorithms.model_state import has_state
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import NodeFloats, NodeInts, Rows, SlotInts, SlotMask
from jaxgossip.learning.problem import Problem

REPORTS = 5
"""Number of reports of a node that others keep, the last ones."""
NOT_ALIKE = -1.0
"""Similarity of models of which no array can be compared."""
Columns = tuple[tuple[int, int], ...]
"""Where arrays of a model begin and end in a row."""
OfPairs = Float[Array, "n m"]
"""A number of every node, in the row of every node; m is n."""
PairMask = Bool[Array, "n m"]


class Peers(NamedTuple):
    """What each node knows of the others; entry (i, j) of an (n, n) array is what node i knows of node j.

    Attributes:
        senders: (n, k) int32, the nodes that each asks for models; its own number where it asks nobody.
        known: (n, n) bool, whether i has heard of j.
        met: (n, n) bool, whether i has received a model of j.
        rated: (n, n) bool, whether i has a similarity with j, measured or estimated.
        similarity: (n, n) that similarity.
        reports: (n, REPORTS, n) the similarities with j that others last told i, the latest first.
        reporters: (n, REPORTS, n) int16, who did; -1 where nobody has.
    """

    senders: SlotInts
    known: PairMask
    met: PairMask
    rated: PairMask
    similarity: OfPairs
    reports: Float[Array, "n r m"]
    reporters: Int[Array, "n r m"]

    @classmethod
    def first(
        cls, node: NodeInts, senders: SlotInts, acquainted: Int[Array, "n d"], n_nodes: int, dtype: np.dtype
    ) -> "Peers":
        """Return what each ``node`` (n,) knows before the first round: its ``senders``, and the ``acquainted`` (n, d)."""
        rows = senders.shape[0]
        known = jnp.zeros((rows, n_nodes), bool).at[jnp.arange(rows)[:, None], acquainted].set(True)
        known = known & (jnp.arange(n_nodes) != node[:, None])
        nobody, nothing = jnp.zeros((rows, n_nodes), bool), jnp.zeros((rows, n_nodes), dtype)
        reports = jnp.zeros((rows, REPORTS, n_nodes), dtype)
        reporters = jnp.full((rows, REPORTS, n_nodes), -1, jnp.int16)
        return cls(senders, known, nobody, nobody, nothing, reports, reporters)


def compared_columns(problem: Problem) -> Columns:
    """Return the columns of the arrays of a model that are compared: shared ones that gradients move."""
    layout = getattr(problem, "layout", None)
    if layout is None:
        return ((0, problem.n_shared),)
    moves = [not (has_state(problem) and bool(layout.is_state[start])) for start in layout.ends[:-1]]
    spans = zip(itertools.pairwise(layout.ends), moves, strict=True)
    return tuple((start, end) for (start, end), moved in spans if moved and start < end <= problem.n_shared)


def similarity(own: Rows, other: Rows, columns: Columns) -> NodeFloats:
    """Return (n,): the mean over arrays of the cosine between that of each row of ``own`` and of ``other``.

    Arrays that are zero in either, or have no finite cosine, are left out; of none, the similarity is ``NOT_ALIKE``.
    """
    total, number = jnp.zeros(own.shape[0], own.dtype), jnp.zeros(own.shape[0], own.dtype)
    for start, end in columns:
        a, b = own[:, start:end], other[:, start:end]
        norms = jnp.sqrt(jnp.square(a).sum(1)) * jnp.sqrt(jnp.square(b).sum(1))
        cosine = (a * b).sum(1) / jnp.where(norms > 0, norms, 1)
        counts = (norms > 0) & jnp.isfinite(cosine) & jnp.isfinite(norms)
        total, number = total + jnp.where(counts, cosine, 0), number + counts
    return jnp.where(number > 0, total / jnp.maximum(number, 1), NOT_ALIKE)


def compared(peers: Peers, arrived: SlotMask, measured: Float[Array, "n k"]) -> Peers:
    """Return ``peers`` with the similarities ``measured`` with the models that have ``arrived`` from the senders."""
    rows, n_nodes = jnp.arange(arrived.shape[0])[:, None], peers.known.shape[1]
    entry = rows, jnp.where(arrived, peers.senders, n_nodes)
    return peers._replace(
        met=peers.met.at[entry].set(True, mode="drop"),
        rated=peers.rated.at[entry].set(True, mode="drop"),
        similarity=peers.similarity.at[entry].set(measured.astype(peers.similarity.dtype), mode="drop"),
    )


def reported(peers: Peers, node: NodeInts, arrived: SlotMask, told: Sequence[tuple[PairMask, OfPairs]]) -> Peers:
    """Return ``peers`` with the reports that have ``arrived``, those of the last sender as the latest.

    Args:
        peers: what nodes know.
        node: (n,) the node of each row.
        arrived: (n, k) whether the message of each sender has.
        told: of each sender, the nodes (n, n) that it has a similarity with, and these similarities.
    """
    others = jnp.arange(peers.known.shape[1]) != node[:, None]
    reports, reporters = peers.reports, peers.reporters
    for slot, (of, similarities) in enumerate(told):
        new = (arrived[:, slot, None] & of & others)[:, None]
        by = jnp.broadcast_to(peers.senders[:, slot, None, None].astype(jnp.int16), new.shape)
        reports = jnp.where(new, jnp.concatenate([similarities[:, None], reports[:, :-1]], axis=1), reports)
        reporters = jnp.where(new, jnp.concatenate([by, reporters[:, :-1]], axis=1), reporters)
    return peers._replace(reports=reports, reporters=reporters)


def estimated(peers: Peers) -> tuple[Peers, OfPairs]:
    """Return ``peers`` with estimates of nodes not met, and (n, n) scores: similarities, or else their mean in the row.

    The estimate of z is the mean over the reports of z of sim(i, y) · sim(y, z), with i's own similarity with the reporter y.
    """
    count = peers.rated.sum(1, keepdims=True).astype(peers.similarity.dtype)
    mean = jnp.where(peers.rated, peers.similarity, 0).sum(1, keepdims=True) / jnp.maximum(count, 1)
    given = peers.reporters >= 0
    through = jnp.take_along_axis(
        peers.similarity[:, None], jnp.maximum(peers.reporters, 0).astype(jnp.int32), axis=2, mode="promise_in_bounds"
    )
    number = given.sum(1)
    estimate = jnp.where(given, through * peers.reports, 0).sum(1) / jnp.maximum(number, 1)
    new = (number > 0) & ~peers.met
    rated, similarities = peers.rated | new, jnp.where(new, estimate, peers.similarity)
    return peers._replace(rated=rated, similarity=similarities), jnp.where(rated, similarities, mean)


def swapped(peers: Peers, node: NodeInts, sharpness: float, words: tuple[OfPairs, OfPairs]) -> Peers:
    """Return ``peers`` after each node has put a node that it knows in the place of one of its senders.

    The one that comes is drawn with probability ∝ exp(−β sim) among the nodes known that are no senders, the one that goes
    ∝ exp(β sim) among the senders, each as the largest of scores with Gumbel noise. A node without either keeps its senders.

    Args:
        peers: what nodes know.
        node: (n,) the node of each row.
        sharpness: β.
        words: (n, n) each, uniform in (0, 1), by which nodes draw who comes and who goes.
    """
    peers, score = estimated(peers)
    rows, n_nodes = jnp.arange(node.shape[0])[:, None], score.shape[1]
    asked = peers.senders != node[:, None]
    are_senders = (
        jnp.zeros(peers.known.shape, bool).at[rows, jnp.where(asked, peers.senders, n_nodes)].set(True, mode="drop")
    )
    candidates = peers.known & ~are_senders & (jnp.arange(n_nodes) != node[:, None])
    comes = jnp.argmax(jnp.where(candidates, _gumbel(words[0]) - sharpness * score, -jnp.inf), axis=1)
    goes = jnp.argmax(jnp.where(are_senders, _gumbel(words[1]) + sharpness * score, -jnp.inf), axis=1)
    swaps = (candidates.any(1) & asked.any(1))[:, None] & asked & (peers.senders == goes[:, None])
    return peers._replace(senders=jnp.where(swaps, comes[:, None].astype(jnp.int32), peers.senders))


def _gumbel(uniform: OfPairs) -> OfPairs:
    return -jnp.log(-jnp.log(uniform))


def asked_by(
    senders: SlotInts, arrived: SlotMask, rows_of: NodeInts, nodes: NodeInts, rows: Int[Array, " b"]
) -> Bool[Array, "b n"]:
    """Return (b, n) bool: which nodes have received the model of the node of each row at hand.

    Args:
        senders: (n, k) the senders of all nodes, by row.
        arrived: (n, k) whether their messages arrived.
        rows_of: (n,) the row of each node.
        nodes: (n,) the node of each row.
        rows: (b,) the numbers of the rows at hand, which are consecutive.
    """
    place = gather(rows_of, senders) - rows[0]
    here = arrived & (place >= 0) & (place < rows.size)
    none = jnp.zeros((rows.size, nodes.size), bool)
    return none.at[jnp.where(here, place, rows.size), nodes[:, None]].set(True, mode="drop")


def union(known: PairMask, node: NodeInts, lists: Sequence[PairMask]) -> PairMask:
    """Return (n, n) bool: the nodes that each has heard of, or is told of by one of the ``lists``; never itself."""
    others = jnp.arange(known.shape[1]) != node[:, None]
    return jax.tree.reduce(jnp.logical_or, list(lists), known) & others
