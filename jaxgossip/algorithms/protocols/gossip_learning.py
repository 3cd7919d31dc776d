"""Gossip learning as published: models walk from node to node, are merged when they meet, and learn where they arrive.

A model m₁ of age t₁ arrives at a node and is merged with m₂ of age t₂, the model that arrived before it or the node's own.
With merge(m₁, m₂) = α m₁ + (1 − α) m₂ and t = max(t₁, t₂), the node's model becomes

    update          RW    x⁺ = learn(m₁),                             t⁺ = t₁ + 1
    merge, update   MU    x⁺ = learn(merge(m₁, m₂)),                  t⁺ = t + 1
    update, merge   UM    x⁺ = merge(learn(m₁), learn(m₂)),           t⁺ = t + 1
    pass                  x⁺ = m₁,                                    t⁺ = t₁

    α = ½;   by age  α = t₁/(t₁ + t₂);   limited to a gap L:  α = 1 if t₁ > t₂ + L,  0 if t₂ > t₁ + L.

Ormándi, Hegedűs and Jelasity 2013, "Gossip learning with linear models on fully distributed data", algorithms 1 and 2,
merging with the model received last; gossipy merges with the node's own. Ages, and models in parts with one age each:
Hegedűs, Danner and Jelasity 2021, "Decentralized learning works", algorithm 4. Limited merging: Danner, Hegedűs and
Jelasity 2023, "Improving gossip learning via limited model merging". Voting over recent models: Ormándi et al., algorithm
4. Learning rates depend on the age of the model: a Pegasos step is 1/(λ t).
"""

from typing import ClassVar, Literal, NamedTuple, override

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one
from jaxgossip.algorithms.base import TrainState, check_share, start
from jaxgossip.algorithms.protocols.protocol import Arrived, Deliveries, GossipProtocol, ProtocolMethod, learn, shared
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Record
from jaxgossip.core.random import hashed_uniform, purpose_key
from jaxgossip.core.typing import NodeInts, NodeScores, PRNGKey, PyTree, Rows, accumulator, narrowed
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.optimizers.counts import at_age
from jaxgossip.learning.problem import Problem, as_evaluated, start_steps_of
from jaxgossip.learning.supervised import Supervised
from jaxgossip.schedule.messages import Kind

AGE_BYTES = 4

Ages = Int[Array, "n k"]


class AgedModel(NamedTuple):
    """Models with their ages.

    Attributes:
        x: (n, p) parameters.
        age: (n, k) int32, number of updates of each of the k parts.
    """

    x: Rows
    age: Ages


class RecentModels(NamedTuple):
    """The most recent models of each node, for voting.

    Attributes:
        x: (n, v, p) models, in ring buffers.
        had: (n,) int32, number of models that each node has had.
    """

    x: Float[Array, "n v p"]
    had: Int[Array, " n"]

    def append(self, x: Rows) -> "RecentModels":
        """Return the buffers with the oldest models replaced by x (n, p)."""
        v = self.x.shape[1]
        oldest = jnp.arange(v) == (self.had % v)[:, None]
        return RecentModels(jnp.where(oldest[:, :, None], x[:, None], self.x), self.had + 1)


class WalkState(NamedTuple):
    """State of gossip learning.

    Attributes:
        model: model of each node.
        opt_state: optimizer state of each node.
        last: the model that each node received last; None if the method does not use it.
        kept: recent models of each node; None without voting.
    """

    model: AgedModel
    opt_state: PyTree
    last: AgedModel | None
    kept: RecentModels | None


