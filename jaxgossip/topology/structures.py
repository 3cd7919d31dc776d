"""Regular patterns, a few numbers each, in place of the neighbour lists of all nodes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from jaxgossip.core.errors import GraphError

MAX_COMPLETE_EDGES = 2**28
"""Largest number of directed links that a complete graph lists (a gibibyte of indices)."""


@runtime_checkable
class Structure(Protocol):
    """A pattern that determines the neighbour lists of all nodes."""

    def check(self, n_nodes: int, *, directed: bool) -> None:
        """Raise GraphError unless the pattern fits ``n_nodes`` nodes without a self-link or a double link.

        Unless ``directed``, links must also come in pairs.
        """
        ...

    def sources(self, n_nodes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (receivers, sources), both (m,) int, one pair of arrays per direction of the pattern.

        If the pattern is regular, every pair of arrays contains each receiver once.
        """
        ...

    def regular_degree(self, n_nodes: int) -> int | None:
        """Return the common degree of all nodes, or None."""
        ...


@dataclass(frozen=True)
class Circulant:
    """Node i hears node i + o (mod n) for every offset o.

    Attributes:
        offsets: the offsets.
    """

    offsets: tuple[int, ...]

    def check(self, n_nodes: int, *, directed: bool) -> None:
        """Raise GraphError if offsets coincide or are 0 (mod n), or, unless directed, lack their opposites."""
        distances = {offset % n_nodes for offset in self.offsets}
        if 0 in distances or len(distances) < len(self.offsets):
            raise GraphError(
                f"the offsets {self.offsets} name a node itself or another one twice on {n_nodes} nodes",
                hint="offsets are counted modulo the number of nodes, must differ and must not be 0",
            )
        if not directed and distances != {-offset % n_nodes for offset in self.offsets}:
            raise GraphError(
                f"the offsets {self.offsets} lack some opposites, so the graph is directed",
                hint="say directed=True, or give offsets in pairs o, -o",
            )

    def sources(self, n_nodes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (receivers, sources), one pair per offset."""
        nodes = np.arange(n_nodes)
        for offset in self.offsets:
            yield nodes, (nodes + offset) % n_nodes

    def regular_degree(self, n_nodes: int) -> int | None:
        """Return the number of distinct offsets."""
        return len({offset % n_nodes for offset in self.offsets})


@dataclass(frozen=True)
class Lattice:
    """Nodes are the cells of a D-dimensional box in C order, and hear the adjacent cells along each axis.

    Attributes:
        shape: number of cells along each axis.
        periodic: whether the ends of each axis are neighbours.
    """

    shape: tuple[int, ...]
    periodic: bool

    def check(self, n_nodes: int, *, directed: bool) -> None:  # noqa: ARG002 - one protocol for all structures
        """Raise GraphError if the number of cells is not n, or a periodic side is shorter than 3."""
        if math.prod(self.shape) != n_nodes or min(self.shape, default=0) < (3 if self.periodic else 1):
            kind = "periodic (every side at least 3)" if self.periodic else "open"
            raise GraphError(f"the shape {self.shape} is no {kind} box of {n_nodes} nodes")

    def sources(self, n_nodes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (receivers, sources), one pair per axis and direction."""
        nodes = np.arange(n_nodes).reshape(self.shape)
        for axis in range(len(self.shape)):
            for step in (1, -1):
                inside = slice(None) if self.periodic else slice(None, -1) if step == 1 else slice(1, None)
                where = (slice(None),) * axis + (inside,)
                yield nodes[where].ravel(), np.roll(nodes, -step, axis)[where].ravel()

    def regular_degree(self, n_nodes: int) -> int | None:  # noqa: ARG002 - one protocol for all structures
        """Return 2 D on a torus, and None for an open box, which has borders."""
        return 2 * len(self.shape) if self.periodic else None


@dataclass(frozen=True)
class Hypercube:
    """Node i hears the nodes whose number differs from i in one bit.

    Attributes:
        dimension: number of bits, log₂ n.
    """

    dimension: int

    def check(self, n_nodes: int, *, directed: bool) -> None:  # noqa: ARG002 - one protocol for all structures
        """Raise GraphError unless n is 2^dimension."""
        if n_nodes != 1 << self.dimension:
            raise GraphError(
                f"a hypercube of dimension {self.dimension} has {1 << self.dimension} nodes, not {n_nodes}"
            )

    def sources(self, n_nodes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (receivers, sources), one pair per bit."""
        nodes = np.arange(n_nodes)
        for bit in range(self.dimension):
            yield nodes, nodes ^ (1 << bit)

    def regular_degree(self, n_nodes: int) -> int | None:  # noqa: ARG002 - one protocol for all structures
        """Return the dimension."""
        return self.dimension


@dataclass(frozen=True)
class Complete:
    """Every node hears every other."""

    def check(self, n_nodes: int, *, directed: bool) -> None:
        """Accept any number of nodes."""

    def sources(self, n_nodes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (receivers, sources), one pair per distance around the circle."""
        self.require_room(n_nodes)
        for offset in range(1, n_nodes):
            yield np.arange(n_nodes), (np.arange(n_nodes) + offset) % n_nodes

    def regular_degree(self, n_nodes: int) -> int | None:
        """Return n - 1."""
        return n_nodes - 1

    def table(self, n_nodes: int) -> np.ndarray:
        """Return (n, n-1) int32: the sorted neighbours of every node.

        Raises:
            GraphError: there are too many links to list.
        """
        self.require_room(n_nodes)
        others = np.arange(n_nodes - 1, dtype=np.int32)
        return others + (others >= np.arange(n_nodes)[:, None])

    def require_room(self, n_nodes: int) -> None:
        """Raise GraphError if there are too many links to list."""
        n_links = n_nodes * (n_nodes - 1)
        if n_links > MAX_COMPLETE_EDGES:
            raise GraphError(
                f"the complete graph on {n_nodes:,} nodes has {n_links:,} directed links, too many to list",
                hint="its mixing needs no list: use uniform or metropolis_hastings weights without faults, "
                "or a sparser graph",
            )


@dataclass(frozen=True)
class Star:
    """Node 0 and every other node hear each other."""

    def check(self, n_nodes: int, *, directed: bool) -> None:  # noqa: ARG002 - one protocol for all structures
        """Raise GraphError for fewer than two nodes."""
        if n_nodes < 2:
            raise GraphError(f"a star needs a hub and a leaf, not {n_nodes} node")

    def sources(self, n_nodes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (receivers, sources), first for the hub, then for the leaves."""
        hub, leaves = np.zeros(n_nodes - 1, np.int64), np.arange(1, n_nodes)
        yield hub, leaves
        yield leaves, hub

    def regular_degree(self, n_nodes: int) -> int | None:  # noqa: ARG002 - one protocol for all structures
        """Return None: the hub's degree is n - 1, a leaf's 1."""
        return None
