"""What a protocol is: what a node sends, and what an arriving message does to the node that it reaches.

The asynchronous counterpart of an :class:`~jaxgossip.algorithms.base.Algorithm`. It never owns the loop and knows no time:
who sends to whom and when is a schedule's, and the engine hands over deliveries that act on different nodes, many at once.
"""

import abc
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt32

from jaxgossip.algorithms.base import TrainState, apply, models_of, once
from jaxgossip.core.arguments import shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import Pytree, Record
from jaxgossip.core.random import purpose_key
from jaxgossip.core.typing import NodeScores, PRNGKey, PyTree, Rows, narrowed, widened
from jaxgossip.core.units import rows_text
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import chosen
from jaxgossip.schedule import Source
from jaxgossip.schedule.exchanges import EXCHANGES
from jaxgossip.schedule.files.messages import Recorded
from jaxgossip.schedule.messages import Kind
from jaxgossip.schedule.schedule import Schedule

Some = Int[Array, " b"]


class Deliveries(NamedTuple):
    """b messages that arrive at b different nodes.

    Attributes:
        node: (b,) int32, whom they reach.
        sender: (b,) int32, who sent them.
        kind: (b,) int32, of :class:`~jaxgossip.schedule.messages.Kind`.
        part: (b,) int32, which part of the model they carry, where models travel in parts.
        number: (b,) uint32, the message's own: all that is drawn for a delivery follows from it and the key.
        key: the run's.
        kinds: the kinds that occur in the run; known when the program is made.
    """

    node: Some
    sender: Some
    kind: Some
    part: Some
    number: UInt32[Array, " b"]
    key: PRNGKey
    kinds: frozenset[Kind]

    def choose[T](self, kind: Kind, those: T, others: T) -> T:
        """Return ``those`` rows for deliveries of one kind, ``others`` for the rest; compares only what can differ."""
        if kind not in self.kinds:
            return others
        return those if self.kinds == {kind} else chosen(self.kind == kind, those, others)


class ProtocolMethod(Record):
    """What a node of a gossip protocol does, whatever is learnt and whoever sends to whom: pure functions.

    A subclass names its numbers, optimizers and arrays as fields, and fills in :meth:`init`, :meth:`message` and
    :meth:`deliver`. Device arrays among the fields are arguments of the compiled program; anything else is a part of it.

    >>> class SlowAveraging(ProtocolMethod):
    ...     rate: float
    ...     def init(self, problem, key):
    ...         return problem.init(key)
    ...     def message(self, problem, x):
    ...         return x
    ...     def deliver(self, problem, x, heard, arrivals):
    ...         return x + self.rate * (heard - x)
    ...     def models(self, x):
    ...         return x
    >>> protocol = GossipProtocol(SlowAveraging(0.1), problem)
    """

    @abc.abstractmethod
    def init(self, problem: Problem, key: PRNGKey) -> PyTree:
        """Return the state before the first message, a pytree all of whose leaves have the node axis first."""

    @abc.abstractmethod
    def message(self, problem: Problem, state: Any) -> PyTree:
        """Return what some nodes would send now, a pytree of as many rows as there are in ``state``, theirs."""

    @abc.abstractmethod
    def deliver(self, problem: Problem, own: Any, heard: Any, arrivals: Deliveries) -> PyTree:
        """Return the rows of the state of b nodes after what reaches them.

        Args:
            problem: what is learnt.
            own: their b rows of the state before it.
            heard: what reaches each of them, b rows of a message.
            arrivals: the deliveries; all that is drawn follows from them.
        """

    def models(self, state: Any) -> Rows:
        """Return the models that are evaluated, (n, p)."""
        return state.x

    def scores(self, problem: Problem, state: Any) -> NodeScores:
        """Return further measurements of some rows of the state: name -> (s,)."""
        del problem, state
        return {}

    def settle(self, problem: Problem, state: Any) -> tuple[PyTree, Bool[Array, "n n"]]:
        """Return (the state from then on, whom each node prefers; nobody: all are alike to it), where nodes settle at all."""
        raise NotImplementedError


