"""Training data turned against the network: what a node learns from, not what it sends."""

import dataclasses
from collections.abc import Sequence
from numbers import Integral

import numpy as np

from jaxgossip.core.arguments import shown
from jaxgossip.core.errors import ArgumentTypeError, DataError
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.partitions.partition import Partition


def flip_labels(dataset: Dataset, partition: Partition, nodes: Sequence[int] | np.ndarray) -> tuple[Dataset, Partition]:
    """Return the task in which ``nodes`` train on labels turned around, class c as C − 1 − c.

    Their samples are copied to the end of the table with the new labels; whoever shares a sample keeps the true one, and
    the nodes' own tests and the common test set stay as they are. Nodes whose labels are turned around already have the true
    ones again.

    Args:
        dataset: the data.
        partition: which samples are whose.
        nodes: numbers of the nodes whose labels are flipped.

    Raises:
        DataError: a node that does not exist, or a partition of another table.
    """
    if isinstance(nodes, Integral | str):
        raise ArgumentTypeError(f"flip_labels: nodes is a list of node numbers, not {shown(nodes)}")
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
        notes=(*dataset.notes, f"labels of {len(taken):,} samples are flipped, in copies"),
        y_train=np.concatenate([np.asarray(dataset.y_train), flipped.astype(np.asarray(dataset.y_train).dtype)]),
    )
    # Who owns what was decided by the true labels, which the new table no longer tells.
    turned = set(partition.flipped) ^ set(map(int, nodes))  # twice is not at all
    return poisoned, dataclasses.replace(
        partition, order=order, n_samples=len(poisoned.y_train), labels="", flipped=tuple(sorted(turned))
    )
