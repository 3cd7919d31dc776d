"""The rows that nodes hear, one by one, and rules that combine them."""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from jaxgossip.core.arguments import check_fields
from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.core.typing import NodeFloats, NodeMask, Rows
from jaxgossip.mixing.fragments import parts_of
from jaxgossip.mixing.operator import Mixing, Operator, SlotOperator

if TYPE_CHECKING:
    from jaxgossip.network.adversaries import Scene


@dataclass(frozen=True)
class Heard:
    """The rows that every node hears, by slot.

    Attributes:
        x: (n, p), the rows that nodes hold.
        rows: n_slots arrays (n, p), one heard row per node each.
        weights: (n, n_slots), 0 where nothing arrived.
        lying: (n, n_slots) bool, whether the sender lies; None if all are honest. Only oracles may use it.
        round: () int32, number of earlier rounds.
        loss_of: (n, p) -> (n,), the loss of a row of each node on a minibatch of its own; None for rules that compare none.
    """

    x: Rows
    rows: tuple[Rows, ...]
    weights: Float[Array, "n k"]
    lying: Bool[Array, "n k"] | None
    round: Int[Array, ""]
    loss_of: Callable[[Rows], NodeFloats] | None = None

    @classmethod
    def of(
        cls, scene: "Scene", round_number: Int[Array, ""], loss_of: Callable[[Rows], NodeFloats] | None = None
    ) -> "Heard":
        """Return the rows that nodes hear in an exchange of round ``round_number``.

        Raises:
            GraphError: W has no slot form, or a node has too many senders.
        """
        slots, n, dtype = senders(scene.operator), scene.x.shape[0], scene.x.dtype
        rows, lying = [slots.take(scene.sent, k) for k in range(slots.n_slots)], None
        weights = jnp.stack(
            [jnp.broadcast_to(slots.slot_weight(k), (n,)).astype(dtype) for k in range(slots.n_slots)], axis=1
        )
        if scene.faults is not None:
            weights = jnp.where(slots.arrivals(scene.faults), weights, 0)
        if scene.liars is not None:
            lying = jnp.stack([slots.take(scene.liars, k) for k in range(slots.n_slots)], axis=1)
            if scene.targeted is not None:
                rows = [jnp.where(lying[:, k, None], scene.targeted, row) for k, row in enumerate(rows)]
        return cls(scene.x, tuple(rows), weights, lying, round_number, loss_of)

    @classmethod
    def of_numbers(
        cls, scene: "Scene", round_number: Int[Array, ""], loss_of: Callable[[Rows], NodeFloats] | None = None
    ) -> "Heard":
        """Return what ``of`` does, without rows that are not finite: a node sees that they are not, and takes them as lost.

        They are looked for where they are sent, once for all who hear them.
        """
        slots = senders(scene.operator)
        sent, finite = _numbers(scene.sent)
        arrived = jnp.stack([slots.take(finite, k) for k in range(slots.n_slots)], axis=1)
        if scene.targeted is None:
            heard = cls.of(replace(scene, sent=sent), round_number, loss_of)
        else:
            targeted, finite = _numbers(scene.targeted)
            heard = cls.of(replace(scene, sent=sent, targeted=targeted), round_number, loss_of)
            assert heard.lying is not None, "as there are liars"
            arrived &= finite[:, None] | ~heard.lying
        return replace(heard, weights=jnp.where(arrived, heard.weights, 0))

    @property
    def arrived(self) -> Bool[Array, "n k"]:
        """(n, n_slots) bool: which rows arrived."""
        return self.weights != 0

    def squared_distances(self) -> Float[Array, "n k"]:
        """Return (n, n_slots): ‖h_k − x_i‖²."""
        return jnp.stack([jnp.square(row - self.x).sum(1) for row in self.rows], axis=1)

    def losses(self) -> tuple[Float[Array, "n 1"], Float[Array, "n k"]]:
        """Return the loss of each node's own row (n, 1) and of the rows that it hears (n, n_slots), on the same minibatch.

        They are computed by one program, row after row: rows that are equal have equal losses.
        """
        assert self.loss_of is not None, "of a rule that compares losses"
        each = jax.lax.map(self.loss_of, jnp.stack([self.x, *self.rows]))
        return each[0][:, None], each[1:].T

    def pulled(self, factors: Float[Array, "n k"]) -> Rows:
        """Return (n, p): x_i + Σ_k factors_ik (h_k − x_i)."""
        terms = (factors[:, k, None] * (row - self.x) for k, row in enumerate(self.rows))
        return self.x + functools.reduce(operator.add, terms)


def _numbers(rows: Rows) -> tuple[Rows, NodeMask]:
    """Return (rows, finite): the rows (n, p), of zeros where they are not finite, and which of them are, (n,) bool."""
    finite = jnp.isfinite(rows).all(1)
    return jnp.where(finite[:, None], rows, 0), finite


def senders(operator: Operator) -> SlotOperator:
    """Return the slot form of ``operator``.

    Raises:
        GraphError: it has none, or a node has too many senders.
    """
    try:
        return operator.by_slots()
    except GraphError as error:
        raise GraphError(
            f"robust aggregation hears senders one by one: {error.message}",
            hint=f"{error.hint}; or leave out the section [aggregation] (in Python: aggregation=None)",
        ) from error


@dataclass(frozen=True)
class Aggregation:
    """A rule that combines the rows heard.

    Attributes:
        name: name of the rule.
        combine: heard -> (n, p), the combined rows.
        least_heard: number of rows that every node must hear when no message is lost, its own not among them.
        by_message: whether it can be applied to one message after the other, each of all the weight, as they arrive.
        compares_losses: whether it asks for the losses of rows, which then have to be models of a problem that has them.
    """

    name: str
    combine: Callable[[Heard], Rows]
    least_heard: int = 0
    compares_losses: bool = False
    by_message: bool = False

    def __post_init__(self) -> None:
        check_fields("aggregation", self)

    def of(
        self, scene: "Scene", round_number: Int[Array, ""], loss_of: Callable[[Rows], NodeFloats] | None = None
    ) -> Rows:
        """Return (n, p): what the rule makes of the rows that nodes hear and that are finite.

        Raises:
            GraphError: W has no slot form, or a node has too many senders.
        """
        return self.combine(Heard.of_numbers(scene, round_number, loss_of))

    def check_mixing(self, W: Mixing) -> None:
        """Check that under ``W`` all nodes hear as many others as the rule needs.

        Raises:
            InputError: a node hears too few.
            GraphError: W has no slot form, or a node has too many senders.
        """
        if self.least_heard == 0 or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(W)):
            return
        parts = parts_of(W.at(jnp.int32(0), jax.random.key(0)))
        fewest = min(int(senders(part).received(None).min()) for part in parts)
        if fewest < self.least_heard:
            raise InputError(
                f"{self.name} needs {self.least_heard} neighbours or more at every node, and one has {fewest}",
                hint="a topology of higher degree, such as random_regular; or fewer aggregation.liars; or "
                "aggregation.kind = 'trimmed_mean'",
            )
