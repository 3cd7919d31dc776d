"""Gradient tracking: every node tracks the mean gradient of all nodes, X, Y (n, p), G stochastic gradients:

    DIGing     Y⁺ = W Y + G(X) − G₋       X⁺ = W X − η Y⁺           Σ_i y_i = Σ_i g_i in every round
    ATC        Y⁺ = W (Y + G(X) − G₋)     X⁺ = W (X − η Y⁺)

with Y₀ = G₋ = 0, so the first Y is G (ATC: W G). Both rows travel in one message.

DIGing: Nedić, Olshevsky and Shi 2017, "Achieving geometric convergence for distributed optimization over time-varying
graphs", algorithm 1; Qu and Li 2018, "Harnessing smoothness to accelerate distributed optimization". ATC: Xu, Zhu, Soh
and Xie 2015, "Augmented distributed gradient methods for multi-agent optimization under uncoordinated constant stepsizes";
Di Lorenzo and Scutari 2016, "NEXT".
"""

from typing import Literal, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, check_agreement, fresh_gradient, start, step_along
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class TrackingState(NamedTuple):
    """State of gradient tracking.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        y: (n, p) trackers of the mean gradient.
        g: (n, p) gradients of the previous round.
    """

    x: Rows
    opt_state: PyTree
    y: Rows
    g: Rows


class GradientTracking(Method):
    """See :func:`gradient_tracking`."""

    memory = ("y", "g")
    optimizer: Transformation
    form: Literal["diging", "atc"]

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrackingState:
        initial = start(problem, self.optimizer, key)
        return TrackingState(*initial, jnp.zeros_like(initial.x), jnp.zeros_like(initial.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: TrackingState, round_: Round) -> tuple[TrackingState, Traffic]:
        links = round_.links(W, problem.n_shared)
        g = fresh_gradient(problem, state.x, round_, state.g)
        if self.form == "diging":
            y = materialize(links.mix(state.y, payload="tracker") + g - state.g)
            u, opt_state = step_along(self.optimizer, y, state.x, state.opt_state, round_)
            x = links.mix(state.x) + u
        else:
            # Batch statistics take their own step, and are mixed once.
            y = with_state_of(problem, links.mix(state.y + g - state.g, payload="tracker"), g)
            u, opt_state = step_along(self.optimizer, y, state.x, state.opt_state, round_)
            x = links.mix(state.x + u)
        return round_.keep_offline(TrackingState(x, opt_state, y, g), state), links.sent(state.x, state.y)


@algorithm
def gradient_tracking(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    form: Literal["diging", "atc"] = "diging",
) -> Algorithm:
    """Run gradient tracking, as DIGing or adapt-then-combine: no bias with heterogeneous data, two mixings per round.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to the tracker instead of the gradient.
        W: doubly stochastic mixing, fixed or time-varying.
        form: diging mixes before the step, atc after it, which allows larger step sizes.

    Raises:
        InputError: W is push-sum mixing.
    """
    check_agreement("gradient_tracking", W)

    name = "DIGing" if form == "diging" else "ATC gradient tracking"
    return Algorithm(GradientTracking(optimizer, form), problem, W, name=name, mixings=2)
