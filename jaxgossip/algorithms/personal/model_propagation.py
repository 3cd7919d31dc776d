"""Model propagation: models that nodes learnt alone, Θ^sol (n, p), are smoothed over the graph, c_i in (0, 1] a confidence:

    X⁺ = (α I + ᾱ C)⁻¹ (α P X + ᾱ C Θ^sol),   X₀ = Θ^sol,   α = 1/(1 + μ),  ᾱ = 1 − α,  C = diag(c)

P has the means of neighbours, P_ij = W_ij/(1 − W_ii), of the messages that arrive: D⁻¹ A for uniform weights. For symmetric
A_ij and d_i = Σ_j A_ij it minimises ½ (Σ_{i<j} A_ij ‖x_i − x_j‖² + μ Σ_i d_i c_i ‖x_i − θ_i^sol‖²), and ends at
ᾱ (I − ᾱ (I − C) − α P)⁻¹ C Θ^sol; if all are sure, at the rate α. A node that hears nobody keeps its model.

Vanhaesebrouck, Bellet and Tommasi 2017, "Decentralized collaborative learning of personalized models over networks",
proposition 1 and equation 5.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, override

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgossip.algorithms.arguments import algorithm, check_positive
from jaxgossip.algorithms.base import Algorithm, Method, check_agreement, check_no_start_steps, start_models
from jaxgossip.core.arguments import reals
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import NodeFloats, PRNGKey, Rows, accumulator, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic

LEAST_CONFIDENCE = 1e-3
"""Confidence of nodes without samples."""


class PropagationState(NamedTuple):
    """State of model propagation.

    Attributes:
        x: (n, p) models.
        solo: (n, p) Θ^sol, what each node learnt alone.
    """

    x: Rows
    solo: Rows


class ModelPropagation(Method):
    """See :func:`model_propagation`."""

    takes_steps = False
    per_node: ClassVar[tuple[str, ...]] = ("confidences", "solo")

    optimizer: Transformation | None
    alpha: float
    confidences: NodeFloats
    solo: Rows | None

    @override
    def init(self, problem: Problem, key: PRNGKey) -> PropagationState:
        solo = start_models(problem, self.optimizer, key) if self.solo is None else self.solo
        return PropagationState(solo, solo)

    @override
    def step(
        self, problem: Problem, W: Mixing, state: PropagationState, round_: Round
    ) -> tuple[PropagationState, Traffic]:
        links, x = round_.links(W, problem.n_shared), widened(state.x)
        kept = links.kept(x)
        mean = (widened(links.mix(state.x)) - kept * x) / jnp.where(kept < 1, 1 - kept, 1)
        trust = (1 - self.alpha) * self.confidences[:, None]
        smoothed = (self.alpha * mean + trust * state.solo) / (self.alpha + trust)
        moves = (kept < 1) & (jnp.arange(problem.n_params) < problem.n_shared)
        new = PropagationState(jnp.where(moves, smoothed, x), state.solo)
        return round_.keep_offline(new, state), links.sent(state.x)


@algorithm
def model_propagation(
    problem: Problem,
    optimizer: Transformation | None,
    W: Mixing,
    *,
    trade_off: float = 1.0,
    confidences: Sequence[float] | Float[np.ndarray | Array, " n"] | None = None,
    solo: Float[np.ndarray | Array, "n p"] | None = None,
) -> Algorithm:
    """Run model propagation: every node learns alone first, and then smooths its model with those of its neighbours.

    Args:
        problem: the learning problem; its start steps are what every node learns alone (:func:`.started`).
        optimizer: the optimizer of the start steps; None if there are none.
        W: mixing, fixed or time-varying, with weights that are not negative; a node's own weight has no effect.
        trade_off: μ, how much a node's own model weighs beside those of its neighbours.
        confidences: (n,) c_i in (0, 1]; by default, the number of the node's samples, divided by the largest.
        solo: (n, p) models that were learnt alone; by default, those after the start steps.

    Raises:
        InputError: ``trade_off`` is not positive, ``confidences`` are not n numbers in (0, 1], ``solo`` is not (n, p) finite
            numbers, or comes with start steps, or W is push-sum mixing.
    """
    check_positive("model_propagation", trade_off=trade_off)
    check_agreement("model_propagation", W)
    trust = _checked_confidences(problem, confidences)
    given = None if solo is None else _checked_models(problem, solo)

    method = ModelPropagation(optimizer, 1 / (1 + trade_off), trust, given)
    return Algorithm(method, problem, W, name="model propagation")


def _checked_confidences(problem: Problem, confidences: Any) -> NodeFloats:
    """Return the confidences by row; raise InputError unless they are n numbers in (0, 1]."""
    kind = accumulator(problem.dtype)
    if confidences is None:
        counts = np.asarray(problem.sample_counts, np.float64)
        return jnp.asarray(np.maximum(counts / max(1, counts.max()), LEAST_CONFIDENCE), kind)
    values = reals("model_propagation", "confidences", confidences)
    if values.shape != (problem.n_nodes,) or not ((values > 0) & (values <= 1)).all():
        right = values.shape == (problem.n_nodes,)
        raise InputError(
            f"model_propagation: confidences must be {problem.n_nodes} numbers above 0 and at most 1, not "
            + ("numbers that are not all so" if right else f"{values.size} numbers"),
            hint="algorithm.confidences (in Python: confidences) has one a node; without them, samples are counted",
        )
    return jnp.asarray(_by_row(problem, values), kind)


def _checked_models(problem: Problem, solo: Any) -> Rows:
    """Return the models by row, in the dtype of the problem; raise InputError unless they are (n, p) finite numbers."""
    check_no_start_steps("model_propagation", problem, "its solo models are given")
    values, shape = reals("model_propagation", "solo", solo), (problem.n_nodes, problem.n_params)
    if values.shape != shape or not np.isfinite(values).all():
        given = f"{values.shape}" if values.shape != shape else "numbers that are not all finite"
        raise InputError(
            f"model_propagation: solo must be a model of every node, {shape}, not {given}",
            hint="jg.simulate(jg.algorithms.isolated(problem, optimizer), rounds=100).x, or learning.start_steps = 100",
        )
    return jnp.asarray(_by_row(problem, values), problem.dtype)


def _by_row(problem: Problem, values: np.ndarray) -> np.ndarray:
    return values if problem.order is None else values[problem.order.nodes]