class GossipProtocol(Pytree):
    """A method of nodes that act by their own clocks, on one problem.

    Args:
        method: what a node sends, and what an arriving message does to it.
        problem: what is learnt.
        exchanges: what a node may do when its clock ticks (see the schedule), the usual one first.
        bytes: (of one message, of these beside the model's values).
        parts: into how many parts models are divided to travel.
        settle_at: the cycle from which nodes call those that they prefer; None: never.
        name: what reports call it; by default that of the method's class.

    Raises:
        ArgumentTypeError: functions in the place of a method, as the first release took them.
    """

    method: ProtocolMethod
    problem: Problem
    exchanges: tuple[str, ...]
    bytes: tuple[int, int]
    parts: int
    settle_at: int | None
    name: str

    def __init__(
        self,
        method: ProtocolMethod,
        problem: Problem,
        *functions: Any,
        exchanges: tuple[str, ...] = ("push", "pull", "push_pull"),
        bytes: tuple[int, int] = (0, 0),  # noqa: A002 - what they are
        parts: int = 1,
        settle_at: int | None = None,
        name: str = "",
        **former: Any,
    ) -> None:
        if not isinstance(method, ProtocolMethod) or functions or former:
            raise ArgumentTypeError(
                f"GossipProtocol takes a method and its problem, not {shown(method)}",
                hint="class Mine(jg.algorithms.ProtocolMethod) with init(self, problem, key), message(self, problem, state) "
                "and deliver(self, problem, own, heard, arrivals), then GossipProtocol(Mine(), problem)",
            )
        self.method, self.problem, self.exchanges, self.bytes = method, problem, exchanges, bytes
        self.parts, self.settle_at, self.name = parts, settle_at, name or type(method).__name__

    def __repr__(self) -> str:
        size = rows_text(self.problem.n_nodes, self.problem.n_params)
        return f"GossipProtocol({self.name} on {size}, by {' or '.join(self.exchanges)})"

    def init(self, key: PRNGKey) -> PyTree:
        """Return the state before the first message."""
        return self.method.init(self.problem, key)

    def message(self, state: PyTree) -> PyTree:
        """Return what nodes would send now, of these rows of the state."""
        return self.method.message(self.problem, state)

    def deliver(self, own: PyTree, heard: PyTree, arrivals: Deliveries) -> PyTree:
        """Return the rows of the state of those reached, after what reaches them."""
        return self.method.deliver(self.problem, own, heard, arrivals)

    def models(self, state: PyTree) -> Rows:
        """Return (n, p), the models that are evaluated."""
        return models_of(self.method, self.problem, state)

    def scores(self, state: PyTree) -> NodeScores:
        """Return further measurements of some rows of the state: name -> (s,)."""
        return self.method.scores(self.problem, state)

    def settle(self, state: PyTree) -> tuple[PyTree, Bool[Array, "n n"]]:
        """Return (the state from then on, whom each node prefers); there is none where ``settle_at`` is None."""
        return self.method.settle(self.problem, state)


def check_schedule(protocol: GossipProtocol, schedule: Source) -> None:
    """Check that what a schedule tells is what the protocol's nodes do.

    Args:
        protocol: what a message does.
        schedule: who sends to whom: drawn, from a file, or one's own.

    Raises:
        InputError: another exchange, models in another number of parts, or messages that mean nothing to the protocol.
    """
    name, exchanges = protocol.name, " or ".join(f"'{one}'" for one in protocol.exchanges)
    if isinstance(schedule, Schedule):
        if schedule.exchange not in protocol.exchanges:
            raise InputError(f"exchange '{schedule.exchange}' does not go with {name}", hint=f"exchange = {exchanges}")
        if schedule.parts != protocol.parts:
            raise InputError(
                f"a schedule of models in {schedule.parts} parts does not fit {name} in {protocol.parts}",
                hint="give the schedule parts=protocol.parts",
            )
    known = {Kind.PASSED}.union(*(EXCHANGES[one].kinds for one in protocol.exchanges))
    strange = sorted(kind.name.lower() for kind in schedule.kinds - known)
    if strange:
        raise InputError(
            f"messages of kind '{strange[0]}' mean nothing to {name}", hint=f"a schedule of exchange {exchanges}"
        )
    if isinstance(schedule, Recorded) and schedule.messages.part.max(initial=0) >= protocol.parts:
        raise InputError(
            f"messages carry part {schedule.messages.part.max()} of a model, and {name} divides models into "
            f"{protocol.parts}",
            hint=f"parts are numbered 0 to {protocol.parts - 1}",
        )


def learn(
    problem: Problem,
    optimizer: Transformation,
    state: TrainState,
    arrivals: Deliveries,
    n_steps: int = 1,
    at: Rows | None = None,
) -> TrainState:
    """Return the states of the nodes reached after ``n_steps`` steps on their own data.

    Args:
        problem: gives the gradients.
        optimizer: any optax transformation, each node by itself.
        state: (b, p) models and optimizer states.
        arrivals: whose they are; draws the minibatches.
        n_steps: local steps; step s draws with ``fold_in(key, s)``.
        at: (b, p) where the gradient of a single step is taken; the models themselves if None.
    """
    key = purpose_key(arrivals.key, "batch")

    def one(step: Any, state: TrainState) -> TrainState:
        x = state.x if at is None else at
        drawn = jax.random.fold_in(key, step)
        return apply(optimizer, problem.gradient_at(x, arrivals.node, drawn, arrivals.number), state)

    wide = once(state._replace(x=widened(state.x)))
    done = one(0, wide) if n_steps == 1 else jax.lax.fori_loop(0, n_steps, one, wide)
    return done._replace(x=narrowed(done.x, state.x))


def shared(problem: Problem, merged: Rows, own: Rows) -> Rows:
    """Return ``merged`` in the columns that travel, and ``own`` in those that stay."""
    k = problem.n_shared
    return merged if k == problem.n_params else jnp.concatenate([merged[:, :k], own[:, k:]], axis=1)
