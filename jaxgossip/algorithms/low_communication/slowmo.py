"""SlowMo, slow momentum over decentralised SGD, X, M (n, p), A the models at the last slow step, γ the base learning rate:

    every round        X ← W (X + U)                           U displacements by local steps
    every τ rounds     M⁺ = β M + (A − J X)/γ,   X⁺ = A − α γ M⁺,   A⁺ = X⁺            J = 11ᵀ/n

M is in units of gradients: at a constant rate, and with local SGD as the base, it is DiLoCo with heavy ball; where γ changes,
the momentum keeps its scale. With β = 0 and α = 1 it is D-SGD with an exact mean every τ rounds. The authors' code can leave
the exact mean out, so that every node follows its own models: J is then the identity.

Wang, Tantia, Ballas and Rabbat 2020, "SlowMo: Improving communication-efficient distributed SGD with slow momentum",
algorithm 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one, check_below_one, check_positive
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    check_agreement,
    check_rate,
    descend,
    start,
)
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core import counting
from jaxgossip.core.devices.blocks import count_rows
from jaxgossip.core.devices.exchanges import node_sum
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class SlowState(NamedTuple):
    """State of SlowMo.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        anchor: (n, p) A, the models after the last slow step.
        m: (n, p) M, the slow momentum, zero in private columns.
    """

    x: Rows
    opt_state: PyTree
    anchor: Rows
    m: Rows


class SlowMo(Method):
    """See :func:`slowmo`."""

    memory = ("m",)

    optimizer: Transformation
    every: int
    momentum: float
    slow_rate: float
    base_rate: float | Callable[[Any], Any]
    exact_mean: bool
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> SlowState:
        initial = start(problem, self.optimizer, key)
        return SlowState(*initial, initial.x, jnp.zeros_like(widened(initial.x)))

    @override
    def step(self, problem: Problem, W: Mixing, state: SlowState, round_: Round) -> tuple[SlowState, Traffic]:
        links = round_.links(W, problem.n_shared)
        trained = TrainState(state.x, state.opt_state)
        adapted = descend(problem, self.optimizer, trained, round_, self.local_steps)
        mixed, anchor = widened(links.mix(adapted.x)), widened(state.anchor)
        is_slow = (round_.number + 1) % self.every == 0
        rate = self.base_rate(round_.number) if callable(self.base_rate) else self.base_rate
        mean, shared = self._mean(mixed, round_), jnp.arange(problem.n_params) < problem.n_shared
        m = jnp.where(shared, self.momentum * state.m + (anchor - mean) / rate, 0)
        slow = with_state_of(problem, jnp.where(shared, anchor - self.slow_rate * rate * m, mixed), mean)
        x = jnp.where(is_slow, slow, mixed)
        new = SlowState(x, adapted.opt_state, jnp.where(is_slow, x, anchor), jnp.where(is_slow, m, state.m))
        traffic = links.sent(state.x)
        if self.exact_mean:
            traffic += self._at_server(problem, round_).only_if(is_slow)
        return round_.keep_offline(new, state), traffic

    def _mean(self, x: Rows, round_: Round) -> Rows:
        """Return J x, over the nodes that are online, or x itself."""
        if not self.exact_mean:
            return x
        weight = jnp.ones(x.shape[0], x.dtype) if round_.online is None else round_.online.astype(x.dtype)
        total = node_sum(weight)
        return jnp.broadcast_to(node_sum(weight[:, None] * x)[None] / jnp.where(total > 0, total, 1), x.shape)

    def _at_server(self, problem: Problem, round_: Round) -> Traffic:
        """Return the traffic of an exact mean: a row from every online node, and one to each."""
        online = jnp.ones(count_rows(problem.n_nodes), bool) if round_.online is None else round_.online
        row_bytes = problem.n_shared * jnp.dtype(problem.dtype).itemsize
        # Counted without faults, XLA would add up n ones while it compiles.
        everyone = (
            counting.count(problem.n_nodes) if round_.online is None else counting.total(online.astype(jnp.uint32))
        )
        messages = counting.times(everyone, 2)
        sent = counting.times(messages, row_bytes)
        return Traffic(messages, sent, counting.count(0), round_.at_server(online, row_bytes))


@algorithm
def slowmo(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    every: int = 10,
    momentum: float = 0.7,
    slow_rate: float = 1.0,
    base_rate: float | Callable[[Any], Any] = 1.0,
    exact_mean: bool = True,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run D-SGD with a slow step of momentum every so many rounds: SlowMo.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: mixing of the rounds in between, fixed or time-varying.
        every: τ, rounds from one slow step to the next.
        momentum: β.
        slow_rate: α, learning rate of the slow steps.
        base_rate: γ, the unit of the slow momentum: the optimizer's learning rate, a number or a function of the round. Only
            its changes matter.
        exact_mean: whether slow steps begin with the exact mean of all nodes, which costs a row to and from each.
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``every`` is below 1, a rate is not positive, ``momentum`` is outside [0, 1), the local steps or epochs
            cannot be taken (:func:`.chosen_steps`), or W is push-sum mixing.
    """
    check_at_least_one("slowmo", every=every)
    steps = chosen_steps("slowmo", problem, local_steps, local_epochs)
    check_positive("slowmo", slow_rate=slow_rate)
    check_rate("slowmo", base_rate=base_rate)
    check_below_one("slowmo", momentum=momentum)
    check_agreement("slowmo", W)

    method = SlowMo(optimizer, every, momentum, slow_rate, base_rate, exact_mean, steps)
    return Algorithm(method, problem, W, name="SlowMo")
