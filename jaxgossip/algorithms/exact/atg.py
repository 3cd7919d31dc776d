"""ATG, ADMM-tracking gradient: ADMM over links averages models and gradients, X (n, p), V, Z (m, p) on directed links:

    y_i = (x_i + Σ_j v_ij)/(1 + ρ d_i),   s_i = (g_i + Σ_j z_ij)/(1 + ρ d_i)        d_i neighbours, g_i a stochastic gradient
    X⁺ = (1 − γ) X + γ (Y − δ S)
    v_ij⁺ = (1 − α) v_ij − α (v_ji − 2 ρ y_j),   z_ij⁺ = (1 − α) z_ij − α (z_ji − 2 ρ s_j)

with v_ij = ρ x_i and z_ij = 0 at first, so the first y is x. The optimizer takes the step −δ s. Both rows of a link travel in
one message.

Carnevale, Bastianello, Notarstefano and Carli 2023, "ADMM-tracking gradient for distributed optimization over asynchronous and
unreliable networks", algorithm 1.
"""

from typing import NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm, check_positive
from jaxgossip.algorithms.base import Algorithm, Method, check_share, fixed_operator, fresh_gradient, start, step_along
from jaxgossip.algorithms.exact.on_links import LinkVariables, OnLinks
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class OwnState(NamedTuple):
    """The state of each node.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state.
        g: (n, p) gradients of the previous round, which stragglers keep.
    """

    x: Rows
    opt_state: PyTree
    g: Rows


class ATGState(NamedTuple):
    """State of ATG.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        g: (n, p) gradients of the previous round.
        v: (m, q) v_ij in the shared columns of each directed link.
        z: (m, q) z_ij, likewise.
    """

    x: Rows
    opt_state: PyTree
    g: Rows
    v: OnLinks
    z: OnLinks


class ATG(Method):
    """See :func:`atg`."""

    not_on_meshes = "its state is of links, which are not spread over devices"

    memory = ("g",)
    optimizer: Transformation
    averaging: float
    penalty: float
    relaxation: float
    variables: LinkVariables

    @override
    def init(self, problem: Problem, key: PRNGKey) -> ATGState:
        x, opt_state = start(problem, self.optimizer, key)
        v = self.variables.of_receivers(self.penalty * widened(x)[:, : problem.n_shared])
        return ATGState(x, opt_state, jnp.zeros_like(x), v, jnp.zeros_like(v))

    @override
    def step(self, problem: Problem, W: Mixing, state: ATGState, round_: Round) -> tuple[ATGState, Traffic]:
        links, before = round_.links(W, problem.n_shared), OwnState(state.x, state.opt_state, state.g)
        links.check_plain("atg")
        x, g = widened(state.x), fresh_gradient(problem, state.x, round_, state.g)
        share = 1 / (1 + self.penalty * self.variables.degrees.astype(x.dtype))
        # What a node does not share it does not average.
        share = jnp.where(jnp.arange(x.shape[1]) < problem.n_shared, share, 1)
        y = materialize(share * (x + self.variables.summed(state.v, x)))
        s = materialize(share * (widened(g) + self.variables.summed(state.z, x)))
        u, opt_state = step_along(self.optimizer, with_state_of(problem, s, g), state.x, state.opt_state, round_)
        moved = x + self.averaging * (y - x + u)
        # Batch statistics travel as they are, and are mixed by the weights of W.
        new = OwnState(with_state_of(problem, moved, links.mix(x + u)), opt_state, g)
        v = self.variables.exchanged(state.v, y, links, self.penalty, self.relaxation)
        z = self.variables.exchanged(state.z, s, links, self.penalty, self.relaxation)
        after = round_.keep_offline(new, before)
        return ATGState(after.x, after.opt_state, after.g, v, z), links.sent(state.x, state.g)


@algorithm
def atg(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    averaging: float = 0.5,
    penalty: float = 1.0,
    relaxation: float = 0.5,
) -> Algorithm:
    """Run ATG: gradient tracking by ADMM over the links, which bears lost messages; no bias with heterogeneous data.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to the tracked gradient; its rate is δ.
        W: symmetric mixing, the same in every round, of which only the links matter; its weights mix batch statistics.
        averaging: γ, how far a model goes towards its estimate of the mean model, and of the step.
        penalty: ρ, of each link.
        relaxation: α.

    Raises:
        InputError: ``averaging`` or ``relaxation`` is outside (0, 1], ``penalty`` is not positive, or W is time-varying or not
            symmetric; in the first round, if the network has noise, liars or an aggregation.
    """
    check_share("atg", averaging=averaging, relaxation=relaxation)
    check_positive("atg", penalty=penalty)
    variables = LinkVariables(fixed_operator("atg", W).to_scipy())
    return Algorithm(ATG(optimizer, averaging, penalty, relaxation, variables), problem, W, name="ATG", mixings=2)
