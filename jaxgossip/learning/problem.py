"""What a network learns: one objective a node, seen as rows of parameters. ``vmap`` over nodes stands here alone.

A model's pytree is ravelled into one row, so that mixing is one pass for any model, and unravelled inside the vmapped
loss. Columns that stay on their node (private parameters) come last. The samples are held once and indexed by node.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from jaxgossip.errors import DataError, InputError
from jaxgossip.learning.blocks import in_blocks, sum_of_blocks
from jaxgossip.learning.datasets import Dataset
from jaxgossip.learning.device import check_order, float_type, integers_at, integers_below, rows_at
from jaxgossip.learning.layout import layout
from jaxgossip.learning.models import Model, predict
from jaxgossip.learning.partitions import Partition
from jaxgossip.learning.privacy import DifferentialPrivacy
from jaxgossip.random import purpose_key
from jaxgossip.topology import Order
from jaxgossip.typing import DrawNumbers, NodeFloats, NodeInts, NodeScores, PRNGKey, PyTree, Row, Rows, accumulator

MAX_PADDED_BYTES = 2**32
"""``batch_size=0`` pads every node's samples to the largest node's number: up to this size in all."""


class Problem(Protocol):
    """The task of a whole network, as algorithms and engines see it.

    Attributes:
        n_nodes: number of nodes.
        n_params: parameters of one model, the columns of a row.
        n_shared: leading columns that are exchanged; the rest is private to its node.
        sample_counts: (n,) float32 NumPy, training samples of each row's node.
        dtype: of the models. Those of 16 bits are computed with in float32.
        order: in which rows the nodes stand, the graph's own; None where row i is node i.
    """

    n_nodes: int
    n_params: int
    n_shared: int
    sample_counts: np.ndarray
    dtype: np.dtype
    order: Order | None

    def init(self, key: PRNGKey) -> Rows:
        """Return the initial models (n, p)."""
        ...

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, p): a stochastic gradient of each node's own objective at its own row; ``key`` draws the samples."""
        ...

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return (b, p): a stochastic gradient, at x[j] (b, p), of the objective of the node of row ``nodes[j]``.

        A node may occur many times, or never. What entry j draws is a function of (key, numbers[j]) alone, and so stays
        the same whatever stands beside it. Neither ``nodes`` nor ``numbers`` is checked: nodes lie within 0..n-1.
        """
        ...

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (1, p): the mean over all nodes of the gradients of the same draws at one model x (1, p)."""
        ...

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return (b,): the objective of the node of row ``nodes[j]`` at x[j] (b, p), over all that it trains on."""
        ...

    def evaluate(self, x: Rows) -> NodeScores:
        """Return what each row of x (s, p) achieves on common data: name -> (s,)."""
        ...

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return what x[j] achieves on data of the node of row ``nodes[j]`` that it does not train on; empty if none."""
        ...


