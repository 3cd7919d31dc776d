"""Mixing of rows in fragments, each of which has an operator of its own: X = (X_1, …, X_K) by columns, X_f ← W_f X_f.

Every fragment travels in a message of its own, which carries the numbers of that fragment alone, and is lost by itself. A link
that fails in a round fails for all of them.

Which columns belong to a fragment is known to all nodes: indices never travel. A row of p numbers has p fragments at most.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, override

import jax
import jax.numpy as jnp
import scipy.sparse as sp
from jaxtyping import Array, Int, UInt32

from jaxgossip.core import counting
from jaxgossip.core.counting import Count
from jaxgossip.core.errors import GraphError
from jaxgossip.core.pytree import pytree_dataclass
from jaxgossip.core.random import purpose_key
from jaxgossip.core.typing import NodeFloats, NodeInts, PRNGKey, Rows, derived
from jaxgossip.core.units import counted
from jaxgossip.mixing.bijection import random_bijection
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.operator import Operator, SlotOperator


@pytree_dataclass
class Fragments(Operator):
    """The operators of the fragments of a row.

    Attributes:
        operators: W_f of each fragment.
        seed: () uint32, of the permutation of the columns that are then divided; None to divide them in their order.
    """

    operators: tuple[Operator, ...]
    seed: UInt32[Array, ""] | None

    @derived
    @override
    def n_nodes(self) -> int:
        return self.operators[0].n_nodes

    @derived
    @override
    def n_links(self) -> int | None:
        links = [operator.n_links for operator in self.operators if operator.n_links is not None]
        return sum(links) if len(links) == len(self.operators) else None

    @derived
    @override
    def numbering(self) -> str:
        return self.operators[0].numbering

    def of_width(self, width: int) -> "Fragments":
        """Return the fragments of rows of ``width`` numbers, of which each has one at least."""
        return self if width >= len(self.operators) else Fragments(self.operators[:width], self.seed)

    def widths(self, width: int) -> tuple[int, ...]:
        """Return how many of ``width`` columns each fragment has: equally many, but for one."""
        bounds = _bounds(width, len(self.operators))
        return tuple(high - low for low, high in itertools.pairwise(bounds))

    def columns(self, width: int) -> tuple[Int[Array, " c"], ...]:
        """Return the numbers of the columns of each fragment, of rows of ``width`` numbers."""
        of_width = self.of_width(width)
        places, bounds = of_width.places_of(width), _bounds(width, len(of_width.operators))
        columns = jnp.arange(width) if places is None else places[0]
        return tuple(columns[low:high] for low, high in itertools.pairwise(bounds))

    def each(
        self, combine: Callable[..., Rows], faults: Faults | None, *rows: Rows, options: Sequence[Any] = ()
    ) -> Rows:
        """Return (n, p): the columns that ``combine`` gives of every fragment.

        Args:
            combine: (operator, faults, *rows of the fragment) -> its rows, combined.
            faults: faults of the round; None if all messages arrive.
            rows: (n, p) arrays, of each of which it gets the columns of the fragment.
            options: what it gets beside these.
        """
        width = rows[0].shape[1]
        if width < len(self.operators):
            return self.of_width(width).each(combine, faults, *rows, options=options)
        if (places := self.places_of(width)) is not None:
            rows = tuple(_columns(array, places[0]) for array in rows)
        bounds, combined = _bounds(width, len(self.operators)), []
        for number, operator in enumerate(self.operators):
            own = [array[:, bounds[number] : bounds[number + 1]] for array in rows]
            combined.append(combine(operator, of_fragment(faults, number), *own, *options))
        joined = jnp.concatenate(combined, axis=1)
        return joined if places is None else _columns(joined, places[1])

    def places_of(self, width: int) -> tuple[Int[Array, " p"], Int[Array, " p"]] | None:
        """Return (the column at each place, the place of each column); None if columns stay in their order."""
        if self.seed is None or len(self.operators) == 1:
            return None
        bijection, numbers = random_bijection(jax.random.key(self.seed), width), jnp.arange(width, dtype=jnp.uint32)
        return bijection.inverse(numbers).astype(jnp.int32), bijection(numbers).astype(jnp.int32)

    @override
    def mix(self, x: Rows, faults: Faults | None, sent: Rows | None = None) -> Rows:
        def mixed(operator: Operator, faults: Faults | None, *rows: Rows) -> Rows:
            return operator.mix(rows[0], faults, rows[1] if len(rows) > 1 else None)

        return self.each(mixed, faults, x, *([] if sent is None else [sent]))

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        raise self._no_one_matrix("a node's own weight")

    @override
    def arriving(self, faults: Faults | None) -> tuple[Any, ...]:
        return tuple(operator.arriving(of_fragment(faults, number)) for number, operator in enumerate(self.operators))

    @override
    def highest(self, values: NodeFloats, arriving: tuple[Any, ...]) -> NodeFloats:
        pairs = zip(self.operators, arriving, strict=True)
        return jnp.stack([operator.highest(values, of_one) for operator, of_one in pairs]).max(0)

    @override
    def received(self, arriving: tuple[Any, ...]) -> NodeInts:
        pairs = zip(self.operators, arriving, strict=True)
        return jnp.stack([operator.received(of_one) for operator, of_one in pairs]).sum(0)

    @override
    def out_degrees(self) -> NodeInts:
        return jnp.stack([operator.out_degrees() for operator in self.operators]).sum(0)

    @override
    def sent(self, faults: Faults | None) -> NodeInts:
        return jnp.stack([operator.sent(faults) for operator in self.operators]).sum(0)

    @override
    def messages(self, faults: Faults | None) -> Count:
        sums = counting.count(0)
        for operator in self.operators:
            sums = counting.add(sums, operator.messages(faults))
        return sums

    @override
    def to_scipy(self) -> sp.csr_array:
        raise self._no_one_matrix("W")

    @override
    def by_slots(self) -> SlotOperator:
        raise self._no_one_matrix("what a node hears")

    def _no_one_matrix(self, what: str) -> GraphError:
        number = counted(len(self.operators), "fragment")
        return GraphError(
            f"{what} is another in each of {number}, which have mixing of their own",
            hint="mixing.kind = 'static' or another without fragments (in Python: one of W.operators)",
        )


def parts_of(operator: Operator) -> tuple[Operator, ...]:
    """Return the operators of all fragments, or the only one of rows that travel whole."""
    return operator.operators if isinstance(operator, Fragments) else (operator,)


def of_fragment(faults: Faults | None, number: int) -> Faults | None:
    """Return the faults that the messages of a fragment meet."""
    return faults if faults is None or number == 0 else faults._replace(fragment=number)


def fragment_key(key: PRNGKey, number: int) -> PRNGKey:
    """Return the key by which the peers of a fragment are drawn: for the first, that of rows that travel whole."""
    return key if number == 0 else purpose_key(key, f"fragment {number}")


def _bounds(width: int, fragments: int) -> list[int]:
    return [number * width // fragments for number in range(fragments + 1)]


def _columns(rows: Rows, columns: Int[Array, " p"]) -> Rows:
    return rows.at[:, columns].get(mode="promise_in_bounds", unique_indices=True, wrap_negative_indices=False)
