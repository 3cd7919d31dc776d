"""Gossip learning as published: models walk from node to node, merge where they meet, and learn where they arrive.

A model m₁ of age t₁ arrives at a node; m₂, t₂ is what it merges with: the model that arrived there before it, or the
node's own. With merge(m₁, m₂) = α m₁ + (1 − α) m₂ and t = max(t₁, t₂), the node's model becomes

    update          RW    x⁺ = learn(m₁),                             t⁺ = t₁ + 1
    merge, update   MU    x⁺ = learn(merge(m₁, m₂)),                  t⁺ = t + 1
    update, merge   UM    x⁺ = merge(learn(m₁), learn(m₂)),           t⁺ = t + 1
    pass                  x⁺ = m₁,                                    t⁺ = t₁

    α = ½;   by age  α = t₁/(t₁ + t₂);   limited to a gap L:  α = 1 if t₁ > t₂ + L,  0 if t₂ > t₁ + L.

Ormándi, Hegedűs and Jelasity 2013, "Gossip learning with linear models on fully distributed data", algorithms 1 and 2, with
the model received last; gossipy's nodes merge with their own. Ages, and models in parts with an age each: Hegedűs, Danner
and Jelasity 2021, "Decentralized learning works", algorithm 4. Limited merging: Danner, Hegedűs and Jelasity 2023,
"Improving gossip learning via limited model merging". Voting over the last models: Ormándi et al., algorithm 4.
Learning-rate schedules run on the age of the model: a Pegasos step is 1/(λ t).
"""

from typing import Literal, NamedTuple, override

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import TrainState, at_least_one, between, start
from jaxgossip.algorithms.gossip import with_age
from jaxgossip.algorithms.protocol import Deliveries, GossipProtocol, ProtocolMethod, learn, shared
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Record
from jaxgossip.core.random import hashed_uniform, purpose_key
from jaxgossip.core.typing import NodeScores, PRNGKey, PyTree, Rows, accumulator, narrowed
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Classification, Problem, start_steps_of
from jaxgossip.schedule.messages import Kind

AGE_BYTES = 4

Ages = Int[Array, "n k"]


class AgedModel(NamedTuple):
    """A model on its way.

    Attributes:
        x: (n, p) parameters.
        age: (n, k) int32, updates behind each of its k parts.
    """

    x: Rows
    age: Ages


class Kept(NamedTuple):
    """The models that a node had last, for voting.

    Attributes:
        x: (n, v, p) models, in a ring.
        had: (n,) int32, how many models a node has had.
    """

    x: Float[Array, "n v p"]
    had: Int[Array, " n"]

    def and_also(self, x: Rows) -> "Kept":
        """Return them with one more, x (n, p), in the place of the oldest."""
        v = self.x.shape[1]
        here = jnp.arange(v) == (self.had % v)[:, None]
        return Kept(jnp.where(here[:, :, None], x[:, None], self.x), self.had + 1)


class WalkState(NamedTuple):
    """State of gossip learning.

    Attributes:
        model: of each node.
        opt_state: the optimizer's state of each node.
        last: the model that each node received last; None if nothing asks for it.
        kept: the models that each node had last; None if it does not vote.
    """

    model: AgedModel
    opt_state: PyTree
    last: AgedModel | None
    kept: Kept | None


