"""The rule that divides training samples by their owners: writers, speakers, raters, users."""

import heapq
from typing import Literal

import numpy as np
from jaxtyping import Array, Int

from jaxgossip.core.arguments import whole
from jaxgossip.core.errors import DataError
from jaxgossip.learning.partitions.division import ClassLabels, checked_rule, divided, opened
from jaxgossip.learning.partitions.partition import Partition

OwnerNumbers = Int[np.ndarray | Array, "m"]


@checked_rule
def by_owner(
    labels: ClassLabels,
    n_nodes: int,
    *,
    owners: OwnerNumbers | None = None,
    assign: Literal["grouped", "largest"] = "grouped",
    least: int = 1,
    local_test: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Partition:
    """The samples of each owner on one node, as they were collected.

    Owners of fewer than ``least`` samples are left out. Of more owners than nodes, either all are grouped onto the nodes, each
    in turn, from the largest on, onto the node that has fewest samples; or the largest have a node each and the rest is left
    out. Which owner is on which node is random.

    Args:
        labels: (m,) one entry for each training sample.
        n_nodes: number of nodes.
        owners: (m,) the owner of each training sample: ``data.owners``.
        assign: what happens to more owners than nodes: "grouped" or "largest".
        least: number of samples of an owner that is kept.
        local_test: fraction of each node's samples held out as its local test set.
        rng: generator, or its seed, that assigns owners to nodes and orders their samples.

    Raises:
        DataError: unknown owners, owners that are not one a sample, or fewer owners of ``least`` samples than nodes.
    """
    labels, rng = opened("by_owner", labels, n_nodes, rng)
    m = len(labels)
    whole("partition 'by_owner'", "least", least, 1)
    if owners is None:
        raise DataError(
            "partition 'by_owner': nothing says whose the samples are",
            hint="owners=data.owners, of a data set whose reader knows them, such as LEAF, or by its column: owner_column",
        )
    if np.shape(owners) != (m,):
        raise DataError(
            f"partition 'by_owner': {m:,} samples, but owners of shape {np.shape(owners)}", hint="one a sample"
        )
    numbers = np.unique(np.asarray(owners), return_inverse=True)[1]
    sizes = np.bincount(numbers)
    kept = np.flatnonzero(sizes >= least)
    if kept.size < n_nodes:
        of_least = f" of at least {least:,} samples" if least > 1 else ""
        raise DataError(
            f"partition 'by_owner': {kept.size:,} owners{of_least} are too few for {n_nodes:,} nodes",
            hint=f"topology.nodes of at most {kept.size}" if kept.size else "a smaller least",
        )
    ranked = rng.permutation(kept)
    ranked = ranked[np.argsort(-sizes[ranked], kind="stable")]
    node_of = np.full(sizes.size, -1)
    if assign == "largest":
        ranked = ranked[:n_nodes]
    node_of[ranked] = rng.permutation(n_nodes)[_groups(sizes[ranked], n_nodes)]
    rows = rng.permutation(np.flatnonzero(node_of[numbers] >= 0))
    rows = rows[np.argsort(node_of[numbers[rows]], kind="stable")]
    return divided(rows, np.bincount(node_of[numbers[rows]], minlength=n_nodes), local_test, m)


def _groups(sizes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the group of each owner, given (k,) sizes from the largest on: that which has fewest samples so far."""
    groups, totals = np.empty(len(sizes), np.int64), [(0, group) for group in range(n_groups)]
    for owner, size in enumerate(sizes.tolist()):
        total, group = heapq.heappop(totals)
        groups[owner] = group
        heapq.heappush(totals, (total + size, group))
    return groups
