"""The state of a run whose rows are spread over devices, as observers and checkpoints see it."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from jaxgossip.core.devices.processes import on_host
from jaxgossip.simulation.mesh.placement import Place
from jaxgossip.simulation.program import RunState

PIECE_BYTES = 1 << 26
"""Largest size of a piece of more than one row, in bytes."""


class Piece(NamedTuple):
    """Some rows of an array that is spread over devices, or all of an array that is on each of them.

    Attributes:
        leaf: number of the array among the leaves of the state.
        start: the first row.
        values: the rows, on the host.
    """

    leaf: int
    start: int
    values: np.ndarray


class SpreadRun(NamedTuple):
    """A run's state on a mesh.

    Attributes:
        state: the state, whose rows are filled up.
        places: the place of each of its leaves.
        n_nodes: number of rows that hold nodes.
    """

    state: RunState
    places: RunState
    n_nodes: int

    @property
    def round(self) -> int:
        """Rounds completed."""
        return int(self.state.round)

    @property
    def spent(self) -> bool:
        """Whether the byte budget is exhausted."""
        return bool(self.state.spent)

    def gathered(self) -> RunState:
        """Return the state with one row for each node, as NumPy arrays; all processes must call it."""
        n = self.n_nodes
        return jax.tree.map(
            lambda leaf, place: on_host(leaf)[:n] if place is Place.ROWS else on_host(leaf), self.state, self.places
        )

    def pieces(self) -> Iterator[Piece]:
        """Yield what this process has to store: of every row one copy, of other arrays those of the first process."""
        leaves = zip(jax.tree.leaves(self.state), jax.tree.leaves(self.places), strict=True)
        for number, (leaf, place) in enumerate(leaves):
            if place is Place.ALL:
                if jax.process_index() == 0:
                    yield Piece(number, 0, np.asarray(leaf.addressable_data(0)))
                continue
            for shard in sorted(leaf.addressable_shards, key=lambda shard: shard.index[0].start or 0):
                start = shard.index[0].start or 0
                if start < self.n_nodes and shard.replica_id == 0:
                    for first, values in _parts(shard.data):
                        if start + first < self.n_nodes:
                            yield Piece(number, start + first, values[: self.n_nodes - start - first])


def _parts(rows: jax.Array) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, rows on the host) of an array on one device, part by part.

    Of an array that is copied to the host at once, JAX would keep the copy as long as the array.
    """
    size = max(1, PIECE_BYTES // max(1, rows.nbytes // rows.shape[0]))
    for first in range(0, rows.shape[0], size):
        if size >= rows.shape[0]:
            yield first, np.asarray(rows)
        elif first + size <= rows.shape[0]:
            yield first, np.asarray(jax.lax.dynamic_slice_in_dim(rows, first, size))
        else:
            yield first, np.asarray(rows[first:])
