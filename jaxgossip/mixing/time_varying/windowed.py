"""Mixing in windows: some rounds have another W than the others, as a dense one for a while, or one merge of all models."""

from collections.abc import Callable
from typing import Any, override

import jax
import jax.numpy as jnp
import scipy.sparse as sp
from jaxtyping import Array, Bool

from jaxgossip.core.arguments import guarded
from jaxgossip.core.counting import Count
from jaxgossip.core.devices.blocks import count_rows
from jaxgossip.core.errors import GraphError
from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.typing import NodeFloats, NodeInts, PRNGKey, Rows, accumulator, derived
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.fragments import Fragments, fragment_key
from jaxgossip.mixing.operator import Mixing, Operator, SlotOperator, TimeVarying
from jaxgossip.mixing.operators.structured import AxisMean
from jaxgossip.mixing.time_varying.fresh import FreshRegular


@pytree_dataclass
class Either(Operator):
    """One of two operators, of which only the one that holds is computed.

    Attributes:
        usual: the operator of rounds outside the window.
        inside: the mixing of rounds within.
        within: () bool, whether the round is.
        number: () int32, the round, with which ``inside`` is made.
        key: key of its draws.
    """

    usual: Operator
    inside: Mixing
    within: Bool[Array, ""]
    number: Array
    key: PRNGKey

    @derived
    @override
    def n_nodes(self) -> int:
        return self.usual.n_nodes

    @derived
    @override
    def numbering(self) -> str:
        return self.usual.numbering

    def _of(self, usual: Callable[[Operator], Any], inside: Callable[[Operator], Any] | None = None) -> Any:
        """Return what the operator that holds gives."""
        return jax.lax.cond(self.within, lambda: (inside or usual)(self._inner()), lambda: usual(self.usual))

    def _inner(self) -> Operator:
        return self.inside.at(self.number, self.key)

    @override
    def mix(self, x: Rows, faults: Faults | None, sent: Rows | None = None) -> Rows:
        return self._of(lambda operator: operator.mix(x, faults, sent))

    @override
    def hear(self, sent: Rows, faults: Faults | None) -> tuple[Array, Rows]:
        dtype, n = accumulator(sent.dtype), count_rows(self.n_nodes)

        def heard(operator: Operator) -> tuple[Array, Rows]:
            own, rows = operator.hear(sent, faults)
            return jnp.broadcast_to(own.astype(dtype), (n,)), rows.astype(dtype)

        return self._of(heard)

    @override
    def arriving(self, faults: Faults | None) -> tuple[Any, Any]:
        if faults is None:
            return self.usual.arriving(None), self._inner().arriving(None)
        masks = jax.eval_shape(lambda: self._inner().arriving(faults))
        nothing = jax.tree.map(lambda mask: jnp.zeros(mask.shape, mask.dtype), masks)
        inside = jax.lax.cond(self.within, lambda: self._inner().arriving(faults), lambda: nothing)
        return self.usual.arriving(faults), inside

    @override
    def highest(self, values: NodeFloats, arriving: tuple[Any, Any]) -> NodeFloats:
        usual, inside = arriving
        return self._of(
            lambda operator: operator.highest(values, usual), lambda operator: operator.highest(values, inside)
        )

    @override
    def received(self, arriving: tuple[Any, Any]) -> NodeInts:
        usual, inside = arriving
        return self._of(lambda operator: operator.received(usual), lambda operator: operator.received(inside))

    @override
    def out_degrees(self) -> NodeInts:
        return self._of(lambda operator: operator.out_degrees())

    @override
    def messages(self, faults: Faults | None) -> Count:
        # Of draws, a number of messages needs none: within a branch they would not be left out.
        return jnp.where(self.within, self._inner().messages(faults), self.usual.messages(faults))

    @override
    def to_scipy(self) -> sp.csr_array:
        return (self._inner() if self.within else self.usual).to_scipy()

    @override
    def by_slots(self) -> SlotOperator:
        return EitherSlots(self.usual.by_slots(), self._inner().by_slots(), self.within)