class Merging(Record):
    """How an arriving model is merged with another; see :func:`gossip_learning`."""

    weighting: Literal["uniform", "age"]
    age_gap: int | None
    parts: int
    sample: float

    def merge(self, problem: Problem, heard: AgedModel, other: AgedModel, arrivals: Deliveries) -> AgedModel:
        """Return the merged models; columns that the message does not carry are those of m₂."""
        p, dtype = problem.n_params, accumulator(problem.dtype)
        alpha, age = (
            self._weight(*(jnp.asarray(model.age, dtype) for model in (heard, other))),
            jnp.maximum(heard.age, other.age),
        )
        if self.parts > 1:
            travels = jnp.arange(self.parts) == arrivals.part[:, None]
            alpha, age = jnp.where(travels, alpha, 0), jnp.where(travels, age, other.age)
            alpha = jnp.take(alpha, jnp.arange(p) % self.parts, axis=1)
        x1 = heard.x if problem.align is None else problem.align(other.x, heard.x)
        mixed = narrowed(alpha * x1 + (1 - alpha) * other.x, other.x)
        if self.sample < 1:
            key = purpose_key(arrivals.key, "sampled parameters")
            mixed = jnp.where(hashed_uniform(key, arrivals.number, p) < self.sample, mixed, other.x)
        return AgedModel(mixed, age)

    def _weight(self, t1: Float[Array, "b k"], t2: Float[Array, "b k"]) -> Float[Array, "b k"]:
        """Return α, the weight of the arriving models, of ages t1."""
        by_age = self.weighting == "age"
        alpha = jnp.where(t1 + t2 > 0, t1 / jnp.maximum(t1 + t2, 1), 0.5) if by_age else jnp.full_like(t1, 0.5)
        if self.age_gap is None:
            return alpha
        return jnp.where(t1 > t2 + self.age_gap, 1, jnp.where(t2 > t1 + self.age_gap, 0, alpha))


class GossipLearning(ProtocolMethod):
    """See :func:`gossip_learning`."""

    counts: ClassVar[tuple[str, ...]] = ("steps", "age")

    optimizer: Transformation
    create: Literal["merge_update", "update_merge", "update", "pass"]
    partner: Literal["last_received", "own"]
    merging: Merging
    local_steps: int
    votes: int

    @property
    def remembers(self) -> bool:
        """Whether nodes store the model that they received last."""
        return self.partner == "last_received" and self.create in ("merge_update", "update_merge")

    @override
    def init(self, problem: Problem, key: PRNGKey) -> WalkState:
        n, p, votes = problem.n_nodes, problem.n_params, self.votes
        x, opt_state = start(problem, self.optimizer, key)
        model = AgedModel(x, jnp.full((n, self.merging.parts), start_steps_of(problem), jnp.int32))
        kept = RecentModels(jnp.broadcast_to(x[:, None], (n, votes, p)), jnp.zeros(n, jnp.int32)) if votes else None
        return WalkState(model, opt_state, model if self.remembers else None, kept)

    @override
    def message(self, problem: Problem, state: WalkState) -> AgedModel:
        return state.model

    @override
    def deliver(self, problem: Problem, own: WalkState, heard: AgedModel, arrivals: Deliveries) -> WalkState:
        # Private columns never travel: an arriving model replaces only the shared ones.
        heard = heard._replace(x=shared(problem, heard.x, own.model.x))
        other = own.model if own.last is None else own.last._replace(x=shared(problem, own.last.x, own.model.x))
        opt_state = own.opt_state
        match self.create:
            case "update":
                model, opt_state = self._updated(problem, heard, opt_state, arrivals)
            case "merge_update":
                merged = self.merging.merge(problem, heard, other, arrivals)
                model, opt_state = self._updated(problem, merged, opt_state, arrivals)
            case "update_merge":
                ours, opt_state = self._updated(problem, other, opt_state, arrivals)
                theirs, _ = self._updated(problem, heard, own.opt_state, arrivals)
                model = self.merging.merge(problem, theirs, ours, arrivals)
            case "pass":
                model = heard
        model, opt_state = arrivals.choose(Kind.PASSED, (heard, own.opt_state), (model, opt_state))
        kept = None if own.kept is None else own.kept.append(model.x)
        return WalkState(model, opt_state, heard if self.remembers else None, kept)

    def _updated(
        self, problem: Problem, model: AgedModel, opt_state: PyTree, arrivals: Deliveries
    ) -> tuple[AgedModel, PyTree]:
        state = TrainState(model.x, at_age(opt_state, model.age.max(1)))
        x, opt_state = learn(problem, self.optimizer, state, arrivals, self.local_steps)
        steps = self.local_steps if arrivals.works is None else self.local_steps * arrivals.works[:, None]
        return AgedModel(x, model.age + steps), opt_state

    @override
    def updates(self, arrived: Arrived) -> np.ndarray:
        each = {"pass": 0, "update_merge": 2}  # of both models, at once
        return each.get(self.create, 1) * arrived.models

    @override
    def models(self, state: WalkState) -> Rows:
        return state.model.x

    @override
    def as_scored(self, problem: Problem, state: WalkState, nodes: NodeInts) -> WalkState:
        if state.kept is None:
            return state
        # Of every model that votes, statistics are recalibrated on the samples of the node at which it votes.
        s, v, p = state.kept.x.shape
        voters = as_evaluated(problem, state.kept.x.reshape(s * v, p), jnp.repeat(nodes, v))
        return state._replace(kept=state.kept._replace(x=voters.reshape(s, v, p)))

    @override
    def scores(self, problem: Problem, state: WalkState) -> NodeScores:
        if state.kept is None:
            return {}
        assert isinstance(problem, Supervised)
        return problem.evaluate_votes(state.kept.x)


