"""What moves between devices is what was planned, and nothing else: by the account of a program, by formulas, and by the compiler."""

import jax
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.devices.blocks import Layout
from jaxgossip.core.devices.local import capacity
from jaxgossip.core.devices.transport import FETCH_PARTS
from tests.simulation.mesh import cases
from tests.simulation.mesh.cases import OnlyRounds, assert_planned

t, m = jg.topology, jg.mixing

N, P = 4096, 16
ROW = 4 * P


@pytest.mark.slow
def test_what_is_not_planned_is_found() -> None:
    """As every test of bits checks of its programs: an exchange that is missing from the account, or larger than there."""
    program = OnlyRounds(cases.of_mixing(cases.OF_MIXINGS["one_peer_exponential"]()), jg.mesh(4))
    assert_planned(program)
    every = program.moved
    program.moved = tuple(exchange for exchange in every if exchange.collective != "all-to-all")
    with pytest.raises(AssertionError, match=r"all-to-all of \d+ bytes is not planned"):
        assert_planned(program)
    program.moved = tuple(exchange._replace(buffer=exchange.buffer // 2) for exchange in every)
    with pytest.raises(AssertionError, match="are planned"):
        assert_planned(program)


def received(W: object, devices: int) -> int:
    """Return how many bytes of rows a device receives in a round, by the account of a program."""
    problem = jg.learning.averaging(n_nodes=N, dimension=P, values=np.zeros((N, P), np.float32))
    program = OnlyRounds(jg.algorithms.dsgd(problem, optax.sgd(0.1), W), jg.mesh(devices))
    return sum(one.received * one.times for one in program.moved if one.buffer >= ROW)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4, 8])
def test_the_traffic_model(devices: int) -> None:
    """As the page on devices has it: rows that a device receives, by topology and number of devices."""
    others = 1 - 1 / devices
    blocks_each, rows = Layout(N, devices).blocks_each, Layout(N, devices).block_rows
    pushed = (devices - 1) * capacity(N // devices, devices) * (ROW + 4)
    at_once = -(-blocks_each // FETCH_PARTS)
    pairs = -(-blocks_each // at_once) * (devices - 1) * capacity(at_once * rows, devices) * (ROW + 4)
    assert received(m.metropolis_hastings(t.ring(N)), devices) == 2 * ROW
    assert received(m.metropolis_hastings(t.k_nearest_ring(N, 8)), devices) == 8 * ROW
    np.testing.assert_allclose(received(m.matching(t.complete(N)), devices), pairs, rtol=1e-3)
    np.testing.assert_allclose(received(m.push(t.complete(N), fanout=2), devices), 2 * pushed, rtol=1e-3)
    np.testing.assert_allclose(received(m.metropolis_hastings(t.random_regular(N, 8)), devices), N * others * ROW)
    blocks = blocks_each * devices
    np.testing.assert_allclose(received(m.metropolis_hastings(t.complete(N)), devices), 2 * others * blocks * ROW)


def test_memory_of_a_device() -> None:
    """A device has its part of the state, and no round needs much more than another copy of it."""
    problem = jg.learning.averaging(n_nodes=N, dimension=P, values=np.zeros((N, P), np.float32))
    program = OnlyRounds(jg.algorithms.dsgd(problem, optax.sgd(0.1), m.metropolis_hastings(t.ring(N))), jg.mesh(8))
    part = N * ROW // 8
    analysis = program.rounds.memory_analysis()
    assert analysis.alias_size_in_bytes >= part
    assert analysis.argument_size_in_bytes < 2.5 * part  # the values that nodes start from are data
    run = program.spread(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), program.like))
    assert run.state.x.addressable_data(0).nbytes == part
