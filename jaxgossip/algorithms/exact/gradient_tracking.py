"""Gradient tracking: every node tracks the mean gradient of all nodes, X, Y (n, p), G stochastic gradients:

    DIGing     Y⁺ = W Y + G(X) − G₋       X⁺ = W X − η Y⁺           Σ_i y_i = Σ_i g_i in every round
    semi-ATC   Y⁺ = W Y + G(X) − G₋       X⁺ = W (X − η Y⁺)
    ATC        Y⁺ = W (Y + G(X) − G₋)     X⁺ = W (X − η Y⁺)

with Y₀ = G₋ = 0, so the first Y is G (ATC: W G). Both rows travel in one message.

DIGing: Nedić, Olshevsky and Shi 2017, "Achieving geometric convergence for distributed optimization over time-varying
graphs", algorithm 1; Qu and Li 2018, "Harnessing smoothness to accelerate distributed optimization". Semi-ATC, also
ATC-tracking: Di Lorenzo and Scutari 2016, "NEXT"; its name is of Alghunaim and Yuan 2022, "A unified and refined convergence
analysis for non-convex decentralized learning". ATC, also Aug-DGM: Xu, Zhu, Soh and Xie 2015, "Augmented distributed gradient
methods for multi-agent optimization under uncoordinated constant stepsizes".
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
        of_samples: what an estimate of gradients remembers; empty for plain stochastic ones.
    """

    x: Rows
    opt_state: PyTree
    y: Rows
    g: Rows
    of_samples: PyTree = ()


class GradientTracking(Method):
    """See :func:`gradient_tracking`."""

    memory = ("y", "g")
    optimizer: Transformation
    form: Literal["diging", "semi_atc", "atc"]

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrackingState:
        initial = start(problem, self.optimizer, key)
        return TrackingState(*initial, jnp.zeros_like(initial.x), jnp.zeros_like(initial.x))

    def estimate(self, problem: Problem, state: TrackingState, round_: Round) -> tuple[Rows, PyTree]:
        """Return the gradients G (n, p) of a round, and what is remembered of samples, kept at nodes that do not work."""
        return fresh_gradient(problem, state.x, round_, state.g), ()

    @override
    def step(self, problem: Problem, W: Mixing, state: TrackingState, round_: Round) -> tuple[TrackingState, Traffic]:
        links = round_.links(W, problem.n_shared)
        g, of_samples = self.estimate(problem, state, round_)
        if self.form == "atc":
            # Batch statistics take their own step, and are mixed once.
            y = with_state_of(problem, links.mix(state.y + g - state.g, payload="tracker"), g)
        else:
            y = materialize(links.mix(state.y, payload="tracker") + g - state.g)
        u, opt_state = step_along(self.optimizer, y, state.x, state.opt_state, round_)
        x = links.mix(state.x) + u if self.form == "diging" else links.mix(state.x + u)
        kept = round_.keep_offline(TrackingState(x, opt_state, y, g), state._replace(of_samples=()))
        return kept._replace(of_samples=of_samples), links.sent(state.x, state.y)


@algorithm
def gradient_tracking(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    form: Literal["diging", "semi_atc", "atc"] = "diging",
) -> Algorithm:
    """Run gradient tracking, as DIGing or adapt-then-combine: no bias with heterogeneous data, two mixings per round.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to the tracker instead of the gradient.
        W: doubly stochastic mixing, fixed or time-varying.
        form: diging mixes before the step, atc after it, the tracker as well, which allows larger step sizes; semi_atc mixes
            models after the step, and the tracker as diging does.

    Raises:
        InputError: W is push-sum mixing.
    """
    check_agreement("gradient_tracking", W)

    names = {"diging": "DIGing", "semi_atc": "semi-ATC gradient tracking", "atc": "ATC gradient tracking"}
    return Algorithm(GradientTracking(optimizer, form), problem, W, name=names[form], mixings=2)
