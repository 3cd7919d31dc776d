"""Problems whose nodes each fit a model to their own samples. Losses and gradients are vmapped over nodes only here.

A model's pytree is ravelled into one row, so that mixing is a single pass for any model, and unravelled inside the
vmapped loss. Private columns, which stay on their node, come last. Samples are stored once and indexed by node.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key, Num, UInt32

from jaxgossip.core.devices.blocks import Layout, count_rows
from jaxgossip.core.devices.exchanges import node_mean, only_nodes, sum_over_nodes
from jaxgossip.core.pytree import HostOnly
from jaxgossip.core.random import purpose_key
from jaxgossip.core.rows import bytes_a_row, in_blocks, keep_sums, rows_at_a_time, sum_of_blocks
from jaxgossip.core.typing import Align, DrawNumbers, NodeFloats, NodeInts, PRNGKey, PyTree, Row, Rows, accumulator
from jaxgossip.core.units import counted, rows_text
from jaxgossip.learning.augmentation.draws import Augmentation, Draws, augmented, draws_of, sample_keys
from jaxgossip.learning.data.owners import OwnerNumbers
from jaxgossip.learning.data.scaling import Scaling
from jaxgossip.learning.epochs import Draw
from jaxgossip.learning.minibatches import Minibatches, SampleGradients, key_of
from jaxgossip.learning.models.checks import check_training
from jaxgossip.learning.models.layout import aligned, layout, starts
from jaxgossip.learning.models.model import Model
from jaxgossip.learning.models.recalibration import Models, recalibration
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.partitions.summary import Heterogeneity, heterogeneity
from jaxgossip.learning.privacy import DifferentialPrivacy
from jaxgossip.learning.table import Table
from jaxgossip.topology import Order

DEEP_BYTES = 2**20
"""Intermediate results of one node's gradient of one sample from which on nodes are computed in blocks."""


