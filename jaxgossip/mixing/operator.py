"""What a mixing operator is: X ← W X for the rows of X, whatever they mean.

    y_i = x_i + Σ_j W_ij (x_j − x_i) = (1 − Σ_j W_ij) x_i + Σ_j W_ij x_j          (rows of W sum to one)

Under faults the sum runs over the messages that arrived. **A lost message leaves its weight with the receiver**, so rows
still sum to one; a node that is offline receives nothing, sends nothing, and keeps its row.

What a node says may differ from what it holds (noise on the channel, a lie): then y_i = W_ii x_i + Σ_j W_ij s_j.
"""

import abc
import functools
import operator
from typing import Any, ClassVar, Literal, override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from jaxgossip.core.counting import Count, count, total
from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.core.typing import NodeFloats, NodeInts, PRNGKey, Rows, SlotMask, accumulator
from jaxgossip.core.units import counted
from jaxgossip.mixing.faults import Faults

Conserved = Literal["agreement", "mass"]
MAX_SLOTS = 128
"""Senders that a node may have where they are heard one by one: each is a pass over all rows."""


class Operator(abc.ABC):
    """One round's mixing; a pytree, applied to the rows of an array.

    A subclass fills in :meth:`hear`, which is the arithmetic, and :meth:`to_scipy`. Who hears whom is answered by
    :attr:`links`: by default the same W as :meth:`by_slots` has it; an operator that knows better answers
    :meth:`arriving`, :meth:`highest`, :meth:`received` and :meth:`out_degrees` itself. All else follows from these.

    An operator is the constant case of time-varying mixing: ``W.at(round, key)`` is ``W``. Rows of 16-bit numbers are
    summed in float32 and rounded once.

    Attributes:
        n_nodes: number of nodes.
        n_links: messages a round when all nodes are online; None if they have to be counted each round.
        numbering: which order of the nodes its rows are in; empty where row i is node i (see
            :class:`jaxgossip.topology.Order`).
        conserves: what stays whatever gets lost: "agreement" (rows sum to one) or "mass" (columns do).
    """

    n_nodes: int
    n_links: int | None = None
    numbering: str = ""
    conserves: ClassVar[Conserved] = "agreement"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__repr__ = cls.__repr__  # its own now: that of a dataclass would print all weights

    def __repr__(self) -> str:
        sent = [] if self.n_links is None else [f"{counted(self.n_links, 'message')} a round"]
        mass = ["keeps mass"] if self.conserves == "mass" else []
        return f"{type(self).__name__}({', '.join([counted(self.n_nodes, 'node'), *sent, *mass])})"

    def __call__(self, x: Float[Array | np.ndarray, "n p"]) -> Rows:
        """Return W x, shape (n, p)."""
        x = jnp.asarray(x)
        if x.ndim != 2 or x.shape[0] != self.n_nodes:
            raise InputError(f"W mixes {self.n_nodes:,} rows (n, p), not an array of shape {x.shape}")
        return self.mix(x, None)

    def at(self, round_number: jax.Array, key: PRNGKey) -> "Operator":  # noqa: ARG002 - as of TimeVarying
        """Return this round's operator: itself."""
        return self

    def mix(self, x: Rows, faults: Faults | None, sent: Rows | None = None) -> Rows:
        """Return W x under ``faults``, shape (n, p).

        Args:
            x: (n, p), what the nodes hold.
            faults: what befalls messages; None: every one arrives.
            sent: (n, p), what they say, if it is not what they hold.
        """
        own, heard = self.hear(x if sent is None else sent, faults)
        return (column(own, heard) * x + heard).astype(x.dtype)

    @abc.abstractmethod
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        """Return (weight of a node's own row, scalar or (n,); Σ_j W_ij sent_j, (n, p), not yet rounded)."""

    @property
    def links(self) -> "Operator":
        """An operator in which the same nodes hear each other, whatever the weights."""
        return self.by_slots()

    def arriving(self, faults: Faults | None) -> Any:
        """Return which messages arrive, in the form in which this operator tells them apart; None: all of them.

        It is computed once: drawn anew for every question about it, losses would cost more than the answers.
        """
        return self.links.arriving(faults)

    def highest(self, values: NodeFloats, arriving: Any) -> NodeFloats:
        """Return (n,): the largest of the values that reach a node, its own apart; the lowest number if none does."""
        return self.links.highest(values, arriving)

    def received(self, arriving: Any) -> NodeInts:
        """Return (n,) int32: how many messages reach each node in this round."""
        return self.links.received(arriving)

    def out_degrees(self) -> NodeInts:
        """Return (n,) int32: how many messages each node sends in this round if all are online."""
        return self.links.out_degrees()

    def maximum(self, values: NodeFloats, faults: Faults | None) -> NodeFloats:
        """Return (n,): the largest of a node's own value and those that reached it."""
        return jnp.maximum(values, self.highest(values, self.arriving(faults)))

    def sent(self, faults: Faults | None) -> NodeInts:
        """Return (n,) int32: how many messages each node sends in this round, arriving or not."""
        number = self.out_degrees()
        return number if faults is None or faults.online is None else jnp.where(faults.online, number, 0)

    def messages(self, faults: Faults | None) -> Count:
        """Return how many messages are sent in this round; a message that gets lost was sent all the same."""
        if self.n_links is not None and (faults is None or faults.online is None):
            return count(self.n_links)
        return total(self.sent(faults).astype(jnp.uint32))

    @abc.abstractmethod
    def to_scipy(self) -> sp.csr_array:
        """Return W as a scipy CSR array (n, n) of float64, row by row, made from this operator's own tables."""

    def as_matrix(self) -> np.ndarray:
        """Return W as an (n, n) float64 NumPy array, made from this operator's own tables."""
        return self.to_scipy().toarray()

    def by_slots(self) -> "SlotOperator":
        """Return the same W as one that hears its senders one by one.

        Raises:
            GraphError: it cannot, or would need too large a table.
        """
        raise GraphError(
            f"{'push-sum' if self.conserves == 'mass' else type(self).__name__.lower()} mixing does not tell one sender "
            "from another",
            hint="mixing.kind = 'static', 'matching' or 'pull'",
        )


