"""Periodic mixing: round r uses entry r mod T of arrays with a leading time axis."""

from collections.abc import Iterable
from typing import override

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgossip.core.arguments import plain, shown
from jaxgossip.core.devices.blocks import are_nodes, at_hand, row_numbers
from jaxgossip.core.errors import ArgumentTypeError, GraphError
from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, derived
from jaxgossip.mixing.operator import Operator, TimeVarying
from jaxgossip.mixing.operators.tables import Slots, padded_slots
from jaxgossip.topology.weights import Weights


@pytree_dataclass
class Periodic(TimeVarying):
    """A finite sequence of W, repeated.

    Attributes:
        self_weight: (T, n), the weight of each node's own row.
        weights: (T, k, n), the weight of each slot.
        sources: (T, k, n) int32, the row that each slot brings.
        balanced: whether each node sends as many messages as it hears in every W.
    """

    self_weight: Float[Array, "T n"]
    weights: Float[Array, "T k n"]
    sources: Int[Array, "T k n"]
    balanced: bool = static_field(default=False)

    @derived
    @override
    def n_nodes(self) -> int:
        return self.sources.shape[2]

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        t = round_number % self.sources.shape[0]
        return Slots(self.self_weight[t], tuple(self.weights[t]), tuple(self.sources[t]), balanced=self.balanced)


@pytree_dataclass
class PeriodicRows(TimeVarying):
    """Periodic mixing whose arrays have the node axis first, as they are spread over devices.

    Attributes:
        self_weight: (n, T), the weight of each node's own row.
        weights: (n, T, k), the weight of each slot.
        sources: (n, T, k) int32, the row that each slot brings.
        balanced: whether each node sends as many messages as it hears in every W.
    """

    per_node = ("self_weight", "weights", "sources")
    self_weight: Float[Array, "n T"]
    weights: Float[Array, "n T k"]
    sources: Int[Array, "n T k"]
    balanced: bool = static_field(default=False)

    @classmethod
    def of(cls, periodic: Periodic) -> "PeriodicRows":
        """Return the same mixing with the node axis first."""
        arrays = (periodic.self_weight, periodic.weights, periodic.sources)
        return cls(*(jnp.moveaxis(array, -1, 0) for array in arrays), balanced=periodic.balanced)

    @derived
    @override
    def n_nodes(self) -> int:
        block = at_hand()
        return self.sources.shape[0] if block is None else block.n_nodes

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        t = round_number % self.sources.shape[1]
        weights, sources = self.weights[:, t], self.sources[:, t]
        return Slots(self.self_weight[:, t], tuple(weights.T), tuple(sources.T), balanced=self.balanced)


def periodic(sequence: Iterable[Weights]) -> Periodic:
    """Return mixing that repeats ``sequence``, weights on graphs of the same nodes.

    Args:
        sequence: T weights, one per round of the period.

    Raises:
        GraphError: the sequence is empty, or its graphs have different numbers of nodes.
    """
    if not isinstance(sequence, Iterable):
        raise ArgumentTypeError(f"periodic: sequence must be a list of weights, not {shown(sequence)}")
    sequence = tuple(sequence)  # may be given as an iterator
    for weights in sequence:
        plain("periodic", "every graph's weights", weights, Weights)
    sizes = {weights.graph.n_nodes for weights in sequence}
    if len(sizes) != 1:
        raise GraphError(f"periodic mixing needs graphs on the same nodes, not of sizes {sorted(sizes)}")
    n = sizes.pop()
    slots = [
        padded_slots(w.graph.indptr, w.graph.indices, np.broadcast_to(w.edge, w.graph.indices.shape)) for w in sequence
    ]
    width = max(sources.shape[1] for sources, _ in slots)
    all_sources = np.broadcast_to(np.arange(n, dtype=np.int32)[:, None], (len(slots), n, width)).copy()
    all_weights = np.zeros((len(slots), n, width))
    for t, (sources, values) in enumerate(slots):
        all_sources[t, :, : sources.shape[1]] = sources
        all_weights[t, :, : sources.shape[1]] = values
    own = np.stack([np.broadcast_to(w.self_weight, n) for w in sequence])
    by_slot = (np.ascontiguousarray(table.swapaxes(1, 2)) for table in (all_weights, all_sources))
    balanced = all(np.array_equal(np.bincount(w.graph.indices, minlength=n), np.diff(w.graph.indptr)) for w in sequence)
    return Periodic(jnp.asarray(own), *(jnp.asarray(table) for table in by_slot), balanced=balanced)


@pytree_dataclass
class OnePeer(TimeVarying):
    """In round r each node averages with one peer, at distance 2^j with j = r mod τ, τ = ⌈log₂ n⌉.

    ``exponential``: i hears i + 2^j (mod n); directed, doubly stochastic. After τ rounds all rows are equal if and only if
    n = 2^τ (Ying et al. 2021, "Exponential graph is provably efficient for decentralized deep training"). ``hypercube``:
    i and i xor 2^j are paired; n must be a power of two.

    Attributes:
        n_nodes: number of nodes.
        pattern: "exponential" or "hypercube".
    """

    n_nodes: int = static_field()
    pattern: str = static_field()

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        distance = jnp.left_shift(1, round_number % max(1, (self.n_nodes - 1).bit_length()))
        node = row_numbers(self.n_nodes)
        source = (node + distance) % self.n_nodes if self.pattern == "exponential" else node ^ distance
        if (real := are_nodes(self.n_nodes)) is not None:
            source = jnp.where(real, source, node)
        half = jnp.asarray(0.5)
        return Slots(
            half,
            (half,),
            (materialize(source.astype(jnp.int32)),),
            n_links=self.n_nodes if self.n_nodes > 1 else 0,
            balanced=True,
        )
