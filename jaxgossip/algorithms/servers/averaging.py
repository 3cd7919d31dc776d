"""Federated averaging, with a server, x̂ (p,) its model, C of n nodes sampled per round, τ local steps:

    x_i = x̂ after τ local steps, for the sampled nodes i;   x̂⁺ = Σ_i m_i x_i / Σ_i m_i,   m_i = samples of node i
                                                              (in stacked form X⁺ = 1 x̂⁺ᵀ)
Each sampled node receives the model and sends one back. Lost uploads and offline nodes are left out; if nothing arrives,
the server keeps its model. FedProx adds μ (x_i − x̂) to every local gradient, which keeps models near the server's.

McMahan, Moore, Ramage, Hampson and Agüera y Arcas 2017, "Communication-efficient learning of deep networks from
decentralized data", algorithm 1. Li, Sahu, Zaheer, Sanjabi, Talwalkar and Smith 2020, "Federated optimization in heterogeneous
networks", algorithm 2, with gradient steps as the solver.
"""

from typing import ClassVar, override

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, descend
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
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
)
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Round, Traffic


class FedAvg(Method):
    """See :func:`federated_averaging` and :func:`fedprox`."""

    counts: ClassVar[tuple[str, ...]] = ("rounds",)

    optimizer: Transformation
    sampled: int
    local_steps: Steps
    proximity: float = 0.0

    @override
    def init(self, problem: Problem, key: PRNGKey) -> Server:
        return at_server(problem, key)

    @override
    def step(self, problem: Problem, W: None, state: Server, round_: Round) -> tuple[Server, Traffic]:
        initial, s = fresh(problem, self.optimizer, state, round_), problem.n_shared
        pull = (lambda x: self.proximity * (x - widened(initial.x))) if self.proximity else None
        after = widened(descend(problem, self.optimizer, initial, round_, self.local_steps, slope=pull).x)
        part = participants(problem, round_, self.sampled)
        shared = mean_of(after[:, :s], samples_of(problem, part), widened(state.x[:, :s]))
        return after_round(problem, state, part, shared, after), exchanged(problem, round_, part)


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
    return _averaging(
        "federated_averaging", "federated averaging", problem, optimizer, fraction, local_steps, local_epochs
    )


@algorithm
def fedprox(
    problem: Problem,
    optimizer: Transformation,
    *,
    proximity: float = 0.1,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model at a server, local steps being held near the server's model: FedProx.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, with a new state on each sampled node every round.
        proximity: μ, by which a local gradient is drawn to the server's model; 0 is federated averaging.
        fraction: C/n, fraction of the nodes sampled each round.
        local_steps: τ, optimizer steps per sampled node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``proximity`` is negative, ``fraction`` is outside (0, 1], the local steps or epochs cannot be taken
            (:func:`.chosen_steps`), or the problem has start steps.
    """
    if proximity < 0:
        raise InputError(f"fedprox: proximity must be at least 0, not {proximity}")
    return _averaging("fedprox", "FedProx", problem, optimizer, fraction, local_steps, local_epochs, proximity)


def _averaging(
    builder: str,
    name: str,
    problem: Problem,
    optimizer: Transformation,
    fraction: float,
    local_steps: int | None,
    local_epochs: int | None,
    proximity: float = 0.0,
) -> Algorithm:
    sampled = sampled_nodes(builder, name, problem, fraction)
    steps = chosen_steps(builder, problem, local_steps, local_epochs)
    return Algorithm(FedAvg(optimizer, sampled, steps, proximity), problem, name=name, mixings=0)
