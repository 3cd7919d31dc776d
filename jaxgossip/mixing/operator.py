"""Mixing operators: X ← W X on the rows of X.

    y_i = x_i + Σ_j W_ij (x_j − x_i) = (1 − Σ_j W_ij) x_i + Σ_j W_ij x_j          (rows of W sum to one)

Under faults the sum runs over the messages that arrive. **The weight of a lost message stays with its receiver**, so rows
still sum to one; an offline node receives nothing, sends nothing, and keeps its row.

The rows s_j that nodes send may differ from the rows x_j that they hold (channel noise, a Byzantine node); then
y_i = W_ii x_i + Σ_j W_ij s_j.
"""

import abc
import functools
import operator
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from jaxgossip.core.counting import Count, count, total
from jaxgossip.core.devices.blocks import count_rows, own, row_numbers
from jaxgossip.core.devices.exchanges import everyone
from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.core.typing import NodeFloats, NodeInts, PRNGKey, Rows, SlotMask, accumulator
from jaxgossip.core.units import counted
from jaxgossip.mixing.faults import Faults

Conserved = Literal["agreement", "mass"]
MAX_SLOTS = 128
"""Most senders per node of a slot operator: each slot is a pass over all rows."""


class Operator(abc.ABC):
    """The mixing of one round: a pytree, applied to the rows of an array.

    Subclasses implement the arithmetic in :meth:`hear`, and :meth:`to_scipy`. Questions about who hears whom go to
    :attr:`links`, by default the slot form of W (:meth:`by_slots`); an operator with a cheaper answer overrides
    :meth:`arriving`, :meth:`highest`, :meth:`received` and :meth:`out_degrees`. Everything else is derived from these.

    An operator is the constant case of time-varying mixing: ``W.at(round, key)`` is ``W``. Rows of 16-bit numbers are
    summed in float32 and rounded once.

    Attributes:
        n_nodes: number of nodes.
        n_links: messages per round when all nodes are online; None if they have to be counted each round.
        numbering: the order of the rows; empty if row i is node i (see :class:`jaxgossip.topology.Order`).
        conserves: the sums that message loss leaves at one: "agreement" for those of rows, "mass" for those of columns.
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
        """Return W x, shape (n, p).

        Raises:
            InputError: ``x`` does not have n rows.
        """
        x = jnp.asarray(x)
        if x.ndim != 2 or x.shape[0] != self.n_nodes:
            raise InputError(f"W mixes {self.n_nodes:,} rows (n, p), not an array of shape {x.shape}")
        return self.mix(x, None)

    def at(self, round_number: jax.Array, key: PRNGKey) -> "Operator":  # noqa: ARG002 - as of TimeVarying
        """Return this round's operator, which is itself."""
        return self

    def mix(self, x: Rows, faults: Faults | None, sent: Rows | None = None) -> Rows:
        """Return W x under ``faults``, shape (n, p).

        Args:
            x: (n, p), the rows that nodes hold.
            faults: the faults of the round; None if every message arrives.
            sent: (n, p), the rows that nodes send; None if they send ``x``.
        """
        own, heard = self.hear(x if sent is None else sent, faults)
        return (column(own, heard) * x + heard).astype(x.dtype)

    @abc.abstractmethod
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        """Return (own, heard): the weight of each node's own row, scalar or (n,), and Σ_j W_ij sent_j, (n, p), not rounded."""

    @property
    def links(self) -> "Operator":
        """An operator with the same links, of any weights."""
        return self.by_slots()

    def arriving(self, faults: Faults | None) -> Any:
        """Return which messages arrive, as a mask in this operator's own layout; None if all do.

        The mask is materialized: drawing the losses again for each use would cost more than the uses themselves.
        """
        return self.links.arriving(faults)

    def highest(self, values: NodeFloats, arriving: Any) -> NodeFloats:
        """Return (n,): the largest value that each node receives from others; the lowest finite number if none arrives."""
        return self.links.highest(values, arriving)

    def received(self, arriving: Any) -> NodeInts:
        """Return (n,) int32: the messages that reach each node in this round."""
        return self.links.received(arriving)

    def out_degrees(self) -> NodeInts:
        """Return (n,) int32: the messages that each node sends in this round when all nodes are online."""
        return self.links.out_degrees()

    def maximum(self, values: NodeFloats, faults: Faults | None) -> NodeFloats:
        """Return (n,): the largest of each node's own value and those it receives."""
        return jnp.maximum(values, self.highest(values, self.arriving(faults)))

    def sent(self, faults: Faults | None) -> NodeInts:
        """Return (n,) int32: the messages that each node sends in this round, whether or not they arrive."""
        number = self.out_degrees()
        return number if faults is None or faults.online is None else jnp.where(own(faults.online), number, 0)

    def messages(self, faults: Faults | None) -> Count:
        """Return the number of messages sent in this round, including those that are lost."""
        if self.n_links is not None and (faults is None or faults.online is None):
            return count(self.n_links)
        return total(self.sent(faults).astype(jnp.uint32))

    @abc.abstractmethod
    def to_scipy(self) -> sp.csr_array:
        """Return W as an (n, n) float64 SciPy CSR array, built from the arrays of this operator."""

    def as_matrix(self) -> np.ndarray:
        """Return W as an (n, n) float64 NumPy array, built from the arrays of this operator."""
        return self.to_scipy().toarray()

    def by_slots(self) -> "SlotOperator":
        """Return the same W as a slot operator, which accesses senders one at a time.

        Raises:
            GraphError: this operator has no such form, or a node has more than ``MAX_SLOTS`` senders.
        """
        raise GraphError(
            f"{'push-sum' if self.conserves == 'mass' else type(self).__name__.lower()} mixing does not tell one sender "
            "from another",
            hint="mixing.kind = 'static', 'matching' or 'pull'",
        )


