"""Push-sum methods for directed and time-varying graphs, column-stochastic A, mass U (n, p), weights w (n, 1):

    push_sum       U⁺ = A U,                   w⁺ = A w,    X = U/w                         averaging
    sgp            U⁺ = A (U − η G(X)),        w⁺ = A w,    X = U/w                         stochastic gradient push
    push_diging    Y⁺ = A Y + G(X) − G₋,  U⁺ = A (U − η Y⁺),  w⁺ = A w,  X = U/w            gradient tracking

Every node splits its mass between itself and its receivers; the weight w corrects for the unequal mass that nodes receive.
Mass is conserved in every round, even if messages are lost (see :mod:`jaxgossip.mixing.column_stochastic`). Initially
w = 1 and Y = G₋ = 0.

push_sum: Kempe, Dobra and Gehrke 2003, protocol push-sum. sgp: Nedić and Olshevsky 2016, "Stochastic gradient-push for
strongly convex functions on time-varying directed graphs"; Assran, Loizou, Ballas and Rabbat 2019, algorithm 1.
push_diging: Nedić, Olshevsky and Shi 2017, algorithm 2.
"""

from typing import NamedTuple, override

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    check_mass,
    displacement,
    fresh_gradient,
    nodes_of,
    start,
    start_models,
    step_along,
    with_optimizer,
)
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.model_state import in_mass
from jaxgossip.core.devices.blocks import count_rows
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, accumulator
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Links, Round, Traffic


class PushState(NamedTuple):
    """State of push-sum methods.

    Attributes:
        u: (n, p) mass; private columns are those of the models.
        w: (n, 1) weights.
        opt_state: optimizer state of each node.
    """

    u: Rows
    w: Float[Array, "n 1"]
    opt_state: PyTree


class PushTrackingState(NamedTuple):
    """State of push-DIGing: that of push-sum, with trackers y and previous gradients g, (n, p) each."""

    u: Rows
    w: Float[Array, "n 1"]
    opt_state: PyTree
    y: Rows
    g: Rows


class PushMethod(Method):
    """A push-sum method, whose models are the masses divided by the weights.

    Attributes:
        n_shared: number of shared columns.
    """

    n_shared: int

    @override
    def models(self, state: PushState | PushTrackingState) -> Rows:
        return ratio(state.u, state.w, self.n_shared)


class PushSum(PushMethod):
    """See :func:`push_sum`."""

    takes_steps = False
    optimizer: Transformation | None

    @override
    def init(self, problem: Problem, key: PRNGKey) -> PushState:
        initial = with_optimizer(start_models(problem, self.optimizer, key), optax.identity(), nodes_of(problem))
        return PushState(initial.x, _ones(problem), initial.opt_state)

    @override
    def step(self, problem: Problem, W: Mixing, state: PushState, round_: Round) -> tuple[PushState, Traffic]:
        links = round_.links(W, problem.n_shared)
        return _pushed(state, state.u, state.opt_state, links)


class SGP(PushMethod):
    """See :func:`sgp`."""

    optimizer: Transformation
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> PushState:
        initial = start(problem, self.optimizer, key)
        return PushState(initial.x, _ones(problem), initial.opt_state)

    @override
    def step(self, problem: Problem, W: Mixing, state: PushState, round_: Round) -> tuple[PushState, Traffic]:
        links = round_.links(W, problem.n_shared)
        current = TrainState(self.models(state), state.opt_state)
        u, opt_state = displacement(problem, self.optimizer, current, round_, self.local_steps)
        return _pushed(state, state.u + in_mass(problem, u, state.w), opt_state, links)


class PushDIGing(PushMethod):
    """See :func:`push_diging`."""

    memory = ("y", "g")
    optimizer: Transformation

    @override
    def init(self, problem: Problem, key: PRNGKey) -> PushTrackingState:
        initial = start(problem, self.optimizer, key)
        nothing = jnp.zeros_like(initial.x)
        return PushTrackingState(initial.x, _ones(problem), initial.opt_state, nothing, nothing)

    @override
    def step(
        self, problem: Problem, W: Mixing, state: PushTrackingState, round_: Round
    ) -> tuple[PushTrackingState, Traffic]:
        links, x = round_.links(W, problem.n_shared), self.models(state)
        g = fresh_gradient(problem, x, round_, state.g)
        y = links.mix(state.y, payload="tracker") + g - state.g
        u, opt_state = step_along(self.optimizer, y, x, state.opt_state, round_)
        mass = links.mix(state.u + in_mass(problem, u, state.w))
        new = PushTrackingState(mass, links.mix(state.w, payload="weight"), opt_state, y, g)
        return round_.keep_offline(new, state), links.sent(state.u, state.y, metadata=(state.w,))


@algorithm
def push_sum(problem: Problem, optimizer: Transformation | None, W: Mixing) -> Algorithm:
    """Average the initial models by push-sum, without learning.

    Args:
        problem: provides the initial models and measures them ("averaging" measures the distance to their mean).
        optimizer: any optax transformation, used only for the start steps of the problem; None if it has none.
        W: mixing that conserves mass: ``push_sum``.

    Raises:
        InputError: W is not push-sum mixing.
    """
    check_mass("push_sum", W)
    return Algorithm(PushSum(problem.n_shared, optimizer), problem, W, name="push_sum")


@algorithm
def sgp(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run stochastic gradient push: D-SGD on directed graphs, whose nodes need to know only their out-degrees.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: mixing that conserves mass: ``push_sum``.
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is not push-sum mixing.
    """
    steps = chosen_steps("sgp", problem, local_steps, local_epochs)
    check_mass("sgp", W)
    return Algorithm(SGP(problem.n_shared, optimizer, steps), problem, W, name="sgp")


@algorithm
def push_diging(problem: Problem, optimizer: Transformation, W: Mixing) -> Algorithm:
    """Run push-DIGing: gradient tracking on directed, time-varying graphs; no bias with heterogeneous data.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to the tracker instead of the gradient.
        W: mixing that conserves mass: ``push_sum``.

    Raises:
        InputError: W is not push-sum mixing.
    """
    check_mass("push_diging", W)
    return Algorithm(PushDIGing(problem.n_shared, optimizer), problem, W, name="push-DIGing", mixings=2)


def ratio(u: Rows, w: Float[Array, "n 1"], n_shared: int) -> Rows:
    """Return the models of masses u (n, p) and weights w (n, 1): u/w in shared columns, u itself in private ones."""
    divisor = w if n_shared == u.shape[1] else jnp.where(jnp.arange(u.shape[1]) < n_shared, w, 1)
    return u / divisor


def _ones(problem: Problem) -> Float[Array, "n 1"]:
    return jnp.ones((count_rows(problem.n_nodes), 1), accumulator(problem.dtype))


def _pushed(state: PushState, mass: Rows, opt_state: PyTree, links: Links) -> tuple[PushState, Traffic]:
    new = PushState(links.mix(mass), links.mix(state.w, payload="weight"), opt_state)
    return links.round.keep_offline(new, state), links.sent(mass, metadata=(state.w,))
