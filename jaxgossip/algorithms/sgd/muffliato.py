"""Muffliato: noise on each model, then accelerated gossip that averages it away, X (n, p), K mixings per round:

    X_0 = X − η clip(G(X), c) + σ ξ,   ξ ~ N(0, I),   X_1 = W X_0,   X_{k+1} = ω W X_k + (1 − ω) X_{k−1},   X⁺ = X_K

Distant nodes learn little about each other, see :func:`jaxgossip.network.privacy.pairwise_privacy`. Clipping is done by the
optimizer (optax.clip_by_global_norm), or per sample by the privacy of the problem. On a problem without gradients
("averaging"), one round is Muffliato for averaging.

Cyffers, Even, Bellet and Massoulié 2022, "Muffliato: peer-to-peer privacy amplification for decentralized optimization
and averaging"; K = ⌈ln((n/σ²) max(¼, σ²))/√gap⌉ as in the authors' code, where the gap is 1 − λ₂ and ω has (1 + λ₂)/2 in
place of ρ.
"""

import math
from typing import override

import jax
import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, descend, fixed_operator, start
from jaxgossip.algorithms.consensus.averaging import register_weight
from jaxgossip.algorithms.model_state import check_state_stays
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, Rows, accumulator, narrowed
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.mixing.optimized.extremes import extreme_eigenvalues
from jaxgossip.network import Round, Traffic


class Muffliato(Method):
    """See :func:`muffliato`."""

    optimizer: Transformation
    noise: float
    steps: int
    omega: float

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        return start(problem, self.optimizer, key)

    @override
    def step(self, problem: Problem, W: Mixing, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        shared, omega = jnp.arange(state.x.shape[1]) < problem.n_shared, self.omega
        learnt = descend(problem, self.optimizer, state, round_)
        drawn = round_.normal("privacy noise", state.x.shape, accumulator(state.x.dtype))
        x0 = narrowed(learnt.x + jnp.where(shared, self.noise * drawn, 0), state.x)

        def gossip(k: jax.Array, carried: tuple[Rows, Rows]) -> tuple[Rows, Rows]:
            x, last = carried
            links = round_.links(W, problem.n_shared, exchange=k)
            mixed = links.mix(x)
            after = jnp.where((k == 0) | ~shared, mixed, omega * mixed + (1 - omega) * last)
            return after, x

        # Unrolled by two, so that each of the two arrays is updated in place; single steps would swap and copy them.
        x, _ = jax.lax.fori_loop(0, self.steps, gossip, (x0, x0), unroll=2)
        traffic = round_.links(W, problem.n_shared).sent(x, repeats=self.steps)
        return round_.keep_offline(TrainState(x, learnt.opt_state), state), traffic


@algorithm
def muffliato(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    noise: float = 0.1,
    gossip_steps: int = 0,
) -> Algorithm:
    """Run Muffliato: every round, add noise to all models, then average them by accelerated gossip.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: symmetric mixing, the same in every round.
        noise: σ, standard deviation of the noise that each node adds to every parameter.
        gossip_steps: K, mixings per round; 0 for as many as reduce the error to about that of the mean.

    Raises:
        InputError: ``noise`` is not positive, ``gossip_steps`` is negative, W is time-varying or not symmetric, or
            models have batch statistics that are mixed.
    """
    if noise <= 0 or gossip_steps < 0:
        raise InputError(f"muffliato needs noise > 0 and gossip_steps ≥ 0, not {noise} and {gossip_steps}")
    check_state_stays("muffliato", problem, "every parameter gets noise, and a variance with noise may be negative")
    rho = max(map(abs, extreme_eigenvalues(fixed_operator("muffliato", W))))
    omega = register_weight(rho)
    steps = gossip_steps or muffliato_steps(problem.n_nodes, noise, 1 - rho)
    return Algorithm(Muffliato(optimizer, noise, steps, omega), problem, W, name="Muffliato", mixings=steps)


def muffliato_steps(n_nodes: int, noise: float, gap: float) -> int:
    """Return K = max(1, ⌈ln((n/σ²) max(¼, σ²))/√gap⌉): then the error is at most three times that of the mean."""
    return max(1, math.ceil(math.log(n_nodes / noise**2 * max(0.25, noise**2)) / math.sqrt(max(gap, 1e-12))))
