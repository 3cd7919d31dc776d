"""An outer optimizer over gossip, X (n, p), H local steps of an inner optimizer on each node:

    Y  = X + U                displacement by the local steps, whose optimizer keeps its state from round to round
    D  = X − W Y              the outer gradient: what the round has changed, sign reversed
    X⁺ = X − outer(D)         a step of any optax transformation, on each node separately

Its fixed point X = W (X + U) is that of local SGD, whatever the outer rate and momentum. With SGD of rate 1 as the outer
optimizer it is local SGD over gossip, with heavy ball of rate 1 and H = 1 DecentLaM, and with W = 11ᵀ/n DiLoCo. On quadratics
of curvature a, Nesterov's momentum μ with rate α is stable iff α (1 − λ q) < 2 (1 + μ)/(1 + 2 μ), q = (1 − η a)^H, for each
eigenvalue λ of W; heavy ball iff α (1 − λ q) < 2 (1 + μ).

Douillard et al. 2023, "DiLoCo: Distributed low-communication training of language models", algorithm 1, with W in the place
of the mean over all workers. Kolehmainen et al. 2025, "NoLoCo", has heavy ball over random pairs.
"""

from typing import NamedTuple, override

import jax.numpy as jnp
import optax

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, apply, check_agreement, descend, nodes_of, start
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.nodewise import fresh_states
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic

LOCAL_STEPS = 10
"""Local steps of a round if none are given; the papers have some hundreds for models of many millions of parameters."""


class OuterState(NamedTuple):
    """State of methods with an outer optimizer.

    Attributes:
        x: (n, p) models.
        opt_state: state of each node's inner optimizer.
        outer_state: state of each node's outer optimizer.
    """

    x: Rows
    opt_state: PyTree
    outer_state: PyTree


class OuterGossip(Method):
    """See :func:`outer_gossip`."""

    optimizer: Transformation
    outer: Transformation
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> OuterState:
        initial = start(problem, self.optimizer, key)
        return OuterState(*initial, fresh_states(self.outer, widened(initial.x), nodes_of(problem), key))

    @override
    def step(self, problem: Problem, W: Mixing, state: OuterState, round_: Round) -> tuple[OuterState, Traffic]:
        links = round_.links(W, problem.n_shared)
        adapted = descend(problem, self.optimizer, TrainState(state.x, state.opt_state), round_, self.local_steps)
        mixed = links.mix(adapted.x)
        x, outer_state = outer_step(problem, self.outer, TrainState(state.x, state.outer_state), mixed)
        new = OuterState(x, adapted.opt_state, outer_state)
        return round_.keep_offline(new, state), links.sent(state.x)


def outer_step(problem: Problem, outer: Transformation, state: TrainState, mixed: Rows) -> TrainState:
    """Return X − outer(X − mixed) and the new state of the outer optimizer; private columns are those of ``mixed``."""
    shared, after = jnp.arange(problem.n_params) < problem.n_shared, widened(mixed)
    gradient = jnp.where(shared, widened(state.x) - after, 0)
    stepped = apply(outer, gradient, state._replace(x=widened(state.x)))
    return stepped._replace(x=jnp.where(shared, stepped.x, after))


@algorithm
def outer_gossip(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    outer: Transformation | None = None,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run local training whose rounds of gossip are steps of an outer optimizer: DiLoCo without a server.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the local steps; its state stays on the node and is kept between rounds.
        W: mixing, fixed or time-varying.
        outer: any optax transformation, for the step along what a round has changed; by default SGD of rate 0.7 with Nesterov's
            momentum of 0.9, as in DiLoCo.
        local_steps: H, optimizer steps per node and round; 10 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is push-sum mixing.
    """
    steps = chosen_steps("outer_gossip", problem, local_steps, local_epochs, default=LOCAL_STEPS)
    check_agreement("outer_gossip", W)
    outer = optax.sgd(0.7, momentum=0.9, nesterov=True) if outer is None else outer

    return Algorithm(OuterGossip(optimizer, outer, steps), problem, W, name="outer optimizer over gossip")