class SlotOperator(Operator):
    """An operator made of ``n_slots`` row movements: y_i = s_i x_i + Σ_k w_ki x_{source_k(i)}.

    Subclasses say how a slot moves rows; the arithmetic and the faults stand here once.

    Attributes:
        self_weight: scalar or (n,), what a node keeps of its own row.
        weights: one scalar or (n,) a slot, 0 where the slot moves nothing to that node.
    """

    self_weight: Array
    weights: tuple[Array, ...]

    @abc.abstractmethod
    def take(self, x: Array, slot: int) -> Array:
        """Return (n, ...): the row that ``slot`` brings to each node."""

    def slot_weight(self, slot: int) -> Array:
        """Return the scalar or (n,) weight of ``slot``."""
        return self.weights[slot]

    @property
    def n_slots(self) -> int:
        """How many rows a node hears at most."""
        return len(self.weights)

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        kind = accumulator(sent.dtype)
        if faults is None:
            parts = (column(self.slot_weight(k), kind) * self.take(sent, k) for k in range(self.n_slots))
            return self.self_weight, functools.reduce(operator.add, parts, jnp.zeros((), kind))
        arrived = self.arrivals(faults)
        own, heard = jnp.ones(self.n_nodes, kind), jnp.zeros(sent.shape, kind)
        for slot in range(self.n_slots):
            weight = jnp.where(arrived[:, slot], self.slot_weight(slot).astype(kind), 0)
            own = own - weight
            heard = heard + weight[:, None] * self.take(sent, slot)
        return own, heard

    def sends(self, slot: int) -> Array:
        """Return scalar or (n,) bool: whether ``slot`` brings anything to each node when all are online."""
        return self.slot_weight(slot) != 0

    def give(self, values: Array, slot: int) -> Array:
        """Return (n,): what stands at the receivers of ``slot``, summed up at its senders; :meth:`take` turned around."""
        rows = jnp.arange(self.n_nodes, dtype=jnp.int32)
        return jnp.zeros_like(values).at[self.take(rows, slot)].add(values, mode="promise_in_bounds")

    @override
    def arriving(self, faults: Faults | None) -> SlotMask | None:
        return None if faults is None else jax.lax.optimization_barrier(self.arrivals(faults))

    @override
    def highest(self, values: NodeFloats, arriving: SlotMask | None) -> NodeFloats:
        best = jnp.full(values.shape, jnp.finfo(values.dtype).min, values.dtype)
        for slot, reaches in enumerate(self._reaches(arriving)):
            best = jnp.where(reaches, jnp.maximum(best, self.take(values, slot)), best)
        return best

    @override
    def received(self, arriving: SlotMask | None) -> NodeInts:
        number = jnp.zeros(self.n_nodes, jnp.int32)
        return functools.reduce(lambda total, reaches: total + reaches, self._reaches(arriving), number)

    @override
    def out_degrees(self) -> NodeInts:
        number = jnp.zeros(self.n_nodes, jnp.int32)
        for slot in range(self.n_slots):
            number = number + self.give(jnp.broadcast_to(self.sends(slot), number.shape).astype(jnp.int32), slot)
        return number

    def _reaches(self, arriving: SlotMask | None) -> list[Array]:
        there = [self.sends(slot) for slot in range(self.n_slots)]
        return there if arriving is None else [one & arriving[:, slot] for slot, one in enumerate(there)]

    def arrivals(self, faults: Faults) -> SlotMask:
        """Return which slots bring a message to which node."""
        rows = jnp.arange(self.n_nodes, dtype=jnp.int32)
        return jnp.stack([faults.arrive(rows, self.take(rows, slot)) for slot in range(self.n_slots)], axis=1)

    @override
    def by_slots(self) -> "SlotOperator":
        check_one_by_one(self.n_slots)
        return self

    @override
    def to_scipy(self) -> sp.csr_array:
        n, rows = self.n_nodes, np.arange(self.n_nodes)
        with jax.ensure_compile_time_eval():  # also where a program is being traced
            sources = [rows, *(np.asarray(self.take(jnp.arange(n), slot)) for slot in range(self.n_slots))]
        weights = [self.self_weight, *(self.slot_weight(slot) for slot in range(self.n_slots))]
        values = np.concatenate([np.broadcast_to(np.asarray(weight, np.float64), n) for weight in weights])
        matrix = sp.csr_array((values, (np.tile(rows, len(sources)), np.concatenate(sources))), shape=(n, n))
        matrix.eliminate_zeros()
        return matrix


