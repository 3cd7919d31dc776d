"""The samples of all nodes, in one table: whole on every device, or of each device of a mesh those that its nodes own."""

from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, Num

from jaxgossip.core.devices.mesh import of_devices
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.rows import gather


class Table(Pytree):
    """Samples and their targets.

    Args:
        x: (m, …) samples.
        y: (m, …) targets.
    """

    def __init__(self, x: Array, y: Array) -> None:
        self.x, self.y = x, y

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return self.x.nbytes + self.y.nbytes

    def samples(self, index: Int[Array, "..."]) -> Num[Array, "..."]:
        """Return the samples of these numbers."""
        return gather(self.x, index)

    def targets(self, index: Int[Array, "..."]) -> Num[Array, "..."]:
        """Return the targets of these numbers."""
        return gather(self.y, index)

    def parted(self, parts: Sequence[np.ndarray], mesh: Mesh) -> "Table":
        """Return a table of which each device has its part alone, with numbers within that part.

        Parts are filled up with copies of a sample, to the length of the longest: rows that only fill up take these.

        Args:
            parts: of every device, the numbers (s,) of its samples; not all are empty.
            mesh: the devices.
        """
        most, any_sample = max(map(np.size, parts)), np.concatenate(parts)[-1:]
        numbers = [np.append(part, np.repeat(any_sample, most - part.size)) for part in parts]

        def spread(whole: np.ndarray) -> Array:
            return of_devices(mesh, (most, *whole.shape[1:]), lambda device: whole[numbers[device]])

        return _Parted(spread(np.asarray(self.x)), spread(np.asarray(self.y)))


class _Parted(Table):
    """A table (devices, most, …) of which a device has its own entry, (1, most, …)."""

    per_device = ("x", "y")

    def samples(self, index: Int[Array, "..."]) -> Num[Array, "..."]:
        return _entry(self.x, index)

    def targets(self, index: Int[Array, "..."]) -> Num[Array, "..."]:
        return _entry(self.y, index)


def _entry(table: Array, index: Int[Array, "..."]) -> Array:
    """Return ``table[0][index]`` without an intermediate result as large as the table, by which memory would be judged."""
    return table.at[0, index].get(mode="promise_in_bounds", wrap_negative_indices=False)
