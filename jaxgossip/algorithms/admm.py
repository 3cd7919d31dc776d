"""Decentralised ADMM, X (n, p), duals α (n, p), symmetric W:

    α⁺ = α + ρ (X − W X)                                                             Σ_i α_i = 0 in every round
    x⁺_i = argmin_x f_i(x) + ⟨α⁺_i, x⟩ + ρ Σ_j W_ij ‖x − (x_i + x_j)/2‖²              by local optimizer steps from x_i

If all links have the same weight w, this is decentralised consensus ADMM with penalty ρ w. The gradient of the local
objective is G(x) + α⁺ + ρ [(X − W X)_i + 2 (1 − W_ii)(x − x_i)].

Shi, Ling, Yuan, Wu and Yin 2014, "On the linear convergence of the ADMM in decentralized consensus optimization",
equations (9) and (10); inexact form: Ling, Shi, Wu and Ribeiro 2015, "DLM".
"""

from typing import NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    check_agreement,
    descend,
    start,
)
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.errors import InputError
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class DualState(NamedTuple):
    """State of ADMM.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        dual: (n, p) α.
    """

    x: Rows
    opt_state: PyTree
    dual: Rows


class ADMM(Method):
    """See :func:`admm`."""

    memory = ("dual",)
    optimizer: Transformation
    penalty: float
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> DualState:
        initial = start(problem, self.optimizer, key)
        return DualState(*initial, jnp.zeros_like(initial.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: DualState, round_: Round) -> tuple[DualState, Traffic]:
        links, shared = round_.links(W, problem.n_shared), jnp.arange(state.x.shape[1]) < problem.n_shared
        apart = materialize(widened(state.x) - links.mix(state.x))
        dual = state.dual + self.penalty * apart
        held = jnp.where(shared, 2 * self.penalty * (1 - links.kept()), 0)

        def slope(x: Rows) -> Rows:
            return dual + self.penalty * apart + held * (x - state.x)

        # Duals bring models together; batch statistics have none, and are mixed.
        current = TrainState(with_state_of(problem, state.x, state.x - apart), state.opt_state)
        x, opt_state = descend(problem, self.optimizer, current, round_, self.local_steps, slope=slope)
        return round_.keep_offline(DualState(x, opt_state, dual), state), links.sent(state.x)


@algorithm
def admm(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    penalty: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run decentralised ADMM: nodes solve local problems with a penalty on the distance to neighbours; no bias.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the steps towards the local minimum.
        W: symmetric mixing, fixed or time-varying.
        penalty: ρ.
        local_steps: optimizer steps per round; the more, the closer to the local minimum; 5 if neither this nor
            ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``penalty`` is not positive, the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is
            push-sum mixing.
    """
    steps = chosen_steps("admm", problem, local_steps, local_epochs, default=5)
    if penalty <= 0:
        raise InputError(f"admm: penalty must be positive, not {penalty}")
    check_agreement("admm", W)

    return Algorithm(ADMM(optimizer, penalty, steps), problem, W, name="decentralised ADMM")
