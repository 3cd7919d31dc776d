"""PENS: nodes select peers whose models perform well on their own data, and then gossip only with these.

First, a node gathers k models from any senders, ranks them by their loss on its training data, and merges the best m:

    x ← learn( (x + Σ of the best m) / (m + 1) )

From cycle T on, node i calls the nodes j that were among the best more often than by chance,

    selected_ij > (m/k) heard_ij,

and merges each arriving model with its own, x ← learn((x + x_j)/2).

Onoszko, Karlsson, Mogren and Zec 2021, "Decentralized federated learning of deep neural networks on non-iid data", algorithms
1 and 2.
"""

from typing import NamedTuple, override

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one
from jaxgossip.algorithms.base import TrainState, start
from jaxgossip.algorithms.protocols.protocol import Arrived, Deliveries, GossipProtocol, ProtocolMethod, learn, shared
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import chosen

MOST_NODES = 8192
"""Most nodes: each counts how often it heard and selected every other, in (n, n) arrays."""


class PensState(NamedTuple):
    """State of PENS.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        gathered: (n, k, p) models gathered for comparison.
        loss: (n, k) their losses.
        sender: (n, k) int32, their senders.
        filled: (n,) int32, their number.
        heard: (n, n) int16, how often each node has compared a model of each other node.
        selected: (n, n) int16, how often that model was among the best.
        settled: (n,) bool, whether the node has selected its peers.
    """

    x: Rows
    opt_state: PyTree
    gathered: Float[Array, "n k p"]
    loss: Float[Array, "n k"]
    sender: Int[Array, "n k"]
    filled: Int[Array, " n"]
    heard: Int[Array, "n n"]
    selected: Int[Array, "n n"]
    settled: Bool[Array, " n"]


class PENS(ProtocolMethod):
    """See :func:`pens`."""

    optimizer: Transformation
    sampled: int
    top: int
    local_steps: int

    @override
    def init(self, problem: Problem, key: PRNGKey) -> PensState:
        n, p, k = problem.n_nodes, problem.n_params, self.sampled
        x, opt_state = start(problem, self.optimizer, key)
        counts = jnp.zeros((n, n), jnp.int16)
        return PensState(
            x, opt_state, jnp.zeros((n, k, p), x.dtype), jnp.zeros((n, k), jnp.result_type(float)),
            jnp.zeros((n, k), jnp.int32), jnp.zeros(n, jnp.int32), counts, counts, jnp.zeros(n, bool),
        )  # fmt: skip

    @override
    def message(self, problem: Problem, state: PensState) -> Rows:
        return state.x

    @override
    def deliver(self, problem: Problem, own: PensState, heard: Rows, arrivals: Deliveries) -> PensState:
        k, top = self.sampled, self.top
        heard = shared(problem, heard, own.x)
        slot = jnp.arange(k) == own.filled[:, None]
        gathered = jnp.where(slot[:, :, None], heard[:, None], own.gathered)
        loss = jnp.where(slot, problem.loss_at(heard, arrivals.node)[:, None], own.loss)
        sender = jnp.where(slot, arrivals.sender[:, None], own.sender)
        full = own.filled + 1 == k
        best = jnp.argsort(jnp.argsort(loss, axis=1), axis=1) < top
        best_mean = (own.x + jnp.where(best[:, :, None], gathered, 0).sum(1)) / (top + 1)
        merged = chosen(own.settled, (own.x + heard) / 2, best_mean)
        acts = own.settled | full
        learnt = learn(problem, self.optimizer, TrainState(merged, own.opt_state), arrivals, self.local_steps)
        x, opt_state = chosen(acts, tuple(learnt), (own.x, own.opt_state))
        filled = jnp.where(full, 0, own.filled + 1)
        counted = full & ~own.settled
        new = own._replace(
            x=x, opt_state=opt_state, gathered=gathered, loss=loss, sender=sender, filled=filled,
            heard=_add_counts(own.heard, sender, jnp.broadcast_to(counted[:, None], sender.shape)),
            selected=_add_counts(own.selected, sender, best & counted[:, None]),
        )  # fmt: skip
        settled = own._replace(x=x, opt_state=opt_state)
        return chosen(own.settled, settled, new)

    @override
    def updates(self, arrived: Arrived) -> np.ndarray:
        return (arrived.models - arrived.settled) // self.sampled + arrived.settled

    @override
    def settle(self, problem: Problem, state: PensState) -> tuple[PensState, Bool[Array, "n n"]]:
        prefers = state.selected * self.sampled > jnp.asarray(state.heard, jnp.int32) * self.top
        return state._replace(settled=jnp.ones(problem.n_nodes, bool)), prefers


@algorithm
def pens(
    problem: Problem,
    optimizer: Transformation,
    *,
    sampled: int = 10,
    top: int = 2,
    settle_at: int = 200,
    local_steps: int = 1,
) -> GossipProtocol:
    """Run PENS, performance-based neighbour selection: gossip with nodes whose models perform well on the local data.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        sampled: k, number of models that a node gathers for comparison.
        top: m, number of these that it merges.
        settle_at: cycle from which nodes call their selected peers.
        local_steps: optimizer steps after each merge.

    Raises:
        InputError: ``top``, ``local_steps`` or ``settle_at`` is below one, ``top`` is above ``sampled``, or there are
            too many nodes.
    """
    check_at_least_one("pens", top=top, local_steps=local_steps, settle_at=settle_at)
    n = problem.n_nodes
    if sampled < top:
        raise InputError(
            f"top = {top} models cannot be taken of sampled = {sampled}", hint="set top to at most sampled"
        )
    if n > MOST_NODES:
        raise InputError(
            f"pens counts what each of {n:,} nodes heard of each other", hint=f"at most {MOST_NODES:,} nodes"
        )
    data = problem.n_shared * problem.dtype.itemsize
    return GossipProtocol(
        PENS(optimizer, sampled, top, local_steps), problem,
        exchanges=("push",), bytes=(data, 0), settle_at=settle_at, name="PENS",
    )  # fmt: skip


def _add_counts(counts: Int[Array, "b n"], sender: Int[Array, "b k"], which: Bool[Array, "b k"]) -> Int[Array, "b n"]:
    """Return ``counts`` incremented for each sender where ``which`` holds; senders may repeat."""
    rows = jnp.arange(counts.shape[0])[:, None]
    return counts.at[rows, sender].add(jnp.asarray(which, counts.dtype))