@algorithm
def gossip_learning(
    problem: Problem,
    optimizer: Transformation,
    *,
    create: Literal["merge_update", "update_merge", "update", "pass"] = "merge_update",
    partner: Literal["last_received", "own"] = "last_received",
    weighting: Literal["uniform", "age"] = "uniform",
    age_gap: int | None = None,
    local_steps: int = 1,
    parts: int = 1,
    sample: float = 1.0,
    votes: int = 0,
) -> GossipProtocol:
    """Run gossip learning with walking models: RW, MU and UM of Ormándi et al., and later variants.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        create: how a node makes its new model: merge then update (MU), update then merge (UM), update only (RW), or pass it.
        partner: the model that an arriving one is merged with: the one that arrived before it, or the node's own.
        weighting: weights of the two models in merging: equal, or proportional to age.
        age_gap: largest difference of ages at which models are merged; beyond it the older one is kept. None for no limit.
        local_steps: optimizer steps per update.
        parts: number of parts of a model; a message carries one of them, and column c belongs to part c modulo ``parts``.
        sample: fraction of the parameters that a message carries, drawn for each message.
        votes: number of recent models per node whose majority vote is measured, as voted_accuracy; 0 for no voting.

    Raises:
        InputError: options are out of range or exclude each other, or votes are asked of a problem without classes.
    """
    check_at_least_one("gossip_learning", local_steps=local_steps, parts=parts)
    check_share("gossip_learning", sample=sample)
    _check(create, partner, votes, age_gap, pieces=parts > 1 or sample < 1)
    if votes and not (isinstance(problem, Supervised) and problem.votes):
        raise InputError("gossip_learning: votes are cast on classes, and this task has none", hint="set votes = 0")
    size = problem.dtype.itemsize
    data = -(-problem.n_shared // parts) * size if sample == 1 else round(sample * problem.n_shared) * size
    metadata = AGE_BYTES + (AGE_BYTES if sample < 1 else 0)  # the age, and the seed of the sample
    method = GossipLearning(optimizer, create, partner, Merging(weighting, age_gap, parts, sample), local_steps, votes)
    return GossipProtocol(method, problem, bytes=(data + metadata, metadata), parts=parts, name="gossip learning")


def _check(create: str, partner: str, votes: int, age_gap: int | None, *, pieces: bool) -> None:
    if votes < 0:
        raise InputError(f"gossip_learning: votes must be at least 0, not {votes}")
    if age_gap is not None and age_gap < 0:
        raise InputError(f"gossip_learning: age_gap must be at least 0, not {age_gap}")
    if pieces and (create != "merge_update" or partner != "own"):
        raise InputError(
            "a message that carries a part of a model merges with the node's own, then the node learns",
            hint="set create = 'merge_update' and partner = 'own', or parts = 1 and sample = 1.0",
        )