class SlotOperator(Operator):
    """An operator made of ``n_slots`` movements of rows: y_i = s_i x_i + Σ_k w_ki x_{source_k(i)}.

    Subclasses implement :meth:`take`, the movement of a slot; arithmetic and faults are handled here.

    Attributes:
        self_weight: scalar or (n,), the weight of a node's own row.
        weights: a scalar or (n,) per slot; 0 where the slot brings a node nothing.
    """

    per_node = ("self_weight", "weights")
    self_weight: Array
    weights: tuple[Array, ...]

    @abc.abstractmethod
    def take(self, x: Array, slot: int) -> Array:
        """Return (n, …): the row that ``slot`` brings to each node."""

    def slot_weight(self, slot: int) -> Array:
        """Return the scalar or (n,) weight of ``slot``."""
        return self.weights[slot]

    @property
    def n_slots(self) -> int:
        """The most rows that a node hears."""
        return len(self.weights)

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        dtype = accumulator(sent.dtype)
        if faults is None:
            return self.self_weight, self.weighted(sent, [self.slot_weight(slot) for slot in range(self.n_slots)])
        arrived = self.arrivals(faults)
        own = jnp.ones(count_rows(self.n_nodes), dtype)
        weights = [jnp.where(arrived[:, slot], self.slot_weight(slot).astype(dtype), 0) for slot in range(self.n_slots)]
        return functools.reduce(operator.sub, weights, own), self.weighted(sent, weights)

    def weighted(self, sent: Rows, weights: Sequence[Array]) -> Rows:
        """Return (n, p), at least float32: the sum over slots of scalar or (n,) ``weights`` times the rows that they bring."""
        dtype = accumulator(sent.dtype)
        terms = (column(weight, dtype) * self.take(sent, slot) for slot, weight in enumerate(weights))
        return functools.reduce(operator.add, terms, jnp.zeros((), dtype))

    def sends(self, slot: int) -> Array:
        """Return scalar or (n,) bool: whether ``slot`` brings each node a row when all nodes are online."""
        return self.slot_weight(slot) != 0

    def give(self, values: Array, slot: int) -> Array:
        """Return (n,): the values at the receivers of ``slot``, summed at its senders; the transpose of :meth:`take`."""
        sources, values = everyone(self.take(row_numbers(self.n_nodes), slot)), everyone(values)
        return own(jnp.zeros_like(values).at[sources].add(values, mode="promise_in_bounds"))

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
        number = jnp.zeros(count_rows(self.n_nodes), jnp.int32)
        return functools.reduce(lambda total, reaches: total + reaches, self._reaches(arriving), number)

    @override
    def out_degrees(self) -> NodeInts:
        number = jnp.zeros(count_rows(self.n_nodes), jnp.int32)
        for slot in range(self.n_slots):
            number = number + self.give(jnp.broadcast_to(self.sends(slot), number.shape).astype(jnp.int32), slot)
        return number

    def _reaches(self, arriving: SlotMask | None) -> list[Array]:
        sends = [self.sends(slot) for slot in range(self.n_slots)]
        return sends if arriving is None else [sent & arriving[:, slot] for slot, sent in enumerate(sends)]

    def arrivals(self, faults: Faults) -> SlotMask:
        """Return (n, n_slots) bool: whether the message of each slot reaches each node."""
        rows = row_numbers(self.n_nodes)
        return jnp.stack([faults.arrive(rows, self.take(rows, slot)) for slot in range(self.n_slots)], axis=1)

    @override
    def by_slots(self) -> "SlotOperator":
        check_sender_count(self.n_slots)
        return self

    @override
    def to_scipy(self) -> sp.csr_array:
        n, rows = self.n_nodes, np.arange(self.n_nodes)
        with jax.ensure_compile_time_eval():  # also while a program is being traced
            sources = [rows, *(np.asarray(self.take(jnp.arange(n), slot)) for slot in range(self.n_slots))]
        weights = [self.self_weight, *(self.slot_weight(slot) for slot in range(self.n_slots))]
        values = np.concatenate([np.broadcast_to(np.asarray(weight, np.float64), n) for weight in weights])
        matrix = sp.csr_array((values, (np.tile(rows, len(sources)), np.concatenate(sources))), shape=(n, n))
        matrix.eliminate_zeros()
        return matrix


class TimeVarying(abc.ABC):
    """Mixing that changes from round to round; a pytree.

    :meth:`at` is traced once for all rounds: draws and periods are data, never Python loops.

    Attributes:
        n_nodes: number of nodes.
        numbering: the order of the rows of its operators.
        conserves: the sums that its operators conserve, as in :class:`Operator`.
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
        """Return the operator of ``round_number``, a scalar int32 that may be traced, with draws from ``key``."""


Mixing = Operator | TimeVarying
"""The W of an algorithm: fixed or time-varying."""


def column(weight: Array, like: Array | np.dtype) -> Array:
    """Return ``weight``, a scalar or (n,), in the dtype of ``like``, shaped to multiply rows (n, p)."""
    weight = weight.astype(getattr(like, "dtype", like))
    return weight[:, None] if weight.ndim else weight


def check_sender_count(most: int) -> None:
    """Check that a slot operator can have ``most`` senders per node.

    Raises:
        GraphError: there are more than ``MAX_SLOTS``.
    """
    if most > MAX_SLOTS:
        raise GraphError(
            f"a node hears {most:,} others, too many to hear them one by one",
            hint=f"a topology of degree {MAX_SLOTS} at most",
        )
