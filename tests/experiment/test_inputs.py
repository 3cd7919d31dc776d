"""A run goes on with the files that it began with, or says what has changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from jaxgossip.core import disk
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.files import absolute
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.results import inputs
from jaxgossip.experiment.results.log import MetricsLog
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.runs.run import resume, run
from jaxgossip.experiment.sweeps import grid_run
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.experiment.sweeps.variants import sweep, variants
from tests.experiment.tiny import TEXT, VARIANTS, Stop, quick

EDGES = "0 1\n1 2\n2 0\n"
OWN = """
import mixer

def mine(graph):
    return mixer.weights(graph)
"""
HELPER = """
from jaxgossip.mixing import metropolis_hastings as weights
"""


@pytest.fixture(scope="module", autouse=True)
def in_no_time() -> Iterator[None]:
    with quick():
        yield


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "graph.txt").write_text(EDGES)
    path = tmp_path / "small.toml"
    path.write_text(TEXT.replace('kind = "ring"\nnodes = 3', 'kind = "edge_list"\npath = "graph.txt"'))
    return path


def test_every_file_that_a_configuration_names_has_its_digest(tmp_path: Path) -> None:
    (tmp_path / "mixer.py").write_text(HELPER)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "graph.txt").write_text(EDGES)
    (tmp_path / "data.csv").write_text("".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(60)))
    text = """
    rounds = 2
    topology = { kind = "edge_list", path = "graph.txt" }
    learning = { dataset = "data.csv", model = "logistic" }
    algorithm = { kind = "dsgd" }
    mixing = { kind = "own.py:mine" }
    optimizer = { kind = "sgd", learning_rate = 0.1 }
    """
    found = inputs.digests(load(text, folder=tmp_path))
    names = [str(tmp_path / name) for name in ("data.csv", "graph.txt", "mixer.py", "own.py")]
    assert list(found) == names
    assert found[names[1]] == inputs.digest(tmp_path / "graph.txt")
    assert inputs.digests(load(TEXT)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["graph.txt", pytest.param("run/config.toml", marks=pytest.mark.slow)])
def test_a_run_whose_inputs_have_changed_goes_on_only_if_it_is_told_to(name: str, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(load(config), out=out, observer=Stop(2)).status == "interrupted"
    path, before = tmp_path / name, (tmp_path / name).read_text()
    path.write_text(before + "\n")
    with pytest.raises(ConfigError) as caught:
        resume(out)
    assert caught.value.message == f"{path} has changed since the run in {out} began"
    assert f"'jaxgossip resume {out} --force' goes on" in caught.value.hint
    path.write_text(before)
    assert resume(out, observer=Stop(3)).rounds == 3
    path.write_text(before + "\n")
    stop = Stop()
    assert resume(out, force=True, observer=stop).status == "completed"
    assert f"warning: {path} has changed since the run began; manifest.json says so" in stop.notes
    manifest = json.loads((out / "manifest.json").read_text())
    key = "config.toml" if "config" in name else str(path)
    assert ["changed" in session for session in manifest["resumed"]] == [False, True]
    assert manifest["resumed"][1]["changed"] == [key]
    assert manifest["inputs"][key] == inputs.digest(path)
    assert resume(out).status == "completed"


def test_what_a_run_reads_may_not_be_gone(config: Path, tmp_path: Path) -> None:
    run(load(config), out=tmp_path / "run", observer=Stop(2))
    (tmp_path / "graph.txt").unlink()
    with pytest.raises(ConfigError, match=r"graph\.txt is gone since the run in"):
        resume(tmp_path / "run")


def test_a_run_that_has_ended_is_told_with_the_configuration_it_had(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(load(TEXT), out=out)
    path = out / "config.toml"
    path.write_text(path.read_text().replace("rounds = 4", "rounds = 40"))
    with pytest.raises(ConfigError, match=r"config\.toml has changed since the run in"):
        resume(out)
    assert resume(out, force=True).rounds == 4


def test_a_run_of_the_first_release_kept_no_digests_and_goes_on_with_a_note(tmp_path: Path) -> None:
    whole, out, stop = tmp_path / "whole", tmp_path / "run", Stop()
    run(load(TEXT), out=whole)
    run(load(TEXT), out=out, observer=Stop(2))
    manifest = json.loads((out / "manifest.json").read_text())
    for key in ("inputs", "logs"):
        manifest.pop(key, None)
    (out / "manifest.json").write_text(json.dumps(manifest))
    for note in (out / "checkpoint").glob("*.json"):
        facts = json.loads(note.read_text())
        note.write_text(json.dumps({key: facts[key] for key in facts if key not in ("log", "note_sha256")}))
    assert resume(out, observer=stop).status == "completed"
    assert any("kept no digests" in note for note in stop.notes)
    for name in ("metrics.jsonl", "baselines/isolated.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_that_is_told_to_goes_on_with_other_evaluations(tmp_path: Path) -> None:
    out = tmp_path / "run"
    text = TEXT.replace("rounds = 4", "rounds = 12").replace("every = 2", "every = 4").replace('"isolated"', "")
    run(load(text), out=out, observer=Stop(6))
    path = out / "config.toml"
    path.write_text(path.read_text().replace("every = 4", "every = 3"))
    assert resume(out, force=True, observer=Stop(8)).status == "interrupted"
    RunData.load(out)
    assert resume(out).status == "completed"
    rounds = [record["round"] for record in RunData.load(out).records]
    assert rounds[:2] == [0, 4]
    assert rounds[-2:] == [9, 12]
    assert resume(out).status == "completed"


@pytest.mark.slow
def test_a_group_that_has_ended_before_its_files_changed_gets_no_folders(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "out", ["checkpoint.every_s=1000.0"]
    grid = expand(config, ["optimizer.learning_rate=0.3,0.4"], overrides=settings)
    with monkeypatch.context() as patched:
        patched.setattr(grid_run, "_write", Mock(side_effect=OSError))
        with pytest.raises(OSError):
            run_grid(grid, out)
    (tmp_path / "graph.txt").write_text(EDGES + "\n")
    with pytest.raises(ConfigError, match=r"graph\.txt has changed since the runs in"):
        run_grid(grid, out)


def _as_the_first_release_had_it(run: Path) -> None:
    path, manifest = run / "config.toml", json.loads((run / "manifest.json").read_text())
    before = path.read_text()
    path.write_text("# In other words.\n" + before.replace("start_steps = 0\n", ""))
    assert len(path.read_text().splitlines()) == len(before.splitlines())
    for key in ("inputs", "logs"):
        manifest.pop(key, None)
    (run / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.slow
def test_a_sweep_of_the_first_release_goes_on(tmp_path: Path) -> None:
    path, out = tmp_path / "small.toml", tmp_path / "out"
    path.write_text(TEXT + VARIANTS)
    sweep(variants(path), out)
    _as_the_first_release_had_it(out / "slow")
    disk.remove(out / "quick")
    before = (out / "slow/metrics.jsonl").stat().st_mtime_ns
    assert [one.status for one in sweep(variants(path), out)] == ["completed"] * 2
    assert (out / "slow/metrics.jsonl").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        sweep(variants(path, ["rounds=5"]), out)


@pytest.mark.slow
def test_a_grid_of_the_first_release_grows(tmp_path: Path) -> None:
    path, out = tmp_path / "small.toml", tmp_path / "out"
    path.write_text(TEXT)
    grid = expand(path, ["optimizer.learning_rate=0.1"])
    run_grid(grid, out)
    for one in grid.runs:
        _as_the_first_release_had_it(out / one.config.name)
    note = json.loads((out / "sweep.json").read_text())
    note["points"] = dict.fromkeys(note["points"], "0" * 64)
    del note["inputs"]
    (out / "sweep.json").write_text(json.dumps(note))
    with pytest.raises(ConfigError, match="its configuration differs: rounds is 4 there, here 5"):
        run_grid(expand(path, ["optimizer.learning_rate=0.1,0.2"], overrides=["rounds=5"]), out)
    outcome = run_grid(expand(path, ["optimizer.learning_rate=0.1,0.2"]), out)
    assert (outcome.kept, outcome.done) == (1, 1)


@pytest.mark.slow
def test_a_run_that_moved_with_its_files_goes_on_for_good_once_it_was_told_to(config: Path, tmp_path: Path) -> None:
    out, moved = tmp_path / "run", tmp_path / "moved.txt"
    run(load(config), out=out, observer=Stop(1))
    (tmp_path / "graph.txt").rename(moved)
    path = out / "config.toml"
    path.write_text(path.read_text().replace("graph.txt", "moved.txt"))
    assert resume(out, force=True, observer=Stop(2)).status == "interrupted"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["inputs"] == {"config.toml": inputs.digest(path), str(moved): inputs.digest(moved)}
    assert resume(out, observer=Stop(3)).status == "interrupted"
    moved.write_text(EDGES + "\n")
    with pytest.raises(ConfigError, match=r"moved\.txt has changed since the run in"):
        resume(out)


@pytest.mark.slow
def test_a_sweep_goes_on_only_with_the_files_of_all_its_runs(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + VARIANTS)
    out = tmp_path / "out"

    class First(Stop):
        def should_stop(self) -> bool:
            return any(note.startswith("[2 of 2]") for note in self.notes)

    assert [one.status for one in sweep(variants(config), out, observer=First())] == ["completed", "interrupted"]
    (tmp_path / "graph.txt").write_text(EDGES + "\n")
    with pytest.raises(ConfigError) as caught:
        sweep(variants(config), out)
    assert caught.value.message == f"{tmp_path / 'graph.txt'} has changed since the run in {out / 'slow'} began"
    assert "--force runs all variants anew" in caught.value.hint
    assert [one.status for one in sweep(variants(config), out, force=True)] == ["completed"] * 2


@pytest.mark.slow
def test_a_grid_goes_on_only_with_the_files_of_all_its_runs(config: Path, tmp_path: Path) -> None:
    grid, out = expand(config, ["optimizer.learning_rate=0.1,0.2"]), tmp_path / "out"
    assert run_grid(grid, out, observer=Stop(2)).interrupted
    (tmp_path / "graph.txt").write_text(EDGES + "\n")  # the group that was stopped has read the other one
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            run_grid(grid, out)
        assert caught.value.message == f"{tmp_path / 'graph.txt'} has changed since the runs in {out} began"
        (tmp_path / "graph.txt").write_text(EDGES)
        assert not run_grid(grid, out).interrupted  # … and in the second turn, the runs that are there
        (tmp_path / "graph.txt").write_text(EDGES + "\n")
    assert run_grid(grid, out, force=True).done == 2
    larger = expand(config, ["optimizer.learning_rate=0.1,0.2,0.3"])
    assert run_grid(larger, out).done == 1


def test_records_of_the_first_release_are_followed_by_those_of_more_keys(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for record in (
        {"round": 0, "sent": 1},
        {"round": 2, "sent": 2, "requests": 1},
        {"round": 4, "sent": 3, "requests": 2},
    ):
        log.append(record)
    assert [record["round"] for record in log.records(2)] == [0, 2, 4]
    log.append({"round": 6, "sent": 4})
    with pytest.raises(ConfigError, match=r":4: 'requests' is in this record or in the one before it, and not in both"):
        log.records(2)


def test_a_sweep_goes_on_from_wherever_its_command_is_typed(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(config.read_text() + VARIANTS)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    there = [one.config.tree() for one in variants(Path("../small.toml"))]
    monkeypatch.chdir(tmp_path)
    assert [one.config.tree() for one in variants(Path("small.toml"))] == there
    assert Path(there[0]["topology"]["path"]) == tmp_path / "graph.txt"


def test_a_path_out_of_a_folder_that_is_a_link_leads_where_the_link_does(tmp_path: Path) -> None:
    (tmp_path / "far/inner").mkdir(parents=True)
    (tmp_path / "far/graph.txt").write_text(EDGES)
    (tmp_path / "graph.txt").write_text("0 1\n")
    (tmp_path / "link").symlink_to(tmp_path / "far/inner")
    assert absolute("../graph.txt", tmp_path / "link").read_text() == EDGES
    assert absolute("far/inner/../graph.txt", tmp_path) == tmp_path / "far/graph.txt"
    assert absolute("../nowhere.txt", tmp_path / "link") == tmp_path / "link/../nowhere.txt"


@pytest.mark.parametrize(
    "setting",
    [
        "topology={kind='edge_list', path='~nobody_here/g.txt'}",
        "learning={dataset='~nobody_here/d.csv', model='logistic'}",
        "optimizer.kind=~nobody_here/own.py:mine",
    ],
)
def test_the_home_of_a_user_whom_nobody_knows_holds_no_file(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"no such file: .*~nobody_here"):
        load(TEXT, [setting])
