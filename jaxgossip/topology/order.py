"""The assignment of nodes to rows of memory."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import override

import numpy as np

from jaxgossip.core.arguments import shown
from jaxgossip.core.errors import ArgumentTypeError, GraphError


@dataclass(frozen=True, eq=False)
class Order:
    """A permutation between nodes and rows.

    Attributes:
        nodes: (n,) int32, the node of each row.

    Raises:
        ArgumentTypeError: ``nodes`` is not a one-dimensional array.
        GraphError: ``nodes`` is not a permutation of 0..n-1.
    """

    nodes: np.ndarray

    def __post_init__(self) -> None:
        if not isinstance(self.nodes, np.ndarray) or self.nodes.ndim != 1:
            raise ArgumentTypeError(f"order: nodes must be an array (n,), not {shown(self.nodes)}")
        if not np.array_equal(np.sort(self.nodes), np.arange(self.nodes.size)):
            raise GraphError(f"an order of {self.nodes.size} nodes names each of them once")

    @cached_property
    def rows(self) -> np.ndarray:
        """(n,) int32: the row of each node."""
        rows = np.empty(self.nodes.size, np.int32)
        rows[self.nodes] = np.arange(self.nodes.size, dtype=np.int32)
        return rows

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Order) and self.numbering == other.numbering

    @override
    def __hash__(self) -> int:
        return hash(self.numbering)

    @cached_property
    def numbering(self) -> str:
        """Digest of the permutation: two orders are equal if and only if their numberings are."""
        return hashlib.sha256(np.ascontiguousarray(self.nodes, np.int32).tobytes()).hexdigest()[:16]
