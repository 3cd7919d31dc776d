"""Which samples of a shared table each node takes: a drawn minibatch, the next of an epoch, all of its own, held-out ones.

And which gradients can be had of them, for methods that reduce variance: over all, and of single samples.
"""

import abc
import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxgossip.core.devices.blocks import Layout, at_hand, row_numbers
from jaxgossip.core.devices.exchanges import everyone
from jaxgossip.core.errors import DataError, InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.random import NodeDraws
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import DrawNumbers, NodeInts, PRNGKey, Rows
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

    per_node = ("_nodes", "start", "n_train", "n_test")

    def __init__(
        self, partition: Partition, order: Order | None, batch_size: int, *, in_epochs: bool, sample_bytes: int
    ) -> None:
        self.batch_size, self.n_nodes = batch_size, partition.n_train.size
        self.in_epochs, self.by_epochs = in_epochs, in_epochs and batch_size > 0
        nodes = slice(None) if order is None else order.nodes
        self._nodes = None if order is None else jnp.asarray(order.nodes)
        self._of_rows = None if order is None else order.nodes
        start, n_train, n_test = (
            array[nodes]
            for array in (partition.offsets[:-1], partition.n_train, np.diff(partition.offsets) - partition.n_train)
        )
        self.first: Array | None = None
        self.samples: Array | None = jnp.asarray(partition.order, jnp.int32)
        self.n_samples = partition.order.size
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

    def of_all(self) -> "Minibatches":
        """Return the samples of all nodes, of which methods that are given rows of nodes look some up.

        Of samples that are on the devices of their nodes alone, those of the rows at hand.
        """
        if (block := at_hand()) is None:
            return self
        found = copy.copy(self)
        if self.samples is None:
            found.first = block.first
        else:
            found.start, found.n_train, found.n_test = map(everyone, (self.start, self.n_train, self.n_test))
        return found

    def parted(self, layout: Layout) -> tuple["Minibatches", list[np.ndarray]]:
        """Return the samples of nodes as indices within the part that their device has, and the samples of every part.

        A part has the samples of its nodes one after the other.
        """
        sizes = np.asarray(self.n_train, np.int64) + np.asarray(self.n_test)
        ends = np.cumsum(sizes)
        begin = ends - sizes
        places = np.repeat(np.asarray(self.start) - begin, sizes) + np.arange(ends[-1])
        assert self.samples is not None, "of all nodes"
        samples = np.asarray(self.samples)[places]
        rows = np.minimum(np.arange(layout.n_devices + 1) * layout.rows_each, self.n_nodes)
        bounds = np.append(0, ends)[rows]
        parted = copy.copy(self)
        parted.samples, parted.n_samples = None, int(np.diff(bounds).max())
        parted.start = jnp.asarray(begin - bounds[np.arange(self.n_nodes) // layout.rows_each], jnp.int32)
        return parted, np.split(samples, bounds[1:-1])

    @property
    def _draws(self) -> NodeDraws:
        return NodeDraws(self.n_nodes, self._of_rows)

    def divided(self, n_samples: int, order: Order | None, flipped: tuple[int, ...]) -> Partition:
        """Return the samples of each node, in the order of the graph's nodes, of a table of ``n_samples``."""
        rows = slice(None) if order is None else order.rows
        assert self.samples is not None, "of all nodes"
        samples = np.asarray(self.samples)
        offsets = np.append(np.asarray(self.start, np.int64)[rows], samples.size)
        return Partition(samples, offsets, np.asarray(self.n_train)[rows], n_samples, flipped=flipped)

    def numbers(self) -> NodeInts:
        """Return (n,) the node of each row."""
        return row_numbers(self.n_nodes) if self._nodes is None else self._nodes

    def draw(self, key: PRNGKey | Draw) -> tuple[Indices, Counted]:
        """Return the minibatch of every node, (n, m), and which of its samples count.

        Raises:
            InputError: nodes go through epochs, and the number of the step is not given.
        """
        rank, used = self.ranks(key)
        return self._at(self.start[:, None] + rank), used

    def ranks(self, key: PRNGKey | Draw) -> tuple[Indices, Counted]:
        """Return the minibatch of every node as places among its own samples, as :meth:`draw` does of the table's."""
        if self.by_epochs:
            if not isinstance(key, Draw):
                raise InputError(
                    "nodes that go through epochs need the number of the step",
                    hint="take steps with jg.algorithms.descend or fresh_gradient, which hand it on",
                )
            nodes = self.numbers().astype(jnp.uint32)
            return epoch_ranks(key.orders, nodes, self.n_train, key.step, self.batch_size)
        return self._independent_ranks(key_of(key))

    def independent(self, key: PRNGKey) -> tuple[Indices, Counted]:
        """Return a minibatch of every node as :meth:`draw` does, drawn independently also where nodes go through epochs."""
        rank, used = self._independent_ranks(key)
        return self._at(self.start[:, None] + rank), used

    def _independent_ranks(self, own_key: PRNGKey) -> tuple[Indices, Counted]:
        if self.one_each:
            # A word modulo 1 is always 0, but not known before the round: otherwise the samples of all nodes, the same in
            # every round, would be copied out before the first one, into an array as large as all models.
            word = jax.random.key_data(own_key)[0]
            return (word % self.n_train.astype(jnp.uint32)).astype(jnp.int32)[:, None], None
        if self.batch_size == 0:
            return self._padded(self.n_train[:, None])
        return integers_below(own_key, self.n_train[:, None], self._draws, self.batch_size), None

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
            return self._at(gather(self.start, nodes))[:, None], None
        if self.batch_size == 0:
            return self.every(nodes)
        rank = integers_at(key, gather(self.n_train, nodes), numbers, self.batch_size)
        return self._at(gather(self.start, nodes)[:, None] + rank), None

    def every(self, nodes: Int[Array, "*b"] | slice) -> tuple[Int[Array, "*b m"], Bool[Array, "*b m"]]:
        """Return the indices of all training samples of some rows' nodes, padded to the largest node, and which count."""
        start, n_train = (gather(table, self._row(nodes))[..., None] for table in (self.start, self.n_train))
        rank, used = self._padded(n_train)
        return self._at(start + rank), used

    def _padded(self, n_train: Int[Array, "*b 1"]) -> tuple[Int[Array, "*b m"], Bool[Array, "*b m"]]:
        """Return the places of all of so many samples, padded to the largest node with the last, and which count."""
        rank = jnp.arange(self.most)
        return jnp.minimum(rank, n_train - 1), rank < n_train

    def numbered(self, rank: NodeInts) -> NodeInts:
        """Return (n,) the index of the sample of each row's node at place ``rank[i]`` among its own."""
        return self._at(self.start + rank)

    def own(self, node: Int[Array, ""], rank: Int[Array, " b"]) -> Int[Array, " b"]:
        """Return the indices of the training samples of a row's node at some places among its own."""
        return self._at(self.start[self._row(node)] + rank)

    def held_out(self, node: Int[Array, ""]) -> tuple[Int[Array, " t"], Bool[Array, " t"], Int[Array, ""]]:
        """Return the test samples of a row's node, padded to the largest node, which of them count, and how many do."""
        rank, row = jnp.arange(self.most_test), self._row(node)
        size = self.n_test[row]
        place = self.start[row] + self.n_train[row] + jnp.minimum(rank, jnp.maximum(size - 1, 0))
        return self._at(jnp.minimum(place, self.n_samples - 1)), rank < size, size

    def _row(self, nodes: Any) -> Any:
        """Return where the nodes of some rows are among those whose samples are known."""
        return nodes if self.first is None else jnp.clip(nodes - self.first, 0, self.start.shape[0] - 1)

    def _at(self, places: Int[Array, "*b"]) -> Int[Array, "*b"]:
        """Return the indices of the samples at some places, which nodes have one after the other."""
        return places if self.samples is None else gather(self.samples, places)


def key_of(key: PRNGKey | Draw) -> Any:
    """Return the key of a step."""
    return key.key if isinstance(key, Draw) else key


class SampleGradients(Pytree, abc.ABC):
    """What a problem whose nodes own samples of a table takes of them; a subclass has the gradients of any of its samples."""

    _batches: Minibatches

    @abc.abstractmethod
    def _gradients(self, x: Rows, samples: Any, used: Any, key: Any, numbers: Any) -> Rows:
        """Return (n, p): the gradient of each row of x on some samples (n, m) of the table, of which some are ``used``."""

    @property
    def steps_an_epoch(self) -> NodeInts | None:
        """(n,) the steps in which each row's node takes all of its samples once; None if it draws them independently."""
        return self._batches.steps_an_epoch

    @property
    def by_epochs(self) -> bool:
        """Whether nodes go through epochs in minibatches, so that gradients need the number of the step."""
        return self._batches.by_epochs

    def full_gradient(self, x: Rows, key: PRNGKey | Draw) -> Rows:
        """Return (n, p): the gradient of each node on all of its training samples, with padding to those of the largest."""
        return self._gradients(x, *self._batches.every(slice(None)), key_of(key), self._batches.numbers())

    def draw_samples(self, key: PRNGKey | Draw) -> tuple[Int[Array, "n m"], Bool[Array, "n m"] | None]:
        """Return the minibatches of :meth:`gradient` as numbers (n, m) among each node's own samples, and which count."""
        return self._batches.ranks(key)

    def sample_gradient(self, x: Rows, number: NodeInts, key: PRNGKey | Draw) -> Rows:
        """Return (n, p): the gradient of each node on its sample ``number[i]`` alone."""
        samples = self._batches.numbered(number)
        return self._gradients(x, samples[:, None], None, key_of(key), self._batches.numbers())
