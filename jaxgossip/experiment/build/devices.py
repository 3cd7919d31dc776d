"""The devices that a configuration asks for."""

from jax.sharding import Mesh

from jaxgossip.algorithms import GossipProtocol
from jaxgossip.core.devices.blocks import Layout
from jaxgossip.core.devices.mesh import mesh
from jaxgossip.core.errors import InputError
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.experiment.config.sections import Device
from jaxgossip.simulation.mesh.program import check_spread


def mesh_of(device: Device) -> Mesh | None:
    """Return the mesh that a configuration asks for; None for one device without blocks.

    Raises:
        InputError: there are fewer devices.
    """
    return None if device.count == 1 and not device.blocked else mesh(device.count)


def check_devices(experiment: Experiment) -> None:
    """Check that a run can be spread over the devices that its configuration asks for.

    Raises:
        InputError: it cannot, or there are fewer.
    """
    devices = mesh_of(experiment.config.device)
    if devices is None:
        return
    if isinstance(experiment.algorithm, GossipProtocol):
        raise InputError(
            "a run by its nodes' own clocks is on one device",
            hint="device.count = 1; 'jaxgossip sweep --grid … --devices N' spreads many runs over N",
        )
    check_spread(experiment.algorithm, Layout(experiment.problem.n_nodes, devices.size))
