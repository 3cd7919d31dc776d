"""Decentralised multi-task learning: every node keeps a model of its own, pulled to its neighbours' mean, X (n, p):

    X⁺ = X − η (G(X) + λ (X − W X))

It is DGD with I − η λ (I − W) in the place of W, so λ = 1/η is DGD, and a model of every node its fixed point: on
f_i = (a/2)(x − b_i)² that of (a I + λ (I − W)) X = a B, at the rate max_k |1 − η (a + λ (1 − λ_k))|. In further local steps
the neighbours' rows stay as they were received, and the node's own moves.

Nassif, Vlaski, Richard and Sayed 2020, "Learning over multitask graphs", part I: the penalty (λ/2) ⟨X, (I − W) X⟩ keeps
models of neighbours close.
"""

from typing import override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, descend, start
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.errors import InputError
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class MultiTask(Method):
    """See :func:`multi_task`."""

    optimizer: Transformation
    pull: float
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        return start(problem, self.optimizer, key)

    @override
    def step(self, problem: Problem, W: Mixing, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        links, before = round_.links(W, problem.n_shared), widened(state.x)
        mixed = widened(links.mix(state.x))
        apart, heard = materialize(before - mixed), 1 - links.kept(before)
        shared = jnp.arange(problem.n_params) < problem.n_shared

        def slope(x: Rows) -> Rows:
            """Return λ (x_i − w_ii x_i − Σ_j w_ij x_j), the neighbours' rows being those from before the round."""
            return jnp.where(shared, self.pull * (apart + heard * (x - before)), 0)

        # What no gradient moves, as batch statistics, has no slope: it is mixed.
        begun = state._replace(x=with_state_of(problem, before, mixed))
        new = descend(problem, self.optimizer, begun, round_, self.local_steps, slope=slope)
        return round_.keep_offline(new, state), links.sent(state.x)


@algorithm
def multi_task(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    pull: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run decentralised multi-task learning: every node fits its own data, close to the mean of its neighbours' models.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately: to its gradient and the pull together.
        W: mixing, fixed or time-varying; symmetric if there is to be an objective that all minimise.
        pull: λ; 0 is local training, and with plain SGD of rate 1/λ it is DGD.
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``pull`` is negative, the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is push-sum
            mixing.
    """
    steps = chosen_steps("multi_task", problem, local_steps, local_epochs)
    if pull < 0:
        raise InputError(f"multi_task: pull must be at least 0, not {pull}", hint="pull = 0 is local training")
    check_agreement("multi_task", W)

    return Algorithm(MultiTask(optimizer, pull, steps), problem, W, name="multi-task")
