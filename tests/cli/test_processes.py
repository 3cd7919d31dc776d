"""Runs in several processes: the bits of one process, whatever becomes of one of them."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.cli.processes import Several
from jaxgossip.errors import InputError
from jaxgossip.experiment.planning.plan import OUTLINE_FROM
from tests.processes import LIMIT_S, ended, ended_both, free_port, start

CONFIG = """
name = "several"
rounds = 120
[topology]
kind = "ring"
nodes = 203
[learning]
dataset = "isotropic_quadratic"
dataset_options = { dimension = 5, noise = 0.5 }
[algorithm]
kind = "dsgd"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[evaluation]
every = 6
baselines = []
[checkpoint]
every_s = 0.0
"""
DRIVER = Path(__file__).with_name("process_killed.py")


def start_two(
    words: Sequence[object],
    folder: Path,
    *,
    others: Sequence[object] | None = None,
    driver: Sequence[object] = ("-m", "jaxgossip"),
) -> tuple[subprocess.Popen, subprocess.Popen]:
    """Start a command in two processes; the second may have other words, and another driver."""
    common = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", 2, "--process"]
    one = start([*words, *common, 0], folder)
    return one, start([*(words if others is None else others), *common, 1], folder, driver)


def written(folder: Path) -> tuple[list[dict], dict[str, bytes]]:
    """Return what a run has measured, without what tells of the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [{name: value for name, value in json.loads(line).items() if name != "wall_s"} for line in lines]
    with np.load(folder / "node_scores.npz") as scores:
        return records, {name: scores[name].tobytes() for name in scores.files}


