"""CHOCO-SGD: D-SGD with compressed messages, X (n, p), public copies X̂ (n, p), Q a compressor:

    X½ = X − η G(X),   X̂⁺ = X̂ + Q(X½ − X̂),   X⁺ = X½ + γ (W − I) X̂⁺,   X̂₀ = 0

Only Q(·) is sent; all receivers of a node hold the same copy of it. If its message is lost, a node does not enter the
receiver's mixing of this round; the copy is assumed to be brought up to date with the next message that arrives.

Koloskova, Stich and Jaggi 2019, "Decentralized stochastic optimization and gossip algorithms with compressed
communication", algorithm 2; with η = 0 it is CHOCO-gossip, algorithm 1.
"""

from typing import NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    check_agreement,
    check_share,
    displacement,
    start,
)
from jaxgossip.compression import Compressor
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Links, Round, Traffic


class ChocoState(NamedTuple):
    """State of CHOCO-SGD.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        public: (n, p) X̂, the copies of each node held by others; zero in private columns.
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
        initial = start(problem, self.optimizer, key)
        return ChocoState(*initial, jnp.zeros_like(initial.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: ChocoState, round_: Round) -> tuple[ChocoState, Traffic]:
        links = round_.links(W, problem.n_shared)
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        half = materialize(state.x + u)
        message = compressed(self.compressor, links.as_sent(half - state.public), problem.n_shared, round_)
        public = materialize(state.public + message)
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
    """Run CHOCO-SGD: D-SGD with any compressor, which converges like uncompressed D-SGD once γ is tuned.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: symmetric mixing, fixed or time-varying.
        compressor: Q, applied to the messages.
        consensus_rate: γ; smaller for stronger compression, 1 without compression.

    Raises:
        InputError: ``consensus_rate`` is outside (0, 1], or W is push-sum mixing.
    """
    check_share("choco", consensus_rate=consensus_rate)
    check_agreement("choco", W)

    method = CHOCO(optimizer, compressor, consensus_rate)
    return Algorithm(method, problem, W, name=f"CHOCO-SGD ({compressor.name})")


def compressed(compressor: Compressor, rows: Rows, n_shared: int, round_: Round, purpose: str = "compression") -> Rows:
    """Return (n, p): Q of the shared columns of ``rows`` (n, p), and zeros in the private ones; draws are by ``purpose``."""
    message = compressor(rows[:, :n_shared], round_.key(purpose), round_.nodes)
    return jnp.pad(message, ((0, 0), (0, rows.shape[1] - n_shared)))


def sent_compressed(compressor: Compressor, links: Links, problem: Problem, rows: int = 1) -> Traffic:
    """Return the traffic of one message per link, of so many compressed ``rows``."""
    size = compressor.size(problem.n_shared, problem.dtype)
    return links.sent_bytes(rows * size.data, rows * size.metadata)