@pytree_dataclass
class EitherSlots(SlotOperator):
    """One of two slot operators; a slot that it lacks brings each node its own row, with weight 0.

    Attributes:
        usual: the operator of rounds outside the window.
        inside: that of rounds within.
        within: () bool, whether the round is.
    """

    usual: SlotOperator
    inside: SlotOperator
    within: Bool[Array, ""]

    @derived
    @override
    def n_nodes(self) -> int:
        return self.usual.n_nodes

    @derived
    @override
    def numbering(self) -> str:
        return self.usual.numbering

    @property
    @override
    def n_slots(self) -> int:
        return max(self.usual.n_slots, self.inside.n_slots)

    @derived
    @override
    def self_weight(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride] - that of what it holds
        return self._chosen(self.inside.self_weight, self.usual.self_weight)

    def _chosen(self, inside: Array, usual: Array) -> Array:
        return jnp.where(self.within, inside, usual)

    @override
    def slot_weight(self, slot: int) -> Array:
        def of(operator: SlotOperator) -> Array:
            return operator.slot_weight(slot) if slot < operator.n_slots else jnp.zeros(())

        return self._chosen(of(self.inside), of(self.usual))

    @override
    def take(self, x: Array, slot: int) -> Array:
        def of(operator: SlotOperator) -> Array:
            return operator.take(x, slot) if slot < operator.n_slots else x

        return jax.lax.cond(self.within, lambda: of(self.inside), lambda: of(self.usual))

    @override
    def sends(self, slot: int) -> Array:
        def of(operator: SlotOperator) -> Array:
            return jnp.asarray(operator.sends(slot)) if slot < operator.n_slots else jnp.zeros((), bool)

        return self._chosen(of(self.inside), of(self.usual))


@pytree_dataclass
class Windowed(TimeVarying):
    """Mixing of which some rounds have another W; see :func:`windowed`.

    Attributes:
        usual: mixing of the rounds outside the window.
        inside: mixing of the rounds within.
        start: first round of the window.
        rounds: number of its rounds.
    """

    usual: Mixing
    inside: Mixing
    start: int = static_field()
    rounds: int = static_field()

    @derived
    @override
    def n_nodes(self) -> int:
        return self.usual.n_nodes

    @derived
    @override
    def numbering(self) -> str:
        return self.usual.numbering

    @override
    def at(self, round_number: Array, key: PRNGKey) -> Operator:
        number = jnp.asarray(round_number)
        within = (number >= self.start) & (number < self.start + self.rounds)
        usual = self.usual.at(number, key)
        if not isinstance(usual, Fragments):
            return Either(usual, self.inside, within, number, key)
        parts = (
            Either(part, self.inside, within, number, fragment_key(key, fragment))
            for fragment, part in enumerate(usual.operators)
        )
        return Fragments(tuple(parts), usual.seed)


@guarded
def windowed(W: Mixing, *, start: int, rounds: int = 1, degree: int | None = None) -> TimeVarying:
    """Return mixing that for some rounds is dense: over a new random regular graph each round, or of all nodes at once.

    One round of all nodes is the exact mean: a single merge, as of Zhu et al. 2025, "On the surprising effectiveness
    of a single global merging in decentralized learning". Its messages are those of the complete graph. Of mixing in fragments,
    every fragment has its own dense graph.

    Args:
        W: mixing of all other rounds.
        start: first round of the window, from 0.
        rounds: number of its rounds.
        degree: number of nodes that each node hears in a round of the window; None for all others.

    Raises:
        GraphError: ``start`` is negative, ``rounds`` is below one, ``degree`` is not from 1 to n − 1, or W is push-sum mixing.
    """
    n = W.n_nodes
    if start < 0 or rounds < 1:
        raise GraphError(f"windowed: start must be at least 0 and rounds at least 1, not {start} and {rounds}")
    if degree is not None and not 1 <= degree < n:
        raise GraphError(f"windowed: degree must be from 1 to {n - 1} on {n} nodes, not {degree}")
    if W.conserves == "mass":
        raise GraphError("windowed: push-sum mixing has no windows", hint="mixing.kind = 'static'")
    inside = AxisMean(jnp.asarray(1.0), (1, n, 1)) if degree is None else FreshRegular(n, degree)
    return Windowed(W, inside, start, rounds)
