"""Which samples of a shared table each node takes: a drawn minibatch, the next of an epoch, all of its own, held-out ones."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxgossip.core.errors import DataError, InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import DrawNumbers, NodeInts, PRNGKey
from jaxgossip.learning.device import integers_at, integers_below
from jaxgossip.learning.epochs import Draw, epoch_ranks
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.topology import Order

MAX_PADDED_BYTES = 2**32
"""Largest size, over all nodes, of the samples that ``batch_size=0`` pads to those of the largest node."""

Indices = Int[Array, "b m"]
Counted = Bool[Array, "b m"] | None
"""Which of the samples count; None if all do."""


class Minibatches(Pytree):
    """The samples of nodes, as indices of the rows of a table.

    Args:
        partition: the samples of each node.
        order: the node that each row of memory holds; None if row i is node i.
        batch_size: b, samples of a minibatch; 0 for all of the node.
        in_epochs: whether a node takes each of its samples once before it takes one again.
        sample_bytes: size of a sample.

    Raises:
        DataError: the samples are too unequal to be taken all at once.
    """

    def __init__(
        self, partition: Partition, order: Order | None, batch_size: int, *, in_epochs: bool, sample_bytes: int
    ) -> None:
        self.batch_size, self.n_nodes = batch_size, partition.n_train.size
        self.in_epochs, self.by_epochs = in_epochs, in_epochs and batch_size > 0
        nodes = slice(None) if order is None else order.nodes
        self._nodes = None if order is None else jnp.asarray(order.nodes)
        start, n_train, n_test = (
            array[nodes]
            for array in (partition.offsets[:-1], partition.n_train, np.diff(partition.offsets) - partition.n_train)
        )
        self.samples = jnp.asarray(partition.order, jnp.int32)
        self.start = jnp.asarray(start, jnp.int32)
        self.n_train = jnp.asarray(n_train, jnp.int32)
        self.n_test = jnp.asarray(n_test, jnp.int32)
        self.most, self.most_test = int(n_train.max()), int(n_test.max())
        self.one_each = self.most == 1 and batch_size <= 1
        padded_bytes = self.most * self.n_nodes * sample_bytes
        if batch_size == 0 and padded_bytes > MAX_PADDED_BYTES:
            raise DataError(
                f"batch_size = 0 pads {self.n_nodes:,} nodes to the {self.most:,} samples of node "
                f"{int(partition.n_train.argmax())}: {padded_bytes / 2**30:,.1f} GiB",
                hint="give a batch_size",
            )
        if batch_size > 0 and not self.one_each:
            # Only losses over all samples are then padded, and partitions of similar sizes share their programs.
            self.most = 1 << (self.most - 1).bit_length()

    @property
    def steps_an_epoch(self) -> NodeInts | None:
        """(n,) the steps in which each row's node takes all of its samples once; None if it draws them independently."""
        if not self.in_epochs:
            return None
        return -(-self.n_train // self.batch_size) if self.by_epochs else jnp.ones_like(self.n_train)

    def divided(self, n_samples: int, order: Order | None, flipped: tuple[int, ...]) -> Partition:
        """Return the samples of each node, in the order of the graph's nodes, of a table of ``n_samples``."""
        rows = slice(None) if order is None else order.rows
        samples = np.asarray(self.samples)
        offsets = np.append(np.asarray(self.start, np.int64)[rows], samples.size)
        return Partition(samples, offsets, np.asarray(self.n_train)[rows], n_samples, flipped=flipped)

    def numbers(self) -> NodeInts:
        """Return (n,) the node of each row."""
        return jnp.arange(self.n_nodes) if self._nodes is None else self._nodes

    def draw(self, key: PRNGKey | Draw) -> tuple[Indices, Counted]:
        """Return the minibatch of every node, (n, m), and which of its samples count.

        Raises:
            InputError: nodes go through epochs, and the number of the step is not given.
        """
        if self.by_epochs:
            if not isinstance(key, Draw):
                raise InputError(
                    "nodes that go through epochs need the number of the step",
                    hint="take steps with jg.algorithms.descend or fresh_gradient, which hand it on",
                )
            nodes = self.numbers().astype(jnp.uint32)
            rank, used = epoch_ranks(key.orders, nodes, self.n_train, key.step, self.batch_size)
            return gather(self.samples, self.start[:, None] + rank), used
        own_key = key_of(key)
        if self.one_each:
            # A word modulo 1 is always 0, but not known before the round: otherwise the samples of all nodes, the same in
            # every round, would be copied out before the first one, into an array as large as all models.
            word = jax.random.key_data(own_key)[0]
            rank = (word % self.n_train.astype(jnp.uint32)).astype(jnp.int32)[:, None]
            return gather(self.samples, self.start[:, None] + rank), None
        if self.batch_size == 0:
            return self.every(slice(None))
        rank = integers_below(own_key, self.n_train[:, None], (self.n_nodes, self.batch_size), self._nodes)
        return gather(self.samples, self.start[:, None] + rank), None

    def some(self, key: PRNGKey) -> tuple[Indices, Counted]:
        """Return the first minibatch of every node, as :meth:`draw` does."""
        return self.draw(Draw(key, key, jnp.zeros((), jnp.int32)) if self.by_epochs else key)

    def draw_at(self, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> tuple[Indices, Counted]:
        """Return the minibatch (b, m) of the nodes of rows ``nodes``, each a function of (key, numbers[j]).

        Raises:
            InputError: nodes go through epochs.
        """
        if self.by_epochs:
            raise InputError(
                "epochs are of rounds: a node that acts by its own clock has none",
                hint="learning.sampling = 'replacement', or an algorithm that runs in rounds",
            )
        if self.one_each:
            return gather(self.samples, gather(self.start, nodes))[:, None], None
        if self.batch_size == 0:
            return self.every(nodes)
        rank = integers_at(key, gather(self.n_train, nodes), numbers, self.batch_size)
        return gather(self.samples, gather(self.start, nodes)[:, None] + rank), None

    def every(self, nodes: Int[Array, "*b"] | slice) -> tuple[Int[Array, "*b m"], Bool[Array, "*b m"]]:
        """Return the indices of all training samples of some rows' nodes, padded to the largest node, and which count."""
        start, n_train = (gather(table, nodes)[..., None] for table in (self.start, self.n_train))
        rank = jnp.arange(self.most)
        return gather(self.samples, start + jnp.minimum(rank, n_train - 1)), rank < n_train

    def own(self, node: Int[Array, ""], rank: Int[Array, " b"]) -> Int[Array, " b"]:
        """Return the indices of the training samples of a row's node at some places among its own."""
        return gather(self.samples, self.start[node] + rank)

    def held_out(self, node: Int[Array, ""]) -> tuple[Int[Array, " t"], Bool[Array, " t"], Int[Array, ""]]:
        """Return the test samples of a row's node, padded to the largest node, which of them count, and how many do."""
        rank, size = jnp.arange(self.most_test), self.n_test[node]
        place = self.start[node] + self.n_train[node] + jnp.minimum(rank, jnp.maximum(size - 1, 0))
        return self.samples[jnp.minimum(place, self.samples.shape[0] - 1)], rank < size, size


def key_of(key: PRNGKey | Draw) -> Any:
    """Return the key of a step."""
    return key.key if isinstance(key, Draw) else key
