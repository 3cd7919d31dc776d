"""How rules divide samples: checks of their arguments, and partitions from sizes or owners."""

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Array, Int

from jaxgossip.core.arguments import described, generator, guarded, is_number, whole
from jaxgossip.core.errors import ArgumentTypeError, DataError
from jaxgossip.learning.partitions.partition import Partition

ClassLabels = Int[np.ndarray | Array, "m"]


def checked_rule[**P](builder: Callable[P, Partition]) -> Callable[P, Partition]:
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


def opened(
    kind: str, labels: Any, n_nodes: int, rng: np.random.Generator | int, least: int | None = None
) -> tuple[np.ndarray, np.random.Generator]:
    """Return what every rule begins with: the labels (m,) as a NumPy array, and the generator.

    Args:
        kind: name of the rule in messages.
        labels: (m,) class of each training sample.
        n_nodes: number of nodes.
        rng: generator, or its seed.
        least: number of samples that every node has at least, if each sample is used once; None if some are reused or left out.

    Raises:
        InputError: ``least`` is not a whole number of at least 1.
        DataError: labels that are not (m,), or too few for ``least`` of them on every node.
    """
    array = np.asarray(labels)
    if array.ndim != 1:
        raise DataError(f"partition '{kind}' divides labels, not an array of shape {array.shape}", hint="one a sample")
    if least is not None and len(array) < n_nodes * whole(f"partition '{kind}'", "least", least, 1):
        each = f" of {least:,} samples" if least > 1 else ""
        raise DataError(
            f"partition '{kind}' uses each sample once: {len(array):,} for training are too few for {n_nodes:,} nodes{each}",
            hint="one_sample or fixed_size reuse samples",
        )
    return array, generator(kind, rng)


def divided(order: np.ndarray, sizes: np.ndarray, local_test: float, n_samples: int) -> Partition:
    """Return the partition in which node i owns the next ``sizes[i]`` of ``order``, with its local test set split off."""
    n_test = np.minimum(np.floor(sizes * local_test + 0.5), sizes - 1)
    if local_test and not n_test.any():
        raise DataError(
            f"local_test = {local_test} leaves no node a sample to test on: the largest owns {sizes.max()}",
            hint="local_test = 0, or a partition with more samples a node",
        )
    offsets = np.concatenate([[0], sizes.cumsum(dtype=np.int64)])
    return Partition(order.astype(np.int32, copy=False), offsets, (sizes - n_test).astype(np.int32), n_samples)


def from_owners(
    owners: np.ndarray, n_nodes: int, local_test: float, rng: np.random.Generator, least: int = 1
) -> Partition:
    """Return the partition in which node ``owners[j]`` owns sample j, after the largest gave to those below ``least``."""
    shuffled = rng.permutation(len(owners))  # each node's order is random, so that its test set is a fair draw
    order = shuffled[np.argsort(owners[shuffled], kind="stable")]
    sizes = np.bincount(owners, minlength=n_nodes)
    lacking = np.maximum(least - sizes, 0)
    if lacking.any():
        kept = _sizes_after_giving(sizes, int(lacking.sum()), rng)
        rank = np.arange(len(order)) - np.repeat(sizes.cumsum() - sizes, sizes)
        given = rng.permutation(order[rank >= np.repeat(kept, sizes)])
        owners = owners.copy()
        owners[given] = np.repeat(np.arange(n_nodes), lacking)
        order = order[np.argsort(owners[order], kind="stable")]
        sizes = np.bincount(owners, minlength=n_nodes)
    return divided(order, sizes, local_test, len(owners))


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


def even_rows(n_samples: int, n_nodes: int, size: int, rng: np.random.Generator) -> np.ndarray:
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
