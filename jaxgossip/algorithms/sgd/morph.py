"""Morph: nodes choose as senders those whose models differ most from their own, X (n, p), U displacements by local steps:

    X½ = X + U,   x⁺_i = (x½_i + Σ_{j∈S_i} x½_j) / (|S_i| + 1)
    S_i⁺ = S_i ∪ {a} ∖ {r},   P(a) ∝ e^{−β sim(i,a)} over the nodes known that are not in S_i,   P(r) ∝ e^{β sim(i,r)} over S_i

S_i changes in every Δ-th round, after the local steps and before the first model is sent; the in-degree |S_i| stays.

Cox, Ioannou and Decouchant 2026, "Dynamic topology optimization for non-IID data in decentralized learning". Of the rule

* the paper's abstract has: a fixed in-degree, peers that are heard of by gossip, and a choice of models that are least alike;
* the authors' code (``bacox/Morph``, ``DissDL.py``) has: sim, the mean over arrays of the cosine of two models, -1 if all are
  zero; lists of known nodes and of similarities that travel with a model, and the sender of a request as one more node
  known; for nodes not met, the mean over their last 5 reports of sim(i, y) · sim(y, z), and without reports, the mean of all
  similarities that i has; the two draws; Δ = 5, β = 500 (1 if unset), and plain means;
* ours is: sim is measured when a model arrives, between both halves X½, and so is never older than the last arrival (the
  code: at a swap, with what arrived before it). The reports that count, and travel, are those of the round before a swap (the
  code: all rounds that Δ − 1 divides), in the order of the slots that senders have. A new sender sends at once (the code: after
  a handshake), so that no round has fewer. A single sender is changed too. Arrays without a finite cosine are left out. Batch
  statistics and private columns are mixed, or kept, but not compared. Who receives the model of a node is known to it.

A node keeps, of every other, a similarity, 5 reports and 3 bits. A message has the model, 4 bytes for each node that its sender
knows, and before a swap a number for each that it has a similarity with. Requests are not counted. Liars lie about models, not
about what they know, and models are compared as they arrive.
"""

from typing import ClassVar, NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float, Int

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, descend, fixed_operator, nodes_of, start
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.sgd.dissimilar_peers import (
    Peers,
    asked_by,
    compared,
    compared_columns,
    reported,
    similarity,
    swapped,
    union,
)
from jaxgossip.core import counting
from jaxgossip.core.arguments import fits
from jaxgossip.core.devices.blocks import row_numbers
from jaxgossip.core.devices.exchanges import everyone
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import to_unit
from jaxgossip.core.typing import NodeInts, PRNGKey, PyTree, Rows, SlotInts, accumulator, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.mixing.operator import check_sender_count
from jaxgossip.mixing.operators.tables import Slots, padded_slots
from jaxgossip.network import Links, Round, Traffic
from jaxgossip.network.aggregation import Heard
from jaxgossip.network.conditions import surely
from jaxgossip.network.wallclock import LinkTransfer, UnequalTransfer
from jaxgossip.topology import Order

MOST_NODES = 4096
"""Most nodes: each keeps 37 bytes of every other."""
NUMBER_BYTES = 4
"""Bytes of the number of a node."""
MOST_SHARP = 1e30
"""β beyond this is the same: draws are of the least, and of the most similar one."""


class MorphState(NamedTuple):
    """State of Morph.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        peers: the senders of each node, and what it knows of others.
    """

    x: Rows
    opt_state: PyTree
    peers: Peers


