"""BEER and MoTEF: gradient tracking with compressed messages, X, V, M (n, p), public copies H of X and S of V, Q a compressor:

    H⁺ = H + Q(X − H),   S⁺ = S + Q(V − S)                  in one message of two compressed rows
    M⁺ = μ M + (1 − μ) G(X)
    V⁺ = V + γ (W − I) S⁺ + M⁺ − M                          Σ_i v_i = Σ_i m_i in every round, for any Q
    X⁺ = X + γ (W − I) H⁺ − η V⁺

with V, M, H and S zero at first. BEER has μ = 0, so M is the last gradient; MoTEF has momentum, its β being 1 − μ. Without
compression, BEER is DIGing with I − γ (I − W). The published loops send at the end of a round, which gives the same sequence
from other first copies, H₀ = S₀ = 0 where this has Q(X₀) and Q(V₀). V and M have to start equal: a difference of their means
would last for ever.

Only Q(·) is sent; all receivers of a node hold the same copies of it. If its message is lost, a node does not enter the
receiver's mixing of this round; the copies are assumed to be brought up to date with the next message that arrives.

BEER: Zhao, Li, Li, Richtárik and Chi 2022, "BEER: fast O(1/T) rate for decentralized nonconvex optimization with
communication compression", algorithm 1. MoTEF: Islamov, Gao and Stich 2024, "Near optimal decentralized optimization with
compression and momentum tracking", algorithm 1.
"""

from typing import NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm, check_below_one
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    check_agreement,
    check_share,
    fresh_gradient,
    start,
    step_along,
)
from jaxgossip.algorithms.compressed.choco import compressed, sent_compressed
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.compression import Compressor
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic, chosen


class BeerState(NamedTuple):
    """State of BEER and MoTEF.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        v: (n, p) V, trackers of the mean of M.
        m: (n, p) M, the momentum of each node; without momentum, its last gradient.
        public: (n, p) H, the copies of each node's model held by others; zero in private columns.
        public_v: (n, p) S, likewise of its tracker.
    """

    x: Rows
    opt_state: PyTree
    v: Rows
    m: Rows
    public: Rows
    public_v: Rows


class Beer(Method):
    """See :func:`beer` and :func:`motef`."""

    memory = ("v", "m", "public_v")

    optimizer: Transformation
    compressor: Compressor
    consensus_rate: float
    momentum: float

    @override
    def init(self, problem: Problem, key: PRNGKey) -> BeerState:
        initial = start(problem, self.optimizer, key)
        none, wide = jnp.zeros_like(initial.x), jnp.zeros_like(widened(initial.x))
        return BeerState(*initial, v=wide, m=wide, public=none, public_v=none)

    @override
    def step(self, problem: Problem, W: Mixing, state: BeerState, round_: Round) -> tuple[BeerState, Traffic]:
        links, shared = round_.links(W, problem.n_shared), problem.n_shared
        of_x = compressed(self.compressor, links.as_sent(state.x - state.public), shared, round_)
        change = links.as_sent(state.v - state.public_v)
        of_v = compressed(self.compressor, change, shared, round_, "compression of trackers")
        public, public_v = materialize((state.public + of_x, state.public_v + of_v))

        g = fresh_gradient(problem, state.x, round_, state.m)
        m = chosen(round_.works, self.momentum * state.m + (1 - self.momentum) * g, state.m)
        pull = self.consensus_rate * (links.mix(public_v, payload="tracker") - public_v)
        # Batch statistics take their own step, and are mixed as models.
        v = materialize(with_state_of(problem, state.v + pull + m - state.m, g))
        u, opt_state = step_along(self.optimizer, v, state.x, state.opt_state, round_)
        x = state.x + self.consensus_rate * (links.mix(public) - public) + u

        new = BeerState(x, opt_state, v, m, public, public_v)
        return round_.keep_offline(new, state), sent_compressed(self.compressor, links, problem, rows=2)


@algorithm
def beer(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    compressor: Compressor,
    *,
    consensus_rate: float = 0.2,
) -> Algorithm:
    """Run BEER: gradient tracking with any compressor, so without bias by heterogeneous data.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to the tracker instead of the gradient.
        W: doubly stochastic mixing, fixed or time-varying; the theory assumes symmetric fixed weights.
        compressor: Q, applied to the two rows of a message, with draws of its own for each; biased contractions will do.
        consensus_rate: γ; smaller for stronger compression, 1 without compression.

    Raises:
        InputError: ``consensus_rate`` is outside (0, 1], or W is push-sum mixing.
    """
    return _tracking("beer", "BEER", problem, optimizer, W, compressor, consensus_rate, 0.0)


@algorithm
def motef(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    compressor: Compressor,
    *,
    consensus_rate: float = 0.2,
    momentum: float = 0.9,
) -> Algorithm:
    """Run MoTEF: BEER that tracks the momentum of the nodes in the place of their gradients, which damps their noise.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to the tracker instead of the gradient.
        W: doubly stochastic mixing, fixed or time-varying; the theory assumes symmetric fixed weights.
        compressor: Q, applied to the two rows of a message, with draws of its own for each; biased contractions will do.
        consensus_rate: γ; smaller for stronger compression, 1 without compression.
        momentum: μ = 1 − β, the weight of the past in the mean of a node's gradients.

    Raises:
        InputError: ``consensus_rate`` is outside (0, 1], ``momentum`` is outside [0, 1), or W is push-sum mixing.
    """
    return _tracking("motef", "MoTEF", problem, optimizer, W, compressor, consensus_rate, momentum)


def _tracking(
    name: str,
    title: str,
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    compressor: Compressor,
    consensus_rate: float,
    momentum: float,
) -> Algorithm:
    check_share(name, consensus_rate=consensus_rate)
    check_below_one(name, momentum=momentum)
    check_agreement(name, W)

    method = Beer(optimizer, compressor, consensus_rate, momentum)
    return Algorithm(method, problem, W, name=f"{title} ({compressor.name})", mixings=2)
