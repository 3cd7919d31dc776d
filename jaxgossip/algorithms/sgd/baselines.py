"""The two baselines of every plot, X (n, p), x̂ (1, p):

    isolated       X⁺ = X − η G(X)                      no communication
    centralised    x̂⁺ = x̂ − η (1/n) Σ_i G_i(x̂)         one model, the mean gradient of all nodes' minibatches

The centralised learner computes as many gradients per round as the network, for one model: D-SGD on the complete graph.

isolated: Robbins and Monro 1951, "A stochastic approximation method". centralised: Dekel, Gilad-Bachrach, Shamir and Xiao
2012, "Optimal distributed online prediction using mini-batches".
"""

from typing import Any, ClassVar, override

import jax

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    apply,
    descend,
    start,
    with_optimizer,
)
from jaxgossip.algorithms.local_steps import Batches, Steps, batches_of, chosen_steps
from jaxgossip.core.devices.exchanges import of_row
from jaxgossip.core.random import purpose_key
from jaxgossip.core.typing import PRNGKey
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem, start_steps_of
from jaxgossip.network import Round, Traffic


class Isolated(Method):
    """See :func:`isolated`."""

    counts: ClassVar[tuple[str, ...]] = ("steps", "rounds", "age")

    optimizer: Transformation
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        return start(problem, self.optimizer, key)

    @override
    def step(self, problem: Problem, W: None, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        new = descend(problem, self.optimizer, state, round_, self.local_steps)
        return round_.keep_offline(new, state), Traffic.none()


class Centralised(Method):
    """See :func:`centralised`."""

    counts: ClassVar[tuple[str, ...]] = ("steps", "rounds", "age")

    optimizer: Transformation
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        state = with_optimizer(of_row(problem.init(key), 0), self.optimizer, key=key)
        return self._stepped(problem, state, Batches(purpose_key(key, "start batch"), key, 0, start_steps_of(problem)))

    @override
    def step(self, problem: Problem, W: None, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        return self._stepped(problem, state, batches_of(problem, round_, self.local_steps)), Traffic.none()

    def _stepped(self, problem: Problem, state: TrainState, batches: Batches) -> TrainState:
        """Return the state after one step with each of the minibatches."""

        def step(number: Any, state: TrainState) -> TrainState:
            gradient = problem.mean_gradient(state.x, batches.draw(problem, number))
            return apply(self.optimizer, gradient, state)

        if not isinstance(batches.most, int):
            return jax.lax.fori_loop(0, batches.most, step, state)
        for number in range(batches.most):
            state = step(number, state)
        return state


@algorithm
def isolated(
    problem: Problem, optimizer: Transformation, *, local_steps: int | None = None, local_epochs: int | None = None
) -> Algorithm:
    """Train every node on its own data only: the baseline that communication has to beat.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: the local steps or epochs cannot be taken (:func:`.chosen_steps`).
    """
    steps = chosen_steps("isolated", problem, local_steps, local_epochs)

    return Algorithm(Isolated(optimizer, steps), problem, name="isolated nodes", mixings=0)


@algorithm
def centralised(
    problem: Problem, optimizer: Transformation, *, local_steps: int | None = None, local_epochs: int | None = None
) -> Algorithm:
    """Train one model on the data of all nodes: the best that communication can reach.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation.
        local_steps: optimizer steps per round, each on the mean of one gradient of every node; 1 if neither this nor
            ``local_epochs`` is given.
        local_epochs: in its place, passes through the samples of every node; there are as many steps as the node with most
            minibatches has, and a node that has no further one adds nothing to the mean over all nodes.

    Raises:
        InputError: the local steps or epochs cannot be taken (:func:`.chosen_steps`).
    """
    steps = chosen_steps("centralised", problem, local_steps, local_epochs)

    return Algorithm(Centralised(optimizer, steps), problem, name="centralised learner", mixings=0)
