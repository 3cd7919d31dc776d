"""DisPFL: sparse models of the nodes' own, X (n, p), each zero outside of its mask M (n, p) of 0 and 1, of fixed density:

    X½ = M ⊙ (W X) / (W M)   entry by entry;   X⁺ = M⁺ ⊙ (X½ + U)   U displacements by local steps under M

M⁺ drops in every layer the share (c/2) (1 + cos(π t/T)) of the weights of M that are smallest, and grows as many where the
gradient is steepest; from round T on masks stay. W with uniform weights gives the published mean over those who hold an entry.
Masks of ones are combine-then-adapt D-SGD. Means over nodes are kept only where masks agree. A message has the numbers that
its sender's mask holds, and the mask itself, a bit an entry, when it has changed or W has; one that is lost is assumed to come
with the next message.

Dai, Shen, He, Tian and Tao 2022, "DisPFL: Towards communication-efficient personalized federated learning via decentralized
sparse training", algorithm 1.
"""

from typing import NamedTuple, override

import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one, check_whole_rows
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    check_agreement,
    check_share,
    nodes_of,
    with_optimizer,
)
from jaxgossip.algorithms.local_steps import Batches, Steps, batches_of, chosen_steps
from jaxgossip.algorithms.personal.columns import descend_within
from jaxgossip.algorithms.personal.sparse import Layer, Masks, evolved, highest, layers_of
from jaxgossip.core import counting
from jaxgossip.core.devices.blocks import count_rows
from jaxgossip.core.devices.exchanges import node_max
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import NodeDraws, purpose_key, to_unit
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import NodeMask, PRNGKey, PyTree, Rows, accumulator, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem, start_steps_of
from jaxgossip.mixing import Mixing, Operator
from jaxgossip.network import Links, Round, Traffic, chosen


class DisPFLState(NamedTuple):
    """State of DisPFL.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        masks: (n, p) bool M.
        is_new: (n,) bool, whether the mask of a node has changed since it was sent.
    """

    x: Rows
    opt_state: PyTree
    masks: Masks
    is_new: NodeMask


