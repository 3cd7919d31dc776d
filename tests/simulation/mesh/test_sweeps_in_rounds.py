"""Sweeps in rounds on several devices: each run is what it is alone, on one of the devices, whatever their number."""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import jaxgossip as jg
from jaxgossip.core.devices.mesh import over_replicas
from jaxgossip.simulation import Observer
from jaxgossip.simulation import layout as layouts
from jaxgossip.simulation.layout import RunLayout, fitting, most_at_once
from jaxgossip.simulation.replicas import FamilyState, Replicas, bytes_of_run, simulate_family
from tests.simulation.mesh.swept import RATES, ROUNDS, Devices, assert_equal_runs, family, make, swept
from tests.simulation.test_sweeps import own, speeds

COLLECTIVES = r"all-gather|all-reduce|all-to-all|collective-permute|collective-broadcast|reduce-scatter"


def test_sixteen_runs_on_four_devices_equal_the_runs_alone_and_use_all_four() -> None:
    devices = Devices()
    found = swept(RATES, 4, 4, devices)
    assert devices.runs == {0: 4, 1: 4, 2: 4, 3: 4}
    for run in found:
        alone = jg.simulate(make(run.point["rate"]), ROUNDS, seed=run.seed, evaluate_every=4)
        assert_equal_runs([run], [alone], rtol=2e-5)


@pytest.mark.slow
def test_sixteen_runs_on_four_devices_equal_those_on_one() -> None:
    assert_equal_runs(swept(RATES, 4, 4).runs, swept(RATES, 4, None).runs)


@pytest.mark.slow
def test_runs_that_do_not_divide_evenly_fill_up_with_copies_that_nobody_sees() -> None:
    for rates, seeds, expected in (((0.1,), 5, {0: 2, 1: 2, 2: 2}), ((0.1, 0.05, 0.02), 1, {0: 1, 1: 1, 2: 1})):
        devices = Devices()
        found = swept(rates, seeds, 4, devices)
        assert devices.runs == expected
        assert_equal_runs(found.runs, swept(rates, seeds, None).runs)


@pytest.mark.slow
def test_one_that_diverges_early_stops_no_other_device() -> None:
    found = swept((0.1, 1e20, 0.05, 0.02, 0.01), 1, 4)
    assert [run.status for run in found] == ["completed", "diverged", "completed", "completed", "completed"]
    assert found[1].rounds < ROUNDS
    assert_equal_runs(found.runs, swept((0.1, 1e20, 0.05, 0.02, 0.01), 1, None).runs)


def test_no_device_waits_for_another_and_the_state_is_updated_in_place() -> None:
    only, points = family(RATES, 4)
    replicas = Replicas(only, RunLayout.of(points, jg.mesh(4)))
    texts = [program.call.as_text() for program in replicas.programs]
    assert not [found for text in texts for found in re.findall(COLLECTIVES, text)]
    state = sum(leaf.nbytes for leaf in jax.tree.leaves(replicas.start()))
    assert replicas.programs[1].call.memory_analysis().alias_size_in_bytes == state // 4
    # The same words are found where devices do exchange something.
    mesh = over_replicas(jg.mesh(4))
    spread, whole = PartitionSpec("replicas"), PartitionSpec()
    summed = jax.shard_map(lambda x: jax.lax.psum(x, "replicas"), mesh=mesh, in_specs=spread, out_specs=whole)
    assert re.findall(COLLECTIVES, jax.jit(summed).lower(jnp.ones(4)).compile().as_text())


def test_every_run_has_a_place_and_no_device_more_than_it_must() -> None:
    for points, seeds, count in [(p, s, d) for p in range(1, 6) for s in range(1, 4) for d in range(1, 5)]:
        layout = RunLayout.of([point for point in range(points) for _ in range(seeds)], jg.mesh(count))
        rows, columns = layout.places.shape
        assert layout.mesh is not None
        assert rows // layout.mesh.size * columns == -(-points * seeds // count)
        assert sorted({*layout.places.flat}) == list(range(points * seeds))
        states = np.arange(2.0 * points * seeds).reshape(points, seeds, 2)
        np.testing.assert_array_equal(layout.gathered(layout.spread(states)), states)
        np.testing.assert_array_equal(layout.places.reshape(-1)[layout.slots], layout.order)
    unequal = RunLayout.of(["a", "b", "a"], jg.mesh(2))
    assert unequal.grid.tolist() == [[0, 1, 2]]