class Morph(Method):
    """See :func:`morph`."""

    per_node: ClassVar[tuple[str, ...]] = ("senders", "acquainted")

    optimizer: Transformation
    local_steps: Steps
    every: int
    sharpness: float
    senders: SlotInts
    acquainted: Int[Array, "n d"]
    numbering: str

    @override
    def init(self, problem: Problem, key: PRNGKey) -> MorphState:
        kind = accumulator(problem.dtype)
        peers = Peers.first(nodes_of(problem), self.senders, self.acquainted, problem.n_nodes, kind)
        return MorphState(*start(problem, self.optimizer, key), peers)

    @override
    def step(self, problem: Problem, W: Mixing, state: MorphState, round_: Round) -> tuple[MorphState, Traffic]:
        del W  # whose links were the first senders
        trained = TrainState(state.x, state.opt_state)
        half = descend(problem, self.optimizer, trained, round_, self.local_steps)
        node, peers = nodes_of(problem), self._swapped(state.peers, nodes_of(problem), round_)
        links = round_.links(self._operator(peers.senders, node, problem.order), problem.n_shared)
        reports = (round_.number + 1) % self.every == 0
        learnt = self._learnt(peers, node, half.x, links, reports, problem)
        new = MorphState(links.mix(half.x), half.opt_state, learnt)
        return round_.keep_offline(new, state), self._sent(links, half.x, peers, reports)

    def _swapped(self, peers: Peers, node: NodeInts, round_: Round) -> Peers:
        """Return ``peers`` with the senders of this round."""

        def swap() -> Peers:
            n = round_.n_nodes
            words = to_unit(round_.draws.bits(round_.key("swap"), (2 * n,))) + np.float32(2.0**-25)
            return swapped(peers, node, self.sharpness, (words[:, :n], words[:, n:]))

        is_due = (round_.number > 0) & (round_.number % self.every == 0)
        return jax.lax.cond(is_due, swap, lambda: peers)

    def _operator(self, senders: SlotInts, node: NodeInts, order: Order | None) -> Slots:
        """Return the plain means over each node and its senders."""
        asked = senders != node[:, None]
        share = 1 / (1 + asked.sum(1).astype(jnp.result_type(float)))
        weights = tuple(jnp.where(column, share, 0) for column in asked.T)
        sources = senders if order is None else jnp.asarray(order.rows)[senders]
        return Slots(share, weights, tuple(sources.T), on_request=True, numbering=self.numbering)

    def _learnt(
        self, peers: Peers, node: NodeInts, x: Rows, links: Links, reports: Bool[Array, ""], problem: Problem
    ) -> Peers:
        """Return what nodes know after the messages of this round."""
        slots, columns, order = links.operator.by_slots(), compared_columns(problem), problem.order
        own, heard = _received(links, x, problem)
        arrived = heard.arrived
        measured = jnp.stack([similarity(own, row, columns) for row in heard.rows], axis=1)
        told = [slots.take(peers.known, slot) & arrived[:, slot, None] for slot in range(slots.n_slots)]
        n_nodes = problem.n_nodes
        every = np.arange(n_nodes, dtype=np.int32)
        rows_of, nodes = (every, every) if order is None else (order.rows, order.nodes)
        askers = asked_by(
            everyone(peers.senders), everyone(arrived), jnp.asarray(rows_of), jnp.asarray(nodes), row_numbers(n_nodes)
        )

        def told_more() -> Peers:
            of = [(slots.take(peers.rated, slot), slots.take(peers.similarity, slot)) for slot in range(slots.n_slots)]
            return reported(peers, node, arrived, of)

        after = jax.lax.cond(reports, told_more, lambda: peers)
        return compared(after, arrived, measured)._replace(known=union(peers.known, node, [*told, askers]))

    def _sent(self, links: Links, x: Rows, peers: Peers, reports: Bool[Array, ""]) -> Traffic:
        """Return the traffic of a row, a list of nodes known, and perhaps one of similarities, per link."""
        rows, number_size = links.sent(x), peers.similarity.dtype.itemsize
        rated = jnp.where(reports, peers.rated.sum(1, dtype=jnp.int32), 0)
        lists = NUMBER_BYTES * peers.known.sum(1, dtype=jnp.int32) + number_size * rated
        about = counting.total((links.operator.sent(links.faults) * lists).astype(jnp.uint32))
        exchanges = tuple(
            UnequalTransfer(transfer.operator, transfer.faults, transfer.size, more=lists)
            for transfer in rows.exchanges
            if isinstance(transfer, LinkTransfer)
        )
        return Traffic(rows.messages, counting.add(rows.bytes_sent, about), about, exchanges)


@algorithm
def morph(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    every: int = 5,
    sharpness: float = 500.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run Morph: local steps and plain means over a few senders, which each node chooses for models that differ from its own.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: mixing, the same in every round, of which only the links matter: whom a node hears are its first senders, and give
            its in-degree; it knows these, and those that hear it.
        every: Δ, number of rounds between two changes of a sender.
        sharpness: β, of similarities between -1 and 1: 0 for senders at random, 500 nearly always for those that differ most.
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``every`` is below 1, ``sharpness`` negative, the local steps or epochs cannot be taken
            (:func:`.chosen_steps`), W is time-varying or push-sum mixing, or there are too many nodes.
        GraphError: a node has too many senders.
    """
    check_at_least_one("morph", every=every)
    if sharpness < 0:
        raise InputError(f"morph: sharpness must be at least 0, not {sharpness}")
    steps = chosen_steps("morph", problem, local_steps, local_epochs)
    fits("mixing", W.n_nodes, "a problem", problem.n_nodes)
    operator = fixed_operator("morph", W, symmetric=False)
    if (n := problem.n_nodes) > MOST_NODES:
        raise InputError(
            f"morph keeps what each of {n:,} nodes knows of each other", hint=f"at most {MOST_NODES:,} nodes"
        )
    links = operator.to_scipy()
    links = sp.csr_array(abs(links - sp.diags_array(links.diagonal())))
    links.eliminate_zeros()
    senders = _numbered(links, problem.order)
    check_sender_count(senders.shape[1])
    acquainted = _numbered(links + links.T, problem.order)

    method = Morph(optimizer, steps, every, min(sharpness, MOST_SHARP), senders, acquainted, W.numbering)
    return Algorithm(method, problem, W, name="Morph", mixings=2)


def _numbered(links: sp.csr_array, order: Order | None) -> SlotInts:
    """Return (n, k) int32: the node numbers of the links of each row, padded with the number of its own node."""
    links = sp.csr_array(links)
    links.sort_indices()
    rows, _ = padded_slots(np.asarray(links.indptr, np.int64), links.indices, 1.0)
    return jnp.asarray(rows if order is None else order.nodes[rows].astype(np.int32))


def _received(links: Links, x: Rows, problem: Problem) -> tuple[Float[Array, "n q"], Heard]:
    """Return the shared columns of the rows that nodes hold, and what they hear of others, as in ``links.mix(x)``."""
    shared = widened(links.as_sent(x)[:, : problem.n_shared])
    sent, round_ = shared, links.round
    if not surely(round_.conditions.noise, 0):
        sent = sent + round_.conditions.noise * round_.normal(
            f"{links.purpose} model noise", shared.shape, shared.dtype
        )
    return shared, Heard.of(round_.scene(shared, sent, links.operator, links.faults), round_.number)
