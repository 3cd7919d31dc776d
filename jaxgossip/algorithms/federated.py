"""Federated averaging, the baseline with a server, x̂ (p,) its model, C of n nodes sampled per round, τ local steps:

    x_i = x̂ after τ local steps, for the sampled nodes i;   x̂⁺ = Σ_i m_i x_i / Σ_i m_i,   m_i = samples of node i
                                                              (in stacked form X⁺ = 1 x̂⁺ᵀ)
Each sampled node receives the model and sends one back. Lost uploads and offline nodes are left out; if nothing arrives,
the server keeps its model.

McMahan, Moore, Ramage, Hampson and Agüera y Arcas 2017, "Communication-efficient learning of deep networks from
decentralized data", algorithm 1.
"""

from typing import ClassVar, NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    check_no_start_steps,
    check_share,
    descend,
    nodes_of,
    with_optimizer,
)
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.core import counting
from jaxgossip.core.typing import PRNGKey, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.optimizers.counts import at_round
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing.bijection import random_bijection
from jaxgossip.network import Round, Traffic, surely


class ServerState(NamedTuple):
    """State of federated averaging.

    Attributes:
        x: (1, p) the server's model.
        private: (n, q) private columns of each node.
    """

    x: Rows
    private: Rows


class FedAvg(Method):
    """See :func:`federated_averaging`."""

    counts: ClassVar[tuple[str, ...]] = ("rounds",)

    optimizer: Transformation
    sampled: int
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> ServerState:
        x = problem.init(key)
        return ServerState(x[:1], x[:, problem.n_shared :])

    @override
    def step(self, problem: Problem, W: None, state: ServerState, round_: Round) -> tuple[ServerState, Traffic]:
        n, s = problem.n_nodes, problem.n_shared
        row_bytes = s * np.dtype(problem.dtype).itemsize
        received = jnp.concatenate([jnp.broadcast_to(state.x[:, :s], (n, s)), state.private], axis=1)
        initial: TrainState = with_optimizer(received, self.optimizer, nodes_of(problem), round_.key("optimizer"))
        initial = at_round(initial, round_.number)
        after = widened(descend(problem, self.optimizer, initial, round_, self.local_steps).x)
        node = jnp.arange(n, dtype=jnp.uint32)
        chosen = round_.by_row(random_bijection(round_.key("sampled"), n)(node)) < self.sampled
        reached = chosen if round_.online is None else chosen & round_.online
        lost = round_.by_row(jax.random.uniform(round_.key("upload drop"), (n,))) < round_.conditions.drop
        arrives = reached if surely(round_.conditions.drop, 0) else reached & ~lost
        weight = jnp.where(arrives, jnp.asarray(problem.sample_counts, after.dtype), 0)[:, None]
        total = weight.sum()
        mean = (weight * after[:, :s]).sum(0, keepdims=True) / jnp.where(total > 0, total, 1)
        shared = jnp.where(total > 0, mean, state.x[:, :s])
        private = jnp.where(reached[:, None], after[:, s:], state.private)
        x = jnp.concatenate([shared, private[:1]], axis=1)
        messages = counting.add(counting.count(self.sampled), counting.total(jnp.asarray(reached, jnp.uint32)))
        sent = counting.times(messages, row_bytes)
        traffic = Traffic(messages, sent, counting.count(0), round_.at_server(arrives, row_bytes))
        return ServerState(x, private), traffic


@algorithm
def federated_averaging(
    problem: Problem,
    optimizer: Transformation,
    *,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model at a server that averages the models of sampled nodes: FedAvg.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, with a new state on each sampled node every round.
        fraction: C/n, fraction of the nodes sampled each round.
        local_steps: τ, optimizer steps per sampled node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``fraction`` is outside (0, 1], the local steps or epochs cannot be taken (:func:`.chosen_steps`), or the
            problem has start steps.
    """
    check_share("federated_averaging", fraction=fraction)
    steps = chosen_steps("federated_averaging", problem, local_steps, local_epochs)
    check_no_start_steps(
        "federated averaging", problem, "the server's model takes the place of whatever nodes have learned"
    )
    sampled = max(1, round(fraction * problem.n_nodes))

    return Algorithm(FedAvg(optimizer, sampled, steps), problem, name="federated averaging", mixings=0)