class SampledProblem(SampleGradients):
    """A problem in which every node owns some samples of one table; subclasses define the metrics.

    Args:
        model: what each node trains.
        x: (m, …) samples: as returned by ``model.prepare``; those of uint8, and all where there are augmentations, are
            prepared where they are used.
        y: (m, …) targets that the model takes.
        partition: the samples of each node.
        batch_size: samples per gradient; 0 takes all samples of the node, exactly.
        sampling: "replacement" draws each sample of a batch independently, "epochs" takes them in a shuffled order.
        init: "same" starts all nodes from one model, "independent" draws a model for each node.
        private: names of top-level parameters that stay on their node.
        dtype: dtype of the models; models of 16 bits are computed with in float32.
        order: the node that each row of memory holds.
        privacy: clips the gradients and adds noise.
        scaling: what uint8 samples are scaled with; None for none.
        owners: (m,) int32, the owner of each sample; None if unknown.
        augment: what changes samples in training, in this order.
        nodes_at_a_time: number of nodes whose gradients are computed at a time; 0 chooses it by the device.

    Raises:
        DataError: the samples are too unequal to be taken all at once.
        InputError: parameters that are not floats, a private name that the model does not have, or no parameters left to share.
    """

    per_node = ("sample_counts",)
    own_nodes_only = False
    init_gain = 1.0

    def __init__(
        self,
        model: Model,
        x: Array,
        y: Array,
        partition: Partition,
        *,
        batch_size: int,
        init: Literal["same", "independent"],
        private: Sequence[str],
        dtype: np.dtype,
        order: Order | None,
        privacy: DifferentialPrivacy | None,
        scaling: Scaling | None = None,
        sampling: Literal["replacement", "epochs"] = "replacement",
        owners: OwnerNumbers | None = None,
        augment: Sequence[Augmentation] = (),
        nodes_at_a_time: int = 0,
    ) -> None:
        self.model, self.batch_size, self.dtype, self.order, self.privacy = model, batch_size, dtype, order, privacy
        self._at_a_time, self._kind = nodes_at_a_time, accumulator(dtype)
        self._same_start, self._augment = init == "same", tuple(augment)
        self.n_nodes, self._flipped = partition.n_train.size, HostOnly(partition.flipped)
        self._owners = HostOnly(owners)
        self.layout = layout(model, private, dtype)
        self.n_params, self.n_shared = self.layout.n_params, self.layout.n_shared
        self._table = Table(x, y)
        self._scaling = jax.tree.map(lambda leaf: jnp.asarray(leaf, self._kind), scaling)
        in_epochs, sample_bytes = sampling == "epochs", x[0].nbytes
        self._batches = Minibatches(partition, order, batch_size, in_epochs=in_epochs, sample_bytes=sample_bytes)
        n_train = np.asarray(self._batches.n_train)
        self.sample_counts = jnp.asarray(n_train, jnp.float32)
        check_training(model, n_train, batch_size, by_epochs=self._batches.by_epochs, private=privacy is not None)
        most = int(n_train.max())
        b = batch_size or most
        self._recalibration = recalibration(model, self.layout, b, -(-most // b), lambda: self._prepared(x[:2]))

    def __repr__(self) -> str:
        samples = f"{counted(self._table.x.shape[0], 'sample')}, {self.batch_size or 'all'} of a node in a gradient"
        return f"{type(self).__name__}({rows_text(self.n_nodes, self.n_params)}, {samples})"

    @property
    def align(self) -> Align | None:
        """Alignment of received models with the receiver's own; None if the model needs none."""
        return self.model.align and partial(aligned, self.model.align, self.layout, self._kind)

    @property
    def flipped(self) -> tuple[int, ...]:
        """The nodes whose labels are flipped."""
        return self._flipped.value

    @property
    def partition(self) -> Partition:
        """The samples of each node, in the order of the graph's nodes, as row numbers of :attr:`targets`."""
        return self._batches.divided(len(self._table.y), self.order, self.flipped)

    @property
    def targets(self) -> np.ndarray:
        """(m, …), the target of each sample of the table."""
        return np.asarray(self._table.y)

    @property
    def owners(self) -> np.ndarray | None:
        """(m,) int32, the owner of each sample of the table; None if unknown."""
        return self._owners.value

    def heterogeneity(self) -> Heterogeneity:
        """Return how samples, classes, owners or values fall on nodes."""
        return heterogeneity(self.partition, self.targets, self.owners, self.batch_size)

    @property
    def samples_a_node(self) -> tuple[int, float, int]:
        """The smallest, mean and largest number of samples that a node trains on."""
        counts = np.asarray(self.sample_counts)
        return int(counts.min()), float(counts.mean(dtype=np.float64)), int(counts.max())

    def by_owner(self, layout: Layout, mesh: Mesh, least_bytes: int) -> "SampledProblem":
        """Return the problem with the samples of its own nodes alone on each device, if the table has ``least_bytes``.

        Not where nodes share samples, nor if statistics are recalibrated: any device then needs the samples of any node.
        """
        whole = self._recalibration is not None or self._batches.n_samples > len(self._table.y)
        if whole or self._table.nbytes < least_bytes:
            return self
        (batches, parts), other = self._batches.parted(layout), copy.copy(self)
        vars(other).update(_batches=batches, _table=self._table.parted(parts, mesh), own_nodes_only=True)
        return other

    def init(self, key: PRNGKey) -> Rows:
        """Return the initial models (n, p), either all the same or drawn independently."""
        draw = starts(self.model, self.layout, self.init_gain, key)
        if self._same_start:
            return jnp.broadcast_to(draw(key), (count_rows(self.n_nodes), self.n_params))
        return jax.vmap(lambda node: draw(jax.random.fold_in(key, node)))(self._batches.numbers())

    def gradient(self, x: Rows, key: PRNGKey | Draw) -> Rows:
        """Return (n, p): the gradient of the mean loss on each node's minibatch, plus regularization · x.

        Nodes that go through epochs need the number of the step, which a :class:`Draw` has.

        With ``privacy``, the gradient of every sample is clipped and noise is added to their mean; a node's noise is a
        function of (key, node number). The regularization does not depend on the data and is added without noise.
        """
        return self._gradients(x, *self._batches.draw(key), key_of(key), self._batches.numbers())

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return (b, p): the same at x[j] for the node of row ``nodes[j]``; samples and noise are drawn by (key, numbers[j]).

        Each number has its own minibatch: words of (key, number), modulo the node's number of samples.
        """
        samples, used = self._batches.draw_at(nodes, key, numbers)
        return self._gradients(x, samples, used, key, numbers)

    def mean_gradient(self, x: Rows, key: PRNGKey | Draw) -> Rows:
        """Return (1, p): the mean over nodes of their minibatch gradients at the one model x (1, p).

        This is the centralised reference, which trusts the aggregator: never clipped or noisy, whatever ``privacy``. The
        gradient of a node that does not take the step counts as zero.
        """
        samples, used = self._batches.draw(key)
        takes = key.takes if isinstance(key, Draw) else None
        if self.model.forward is not None:
            everywhere = jnp.broadcast_to(x, (count_rows(self.n_nodes), self.n_params))
            each = self._gradients(everywhere, samples, used, key_of(key), self._batches.numbers())
            each = each if takes is None else jnp.where(takes[:, None], each, 0)
            return node_mean(each, self.n_nodes).astype(each.dtype)
        row = x[0].astype(self._kind)
        shares = 1 / samples.shape[1] if used is None else used.astype(self._kind) / used.sum(1, keepdims=True)
        shares = jnp.broadcast_to(jnp.asarray(shares, self._kind) / self.n_nodes, samples.shape)
        decay: Any = self.model.regularization
        if takes is not None:
            shares = jnp.where(takes[:, None], shares, 0)
            decay = decay * node_mean(takes.astype(self._kind), self.n_nodes)[0]
        draws = draws_of(self._augment, self._batches.numbers(), samples)

        # All nodes hold the same model, so the mean of their gradients is the gradient of one weighted sum over
        # samples and never needs n rows.
        def gradient(part: tuple[Array, Array, Draws]) -> Row:
            some, shares, draws = part
            keys = None if draws is None else sample_keys(key_of(key), *draws)
            return jax.grad(lambda row: (self._losses(row, some, keys) * shares).sum())(row)

        parts = jax.tree.map(jnp.ravel, (samples, only_nodes(shares), draws))
        total = sum_over_nodes(sum_of_blocks(gradient, parts)) + decay * row
        return total[None].astype(x.dtype)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return (b,): mean loss of x[j] on all training samples of the node of row ``nodes[j]``, plus regularization.

        Samples are padded to those of the largest node. Exact, whatever ``privacy``; statistics are those of evaluation.
        """
        batches, models = self._batches.of_all(), self.recalibrated(x.astype(self._kind), nodes)
        return in_blocks(lambda pair: self._objective(pair[0], *batches.every(pair[1])), (models, nodes))

    def batch_loss(self, x: Rows, key: PRNGKey) -> NodeFloats:
        """Return (n,): mean loss of each row on a minibatch of its node, plus regularization.

        Samples are drawn independently also where nodes go through epochs. Exact, whatever ``privacy``; batch statistics are
        those of the rows.
        """
        rows = (x.astype(self._kind), *self._batches.independent(key))
        return in_blocks(lambda row: self._objective(*row), rows, self._at_a_time)

    def recalibrated(self, x: Models, nodes: NodeInts) -> Models:
        """Return models x (s, p) as they are evaluated, with statistics of the samples of the nodes of rows ``nodes`` (s,).

        A single model (1, p) has the mean over all ``nodes``. Unchanged unless the model's ``state_rule`` is "recalibrated";
        see :mod:`.recalibration`.
        """
        if self._recalibration is None:
            return x
        batches = self._batches.of_all()
        return self._recalibration(
            x, nodes, batches.n_train, lambda *own: self._prepared(self._table.samples(batches.own(*own)))
        )

    def _gradients(
        self,
        x: Rows,
        samples: Int[Array, "b m"],
        used: Bool[Array, "b m"] | None,
        key: PRNGKey,
        numbers: NodeInts | DrawNumbers,
    ) -> Rows:
        """Return the gradient of each row of x on its samples.

        With ``privacy``, noise is drawn by (key, numbers[j]), and augmentations by (key, numbers[j], place in the minibatch).
        """
        gradient, rows = self._gradient_of_node(x, samples, used, key, numbers)
        if self._fuses(gradient, rows):
            # Scores and gradient each look the sample up: if kept in between, the samples of all nodes would
            # form an array as large as their models.
            fused = jax.grad(jax.checkpoint(self._objective, policy=keep_sums))
            return jax.vmap(fused)(*rows[:3]).astype(x.dtype)
        return in_blocks(gradient, rows, self._at_a_time).astype(x.dtype)

    def _gradient_of_node(
        self,
        x: Rows,
        samples: Int[Array, "b m"],
        used: Bool[Array, "b m"] | None,
        key: PRNGKey,
        numbers: NodeInts | DrawNumbers,
    ) -> tuple[Callable[[Any], Row], tuple[Any, ...]]:
        """Return the gradient of one node as a function of its rows, and the rows of all."""
        draws = draws_of(self._augment, numbers, samples)
        rows = x.astype(self._kind), samples, used, None if draws is None else sample_keys(key, *draws)
        if (drawing := self._drawing_gradient(key)) is not None:
            return lambda node: drawing(*node), (*rows, numbers)
        return lambda node: jax.grad(self._objective)(*node), rows

    def _fuses(self, gradient: Callable[[Any], Row], rows: tuple[Any, ...]) -> bool:
        """Return whether the gradients of all nodes are computed at once, fused with the step that uses them.

        Blocks keep a minibatch in the cache, but a single sample is hardly larger than its row, unless models are deep; if it
        is augmented, that would be computed for each look-up.
        """
        is_plain = self.model.forward is None and self.privacy is None and not self._augment
        return is_plain and rows[1].shape[1] == 1 and bytes_a_row(gradient, rows) < DEEP_BYTES

    @property
    def nodes_at_a_time(self) -> int:
        """How many nodes' gradients are computed at a time, so that their intermediate results stay in cache, or in memory."""
        found = [min(self._at_a_time, self.n_nodes)]

        def look(x: Rows) -> None:
            key = jax.random.key(0)
            gradient, rows = self._gradient_of_node(x, *self._batches.some(key), key, self._batches.numbers())
            found.append(self.n_nodes if self._fuses(gradient, rows) else rows_at_a_time(gradient, rows))

        if not self._at_a_time:
            jax.eval_shape(look, jax.ShapeDtypeStruct((self.n_nodes, self.n_params), self.dtype))
        return found[-1]

    def _drawing_gradient(self, key: PRNGKey) -> Callable[..., Row] | None:
        """Return (row, samples, used, keys, number) -> one node's gradient that is drawn by the number, if anything is."""
        if self.model.forward is not None:
            return partial(self._training_gradient, purpose_key(key, "training"))
        return None if self.privacy is None else partial(self._private_gradient, purpose_key(key, "privacy noise"))

    def _objective(
        self, row: Row, samples: Int[Array, " b"], used: Bool[Array, " b"] | None, keys: Key[Array, " b"] | None = None
    ) -> Array:
        """Return one node's objective on some samples; ``used`` marks those that count, None if all do."""
        return self._mean_loss(row, self._losses(row, samples, keys), used)

    def _mean_loss(self, row: Row, losses: Float[Array, " b"], used: Bool[Array, " b"] | None) -> Array:
        loss = losses.mean() if used is None else jnp.where(used, losses, 0).sum() / used.sum()
        if not self.model.regularization:
            return loss
        trained = jnp.where(self.layout.is_state, 0, row) if self.layout.state else row
        return loss + self.model.regularization / 2 * (trained @ trained)

    def _training_gradient(
        self,
        key: PRNGKey,
        row: Row,
        samples: Int[Array, " b"],
        used: Bool[Array, " b"] | None,
        keys: Key[Array, " b"] | None,
        number: Int[Array, ""] | UInt32[Array, ""],
    ) -> Row:
        """Return one node's gradient of what ``model.forward`` computes; dropout is drawn by (key, number).

        In the columns of the state it is what the state loses in the step, so that a step of rate 1 updates it.
        """
        inputs, y = self._prepared(self._table.samples(samples), keys), self._table.targets(samples)

        def objective(row: Row) -> tuple[Array, PyTree]:
            assert self.model.forward is not None
            assert self.model.loss is not None
            outputs, state = self.model.forward(self.params(row), inputs, jax.random.fold_in(key, number))
            return self._mean_loss(row, self.model.loss(outputs, y), used), state

        gradient, state = jax.grad(objective, has_aux=True)(row)
        if not self.layout.state:
            return gradient
        after = self.layout.join({**self.layout.split(row), **state}, row.dtype)
        return jnp.where(self.layout.is_state, row - after, gradient)

    def _private_gradient(
        self,
        key: PRNGKey,
        row: Row,
        samples: Int[Array, " b"],
        used: Bool[Array, " b"] | None,
        keys: Key[Array, " b"] | None,
        number: Int[Array, ""] | UInt32[Array, ""],
    ) -> Row:
        """Return one node's private gradient, which holds b gradients at a time; noise is drawn by (key, number)."""
        assert self.privacy is not None

        def loss(row: Row, sample: Array, key: PRNGKey | None) -> Array:
            return self._losses(row, sample[None], None if key is None else key[None])[0]

        each = jax.vmap(jax.grad(loss), (None, 0, 0))(row, samples, keys)
        return self.privacy.mean(each, used, jax.random.fold_in(key, number)) + self.model.regularization * row

    def _losses(self, row: Row, samples: Int[Array, " b"], keys: Key[Array, " b"] | None = None) -> Float[Array, " b"]:
        """Return the loss of one model on each sample, augmented if there are ``keys``."""
        x = self._prepared(self._table.samples(samples), keys)
        return self.model.losses(self.params(row), x, self._table.targets(samples))

    def _prepared(self, x: Num[Array, "b ..."], keys: Key[Array, " b"] | None = None) -> Num[Array, "b ..."]:
        """Return stored samples as the model takes them: cast, scaled, augmented with ``keys`` if any, and prepared.

        Floats that are never augmented were prepared when they were stored.
        """
        if x.dtype == jnp.uint8:
            x = x.astype(self._kind)
            x = x if self._scaling is None else self._scaling(x)
        elif not self._augment:
            return x
        return self.model.prepare(x if keys is None else augmented(self._augment, keys, x))

    def params(self, row: Row) -> PyTree:
        """Return the model's parameters, private ones included, from a row (p,) such as one of a result's ``x``.

        Parameters are float32 where models have 16 bits, as in all computation.
        """
        return self.layout.unravel(jnp.asarray(row).astype(self._kind))

    def row(self, params: PyTree) -> Row:
        """Return parameters as a row (p,) in the models' dtype: the inverse of :meth:`params`."""
        return self.layout.ravel(params)