class Classification:
    """A data set divided over nodes, and a model; see :func:`classification`."""

    def __init__(
        self,
        dataset: Dataset,
        partition: Partition,
        model: Model,
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
        self.n_nodes = partition.n_train.size
        self._layout = layout(model, private, dtype)
        self.n_params, self.n_shared = self._layout.n_params, self._layout.n_shared
        _check_functions(model, dataset, self._kind)
        self._x, self._x_test = (model.prepare(jnp.asarray(x, self._kind)) for x in (dataset.x_train, dataset.x_test))
        self._y, self._y_test = (jnp.asarray(y, jnp.int32) for y in (dataset.y_train, dataset.y_test))
        nodes = slice(None) if order is None else order.nodes
        self._nodes = None if order is None else jnp.asarray(order.nodes)
        start, n_train, n_test = (
            array[nodes]
            for array in (partition.offsets[:-1], partition.n_train, np.diff(partition.offsets) - partition.n_train)
        )
        self.sample_counts = n_train.astype(np.float32)
        self._samples = jnp.asarray(partition.order, jnp.int32)
        self._start = jnp.asarray(start, jnp.int32)
        self._n_train = jnp.asarray(n_train, jnp.int32)
        self._n_test = jnp.asarray(n_test, jnp.int32)
        self._most, self._most_test = int(n_train.max()), int(n_test.max())
        self._one_each = self._most == 1 and batch_size <= 1
        padded_bytes = self._most * self.n_nodes * self._x[0].nbytes
        if batch_size == 0 and padded_bytes > MAX_PADDED_BYTES:
            raise DataError(
                f"batch_size = 0 pads {self.n_nodes:,} nodes to the {self._most:,} samples of node "
                f"{int(partition.n_train.argmax())}: {padded_bytes / 2**30:,.1f} GiB",
                hint="give a batch_size",
            )

    def init(self, key: PRNGKey) -> Rows:
        """Return the initial models (n, p), all the same or each drawn by itself."""

        def draw(key: PRNGKey) -> Row:
            return self._layout.ravel(self.model.init(key))

        if self._same_start:
            return jnp.broadcast_to(draw(key), (self.n_nodes, self.n_params))
        return jax.vmap(lambda node: draw(jax.random.fold_in(key, node)))(self._numbers())

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, p): the gradient of the mean loss over each node's minibatch, plus regularization · x.

        With ``privacy``, the gradient of every sample is clipped and their mean is noisy; the noise of a node is a
        function of (key, node number). The regularization says nothing of the data and is added as it is.
        """
        return self._gradients(x, *self._draw(key), key, self._numbers())

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return (b, p): the same of x[j] and the node of row ``nodes[j]``; samples and noise by (key, numbers[j]).

        Entry j's minibatch is fresh for every number: words of (key, number), modulo the node's number of samples.
        """
        if self._one_each:
            samples, used = rows_at(self._samples, rows_at(self._start, nodes))[:, None], None
        elif self.batch_size == 0:
            samples, used = self._every_sample(nodes)
        else:
            rank = integers_at(key, rows_at(self._n_train, nodes), numbers, self.batch_size)
            samples, used = rows_at(self._samples, rows_at(self._start, nodes)[:, None] + rank), None
        return self._gradients(x, samples, used, key, numbers)

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (1, p): the mean over nodes of their minibatch gradients at the one model x (1, p).

        The centralised reference, which trusts whoever takes the mean: never clipped nor noisy, whatever ``privacy``.
        """
        samples, used = self._draw(key)
        row = x[0].astype(self._kind)
        shares = 1 / samples.shape[1] if used is None else used.astype(self._kind) / self._n_train[:, None]
        shares = jnp.broadcast_to(jnp.asarray(shares, self._kind) / self.n_nodes, samples.shape)

        # All nodes hold the same model here, so the mean of their gradients is the gradient of one weighted sum over
        # samples, and never takes n rows.
        def gradient(part: tuple[Array, Array]) -> Row:
            return jax.grad(lambda row: (self._losses(row, part[0]) * part[1]).sum())(row)

        total = sum_of_blocks(gradient, (samples.ravel(), shares.ravel())) + self.model.regularization * row
        return total[None].astype(x.dtype)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return (b,): mean loss of x[j] on all training samples of the node of row ``nodes[j]``, plus regularization.

        Nodes are padded to the largest one's number of samples. Exact, whatever ``privacy``.
        """

        def one(row_and_node: tuple[Row, Array]) -> Array:
            row, node = row_and_node
            return self._objective(row, *self._every_sample(node))

        return in_blocks(one, (x.astype(self._kind), nodes))

    def evaluate(self, x: Rows) -> NodeScores:
        """Return test_accuracy and test_loss (s,) of every row on the whole common test set."""

        def one(row: Row) -> tuple[Array, Array]:
            scores = self.model.apply(self._params(row), self._x_test)
            loss = self.model.loss(scores, self._y_test).mean()
            return (predict(scores) == self._y_test).mean(dtype=self._kind), loss

        accuracy, loss = in_blocks(one, x)
        return {"test_accuracy": accuracy, "test_loss": loss}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return local_accuracy (s,): of x[j] on the test split of the node of row ``nodes[j]``; NaN without one."""
        if self._most_test == 0:
            return {}
        rank = jnp.arange(self._most_test)

        def one(row_and_node: tuple[Row, Array]) -> Array:
            row, node = row_and_node
            size = self._n_test[node]
            place = self._start[node] + self._n_train[node] + jnp.minimum(rank, jnp.maximum(size - 1, 0))
            sample = self._samples[jnp.minimum(place, self._samples.shape[0] - 1)]
            right = predict(self.model.apply(self._params(row), self._x[sample])) == self._y[sample]
            return jnp.where(size > 0, (right & (rank < size)).sum(dtype=self._kind) / jnp.maximum(size, 1), jnp.nan)

        return {"local_accuracy": in_blocks(one, (x, nodes))}

    def _gradients(
        self,
        x: Rows,
        samples: Int[Array, "b m"],
        used: Bool[Array, "b m"] | None,
        key: PRNGKey,
        numbers: NodeInts | DrawNumbers,
    ) -> Rows:
        """Return the gradient of each row of x on its samples; with ``privacy``, the noise is by (key, its number)."""
        gradient, wide = jax.grad(self._objective), x.astype(self._kind)
        if self.privacy is not None:
            private = partial(self._private_gradient, self.privacy, purpose_key(key, "privacy noise"))
            return in_blocks(lambda node: private(*node), (wide, samples, used, numbers)).astype(x.dtype)
        # Blocks keep what a minibatch holds in the cache. A single sample holds little more than its row, and its
        # gradient fuses with the step that takes it.
        if samples.shape[1] == 1:
            # Scores and gradient look the sample up, each for itself: kept in between, the samples of all nodes would
            # be an array as large as their models.
            gradient = jax.grad(jax.checkpoint(self._objective, policy=_keep_sums))
            return jax.vmap(gradient)(wide, samples, used).astype(x.dtype)
        return in_blocks(lambda node: gradient(*node), (wide, samples, used)).astype(x.dtype)

    def _objective(self, row: Row, samples: Int[Array, " b"], used: Bool[Array, " b"] | None) -> Array:
        """Return one node's objective on some samples; ``used`` tells which of them count, None: all."""
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
        node: Int[Array, ""],
    ) -> Row:
        """Return one node's private gradient: b rows of gradients at a time, and noise by the node's number."""
        each = jax.vmap(jax.grad(lambda row, sample: self._losses(row, sample[None])[0]), (None, 0))(row, samples)
        return privacy.mean(each, used, jax.random.fold_in(key, node)) + self.model.regularization * row

    def _losses(self, row: Row, samples: Int[Array, " b"]) -> Float[Array, " b"]:
        """Return the loss of one model on each sample: the place where a model meets its samples."""
        x, y = (rows_at(table, samples) for table in (self._x, self._y))
        return self.model.loss(self.model.apply(self._params(row), x), y)

    def _numbers(self) -> NodeInts:
        """Return (n,) which node each row stands for."""
        return jnp.arange(self.n_nodes) if self._nodes is None else self._nodes

    def _params(self, row: Row) -> PyTree:
        return self._layout.unravel(row.astype(self._kind))

    def _draw(self, key: PRNGKey) -> tuple[Int[Array, "n b"], Bool[Array, "n b"] | None]:
        """Return (n, b) numbers of samples, and which of them count (None: all)."""
        if self._one_each:
            # A word modulo 1: always 0, but not before the round, so that the samples of all nodes, the same in every
            # round, are not copied out before the first one: that would be an array as large as all models.
            word = jax.random.key_data(key)[0]
            rank = (word % self._n_train.astype(jnp.uint32)).astype(jnp.int32)[:, None]
            return rows_at(self._samples, self._start[:, None] + rank), None
        if self.batch_size == 0:
            return self._every_sample(slice(None))
        rank = integers_below(key, self._n_train[:, None], (self.n_nodes, self.batch_size), self._nodes)
        return rows_at(self._samples, self._start[:, None] + rank), None

    def _every_sample(self, nodes: Int[Array, "*b"] | slice) -> tuple[Int[Array, "*b m"], Bool[Array, "*b m"]]:
        """Return the numbers of all training samples of some nodes' rows, padded to the largest, and which count."""
        start, n_train = (rows_at(table, nodes)[..., None] for table in (self._start, self._n_train))
        rank = jnp.arange(self._most)
        return rows_at(self._samples, start + jnp.minimum(rank, n_train - 1)), rank < n_train


