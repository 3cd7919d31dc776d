"""Gossip protocols: what a node sends, and how an arriving message changes the state of its receiver.

The asynchronous counterpart of an :class:`~jaxgossip.algorithms.base.Algorithm`. A protocol has no loop and no time: a
schedule determines who sends to whom and when, and the engine passes batches of deliveries to distinct nodes.
"""

import abc
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt32

from jaxgossip.algorithms.arguments import with_layerwise
from jaxgossip.algorithms.base import TrainState, apply, models_of, repeated
from jaxgossip.core.arguments import shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import Pytree, Record
from jaxgossip.core.random import purpose_key
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import NodeInts, NodeScores, PRNGKey, PyTree, Rows
from jaxgossip.core.units import rows_text
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import chosen
from jaxgossip.schedule import Source
from jaxgossip.schedule.exchanges import EXCHANGES
from jaxgossip.schedule.files.messages import Recorded
from jaxgossip.schedule.messages import Kind
from jaxgossip.schedule.schedule import Schedule

BatchInts = Int[Array, " b"]


class Deliveries(NamedTuple):
    """A batch of b messages that arrive at b distinct nodes.

    Attributes:
        node: (b,) int32, their receivers.
        sender: (b,) int32, their senders.
        kind: (b,) int32, values of :class:`~jaxgossip.schedule.messages.Kind`.
        part: (b,) int32, the part of the model that each carries, if models are sent in parts.
        number: (b,) uint32, numbers of the messages; all draws for a delivery are a function of its number and the key.
        key: key of the run.
        kinds: the kinds of messages of the run, known at trace time.
        works: (b,) bool, whether each node learns from its delivery; None if all do.
    """

    node: BatchInts
    sender: BatchInts
    kind: BatchInts
    part: BatchInts
    number: UInt32[Array, " b"]
    key: PRNGKey
    kinds: frozenset[Kind]
    works: Bool[Array, " b"] | None = None

    def choose[T](self, kind: Kind, matching: T, others: T) -> T:
        """Return the rows of ``matching`` for deliveries of ``kind``, of ``others`` for all other kinds.

        No comparison is compiled if the run has only messages of ``kind``, or none.
        """
        if kind not in self.kinds:
            return others
        return matching if self.kinds == {kind} else chosen(self.kind == kind, matching, others)


class Arrived(NamedTuple):
    """What has arrived at every node of a network and acted on it, (n,) int64 each.

    Attributes:
        models: models that were merged, messages of :attr:`.Kind.MODEL`.
        learn: the node's own events of :attr:`.Kind.LEARN`.
        settled: those of ``models`` that have arrived since the nodes settled, of protocols that do.
    """

    models: np.ndarray
    learn: np.ndarray
    settled: np.ndarray


