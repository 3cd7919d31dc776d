"""CHOCO-SGD: D-SGD whose messages are compressed, X (n, p), public copies X̂ (n, p), Q a compressor:

    X½ = X − η G(X),   X̂⁺ = X̂ + Q(X½ − X̂),   X⁺ = X½ + γ (W − I) X̂⁺,   X̂₀ = 0

Only Q(·) travels; everybody who hears a node holds the same copy of it. A message that is lost takes the node out of this
round's mixing; the copy is taken to be caught up with the next message that arrives.

Koloskova, Stich and Jaggi 2019, "Decentralized stochastic optimization and gossip algorithms with compressed
communication", algorithm 2; with η = 0 it is CHOCO-gossip, algorithm 1.
"""

from typing import NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, between, displacement, needs_agreement, once, start
from jaxgossip.compression import Compressor
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Links, Round, Traffic


class ChocoState(NamedTuple):
    """State of CHOCO-SGD.

    Attributes:
        x: (n, p) models.
        opt_state: the optimizer's state of each node.
        public: (n, p) X̂, what others know of each node; zero in private columns.
    """

    x: Rows
    opt_state: PyTree
    public: Rows


class CHOCO(Method):
    """See :func:`choco`."""

    optimizer: Transformation
    compressor: Compressor
    consensus_rate: float

    @override
    def init(self, problem: Problem, key: PRNGKey) -> ChocoState:
        begun = start(problem, self.optimizer, key)
        return ChocoState(*begun, jnp.zeros_like(begun.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: ChocoState, round_: Round) -> tuple[ChocoState, Traffic]:
        links = round_.links(W, problem.n_shared)
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        half = once(state.x + u)
        message = compressed(self.compressor, links.as_sent(half - state.public), problem.n_shared, round_)
        public = once(state.public + message)
        x = half + self.consensus_rate * (links.mix(public) - public)
        new = ChocoState(x, opt_state, public)
        return round_.keep_offline(new, state), sent_compressed(self.compressor, links, problem)


@algorithm
def choco(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    compressor: Compressor,
    *,
    consensus_rate: float = 0.2,
) -> Algorithm:
    """Run CHOCO-SGD: any compressor, and convergence as if nothing were compressed once it is tuned.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation, applied to each node by itself.
        W: mixing, fixed or time-varying, symmetric.
        compressor: Q, what travels.
        consensus_rate: γ, the smaller the more is compressed; 1 without compression.

    Raises:
        InputError: a consensus rate outside (0, 1], or W keeps mass instead of agreement.
    """
    between("consensus_rate", consensus_rate, 0, 1)
    needs_agreement("choco", W)

    method = CHOCO(optimizer, compressor, consensus_rate)
    return Algorithm(method, problem, W, name=f"CHOCO-SGD ({compressor.name})")


def compressed(compressor: Compressor, rows: Rows, n_shared: int, round_: Round) -> Rows:
    """Return Q of the shared columns of ``rows`` (n, p), and zeros in the private ones."""
    message = compressor(rows[:, :n_shared], round_.key("compression"), round_.nodes)
    return jnp.pad(message, ((0, 0), (0, rows.shape[1] - n_shared)))


def sent_compressed(compressor: Compressor, links: Links, problem: Problem) -> Traffic:
    """Return the traffic of one compressed row a link."""
    size = compressor.size(problem.n_shared, problem.dtype)
    return links.sent_bytes(size.data, size.metadata)
