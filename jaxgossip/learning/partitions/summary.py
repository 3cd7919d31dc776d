"""How the samples of a partition fall on its nodes: their numbers, their classes, their owners, their targets."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float64, Int, Int64, Num
from scipy.sparse import csr_array

from jaxgossip.core.errors import DataError
from jaxgossip.learning.partitions.partition import Partition

BLOCK_SAMPLES = 2**22
"""Number of samples whose classes are counted at a time."""

NodeCounts = Int64[np.ndarray, " n"]
NodeMeans = Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class Heterogeneity:
    """How training samples fall on nodes. What the targets do not have, or is unknown, is None.

    Attributes:
        nodes: number of nodes.
        mean: mean number of training samples of a node.
        deciles: the same number's minimum, its deciles from the first to the ninth, and its maximum.
        below_batch: number of nodes with fewer samples than a batch.
        classes: smallest, median and largest number of classes on a node.
        distance: mean over nodes of the total variation distance ½ Σ_c |p_i(c) − p(c)| between a node's class shares and those
            of the samples of all nodes together: 0 if all nodes have the same, towards 1 for classes that others do not have.
        owners: smallest, median and largest number of owners whose samples a node has.
        targets: smallest, median and largest mean target of a node, where targets are one value.
        between: share of the variance of targets that lies between the nodes' means rather than within nodes, where targets
            are values: 0 if all nodes have the same mean, 1 if a node's targets are all equal.
    """

    nodes: int
    mean: float
    deciles: tuple[float, ...]
    below_batch: int
    classes: tuple[float, float, float] | None = None
    distance: float | None = None
    owners: tuple[float, float, float] | None = None
    targets: tuple[float, float, float] | None = None
    between: float | None = None

    def record(self) -> dict[str, Any]:
        """Return what is known as JSON values, by name."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in known.items()
            if value is not None
        }


def heterogeneity(
    partition: Partition,
    targets: Num[np.ndarray, "m ..."] | None = None,
    owners: Int[np.ndarray, " m"] | None = None,
    batch_size: int = 1,
) -> Heterogeneity:
    """Return how the samples that nodes train on fall on them; local test sets do not count.

    Args:
        partition: the samples of each node.
        targets: targets of the table: (m,) integers are classes, (m,) or (m, k) floats are values, and (m, t) integers are
            tokens, of which only the samples are counted. None if there are none.
        owners: (m,) the owner of each sample; None if unknown.
        batch_size: samples per gradient.
    """
    sizes, n = partition.n_train, partition.n_nodes
    found: dict[str, Any] = {}
    if targets is not None and np.issubdtype(targets.dtype, np.floating):
        means, found["between"] = target_means(partition, targets)
        found["targets"] = _extremes(means) if means.ndim == 1 else None
    elif targets is not None and targets.ndim == 1:
        present, distance = _classes(partition, targets)
        found |= {"classes": _extremes(present), "distance": float(distance.mean())}
    if owners is not None:
        found["owners"] = _extremes(np.concatenate([np.diff(held.indptr) for held in _held(partition, owners)]))
    deciles = np.quantile(sizes, np.arange(11) / 10).round(6)
    return Heterogeneity(n, float(sizes.mean()), tuple(deciles.tolist()), int((sizes < batch_size).sum()), **found)


def class_counts(partition: Partition, labels: Int[np.ndarray, " m"], nodes: Int[np.ndarray, " k"]) -> np.ndarray:
    """Return (k, c) int64: the number of samples of each class 0..c-1 that some nodes train on."""
    n_classes = int(labels.max()) + 1
    return np.stack([np.bincount(labels[partition.train(node)], minlength=n_classes) for node in nodes])


