"""Gossip learning in rounds: nodes meet peers, merge what they hear, and learn on their own data.

With this round's links W, models X (n, p), ages t (n,) = updates behind a model, reliabilities r (n,) of the senders:

    merge(X)_i = Σ_j W_ij r_j x_j / Σ_j W_ij r_j,        t_i ← max of the ages that met

    models, merge then update     X½ = merge(X),              X⁺ = X½ + learn(X½)
    models, update then merge     X½ = X + learn(X),          X⁺ = merge(X½)
    last updates travel           X⁺ = X + merge(Δ),          Δ = learn(X)
    gradients travel              X⁺ = X + optimizer(merge(G(X)))

Merging then updating is MU of Ormándi, Hegedűs and Jelasity 2013, "Gossip learning with linear models on fully
distributed data", with the node's own model in the place of the last one received. Weighing by age: Hegedűs, Danner and
Jelasity 2021, "Decentralized learning works: an empirical comparison of gossip learning and federated learning",
algorithm 2. Learning-rate schedules run on the age of the model, which travels and merges with it: a Pegasos step is
1/(λ t). Updates and gradients do not contract disagreement: nodes that start apart stay apart.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    apply,
    at_least_one,
    descend,
    fresh_gradient,
    needs_agreement,
    start,
)
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import NodeFloats, NodeInts, PRNGKey, PyTree, Rows, accumulator
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem, start_steps_of
from jaxgossip.mixing import Mixing
from jaxgossip.network import Links, Round, Traffic


class GossipState(NamedTuple):
    """State of gossip learning.

    Attributes:
        x: (n, p) models.
        opt_state: the optimizer's state of each node.
        age: (n,) int32, updates behind each model.
    """

    x: Rows
    opt_state: PyTree
    age: NodeInts


class Gossip(Method):
    """See :func:`gossip`."""

    optimizer: Transformation
    payload: Literal["model", "update", "gradient"]
    order: Literal["merge_update", "update_merge"] | None
    weighting: Literal["uniform", "age", "samples"]
    local_steps: int
    scores: NodeFloats | None

    @override
    def init(self, problem: Problem, key: PRNGKey) -> GossipState:
        return GossipState(
            *start(problem, self.optimizer, key), jnp.full(problem.n_nodes, start_steps_of(problem), jnp.int32)
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
            new = learnt._replace(x=state.x + links.mix(learnt.x - state.x, self._reliability(problem, learnt.age)))
        else:
            gradient = fresh_gradient(problem, state.x, round_, jnp.zeros_like(state.x))
            heard = links.mix(gradient, self._reliability(problem, state.age))
            x, opt_state = apply(self.optimizer, heard, TrainState(state.x, with_age(state.opt_state, state.age)))
            new = GossipState(x, opt_state, state.age + 1)
        about = (state.age,) if self.payload == "model" or self.weighting == "age" else ()
        return round_.keep_offline(new, state), links.sent(state.x, metadata=about)

    def _learn(self, problem: Problem, state: GossipState, round_: Round) -> GossipState:
        opt_state = with_age(state.opt_state, state.age)
        x, opt_state = descend(problem, self.optimizer, TrainState(state.x, opt_state), round_, self.local_steps)
        grown = state.age + self.local_steps
        return GossipState(x, opt_state, grown if round_.works is None else jnp.where(round_.works, grown, state.age))

    def _reliability(self, problem: Problem, age: NodeInts) -> NodeFloats | None:
        if self.scores is not None:
            return self.scores
        if self.weighting == "samples":
            return jnp.asarray(problem.sample_counts)
        # A model that never learnt counts next to nothing, yet two of them still merge evenly.
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
    local_steps: int = 1,
    scores: Sequence[float] | Float[np.ndarray | Array, " n"] | None = None,
) -> Algorithm:
    """Run gossip learning: merge the models of the peers met, learn locally, every round.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation, applied to each node by itself.
        W: who meets whom and with which weights; usually random: a matching, pushes or pulls.
        payload: what travels: the model, the update just made to it, or the gradient.
        order: merge before or after the local update; for models only, there merge_update if not given.
        weighting: reliability of a sender in merging: all alike, by age, or by its number of samples.
        local_steps: optimizer steps a round on each node.
        scores: n positive reliabilities of your own, one a node, in place of ``weighting``.
            Like the numbers of samples, they are taken as known to all beforehand: only ages travel and cost bytes.

    Raises:
        InputError: options that exclude each other, or scores that are not n positive numbers.
    """
    at_least_one("local_steps", local_steps)
    needs_agreement("gossip", W)
    own_scores = None if scores is None else jnp.asarray(scores, accumulator(problem.dtype))
    _check(problem.n_nodes, payload, order, weighting, local_steps, own_scores)
    if own_scores is not None and problem.order is not None:
        own_scores = own_scores[problem.order.nodes]

    if (own_scores is not None or weighting != "uniform") and (np.asarray(getattr(W, "self_weight", 0)) < 0).any():
        raise InputError(
            "reliabilities need weights that are not negative, and W has some",
            hint="mixing.weights = 'metropolis_hastings', or weighting = 'uniform' without scores",
        )

    method = Gossip(optimizer, payload, order, weighting, local_steps, own_scores)
    return Algorithm(method, problem, W, name="gossip learning")


def with_age(opt_state: PyTree, age: NodeInts) -> PyTree:
    """Return ``opt_state`` with the step counters of its learning-rate schedules set to ``age`` (n,).

    Only schedules: Adam's own counter belongs to moments that stay on the node.
    """

    def is_schedule(node: Any) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    return jax.tree.map(
        lambda node: optax.ScaleByScheduleState(age) if is_schedule(node) else node, opt_state, is_leaf=is_schedule
    )


def _check(n_nodes: int, payload: str, order: str | None, weighting: str, steps: int, scores: Array | None) -> None:
    if payload != "model" and order is not None:
        raise InputError(
            f"order = '{order}' applies to payload = 'model' only, not to '{payload}'",
            hint="an update or a gradient is always computed before it is sent: leave order out",
        )
    if payload == "gradient" and steps != 1:
        raise InputError(
            f"local_steps = {steps} with payload = 'gradient': one gradient travels a round",
            hint="set local_steps = 1, or send updates",
        )
    if scores is not None and weighting != "uniform":
        raise InputError(f"scores and weighting = '{weighting}' exclude each other", hint="give one of them")
    if scores is not None and (scores.shape != (n_nodes,) or not bool(((scores > 0) & (scores < jnp.inf)).all())):
        found = f"{scores.size} numbers" if scores.shape != (n_nodes,) else "numbers that are not all above 0"
        raise InputError(
            f"scores must be {n_nodes} positive numbers, not {found}",
            hint="algorithm.scores (in Python: scores) has one a node; weighting = 'samples' counts theirs in its place",
        )
