"""One round as seen by an algorithm: its number, its random keys, and its links."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgossip.core import counting
from jaxgossip.core.arguments import fits
from jaxgossip.core.devices.blocks import at_hand, count_rows, own, row_numbers
from jaxgossip.core.devices.exchanges import everyone
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import NodeDraws, pair_words, purpose_key, to_unit
from jaxgossip.core.typing import NodeFloats, NodeInts, NodeMask, PRNGKey, PyTree, Rows, accumulator, rounded
from jaxgossip.learning.problem import BatchLosses, Problem
from jaxgossip.mixing import Faults, Mixing, Operator
from jaxgossip.mixing.bursts import Bursts
from jaxgossip.mixing.fragments import Fragments, parts_of
from jaxgossip.network.adversaries import Scene
from jaxgossip.network.conditions import FAULTLESS, Conditions, surely
from jaxgossip.network.masks import both, chosen
from jaxgossip.network.traffic import Traffic
from jaxgossip.network.wallclock import LinkTransfer, ServerTransfer
from jaxgossip.topology import Order


@dataclass(frozen=True)
class Links:
    """The mixing operator of a round under the faults of the round.

    All calls on one ``Links`` have the same peers and losses: arrays that travel in one message arrive or are lost together.

    Attributes:
        operator: W of this round.
        faults: faults of this round; None if all messages arrive.
        n_shared: number of leading columns of a row that travel; None for the whole row.
        round: the round.
        purpose: name of the exchange.
    """

    operator: Operator
    faults: Faults | None
    n_shared: int | None
    round: "Round"
    purpose: str = "mix"

    def mix(self, x: Rows, weights: NodeFloats | None = None, *, payload: str = "model") -> Rows:
        """Return W x in the shared columns, (n, p), and x in the private ones.

        Rows are sent and returned in the dtype of the models, see :meth:`as_sent`.

        Args:
            x: (n, p), the rows of the nodes.
            weights: (n,) positive reliabilities r of the senders: y_i = Σ_j W_ij r_j x_j / Σ_j W_ij r_j.
            payload: name of the rows, if an exchange carries several, each with its own channel noise; a "weight" is not
                rounded to the dtype of the models.

        Raises:
            InputError: the conditions have an aggregation, and ``weights`` are given or W is push-sum mixing, or it compares
                losses and these rows have none.
        """
        # Materialized before the gather: fused into it, the computation of the rows would be repeated for each neighbour.
        x = jax.lax.optimization_barrier(x if payload == "weight" else self.as_sent(x))
        every = self.n_shared is None or self.n_shared == x.shape[1]
        shared = x if every else x[:, : self.n_shared]
        mixed = self._mix(shared, weights, payload, x[:, shared.shape[1] :])
        return mixed if every else jnp.concatenate([mixed, x[:, self.n_shared :]], axis=1)

    def _mix(self, x: Rows, weights: NodeFloats | None, payload: str, private: Float[Array, "n q"]) -> Rows:
        conditions, wide = self.round.conditions, accumulator(x.dtype)
        if self._plain and weights is None:
            return self.operator.mix(x, self.faults)
        sent = x
        if not surely(conditions.noise, 0):
            sent = sent + conditions.noise * self.round.normal(f"{self.purpose} {payload} noise", x.shape, wide)
        rule = conditions.aggregation
        loss_of = self._loss_of(x.shape[1], private, payload) if rule is not None and rule.compares_losses else None
        if isinstance(self.operator, Fragments):
            return self.operator.each(self._combined, self.faults, x, sent, options=(weights, loss_of))
        return self._combined(self.operator, self.faults, x, sent, weights, loss_of)

    def _combined(
        self,
        operator: Operator,
        faults: Faults | None,
        x: Rows,
        sent: Rows,
        weights: NodeFloats | None,
        loss_of: Callable[[Rows], NodeFloats] | None,
    ) -> Rows:
        """Return the rows x, or a fragment of these, combined with those that are ``sent``."""
        conditions, wide = self.round.conditions, accumulator(x.dtype)
        if self._plain and weights is not None:
            r = weights.astype(wide)[:, None]
            return (operator.mix(r * x, faults) / operator.mix(r, faults)).astype(x.dtype)
        scene = self.round.scene(x, sent.astype(wide), operator, faults)
        if conditions.aggregation is None:
            return scene.mean(weights).astype(x.dtype)
        if weights is not None or operator.conserves == "mass":
            raise InputError(
                f"aggregation '{conditions.aggregation.name}' does not go with "
                + ("reliabilities of senders" if weights is not None else "push-sum"),
                hint="leave out the section [aggregation]"
                + (", or weighting = 'uniform'" if weights is not None else ", or choose a method that mixes by rows"),
            )
        return conditions.aggregation.of(scene, self.round.number, loss_of).astype(x.dtype)

    def _loss_of(self, n_sent: int, private: Rows, payload: str) -> Callable[[Rows], NodeFloats]:
        """Return (n, q) shared columns of models -> (n,) losses on a minibatch of each row's node, the same at every call.

        Raises:
            InputError: the rows are no models, messages carry fragments of these, or the problem has no losses of minibatches.
        """
        rule, problem = self.round.conditions.aggregation, self.round.problem
        assert rule is not None
        if payload != "model":
            raise InputError(
                f"aggregation '{rule.name}' compares losses of models, and this method also mixes its {payload}",
                hint="a method that mixes models alone, such as algorithm.kind = 'dsgd'; or aggregation.kind = 'clipped'",
            )
        if isinstance(self.operator, Fragments):
            raise InputError(
                f"aggregation '{rule.name}' compares losses of whole models, of which messages carry fragments",
                hint="mixing.kind = 'fresh_regular' or another without fragments; or aggregation.kind = 'clipped'",
            )
        if not isinstance(problem, BatchLosses):
            named = "an unknown problem" if problem is None else type(problem).__name__
            raise InputError(
                f"aggregation '{rule.name}' compares losses on nodes' own samples, of which {named} has none",
                hint="give the problem a method batch_loss(x, key), x (n, p) -> (n,); or aggregation.kind = 'clipped'",
            )
        if (n_columns := n_sent + private.shape[1]) != getattr(problem, "n_params", n_columns):
            raise InputError(
                f"aggregation '{rule.name}' compares losses of whole models, and this method mixes without the private columns",
                hint="a method that mixes models as they are, such as algorithm.kind = 'dsgd'; or aggregation.kind = 'clipped'",
            )
        if getattr(problem, "privacy", None) is not None:
            raise InputError(
                f"aggregation '{rule.name}' compares losses on nodes' own samples, without the noise that keeps these private",
                hint="remove the section [privacy] (in Python: privacy=None), or aggregation.kind = 'clipped'",
            )
        key = self.round.key("compared losses")

        def loss_of(shared: Rows) -> NodeFloats:
            x = jnp.concatenate([shared, private.astype(shared.dtype)], axis=1) if private.shape[1] else shared
            return problem.batch_loss(x, key)

        return loss_of

    @property
    def _plain(self) -> bool:
        """Whether rows arrive as they are held, and are averaged."""
        conditions = self.round.conditions
        return surely(conditions.noise, 0) and conditions.adversary is None and conditions.aggregation is None

    def as_sent(self, rows: Rows) -> Rows:
        """Return ``rows`` as they are sent, rounded to the dtype of the models if they are of a wider one.

        A method that also uses locally the rows that it sends must take them from here, so that both are equal.
        """
        return rows if self.round.dtype is None else rounded(rows, self.round.dtype)

    def check_plain(self, name: str) -> None:
        """Check that no condition acts on mixing, for exchanges that do not use :meth:`mix`.

        Raises:
            InputError: the conditions have noise, liars or an aggregation, which would have no effect.
        """
        if unused := self.round.conditions.on_mixing:
            raise InputError(
                f"{unused[0]}: of no effect on {name}, whose messages are no models that nodes take the mean of",
                hint=f"remove {' and '.join(unused)} (in Python: of Conditions), or algorithm.kind = 'dsgd'",
            )

    def kept(self, like: Rows | None = None) -> Float[Array, "n c"]:
        """Return (n, 1): the weight of each node's own row in this round, in the dtype of computation.

        Args:
            like: (n, p) rows. Of mixing in fragments, whose weights are others in each, (n, p) is returned: those of every
                column, and 1 in private ones.
        """
        dtype = jnp.result_type(float) if self.round.dtype is None else accumulator(self.round.dtype)
        n_rows = count_rows(self.operator.n_nodes)

        def of(operator: Operator, faults: Faults | None, rows: Rows) -> Rows:
            weight, _ = operator.hear(jnp.zeros((n_rows, 1), dtype), faults)
            return jnp.broadcast_to(jnp.broadcast_to(weight, (n_rows,))[:, None], rows.shape)

        if like is None or not isinstance(self.operator, Fragments):
            return of(self.operator, self.faults, jnp.zeros((n_rows, 1), dtype))
        shared = jnp.zeros((n_rows, self._width(like)), dtype)
        private = ((0, 0), (0, like.shape[1] - shared.shape[1]))
        return jnp.pad(self.operator.each(of, self.faults, shared), private, constant_values=1)

    def maximum(self, values: Int[Array, " n"]) -> Int[Array, " n"]:
        """Return (n,): the largest of each node's own value and those it receives; exact below 2²⁴."""
        return self.operator.maximum(values.astype(jnp.float32), self.faults).astype(values.dtype)

    def sent(self, *arrays: Rows | Array, metadata: tuple[Array, ...] = (), repeats: int = 1) -> Traffic:
        """Return the traffic of one message per link.

        Args:
            arrays: (n, p) or (n,) arrays, of each of which a message carries one row, in the dtype of the models.
            metadata: likewise, for what is not part of a model: ages, weights, scales, in their own dtypes.
            repeats: number of such messages per link, with the losses of exchanges 0, 1, … of this purpose.
        """
        extra = sum(self._width(values) * values.dtype.itemsize for values in metadata)
        sizes = [jax.eval_shape(self.as_sent, rows).dtype.itemsize for rows in arrays]
        if not isinstance(self.operator, Fragments):
            data = sum(self._width(rows) * size for rows, size in zip(arrays, sizes, strict=True))
            return self._traffic((data,), extra, repeats)
        each = [0] * len(self.operator.operators)
        for rows, size in zip(arrays, sizes, strict=True):
            widths = (1,) * len(each) if rows.ndim == 1 else self.operator.widths(self._width(rows))
            each = [data + width * size for data, width in zip(each, widths, strict=True)]
        return self._traffic(tuple(each), extra, repeats)

    def sent_bytes(self, data: int, metadata: int = 0, *, repeats: int = 1) -> Traffic:
        """Return the traffic of one message per link, of ``data`` bytes of model values and ``metadata`` other bytes.

        Raises:
            InputError: rows are in fragments, of which it is not known how many bytes are in each.
        """
        if isinstance(self.operator, Fragments):
            raise InputError(
                "mixing in fragments goes with methods that send whole rows, not parts of them or compressed ones",
                hint="mixing.kind = 'static', or algorithm.kind = 'dsgd'",
            )
        return self._traffic((data,), metadata, repeats)

    def _traffic(self, data: tuple[int, ...], metadata: int, repeats: int) -> Traffic:
        """Return the traffic of one message per link, of ``data`` bytes of model values in each fragment."""
        sizes, each = tuple(of_one + metadata for of_one in data), []
        for operator, size in zip(parts_of(self.operator), sizes, strict=True):
            messages = operator.messages(self.faults)
            if repeats != 1:
                messages = counting.times(messages, repeats)
            each.append(Traffic(messages, counting.times(messages, size), counting.times(messages, metadata)))
        size = sizes if isinstance(self.operator, Fragments) else sizes[0]
        exchanges = (LinkTransfer(self.operator, self.faults, size, repeats),) if self.round.timed else ()
        return replace(functools.reduce(Traffic.__add__, each), exchanges=exchanges)

    def _width(self, array: Array) -> int:
        if array.ndim == 1:
            return 1
        return array.shape[1] if self.n_shared is None else min(self.n_shared, array.shape[1])