def class_shares(partition: Partition, labels: Int[np.ndarray, " m"]) -> Float64[np.ndarray, "n c"]:
    """Return (n, c): the share of each class 0..c-1 in the samples that each node trains on.

    >>> jg.topology.d_cliques(jg.learning.partitions.class_shares(partition, data.y_train))

    Args:
        partition: the samples of each node.
        labels: (m,) the class of each sample of the table.

    Raises:
        DataError: labels that are no classes, or fewer than the partition divides.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or (labels < 0).any():
        raise DataError(
            f"class_shares: labels are {labels.dtype}{list(labels.shape)}",
            hint="the class of each sample, as whole numbers from 0",
        )
    partition.check_table("class_shares", labels)
    counts = class_counts(partition, labels, np.arange(partition.n_nodes))
    return counts / counts.sum(1, keepdims=True)


def target_means(
    partition: Partition, targets: Num[np.ndarray, "m ..."]
) -> tuple[Float64[np.ndarray, "n ..."], float | None]:
    """Return the mean target of each node, (n,) or (n, k), and the share of all variance that lies between them.

    The share is None where all targets are equal.
    """
    sums, squares = [], np.zeros(())
    for rows, offsets in _blocks(partition):
        values = np.asarray(targets[rows], np.float64)
        sums.append(np.add.reduceat(values, offsets[:-1]))
        squares = squares + np.square(values).sum(0)
    total, sizes = np.concatenate(sums), partition.n_train.reshape(-1, *[1] * (targets.ndim - 1))
    means, mean = total / sizes, total.sum(0) / sizes.sum()
    everything = float((squares - sizes.sum() * np.square(mean)).sum())
    between = float((sizes * np.square(means - mean)).sum())
    # differences of squares are known only up to the rounding of these
    vanishes = everything <= 1e-12 * float(np.sum(squares))
    return means, None if vanishes else min(1.0, between / everything)


def _classes(partition: Partition, labels: Int[np.ndarray, " m"]) -> tuple[NodeCounts, NodeMeans]:
    """Return each node's number of classes, and the distance of its class shares from those of all nodes together."""
    numbers = np.unique(labels, return_inverse=True)[1]
    total = np.zeros(int(numbers.max()) + 1, np.int64)
    for rows, _ in _blocks(partition):
        total += np.bincount(numbers[rows], minlength=total.size)
    shares, present, distance = total / total.sum(), [], []
    for block in _held(partition, numbers):
        own = block.data / np.repeat(block.sum(1), np.diff(block.indptr))
        # Of classes that a node lacks, the distance is their share of all: what the shares of its own leave.
        each = np.abs(own - shares[block.indices]) - shares[block.indices]
        present.append(np.diff(block.indptr).astype(np.int64))
        distance.append((np.add.reduceat(each, block.indptr[:-1]) + 1) / 2)
    return np.concatenate(present), np.concatenate(distance)


def _held(partition: Partition, numbers: Int[np.ndarray, " m"]) -> Iterator[csr_array]:
    """Yield how often each node, in blocks of nodes, has a sample of each number: sparse (k, c)."""
    columns = int(numbers.max()) + 1
    for rows, offsets in _blocks(partition):
        block = csr_array((np.ones(len(rows), np.int32), numbers[rows], offsets), shape=(len(offsets) - 1, columns))
        block.sum_duplicates()
        yield block


def _blocks(partition: Partition) -> Iterator[tuple[Int[np.ndarray, " t"], Int[np.ndarray, " k_plus_1"]]]:
    """Yield the training rows of successive nodes, some ``BLOCK_SAMPLES`` at a time, and where each node's begin."""
    ends = partition.n_train.cumsum(dtype=np.int64)
    node = 0
    while node < partition.n_nodes:
        done = ends[node] - partition.n_train[node]
        last = max(node + 1, int(np.searchsorted(ends, done + BLOCK_SAMPLES, side="right")))
        sizes = partition.n_train[node:last].astype(np.int64)
        offsets = np.concatenate([[0], sizes.cumsum()])
        begins = partition.offsets[node:last] - offsets[:-1]
        yield partition.order[np.repeat(begins, sizes) + np.arange(offsets[-1])], offsets
        node = last


def _extremes(values: np.ndarray) -> tuple[float, float, float]:
    return float(values.min()), float(np.median(values)), float(values.max())
