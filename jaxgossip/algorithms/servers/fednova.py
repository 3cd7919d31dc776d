"""FedNova, with a server, x̂ (p,) its model, for nodes that take different numbers τ_i of local steps, U_i their displacement:

    x̂⁺ = x̂ + (Σ_i p_i τ_i) Σ_i p_i U_i/τ_i,   p_i = m_i / Σ_j m_j,   m_i = samples of node i
                                              (in stacked form X⁺ = 1 x̂⁺ᵀ)

over the nodes that take part. Federated averaging weighs a node by p_i τ_i instead, and so settles where the objective of those
that take many steps has more weight; with equal τ_i both are the same.

Wang, Liu, Liang, Joshi and Poor 2020, "Tackling the objective inconsistency problem in heterogeneous federated optimization",
equation 8 with plain SGD as the local solver.
"""

from typing import ClassVar, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, descend
from jaxgossip.algorithms.local_steps import Steps, by_step, chosen_steps, steps_of_nodes
from jaxgossip.algorithms.servers.server import (
    Server,
    after_round,
    at_server,
    exchanged,
    fresh,
    mean_of,
    participants,
    sampled_nodes,
    samples_of,
    with_mean_of_state,
)
from jaxgossip.core.typing import PRNGKey, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Round, Traffic


class FedNova(Method):
    """See :func:`fednova`."""

    counts: ClassVar[tuple[str, ...]] = ("rounds",)

    optimizer: Transformation
    sampled: int
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> Server:
        return at_server(problem, key)

    @override
    def step(self, problem: Problem, W: None, state: Server, round_: Round) -> tuple[Server, Traffic]:
        initial, s = fresh(problem, self.optimizer, state, round_), problem.n_shared
        after = widened(descend(problem, self.optimizer, initial, round_, self.local_steps).x)
        part, old = participants(problem, round_, self.sampled), widened(state.x[:, :s])
        weight, nothing = samples_of(problem, part), jnp.zeros_like(old)
        change = after - widened(initial.x)
        taken = steps_of_nodes(problem, self.local_steps)
        taken = jnp.broadcast_to(jnp.asarray(taken, change.dtype), weight.shape)[:, None]
        mean_steps = mean_of(taken, weight, jnp.zeros_like(taken[:1]))
        moved = mean_steps * mean_of(by_step(problem, self.local_steps, change)[:, :s], weight, nothing)
        moved = with_mean_of_state(problem, moved, mean_of(change[:, :s], weight, nothing))
        return after_round(problem, state, part, old + moved, after), exchanged(problem, round_, part)


@algorithm
def fednova(
    problem: Problem,
    optimizer: Transformation,
    *,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model at a server that weighs nodes by their samples, however many steps they take: FedNova.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, with a new state on each sampled node every round; the theory is of plain SGD.
        fraction: C/n, fraction of the nodes sampled each round.
        local_steps: τ, optimizer steps per sampled node and round, with which it is federated averaging; 1 if neither this nor
            ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``fraction`` is outside (0, 1], the local steps or epochs cannot be taken (:func:`.chosen_steps`), or the
            problem has start steps.
    """
    sampled = sampled_nodes("fednova", "FedNova", problem, fraction)
    steps = chosen_steps("fednova", problem, local_steps, local_epochs)

    return Algorithm(FedNova(optimizer, sampled, steps), problem, name="FedNova", mixings=0)
