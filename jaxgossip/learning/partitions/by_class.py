"""Rules that divide training samples by their classes."""

import math
from dataclasses import replace

import numpy as np

from jaxgossip.core.errors import DataError
from jaxgossip.learning.partitions.division import ClassLabels, checked_rule, even_rows, from_owners, opened
from jaxgossip.learning.partitions.partition import Partition, fingerprint


@checked_rule
def stratified(
    labels: ClassLabels, n_nodes: int, *, local_test: float = 0.0, rng: np.random.Generator | int = 0
) -> Partition:
    """Every class divided as evenly as possible: nodes have the same numbers of samples and of each class, or one more or less.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: fewer samples than nodes.
    """
    labels, rng = opened("stratified", labels, n_nodes, rng, least=1)
    # Dealt class by class in one turn around the nodes: what a class leaves over goes to where the next one begins.
    by_class = _by_class(labels, rng)
    owners = np.empty(len(labels), np.int64)
    owners[by_class] = rng.permutation(n_nodes)[np.arange(len(labels)) % n_nodes]
    return _of_labels(labels, owners, n_nodes, local_test, rng)


@checked_rule
def dirichlet(
    labels: ClassLabels,
    n_nodes: int,
    *,
    alpha: float = 0.1,
    least: int = 1,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """Each class divided in proportions drawn from Dirichlet(alpha, …, alpha): skewed classes and sizes.

    Yurochkin et al. 2019, "Bayesian nonparametric federated learning of neural networks". This is usually meant where
    Hsu, Qi and Brown 2019 are cited, who draw the classes of a node of given size instead. A share p of m samples is
    rounded to ⌊pm⌋ or ⌈pm⌉, pm on average. Nodes with fewer than ``least`` samples get what they lack from the nodes that own
    most.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        alpha: concentration; small values give each node few classes, large values approach the class shares of the data.
        least: number of samples that every node has at least.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: fewer samples than the nodes need, or ``alpha`` not positive.
    """
    labels, rng = opened("dirichlet", labels, n_nodes, rng, least)
    if not 0 < alpha < math.inf:
        raise DataError(f"partition 'dirichlet' needs a positive alpha, not {alpha}")
    owners = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        ends = rng.dirichlet(np.full(n_nodes, alpha)).cumsum()
        # The start of the grid and the order of the nodes are drawn for each class: fractional shares are rounded with the
        # right mean, and no node is favoured by its position.
        places = (np.arange(len(members)) + rng.random()) / len(members)
        node = rng.permutation(n_nodes)
        owners[members] = node[np.minimum(np.searchsorted(ends, places * ends[-1], side="right"), n_nodes - 1)]
    return _of_labels(labels, owners, n_nodes, local_test, rng, least)


@checked_rule
def label_shards(
    labels: ClassLabels,
    n_nodes: int,
    *,
    shards: int = 2,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """Samples sorted by class and cut into equal shards, a few of which each node gets at random: few classes per node.

    McMahan, Moore, Ramage, Hampson and Agüera y Arcas 2017, "Communication-efficient learning of deep networks from
    decentralized data", section 3.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        shards: number of shards per node.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: ``shards`` below 1, or fewer samples than shards.
    """
    labels, rng = opened("label_shards", labels, n_nodes, rng, least=1)
    total = n_nodes * shards
    if not n_nodes <= total <= len(labels):
        raise DataError(
            f"partition 'label_shards' cannot cut {len(labels)} samples into {n_nodes} × {shards} shards",
            hint=f"shards lies between 1 and {len(labels) // n_nodes}",
        )
    by_class = _by_class(labels, rng)
    shard_owner = rng.permutation(total) % n_nodes
    owners = np.empty(len(labels), np.int64)
    owners[by_class] = shard_owner[np.arange(len(labels)) * total // len(labels)]
    return _of_labels(labels, owners, n_nodes, local_test, rng)


@checked_rule
def label_quantity(
    labels: ClassLabels,
    n_nodes: int,
    *,
    classes: int = 2,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """Every node has samples of exactly ``classes`` classes; each class is divided evenly among the nodes that have it.

    Li, Diao, Chen and He 2022, "Federated learning on non-IID data silos: an experimental study", #C = k. Classes are dealt so
    that each is held by as many nodes as any other, or one more.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        classes: k, number of classes of a node.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: more classes than there are, so few nodes that a class would be left out, or a class with fewer samples than
            nodes that hold it.
    """
    labels, rng = opened("label_quantity", labels, n_nodes, rng)
    names, numbers = np.unique(labels, return_inverse=True)
    if not 1 <= classes <= names.size:
        raise DataError(
            f"partition 'label_quantity' cannot give {classes} classes to each node",
            hint=f"classes lies between 1 and {names.size}",
        )
    if n_nodes * classes < names.size:
        raise DataError(
            f"partition 'label_quantity': {n_nodes:,} nodes of {classes} classes each leave some of {names.size} classes out",
            hint="more nodes, or more classes a node",
        )
    held = even_rows(names.size, n_nodes, classes, rng)
    owners = np.empty(len(labels), np.int64)
    for number in range(names.size):
        members, holders = rng.permutation(np.flatnonzero(numbers == number)), np.flatnonzero((held == number).any(1))
        if len(members) < len(holders):
            raise DataError(
                f"partition 'label_quantity': {len(holders):,} nodes are to share the {len(members):,} samples of class "
                f"{names[number]}",
                hint="fewer nodes, or fewer classes a node",
            )
        owners[members] = rng.permutation(holders)[np.arange(len(members)) % len(holders)]
    return _of_labels(labels, owners, n_nodes, local_test, rng)


def _by_class(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (m,) row numbers, sorted by class and in random order within each."""
    shuffled = rng.permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


def _of_labels(
    labels: np.ndarray, owners: np.ndarray, n_nodes: int, local_test: float, rng: np.random.Generator, least: int = 1
) -> Partition:
    """Return the partition in which node ``owners[j]`` owns sample j, which remembers of which labels it was made."""
    return replace(from_owners(owners, n_nodes, local_test, rng, least), labels=fingerprint(labels))
