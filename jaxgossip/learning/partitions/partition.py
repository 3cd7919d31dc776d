"""The partition of the rows of a training table over nodes."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from jaxgossip.core.errors import DataError
from jaxgossip.core.units import counted

RowNumbers = Int32[np.ndarray, "k"]
Offsets = Int64[np.ndarray, "n_plus_1"]
Counts = Int32[np.ndarray, "n"]


@dataclass(frozen=True, eq=False)
class Partition:
    """The training samples of every node, as row numbers of a common table.

    Node i owns the rows ``order[offsets[i]:offsets[i+1]]``, in random order: it trains on the first ``n_train[i]`` of
    them, and the rest are its local test set.

    Attributes:
        order: (total,) int32, row numbers, concatenated over nodes.
        offsets: (n+1,) int64, where each node's rows start.
        n_train: (n,) int32, number of training rows of each node; at least one.
        n_samples: number of rows of the table; None if unknown, when row numbers only have to exist.
        labels: fingerprint of the labels from which the partition was made, if it depends on them; else empty.
        flipped: nodes whose labels are flipped (:func:`jaxgossip.learning.flip_labels`), ascending.

    Raises:
        DataError: offsets that do not cover ``order``, or a node that trains on no samples or on more than it owns.
    """

    order: RowNumbers
    offsets: Offsets
    n_train: Counts
    n_samples: int | None = None
    labels: str = ""
    flipped: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.n_train) + 1 or self.offsets[0] != 0 or self.offsets[-1] != len(self.order):
            raise DataError(
                f"a partition of {len(self.order)} rows over {len(self.n_train)} nodes needs {len(self.n_train) + 1} "
                f"offsets from 0 to {len(self.order)}"
            )
        wrong = (self.n_train < 1) | (self.n_train > np.diff(self.offsets))
        if wrong.any():
            node = int(wrong.argmax())
            owned = int(self.offsets[node + 1] - self.offsets[node])
            raise DataError(f"node {node} trains on {self.n_train[node]} of its {owned} samples")

    def __repr__(self) -> str:
        least, most = int(self.n_train.min()), int(self.n_train.max())
        each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        return (
            f"Partition({counted(self.n_nodes, 'node')}, {counted(len(self.order), 'sample')}: each trains on {each})"
        )

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.n_train)

    def train(self, node: int | np.integer) -> RowNumbers:
        """Return the rows that ``node`` trains on."""
        start = self.offsets[node]
        return self.order[start : start + self.n_train[node]]

    def test(self, node: int | np.integer) -> RowNumbers:
        """Return the local test set of ``node``; empty unless one was requested."""
        return self.order[self.offsets[node] + self.n_train[node] : self.offsets[node + 1]]

    def check_table(self, name: str, labels: Any) -> None:
        """Check that the partition fits the training table of the data set ``name``, which has these ``labels`` (m,).

        Raises:
            DataError: it was made for another number of samples or other labels, or names a row that does not exist.
        """
        m = len(labels)
        if self.n_samples not in (None, m):
            raise DataError(
                f"a partition of {self.n_samples:,} samples does not fit the {m:,} that {name} trains on", hint=_WAY_OUT
            )
        if self.order.size and not (self.order.min() >= 0 and self.order.max() < m):
            wrong = int(self.order[(self.order < 0) | (self.order >= m)][0])
            raise DataError(
                f"a partition names sample {wrong:,}, and {name} trains on {m:,}",
                hint=f"samples are numbered 0 to {m - 1}",
            )
        if self.labels and self.labels != fingerprint(labels):
            raise DataError(
                f"the partition was made of other labels than those that {name} trains on",
                hint=f"{_WAY_OUT}; dataclasses.replace(partition, labels='') says that others are to decide who owns what",
            )


_WAY_OUT = (
    "samples are shuffled and split as a data set is made: partition data.y_train, "
    "or let classification(data, model=…, nodes=…, partition='dirichlet') do it"
)


def fingerprint(labels: Any) -> str:
    """Return a digest of labels (m,) that depends only on their order: 0, 1 has the digest of "a", "b".

    Args:
        labels: (m,) class of each sample.
    """
    numbered = np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int32)
    return hashlib.sha256(numbered.tobytes()).hexdigest()[:16]
