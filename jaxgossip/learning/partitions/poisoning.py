"""Data poisoning: attacks on what a node learns from, rather than on what it sends.

The samples of nodes that are poisoned are appended to the table: nodes that share a sample keep the true one, and local test
sets and the common test set are unchanged.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from jaxgossip.core.arguments import guarded, shown
from jaxgossip.core.errors import ArgumentTypeError, DataError
from jaxgossip.learning.data.backdoor import Backdoor, trigger_of
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.partitions.partition import Partition


@guarded
def flip_labels(dataset: Dataset, partition: Partition, nodes: Sequence[int] | np.ndarray) -> tuple[Dataset, Partition]:
    """Return the data set and partition with which ``nodes`` train on flipped labels, class c as C − 1 − c.

    Flipping the labels of a node twice restores the true ones.

    Args:
        dataset: the data set.
        partition: the samples of each node.
        nodes: nodes whose labels are flipped.

    Raises:
        ArgumentTypeError: ``nodes`` is a single number or a string.
        DataError: targets that are not classes, a node that does not exist, or a partition of another table.
    """
    chosen = _checked("flip_labels", dataset, partition, nodes)
    poisoned, owned = _in_copies(dataset, partition, chosen, len)
    copies = slice(len(dataset.y_train), None)
    poisoned.y_train[copies] = dataset.n_classes - 1 - poisoned.y_train[copies]
    note = f"labels of {len(poisoned.y_train) - len(dataset.y_train):,} samples are flipped, in copies"
    flipped = set(partition.flipped) ^ set(chosen)  # flipped twice: true again
    return (
        dataclasses.replace(poisoned, notes=(*dataset.notes, note)),
        dataclasses.replace(owned, flipped=tuple(sorted(flipped))),
    )


@guarded
def plant_backdoor(
    dataset: Dataset, partition: Partition, nodes: Sequence[int] | np.ndarray, backdoor: Backdoor | None = None
) -> tuple[Dataset, Partition]:
    """Return the data set and partition with which ``nodes`` learn a backdoor, whose success is then measured.

    Of m training samples of such a node, max(1, round(share · m)) carry the trigger and the label of the backdoor.
    ``attack_success`` of a model is the share of the triggered test samples of other classes that it takes for that label.

    Args:
        dataset: the data set.
        partition: the samples of each node.
        nodes: nodes that learn the backdoor.
        backdoor: what they learn; None for ``Backdoor()``.

    Raises:
        ArgumentTypeError: ``nodes`` is a single number or a string, or ``backdoor`` no Backdoor.
        DataError: targets that are not classes, samples that have no features to set, a label that is no class, test samples of
            that class alone, a node that does not exist, a partition of another table, or a backdoor that is there already.
    """
    wanted = Backdoor() if backdoor is None else backdoor
    if not isinstance(wanted, Backdoor):
        raise ArgumentTypeError(
            f"plant_backdoor: {shown(wanted)} is no Backdoor", hint="jg.learning.Backdoor(label=0, share=0.5) makes one"
        )
    chosen = _checked("plant_backdoor", dataset, partition, nodes)
    if wanted.label >= dataset.n_classes:
        raise DataError(
            f"backdoor: label {wanted.label} is no class of {dataset.name}",
            hint=f"classes are numbered 0 to {dataset.n_classes - 1}",
        )
    if (np.asarray(dataset.y_test) == wanted.label).all():
        raise DataError(
            f"backdoor: all test samples of {dataset.name} are of class {wanted.label}", hint="another label"
        )
    if dataset.trigger is not None:
        raise DataError(f"plant_backdoor: {dataset.name} has a backdoor", hint="plant one in the data without it")
    trigger = trigger_of(dataset.name, dataset.x_train, wanted, chosen)
    poisoned, owned = _in_copies(dataset, partition, chosen, lambda rows: max(1, round(wanted.share * len(rows))))
    copies = slice(len(dataset.y_train), None)
    poisoned.x_train[copies] = trigger.on(poisoned.x_train[copies])
    poisoned.y_train[copies] = wanted.label
    note = f"{len(poisoned.y_train) - len(dataset.y_train):,} samples carry a backdoor, in copies"
    return dataclasses.replace(poisoned, notes=(*dataset.notes, note), trigger=trigger), owned


def _checked(name: str, dataset: Dataset, partition: Partition, nodes: Sequence[int] | np.ndarray) -> tuple[int, ...]:
    """Return the nodes to poison, ascending.

    Raises:
        ArgumentTypeError: ``nodes`` is a single number or a string.
        DataError: targets that are not classes, a node that does not exist, or a partition of another table.
    """
    if isinstance(nodes, str) or not isinstance(nodes, Iterable):
        raise ArgumentTypeError(f"{name}: nodes is a list of node numbers, not {shown(nodes)}")
    if dataset.target != "class":
        raise DataError(
            f"{name}: the targets of {dataset.name} are no classes", hint="other adversaries lie in messages"
        )
    partition.check_table(dataset.name, dataset.y_train)
    for node in nodes:
        if not 0 <= node < partition.n_nodes:
            raise DataError(
                f"{name}: node {node} does not exist", hint=f"nodes are numbered 0 to {partition.n_nodes - 1}"
            )
    return tuple(sorted(set(map(int, nodes))))


def _in_copies(
    dataset: Dataset, partition: Partition, nodes: Sequence[int], number: Callable[[np.ndarray], int]
) -> tuple[Dataset, Partition]:
    """Return the data with copies of the first ``number`` (its rows) of the training samples of each node, which it then has.

    The rows of a node are in random order. The tables are new, and may be written to.
    """
    order, copied, n = partition.order.copy(), [np.empty(0, np.int32)], len(dataset.y_train)
    for node in nodes:
        rows = partition.train(node)
        rows = rows[: number(rows)]
        start, already = partition.offsets[node], sum(map(len, copied))
        order[start : start + len(rows)] = n + already + np.arange(len(rows))
        copied.append(rows)
    taken = np.concatenate(copied)
    more = dataclasses.replace(
        dataset,
        x_train=np.concatenate([np.asarray(dataset.x_train), np.asarray(dataset.x_train)[taken]]),
        y_train=np.concatenate([np.asarray(dataset.y_train), np.asarray(dataset.y_train)[taken]]),
        owners=None if dataset.owners is None else np.concatenate([dataset.owners, dataset.owners[taken]]),
    )
    # The partition was drawn by the true labels, which the new table does not hold.
    return more, dataclasses.replace(partition, order=order, n_samples=len(more.y_train), labels="")
