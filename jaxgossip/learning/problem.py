"""What a network learns: one objective a node, seen as rows of parameters. ``vmap`` over nodes stands here alone.

A model's pytree is ravelled into one row, so that mixing is one pass for any model, and unravelled inside the vmapped
loss. Columns that stay on their node (private parameters) come last. The samples are held once and indexed by node.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Int

from jaxgossip.errors import DataError
from jaxgossip.learning.datasets import Dataset
from jaxgossip.learning.layout import layout
from jaxgossip.learning.models import Model, predict
from jaxgossip.learning.partitions import Partition
from jaxgossip.typing import NodeInts, NodeScores, PRNGKey, PyTree, Row, Rows

EVALUATION_BYTES = 2**26
"""Scores and activations of one block of evaluated nodes stay below about this size."""
MAX_PADDED_SAMPLES = 2**26
"""``batch_size=0`` pads every node's samples to the largest node's number: up to here in all."""


class Problem(Protocol):
    """The task of a whole network, as algorithms and engines see it.

    Attributes:
        n_nodes: number of nodes.
        n_params: parameters of one model, the columns of a row.
        n_shared: leading columns that are exchanged; the rest is private to its node.
        sample_counts: (n,) float32 NumPy, training samples of each node.
        dtype: of the models.
    """

    n_nodes: int
    n_params: int
    n_shared: int
    sample_counts: np.ndarray
    dtype: np.dtype

    def init(self, key: PRNGKey) -> Rows:
        """Return the initial models (n, p)."""
        ...

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, p): a stochastic gradient of each node's own objective at its own row; ``key`` draws the samples."""
        ...

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (1, p): the mean over all nodes of the gradients of the same draws at one model x (1, p)."""
        ...

    def evaluate(self, x: Rows) -> NodeScores:
        """Return what each row of x (s, p) achieves on common data: name -> (s,)."""
        ...

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return what row j achieves on data of node ``nodes[j]`` that it does not train on; empty if there is none."""
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
    ) -> None:
        self.model, self.batch_size, self.dtype = model, batch_size, dtype
        self._same_start = init == "same"
        self.n_nodes = partition.n_train.size
        self._layout = layout(model, private, dtype)
        self.n_params, self.n_shared = self._layout.n_params, self._layout.n_shared
        self.sample_counts = partition.n_train.astype(np.float32)
        self._x, self._y = jnp.asarray(dataset.x_train, dtype), jnp.asarray(dataset.y_train, jnp.int32)
        self._x_test, self._y_test = jnp.asarray(dataset.x_test, dtype), jnp.asarray(dataset.y_test, jnp.int32)
        self._order = jnp.asarray(partition.order, jnp.int32)
        self._start = jnp.asarray(partition.offsets[:-1], jnp.int32)
        self._n_train = jnp.asarray(partition.n_train, jnp.int32)
        self._most = int(partition.n_train.max())
        self._one_each = self._most == 1
        sizes = np.diff(partition.offsets)
        self._n_test = jnp.asarray(sizes - partition.n_train, jnp.int32)
        self._most_test = int((sizes - partition.n_train).max())
        if batch_size == 0 and self._most * self.n_nodes > MAX_PADDED_SAMPLES:
            raise DataError(
                f"batch_size = 0 pads {self.n_nodes:,} nodes to the {self._most:,} samples of node "
                f"{int(partition.n_train.argmax())}",
                hint="give a batch_size",
            )

    def init(self, key: PRNGKey) -> Rows:
        """Return the initial models (n, p), all the same or each drawn by itself."""

        def draw(key: PRNGKey) -> Row:
            return self._layout.ravel(self.model.init(key))

        if self._same_start:
            return jnp.broadcast_to(draw(key), (self.n_nodes, self.n_params))
        return jax.vmap(lambda node: draw(jax.random.fold_in(key, node)))(jnp.arange(self.n_nodes))

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, p): the gradient of the mean loss over each node's minibatch, plus regularization · x."""
        samples, used = self._draw(key)
        batch = (self._gather(self._x, samples), self._gather(self._y, samples))
        gradient = jax.grad(self._loss)
        if used is None:
            return jax.vmap(lambda row, x, y: gradient(row, x, y, None))(x, *batch)
        return jax.vmap(gradient)(x, *batch, used)

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (1, p): the mean over nodes of their minibatch gradients at the one model x (1, p)."""
        return self.gradient(jnp.broadcast_to(x, (self.n_nodes, self.n_params)), key).mean(0, keepdims=True)

    def evaluate(self, x: Rows) -> NodeScores:
        """Return test_accuracy and test_loss (s,) of every row on the whole common test set."""

        def one(row: Row) -> tuple[Array, Array]:
            scores = self.model.apply(self._layout.unravel(row), self._x_test)
            loss = self.model.loss(scores, self._y_test).mean()
            return (predict(scores) == self._y_test).mean(dtype=self.dtype), loss

        accuracy, loss = self._in_blocks(one, x, width=self._x_test.shape[0])
        return {"test_accuracy": accuracy, "test_loss": loss}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return local_accuracy (s,): of row j on the test split of node ``nodes[j]``; NaN for nodes without one."""
        if self._most_test == 0:
            return {}
        rank = jnp.arange(self._most_test)

        def one(row_and_node: tuple[Row, Array]) -> Array:
            row, node = row_and_node
            size = self._n_test[node]
            place = self._start[node] + self._n_train[node] + jnp.minimum(rank, jnp.maximum(size - 1, 0))
            sample = self._order[jnp.minimum(place, self._order.shape[0] - 1)]
            right = predict(self.model.apply(self._layout.unravel(row), self._x[sample])) == self._y[sample]
            return jnp.where(size > 0, (right & (rank < size)).sum(dtype=self.dtype) / jnp.maximum(size, 1), jnp.nan)

        return {"local_accuracy": self._in_blocks(one, (x, nodes), width=self._most_test)}

    def _loss(self, row: Row, x: Array, y: Array, used: Bool[Array, " b"] | None) -> Array:
        """Return one node's objective on one batch: the place where a model meets its samples."""
        losses = self.model.loss(self.model.apply(self._layout.unravel(row), x), y)
        loss = losses.mean() if used is None else jnp.where(used, losses, 0).sum() / used.sum()
        return loss + self.model.regularization / 2 * (row @ row) if self.model.regularization else loss

    def _draw(self, key: PRNGKey) -> tuple[Int[Array, "n b"], Bool[Array, "n b"] | None]:
        """Return (n, b) numbers of samples, and which of them count (None: all)."""
        if self._one_each and self.batch_size <= 1:
            return self._gather(self._order, self._start)[:, None], None
        if self.batch_size == 0:
            rank = jnp.broadcast_to(jnp.arange(self._most), (self.n_nodes, self._most))
            used = rank < self._n_train[:, None]
            rank = jnp.minimum(rank, self._n_train[:, None] - 1)
        else:
            shape = (self.n_nodes, self.batch_size)
            rank = jax.random.randint(key, shape, 0, self._n_train[:, None], jnp.int32)
            used = None
        return self._gather(self._order, self._start[:, None] + rank), used

    @staticmethod
    def _gather(table: Array, index: Array) -> Array:
        return table.at[index].get(mode="promise_in_bounds")

    def _in_blocks(self, one: object, rows: PyTree, width: int) -> PyTree:
        """Return vmap(one)(rows), so many rows at a time that memory stays bounded."""
        per_node = width * max(16, self.n_params // 8) * self.dtype.itemsize
        block = max(1, EVALUATION_BYTES // per_node)
        return jax.lax.map(one, rows, batch_size=block)  # pyright: ignore[reportArgumentType]


def classification(
    dataset: Dataset,
    partition: Partition,
    model: Model,
    *,
    batch_size: int = 1,
    init: Literal["same", "independent"] = "same",
    private: Sequence[str] = (),
    dtype: DTypeLike = jnp.float32,
) -> Classification:
    """Return the problem in which every node fits ``model`` to its own part of ``dataset``.

    Args:
        dataset: samples, held once.
        partition: which samples are whose.
        model: what each node trains.
        batch_size: samples of a node in a gradient, drawn with replacement; 0 takes all it has, exactly.
        init: whether all nodes start from one model, or each from a draw of its own.
        private: names of top-level parameters that stay on their node.
        dtype: of models and samples.

    Raises:
        DataError: ``batch_size`` negative, or samples too unequal to be taken all at once.
        InputError: a private name that the model does not have, or nothing left to share.
    """
    if batch_size < 0:
        raise DataError(f"batch_size must not be negative: {batch_size}", hint="0 takes all samples of a node")
    return Classification(
        dataset, partition, model,
        batch_size=batch_size, init=init, private=tuple(private), dtype=np.dtype(dtype),
    )  # fmt: skip
