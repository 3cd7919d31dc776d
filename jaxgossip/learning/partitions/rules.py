"""Rules that divide training samples over nodes, by row number: no sample is copied, even for a million nodes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Array, Int

from jaxgossip.core.arguments import described, guarded, is_number
from jaxgossip.core.errors import ArgumentTypeError, DataError
from jaxgossip.learning.partitions.partition import Partition, fingerprint

ClassLabels = Int[np.ndarray | Array, "m"]


def _checked[**P](builder: Callable[P, Partition]) -> Callable[P, Partition]:
    """Wrap a partition function so that its arguments are checked first."""

    def check(name: str, given: Mapping[str, Any]) -> None:
        labels = given["labels"]
        if isinstance(labels, Integral) or hasattr(labels, "y_train"):
            raise ArgumentTypeError(
                f"partition '{name}' divides labels, not {described(labels)}",
                hint=f"partitions.{name}(data.y_train, n_nodes, …)",
            )
        local_test = given.get("local_test", 0.0)
        if is_number(local_test) and not 0 <= local_test < 1:
            raise DataError(f"{name}: local_test = {local_test} is not a fraction", hint="0 or more, and less than 1")

    return guarded(builder, check)


@_checked
def iid(labels: ClassLabels, n_nodes: int, *, local_test: float = 0.0, rng: np.random.Generator | int = 0) -> Partition:
    """Samples divided uniformly at random, in equal numbers.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: fewer samples than nodes, labels that are not (m,), or a ``local_test`` outside [0, 1) or
            too small to give any node a test sample.
    """
    rng, m = np.random.default_rng(rng), _labels("iid", labels).size
    _check_enough("iid", m, n_nodes)
    bounds = np.arange(n_nodes + 1, dtype=np.int64) * m // n_nodes
    return _partition(rng.permutation(m), np.diff(bounds), local_test, m)


@_checked
def fixed_size(
    labels: ClassLabels,
    n_nodes: int,
    *,
    samples: int,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """The same number of distinct samples for each node; samples are reused once all have been used.

    Any two samples are used equally often or once more. A sample may be in one node's training and another's test set.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        samples: number of samples per node.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: ``samples`` below 1 or above the number of training samples, labels that are not (m,), or a
            ``local_test`` outside [0, 1) or too small to give any node a test sample.
    """
    rng, m = np.random.default_rng(rng), _labels("fixed_size", labels).size
    if not 1 <= samples <= m:
        raise DataError(
            f"partition 'fixed_size' cannot give {samples} samples to each node",
            hint=f"samples lies between 1 and the {m} training samples",
        )
    rows = _even_rows(m, n_nodes, samples, rng)
    return _partition(rows.reshape(-1), np.full(n_nodes, samples), local_test, m)


@_checked
def one_sample(
    labels: ClassLabels, n_nodes: int, *, local_test: float = 0.0, rng: np.random.Generator | int = 0
) -> Partition:
    """A single sample for each node; with more nodes than samples, samples are reused equally often.

    The fully distributed setting of Ormándi, Hegedűs and Jelasity 2013, "Gossip learning with linear models on fully
    distributed data".

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        local_test: fraction of each node's samples held out as its local test set; must be 0 here.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: no sample, labels that are not (m,), or a ``local_test`` other than 0.
    """
    return fixed_size(labels, n_nodes, samples=1, local_test=local_test, rng=rng)


@_checked
def dirichlet(
    labels: ClassLabels,
    n_nodes: int,
    *,
    alpha: float = 0.1,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """Each class divided in proportions drawn from Dirichlet(alpha, …, alpha): skewed classes and sizes.

    Yurochkin et al. 2019, "Bayesian nonparametric federated learning of neural networks". This is usually meant where
    Hsu, Qi and Brown 2019 are cited, who draw the classes of a node of given size instead. A share p of m samples is
    rounded to ⌊pm⌋ or ⌈pm⌉, pm on average. Nodes left without samples get one each from the nodes that own most.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        alpha: concentration; small values give each node few classes, large values approach the class shares of the data.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: fewer samples than nodes, ``alpha`` not positive, labels that are not (m,), or a
            ``local_test`` outside [0, 1) or too small to give any node a test sample.
    """
    rng = np.random.default_rng(rng)
    labels = _labels("dirichlet", labels)
    _check_enough("dirichlet", len(labels), n_nodes)
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
    return replace(_from_owners(owners, n_nodes, local_test, rng), labels=fingerprint(labels))


@_checked
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
        DataError: ``shards`` below 1, fewer samples than shards, labels that are not (m,), or a ``local_test``
            outside [0, 1) or too small to give any node a test sample.
    """
    rng = np.random.default_rng(rng)
    labels = _labels("label_shards", labels)
    _check_enough("label_shards", len(labels), n_nodes)
    total = n_nodes * shards
    if not n_nodes <= total <= len(labels):
        raise DataError(
            f"partition 'label_shards' cannot cut {len(labels)} samples into {n_nodes} × {shards} shards",
            hint=f"shards lies between 1 and {len(labels) // n_nodes}",
        )
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    shard_owner = rng.permutation(total) % n_nodes
    owners = np.empty(len(labels), np.int64)
    owners[by_class] = shard_owner[np.arange(len(labels)) * total // len(labels)]
    return replace(_from_owners(owners, n_nodes, local_test, rng), labels=fingerprint(labels))


@_checked
def quantity_skew(
    labels: ClassLabels,
    n_nodes: int,
    *,
    exponent: float = 1.0,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """Sizes by a power law, classes uniform: the node of rank r owns a share proportional to r^-exponent.

    Ranks are random. Nodes left without samples get one each from the nodes that own most.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        exponent: 0 gives equal sizes; with larger values few nodes own most samples.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: fewer samples than nodes, ``exponent`` negative, labels that are not (m,), or a
            ``local_test`` outside [0, 1) or too small to give any node a test sample.
    """
    rng, m = np.random.default_rng(rng), _labels("quantity_skew", labels).size
    _check_enough("quantity_skew", m, n_nodes)
    if not 0 <= exponent < math.inf:
        raise DataError(f"partition 'quantity_skew' needs an exponent that is not negative, not {exponent}")
    ends = (np.arange(1, n_nodes + 1, dtype=np.float64) ** -exponent).cumsum()
    places = (np.arange(m) + 0.5) / m
    owners = rng.permutation(n_nodes)[np.searchsorted(ends, places * ends[-1], side="right")]
    return _from_owners(rng.permutation(owners), n_nodes, local_test, rng)


def _labels(kind: str, labels: Any) -> np.ndarray:
    """Return the labels (m,) as a NumPy array."""
    array = np.asarray(labels)
    if array.ndim != 1:
        raise DataError(f"partition '{kind}' divides labels, not an array of shape {array.shape}", hint="one a sample")
    return array


def _check_enough(kind: str, n_samples: int, n_nodes: int) -> None:
    if n_samples < n_nodes:
        raise DataError(
            f"partition '{kind}' uses each sample once: {n_samples:,} for training are too few for {n_nodes:,} nodes",
            hint="one_sample or fixed_size reuse samples",
        )


def _partition(order: np.ndarray, sizes: np.ndarray, local_test: float, n_samples: int) -> Partition:
    """Return the partition in which node i owns the next ``sizes[i]`` of ``order``, with its local test set split off."""
    n_test = np.minimum(np.floor(sizes * local_test + 0.5), sizes - 1)
    if local_test and not n_test.any():
        raise DataError(
            f"local_test = {local_test} leaves no node a sample to test on: the largest owns {sizes.max()}",
            hint="local_test = 0, or a partition with more samples a node",
        )
    offsets = np.concatenate([[0], sizes.cumsum(dtype=np.int64)])
    return Partition(order.astype(np.int32, copy=False), offsets, (sizes - n_test).astype(np.int32), n_samples)


def _from_owners(owners: np.ndarray, n_nodes: int, local_test: float, rng: np.random.Generator) -> Partition:
    """Return the partition in which node ``owners[j]`` owns sample j, after empty nodes got samples from the largest."""
    shuffled = rng.permutation(len(owners))  # each node's order is random, so that its test set is a fair draw
    order = shuffled[np.argsort(owners[shuffled], kind="stable")]
    sizes = np.bincount(owners, minlength=n_nodes)
    empty = np.flatnonzero(sizes == 0)
    if empty.size:
        kept = _sizes_after_giving(sizes, empty.size, rng)
        rank = np.arange(len(order)) - np.repeat(sizes.cumsum() - sizes, sizes)
        given = rng.permutation(order[rank >= np.repeat(kept, sizes)])
        owners = owners.copy()
        owners[given] = empty
        order = order[np.argsort(owners[order], kind="stable")]
        sizes = np.bincount(owners, minlength=n_nodes)
    return _partition(order, sizes, local_test, len(owners))


def _sizes_after_giving(sizes: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sizes after ``wanted`` samples are taken one at a time from a largest node, ties broken at random."""
    low, high = 1, int(sizes.max())
    while low < high:  # find the lowest level above which there are no more samples than wanted
        level = (low + high) // 2
        low, high = (low, level) if np.maximum(sizes - level, 0).sum() <= wanted else (level + 1, high)
    kept = np.minimum(sizes, low)
    last = wanted - int((sizes - kept).sum())
    kept[rng.permutation(np.flatnonzero(kept == low))[:last]] -= 1
    return kept


def _even_rows(n_samples: int, n_nodes: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n_nodes, size) row numbers: distinct within a node, used equally often or once more, nodes exchangeable.

    The samples are dealt in passes over all of them. What a pass leaves over, as ``size`` need not divide the number of
    samples, is chosen in turn along one fixed cycle: any ``size`` successive leftovers are distinct, so they too make
    nodes, across passes.
    """
    passes, rest = divmod(n_nodes * size, n_samples)
    left = n_samples % size
    cycle = rng.permutation(n_samples).astype(np.int32)
    place = np.argsort(cycle)
    decks = rng.permuted(np.tile(np.arange(n_samples, dtype=np.int32), (passes, 1)), axis=1)
    is_left = (place[decks] - (np.arange(passes) * left)[:, None]) % n_samples < left
    whole = decks[~is_left]
    last_left = -passes * left % size  # the last, incomplete pass completes the node that the leftovers have begun
    leftovers = cycle[np.arange(passes * left + last_left) % n_samples]
    last = rng.permutation(n_samples).astype(np.int32)
    last = last[(place[last] - passes * left) % n_samples >= last_left][: rest - last_left]
    return rng.permutation(np.concatenate([whole, leftovers, last]).reshape(n_nodes, size))
