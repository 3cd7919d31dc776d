"""One round as an algorithm sees it: its number, its random keys, and the links that hold in it."""

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgossip.errors import InputError
from jaxgossip.mixing import Faults, Mixing, Operator, counting
from jaxgossip.network.conditions import FAULTLESS, Conditions
from jaxgossip.network.traffic import Traffic
from jaxgossip.random import purpose_key
from jaxgossip.topology import Order
from jaxgossip.typing import NodeInts, NodeMask, PRNGKey, PyTree, Rows, accumulator


@dataclass(frozen=True)
class Links:
    """This round's mixing operator under this round's faults.

    Every call on one ``Links`` meets the same peers and the same losses: arrays that travel together fare alike.
    """

    operator: Operator
    faults: Faults | None
    n_shared: int | None

    def mix(self, x: Rows, weights: Float[Array, " n"] | None = None) -> Rows:
        """Return W x of the shared columns; private columns stay as they are.

        Args:
            x: (n, p).
            weights: (n,) positive reliabilities r of the senders: y_i = Σ_j W_ij r_j x_j / Σ_j W_ij r_j.
        """
        # Rows are settled before they are gathered: fused into the gather, whatever made them would run once a neighbour.
        x = jax.lax.optimization_barrier(x)
        every = self.n_shared is None or self.n_shared == x.shape[1]
        shared = x if every else x[:, : self.n_shared]
        if weights is None:
            mixed = self.operator.mix(shared, self.faults)
        else:
            r = weights.astype(accumulator(x.dtype))[:, None]
            mixed = self.operator.mix(r * shared, self.faults) / self.operator.mix(r, self.faults)
            mixed = mixed.astype(x.dtype)
        return mixed if every else jnp.concatenate([mixed, x[:, self.n_shared :]], axis=1)

    def maximum(self, values: Int[Array, " n"]) -> Int[Array, " n"]:
        """Return (n,): the largest of a node's own value and those it hears; exact below 2²⁴."""
        return self.operator.maximum(values.astype(jnp.float32), self.faults).astype(values.dtype)

    def sent(self, *arrays: Rows | Float[Array, " n"]) -> Traffic:
        """Return the traffic of one message a link that carries a row (or a number) of each of ``arrays``."""
        messages = self.operator.messages(self.faults)
        row_bytes = sum(self._width(array) * array.dtype.itemsize for array in arrays)
        return Traffic(messages, counting.times(messages, row_bytes))

    def _width(self, array: Array) -> int:
        if array.ndim == 1:
            return 1
        return array.shape[1] if self.n_shared is None else min(self.n_shared, array.shape[1])


@dataclass(frozen=True)
class Round:
    """The context of one ``step``.

    Attributes:
        number: scalar int32, rounds done before this one.
        run_key: the key of the run.
        n_nodes: number of nodes.
        conditions: what the network does to messages and nodes.
        order: in which rows the nodes stand; None where row i is node i.
    """

    number: Int[Array, ""]
    run_key: PRNGKey
    n_nodes: int
    conditions: Conditions = FAULTLESS
    order: Order | None = None

    def key(self, purpose: str) -> PRNGKey:
        """Return this round's key for ``purpose``; the same purpose gives the same key."""
        return purpose_key(jax.random.fold_in(self.run_key, self.number), purpose)

    @cached_property
    def online(self) -> NodeMask | None:
        """(n,) bool, row by row: the nodes that take part; None if all do."""
        if self.conditions.online == 1:
            return None
        online = jax.random.uniform(self.key("online"), (self.n_nodes,)) < self.conditions.online
        return online if self._nodes is None else online[self._nodes]

    @property
    def _nodes(self) -> NodeInts | None:
        return None if self.order is None else jnp.asarray(self.order.nodes)

    def links(self, W: Mixing, n_shared: int | None = None, purpose: str = "mix") -> Links:
        """Return this round's links under ``W``.

        Args:
            W: an operator or a schedule of them.
            n_shared: leading columns of a row that travel (``problem.n_shared``); None: the whole row.
            purpose: names the exchange, where a round has several with losses of their own.

        Raises:
            InputError: W and the problem have the nodes in different rows.
        """
        if W.numbering != ("" if self.order is None else self.order.numbering):
            raise InputError(
                "the mixing and the problem have the nodes in different rows",
                hint="give the problem order=graph.order, of the graph that W was made of",
            )
        operator = W.at(self.number, self.key(f"{purpose} peers"))
        if self.conditions.faultless:
            return Links(operator, None, n_shared)
        faults = Faults(self.key(f"{purpose} drop"), self.conditions.drop, self.online, self._nodes)
        return Links(operator, faults, n_shared)

    def keep_offline(self, new: PyTree, old: PyTree) -> PyTree:
        """Return ``new`` with the rows of offline nodes as in ``old``; every leaf has the node axis first."""
        online = self.online
        if online is None:
            return new
        return jax.tree.map(lambda a, b: jnp.where(online.reshape((-1,) + (1,) * (a.ndim - 1)), a, b), new, old)