class TimeVarying(abc.ABC):
    """Mixing that changes from round to round; a pytree. What is drawn or periodic is data, never a Python loop.

    Attributes:
        n_nodes: number of nodes.
        numbering: that of its operators.
        conserves: likewise.
    """

    n_nodes: int
    numbering: str = ""
    conserves: ClassVar[Conserved] = "agreement"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__repr__ = cls.__repr__  # as an operator's

    def __repr__(self) -> str:
        mass = ["keeps mass"] if self.conserves == "mass" else []
        return f"{type(self).__name__}({', '.join([counted(self.n_nodes, 'node'), 'changes by round', *mass])})"

    @abc.abstractmethod
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        """Return the operator of ``round_number`` (scalar int32, may be traced), its randomness from ``key``."""


Mixing = Operator | TimeVarying
"""What an algorithm takes as its W."""


def column(weight: Array, like: Array | np.dtype) -> Array:
    """Return ``weight``, a scalar or (n,), in the dtype of ``like`` and ready to multiply rows (n, p)."""
    weight = weight.astype(getattr(like, "dtype", like))
    return weight[:, None] if weight.ndim else weight


def check_one_by_one(longest: int) -> None:
    """Check that nodes can hear ``longest`` others one by one.

    Raises:
        GraphError: they cannot.
    """
    if longest > MAX_SLOTS:
        raise GraphError(
            f"a node hears {longest:,} others, too many to hear them one by one",
            hint=f"a topology of degree {MAX_SLOTS} at most",
        )


__all__ = [
    "MAX_SLOTS",
    "Faults",
    "Mixing",
    "Operator",
    "SlotOperator",
    "TimeVarying",
    "check_one_by_one",
    "column",
]
