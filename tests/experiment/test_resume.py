"""A run killed at any moment resumes and ends as if it had never stopped, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

CONFIG = """
name = "killed"
rounds = 150
[topology]
kind = "random_regular"
nodes = 1000
degree = 4
[mixing]
kind = "matching"
[learning]
dataset = "spambase"
model = "pegasos"
[partition]
kind = "iid"
[algorithm]
kind = "gossip"
weighting = "age"
[optimizer]
kind = "pegasos"
[network]
drop = 0.1
online = 0.9
[evaluation]
every = 7
sampled_nodes = 100
baselines = ["isolated"]
[checkpoint]
every_s = 0.0
[speeds]
kind = "lognormal"
"""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "jaxgossip", *words]


def values(folder: Path, log: str = "metrics.jsonl") -> list[dict]:
    records = [json.loads(line) for line in (folder / log).read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "wall_s"} for record in records]


def final_arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(max((folder / "checkpoint").glob("*.npz"))) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "killed.toml").write_text(CONFIG)
    subprocess.run(command("run", "killed.toml", "--out", "run"), cwd=folder, check=True, capture_output=True)
    return folder / "run"


def kill_when(process: subprocess.Popen, ready, number: int) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
    os.kill(process.pid, number)
    process.wait()


def resumed_equals_whole(folder: Path, whole: Path) -> None:
    subprocess.run(command("resume", str(folder)), check=True, capture_output=True)
    assert values(folder) == values(whole)
    assert values(folder, "baselines/isolated.jsonl") == values(whole, "baselines/isolated.jsonl")
    ours, theirs = final_arrays(folder), final_arrays(whole)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert json.loads((folder / "manifest.json").read_text())["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("during a checkpoint", marks=pytest.mark.slow),
        "between checkpoints",
        pytest.param("before the first checkpoint", marks=pytest.mark.slow),
        pytest.param("in a baseline", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_resumes_exactly(moment: str, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "killed.toml").write_text(CONFIG)
    out, checkpoints = tmp_path / "run", tmp_path / "run" / "checkpoint"

    def late() -> bool:
        return len(list(checkpoints.glob("*.json"))) == 2 and "round-000000" in str(max(checkpoints.glob("*.json")))

    moments = {
        "before the first checkpoint": (out / "metrics.jsonl").is_file,
        "during a checkpoint": lambda: late() and any(checkpoints.glob("*.tmp")),
        "between checkpoints": lambda: late() and not any(checkpoints.glob("*.tmp")),
        "in a baseline": (out / "baselines" / "isolated.jsonl").is_file,
    }
    process = subprocess.Popen(
        command("run", "killed.toml", "--out", "run"),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kill_when(process, moments[moment], signal.SIGKILL)
    assert json.loads((out / "manifest.json").read_text())["status"] == "running"
    resumed_equals_whole(out, whole)


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on_and_does(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "killed.toml").write_text(CONFIG)
    process = subprocess.Popen(
        command("run", "killed.toml", "--out", "run"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "run" / "checkpoint").is_dir():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "interrupted after round" in err
    assert "next: jaxgossip resume run" in out
    assert "Traceback" not in err
    resumed_equals_whole(tmp_path / "run", whole)


@pytest.mark.slow
def test_a_finished_run_has_nothing_to_resume(whole: Path) -> None:
    before = (whole / "metrics.jsonl").read_bytes()
    done = subprocess.run(command("resume", str(whole)), check=True, capture_output=True, text=True)
    assert "completed after 150 rounds" in done.stdout
    assert (whole / "metrics.jsonl").read_bytes() == before
