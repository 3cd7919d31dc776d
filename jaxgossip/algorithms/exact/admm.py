"""Decentralised ADMM, X (n, p), duals α (n, p), symmetric W:

    α⁺ = α + ρ (X − W X)                                                             Σ_i α_i = 0 in every round
    x⁺_i = argmin_x f_i(x) + ⟨α⁺_i, x⟩ + ρ Σ_j W_ij ‖x − (x_i + x_j)/2‖²              by local optimizer steps from x_i

If all links have the same weight w, this is decentralised consensus ADMM with penalty ρ w. The gradient of the local
objective is G(x) + α⁺ + ρ [(X − W X)_i + 2 (1 − W_ii)(x − x_i)]. One step from x_i is DLM, and on quadratics EXTRA with
I − 2 η ρ (I − W) in the place of W; DiNNO takes several, usually Adam's, and lets ρ grow from round to round.

Shi, Ling, Yuan, Wu and Yin 2014, "On the linear convergence of the ADMM in decentralized consensus optimization",
equations (9) and (10). DLM: Ling, Shi, Wu and Ribeiro 2015, "DLM: decentralized linearized alternating direction method of
multipliers". DiNNO: Yu, Vincent and Schwager 2022, "DiNNO: distributed neural network optimization for multi-robot
collaborative learning", algorithm 1.
"""

from typing import NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm, check_positive
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
    """See :func:`admm`, :func:`dlm` and :func:`dinno`."""

    memory = ("dual",)
    optimizer: Transformation
    penalty: float
    local_steps: Steps
    growth: float = 1.0

    @override
    def init(self, problem: Problem, key: PRNGKey) -> DualState:
        initial = start(problem, self.optimizer, key)
        return DualState(*initial, jnp.zeros_like(initial.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: DualState, round_: Round) -> tuple[DualState, Traffic]:
        links, shared = round_.links(W, problem.n_shared), jnp.arange(state.x.shape[1]) < problem.n_shared
        apart = materialize(widened(state.x) - links.mix(state.x))
        penalty = self.penalty if self.growth == 1 else self.penalty * self.growth ** round_.number.astype(apart.dtype)
        dual = state.dual + penalty * apart
        held = jnp.where(shared, 2 * penalty * (1 - links.kept(state.x)), 0)

        def slope(x: Rows) -> Rows:
            return dual + penalty * apart + held * (x - state.x)

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
    return _admm("admm", "decentralised ADMM", ADMM(optimizer, penalty, steps), problem, W)


@algorithm
def dlm(problem: Problem, optimizer: Transformation, W: Mixing, *, penalty: float = 1.0) -> Algorithm:
    """Run DLM: decentralised ADMM whose local problems are replaced by one gradient step; no bias.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the step; the theory assumes SGD of a constant rate.
        W: symmetric mixing, fixed or time-varying.
        penalty: ρ; that of the paper times the weight of a link.

    Raises:
        InputError: ``penalty`` is not positive, or W is push-sum mixing.
    """
    return _admm("dlm", "DLM", ADMM(optimizer, penalty, 1), problem, W)


@algorithm
def dinno(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    penalty: float = 0.5,
    growth: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run DiNNO: decentralised ADMM for neural networks, by a few local steps and a penalty that may grow; no bias.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the steps towards the local minimum; the authors take Adam.
        W: symmetric mixing, fixed or time-varying.
        penalty: ρ of the first round; that of the paper times the weight of a link.
        growth: factor on ρ from one round to the next, at least 1.
        local_steps: B, optimizer steps per round; 5 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``penalty`` is not positive, ``growth`` is below 1, the local steps or epochs cannot be taken
            (:func:`.chosen_steps`), or W is push-sum mixing.
    """
    steps = chosen_steps("dinno", problem, local_steps, local_epochs, default=5)
    if growth < 1:
        raise InputError(f"dinno: growth must be at least 1, not {growth}")
    return _admm("dinno", "DiNNO", ADMM(optimizer, penalty, steps, growth), problem, W)


def _admm(builder: str, name: str, method: ADMM, problem: Problem, W: Mixing) -> Algorithm:
    check_positive(builder, penalty=method.penalty)
    check_agreement(builder, W)
    return Algorithm(method, problem, W, name=name)