def resumed(*folders: Path, devices: Sequence[int]) -> list[tuple[list[dict], dict[str, bytes]]]:
    """Resume runs at the same time, each on some devices, and return what they have written."""
    started = [
        start(["resume", folder.name, "--devices", count], folder.parent)
        for folder, count in zip(folders, devices, strict=True)
    ]
    for code, _, err in [ended(process) for process in started]:
        assert code == 0, err
    return [written(folder) for folder in folders]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    (folder / "several.toml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def whole(place: Path) -> tuple[list[dict], dict[str, bytes]]:
    """What one process writes, with four devices, and with one on a mesh."""
    started = [
        start(["run", "several.toml", *words], place)
        for words in (["--devices", 4, "--out", "four"], ["--set", "device.blocked=true", "--out", "one"])
    ]
    for code, _, err in [ended(process) for process in started]:
        assert code == 0, err
    assert written(place / "four") == written(place / "one")
    return written(place / "four")


@pytest.mark.slow
def test_devices_are_made_before_the_memory_of_a_large_network_is_looked_at(place: Path) -> None:
    large = ["--set", f"topology.nodes={OUTLINE_FROM}", "--set", "rounds=1", "--devices", 2, "--out", "large"]
    code, _, err = ended(start(["run", "several.toml", *large], place))
    assert code == 0, err


@pytest.mark.slow
def test_two_processes_write_the_bits_of_one(place: Path, whole: tuple[list[dict], dict[str, bytes]]) -> None:
    first, second = ended_both(start_two(["run", "several.toml", "--devices", 4, "--out", "two"], place))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert written(place / "two") == whole
    assert second[1:] == ("", "")
    assert first[1].startswith("\ncompleted after 120 rounds")
    assert json.loads((place / "two" / "manifest.json").read_text())["spread"]["devices"] == 4
    assert not list((place / "two").rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["between", "during"])
def test_a_killed_process_ends_the_other_and_costs_nothing(
    moment: str, place: Path, whole: tuple[list[dict], dict[str, bytes]]
) -> None:
    words = ["run", "several.toml", "--devices", 4, "--out", moment]
    began = time.monotonic()
    first, second = ended_both(start_two(words, place, driver=[DRIVER, moment, 50]))
    assert time.monotonic() - began < 120
    assert second[0] == -signal.SIGKILL
    assert first[0] == 1, first
    assert len(re.findall("^error: ", first[2], re.MULTILINE)) == 1
    assert "error: another process of the run has ended, or cannot be reached" in first[2]
    assert re.search(rf"^hint: 'jaxgossip resume {moment}' goes on from the last checkpoint", first[2], re.MULTILINE)
    assert json.loads((place / moment / "manifest.json").read_text())["status"] == "failed"
    if moment == "during":
        shutil.copytree(place / moment, place / "copy")
        assert resumed(place / moment, place / "copy", devices=(1, 3)) == [whole, whole]
    else:
        one, other = ended_both(start_two(["resume", moment], place))
        assert (one[0], other[0]) == (0, 0), (one, other)
        assert written(place / moment) == whole


@pytest.mark.slow
def test_asking_one_to_stop_stops_and_saves_all(place: Path, whole: tuple[list[dict], dict[str, bytes]]) -> None:
    out = place / "stopped"
    both = start_two(["run", "several.toml", "--devices", 4, "--out", out.name], place)
    wait_for(lambda: any((out / "checkpoint").glob("round-*.json")), both[0])
    both[1].send_signal(signal.SIGTERM)
    first, second = ended_both(both)
    assert (first[0], second[0]) == (130, 130), (first, second)
    assert "another process was asked to stop" in first[2]
    assert "interrupted after round" in first[2]
    assert second[1:] == ("", "")
    assert json.loads((out / "manifest.json").read_text())["status"] == "interrupted"
    assert resumed(out, devices=[2]) == [whole]


def wait_for(ready: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_different_configurations_are_refused_by_all(place: Path) -> None:
    words = ["run", "several.toml", "--devices", 4, "--out", "different"]
    first, second = ended_both(start_two(words, place, others=[*words, "--seed", 1]))
    assert (first[0], second[0]) == (2, 2), (first, second)
    assert "error: process 1 was started with another configuration than process 0" in first[2]
    assert second[1:] == ("", "")
    assert not (place / "different").exists()


@pytest.mark.slow
def test_what_one_cannot_read_ends_all(place: Path) -> None:
    words = ["run", "several.toml", "--out", "unread"]
    first, second = ended_both(start_two(words, place, others=["run", "missing.toml"]))
    assert (first[0], second[0]) == (2, 2), (first, second)
    assert "missing.toml" in second[2]
    assert "error: process 1 has ended the run on all processes" in first[2]
    assert not (place / "unread").exists()


def options(**given: object) -> Several | None:
    return Several.of(**{"distributed": False, "coordinator": None, "processes": None, "process": None} | given)  # pyright: ignore[reportArgumentType]


def test_options_of_processes() -> None:
    assert options() is None
    assert options(distributed=True) == Several()
    for host in ("localhost", "10.0.0.1", "[::1]"):
        given = {"coordinator": f"{host}:1234", "processes": 2, "process": 1}
        assert options(**given) == Several(f"{host}:1234", 2, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coordinator": "host:1"}, "go together"),
        ({"processes": 2, "process": 0}, "go together"),
        ({"process": 0, "distributed": True}, "go together"),
        ({"coordinator": "host:1", "processes": 2, "process": 0, "distributed": True}, "without --distributed"),
        ({"coordinator": "host", "processes": 2, "process": 0}, "host is no HOST:PORT"),
        ({"coordinator": "host:port", "processes": 2, "process": 0}, "host:port is no HOST:PORT"),
        ({"coordinator": "host:1", "processes": 2, "process": 2}, "there is no process 2 of 2"),
        ({"coordinator": "host:1", "processes": 0, "process": 0}, "there is no process 0 of 0"),
        ({"coordinator": "host:1", "processes": 2, "process": -1}, "there is no process -1 of 2"),
    ],
)
def test_options_that_do_not_fit_together(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        options(**given)
    assert error.value.hint.startswith("--coordinator HOST:PORT --processes K --process I")


def test_the_command_line_says_so(called: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = called("run", "x.toml", "--coordinator", "host:1")
    assert (code, out) == (2, "")
    assert "error: --coordinator, --processes and --process go together, without --distributed" in err
