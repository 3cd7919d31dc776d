"""Who owns which training samples: row numbers alone, so that a million nodes never copy a sample."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Array, Int

from jaxgossip.core.arguments import described, guarded
from jaxgossip.core.errors import ArgumentTypeError, DataError
from jaxgossip.learning.partitions.partition import Partition, fingerprint

ClassLabels = Int[np.ndarray | Array, "m"]


def _dividing[**P](builder: Callable[P, Partition]) -> Callable[P, Partition]:
    """Return the builder of a partition, its arguments checked first."""

    def check(name: str, given: Mapping[str, Any]) -> None:
        labels = given["labels"]
        if isinstance(labels, Integral) or hasattr(labels, "y_train"):
            raise ArgumentTypeError(
                f"partition '{name}' divides labels, not {described(labels)}",
                hint=f"partitions.{name}(data.y_train, n_nodes, …)",
            )

    return guarded(builder, check)


@_dividing
def iid(labels: ClassLabels, n_nodes: int, *, local_test: float = 0.0, rng: np.random.Generator | int = 0) -> Partition:
    """All samples spread at random over the nodes, in equal numbers.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        local_test: fraction of each node's samples kept for its own test.
        rng: divides the samples; an int is a seed.

    Raises:
        DataError: fewer samples than nodes.
    """
    rng, m = np.random.default_rng(rng), _labels("iid", labels).size
    _check_enough("iid", m, n_nodes)
    bounds = np.arange(n_nodes + 1, dtype=np.int64) * m // n_nodes
    return _partition(rng.permutation(m), np.diff(bounds), local_test, m)


@_dividing
def fixed_size(
    labels: ClassLabels,
    n_nodes: int,
    *,
    samples: int,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """The same number of samples for each node, all different; a sample is used again once all have been used.

    Use counts of any two samples differ by one at most. What one node tests itself on, another may train on.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        samples: number of samples of each node.
        local_test: fraction of each node's samples kept for its own test.
        rng: divides the samples; an int is a seed.

    Raises:
        DataError: more samples a node than there are.
    """
    rng, m = np.random.default_rng(rng), _labels("fixed_size", labels).size
    _check_nodes(n_nodes)
    if not 1 <= samples <= m:
        raise DataError(
            f"partition 'fixed_size' cannot give {samples} samples to each node",
            hint=f"samples lies between 1 and the {m} training samples",
        )
    rows = _even_rows(m, n_nodes, samples, rng)
    return _partition(rows.reshape(-1), np.full(n_nodes, samples), local_test, m)


@_dividing
def one_sample(
    labels: ClassLabels, n_nodes: int, *, local_test: float = 0.0, rng: np.random.Generator | int = 0
) -> Partition:
    """A single sample for each node; with more nodes than samples, each sample is held equally often.

    The fully distributed setting of Ormándi, Hegedűs and Jelasity 2013, "Gossip learning with linear models on fully
    distributed data".

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        local_test: fraction of each node's samples kept for its own test; must be 0 here.
        rng: deals the samples; an int is a seed.

    Raises:
        DataError: a local test, for which no sample is left.
    """
    return fixed_size(labels, n_nodes, samples=1, local_test=local_test, rng=rng)


@_dividing
def dirichlet(
    labels: ClassLabels,
    n_nodes: int,
    *,
    alpha: float = 0.1,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """Each class divided over nodes in proportions drawn from Dirichlet(alpha, …, alpha): skewed classes and sizes.

    Yurochkin et al. 2019, "Bayesian nonparametric federated learning of neural networks"; what is mostly meant where
    Hsu, Qi and Brown 2019 are cited (they draw the classes of a node of given size instead). A share p of m samples is
    ⌊pm⌋ or ⌈pm⌉ of them, pm on average. Nodes that would end with nothing get a sample of those that own most.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        alpha: concentration; small values give a node few classes, large ones approach the class shares of the data.
        local_test: fraction of each node's samples kept for its own test.
        rng: divides the samples; an int is a seed.

    Raises:
        DataError: fewer samples than nodes, or ``alpha`` not positive.
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
        # From a random place on, and in an order of the nodes drawn for each class: shares that are no whole numbers of
        # samples are rounded to the right mean, and no node is rounded up for where it stands.
        places = (np.arange(len(members)) + rng.random()) / len(members)
        node = rng.permutation(n_nodes)
        owners[members] = node[np.minimum(np.searchsorted(ends, places * ends[-1], side="right"), n_nodes - 1)]
    return replace(_from_owners(owners, n_nodes, local_test, rng), labels=fingerprint(labels))


