"""SPARTA, sparse parameter averaging, X (n, p), U displacements by local steps, a mask of k of p columns for all nodes:

    Y = X + U,   X⁺ = W Y in the columns of the mask,   X⁺ = Y in all others

The mask is drawn anew in every round ("random"), or goes through disjoint chunks of shuffled columns ("chunks"), so that every
column is mixed once in ⌈p/k⌉ rounds. It follows from the seed: no indices travel. Chunks are, on isotropic quadratics, local
SGD of ⌈p/k⌉ steps whose columns are mixed at different times, and leave less disagreement than random masks.

Beton, Haas, Blagoev, Malmqvist and Gupta 2025, "Improving the efficiency of distributed training using sparse parameter
averaging", with W = 11ᵀ/n.
"""

from typing import Literal, override

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms.arguments import algorithm, check_whole_rows
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, check_share, descend, start
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.core.random import purpose_key
from jaxgossip.core.typing import PRNGKey
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class SPARTA(Method):
    """See :func:`sparta`."""

    optimizer: Transformation
    fraction: float
    selection: Literal["random", "chunks"]
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        return start(problem, self.optimizer, key)

    @override
    def step(self, problem: Problem, W: Mixing, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        links, s = round_.links(W, problem.n_shared), problem.n_shared
        adapted = descend(problem, self.optimizer, state, round_, self.local_steps)
        k = max(1, round(self.fraction * s))
        mixed = jnp.where(self._mask(problem, round_, k), links.mix(adapted.x), adapted.x)
        traffic = links.sent_bytes(k * np.dtype(problem.dtype).itemsize)
        return round_.keep_offline(adapted._replace(x=mixed), state), traffic

    def _mask(self, problem: Problem, round_: Round, k: int) -> jax.Array:
        """Return (p,) bool: the columns that are mixed in this round, k of the s shared ones."""
        s = problem.n_shared
        if self.selection == "random":
            rank = jax.random.permutation(round_.key("columns"), s)
            chosen = rank < k
        else:
            rank, turns = jax.random.permutation(purpose_key(round_.run_key, "columns"), s), -(-s // k)
            # The last chunk is filled up with columns of the first, so that every round sends as much.
            chosen = (rank - k * (round_.number % turns)) % s < k
        return jnp.pad(chosen, (0, problem.n_params - s))


@algorithm
def sparta(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    fraction: float = 0.005,
    selection: Literal["random", "chunks"] = "random",
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run SPARTA: a small part of the parameters is mixed after every step, the same on all nodes.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: mixing, fixed or time-varying; as published, equal weights on the complete graph.
        fraction: ρ, fraction of the shared columns that travel in a round; at least one does.
        selection: which columns: drawn anew in every round, or disjoint chunks in turn.
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``fraction`` is outside (0, 1], the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is
            push-sum mixing or in fragments.
    """
    check_share("sparta", fraction=fraction)
    steps = chosen_steps("sparta", problem, local_steps, local_epochs)
    check_agreement("sparta", W)
    check_whole_rows("sparta", W)

    return Algorithm(SPARTA(optimizer, fraction, selection, steps), problem, W, name=f"SPARTA ({selection})")
