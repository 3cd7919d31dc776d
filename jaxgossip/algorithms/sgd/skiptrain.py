"""SkipTrain: decentralised SGD with rounds that only mix, to save the energy of training, X (n, p), Γ_t + Γ_s rounds a period:

    the first Γ_t rounds of a period    X⁺ = W (X + U)         U displacements by local steps
    the other Γ_s rounds                X⁺ = W X

With Γ_t = 1, fixed W and one period seen as a round, it is D-SGD (ATC) over W^(1 + Γ_s): as many gradients lead to better
agreement, and 1 + Γ_s times as many messages are sent for each.

Under a budget of B_i rounds, node i trains in a round of training with probability min(1, B_i (Γ_t + Γ_s)/(T Γ_t)), until it
has trained in B_i of them: so the budget lasts for about T rounds. Without T, nodes train in every such round until theirs is
spent; with Γ_s = 0 that is the paper's greedy rule.

De Vos, Dhasade, Dini, Guerra, Kermarrec, Miozzo, Pires and Sharma 2024, "Energy-aware decentralized learning with
intermittent model training"; constrained, under a budget.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, descend, start
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.core.arguments import MOST, is_number, shown
from jaxgossip.core.devices.blocks import count_rows
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import NodeInts, NodeMask, PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic, chosen


class SkipTrainState(NamedTuple):
    """State of SkipTrain.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        trained: (n,) int32, number of rounds in which each node has trained.
    """

    x: Rows
    opt_state: PyTree
    trained: NodeInts


class SkipTrain(Method):
    """See :func:`skiptrain`."""

    per_node: ClassVar[tuple[str, ...]] = ("budget",)

    optimizer: Transformation
    training: int
    mixing: int
    local_steps: Steps
    budget: NodeInts | None
    over: int | None

    @override
    def init(self, problem: Problem, key: PRNGKey) -> SkipTrainState:
        initial = start(problem, self.optimizer, key)
        return SkipTrainState(*initial, jnp.zeros(count_rows(problem.n_nodes), jnp.int32))

    @override
    def step(self, problem: Problem, W: Mixing, state: SkipTrainState, round_: Round) -> tuple[SkipTrainState, Traffic]:
        links = round_.links(W, problem.n_shared)

        def train() -> SkipTrainState:
            initial = TrainState(state.x, state.opt_state)
            after = descend(
                problem,
                self.optimizer,
                initial,
                round_,
                self.local_steps,
                before=state.trained if self.mixing else None,
            )
            learnt = SkipTrainState(*after, state.trained + 1)
            return chosen(round_.works, chosen(self._affords(state, round_), learnt, state), state)

        # Without a gradient in rounds that only mix, they take the time of mixing alone.
        learnt = jax.lax.cond(self._is_training(round_), train, lambda: state) if self.mixing else train()
        return round_.keep_offline(learnt._replace(x=links.mix(learnt.x)), state), links.sent(state.x)

    @override
    def trains(self, problem: Problem, state: SkipTrainState, round_: Round) -> NodeMask | None:
        if not self.mixing and self.budget is None:
            return None
        training = jnp.broadcast_to(self._is_training(round_), count_rows(problem.n_nodes))
        affords = self._affords(state, round_)
        return training if affords is None else training & affords

    @override
    def trainings(self, rounds: int) -> int:
        periods, rest = divmod(rounds, self.training + self.mixing)
        most = periods * self.training + min(rest, self.training)
        return most if self.budget is None else min(most, int(self.budget.max()))

    def _is_training(self, round_: Round) -> Bool[Array, ""]:
        return round_.number % (self.training + self.mixing) < self.training

    def _affords(self, state: SkipTrainState, round_: Round) -> NodeMask | None:
        """Return (n,) bool, the nodes that have the budget to train, and draw that they do; None if there is no budget."""
        if self.budget is None:
            return None
        left = state.trained < self.budget
        if self.over is None:
            return left
        share = self.budget * ((self.training + self.mixing) / (self.over * self.training))
        return left & (round_.draws.uniform(round_.key("training")) < share)


@algorithm
def skiptrain(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    training_rounds: int = 1,
    mixing_rounds: int = 4,
    budget: int | Sequence[int] | None = None,
    over: int | None = None,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run decentralised SGD with periods of rounds of training, and then of rounds that only mix: SkipTrain.

    Rounds that only mix take no time to train, and count for nothing in the privacy of a run.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: mixing, fixed or time-varying.
        training_rounds: Γ_t, rounds of a period that nodes train in before they mix.
        mixing_rounds: Γ_s, the rounds after them, that only mix; with 0 and no budget it is D-SGD.
        budget: B, rounds that a node can train in, one number for all or one a node; None for no limit.
        over: T, rounds over which the budget is to last; None to spend it as soon as possible.
        local_steps: optimizer steps per node and round of training; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``training_rounds`` or ``over`` is below 1, ``mixing_rounds`` or a budget is negative, there are not as many
            budgets as nodes, ``over`` is given without a budget, the local steps or epochs cannot be taken
            (:func:`.chosen_steps`), or W is push-sum mixing.
    """
    check_at_least_one("skiptrain", training_rounds=training_rounds)
    if mixing_rounds < 0:
        raise InputError(f"skiptrain: mixing_rounds must be at least 0, not {mixing_rounds}")
    if over is not None:
        check_at_least_one("skiptrain", over=over)
        if budget is None:
            raise InputError("skiptrain: over says how long a budget lasts, and there is none", hint="budget = 100")
    steps = chosen_steps("skiptrain", problem, local_steps, local_epochs)
    check_agreement("skiptrain", W)

    budgets = None if budget is None else _budgets(budget, problem)
    method = SkipTrain(optimizer, training_rounds, mixing_rounds, steps, budgets, over)
    return Algorithm(method, problem, W, name="SkipTrain")


def _budgets(budget: Any, problem: Problem) -> NodeInts:
    """Return (n,) int32, the budgets by row; raise InputError unless they are whole numbers, one for all or one a node."""
    given, n = np.asarray(budget), problem.n_nodes
    if given.dtype.kind not in "iu" or given.shape not in ((), (n,)) or not ((given >= 0) & (given <= MOST)).all():
        number = shown(budget) if is_number(budget) else f"{given.size:,} values"
        raise InputError(
            f"skiptrain: budget must be whole numbers of at least 0, one for all or one for each of {n:,} nodes, not {number}"
        )
    by_node = jnp.broadcast_to(jnp.asarray(given, jnp.int32), (n,))
    return by_node if problem.order is None else by_node[problem.order.nodes]
