"""Rules that divide training samples over nodes, by row number: no sample is copied, even for a million nodes."""

import math

import numpy as np

from jaxgossip.core.errors import DataError
from jaxgossip.learning.partitions.division import ClassLabels, checked_rule, divided, even_rows, from_owners, opened
from jaxgossip.learning.partitions.partition import Partition


@checked_rule
def iid(labels: ClassLabels, n_nodes: int, *, local_test: float = 0.0, rng: np.random.Generator | int = 0) -> Partition:
    """Samples divided uniformly at random, in equal numbers.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: fewer samples than nodes.
    """
    labels, rng = opened("iid", labels, n_nodes, rng, least=1)
    m = len(labels)
    bounds = np.arange(n_nodes + 1, dtype=np.int64) * m // n_nodes
    return divided(rng.permutation(m), np.diff(bounds), local_test, m)


@checked_rule
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
        DataError: ``samples`` below 1 or above the number of training samples.
    """
    labels, rng = opened("fixed_size", labels, n_nodes, rng)
    m = len(labels)
    if not 1 <= samples <= m:
        raise DataError(
            f"partition 'fixed_size' cannot give {samples} samples to each node",
            hint=f"samples lies between 1 and the {m} training samples",
        )
    rows = even_rows(m, n_nodes, samples, rng)
    return divided(rows.reshape(-1), np.full(n_nodes, samples), local_test, m)


@checked_rule
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
        DataError: no sample, or a ``local_test`` other than 0.
    """
    return fixed_size(labels, n_nodes, samples=1, local_test=local_test, rng=rng)


@checked_rule
def quantity_skew(
    labels: ClassLabels,
    n_nodes: int,
    *,
    exponent: float = 1.0,
    least: int = 1,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """Sizes by a power law, classes uniform: the node of rank r owns a share proportional to r^-exponent.

    Ranks are random. Nodes with fewer than ``least`` samples get what they lack from the nodes that own most.

    Args:
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        exponent: 0 gives equal sizes; with larger values few nodes own most samples.
        least: number of samples that every node has at least.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that divides the samples.

    Raises:
        DataError: fewer samples than the nodes need, or ``exponent`` negative.
    """
    labels, rng = opened("quantity_skew", labels, n_nodes, rng, least)
    m = len(labels)
    if not 0 <= exponent < math.inf:
        raise DataError(f"partition 'quantity_skew' needs an exponent that is not negative, not {exponent}")
    ends = (np.arange(1, n_nodes + 1, dtype=np.float64) ** -exponent).cumsum()
    places = (np.arange(m) + 0.5) / m
    owners = rng.permutation(n_nodes)[np.searchsorted(ends, places * ends[-1], side="right")]
    return from_owners(rng.permutation(owners), n_nodes, local_test, rng, least)