def _keep_sums(primitive: Any, *_: Any, **__: Any) -> bool:
    """Say which results a gradient keeps from the way forward: those that took many numbers to make."""
    return primitive.name.startswith(("reduce", "dot", "conv", "arg", "cum"))


def _check_functions(model: Model, dataset: Dataset, dtype: np.dtype) -> None:
    """Raise InputError unless scores and losses of the user's own functions have the shapes that are relied on."""
    x = jax.ShapeDtypeStruct((2, *dataset.x_train.shape[1:]), dtype)
    params = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), jax.eval_shape(model.init, jax.random.key(0))
    )
    scores = jax.eval_shape(lambda params, x: model.apply(params, model.prepare(x)), params, x)
    wide = scores.ndim == 2 and scores.shape[0] == 2 and scores.shape[1] >= max(2, dataset.n_classes)
    if not wide and (scores.shape != (2,) or dataset.n_classes != 2):
        raise InputError(
            f"the model gives scores of shape {scores.shape} for two samples of {dataset.n_classes} classes",
            hint="apply returns (samples, classes)" + (", or (samples,)" if dataset.n_classes == 2 else ""),
        )
    losses = jax.eval_shape(model.loss, scores, jax.ShapeDtypeStruct((2,), jnp.int32))
    if losses.shape != (2,):
        raise InputError(f"the loss of two samples has shape {losses.shape}", hint="loss returns one number a sample")


