"""Sweeps by events, in folders and by the command on several devices; and how they are stopped."""

import json
import signal
import threading
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

import jaxgossip as jg
from jaxgossip.errors import InputError
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.simulation import Observer, SweepResult
from tests.experiment.clocked import TEXT as CLOCKED
from tests.experiment.grid_cases import TEXT, Impatient, Listener, records
from tests.processes import ended, start
from tests.simulation.mesh.swept import RATES, Devices, assert_equal_runs, make
from tests.simulation.test_listening import NETWORK, N, Presses, protocol, pythons_own_handler  # noqa: F401 - a fixture


@pytest.mark.slow
def test_runs_by_events_have_a_device_each_and_the_bits_of_the_runs_alone() -> None:
    devices = Devices()
    found = jg.sweep(protocol(), 2, seeds=2, evaluate_every=1, schedule=NETWORK, mesh=jg.mesh(2), observer=devices)
    alone = jg.simulate_events(protocol(), NETWORK, 2, seed=1, evaluate_every=1)
    assert_equal_runs(found.runs[1:], [alone], rtol=0)
    assert devices.threads == {threading.get_ident()}
    assert devices.runs == {0: 1, 1: 1}


@pytest.mark.slow
def test_runs_by_events_take_turns() -> None:
    devices = Devices()
    found = jg.sweep(protocol(), 6, seeds=5, evaluate_every=4, schedule=NETWORK, mesh=jg.mesh(4), observer=devices)
    alone = [jg.simulate_events(protocol(), NETWORK, 6, seed=seed, evaluate_every=4) for seed in range(5)]
    assert_equal_runs(found.runs, alone, rtol=0)
    assert devices.runs == {0: 1}  # the fifth run alone
    four = Devices()
    jg.sweep(protocol(), 2, seeds=4, schedule=NETWORK, mesh=jg.mesh(4), observer=four)
    assert four.runs == {0: 1, 1: 1, 2: 1, 3: 1}


@pytest.mark.slow
def test_runs_by_events_end_by_their_own_budgets_and_diverge_alone() -> None:
    def clocked(rate: float) -> jg.algorithms.GossipProtocol:
        problem = jg.learning.isotropic_quadratic(N, dimension=2, noise=0.5, rng=0)
        return jg.algorithms.gossip_learning(problem, optax.sgd(rate))

    options = {"evaluate_every": 4, "byte_budget": 1200}
    found = jg.sweep(clocked, 40, grid={"rate": [0.1, 1e30]}, seeds=2, schedule=NETWORK, mesh=jg.mesh(4), **options)
    assert [run.status for run in found] == ["completed", "completed", "diverged", "diverged"]
    assert found[0].rounds < 40
    alone = [jg.simulate_events(clocked(run.point["rate"]), NETWORK, 40, seed=run.seed, **options) for run in found]
    assert_equal_runs(found.runs, alone, rtol=0)


@pytest.mark.slow
def test_sixty_four_bits_go_with_the_threads() -> None:
    with jax.enable_x64(True):
        found = jg.sweep(protocol(), 4, seeds=2, schedule=NETWORK, mesh=jg.mesh(2))
        alone = [jg.simulate_events(protocol(), NETWORK, 4, seed=seed) for seed in range(2)]
        assert_equal_runs(found.runs, alone, rtol=0)


@pytest.mark.slow
def test_ctrl_c_ends_all_devices_between_two_chunks() -> None:
    def by_events(observer: Observer) -> SweepResult:
        return jg.sweep(
            protocol(), 1000, seeds=6, evaluate_every=1, schedule=NETWORK, mesh=jg.mesh(4), observer=observer
        )

    def in_rounds(observer: Observer) -> SweepResult:
        grid = {"rate": jnp.array(RATES)}
        return jg.sweep(make, 100_000, grid=grid, seeds=2, evaluate_every=1, mesh=jg.mesh(4), observer=observer)

    for call, begun in ((by_events, 4), (in_rounds, 8)):
        found = call(Presses(1))
        assert [(run.status, run.rounds, len(run.metrics)) for run in found] == [("interrupted", 1, 2)] * begun
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt):
            call(Presses(1, times=2))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_what_breaks_on_one_device_is_raised() -> None:
    def breaks(rows: Any) -> Any:
        raise RuntimeError("broken")

    one = protocol()
    broken = [one, protocol()]
    object.__setattr__(broken[1], "init", breaks)
    with pytest.raises(RuntimeError, match="broken"):
        jg.sweep(broken, 2, schedule=NETWORK, mesh=jg.mesh(2))


class OnDevices(Impatient):
    """Keeps which devices had runs, and stops once a round has been reached."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__(most)
        self.devices = Devices()

    def chunk(self, run: Any, wall_s: float) -> None:
        self.devices.chunk(run, wall_s)


@pytest.mark.slow
def test_a_grid_in_a_folder_goes_on_with_another_number_of_devices(tmp_path: Path) -> None:
    path, out = tmp_path / "small.toml", tmp_path / "swept"
    path.write_text(TEXT.replace("every = 3", "every = 1"), encoding="utf-8")

    def grid(count: int) -> Any:
        return expand(path, ["optimizer.learning_rate=0.05,0.2"], 4, [f"device.count={count}"])

    first = OnDevices(3)
    assert run_grid(grid(4), out, observer=first).interrupted
    assert first.devices.runs == {0: 2, 1: 2, 2: 2, 3: 2}
    second = OnDevices()
    assert not run_grid(grid(2), out, observer=second).interrupted
    told = "going on from round 3 on 2 devices, and before on 4: the last digits may differ"
    assert told in second.notes, second.notes
    assert second.devices.runs == {0: 4, 1: 4}
    manifests = [json.loads(path.read_text()) for path in out.glob("*/manifest.json")]
    assert [manifest["devices"] for manifest in manifests] == [2] * 8
    third = OnDevices()
    assert run_grid(grid(0), out, observer=third).done == 0
    assert "8 of 8 runs are there already" in third.notes
    with pytest.raises(InputError, match="9 devices asked for"):
        run_grid(grid(9), out)


@pytest.mark.slow
def test_a_grid_by_events_in_a_folder_is_that_of_one_device(tmp_path: Path) -> None:
    path, folders = tmp_path / "clocked.toml", []
    path.write_text(CLOCKED, encoding="utf-8")
    for count in (1, 3):
        listener = Listener()
        grid = expand(path, ["algorithm.create=merge_update,update"], 2, [f"device.count={count}"])
        folders.append(tmp_path / str(count))
        assert run_grid(grid, folders[-1], observer=listener).done == 4
    assert [note for note in listener.notes if note.startswith("[group")] == [
        "[group 1 of 2] gossip_learning: 3 runs", "[group 2 of 2] algorithm.create=update: 1 run",
    ]  # fmt: skip
    for run in grid.runs:
        pair = [records(folder / run.config.name) for folder in folders]
        for record in (*pair[0], *pair[1]):
            record.pop("wall_s")
        assert pair[0] == pair[1]


@pytest.mark.slow
def test_the_command_makes_the_devices_of_a_cpu(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(TEXT, encoding="utf-8")
    words = ["sweep", "small.toml", "--grid", "optimizer.learning_rate=0.05,0.2", "--seeds", 2, "--devices", 2]
    code, _, err = ended(start([*words, "--out", "swept"], tmp_path))
    assert code == 0, err
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("swept/*/manifest.json")]
    assert [(manifest["devices"], manifest["device"]["count"]) for manifest in manifests] == [(2, 2)] * 4