@dataclass(frozen=True)
class Round:
    """The context of one ``step``.

    Attributes:
        number: scalar int32, number of earlier rounds.
        run_key: key of the run.
        n_nodes: number of nodes.
        conditions: conditions of the network.
        order: the order of the rows; None if row i is node i.
        timed: whether traffic must contain its exchanges, for virtual time or energy.
        liars: (n,) bool by row, the liars; None for those of the adversary in ``conditions``.
        dtype: dtype of the models, in which rows are sent; None to send rows in their own dtypes.
        problem: the learning problem, for aggregations that compare losses; None if unknown.
        alive: (n,) bool by row, the nodes whose batteries are not spent; None if all are. The others are offline.
    """

    number: Int[Array, ""]
    run_key: PRNGKey
    n_nodes: int
    conditions: Conditions = FAULTLESS
    order: Order | None = None
    timed: bool = False
    liars: NodeMask | None = None
    dtype: np.dtype | None = None
    problem: Problem | BatchLosses | None = field(default=None, repr=False, compare=False)
    alive: NodeMask | None = field(default=None, repr=False, compare=False)
    online: NodeMask | None = field(init=False, repr=False, compare=False)
    """(n,) bool by row: the nodes that take part; None if all do."""
    works: NodeMask | None = field(init=False, repr=False, compare=False)
    """(n,) bool by row: the nodes that do their local work in this round; None if all do."""
    _key: PRNGKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Drawn once for all who ask: XLA does not merge equal draws, each of which is a loop to compile and to run.
        object.__setattr__(self, "_key", jax.random.fold_in(self.run_key, self.number))
        object.__setattr__(self, "online", both(self._draw_online(), self.alive))
        object.__setattr__(self, "works", self._draw_works())

    def key(self, purpose: str) -> PRNGKey:
        """Return the key of this round for ``purpose``, the same at every call."""
        return purpose_key(self._key, purpose)

    def _draw_online(self) -> NodeMask | None:
        if surely(self.conditions.online, 1):
            return None
        if self.conditions.session == 1:
            return self.draws.uniform(self.key("online")) < self.conditions.online
        # A draw holds for a session; the sessions of different nodes begin in different rounds.
        length, node = self.conditions.session, self.draws.numbers().astype(jnp.uint32)
        key = purpose_key(self.run_key, "online")
        phase, _ = pair_words(key, node, jnp.full_like(node, 0xFFFFFFFF))
        session = (self.number.astype(jnp.uint32) + phase % jnp.uint32(length)) // jnp.uint32(length)
        return to_unit(pair_words(key, node, session)[0]) < self.conditions.online

    def _draw_works(self) -> NodeMask | None:
        if surely(self.conditions.straggle, 0):
            return None
        return self.draws.uniform(self.key("straggle")) >= self.conditions.straggle

    @property
    def nodes(self) -> NodeInts | None:
        """(n,) int32, the node of each row; None if row i is node i."""
        if self.order is None:
            return None if at_hand() is None else row_numbers(self.n_nodes)
        return own(self.order.nodes)

    @property
    def draws(self) -> NodeDraws:
        """Draws by node: those of a node are the same whatever its row, and whichever rows are at hand."""
        return NodeDraws(self.n_nodes, None if self.order is None else self.order.nodes)

    def by_row(self, drawn: Array) -> Array:
        """Return draws (n, …) in order of the nodes, reordered by row."""
        return own(drawn if self.order is None else drawn[self.order.nodes])

    def normal(self, purpose: str, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """Return standard normal numbers of ``shape`` (n, …), drawn in order of the nodes with the key of ``purpose``."""
        return self.draws.normal(self.key(purpose), shape[1:], dtype)

    @property
    def _side(self) -> NodeInts | None:
        """(n,) int32 by row, of all nodes: the side of a split network that each is on; None without a split."""
        if self.conditions.split == 1:
            return None
        side = jnp.arange(self.n_nodes) * self.conditions.split // self.n_nodes
        side = (side if self.order is None else side[self.order.nodes]).astype(jnp.int32)
        split = (self.number >= self.conditions.split_at) & (self.number < self.conditions.heal_at)
        return jnp.where(split, side, 0)

    @property
    def _bursts(self) -> Bursts | None:
        """How failures of links last, for all exchanges of the run alike; None if they are drawn anew."""
        length = self.conditions.link_burst
        return None if length == 0 else Bursts(purpose_key(self.run_key, "link_burst"), self.number, length)

    def links(self, W: Mixing, n_shared: int | None = None, purpose: str = "mix", exchange: Any = 0) -> Links:
        """Return this round's links under ``W``.

        Args:
            W: mixing, fixed or time-varying.
            n_shared: number of leading columns of a row that travel (``problem.n_shared``); None for the whole row.
            purpose: name of the exchange, if a round has several with independent peers and losses.
            exchange: number of the exchange, if a round has several of one purpose; may be traced.

        Raises:
            InputError: W has another number of nodes than the problem, or another order of the rows.
        """
        fits("mixing", W.n_nodes, "a problem", self.n_nodes)
        if W.numbering != ("" if self.order is None else self.order.numbering):
            raise InputError(
                "the mixing and the problem have the nodes in different rows",
                hint="give the problem order=graph.order, of the graph that W was made of",
            )
        peers, drop = (self.key(f"{purpose} {draw}") for draw in ("peers", "drop"))
        if not (isinstance(exchange, int) and exchange == 0):
            peers, drop = (jax.random.fold_in(key, exchange) for key in (peers, drop))
        operator = W.at(self.number, peers)
        if n_shared is not None and isinstance(operator, Fragments):
            operator = operator.of_width(n_shared)
        if self.conditions.lossless and self.alive is None:
            return Links(operator, None, n_shared, self, purpose)
        online = None if (mask := self.online) is None else everyone(mask)
        nodes = None if self.order is None else jnp.asarray(self.order.nodes)
        faults = Faults(drop, self.conditions.drop, online, nodes, self.conditions.link_drop, self._side, self._bursts)
        return Links(operator, faults, n_shared, self, purpose)

    def scene(self, x: Rows, sent: Rows, operator: Operator, faults: Faults | None) -> Scene:
        """Return the exchange as seen by adversaries and aggregations, ``sent`` being the rows that honest nodes send."""
        adversary, liars = self.conditions.adversary, self.liars
        if adversary is not None and liars is None:
            mask = adversary.mask(self.n_nodes)
            liars = own(mask if self.order is None else mask[self.order.nodes])
        return Scene.of(x.astype(sent.dtype), sent, operator, faults, adversary, liars)

    def at_server(
        self, nodes: NodeMask, size: int, sent: int | None = None, **others: NodeMask
    ) -> tuple[ServerTransfer, ...]:
        """Return the exchanges with a server that waits for ``nodes`` (n,) bool: ``size`` bytes each way, or other ``sent``.

        ``others`` are the ``receivers`` and ``senders`` (n,) of a :class:`.ServerTransfer`, where these are not ``nodes``.
        """
        return (ServerTransfer(nodes, size, size if sent is None else sent, **others),) if self.timed else ()

    def keep_offline(self, new: PyTree, old: PyTree) -> PyTree:
        """Return ``new`` with the rows of offline nodes taken from ``old``; every leaf has the node axis first."""
        return chosen(self.online, new, old)
