"""Wang and Elia's method: a proportional and integral control of disagreement, X, Z (n, p), G stochastic gradients:

    X⁺ = X − K (X + Z) − η G(X),   Z⁺ = Z + K X,   K = (I − W)/2,   Z₀ = 0              Σ_i z_i = 0 in every round

Euler's discretisation of their flow. Both rows travel in one message.

Wang and Elia 2010, "Control approach to distributed optimization", equations 3 and 4; 2011, "A control perspective for
centralized and distributed convex optimization".
"""

from typing import NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, displacement, start
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class IntegralState(NamedTuple):
    """State of Wang and Elia's method.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        z: (n, p) the integral of disagreements.
    """

    x: Rows
    opt_state: PyTree
    z: Rows


class WangElia(Method):
    """See :func:`wang_elia`."""

    memory = ("z",)
    optimizer: Transformation

    @override
    def init(self, problem: Problem, key: PRNGKey) -> IntegralState:
        initial = start(problem, self.optimizer, key)
        return IntegralState(*initial, jnp.zeros_like(initial.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: IntegralState, round_: Round) -> tuple[IntegralState, Traffic]:
        links = round_.links(W, problem.n_shared)
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        of_x = materialize((state.x - links.mix(state.x)) / 2)
        of_z = (state.z - links.mix(state.z, payload="integral")) / 2
        # Batch statistics have no integral, and are mixed whole.
        x = state.x + u - with_state_of(problem, of_x + of_z, 2 * of_x)
        new = IntegralState(x, opt_state, state.z + of_x)
        return round_.keep_offline(new, state), links.sent(state.x, state.z)


@algorithm
def wang_elia(problem: Problem, optimizer: Transformation, W: Mixing) -> Algorithm:
    """Run Wang and Elia's method: no bias with heterogeneous data, two mixings per round.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately; the theory assumes a constant step size.
        W: symmetric mixing, fixed or time-varying; symmetry is not checked.

    Raises:
        InputError: W is push-sum mixing.
    """
    check_agreement("wang_elia", W)

    return Algorithm(WangElia(optimizer), problem, W, name="Wang–Elia", mixings=2)
