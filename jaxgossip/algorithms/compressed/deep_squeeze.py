"""DeepSqueeze: D-SGD with error-compensated compression, X, memory E (n, p), Q a compressor:

    X½ = X − η G(X),   V = X½ + E,   M = Q(V),   E⁺ = V − M,   X⁺ = X½ + γ (W − I) M,   E₀ = 0

Tang, Lian, Qiu, Yuan, Zhang, Zhang and Liu 2019, "DeepSqueeze: decentralization meets error-compensated compression",
algorithm 1. Unlike CHOCO, it keeps no copies of the neighbours.
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
from jaxgossip.algorithms.compressed.choco import sent_compressed
from jaxgossip.compression import Compressor, empty_memory, feedback
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class SqueezeState(NamedTuple):
    """State of DeepSqueeze.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        memory: (n, s) E, the accumulated compression error of the s shared columns.
    """

    x: Rows
    opt_state: PyTree
    memory: Rows


class DeepSqueeze(Method):
    """See :func:`deep_squeeze`."""

    optimizer: Transformation
    compressor: Compressor
    consensus_rate: float

    @override
    def init(self, problem: Problem, key: PRNGKey) -> SqueezeState:
        initial = start(problem, self.optimizer, key)
        return SqueezeState(*initial, empty_memory(initial.x[:, : problem.n_shared]))

    @override
    def step(self, problem: Problem, W: Mixing, state: SqueezeState, round_: Round) -> tuple[SqueezeState, Traffic]:
        links, shared = round_.links(W), problem.n_shared
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        half = links.as_sent(state.x + u)
        message, memory = materialize(
            feedback(self.compressor, half[:, :shared], state.memory, round_.key("compression"), round_.nodes)
        )
        pull = self.consensus_rate * (links.mix(message) - message)
        x = half + jnp.pad(pull, ((0, 0), (0, half.shape[1] - shared)))
        new = SqueezeState(x, opt_state, memory)
        return round_.keep_offline(new, state), sent_compressed(self.compressor, links, problem)


@algorithm
def deep_squeeze(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    compressor: Compressor,
    *,
    consensus_rate: float = 0.2,
) -> Algorithm:
    """Run DeepSqueeze: D-SGD whose models are sent compressed, with error feedback.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: symmetric mixing, fixed or time-varying.
        compressor: Q, applied to the messages.
        consensus_rate: γ; smaller for stronger compression, 1 without compression.

    Raises:
        InputError: ``consensus_rate`` is outside (0, 1], or W is push-sum mixing.
    """
    check_share("deep_squeeze", consensus_rate=consensus_rate)
    check_agreement("deep_squeeze", W)

    method = DeepSqueeze(optimizer, compressor, consensus_rate)
    return Algorithm(method, problem, W, name=f"DeepSqueeze ({compressor.name})")
