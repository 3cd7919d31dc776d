"""FedDyn, with a server, x̂ (p,) its model, linear terms g_i on the nodes and h at the server:

    θ_i ≈ argmin f_i(θ) − ⟨g_i, θ⟩ + (α/2) ‖θ − x̂‖²            by K local steps from x̂
    g_i⁺ = g_i − α (θ_i − x̂),   h⁺ = h − (α/n) Σ_{i∈S} (θ_i − x̂)
    x̂⁺ = mean over S of θ_i − h⁺/α                              (in stacked form X⁺ = 1 x̂⁺ᵀ)

S are the sampled nodes. Where all take part, h is the mean of the g_i; the fixed point is the optimum of the mean of all f_i,
whatever their differences.

Acar, Zhao, Matas, Mattina, Whatmough and Saligrama 2021, "Federated learning based on dynamic regularization", algorithm 1.
"""

from typing import ClassVar, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm, check_positive
from jaxgossip.algorithms.base import Algorithm, Method, descend
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.algorithms.servers.server import (
    Model,
    Server,
    after_round,
    at_server,
    exchanged,
    fresh,
    mean_of,
    participants,
    sampled_nodes,
)
from jaxgossip.core.devices.exchanges import node_sum
from jaxgossip.core.typing import PRNGKey, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Round, Traffic


class DynamicState(NamedTuple):
    """State of FedDyn.

    Attributes:
        x: (1, p) the server's model.
        private: (n, q) private columns of each node.
        own: (n, p) g_i, zero in private columns.
        common: (1, p) h, zero in private columns.
    """

    x: Model
    private: Rows
    own: Rows
    common: Model


class FedDyn(Method):
    """See :func:`feddyn`."""

    counts: ClassVar[tuple[str, ...]] = ("rounds",)

    optimizer: Transformation
    sampled: int
    local_steps: Steps
    penalty: float

    @override
    def init(self, problem: Problem, key: PRNGKey) -> DynamicState:
        server = at_server(problem, key)
        none = jnp.zeros_like(widened(server.x))
        return DynamicState(*server, jnp.broadcast_to(none, (server.private.shape[0], problem.n_params)), none)

    @override
    def step(self, problem: Problem, W: None, state: DynamicState, round_: Round) -> tuple[DynamicState, Traffic]:
        server, s, alpha = Server(state.x, state.private), problem.n_shared, self.penalty
        initial = fresh(problem, self.optimizer, server, round_)
        before = widened(initial.x)
        shared = jnp.arange(problem.n_params) < s

        def slope(x: Rows) -> Rows:
            return jnp.where(shared, alpha * (x - before) - state.own, 0)

        after = widened(descend(problem, self.optimizer, initial, round_, self.local_steps, slope=slope).x)
        part = participants(problem, round_, self.sampled)
        moved = with_state_of(problem, jnp.where(shared & part.arrives[:, None], after - before, 0), 0)
        own = state.own - alpha * moved
        common = state.common - alpha / problem.n_nodes * node_sum(moved)[None]
        old = widened(state.x[:, :s])
        mean = mean_of(after[:, :s] - old, part.arrives.astype(old.dtype), common[:, :s] / alpha)
        new = after_round(problem, server, part, old + mean - common[:, :s] / alpha, after)
        return DynamicState(*new, own, common), exchanged(problem, round_, part)


@algorithm
def feddyn(
    problem: Problem,
    optimizer: Transformation,
    *,
    penalty: float = 0.1,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model at a server, nodes' objectives being corrected until their optima agree: FedDyn.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, with a new state on each sampled node every round.
        penalty: α, weight of the distance to the server's model.
        fraction: |S|/n, fraction of the nodes sampled each round.
        local_steps: K, optimizer steps that stand for the minimisation on each node; 1 if neither this nor ``local_epochs`` is
            given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``penalty`` is not positive, ``fraction`` is outside (0, 1], the local steps or epochs cannot be taken
            (:func:`.chosen_steps`), or the problem has start steps.
    """
    check_positive("feddyn", penalty=penalty)
    sampled = sampled_nodes("feddyn", "FedDyn", problem, fraction)
    steps = chosen_steps("feddyn", problem, local_steps, local_epochs)

    return Algorithm(FedDyn(optimizer, sampled, steps, penalty), problem, name="FedDyn", mixings=0)
