"""Where the runs of a family are computed: all on one device, or spread over the devices of a mesh, each wholly on one.

Checkpoints do not depend on it: in them the states are ordered point by point, wherever they were computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from jaxgossip.core.devices.memory import available_bytes, device_free_bytes
from jaxgossip.core.devices.mesh import REPLICAS, over_replicas
from jaxgossip.core.pytree import digest
from jaxgossip.core.typing import PyTree


@dataclass(frozen=True, eq=False)
class RunLayout:
    """The places of the runs of a family, on one device or on several.

    Attributes:
        grid: (points, seeds) int64, the numbers of the runs, point by point.
        places: (rows, columns) int64, the run that each place computes. If the runs do not fill the places, the last rows are
            copies of others, whose results are dropped.
        mesh: the devices over which the rows are divided evenly; None for the default device alone.
    """

    grid: Int[np.ndarray, "points seeds"]
    places: Int[np.ndarray, "rows columns"]
    mesh: Mesh | None = None

    @classmethod
    def of(cls, points: Sequence[Any], mesh: Mesh | None = None) -> "RunLayout":
        """Return the layout in which no device has more runs than it must, on as few devices as that takes.

        Each device has some points with all seeds, or some seeds of all points, or else single runs: as far as that
        costs no time, arrays that runs share are stored once on a device.

        Args:
            points: for each run, a hashable value that is equal for runs that differ only in their seeds.
            mesh: the devices; None for the default device alone.

        Raises:
            InputError: a device belongs to another process.
        """
        rows: dict[Any, list[int]] = {}
        for place, point in enumerate(points):
            rows.setdefault(point, []).append(place)
        if len({len(row) for row in rows.values()}) > 1:  # no grid: points have unequal numbers of seeds
            rows = {None: list(range(len(points)))}
        grid = np.array(list(rows.values()))
        if mesh is None:
            return cls(grid, grid)

        def share(places: np.ndarray) -> int:
            return -(-len(places) // mesh.size)

        places = min((grid, grid.T, grid.reshape(-1, 1)), key=lambda places: share(places) * places.shape[1])
        n_devices = -(-len(places) // share(places))
        copies = np.repeat(places[-1:], n_devices * share(places) - len(places), axis=0)
        return cls(grid, np.concatenate([places, copies]), over_replicas(mesh, n_devices))

    @property
    def order(self) -> Int[np.ndarray, " runs"]:
        """The numbers of the runs, point by point."""
        return self.grid.reshape(-1)

    @property
    def slots(self) -> Int[np.ndarray, " runs"]:
        """The index of each run's place among all places, in the order of :attr:`order`."""
        _, first = np.unique(self.places, return_index=True)
        return first[self.order]

    def gathered(self, runs: PyTree) -> PyTree:
        """Return states of shape (rows, columns, …) as (points, seeds, …): on the host, if they are spread over a mesh."""
        if self.mesh is None:
            return runs

        def gathered(leaf: Any) -> np.ndarray:
            values = np.asarray(leaf)
            return values.reshape(-1, *values.shape[2:])[self.slots].reshape(*self.grid.shape, *values.shape[2:])

        return jax.tree.map(gathered, runs)

    def spread(self, runs: PyTree) -> PyTree:
        """Return states of shape (points, seeds, …) as (rows, columns, …), each on its device."""
        if self.mesh is None:
            return runs
        rank = np.argsort(self.order)[self.places]

        def spread(leaf: Any) -> jax.Array:
            values = np.asarray(leaf)
            placed = values.reshape(-1, *values.shape[2:])[rank]
            return jax.device_put(placed, self._sharding(PartitionSpec(REPLICAS)))

        return jax.tree.map(spread, runs)

    def stacked(self, grid: Sequence[Sequence[jax.Array]], *, by_column: bool) -> jax.Array:
        """Return arrays of shape (…), a row of them for each row of places, stacked: each device has those of its rows.

        Args:
            grid: the arrays by row and column.
            by_column: whether they differ within a row, and are stacked along it too.
        """

        def stack(rows: Sequence[Sequence[jax.Array]]) -> jax.Array:
            return jnp.stack([jnp.stack(list(row)) if by_column else jnp.asarray(row[0]) for row in rows])

        if self.mesh is None:
            return stack(grid)
        share = len(grid) // self.mesh.size
        blocks = [  # one after the other: the device on which they are made never holds those of all
            jax.device_put(stack(grid[number * share : (number + 1) * share]), device)
            for number, device in enumerate(self.mesh.devices.flat)
        ]
        shape = (len(grid), *blocks[0].shape[1:])
        return jax.make_array_from_single_device_arrays(shape, self._sharding(PartitionSpec(REPLICAS)), blocks)

    def shared(self, array: Any) -> jax.Array:
        """Return an array that all rows share, as a whole on each device."""
        array = jnp.asarray(array)
        return array if self.mesh is None else jax.device_put(array, self._sharding(PartitionSpec()))

    def _sharding(self, spec: PartitionSpec) -> NamedSharding:
        assert self.mesh is not None
        return NamedSharding(self.mesh, spec)


class Stacks:
    """Stacks the arrays of many runs, without copies along an axis on which all are equal, and caches the results.

    Args:
        layout: the places of the runs.
    """

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout
        self._digests: dict[int, str] = {}
        self._made: dict[tuple[int, ...], tuple[jax.Array, tuple[int | None, int | None]]] = {}

    def of(self, arrays: Sequence[jax.Array]) -> tuple[jax.Array, tuple[int | None, int | None]]:
        """Return the arrays of all runs, by number, stacked along the axes (rows, columns) on which they differ.

        Returns:
            The stacked array, and 0 or None for each axis.
        """
        key = tuple(id(array) for array in arrays)
        if key not in self._made:
            self._made[key] = self._stacked([[arrays[run] for run in row] for row in self._layout.places])
        return self._made[key]

    def _stacked(self, grid: Sequence[Sequence[jax.Array]]) -> tuple[jax.Array, tuple[int | None, int | None]]:
        codes = np.array([[self._digest(array) for array in row] for row in grid])
        by_row, by_column = (codes != codes[:1]).any(), (codes != codes[:, :1]).any()
        if by_row:
            stacked = self._layout.stacked(grid, by_column=bool(by_column))
        else:
            stacked = self._layout.shared(jnp.stack(list(grid[0])) if by_column else grid[0][0])
        return stacked, (0 if by_row else None, 0 if by_column else None)

    def _digest(self, array: jax.Array) -> str:
        if id(array) not in self._digests:
            self._digests[id(array)] = digest(array)
        return self._digests[id(array)]


def most_at_once(run_bytes: int, mesh: Mesh | None = None) -> int:
    """Return how many runs fit at once into half of the memory that is available; at least one.

    Args:
        run_bytes: memory that a run takes, in bytes.
        mesh: the devices that share the runs evenly; None for the default device alone.
    """
    return fitting(run_bytes, jax.devices()[:1] if mesh is None else list(mesh.devices.flat))


def fitting(run_bytes: int, devices: Sequence[Any]) -> int:
    """Return how many runs of so many bytes fit into half of the memory of devices that share them evenly; at least one.

    Where devices have memory of their own, each has at least one, and the one with the least memory decides; the devices of
    a CPU share the machine's.
    """
    if (free := device_free_bytes(devices)) is not None:
        return len(devices) * max(1, free // 2 // max(1, run_bytes))
    fit = max(1, int(available_bytes() / 2 / max(1, run_bytes)))
    return fit if fit < len(devices) else fit - fit % len(devices)
