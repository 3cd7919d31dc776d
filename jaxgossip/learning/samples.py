"""Problems whose nodes each fit a model to their own samples. Losses and gradients are vmapped over nodes only here.

A model's pytree is ravelled into one row, so that mixing is a single pass for any model, and unravelled inside the
vmapped loss. Private columns, which stay on their node, come last. Samples are stored once and indexed by node.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from jaxgossip.core.errors import DataError
from jaxgossip.core.pytree import HostOnly, Pytree
from jaxgossip.core.random import purpose_key
from jaxgossip.core.rows import gather, in_blocks, sum_of_blocks
from jaxgossip.core.typing import Align, DrawNumbers, NodeFloats, NodeInts, PRNGKey, PyTree, Row, Rows, accumulator
from jaxgossip.core.units import counted, rows_text
from jaxgossip.learning.device import integers_at, integers_below
from jaxgossip.learning.models.layout import layout
from jaxgossip.learning.models.model import Model
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.privacy import DifferentialPrivacy
from jaxgossip.topology import Order

MAX_PADDED_BYTES = 2**32
"""Largest size, over all nodes, of the samples that ``batch_size=0`` pads to those of the largest node."""


class SampledProblem(Pytree):
    """A problem in which every node owns some samples of one table; subclasses define the metrics.

    Args:
        model: what each node trains.
        x: (m, …) samples, as returned by ``model.prepare``.
        y: (m,) labels, or other targets that the model takes.
        partition: the samples of each node.
        batch_size: samples per gradient, drawn with replacement; 0 takes all samples of the node, exactly.
        init: "same" starts all nodes from one model, "independent" draws a model for each node.
        private: names of top-level parameters that stay on their node.
        dtype: dtype of the models; models of 16 bits are computed with in float32.
        order: the node that each row of memory holds.
        privacy: clips the gradients and adds noise.

    Raises:
        DataError: the samples are too unequal to be taken all at once.
        InputError: parameters that are not floats, a private name that the model does not have, or no parameters left to share.
    """

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
    ) -> None:
        self.model, self.batch_size, self.dtype, self.order, self.privacy = model, batch_size, dtype, order, privacy
        self._kind = accumulator(dtype)
        self._same_start = init == "same"
        self.n_nodes, self._flipped = partition.n_train.size, HostOnly(partition.flipped)
        self._layout = layout(model, private, dtype)
        self.n_params, self.n_shared = self._layout.n_params, self._layout.n_shared
        self._x, self._y = x, y
        nodes = slice(None) if order is None else order.nodes
        self._nodes = None if order is None else jnp.asarray(order.nodes)
        start, n_train, n_test = (
            array[nodes]
            for array in (partition.offsets[:-1], partition.n_train, np.diff(partition.offsets) - partition.n_train)
        )
        self.sample_counts = jnp.asarray(n_train, jnp.float32)
        self._samples = jnp.asarray(partition.order, jnp.int32)
        self._start = jnp.asarray(start, jnp.int32)
        self._n_train = jnp.asarray(n_train, jnp.int32)
        self._n_test = jnp.asarray(n_test, jnp.int32)
        self._most, self._most_test = int(n_train.max()), int(n_test.max())
        self._one_each = self._most == 1 and batch_size <= 1
        padded_bytes = self._most * self.n_nodes * self._x[0].nbytes
        if batch_size > 0 and not self._one_each:
            # Only losses over all samples are then padded, and partitions of similar sizes share their programs.
            self._most = 1 << (self._most - 1).bit_length()
        if batch_size == 0 and padded_bytes > MAX_PADDED_BYTES:
            raise DataError(
                f"batch_size = 0 pads {self.n_nodes:,} nodes to the {self._most:,} samples of node "
                f"{int(partition.n_train.argmax())}: {padded_bytes / 2**30:,.1f} GiB",
                hint="give a batch_size",
            )

    def __repr__(self) -> str:
        samples = f"{counted(self._x.shape[0], 'sample')}, {self.batch_size or 'all'} of a node in a gradient"
        return f"{type(self).__name__}({rows_text(self.n_nodes, self.n_params)}, {samples})"

    @property
    def align(self) -> Align | None:
        """Alignment of received models with the receiver's own; None if the model needs none."""
        return None if self.model.align is None else self._aligned

    @property
    def flipped(self) -> tuple[int, ...]:
        """The nodes whose labels are flipped."""
        return self._flipped.value

    @property
    def samples_a_node(self) -> tuple[int, float, int]:
        """The smallest, mean and largest number of samples that a node trains on."""
        counts = np.asarray(self.sample_counts)
        return int(counts.min()), float(counts.mean(dtype=np.float64)), int(counts.max())

    def init(self, key: PRNGKey) -> Rows:
        """Return the initial models (n, p), either all the same or drawn independently."""

        def draw(key: PRNGKey) -> Row:
            return self._layout.ravel(self.model.init(key))

        if self._same_start:
            return jnp.broadcast_to(draw(key), (self.n_nodes, self.n_params))
        return jax.vmap(lambda node: draw(jax.random.fold_in(key, node)))(self._numbers())

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, p): the gradient of the mean loss on each node's minibatch, plus regularization · x.

        With ``privacy``, the gradient of every sample is clipped and noise is added to their mean; a node's noise is a
        function of (key, node number). The regularization does not depend on the data and is added without noise.
        """
        return self._gradients(x, *self._draw(key), key, self._numbers())

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return (b, p): the same at x[j] for the node of row ``nodes[j]``; samples and noise are drawn by (key, numbers[j]).

        Each number has its own minibatch: words of (key, number), modulo the node's number of samples.
        """
        if self._one_each:
            samples, used = gather(self._samples, gather(self._start, nodes))[:, None], None
        elif self.batch_size == 0:
            samples, used = self._every_sample(nodes)
        else:
            rank = integers_at(key, gather(self._n_train, nodes), numbers, self.batch_size)
            samples, used = gather(self._samples, gather(self._start, nodes)[:, None] + rank), None
        return self._gradients(x, samples, used, key, numbers)

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (1, p): the mean over nodes of their minibatch gradients at the one model x (1, p).

        This is the centralised reference, which trusts the aggregator: never clipped or noisy, whatever ``privacy``.
        """
        samples, used = self._draw(key)
        row = x[0].astype(self._kind)
        shares = 1 / samples.shape[1] if used is None else used.astype(self._kind) / self._n_train[:, None]
        shares = jnp.broadcast_to(jnp.asarray(shares, self._kind) / self.n_nodes, samples.shape)

        # All nodes hold the same model, so the mean of their gradients is the gradient of one weighted sum over
        # samples and never needs n rows.
        def gradient(part: tuple[Array, Array]) -> Row:
            return jax.grad(lambda row: (self._losses(row, part[0]) * part[1]).sum())(row)

        total = sum_of_blocks(gradient, (samples.ravel(), shares.ravel())) + self.model.regularization * row
        return total[None].astype(x.dtype)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return (b,): mean loss of x[j] on all training samples of the node of row ``nodes[j]``, plus regularization.

        Samples are padded to those of the largest node. Exact, whatever ``privacy``.
        """

        def loss(row_and_node: tuple[Row, Array]) -> Array:
            row, node = row_and_node
            return self._objective(row, *self._every_sample(node))

        return in_blocks(loss, (x.astype(self._kind), nodes))

    def _gradients(
        self,
        x: Rows,
        samples: Int[Array, "b m"],
        used: Bool[Array, "b m"] | None,
        key: PRNGKey,
        numbers: NodeInts | DrawNumbers,
    ) -> Rows:
        """Return the gradient of each row of x on its samples; with ``privacy``, noise is drawn by (key, numbers[j])."""
        gradient, wide = jax.grad(self._objective), x.astype(self._kind)
        if self.privacy is not None:
            private = partial(self._private_gradient, self.privacy, purpose_key(key, "privacy noise"))
            return in_blocks(lambda node: private(*node), (wide, samples, used, numbers)).astype(x.dtype)
        # Blocks keep a minibatch in the cache. A single sample is hardly larger than its row, and its
        # gradient fuses with the step that uses it.
        if samples.shape[1] == 1:
            # Scores and gradient each look the sample up: if kept in between, the samples of all nodes would
            # form an array as large as their models.
            gradient = jax.grad(jax.checkpoint(self._objective, policy=_keep_sums))
            return jax.vmap(gradient)(wide, samples, used).astype(x.dtype)
        return in_blocks(lambda node: gradient(*node), (wide, samples, used)).astype(x.dtype)

    def _objective(self, row: Row, samples: Int[Array, " b"], used: Bool[Array, " b"] | None) -> Array:
        """Return one node's objective on some samples; ``used`` marks those that count, None if all do."""
        losses = self._losses(row, samples)
        loss = losses.mean() if used is None else jnp.where(used, losses, 0).sum() / used.sum()
        return loss + self.model.regularization / 2 * (row @ row) if self.model.regularization else loss

    def _private_gradient(
        self,
        privacy: DifferentialPrivacy,
        key: PRNGKey,
        row: Row,
        samples: Int[Array, " b"],
        used: Bool[Array, " b"] | None,
        number: Int[Array, ""] | UInt32[Array, ""],
    ) -> Row:
        """Return one node's private gradient, which holds b gradients at a time; noise is drawn by (key, number)."""
        each = jax.vmap(jax.grad(lambda row, sample: self._losses(row, sample[None])[0]), (None, 0))(row, samples)
        return privacy.mean(each, used, jax.random.fold_in(key, number)) + self.model.regularization * row

    def _losses(self, row: Row, samples: Int[Array, " b"]) -> Float[Array, " b"]:
        """Return the loss of one model on each sample: the only place where a model meets its samples."""
        x, y = (gather(table, samples) for table in (self._x, self._y))
        return self.model.losses(self.params(row), x, y)

    def _aligned(self, own: Rows, heard: Rows) -> Rows:
        """Return the received models (b, p), with the parts of each in the order of the receiver's own (b, p)."""

        def align(own: Row, heard: Row) -> Row:
            assert self.model.align is not None
            return self._layout.ravel(self.model.align(self.params(own), self.params(heard)))

        return jax.vmap(align)(own, heard)

    def _numbers(self) -> NodeInts:
        """Return (n,) the node of each row."""
        return jnp.arange(self.n_nodes) if self._nodes is None else self._nodes

    def params(self, row: Row) -> PyTree:
        """Return the model's parameters, private ones included, from a row (p,) such as one of a result's ``x``.

        Parameters are float32 where models have 16 bits, as in all computation.
        """
        return self._layout.unravel(jnp.asarray(row).astype(self._kind))

    def row(self, params: PyTree) -> Row:
        """Return parameters as a row (p,) in the models' dtype: the inverse of :meth:`params`."""
        return self._layout.ravel(params)

    def _draw(self, key: PRNGKey) -> tuple[Int[Array, "n b"], Bool[Array, "n b"] | None]:
        """Return (n, b) sample indices, and which of them count (None if all do)."""
        if self._one_each:
            # A word modulo 1 is always 0, but not known before the round: otherwise the samples of all nodes, the same in
            # every round, would be copied out before the first one, into an array as large as all models.
            word = jax.random.key_data(key)[0]
            rank = (word % self._n_train.astype(jnp.uint32)).astype(jnp.int32)[:, None]
            return gather(self._samples, self._start[:, None] + rank), None
        if self.batch_size == 0:
            return self._every_sample(slice(None))
        rank = integers_below(key, self._n_train[:, None], (self.n_nodes, self.batch_size), self._nodes)
        return gather(self._samples, self._start[:, None] + rank), None

    def _every_sample(self, nodes: Int[Array, "*b"] | slice) -> tuple[Int[Array, "*b m"], Bool[Array, "*b m"]]:
        """Return the indices of all training samples of some rows' nodes, padded to the largest node, and which count."""
        start, n_train = (gather(table, nodes)[..., None] for table in (self._start, self._n_train))
        rank = jnp.arange(self._most)
        return gather(self._samples, start + jnp.minimum(rank, n_train - 1)), rank < n_train

    def _held_out(self, node: Int[Array, ""]) -> tuple[Int[Array, " t"], Bool[Array, " t"], Int[Array, ""]]:
        """Return the test samples of a row's node, padded to the largest node, which of them count, and how many do."""
        rank, size = jnp.arange(self._most_test), self._n_test[node]
        place = self._start[node] + self._n_train[node] + jnp.minimum(rank, jnp.maximum(size - 1, 0))
        return self._samples[jnp.minimum(place, self._samples.shape[0] - 1)], rank < size, size


def _keep_sums(primitive: Any, *_: Any, **__: Any) -> bool:
    """Return whether to keep a primitive's result from the forward pass: only results that reduce many numbers."""
    return primitive.name.startswith(("reduce", "dot", "conv", "arg", "cum"))