class DisPFL(Method):
    """See :func:`dispfl`."""

    optimizer: Transformation
    layers: tuple[Layer, ...]
    share: float
    until: int
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> DisPFLState:
        draws = NodeDraws(problem.n_nodes, None if problem.order is None else problem.order.nodes)
        scores = to_unit(draws.bits(purpose_key(key, "masks"), (problem.n_params,)))
        masks = materialize(highest(scores, self.layers))
        first = with_optimizer(jnp.where(masks, problem.init(key), 0), self.optimizer, nodes_of(problem), key)
        batches = Batches(purpose_key(key, "start batch"), key, 0, start_steps_of(problem))
        begun = descend_within(masks, problem, self.optimizer, first, batches)
        return DisPFLState(*begun, masks, jnp.ones(count_rows(problem.n_nodes), bool))

    @override
    def step(self, problem: Problem, W: Mixing, state: DisPFLState, round_: Round) -> tuple[DisPFLState, Traffic]:
        links, masks = round_.links(W, problem.n_shared), state.masks
        mixed = TrainState(self._mean(links, state, problem.n_shared), state.opt_state)
        batches = batches_of(problem, round_, self.local_steps)
        trained = descend_within(masks, problem, self.optimizer, mixed, batches)
        grown = materialize(self._evolved(problem, masks, trained.x, batches, round_)) if self.share else masks
        learnt = DisPFLState(jnp.where(grown, trained.x, 0), trained.opt_state, grown, (grown != masks).any(axis=1))
        waits = DisPFLState(*mixed, masks, jnp.zeros_like(state.is_new))
        new = chosen(round_.works, learnt, waits)
        # Peers that are others in every round know nobody's mask.
        unknown = state.is_new if isinstance(W, Operator) else jnp.ones_like(state.is_new)
        return round_.keep_offline(new, state), self._sent(links, unknown, problem)

    def _evolved(self, problem: Problem, masks: Masks, x: Rows, batches: Batches, round_: Round) -> Masks:
        """Return the masks after the round, grown by the gradient of its first minibatch, which all nodes have."""
        gradient = problem.gradient(materialize(x), batches.draw(problem, 0))
        progress = jnp.minimum(round_.number, self.until) / self.until
        return evolved(masks, x, gradient, self.layers, self.share / 2 * (1 + jnp.cos(np.pi * progress)))

    def _mean(self, links: Links, state: DisPFLState, n_shared: int) -> Rows:
        """Return (n, p): the mean over those who hold an entry, where the node's own mask does, else zero."""
        if (aggregation := links.round.conditions.aggregation) is not None:
            raise InputError(
                f"aggregation '{aggregation.name}' does not go with dispfl, whose nodes hold different entries",
                hint="leave out the section [aggregation], or algorithm.kind = 'dsgd'",
            )
        held = state.masks[:, :n_shared].astype(accumulator(state.x.dtype))
        weight = links.operator.mix(materialize(held), links.faults)
        weight = jnp.pad(weight, ((0, 0), (0, state.x.shape[1] - n_shared)), constant_values=1)
        alive = state.masks & (weight > 0)
        return jnp.where(alive, widened(links.mix(state.x)) / jnp.where(alive, weight, 1), 0)

    def _sent(self, links: Links, unknown: NodeMask, problem: Problem) -> Traffic:
        """Return the traffic of a sparse row per link, to which those whose mask is ``unknown`` (n,) add the mask."""
        shared = [layer for layer in self.layers if layer.is_shared]
        data = sum(layer.kept for layer in shared) * jnp.dtype(problem.dtype).itemsize
        mask_size = -(-sum(layer.size for layer in shared if not layer.is_dense) // 8)
        rows, both = links.sent_bytes(data), links.sent_bytes(data, mask_size)
        if not mask_size:
            return rows
        with_mask = counting.total((links.operator.sent(links.faults) * unknown).astype(jnp.uint32))
        mask_bytes = counting.times(with_mask, mask_size)
        # Whoever waits for messages waits for the longest.
        longest = node_max(unknown.astype(jnp.int32)) > 0
        exchanges = both.only_if(longest).exchanges + rows.only_if(~longest).exchanges
        return Traffic(rows.messages, counting.add(rows.bytes_sent, mask_bytes), mask_bytes, exchanges)


@algorithm
def dispfl(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    density: float = 0.5,
    share: float = 0.5,
    until: int = 1000,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run DisPFL: every node trains a sparse model of its own, and averages the entries that neighbours hold too.

    Args:
        problem: the learning problem; the arrays of its model are the layers, whose densities differ (ERK).
        optimizer: any optax transformation, applied to each node separately, to the entries of its mask.
        W: mixing with weights that are not negative, fixed or time-varying; uniform weights as published.
        density: share of a model's parameters that its mask holds, the same in all rounds.
        share: c, of the ones of a mask that are dropped and grown anew at first.
        until: T, number of rounds after which masks stay.
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``density`` is outside (0, 1], ``share`` outside [0, 1], ``until`` below 1, the local steps or epochs cannot
            be taken (:func:`.chosen_steps`), masks change and gradients are private, or W is push-sum mixing or in fragments.
    """
    check_share("dispfl", density=density)
    if not 0 <= share <= 1:
        raise InputError(f"dispfl: share must be at least 0 and at most 1, not {share}")
    check_at_least_one("dispfl", until=until)
    steps = chosen_steps("dispfl", problem, local_steps, local_epochs)
    if share and getattr(problem, "privacy", None) is not None:
        raise InputError(
            "dispfl: masks that grow tell gradients whose noise is that of a step, which is then no protection",
            hint="share = 0, no [privacy], or another algorithm",
        )
    check_agreement("dispfl", W)
    check_whole_rows("dispfl", W)

    method = DisPFL(optimizer, layers_of(problem, density), share, until, steps)
    return Algorithm(method, problem, W, name="DisPFL", mixings=2)
