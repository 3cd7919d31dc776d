"""LEAD and CEDAS: exact diffusion with compressed messages, X, D (n, p), public references H (n, p), Q a compressor:

    Y = X − η G(X) − η D,   Ŷ = H + Q(Y − H),   H⁺ = H + α Q(Y − H)
    D⁺ = D + γ (I − W) Ŷ/(2η),   X⁺ = Y − γ (I − W) Ŷ/2                   D₀ = H₀ = 0,  Σ_i d_i = 0 in every round

LEAD has D in units of gradients, so that it keeps its meaning where η changes; CEDAS has η D as a whole, a displacement, which
keeps its size. At a constant η they are one method. Without compression and with γ = 1 it is exact diffusion with (I + W)/2,
whatever α. Q has to be unbiased, as ``qsgd(rescale=False)`` and ``random_k(rescale=True)`` are; where its variance is
E‖Q(x) − x‖² ≤ ω ‖x‖², α has to be at most 1/(1 + ω).

Only Q(·) is sent; all receivers of a node hold the same reference of it. If its message is lost, a node does not enter the
receiver's mixing of this round; the reference is assumed to be brought up to date with the next message that arrives.

LEAD: Liu, Li, Wang, Tang and Yan 2021, "Linear convergent decentralized optimization with compression", algorithm 1. CEDAS:
Huang and Pu 2023, "CEDAS: a compressed decentralized stochastic gradient method with improved convergence", algorithm 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    check_agreement,
    check_rate,
    check_share,
    displacement,
    start,
)
from jaxgossip.algorithms.compressed.choco import compressed, sent_compressed
from jaxgossip.compression import Compressor
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class LeadState(NamedTuple):
    """State of LEAD and CEDAS.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        d: (n, p) D, what is taken from every step; zero in private columns.
        public: (n, p) H, the references of each node held by others; zero in private columns.
    """

    x: Rows
    opt_state: PyTree
    d: Rows
    public: Rows


class Lead(Method):
    """See :func:`lead` and :func:`cedas`."""

    memory = ("d",)

    optimizer: Transformation
    compressor: Compressor
    consensus_rate: float
    memory_rate: float
    base_rate: float | Callable[[Any], Any]

    @override
    def init(self, problem: Problem, key: PRNGKey) -> LeadState:
        initial = start(problem, self.optimizer, key)
        return LeadState(*initial, d=jnp.zeros_like(widened(initial.x)), public=jnp.zeros_like(initial.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: LeadState, round_: Round) -> tuple[LeadState, Traffic]:
        links = round_.links(W, problem.n_shared)
        rate = self.base_rate(round_.number) if callable(self.base_rate) else self.base_rate
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        y = materialize(state.x + u - rate * state.d)
        message = materialize(compressed(self.compressor, links.as_sent(y - state.public), problem.n_shared, round_))
        received = materialize(state.public + message)
        push = materialize(self.consensus_rate / 2 * (received - links.mix(received)))
        new = LeadState(y - push, opt_state, state.d + push / rate, state.public + self.memory_rate * message)
        return round_.keep_offline(new, state), sent_compressed(self.compressor, links, problem)


@algorithm
def lead(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    compressor: Compressor,
    *,
    consensus_rate: float = 0.5,
    memory_rate: float = 0.5,
    base_rate: float | Callable[[Any], Any] = 1.0,
) -> Algorithm:
    """Run LEAD: exact diffusion with unbiased compression, so without bias by heterogeneous data.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: symmetric mixing, fixed or time-varying; the theory assumes fixed weights.
        compressor: Q, applied to the messages; the theory assumes an unbiased one, which is not checked.
        consensus_rate: γ; smaller for stronger compression, 1 without compression.
        memory_rate: α, by how much of a message the references follow; at most 1/(1 + ω) for a compressor of variance ω.
        base_rate: η, the unit of D: the optimizer's learning rate, a number or a function of the round. Only its changes
            matter.

    Raises:
        InputError: ``consensus_rate`` or ``memory_rate`` is outside (0, 1], ``base_rate`` is not positive, or W is push-sum
            mixing.
    """
    check_rate("lead", base_rate=base_rate)
    return _diffusion("lead", problem, optimizer, W, compressor, consensus_rate, memory_rate, base_rate)


@algorithm
def cedas(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    compressor: Compressor,
    *,
    consensus_rate: float = 0.5,
    memory_rate: float = 0.5,
) -> Algorithm:
    """Run CEDAS: LEAD whose corrections are displacements, and keep their size where learning rates change.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: symmetric mixing, fixed or time-varying; the theory assumes fixed weights.
        compressor: Q, applied to the messages; the theory assumes an unbiased one, which is not checked.
        consensus_rate: γ; smaller for stronger compression, 1 without compression.
        memory_rate: α, by how much of a message the references follow; at most 1/(1 + ω) for a compressor of variance ω.

    Raises:
        InputError: ``consensus_rate`` or ``memory_rate`` is outside (0, 1], or W is push-sum mixing.
    """
    return _diffusion("cedas", problem, optimizer, W, compressor, consensus_rate, memory_rate, 1.0)


def _diffusion(
    name: str,
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    compressor: Compressor,
    consensus_rate: float,
    memory_rate: float,
    base_rate: float | Callable[[Any], Any],
) -> Algorithm:
    check_share(name, consensus_rate=consensus_rate, memory_rate=memory_rate)
    check_agreement(name, W)

    method = Lead(optimizer, compressor, consensus_rate, memory_rate, base_rate)
    return Algorithm(method, problem, W, name=f"{name.upper()} ({compressor.name})")