class Merging(Record):
    """How an arriving model and another become one; see :func:`gossip_learning`."""

    weighting: Literal["uniform", "age"]
    age_gap: int | None
    parts: int
    sample: float

    def merge(self, problem: Problem, heard: AgedModel, other: AgedModel, arrivals: Deliveries) -> AgedModel:
        """Return the merged model: of those columns that the message carries; the others are m₂'s."""
        p, kind = problem.n_params, accumulator(problem.dtype)
        alpha, age = (
            self._weight(*(jnp.asarray(model.age, kind) for model in (heard, other))),
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
        """Return α of the model that arrives, of age t1."""
        by_age = self.weighting == "age"
        alpha = jnp.where(t1 + t2 > 0, t1 / jnp.maximum(t1 + t2, 1), 0.5) if by_age else jnp.full_like(t1, 0.5)
        if self.age_gap is None:
            return alpha
        return jnp.where(t1 > t2 + self.age_gap, 1, jnp.where(t2 > t1 + self.age_gap, 0, alpha))


class GossipLearning(ProtocolMethod):
    """See :func:`gossip_learning`."""

    optimizer: Transformation
    create: Literal["merge_update", "update_merge", "update", "pass"]
    partner: Literal["last_received", "own"]
    merging: Merging
    local_steps: int
    votes: int

    @property
    def remembers(self) -> bool:
        """Whether a node keeps the model that it received last."""
        return self.partner == "last_received" and self.create in ("merge_update", "update_merge")

    @override
    def init(self, problem: Problem, key: PRNGKey) -> WalkState:
        n, p, votes = problem.n_nodes, problem.n_params, self.votes
        x, opt_state = start(problem, self.optimizer, key)
        model = AgedModel(x, jnp.full((n, self.merging.parts), start_steps_of(problem), jnp.int32))
        kept = Kept(jnp.broadcast_to(x[:, None], (n, votes, p)), jnp.zeros(n, jnp.int32)) if votes else None
        return WalkState(model, opt_state, model if self.remembers else None, kept)

    @override
    def message(self, problem: Problem, state: WalkState) -> AgedModel:
        return state.model

    @override
    def deliver(self, problem: Problem, own: WalkState, heard: AgedModel, arrivals: Deliveries) -> WalkState:
        # What a node keeps for itself never travels: an arriving model takes the place of the shared columns alone.
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
        kept = None if own.kept is None else own.kept.and_also(model.x)
        return WalkState(model, opt_state, heard if self.remembers else None, kept)

    def _updated(
        self, problem: Problem, model: AgedModel, opt_state: PyTree, arrivals: Deliveries
    ) -> tuple[AgedModel, PyTree]:
        state = TrainState(model.x, with_age(opt_state, model.age.max(1)))
        x, opt_state = learn(problem, self.optimizer, state, arrivals, self.local_steps)
        return AgedModel(x, model.age + self.local_steps), opt_state

    @override
    def models(self, state: WalkState) -> Rows:
        return state.model.x

    @override
    def scores(self, problem: Problem, state: WalkState) -> NodeScores:
        if state.kept is None:
            return {}
        assert isinstance(problem, Classification)
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
    """Run gossip learning with models that walk: RW, MU and UM of Ormándi et al., and what was made of them since.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation, applied to each node by itself.
        create: how a node makes its new model: merge then update (MU), update then merge (UM), update alone (RW), or none.
        partner: what an arriving model merges with: the one that arrived before it, or the node's own.
        weighting: how much an arriving model counts: as much as the other, or by its age.
        age_gap: models whose ages differ by more than this do not merge: the older one stays; None: all merge.
        local_steps: optimizer steps of an update.
        parts: a message carries one of so many parts of the model, column c belonging to part c modulo parts.
        sample: fraction of the parameters that a message carries, drawn for each message.
        votes: measure also the majority vote of so many last models of a node, as voted_accuracy; 0: none.

    Raises:
        InputError: options out of range, or that exclude each other.
    """
    at_least_one("local_steps", local_steps)
    at_least_one("parts", parts)
    between("sample", sample, 0.0, 1.0)
    _check(create, partner, votes, age_gap, pieces=parts > 1 or sample < 1)
    if votes and not (isinstance(problem, Classification) and problem.votes):
        raise InputError("votes are cast on classes, and this task has none", hint="set votes = 0")
    size = problem.dtype.itemsize
    data = -(-problem.n_shared // parts) * size if sample == 1 else round(sample * problem.n_shared) * size
    about = AGE_BYTES + (AGE_BYTES if sample < 1 else 0)  # an age, and the seed of what was drawn
    method = GossipLearning(optimizer, create, partner, Merging(weighting, age_gap, parts, sample), local_steps, votes)
    return GossipProtocol(method, problem, bytes=(data + about, about), parts=parts, name="gossip learning")


def _check(create: str, partner: str, votes: int, age_gap: int | None, *, pieces: bool) -> None:
    if votes < 0:
        raise InputError(f"votes must be at least 0, not {votes}")
    if age_gap is not None and age_gap < 0:
        raise InputError(f"age_gap must be at least 0, not {age_gap}")
    if pieces and (create != "merge_update" or partner != "own"):
        raise InputError(
            "a message that carries a part of a model merges with the node's own, then the node learns",
            hint="set create = 'merge_update' and partner = 'own', or parts = 1 and sample = 1.0",
        )