@pytest.mark.slow
def test_progress_is_restored_on_another_number_of_devices() -> None:
    only, points = family((0.1, 0.05, 0.02), 2)
    whole = simulate_family(only, points, ROUNDS, evaluate_every=4)
    stored: list[FamilyState] = []

    class Stops(Observer):
        def should_stop(self) -> bool:
            return bool(stored)

        def chunk(self, run: FamilyState, wall_s: float) -> None:
            stored.append(FamilyState(jax.tree.map(np.array, run.settled().runs), json.loads(json.dumps(run.records))))

    for first, second in ((4, 2), (4, None), (None, 3)):
        stored.clear()
        meshes = [None if count is None else jg.mesh(count) for count in (first, second)]
        simulate_family(only, points, ROUNDS, evaluate_every=4, observer=Stops(), mesh=meshes[0])
        kept = FamilyState(stored[0].runs, json.loads(json.dumps(stored[0].records)))
        assert kept.runs.round.shape == (3, 2)
        assert 0 < kept.runs.round.max() < ROUNDS
        restored = functools.partial(lambda kept, _: (kept, 1.0), kept)
        ended = simulate_family(only, points, ROUNDS, evaluate_every=4, mesh=meshes[1], restore=restored)
        for replica, other in zip(ended, whole, strict=True):
            assert (replica.status, replica.rounds) == (other.status, other.rounds)
            assert [record["round"] for record in replica.records] == [0, 4, 8, 12]
            for record, expected in zip(replica.records, other.records, strict=True):
                for name in record.keys() - {"wall_s"}:
                    np.testing.assert_allclose(record[name], expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_memory_is_that_of_each_device() -> None:
    class Own:
        def __init__(self, free: int) -> None:
            self.free = free

        def memory_stats(self) -> dict[str, int]:
            return {"bytes_limit": self.free + 100, "bytes_in_use": 100}

    assert fitting(100, [Own(1000), Own(600)]) == 6
    assert fitting(10_000, [Own(1000), Own(600)]) == 2
    available = layouts.available_bytes
    try:  # the devices of a CPU share its memory
        layouts.available_bytes = lambda: 2 * 7 * 100
        assert [most_at_once(100, jg.mesh(count)) for count in (1, 2, 4)] == [7, 6, 4]
        layouts.available_bytes = lambda: 2 * 3 * 100
        assert most_at_once(100, jg.mesh(4)) == 3
        assert most_at_once(1000, jg.mesh(4)) == 1
        only, _ = family(RATES, 2)
        layouts.available_bytes = lambda: 2 * 5 * bytes_of_run(only.like)
        assert [part.members for part in only.split_to_fit(jg.mesh(4))] == [[0, 1, 2, 3], [4, 5, 6, 7]]
        assert [len(part.members) for part in only.split_to_fit()] == [5, 3]
    finally:
        layouts.available_bytes = available


@pytest.mark.slow
def test_byte_budgets_and_faults_are_those_of_the_runs_alone() -> None:
    options = {"byte_budget": 900, "conditions": jg.network.Conditions(drop=0.3, online=0.7)}
    found = swept((0.1, 0.05, 0.02), 3, 4, **options)
    assert len({run.rounds for run in found}) > 1
    assert max(run.rounds for run in found) < ROUNDS
    assert_equal_runs(found.runs, swept((0.1, 0.05, 0.02), 3, None, **options).runs)


@pytest.mark.slow
def test_data_and_speeds_of_their_own_go_with_the_runs() -> None:
    grid, options = [{"rate": 0.1}, {"rate": 0.02}], {"seeds": 5, "speeds": speeds, "evaluate_every": 5}
    found = jg.sweep(own, 20, grid=grid, mesh=jg.mesh(3), **options)
    assert_equal_runs(found.runs, jg.sweep(own, 20, grid=grid, **options).runs, rtol=1e-5)
