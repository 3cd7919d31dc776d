"""Meshes: how many devices there are, and what is said where there are fewer."""

import jax
import pytest

import jaxgossip as jg
from jaxgossip.core.devices.mesh import NODES, REPLICAS, check_mesh, over_replicas
from jaxgossip.errors import ArgumentTypeError, InputError


def test_a_mesh_has_all_devices_by_default() -> None:
    mesh = jg.mesh()
    assert (mesh.axis_names, mesh.size) == ((NODES,), jax.device_count())
    assert over_replicas(mesh).axis_names == (REPLICAS,)
    assert jg.mesh(1).size == 1


def test_more_devices_than_there_are() -> None:
    with pytest.raises(InputError, match=r"4,096 devices asked for, and JAX has \d+ \(cpu\)") as error:
        jg.mesh(4096)
    assert "jax.config.update('jax_num_cpu_devices', 4096)" in error.value.hint


@pytest.mark.wrong_types
def test_what_is_no_mesh() -> None:
    with pytest.raises(ArgumentTypeError, match="simulate: 8 is no mesh over nodes") as error:
        check_mesh("simulate", 8)
    assert error.value.hint == "mesh=jg.mesh(8)"
    check_mesh("simulate", None)
    check_mesh("simulate", jg.mesh(1))
    with pytest.raises(ArgumentTypeError, match="is no mesh over nodes"):
        check_mesh("simulate", over_replicas(jg.mesh(1)))
