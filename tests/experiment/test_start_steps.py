"""Start steps by configuration: resumed is whole, a grid is each run alone, baselines take them, epsilon counts them."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import InputError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.runs import run as runs
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from tests.experiment.grid_cases import TEXT, alone, assert_same, records
from tests.experiment.test_clocked_resume import TEXT as BY_CLOCKS
from tests.experiment.test_clocked_resume import Stop, told

STEPS = ["learning.start_steps=4"]


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "draw_summary", lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize("text", [TEXT, pytest.param(BY_CLOCKS, marks=pytest.mark.slow)], ids=["rounds", "clocks"])
def test_a_stopped_run_goes_on_bit_for_bit_and_starts_elsewhere_than_without(text: str, tmp_path: Path) -> None:
    config = load(text, [*STEPS, "checkpoint.every_s=0.0"])
    assert config.tree()["learning"]["start_steps"] == 4
    runs.run(config, out=tmp_path / "whole")
    whole, arrays = told(tmp_path / "whole")
    assert runs.run(config, out=tmp_path / "stopped", observer=Stop(4)).status == "interrupted"
    assert runs.resume(tmp_path / "stopped").status == "completed"
    again, its = told(tmp_path / "stopped")
    assert again == whole
    assert all(np.array_equal(arrays[name], its[name]) for name in arrays)
    runs.run(load(text), out=tmp_path / "plain")
    plain = records(tmp_path / "plain")[0]
    assert whole[0]["round"] == plain["round"] == 0
    assert whole[0]["test_loss_mean"] < plain["test_loss_mean"]
    assert whole[0]["messages"] == whole[0]["bytes_sent"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("options", [["optimizer.learning_rate=0.1,0.3"], ["learning.start_steps=0,4"]])
def test_every_run_of_a_grid_is_what_it_is_alone(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(TEXT)
    grid = expand(path, options, 2, STEPS)
    assert run_grid(grid, tmp_path / "out").done == 4
    for run in grid.runs:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))


def test_baselines_take_them_and_a_server_has_no_use_for_them() -> None:
    parts = build(load(TEXT, [*STEPS, "evaluation.baselines=['isolated','centralised','federated_averaging']"]))
    assert parts.baseline("isolated").problem.start_steps == 4
    assert parts.baseline("centralised").problem.start_steps == 4
    assert parts.baseline("federated_averaging").problem.start_steps == 0
    with pytest.raises(InputError, match=r"^algorithm: federated averaging takes no start steps"):
        build(load(TEXT, [*STEPS, "algorithm.kind=federated_averaging"]))
    with pytest.raises(InputError, match=r"learning\.start_steps"):
        load(TEXT, ["learning.start_steps=-1"])


@pytest.mark.slow
def test_epsilon_counts_them(tmp_path: Path) -> None:
    pytest.importorskip("dp_accounting")
    config = load(TEXT, [*STEPS, "privacy.clip=1.0", "privacy.noise_multiplier=4.0", "rounds=3"])
    runs.run(config, out=tmp_path / "private")
    assert json.loads((tmp_path / "private" / "manifest.json").read_text())["privacy"]["steps"] == 7
