"""The two baselines of every plot, X (n, p), x̂ (1, p):

    isolated       X⁺ = X − η G(X)                      no communication
    centralised    x̂⁺ = x̂ − η (1/n) Σ_i G_i(x̂)         one model, the mean gradient of all nodes' minibatches

The centralised learner computes as many gradients per round as the network, for one model: D-SGD on the complete graph.

isolated: Robbins and Monro 1951, "A stochastic approximation method". centralised: Dekel, Gilad-Bachrach, Shamir and Xiao
2012, "Optimal distributed online prediction using mini-batches".
"""

from typing import override

import jax

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    apply,
    check_at_least_one,
    descend,
    start,
    with_optimizer,
)
from jaxgossip.core.random import purpose_key
from jaxgossip.core.typing import PRNGKey
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem, start_steps_of
from jaxgossip.network import Round, Traffic


class Isolated(Method):
    """See :func:`isolated`."""

    optimizer: Transformation
    local_steps: int

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        return start(problem, self.optimizer, key)

    @override
    def step(self, problem: Problem, W: None, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        new = descend(problem, self.optimizer, state, round_, self.local_steps)
        return round_.keep_offline(new, state), Traffic.none()


class Centralised(Method):
    """See :func:`centralised`."""

    optimizer: Transformation
    local_steps: int

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        state = with_optimizer(problem.init(key)[:1], self.optimizer, key=key)
        batch = purpose_key(key, "start batch")
        for number in range(start_steps_of(problem)):
            gradient = problem.mean_gradient(state.x, jax.random.fold_in(batch, number))
            state = apply(self.optimizer, gradient, state)
        return state

    @override
    def step(self, problem: Problem, W: None, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        for number in range(self.local_steps):
            gradient = problem.mean_gradient(state.x, jax.random.fold_in(round_.key("batch"), number))
            state = apply(self.optimizer, gradient, state)
        return state, Traffic.none()


@algorithm
def isolated(problem: Problem, optimizer: Transformation, *, local_steps: int = 1) -> Algorithm:
    """Train every node on its own data only: the baseline that communication has to beat.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        local_steps: optimizer steps per node and round.

    Raises:
        InputError: ``local_steps`` is below one.
    """
    check_at_least_one("isolated", local_steps=local_steps)

    return Algorithm(Isolated(optimizer, local_steps), problem, name="isolated nodes", mixings=0)


@algorithm
def centralised(problem: Problem, optimizer: Transformation, *, local_steps: int = 1) -> Algorithm:
    """Train one model on the data of all nodes: the best that communication can reach.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation.
        local_steps: optimizer steps per round, each on the mean of one gradient of every node.

    Raises:
        InputError: ``local_steps`` is below one.
    """
    check_at_least_one("centralised", local_steps=local_steps)

    return Algorithm(Centralised(optimizer, local_steps), problem, name="centralised learner", mixings=0)
