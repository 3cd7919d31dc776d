"""DiLoCo, x̂ (p,) the common model, H local steps of an inner optimizer on each node, whose state it keeps:

    Y_i = x̂ + U_i,   D = mean of x̂ − Y_i,   x̂⁺ = x̂ − outer(D)       outer: SGD with Nesterov's momentum

                                              (in stacked form X⁺ = 1 x̂⁺ᵀ)
It has no memory of differences between nodes: with curvatures a_i it settles at Σ (1 − q_i) b_i / Σ (1 − q_i), where
q_i = (1 − η a_i)^H and b_i are the optima of the nodes, whatever the outer rate and momentum. Without momentum and with rate 1
it is federated averaging whose optimizers last.

Douillard et al. 2023, "DiLoCo: Distributed low-communication training of language models", algorithm 1. Over a graph:
:func:`.outer_gossip`.
"""

from typing import NamedTuple, override

import jax
import jax.numpy as jnp
import optax

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, apply, descend, nodes_of
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.low_communication.outer import LOCAL_STEPS
from jaxgossip.algorithms.servers.server import (
    Model,
    Server,
    after_round,
    at_server,
    exchanged,
    in_rows,
    mean_of,
    on_nodes,
    participants,
    sampled_nodes,
)
from jaxgossip.core.devices.exchanges import node_sum
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.nodewise import fresh_states
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Round, Traffic, chosen


class DiLoCoState(NamedTuple):
    """State of DiLoCo.

    Attributes:
        x: (1, p) the common model.
        private: (n, q) private columns of each node.
        opt_state: state of each node's inner optimizer.
        outer_state: state of the outer optimizer, of one row.
    """

    x: Model
    private: Rows
    opt_state: PyTree
    outer_state: PyTree


class DiLoCo(Method):
    """See :func:`diloco`."""

    optimizer: Transformation
    outer: Transformation
    sampled: int
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> DiLoCoState:
        server = at_server(problem, key)
        inner = fresh_states(self.optimizer, widened(on_nodes(problem, server)), nodes_of(problem), key)
        return DiLoCoState(*server, inner, fresh_states(self.outer, widened(server.x), None, key))

    @override
    def step(self, problem: Problem, W: None, state: DiLoCoState, round_: Round) -> tuple[DiLoCoState, Traffic]:
        server, s, old = Server(state.x, state.private), problem.n_shared, widened(state.x)
        initial = TrainState(on_nodes(problem, server), state.opt_state)
        after = descend(problem, self.optimizer, initial, round_, self.local_steps)
        part, rows = participants(problem, round_, self.sampled), widened(after.x)
        weight = part.arrives.astype(rows.dtype)
        change = mean_of((rows - widened(initial.x))[:, :s], weight, jnp.zeros_like(old[:, :s]))
        begun, came = TrainState(old, state.outer_state), node_sum(weight) > 0
        stepped = apply(self.outer, -in_rows(problem, change), begun)
        stepped = jax.tree.map(lambda new, kept: jnp.where(came, new, kept), stepped, begun)
        new = after_round(problem, server, part, stepped.x[:, :s], rows)
        opt_state = chosen(part.reached, after.opt_state, state.opt_state)
        return DiLoCoState(*new, opt_state, stepped.opt_state), exchanged(problem, round_, part)


@algorithm
def diloco(
    problem: Problem,
    optimizer: Transformation,
    *,
    outer: Transformation | None = None,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model with many local steps between exchanges, and an outer optimizer on their mean change: DiLoCo.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the local steps; its state stays on the node and is kept between rounds.
        outer: any optax transformation, for the step along the mean change; by default SGD of rate 0.7 with Nesterov's momentum
            of 0.9.
        fraction: fraction of the nodes sampled each round.
        local_steps: H, optimizer steps per node and round; 10 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``fraction`` is outside (0, 1], the local steps or epochs cannot be taken (:func:`.chosen_steps`), or the
            problem has start steps.
    """
    sampled = sampled_nodes("diloco", "DiLoCo", problem, fraction)
    steps = chosen_steps("diloco", problem, local_steps, local_epochs, default=LOCAL_STEPS)
    outer = optax.sgd(0.7, momentum=0.9, nesterov=True) if outer is None else outer

    return Algorithm(DiLoCo(optimizer, outer, sampled, steps), problem, name="DiLoCo", mixings=0)
