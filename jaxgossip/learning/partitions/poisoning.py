"""Data poisoning: attacks on what a node learns from, rather than on what it sends."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from jaxgossip.core.arguments import guarded, shown
from jaxgossip.core.errors import ArgumentTypeError, DataError
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.partitions.partition import Partition


@guarded
def flip_labels(dataset: Dataset, partition: Partition, nodes: Sequence[int] | np.ndarray) -> tuple[Dataset, Partition]:
    """Return the data set and partition with which ``nodes`` train on flipped labels, class c as C − 1 − c.

    Their samples are appended to the table with the new labels: nodes that share a sample keep the true label, and local test
    sets and the common test set are unchanged. Flipping the labels of a node twice restores the true ones.

    Args:
        dataset: the data set.
        partition: the samples of each node.
        nodes: nodes whose labels are flipped.

    Raises:
        ArgumentTypeError: ``nodes`` is a single number or a string.
        DataError: targets that are not classes, a node that does not exist, or a partition of another table.
    """
    if isinstance(nodes, str) or not isinstance(nodes, Iterable):
        raise ArgumentTypeError(f"flip_labels: nodes is a list of node numbers, not {shown(nodes)}")
    if dataset.target != "class":
        raise DataError(
            f"flip_labels: the targets of {dataset.name} are no classes", hint="other adversaries lie in messages"
        )
    partition.check_table(dataset.name, dataset.y_train)
    for node in nodes:
        if not 0 <= node < partition.n_nodes:
            raise DataError(
                f"flip_labels: node {node} does not exist", hint=f"nodes are numbered 0 to {partition.n_nodes - 1}"
            )
    order, copied, n = partition.order.copy(), [], len(dataset.y_train)
    for node in sorted(set(nodes)):
        rows = partition.train(node)
        start, already = partition.offsets[node], sum(map(len, copied))
        order[start : start + len(rows)] = n + already + np.arange(len(rows))
        copied.append(rows)
    taken = np.concatenate(copied) if copied else np.empty(0, np.int32)
    flipped = dataset.n_classes - 1 - np.asarray(dataset.y_train)[taken]
    poisoned = dataclasses.replace(
        dataset,
        x_train=np.concatenate([np.asarray(dataset.x_train), np.asarray(dataset.x_train)[taken]]),
        owners=None if dataset.owners is None else np.concatenate([dataset.owners, dataset.owners[taken]]),
        notes=(*dataset.notes, f"labels of {len(taken):,} samples are flipped, in copies"),
        y_train=np.concatenate([np.asarray(dataset.y_train), flipped.astype(np.asarray(dataset.y_train).dtype)]),
    )
    # The partition was drawn by the true labels, which the new table does not hold.
    flipped_nodes = set(partition.flipped) ^ set(map(int, nodes))  # flipped twice: true again
    return poisoned, dataclasses.replace(
        partition,
        order=order,
        n_samples=len(poisoned.y_train),
        labels="",
        flipped=tuple(sorted(flipped_nodes)),
    )
