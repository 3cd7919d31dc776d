"""A run has the same bits on any mesh, whatever algorithm, mixing and conditions it has."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.core.devices.transport import Transport
from jaxgossip.mixing import MIXINGS
from tests.processes import ended_both, free_port, start
from tests.simulation.mesh import bits_of, cases
from tests.simulation.mesh.cases import alone, begun, fingerprint, measured, spread

DEVICES = (1, 8)
TOLERANCE = 2e-5
"""Of a mesh against one device without one, whose sums have another order: relative, after ``cases.ROUNDS``."""


def assert_same_on_all(make: Callable[[], Algorithm], **conditions: Any) -> None:
    """Check that the bits are the same on all meshes, and nearly those of a run without one."""
    first = begun(make(), **conditions)
    outcomes = [spread(make(), jg.mesh(number), first, **conditions) for number in DEVICES]
    assert len(set(map(fingerprint, outcomes))) == 1
    assert_alike(outcomes[0], alone(make(), first, **conditions))


def assert_alike(found: Any, expected: Any) -> None:
    """Check that floats are nearly the same, and all else is."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if np.issubdtype(np.asarray(other).dtype, np.floating):
            np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.by_default("gossip")
@pytest.mark.parametrize("name", cases.spread_algorithms())
def test_every_algorithm(name: str) -> None:
    assert_same_on_all(lambda: cases.of_algorithm(name))


@pytest.mark.slow
def test_divisions_by_sums_over_nodes_are_divisions_on_one_device_too() -> None:
    """On one device XLA multiplied by the inverse where two divide by one sum; columns of some rounds then differ."""
    W, liars = jg.mixing.metropolis_hastings(jg.topology.ring(300)), jg.network.adversaries.alie(n_nodes=300)
    conditions = jg.network.Conditions(adversary=liars)
    one, two = (
        jg.simulate(cases.dsgd(W), 5, conditions=conditions, mesh=jg.mesh(number), evaluate_every=5)
        for number in (1, 2)
    )
    np.testing.assert_array_equal(one.x, two.x)


def test_the_others_are_refused() -> None:
    W = jg.mixing.metropolis_hastings(jg.topology.path(8))
    for name in cases.ON_ONE_DEVICE:
        algorithm = ALGORITHMS[name](cases.quadratic(8), optax.sgd(0.1), W)
        with pytest.raises(jg.errors.InputError, match="runs on one device only: its state is of links"):
            jg.simulate(algorithm, 1, mesh=jg.mesh(2))


def test_every_mixing_of_the_registry_is_among_the_cases() -> None:
    assert {*cases.OF_MIXINGS, "from_file"} == set(MIXINGS)


@pytest.mark.by_default("torus")
@pytest.mark.parametrize("name", [*cases.OF_MIXINGS, *cases.MORE_MIXINGS])
def test_every_mixing(name: str) -> None:
    make = {**cases.OF_MIXINGS, **cases.MORE_MIXINGS}[name]
    assert_same_on_all(lambda: cases.of_mixing(make()))


@pytest.mark.slow
@pytest.mark.parametrize("name", cases.CONDITIONS)
def test_every_condition(name: str) -> None:
    make, conditions = cases.CONDITIONS[name]
    assert_same_on_all(make, **conditions)


@pytest.mark.slow
@pytest.mark.parametrize("conditions", [{"sampled_nodes": 100}, cases.among_liars()[1]], ids=["few", "honest"])
def test_what_is_measured(conditions: dict[str, Any]) -> None:
    outcomes = [measured(cases.regular(), jg.mesh(number), **conditions) for number in (1, 2, 3, 8)]
    assert len(set(map(fingerprint, outcomes))) == 1
    assert_alike(outcomes[0], measured(cases.regular(), None, **conditions))


OF_EVERY_EXCHANGE = (
    "algorithm federated_averaging", "mixing matching", "mixing push", "mixing random regular",
    "condition losses on a near graph", "condition liars and median",
)  # fmt: skip
"""Cases that together have every exchange between devices; ``bits_of`` without names runs all cases."""


@pytest.mark.slow
def test_two_processes_of_two_devices_have_the_bits_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds, carry_out = set(), Transport.carry_out

    def noted(self: Transport, kind: str, *given: Any) -> list[jax.Array]:
        kinds.add(kind)
        return carry_out(self, kind, *given)

    monkeypatch.setattr(Transport, "carry_out", noted)
    words, where = [2, *OF_EVERY_EXCHANGE], f"127.0.0.1:{free_port()}"
    both = [start([*words, "--join", where, 2, number], tmp_path, ["-m", bits_of.__name__]) for number in range(2)]
    (code, out, err), other = ended_both((both[0], both[1]))
    assert (code, other[0]) == (0, 0), (err, other[2])
    told, others = ([line for line in text.splitlines() if line.startswith('["')] for text in (out, other[1]))
    assert told == others
    assert list(map(json.loads, told)) == list(map(list, bits_of.digests(OF_EVERY_EXCHANGE, jg.mesh(1))))
    assert kinds == {"sum", "max", "everyone", "halo", "columns", "fetch", "send"}