@_dividing
def label_shards(
    labels: ClassLabels,
    n_nodes: int,
    *,
    shards: int = 2,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """Samples sorted by class and cut into equal shards; every node gets some shards at random, so few classes.

    McMahan, Moore, Ramage, Hampson and Agüera y Arcas 2017, "Communication-efficient learning of deep networks from
    decentralized data", section 3.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        shards: number of shards of each node.
        local_test: fraction of each node's samples kept for its own test.
        rng: divides the samples; an int is a seed.

    Raises:
        DataError: fewer samples than shards in all.
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


@_dividing
def quantity_skew(
    labels: ClassLabels,
    n_nodes: int,
    *,
    exponent: float = 1.0,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """Classes alike, numbers of samples by a power law: the node of rank r owns a share proportional to r^-exponent.

    Ranks are dealt at random. Nodes that would end with nothing get a sample of those that own most.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        exponent: 0 gives equal numbers, larger values let few nodes own most.
        local_test: fraction of each node's samples kept for its own test.
        rng: divides the samples; an int is a seed.

    Raises:
        DataError: fewer samples than nodes, or ``exponent`` negative.
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
    """Return the labels (m,) as NumPy's."""
    found = np.asarray(labels)
    if found.ndim != 1:
        raise DataError(f"partition '{kind}' divides labels, not an array of shape {found.shape}", hint="one a sample")
    return found


def _check_nodes(n_nodes: int) -> None:
    if n_nodes < 1:
        raise DataError(f"samples cannot be divided over {n_nodes} nodes")


def _check_enough(kind: str, n_samples: int, n_nodes: int) -> None:
    _check_nodes(n_nodes)
    if n_samples < n_nodes:
        raise DataError(
            f"partition '{kind}' uses each sample once: {n_samples:,} for training are too few for {n_nodes:,} nodes",
            hint="one_sample or fixed_size reuse samples",
        )


def _partition(order: np.ndarray, sizes: np.ndarray, local_test: float, n_samples: int) -> Partition:
    """Return the partition in which node i owns the next ``sizes[i]`` of ``order``: the one place of local tests."""
    if not 0 <= local_test < 1:
        raise DataError(f"local_test = {local_test} is not a fraction", hint="0 or more, and less than 1")
    n_test = np.minimum(np.floor(sizes * local_test + 0.5), sizes - 1)
    if local_test and not n_test.any():
        raise DataError(
            f"local_test = {local_test} leaves no node a sample to test on: the largest owns {sizes.max()}",
            hint="local_test = 0, or a partition with more samples a node",
        )
    offsets = np.concatenate([[0], sizes.cumsum(dtype=np.int64)])
    return Partition(order.astype(np.int32, copy=False), offsets, (sizes - n_test).astype(np.int32), n_samples)


def _from_owners(owners: np.ndarray, n_nodes: int, local_test: float, rng: np.random.Generator) -> Partition:
    """Return the partition in which sample j belongs to ``owners[j]``, after the richest have given to the empty."""
    shuffled = rng.permutation(len(owners))  # a node's own order is random: its local test is a fair draw
    order = shuffled[np.argsort(owners[shuffled], kind="stable")]
    sizes = np.bincount(owners, minlength=n_nodes)
    empty = np.flatnonzero(sizes == 0)
    if empty.size:
        kept = _after_giving(sizes, empty.size, rng)
        rank = np.arange(len(order)) - np.repeat(sizes.cumsum() - sizes, sizes)
        given = rng.permutation(order[rank >= np.repeat(kept, sizes)])
        owners = owners.copy()
        owners[given] = empty
        order = order[np.argsort(owners[order], kind="stable")]
        sizes = np.bincount(owners, minlength=n_nodes)
    return _partition(order, sizes, local_test, len(owners))


def _after_giving(sizes: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Return what is left to each node when the one that owns most, any of several, gives a sample, ``wanted`` times over."""
    low, high = 1, int(sizes.max())
    while low < high:  # the lowest level above which there are no more samples than wanted
        level = (low + high) // 2
        low, high = (low, level) if np.maximum(sizes - level, 0).sum() <= wanted else (level + 1, high)
    kept = np.minimum(sizes, low)
    last = wanted - int((sizes - kept).sum())
    kept[rng.permutation(np.flatnonzero(kept == low))[:last]] -= 1
    return kept


def _even_rows(n_samples: int, n_nodes: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n_nodes, size) row numbers: different within a node, use counts equal or one apart, nodes exchangeable.

    The samples are dealt in passes, every sample once a pass. What a pass leaves over, since ``size`` need not divide
    the number of samples, is chosen in turn along one fixed cycle: any ``size`` successive leftovers are different,
    so they too make nodes, across passes.
    """
    passes, rest = divmod(n_nodes * size, n_samples)
    left = n_samples % size
    cycle = rng.permutation(n_samples).astype(np.int32)
    place = np.argsort(cycle)
    decks = rng.permuted(np.tile(np.arange(n_samples, dtype=np.int32), (passes, 1)), axis=1)
    is_left = (place[decks] - (np.arange(passes) * left)[:, None]) % n_samples < left
    whole = decks[~is_left]
    last_left = -passes * left % size  # the last, incomplete pass completes the node that leftovers have begun
    leftovers = cycle[np.arange(passes * left + last_left) % n_samples]
    last = rng.permutation(n_samples).astype(np.int32)
    last = last[(place[last] - passes * left) % n_samples >= last_left][: rest - last_left]
    return rng.permutation(np.concatenate([whole, leftovers, last]).reshape(n_nodes, size))
