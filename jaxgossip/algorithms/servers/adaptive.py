"""Federated learning with an adaptive optimizer at the server, x̂ (p,) its model, U_i displacements by τ local steps:

    Δ = mean of U_i over the sampled nodes,   m⁺ = β₁ m + (1 − β₁) Δ,   x̂⁺ = x̂ + η m⁺/(√v⁺ + ε)
    v⁺ = v + Δ²                               FedAdagrad
    v⁺ = β₂ v + (1 − β₂) Δ²                   FedAdam
    v⁺ = v − (1 − β₂) Δ² sign(v − Δ²)         FedYogi
                                              (in stacked form X⁺ = 1 x̂⁺ᵀ)
Nothing corrects the moments for their start, m₀ = 0 and v₀ = ε². A mean over nodes is by numbers of samples, as in federated
averaging.

Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar and McMahan 2021, "Adaptive federated optimization", algorithm 2.
"""

from typing import ClassVar, Literal, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm, check_below_one, check_positive
from jaxgossip.algorithms.base import Algorithm, Method, descend
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
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
    samples_of,
    with_mean_of_state,
)
from jaxgossip.core.typing import PRNGKey, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Round, Traffic

Kind = Literal["adagrad", "adam", "yogi"]


class AdaptiveState(NamedTuple):
    """State of federated learning with an adaptive server.

    Attributes:
        x: (1, p) the server's model.
        private: (n, q) private columns of each node.
        m: (1, s) first moment of the shared columns.
        v: (1, s) second moment of the shared columns.
    """

    x: Model
    private: Rows
    m: Model
    v: Model


class FedOpt(Method):
    """See :func:`fedadam`, :func:`fedyogi` and :func:`fedadagrad`."""

    counts: ClassVar[tuple[str, ...]] = ("rounds",)

    optimizer: Transformation
    sampled: int
    local_steps: Steps
    kind: Kind
    server_rate: float
    momentum: float
    decay: float
    epsilon: float

    @override
    def init(self, problem: Problem, key: PRNGKey) -> AdaptiveState:
        server = at_server(problem, key)
        nothing = jnp.zeros_like(widened(server.x[:, : problem.n_shared]))
        return AdaptiveState(*server, nothing, jnp.full_like(nothing, self.epsilon**2))

    @override
    def step(self, problem: Problem, W: None, state: AdaptiveState, round_: Round) -> tuple[AdaptiveState, Traffic]:
        server, s = Server(state.x, state.private), problem.n_shared
        initial, old = fresh(problem, self.optimizer, server, round_), widened(state.x[:, :s])
        after = widened(descend(problem, self.optimizer, initial, round_, self.local_steps).x)
        part = participants(problem, round_, self.sampled)
        weight = samples_of(problem, part)
        change = mean_of(after[:, :s] - old, weight, jnp.zeros_like(old))
        m = self.momentum * state.m + (1 - self.momentum) * change
        v = self._second_moment(state.v, change**2)
        moved = self.server_rate * m / (jnp.sqrt(v) + self.epsilon)
        new = after_round(problem, server, part, old + with_mean_of_state(problem, moved, change), after)
        return AdaptiveState(*new, m, v), exchanged(problem, round_, part)

    def _second_moment(self, v: Model, square: Model) -> Model:
        if self.kind == "adagrad":
            return v + square
        if self.kind == "adam":
            return self.decay * v + (1 - self.decay) * square
        return v - (1 - self.decay) * square * jnp.sign(v - square)


@algorithm
def fedadam(
    problem: Problem,
    optimizer: Transformation,
    *,
    server_rate: float = 0.01,
    momentum: float = 0.9,
    decay: float = 0.99,
    epsilon: float = 1e-3,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model at a server that takes Adam's steps along the mean change of its nodes: FedAdam.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, with a new state on each sampled node every round.
        server_rate: η, the learning rate of the server.
        momentum: β₁.
        decay: β₂.
        epsilon: ε, the degree of adaptivity: added to the root of the second moment, which begins at ε².
        fraction: C/n, fraction of the nodes sampled each round.
        local_steps: τ, optimizer steps per sampled node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: a number is out of its range, the local steps or epochs cannot be taken (:func:`.chosen_steps`), or the
            problem has start steps.
    """
    sampled, steps = _round("fedadam", "FedAdam", problem, fraction, local_steps, local_epochs)
    return _adaptive(
        "FedAdam", FedOpt(optimizer, sampled, steps, "adam", server_rate, momentum, decay, epsilon), problem
    )


@algorithm
def fedyogi(
    problem: Problem,
    optimizer: Transformation,
    *,
    server_rate: float = 0.01,
    momentum: float = 0.9,
    decay: float = 0.99,
    epsilon: float = 1e-3,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model at a server that takes Yogi's steps along the mean change of its nodes: FedYogi.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, with a new state on each sampled node every round.
        server_rate: η, the learning rate of the server.
        momentum: β₁.
        decay: β₂.
        epsilon: ε, the degree of adaptivity: added to the root of the second moment, which begins at ε².
        fraction: C/n, fraction of the nodes sampled each round.
        local_steps: τ, optimizer steps per sampled node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: a number is out of its range, the local steps or epochs cannot be taken (:func:`.chosen_steps`), or the
            problem has start steps.
    """
    sampled, steps = _round("fedyogi", "FedYogi", problem, fraction, local_steps, local_epochs)
    return _adaptive(
        "FedYogi", FedOpt(optimizer, sampled, steps, "yogi", server_rate, momentum, decay, epsilon), problem
    )


@algorithm
def fedadagrad(
    problem: Problem,
    optimizer: Transformation,
    *,
    server_rate: float = 0.1,
    momentum: float = 0.0,
    epsilon: float = 1e-3,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model at a server that takes Adagrad's steps along the mean change of its nodes: FedAdagrad.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, with a new state on each sampled node every round.
        server_rate: η, the learning rate of the server.
        momentum: β₁.
        epsilon: ε, the degree of adaptivity: added to the root of the second moment, which begins at ε².
        fraction: C/n, fraction of the nodes sampled each round.
        local_steps: τ, optimizer steps per sampled node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: a number is out of its range, the local steps or epochs cannot be taken (:func:`.chosen_steps`), or the
            problem has start steps.
    """
    sampled, steps = _round("fedadagrad", "FedAdagrad", problem, fraction, local_steps, local_epochs)
    return _adaptive(
        "FedAdagrad", FedOpt(optimizer, sampled, steps, "adagrad", server_rate, momentum, 1.0, epsilon), problem
    )


def _round(
    builder: str, name: str, problem: Problem, fraction: float, local_steps: int | None, local_epochs: int | None
) -> tuple[int, Steps]:
    """Return how many nodes are sampled, and their local steps."""
    sampled = sampled_nodes(builder, name, problem, fraction)
    return sampled, chosen_steps(builder, problem, local_steps, local_epochs)


def _adaptive(name: str, method: FedOpt, problem: Problem) -> Algorithm:
    builder = name.lower()
    check_positive(builder, server_rate=method.server_rate, epsilon=method.epsilon)
    check_below_one(builder, momentum=method.momentum)
    if method.kind != "adagrad":
        check_below_one(builder, decay=method.decay)
    return Algorithm(method, problem, name=name, mixings=0)
