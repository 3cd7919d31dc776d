"""Meshes: the devices, of one process or of several, over which a run is spread."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgossip.core.arguments import whole
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.units import counted

NODES = "nodes"
"""The axis of a mesh over which the nodes of one network are spread."""
REPLICAS = "replicas"
"""The axis of a mesh over which the runs of a grid are spread."""


def mesh(count: int = 0) -> Mesh:
    """Return a mesh of ``count`` devices, over which ``simulate`` spreads the nodes and ``sweep`` the runs.

    >>> result = jg.simulate(algorithm, rounds=100, mesh=jg.mesh(8))

    Args:
        count: number of devices, of all processes together; 0 for all that there are.

    Raises:
        InputError: there are fewer devices; or several processes would not all have as many of them.
    """
    count, devices = whole("mesh", "count", count, 0), jax.devices()
    if count > len(devices):
        raise InputError(
            f"{counted(count, 'device')} asked for, and JAX has {len(devices)} ({devices[0].platform})",
            hint="on a CPU, 'jaxgossip run … --devices N' makes as many; in Python, before anything is computed: "
            f"jax.config.update('jax_num_cpu_devices', {count})",
        )
    chosen = devices[: count or len(devices)]
    here = [device.process_index for device in chosen].count
    if len({here(process) for process in range(jax.process_count())}) > 1:
        raise InputError(
            f"{counted(count, 'device')} cannot be divided evenly over {jax.process_count()} processes",
            hint="0 takes the devices of all processes",
        )
    return _mesh(chosen, NODES)


def over_replicas(mesh: Mesh, count: int | None = None) -> Mesh:
    """Return a mesh of the same devices over which the runs of a grid are spread, each run on one device.

    Args:
        mesh: the devices.
        count: how many of them, the first ones; None for all.

    Raises:
        InputError: a device belongs to another process, from which no results could be read.
    """
    chosen = list(mesh.devices.flat)[:count]
    if any(device.process_index != jax.process_index() for device in chosen):
        raise InputError(
            "runs of a grid are spread over the devices of one process",
            hint="give each process a part of the grid, and no mesh",
        )
    return _mesh(chosen, REPLICAS)


def of_devices(mesh: Mesh, shape: tuple[int, ...], entry: Callable[[int], np.ndarray]) -> jax.Array:
    """Return an array (devices, *shape) of which each device of a mesh over nodes has its own ``entry`` alone.

    Args:
        mesh: the devices.
        shape: the shape of an entry.
        entry: number of a device -> its entry, called for the devices of this process.
    """
    sharding = NamedSharding(mesh, PartitionSpec(NODES))

    def at(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None
        return entry(index[0].start or 0)[None]

    return jax.make_array_from_callback((mesh.size, *shape), sharding, at)


def check_mesh(what: str, mesh: Any) -> None:
    """Raise ArgumentTypeError unless ``mesh`` is None or a mesh with the one axis of :func:`mesh`."""
    if mesh is not None and not (isinstance(mesh, Mesh) and mesh.axis_names == (NODES,)):
        raise ArgumentTypeError(f"{what}: {mesh!r} is no mesh over nodes", hint="mesh=jg.mesh(8)")


def make_cpu_devices(count: int) -> None:
    """Make as many CPU devices as are asked for; before anything is computed.

    Args:
        count: number of devices; 0 and 1 change nothing.

    Raises:
        InputError: JAX has been started with fewer.
    """
    if count <= 1:
        return
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        if jax.device_count() < count:
            raise InputError(
                f"JAX has been started with {counted(jax.device_count(), 'device')}, and {count} are asked for",
                hint="ask before anything is computed",
            ) from error


def _mesh(devices: list[Any], axis: str) -> Mesh:
    return Mesh(np.asarray(devices), (axis,), axis_types=(AxisType.Auto,))
