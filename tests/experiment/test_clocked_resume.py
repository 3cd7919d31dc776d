"""A run by the nodes' own clocks goes on where it stopped, bit for bit: copies in flight, preferences, accounts and all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.runs import run as runs
from jaxgossip.simulation import Observer

TEXT = """
name = "stopped"
rounds = 10
[topology]
kind = "complete"
nodes = 12
[learning]
dataset = "isotropic_quadratic"
init = "independent"
dataset_options = { noise = 0.5 }
[algorithm]
kind = "gossip_learning"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[delay]
kind = "uniform"
low_s = 0.5
high_s = 3.5
[network]
drop = 0.1
[evaluation]
every = 3
baselines = []
[checkpoint]
every_s = 0.0
"""

CASES = {
    "walks": [],
    "cached": ["schedule.receive=cached"],
    "tokens": ["tokens={kind='randomised', capacity=4, reaction=2}", "schedule.useful=newer"],
    "settling": ["algorithm={kind='pens', sampled=2, top=1, settle_at=5}", "topology.kind=ring"],
    "masses": ["algorithm.kind=asynchronous_sgp"],
    "gradients": ["algorithm.kind=ad_psgd", "churn={kind='exponential', mean_online_s=4.0, mean_offline_s=1.0}"],
}


class Stop(Observer):
    """Asks to stop once so many cycles are done."""

    def __init__(self, cycle: int) -> None:
        self._cycle, self._done = cycle, 0

    def advanced(self, done: int) -> None:
        self._done = done

    def should_stop(self) -> bool:
        return self._done >= self._cycle


class Kill(Observer):
    """Fails between an evaluation and its checkpoint."""

    def __init__(self, cycle: int) -> None:
        self._cycle = cycle

    def evaluated(self, record: Mapping[str, Any]) -> None:
        if record["round"] == self._cycle:
            raise OSError("killed")


def told(folder: Path) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Return (the records, but for their wall-clock; the arrays of the last checkpoint)."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    with np.load(max((folder / "checkpoint").glob("*.npz"))) as stored:
        return [{key: value for key, value in one.items() if key != "wall_s"} for one in records], dict(stored)


LONG = ("masses", "gradients")


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in CASES])
def test_a_stopped_run_goes_on_bit_for_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "draw_summary", lambda _: None)
    config = load(TEXT, CASES[name])
    runs.run(config, out=tmp_path / "whole")
    records, arrays = told(tmp_path / "whole")
    assert [record["round"] for record in records] == [0, 3, 6, 9, 10]
    assert all(record["in_flight"] > 0 for record in records[1:]), "nothing was in flight where it stopped"
    stops = (4, 5, 7) if name == "settling" else (4,)  # before nodes settle, as they do, and after
    for stop in stops:
        folder = tmp_path / f"stopped-{stop}"
        assert runs.run(config, out=folder, observer=Stop(stop)).status == "interrupted"
        assert stop <= json.loads((folder / "manifest.json").read_text())["rounds"] < 10
        assert runs.resume(folder).status == "completed"
        _same(told(folder), (records, arrays))


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "draw_summary", lambda _: None)
    config = load(TEXT)
    runs.run(config, out=tmp_path / "whole")
    with pytest.raises(OSError, match="killed"):
        runs.run(config, out=tmp_path / "killed", observer=Kill(6))
    assert [record["round"] for record in told(tmp_path / "killed")[0]] == [0, 3, 6]
    assert int(max((tmp_path / "killed" / "checkpoint").glob("*.npz")).stem.removeprefix("round-")) < 6
    runs.resume(tmp_path / "killed")
    _same(told(tmp_path / "killed"), told(tmp_path / "whole"))


def _same(one: tuple[list[dict], dict], other: tuple[list[dict], dict]) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for key, array in one[1].items():
        np.testing.assert_array_equal(array, other[1][key])
