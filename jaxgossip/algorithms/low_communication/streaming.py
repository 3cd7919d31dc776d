"""Streaming DiLoCo, K fragments of the columns, each with an outer gradient of its own, X, G, M, D (n, p):

    at the end of a round in which a fragment is sent, in its columns     D = G − W X
    τ rounds later, there                                                 M⁺ = μ M + D,   G⁺ = G − α (D + μ M⁺)
                                                                          X⁺ = m X + (1 − m) G⁺

G is the last outer model of a node, which DiLoCo calls global. Every fragment is sent once in H rounds, at times as far from
each other as can be, so that the most that travels at a time is a K-th of a model; while it travels, τ rounds, nodes go on
training. With one fragment, τ = 0 and m = 0 it is :func:`.outer_gossip` with Nesterov's momentum over H local steps. As
published, W = 11ᵀ/n, and outer gradients are numbers of four bits, which are not imitated here.

Douillard et al. 2025, "Streaming DiLoCo with overlapping communication: towards a distributed free lunch", algorithm 2.
"""

from typing import NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms.arguments import (
    algorithm,
    check_at_least_one,
    check_below_one,
    check_positive,
    check_whole_rows,
)
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, descend, start
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.errors import InputError
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Links, Round, Traffic


class StreamState(NamedTuple):
    """State of streaming DiLoCo.

    Attributes:
        x: (n, p) models.
        opt_state: state of each node's inner optimizer.
        outer: (n, p) G, the outer models.
        m: (n, p) M, the outer momentum.
        d: (n, p) D, the outer gradients that travel.
    """

    x: Rows
    opt_state: PyTree
    outer: Rows
    m: Rows
    d: Rows


class StreamingDiLoCo(Method):
    """See :func:`streaming_diloco`."""

    memory = ("m",)

    optimizer: Transformation
    every: int
    fragments: int
    delay: int
    blend: float
    outer_rate: float
    momentum: float
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> StreamState:
        initial = start(problem, self.optimizer, key)
        wide = widened(initial.x)
        return StreamState(*initial, wide, jnp.zeros_like(wide), jnp.zeros_like(wide))

    @override
    def step(self, problem: Problem, W: Mixing, state: StreamState, round_: Round) -> tuple[StreamState, Traffic]:
        links, s = round_.links(W, problem.n_shared), problem.n_shared
        trained = TrainState(state.x, state.opt_state)
        adapted = descend(problem, self.optimizer, trained, round_, self.local_steps)
        x, leaves, lands = widened(adapted.x), *(self._now(round_.number - late) for late in (0, self.delay))
        fragment = np.minimum(np.arange(problem.n_params) * self.fragments // max(1, s), self.fragments - 1)
        shared = np.arange(problem.n_params) < s

        def left() -> Rows:
            return jnp.where(shared & leaves[fragment], state.outer - widened(links.mix(adapted.x)), state.d)

        d = materialize(jax.lax.cond(leaves.any(), left, lambda: state.d))
        m = self.momentum * state.m + d
        # State that no gradient moves is that of the mixed models, as it was when it left.
        outer = with_state_of(problem, state.outer - self.outer_rate * (d + self.momentum * m), state.outer - d)
        landed = shared & lands[fragment]
        blended = self.blend * x + (1 - self.blend) * outer
        new = StreamState(
            jnp.where(landed, blended, x), adapted.opt_state, jnp.where(landed, outer, state.outer),
            jnp.where(landed, m, state.m), d,
        )  # fmt: skip
        return round_.keep_offline(new, state), self._sent(problem, links, leaves, fragment[:s])

    def _now(self, number: jax.Array) -> jax.Array:
        """Return (K,) bool: whether each fragment is sent at the end of round ``number``."""
        offsets = np.arange(self.fragments) * self.every // self.fragments
        return ((number + 1 - offsets) % self.every == 0) & (number >= 0)

    def _sent(self, problem: Problem, links: Links, leaves: jax.Array, fragment: np.ndarray) -> Traffic:
        """Return the traffic of the fragments that leave in this round."""
        traffic, size = Traffic.none(), np.dtype(problem.dtype).itemsize
        for number, columns in enumerate(np.bincount(fragment, minlength=self.fragments)):
            traffic += links.sent_bytes(int(columns) * size).only_if(leaves[number])
        return traffic


@algorithm
def streaming_diloco(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    every: int = 10,
    fragments: int | None = None,
    delay: int = 0,
    blend: float = 0.0,
    outer_rate: float = 0.7,
    momentum: float = 0.9,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run DiLoCo over gossip whose models are sent in fragments, one after the other, while nodes go on training.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the local steps; its state stays on the node and is kept between rounds.
        W: mixing, fixed or time-varying; as published, equal weights on the complete graph.
        every: H, rounds from one sending of a fragment to the next.
        fragments: K, number of fragments, at most ``every`` and the number of shared columns; 4 if left out, or as many as fit.
        delay: τ, rounds that a fragment travels, below ``every``.
        blend: m, share of the node's own model that is kept when a fragment arrives.
        outer_rate: α, learning rate of the outer steps.
        momentum: μ, Nesterov's momentum of the outer steps.
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: a number is out of its range, the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is
            push-sum mixing or in fragments.
    """
    fragments = max(1, min(4, every, problem.n_shared)) if fragments is None else fragments
    check_at_least_one("streaming_diloco", every=every, fragments=fragments)
    if fragments > min(every, problem.n_shared):
        raise InputError(
            f"streaming_diloco: {fragments} fragments need as many rounds and shared columns, and there are {every} and "
            f"{problem.n_shared}",
            hint=f"fragments = {min(every, problem.n_shared)} or less",
        )
    if not 0 <= delay < every:
        raise InputError(f"streaming_diloco: delay must be at least 0 and below every = {every}, not {delay}")
    check_below_one("streaming_diloco", blend=blend, momentum=momentum)
    check_positive("streaming_diloco", outer_rate=outer_rate)
    steps = chosen_steps("streaming_diloco", problem, local_steps, local_epochs)
    check_agreement("streaming_diloco", W)
    check_whole_rows("streaming_diloco", W)

    method = StreamingDiLoCo(optimizer, every, fragments, delay, blend, outer_rate, momentum, steps)
    return Algorithm(method, problem, W, name="Streaming DiLoCo")