class ProtocolMethod(Record):
    """The nodes of a gossip protocol as pure functions, independent of the problem and the schedule.

    A subclass declares its numbers, optimizers and arrays as fields, and implements :meth:`init`, :meth:`message` and
    :meth:`deliver`. Fields that are device arrays become arguments of the compiled program; all others are constants of it.

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

    counts: ClassVar[tuple[str, ...]] = ("steps",)
    """What learning rates can be functions of: "age", too, where models have ages."""

    @abc.abstractmethod
    def init(self, problem: Problem, key: PRNGKey) -> PyTree:
        """Return the initial state, a pytree all of whose leaves have the node axis first."""

    @abc.abstractmethod
    def message(self, problem: Problem, state: Any) -> PyTree:
        """Return the messages that nodes with these rows of the state would send, a pytree with as many rows."""

    @abc.abstractmethod
    def deliver(self, problem: Problem, own: Any, heard: Any, arrivals: Deliveries) -> PyTree:
        """Return the rows of the state of b nodes after a message has reached each of them.

        Args:
            problem: the learning problem.
            own: their b rows of the state before.
            heard: b rows, the messages that reach them.
            arrivals: the deliveries; all draws are a function of these.
        """

    def models(self, state: Any) -> Rows:
        """Return the models to evaluate, (n, p)."""
        return state.x

    @property
    def conveys_models(self) -> bool:
        """Whether messages convey models that nodes merge, so that they can be lied about, blurred or clipped."""
        return True

    def conveyed(self, message: Any) -> Rows:
        """Return the models that messages convey, (b, p): the messages themselves, or their ``x``."""
        return message if isinstance(message, jax.Array) else message.x

    def conveying(self, message: Any, x: Rows) -> PyTree:
        """Return the messages with other models, (b, p)."""
        return x if isinstance(message, jax.Array) else message._replace(x=x)

    def honest(self, n_nodes: int) -> np.ndarray | None:
        """Return (n,) bool: which nodes are honest; None if all are."""
        del n_nodes

    def scores(self, problem: Problem, state: Any) -> NodeScores:
        """Return additional measurements of s rows of the state: name -> (s,)."""
        del problem, state
        return {}

    def as_scored(self, problem: Problem, state: Any, nodes: NodeInts) -> Any:
        """Return s rows of the state as :meth:`scores` takes them, those of rows ``nodes`` (s,); unchanged by default."""
        del problem, nodes
        return state

    def updates(self, arrived: Arrived) -> np.ndarray:
        """Return (n,) how many times each node has trained, with all local steps of a time, for its energy.

        By default a node trains whenever it has merged a model.
        """
        return arrived.models

    def settle(self, problem: Problem, state: Any) -> tuple[PyTree, Bool[Array, "n n"]]:
        """Return the new state, and (n, n) bool: the peers that each node prefers, none meaning all.

        Only protocols with a ``settle_at`` implement it.
        """
        raise NotImplementedError


class GossipProtocol(Pytree):
    """A protocol method, whose nodes act by their own clocks, with the problem that it runs on.

    Args:
        method: the method.
        problem: the learning problem.
        exchanges: exchanges that a tick of a clock may start (see :mod:`jaxgossip.schedule`), the default one first.
        bytes: (bytes of a message, bytes of it that are not model values).
        parts: number of parts in which models are sent.
        settle_at: cycle from which nodes call their preferred peers; None for never.
        name: name in reports; the class name of the method by default.

    Raises:
        ArgumentTypeError: ``method`` is not a ProtocolMethod, such as the functions of the first release.
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
        bytes: tuple[int, int] = (0, 0),  # noqa: A002 - the field's name
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
        if settle_at is not None and type(method).settle is ProtocolMethod.settle:
            raise ArgumentTypeError(
                f"{type(method).__name__} has no settle, and its nodes are to settle at cycle {settle_at}",
                hint="give it settle(self, problem, state), or leave out settle_at",
            )
        self.name = name or type(method).__name__
        self.method, self.problem = with_layerwise(method, problem, self.name), problem
        self.exchanges, self.bytes, self.parts, self.settle_at = exchanges, bytes, parts, settle_at

    def __repr__(self) -> str:
        size = rows_text(self.problem.n_nodes, self.problem.n_params)
        return f"GossipProtocol({self.name} on {size}, by {' or '.join(self.exchanges)})"

    def init(self, key: PRNGKey) -> PyTree:
        """Return the initial state."""
        return self.method.init(self.problem, key)

    def message(self, state: PyTree) -> PyTree:
        """Return the messages that nodes with these rows of the state would send."""
        return self.method.message(self.problem, state)

    def deliver(self, own: PyTree, heard: PyTree, arrivals: Deliveries) -> PyTree:
        """Return the rows of the state of the receivers after the deliveries."""
        return self.method.deliver(self.problem, own, heard, arrivals)

    def models(self, state: PyTree) -> Rows:
        """Return the models to evaluate, (n, p)."""
        return models_of(self.method, self.problem, state)

    def scores(self, state: PyTree, nodes: NodeInts) -> NodeScores:
        """Return additional measurements of s rows of the state, those of rows ``nodes`` (s,): name -> (s,)."""
        return self.method.scores(self.problem, self.method.as_scored(self.problem, state, nodes))

    def settle(self, state: PyTree) -> tuple[PyTree, Bool[Array, "n n"]]:
        """Return the new state, and (n, n) bool: the peers that each node prefers; only with ``settle_at``."""
        return self.method.settle(self.problem, state)


def check_schedule(protocol: GossipProtocol, schedule: Source) -> None:
    """Check that a schedule has the exchange, the parts and the kinds of messages of a protocol.

    Args:
        protocol: the protocol.
        schedule: the schedule, drawn, read from a file, or user-defined.

    Raises:
        InputError: it has another exchange, another number of parts, or kinds of messages unknown to the protocol.
    """
    name, exchanges = protocol.name, " or ".join(f"'{exchange}'" for exchange in protocol.exchanges)
    if isinstance(schedule, Schedule):
        if schedule.exchange not in protocol.exchanges:
            raise InputError(f"exchange '{schedule.exchange}' does not go with {name}", hint=f"exchange = {exchanges}")
        if schedule.parts != protocol.parts:
            raise InputError(
                f"a schedule of models in {schedule.parts} parts does not fit {name} in {protocol.parts}",
                hint="give the schedule parts=protocol.parts",
            )
    known = {Kind.PASSED}.union(*(EXCHANGES[exchange].kinds for exchange in protocol.exchanges))
    unknown = sorted(kind.name.lower() for kind in schedule.kinds - known)
    if unknown:
        raise InputError(
            f"messages of kind '{unknown[0]}' mean nothing to {name}", hint=f"a schedule of exchange {exchanges}"
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
    """Return the states of the receivers after ``n_steps`` steps on their own data; unchanged of those that do not work.

    Args:
        problem: provides the gradients.
        optimizer: any optax transformation, applied to each node separately.
        state: (b, p) models, and optimizer states.
        arrivals: the deliveries, with the nodes of the rows; provides the keys of the minibatches.
        n_steps: number of local steps; step s draws with ``fold_in(key, s)``.
        at: (b, p) points at which gradients are taken; None for the models themselves.
    """
    key = purpose_key(arrivals.key, "batch")

    def train(step: Any, state: TrainState) -> TrainState:
        x = state.x if at is None else at
        drawn = jax.random.fold_in(key, step)
        return apply(optimizer, problem.gradient_at(x, arrivals.node, drawn, arrivals.number), state)

    return chosen(arrivals.works, repeated(train, materialize(state), n_steps), state)


def shared(problem: Problem, merged: Rows, own: Rows) -> Rows:
    """Return ``merged`` in the shared columns, and ``own`` in the private ones."""
    k = problem.n_shared
    return merged if k == problem.n_params else jnp.concatenate([merged[:, :k], own[:, k:]], axis=1)
