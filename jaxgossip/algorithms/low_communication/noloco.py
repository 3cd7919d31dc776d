"""NoLoCo, momentum over gossip, X, V (n, p), U displacements by H local steps of an inner optimizer:

    V⁺ = μ V + α W U − γ (X − W X),   X⁺ = X + V⁺

with W the means of groups, usually pairs, drawn anew in every round. With γ = α, as in the authors' code, one row travels,
and the rule is :func:`.outer_gossip` with heavy ball as the outer optimizer. Without gradients and over random perfect
matchings of n nodes, the second moments of the distance to the mean contract iff γ < 2 (1 − μ²)/(1 − μ/(n − 1)).

Kolehmainen, Blagoev, Donaghy, Ersoy and Nies 2025, "NoLoCo: No-all-reduce low communication training method for large models".
"""

from typing import NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm, check_below_one, check_positive
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, displacement, start
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.low_communication.outer import LOCAL_STEPS
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class VelocityState(NamedTuple):
    """State of NoLoCo.

    Attributes:
        x: (n, p) models.
        opt_state: state of each node's inner optimizer.
        v: (n, p) velocity, zero in private columns.
    """

    x: Rows
    opt_state: PyTree
    v: Rows


class NoLoCo(Method):
    """See :func:`noloco`."""

    memory = ("v",)

    optimizer: Transformation
    outer_rate: float
    momentum: float
    consensus_rate: float
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> VelocityState:
        initial = start(problem, self.optimizer, key)
        return VelocityState(*initial, jnp.zeros_like(initial.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: VelocityState, round_: Round) -> tuple[VelocityState, Traffic]:
        links, x = round_.links(W, problem.n_shared), widened(state.x)
        trained = TrainState(state.x, state.opt_state)
        u, opt_state = displacement(problem, self.optimizer, trained, round_, self.local_steps)
        if self.consensus_rate == self.outer_rate:
            mixed, traffic = widened(links.mix(x + u)), links.sent(state.x)
            pull = self.outer_rate * (mixed - x)
        else:
            of_x, of_u = widened(links.mix(x)), widened(links.mix(u, payload="displacement"))
            mixed, traffic = of_x + of_u, links.sent(state.x, u)
            pull = self.outer_rate * of_u - self.consensus_rate * (x - of_x)
        shared = jnp.arange(problem.n_params) < problem.n_shared
        v = materialize(jnp.where(shared, self.momentum * widened(state.v) + pull, 0))
        # What has no velocity, private columns and state that no gradient moves, is mixed as it is.
        after = with_state_of(problem, jnp.where(shared, x + v, mixed), mixed)
        return round_.keep_offline(VelocityState(after, opt_state, v), state), traffic


@algorithm
def noloco(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    outer_rate: float = 0.7,
    momentum: float = 0.5,
    consensus_rate: float | None = None,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run NoLoCo: many local steps, then a step with momentum towards a few random peers.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the local steps; its state stays on the node and is kept between rounds.
        W: mixing, usually ``matching``: pairs that are drawn anew in every round.
        outer_rate: α, factor of the mixed displacements.
        momentum: μ.
        consensus_rate: γ, factor of the differences of models; α if left out, and then one row travels in the place of two.
        local_steps: H, optimizer steps per node and round; 10 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: a rate is not positive, ``momentum`` is outside [0, 1), the local steps or epochs cannot be taken
            (:func:`.chosen_steps`), or W is push-sum mixing.
    """
    steps = chosen_steps("noloco", problem, local_steps, local_epochs, default=LOCAL_STEPS)
    consensus_rate = outer_rate if consensus_rate is None else consensus_rate
    check_positive("noloco", outer_rate=outer_rate, consensus_rate=consensus_rate)
    check_below_one("noloco", momentum=momentum)
    check_agreement("noloco", W)

    method = NoLoCo(optimizer, outer_rate, momentum, consensus_rate, steps)
    return Algorithm(method, problem, W, name="NoLoCo", mixings=1 if consensus_rate == outer_rate else 2)
