"""Mixing on a new graph each round: a random regular graph, or a single random pair."""

from typing import override

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.devices.blocks import for_all, row_numbers
from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey
from jaxgossip.mixing.bijection import random_bijection
from jaxgossip.mixing.operator import Operator, TimeVarying
from jaxgossip.mixing.operators.tables import Slots
from jaxgossip.mixing.time_varying.peers import RandomPeers, draw_distinct, pair_averaging


@pytree_dataclass
class FreshRegular(TimeVarying):
    """A new random graph each round, of in- and out-degree s = ``degree``: W = (I + A)/(s + 1).

    Node i hears π⁻¹(π(i) + o_k) for a random permutation π and s distinct random offsets o_k. Nodes are exchangeable, so
    a round leaves exactly β = (1 − s/(n−1))/(s+1) of the squared disagreement in expectation, as does any other
    exchangeable s-regular graph. This is EL-Oracle (de Vos et al. 2023, "Epidemic learning").
    """

    n_nodes: int = static_field()
    degree: int = static_field()

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        n, keys = self.n_nodes, jax.random.split(key)
        offsets = 1 + draw_distinct(keys[0], jnp.full(1, n - 1, jnp.int32), self.degree)[0]
        bijection = random_bijection(keys[1], n)
        rows = jnp.minimum(row_numbers(n), n - 1)
        seat = materialize(bijection(rows.astype(jnp.uint32)).astype(jnp.int32))
        sources = tuple(
            materialize(bijection.inverse(((seat + offset) % n).astype(jnp.uint32)).astype(jnp.int32))
            for offset in offsets
        )
        share = jnp.asarray(1 / (1 + self.degree))
        return Slots(share, (share,) * self.degree, sources, n * self.degree, balanced=True)


@pytree_dataclass
class RandomPair(RandomPeers):
    """Every round one random node averages with one of its neighbours at random; all others are idle.

    A round is a clock tick of Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip algorithms", section II-A.
    """

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        keys = jax.random.split(key)
        caller, called = for_all(lambda: self._pair(keys[0], keys[1]))
        node = row_numbers(self.n_nodes)
        partner = jnp.where(node == caller, called, jnp.where(node == called, caller, node))
        return pair_averaging(materialize(partner), 2, self.neighbours.numbering)

    def _pair(self, of_caller: PRNGKey, of_called: PRNGKey) -> tuple[Array, Array]:
        """Draw the rows, () int32 each, of the node that calls and the neighbour that it calls."""
        # The caller is the node with the largest of distinct ranks, so the draw does not depend on the order of the rows.
        numbers = self.neighbours.draws.numbers().astype(jnp.uint32)
        caller = jnp.argmax(random_bijection(of_caller, self.n_nodes)(numbers)).astype(jnp.int32)
        return caller, self.neighbours.choose(of_called, 1)[caller, 0]