def classification(
    dataset: Dataset,
    partition: Partition,
    model: Model,
    *,
    batch_size: int = 1,
    init: Literal["same", "independent"] = "same",
    private: Sequence[str] = (),
    dtype: DTypeLike = jnp.float32,
    order: Order | None = None,
    privacy: DifferentialPrivacy | None = None,
) -> Classification:
    """Return the problem in which every node fits ``model`` to its own part of ``dataset``.

    Args:
        dataset: samples, held once.
        partition: which samples are whose.
        model: what each node trains.
        batch_size: samples of a node in a gradient, drawn with replacement; 0 takes all it has, exactly.
        init: whether all nodes start from one model, or each from a draw of its own.
        private: names of top-level parameters that stay on their node.
        dtype: of models; samples are float32 where models have 16 bits, and so is all that is computed of them.
        order: in which rows of memory the nodes stand, ``graph.order`` of the graph that they talk on.
        privacy: clips and noises the gradients (DP-SGD); :func:`jaxgossip.learning.privacy.epsilon` says what it buys.
            A node then holds the gradients of all samples of its minibatch at once.

    Raises:
        DataError: ``batch_size`` negative, an order of other nodes, or samples too unequal to be taken all at once.
        InputError: a private name that the model does not have, nothing left to share, scores or losses of the wrong
            shape, or a dtype that JAX does not have.
    """
    if batch_size < 0:
        raise DataError(f"batch_size must not be negative: {batch_size}", hint="0 takes all samples of a node")
    check_order(order, partition.n_train.size)
    return Classification(
        dataset, partition, model,
        batch_size=batch_size, init=init, private=tuple(private), dtype=float_type(dtype), order=order, privacy=privacy,
    )  # fmt: skip
