"""Gossip learning in rounds: nodes merge the models of peers, and learn on their own data.

With the links W of a round, models X (n, p), ages t (n,) in updates, and reliabilities r (n,) of the senders:

    merge(X)_i = Σ_j W_ij r_j x_j / Σ_j W_ij r_j,        t_i ← max of the merged ages

    models, merge then update     X½ = merge(X),              X⁺ = X½ + learn(X½)
    models, update then merge     X½ = X + learn(X),          X⁺ = merge(X½)
    last updates travel           X⁺ = X + merge(Δ),          Δ = learn(X)
    gradients travel              X⁺ = X + optimizer(merge(G(X)))

Merge then update is MU of Ormándi, Hegedűs and Jelasity 2013, "Gossip learning with linear models on fully distributed
data", with the node's own model instead of the last one received. Weighting by age: Hegedűs, Danner and Jelasity 2021,
"Decentralized learning works: an empirical comparison of gossip learning and federated learning", algorithm 2. Learning
rates depend on the age of the model, which is sent and merged with it: a Pegasos step is 1/(λ t). Exchanging updates or
gradients does not contract disagreement: nodes that start from different models stay apart.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, override

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    apply,
    check_agreement,
    descend,
    fresh_gradient,
    start,
)
from jaxgossip.algorithms.local_steps import Epochs, Steps, chosen_steps, steps_of_nodes
from jaxgossip.core.arguments import reals
from jaxgossip.core.devices.blocks import count_rows
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import NodeFloats, NodeInts, PRNGKey, PyTree, Rows, accumulator
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.optimizers.counts import at_age
from jaxgossip.learning.problem import Problem, start_steps_of
from jaxgossip.mixing import Mixing
from jaxgossip.network import Links, Round, Traffic


class GossipState(NamedTuple):
    """State of gossip learning.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        age: (n,) int32, number of updates of each model.
    """

    x: Rows
    opt_state: PyTree
    age: NodeInts


class Gossip(Method):
    """See :func:`gossip`."""

    counts: ClassVar[tuple[str, ...]] = ("steps", "rounds", "age")
    per_node: ClassVar[tuple[str, ...]] = ("scores",)

    optimizer: Transformation
    payload: Literal["model", "update", "gradient"]
    order: Literal["merge_update", "update_merge"] | None
    weighting: Literal["uniform", "age", "samples"]
    local_steps: Steps
    scores: NodeFloats | None

    @override
    def init(self, problem: Problem, key: PRNGKey) -> GossipState:
        return GossipState(
            *start(problem, self.optimizer, key),
            jnp.full(count_rows(problem.n_nodes), start_steps_of(problem), jnp.int32),
        )

    @override
    def step(self, problem: Problem, W: Mixing, state: GossipState, round_: Round) -> tuple[GossipState, Traffic]:
        links = round_.links(W, problem.n_shared)
        if self.payload == "model" and self.order == "update_merge":
            new = self._merge(problem, self._learn(problem, state, round_), links)
        elif self.payload == "model":
            new = self._learn(problem, self._merge(problem, state, links), round_)
        elif self.payload == "update":
            learnt = self._learn(problem, state, round_)
            new = learnt._replace(
                x=state.x + links.mix(learnt.x - state.x, self._reliability(problem, learnt.age), payload="update")
            )
        else:
            gradient = fresh_gradient(problem, state.x, round_, jnp.zeros_like(state.x))
            heard = links.mix(gradient, self._reliability(problem, state.age), payload="gradient")
            x, opt_state = apply(self.optimizer, heard, TrainState(state.x, at_age(state.opt_state, state.age)))
            new = GossipState(x, opt_state, state.age + 1)
        metadata = (state.age,) if self.payload == "model" or self.weighting == "age" else ()
        return round_.keep_offline(new, state), links.sent(state.x, metadata=metadata)

    def _learn(self, problem: Problem, state: GossipState, round_: Round) -> GossipState:
        opt_state = at_age(state.opt_state, state.age)
        x, opt_state = descend(problem, self.optimizer, TrainState(state.x, opt_state), round_, self.local_steps)
        age = state.age + steps_of_nodes(problem, self.local_steps)
        return GossipState(x, opt_state, age if round_.works is None else jnp.where(round_.works, age, state.age))

    def _reliability(self, problem: Problem, age: NodeInts) -> NodeFloats | None:
        if self.scores is not None:
            return self.scores
        if self.weighting == "samples":
            return jnp.asarray(problem.sample_counts)
        # Untrained models have almost no weight, yet two of them still merge evenly.
        return jnp.maximum(jnp.asarray(age, accumulator(problem.dtype)), 1e-6) if self.weighting == "age" else None

    def _merge(self, problem: Problem, state: GossipState, links: Links) -> GossipState:
        return state._replace(x=links.mix(state.x, self._reliability(problem, state.age)), age=links.maximum(state.age))


@algorithm
def gossip(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    payload: Literal["model", "update", "gradient"] = "model",
    order: Literal["merge_update", "update_merge"] | None = None,
    weighting: Literal["uniform", "age", "samples"] = "uniform",
    local_steps: int | None = None,
    local_epochs: int | None = None,
    scores: Sequence[float] | Float[np.ndarray | Array, " n"] | None = None,
) -> Algorithm:
    """Run gossip learning: every round, merge the models of peers and learn locally.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: mixing with nonnegative weights; usually random, by matching, push or pull.
        payload: what nodes send: the model, its latest update, or the gradient.
        order: merge before or after the local update; only for models, merge_update by default.
        weighting: reliability of a sender in merging: uniform, its age, or its number of samples.
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.
        scores: (n,) positive reliabilities, one per node, instead of ``weighting``. Like the numbers of samples, they are
            assumed to be known to all nodes: only ages are sent and cost bytes.

    Raises:
        InputError: options exclude each other, the local steps or epochs cannot be taken (:func:`.chosen_steps`), ``scores``
            are not n positive numbers, W is push-sum mixing, or reliabilities are used with negative weights.
    """
    steps = chosen_steps("gossip", problem, local_steps, local_epochs)
    check_agreement("gossip", W)
    _check(payload, order, weighting, steps, scores)
    own_scores = None if scores is None else _checked_scores(scores, problem)
    if own_scores is not None and problem.order is not None:
        own_scores = own_scores[problem.order.nodes]

    if (own_scores is not None or weighting != "uniform") and (np.asarray(getattr(W, "self_weight", 0)) < 0).any():
        raise InputError(
            "reliabilities need weights that are not negative, and W has some",
            hint="mixing.weights = 'metropolis_hastings', or weighting = 'uniform' without scores",
        )

    method = Gossip(optimizer, payload, order, weighting, steps, own_scores)
    return Algorithm(method, problem, W, name="gossip learning")


def _check(payload: str, order: str | None, weighting: str, steps: Steps, scores: Any) -> None:
    if payload != "model" and order is not None:
        raise InputError(
            f"order = '{order}' applies to payload = 'model' only, not to '{payload}'",
            hint="an update or a gradient is always computed before it is sent: leave order out",
        )
    if payload == "gradient" and steps != 1:
        taken = f"local_epochs = {steps.number}" if isinstance(steps, Epochs) else f"local_steps = {steps}"
        raise InputError(
            f"{taken} with payload = 'gradient': one gradient travels a round",
            hint="set local_steps = 1, or send updates",
        )
    if scores is not None and weighting != "uniform":
        raise InputError(f"gossip: scores and weighting = '{weighting}' exclude each other", hint="give one of them")


def _checked_scores(scores: Any, problem: Problem) -> NodeFloats:
    """Return the scores of the nodes as an array; raise InputError unless they are one positive number a node."""
    n_nodes = problem.n_nodes
    values = jnp.asarray(reals("gossip", "scores", scores), accumulator(problem.dtype))
    if values.shape != (n_nodes,) or not bool(((values > 0) & (values < jnp.inf)).all()):
        given = f"{values.size} numbers" if values.shape != (n_nodes,) else "numbers that are not all above 0"
        raise InputError(
            f"gossip: scores must be {n_nodes} positive numbers, not {given}",
            hint="algorithm.scores (in Python: scores) has one a node; weighting = 'samples' counts theirs in its place",
        )
    return values
