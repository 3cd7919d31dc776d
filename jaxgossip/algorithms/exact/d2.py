"""D² and exact diffusion: D-SGD without the bias due to heterogeneous data, X (n, p), G stochastic gradients:

    X½ = X − η G(X) + C,   X⁺ = W X½,   C⁺ = X⁺ − X + η G(X),   C₀ = 0          correction C (n, p), Σ_i c_i = 0

which equals X⁺ = W (2X − X₋ − η (G − G₋)) from the second round on. D² takes W itself, which needs λ_min(W) > −1/3;
exact diffusion takes (I + W)/2, which needs only λ_min(W) > −5/3; with a common step size it is also NIDS.

D²: Tang, Lian, Yan, Zhang and Liu 2018, "D²: decentralized training over decentralized data", algorithm 1. Exact
diffusion: Yuan, Ying, Zhao and Sayed 2019, "Exact diffusion for distributed optimization and learning, part I",
algorithm 1. NIDS: Li, Shi and Yan 2019, equation (2a).
"""

from typing import ClassVar, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, displacement, start
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class CorrectedState(NamedTuple):
    """State of methods with a correction.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        c: (n, p) correction, as a displacement.
    """

    x: Rows
    opt_state: PyTree
    c: Rows


class Corrected(Method):
    """A method with a correction, initially 0."""

    memory = ("c",)
    optimizer: Transformation

    @override
    def init(self, problem: Problem, key: PRNGKey) -> CorrectedState:
        initial = start(problem, self.optimizer, key)
        return CorrectedState(*initial, jnp.zeros_like(initial.x))


class D2(Corrected):
    """See :func:`d2`."""

    lazy: ClassVar[bool] = False

    @override
    def step(self, problem: Problem, W: Mixing, state: CorrectedState, round_: Round) -> tuple[CorrectedState, Traffic]:
        links = round_.links(W, problem.n_shared)
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        half = links.as_sent(state.x + u + state.c)
        x = links.mix(half)
        x = materialize((half + x) / 2 if self.lazy else x)
        new = CorrectedState(x, opt_state, x - state.x - u)
        return round_.keep_offline(new, state), links.sent(half)


class ExactDiffusion(D2):
    """See :func:`exact_diffusion`."""

    lazy: ClassVar[bool] = True


@algorithm
def d2(problem: Problem, optimizer: Transformation, W: Mixing) -> Algorithm:
    """Run D²: D-SGD with a correction that cancels the heterogeneity of the data. Needs λ_min(W) > −1/3.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately; the theory assumes a constant step size.
        W: symmetric mixing, fixed or time-varying; neither symmetry nor λ_min is checked.

    Raises:
        InputError: W is push-sum mixing.
    """
    check_agreement("D²", W)

    return Algorithm(D2(optimizer), problem, W, name="D²")


@algorithm
def exact_diffusion(problem: Problem, optimizer: Transformation, W: Mixing) -> Algorithm:
    """Run exact diffusion: D² with (I + W)/2, for symmetric W with λ_min(W) > −5/3.

    Any W with non-negative entries satisfies this. With a common step size it is NIDS.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately; the theory assumes a constant step size.
        W: symmetric mixing, fixed or time-varying; symmetry is not checked.

    Raises:
        InputError: W is push-sum mixing.
    """
    check_agreement("exact diffusion", W)

    return Algorithm(ExactDiffusion(optimizer), problem, W, name="exact diffusion")
