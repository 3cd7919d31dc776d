"""SCAFFOLD, with a server, x̂ (p,) its model, controls c_i on the nodes and c at the server, K local steps of rate η:

    y ← y − η (G_i(y) − c_i + c), K times from y = x̂;   U_i = y − x̂
    c_i⁺ = c_i − c − U_i/(K η),   c⁺ = c + (|S|/n) · mean over S of c_i⁺ − c_i
    x̂⁺ = x̂ + η_g · mean over S of U_i                                (in stacked form X⁺ = 1 x̂⁺ᵀ)

S are the sampled nodes. Controls are kept as displacements, η c_i and η c, so that any optimizer can take the steps. With
all nodes and η_g = 1 it is K-GT with W = 11ᵀ/n, and on quadratics exact for any K.

Karimireddy, Kale, Mohri, Reddi, Stich and Suresh 2020, "SCAFFOLD: Stochastic controlled averaging for federated learning",
algorithm 1 with option II.
"""

from typing import ClassVar, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, check_share, descend
from jaxgossip.algorithms.local_steps import Steps, by_step, chosen_steps
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.algorithms.servers.server import (
    Model,
    Server,
    after_round,
    at_server,
    exchanged,
    fresh,
    in_rows,
    mean_of,
    participants,
    sampled_nodes,
)
from jaxgossip.core.devices.exchanges import node_sum
from jaxgossip.core.typing import PRNGKey, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Round, Traffic


class ControlState(NamedTuple):
    """State of SCAFFOLD.

    Attributes:
        x: (1, p) the server's model.
        private: (n, q) private columns of each node.
        own: (n, s) η c_i, the control of each node.
        common: (1, s) η c, the control of the server.
    """

    x: Model
    private: Rows
    own: Rows
    common: Model


class SCAFFOLD(Method):
    """See :func:`scaffold`."""

    counts: ClassVar[tuple[str, ...]] = ("rounds",)

    optimizer: Transformation
    sampled: int
    local_steps: Steps
    outer_rate: float

    @override
    def init(self, problem: Problem, key: PRNGKey) -> ControlState:
        server = at_server(problem, key)
        none = jnp.zeros_like(widened(server.x[:, : problem.n_shared]))
        own = jnp.broadcast_to(none, (server.private.shape[0], problem.n_shared))
        return ControlState(*server, own, none)

    @override
    def step(self, problem: Problem, W: None, state: ControlState, round_: Round) -> tuple[ControlState, Traffic]:
        server, s = Server(state.x, state.private), problem.n_shared
        initial, old = fresh(problem, self.optimizer, server, round_), widened(state.x[:, :s])
        # State of models that no gradient moves has no control: what it loses in a step is no slope.
        drift = with_state_of(problem, in_rows(problem, state.own - state.common), 0)
        after = widened(descend(problem, self.optimizer, initial, round_, self.local_steps, drift=drift).x)
        change = after - widened(initial.x)
        part = participants(problem, round_, self.sampled)
        takes = part.arrives if round_.works is None else part.arrives & round_.works
        step = by_step(problem, self.local_steps, with_state_of(problem, change, 0))[:, :s]
        own = jnp.where(takes[:, None], state.own - state.common - step, state.own)
        common = state.common + node_sum(own - state.own)[None] / problem.n_nodes
        weight = part.arrives.astype(old.dtype)
        shared = old + self.outer_rate * mean_of(change[:, :s], weight, jnp.zeros_like(old))
        new = after_round(problem, server, part, shared, after)
        return ControlState(*new, own, common), exchanged(problem, round_, part, rows=2)


@algorithm
def scaffold(
    problem: Problem,
    optimizer: Transformation,
    *,
    outer_rate: float = 1.0,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model at a server with local steps whose drift is corrected: SCAFFOLD.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, with a new state on each sampled node every round; the theory assumes SGD of a
            constant rate.
        outer_rate: η_g, the factor on the mean change of the sampled nodes.
        fraction: |S|/n, fraction of the nodes sampled each round.
        local_steps: K, optimizer steps per sampled node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``outer_rate`` or ``fraction`` is outside (0, 1], the local steps or epochs cannot be taken
            (:func:`.chosen_steps`), or the problem has start steps.
    """
    check_share("scaffold", outer_rate=outer_rate)
    sampled = sampled_nodes("scaffold", "SCAFFOLD", problem, fraction)
    steps = chosen_steps("scaffold", problem, local_steps, local_epochs)

    return Algorithm(SCAFFOLD(optimizer, sampled, steps, outer_rate), problem, name="SCAFFOLD", mixings=0)
