"""Run folders that are damaged: one error that names the file, and never a number that no run has measured."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import ConfigError, JaxGossipError, JaxGossipWarning, RunError
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.runs.run import resume, run
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.experiment.sweeps.variants import read_sweep_file, run_folders, sweep, variants
from tests.experiment.tiny import TEXT, VARIANTS, Stop, quick

LONG = TEXT.replace("rounds = 4", "rounds = 8")


@pytest.fixture(scope="module", autouse=True)
def in_no_time() -> Iterator[None]:
    with quick():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a run that was stopped after round 6 of 8, and one that is complete."""
    folder = tmp_path_factory.mktemp("made")
    run(load(LONG), out=folder / "stopped", observer=Stop(6))
    run(load(LONG), out=folder / "complete")
    return {name: folder / name for name in ("stopped", "complete")}


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    numbers = itertools.count()

    def copied(name: str) -> Path:
        return Path(shutil.copytree(made[name], tmp_path / f"{name}-{next(numbers)}"))

    return copied


def lines_of(out: Path) -> list[str]:
    return (out / "metrics.jsonl").read_text().splitlines(keepends=True)


def edited(line: str, **values: object) -> str:
    return json.dumps(json.loads(line) | values) + "\n"


# Records stand in rounds 0, 2, 4, 6 (and 8); a checkpoint stands on the first four.
CHANGES: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a hole": (lambda old: [*old[:1], *old[2:]], ":2: round 4, where round 2 belongs"),
    "a record twice": (lambda old: [*old[:2], old[1], *old[2:]], ":3: round 2 after round 2"),
    "another order": (lambda old: [old[0], old[2], old[1], *old[3:]], ":3: round 2 after round 4"),
    "no beginning": (lambda old: old[1:], ":1: round 2, and records begin with round 0"),
    "a cut": (lambda old: old[:2], ":3: no record, and the run had written "),
    "a cut in a line": (lambda old: [*old[:2], old[2][:20]], ":3: no record, and the run had written "),
    "nothing": (lambda _: [], ":1: no record, and the run had written "),
    "an edit": (
        lambda old: [*old[:1], edited(old[1], bytes_sent=7), *old[2:]],
        ": its records are not those that the ",
    ),
    "a key less": (lambda old: [*old[:1], '{"round": 2}\n', *old[2:]], ":2: '"),
    "words": (lambda old: [*old[:1], edited(old[1], bytes_sent="7"), *old[2:]], ":2: bytes_sent is no number"),
    "a list": (lambda old: [*old[:1], "[2]\n", *old[2:]], ":2: not a record"),
    "no JSON": (lambda old: [*old[:1], "{round: 2}\n", *old[2:]], ":2: not a record"),
    "NaN": (lambda old: [*old[:1], '{"round": 2, "a": NaN}\n', *old[2:]], ":2: not a record"),
    "depth": (lambda old: ["[" * 100_000 + "\n", *old[1:]], ":1: not a record"),
    "bytes": (lambda old: [*old[:2], "\0\udcff\udcfe\n", *old[3:]], ":3: not a record"),
    "a round that is no number": (lambda old: [edited(old[0], round=True), *old[1:]], ":1: not a record"),
}


@pytest.mark.by_default("words", "a record twice", "a cut in a line", "a key less", "nothing", "bytes")
@pytest.mark.parametrize("name", CHANGES)
def test_records_that_the_run_did_not_write_are_refused_with_file_and_line(name: str, copy) -> None:
    change, message = CHANGES[name]
    for kind, use in (("stopped", resume), ("complete", resume), ("complete", RunData.load)):
        out = copy(kind)
        text = "".join(change(lines_of(out)))
        (out / "metrics.jsonl").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(ConfigError) as caught:
            use(out)
        assert caught.value.message.startswith(f"{out / 'metrics.jsonl'}{message}")
        assert f"--out {out} --force'" in caught.value.hint


def test_scores_that_the_run_did_not_write_are_refused(copy) -> None:
    for use in (resume, RunData.load):
        out = copy("complete")
        path = out / "node_scores.npz"
        np.savez(path, test_accuracy=np.ones(3))
        with pytest.raises(ConfigError, match=rf"{path} is not what the run wrote"):
            use(out)
        path.unlink()
        with pytest.raises(ConfigError, match=rf"{path} is gone"):
            use(out)


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("topology.nodes", "nodes = 3", 'nodes = "3"'),
        ("network.drop", "drop = 0.0", "drop = true"),
        ("optimizer.learning_rate", "learning_rate = 0.1", "learning_rate = [0.1]"),
        ("evaluation.sampled_nodes", "sampled_nodes = 1000", 'sampled_nodes = "all"'),
    ],
)
def test_a_configuration_of_the_first_release_whose_numbers_are_none_is_told(
    key: str, old: str, new: str, copy
) -> None:
    out = copy("complete")
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({"status": "completed", "rounds": manifest["rounds"]}))
    path = out / "config.toml"
    RunData.load(out)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        RunData.load(out)
    assert caught.value.message == f"{path}: {key}: expected a number"


def test_what_came_after_the_checkpoint_is_cut_without_a_word(copy, made) -> None:
    for more in ('{"round": 8', '{"round": 8}\n{"rou', "nonsense\n", lines_of(made["complete"])[4]):
        out, stop = copy("stopped"), Stop()
        (out / "metrics.jsonl").write_text("".join(lines_of(out)) + more)
        assert resume(out, observer=stop).status == "completed"
        assert not any("warning" in note for note in stop.notes)
        assert lines_of(out) == lines_of(made["complete"])


@pytest.mark.parametrize("kind", ["stopped", "complete"])
def test_a_run_of_the_first_release_is_checked_by_its_rounds(kind: str, copy) -> None:
    for name in ("a hole", "a record twice", "no beginning", "a cut", "a key less"):
        out = copy(kind)
        manifest = json.loads((out / "manifest.json").read_text())
        (out / "manifest.json").write_text(
            json.dumps({key: manifest[key] for key in manifest if key not in ("inputs", "logs")})
        )
        for note in (out / "checkpoint").glob("*.json"):
            facts = json.loads(note.read_text())
            note.write_text(json.dumps({key: facts[key] for key in facts if key not in ("log", "note_sha256")}))
        (out / "metrics.jsonl").write_text("".join(CHANGES[name][0](lines_of(out))))
        with pytest.raises(ConfigError, match=r"metrics\.jsonl:\d: "):
            resume(out)


def test_baselines_that_are_damaged_are_run_again_or_refused(copy, made) -> None:
    for kind in made:
        out = copy(kind)
        path = out / "baselines" / "isolated.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"round": 0}\n{"round": 8}\n')
        if kind == "stopped":
            resume(out)
            assert path.read_bytes() == (made["complete"] / "baselines" / "isolated.jsonl").read_bytes()
        else:
            for use in (resume, RunData.load):
                with pytest.raises(ConfigError, match=r"isolated\.jsonl:2: "):
                    use(out)


MANIFESTS = [
    "",
    "{",
    "[]",
    "3",
    '"a"',
    "{}",
    '{"status": 3}',
    '{"status": "odd"}',
    '{"status": "completed"}',
    "[" * 100_000,
]
MANIFESTS += [
    '{"status": "completed", "rounds": "8"}',
    '{"status": "running", "resumed": 3}',
    "\0\1\2",
    '{"status": null}',
]
MANIFESTS += ['{"status": "running", "inputs": []}', '{"status": "running", "inputs": {"config.toml": 3}}']
MANIFESTS += ['{"status": "running", "logs": {"metrics.jsonl": 3}}', '{"status": "running", "versions": "1"}']


@pytest.mark.parametrize("text", MANIFESTS)
def test_a_damaged_manifest_is_told(text: str, copy) -> None:
    for kind in ("stopped", "complete"):
        out = copy(kind)
        (out / "manifest.json").write_text(text)
        for use in (resume, RunData.load):
            with pytest.raises(ConfigError) as caught:
                use(out)
            assert caught.value.message.startswith(f"{out / 'manifest.json'}: ")
            assert f"--out {out} --force'" in caught.value.hint


def test_a_manifest_without_what_a_run_can_do_without_is_enough(copy, made) -> None:
    out = copy("stopped")
    (out / "manifest.json").write_text('{"status": "running"}')
    assert resume(out).status == "completed"
    assert lines_of(out) == lines_of(made["complete"])


NOTES = ["", "{", "[]", "3", "{}", '{"sha256": 3}', "\0\1", "[" * 100_000, '{"round": 6, "sha256": "0"}']


@pytest.mark.by_default("other arrays", '{"sha256": 3}', "{}")
@pytest.mark.parametrize("text", [*NOTES, "edited", "cut arrays", "no arrays", "other arrays"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(text: str, copy, made) -> None:
    out = copy("stopped")
    older, newest = sorted((out / "checkpoint").glob("*.json"))
    arrays = newest.with_suffix(".npz")
    match text:
        case "edited":
            newest.write_text(newest.read_text().replace('"wall_s": 0.0', '"wall_s": 9.0'))
        case "cut arrays":
            arrays.write_bytes(arrays.read_bytes()[:-9])
        case "no arrays":
            arrays.unlink()
        case "other arrays":
            np.savez(arrays, leaf0000=np.zeros(3))
        case _:
            newest.write_text(text)
    with pytest.warns(
        JaxGossipWarning, match=r"round-000000006\.(json|npz) is damaged; the checkpoint before it is used"
    ):
        assert resume(out).status == "completed"
    assert lines_of(out) == lines_of(made["complete"])
    shutil.rmtree(out)
    out = copy("stopped")
    for note in (older, newest):
        (out / "checkpoint" / note.name).write_text("{}")
    with pytest.warns(JaxGossipWarning), pytest.raises(RunError, match=r"no checkpoint in .* is intact") as caught:
        resume(out)
    assert "jaxgossip run" in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["variants", "grid"])
def test_a_sweep_with_a_damaged_run_is_told(kind: str, tmp_path: Path) -> None:
    config, out = tmp_path / "small.toml", tmp_path / "out"
    config.write_text(TEXT + VARIANTS * (kind == "variants"))

    def work() -> None:
        if kind == "variants":
            sweep(variants(config), out)
        else:
            run_grid(expand(config, ["optimizer.learning_rate=0.1,0.2"]), out)

    work()
    path = min(out.glob("*/metrics.jsonl"))
    path.write_text("".join(lines_of(path.parent)[:1]))
    for use in (work, lambda: [RunData.load(one) for one in run_folders([out])]):
        with pytest.raises(ConfigError, match=rf"{path}:2: no record"):
            use()
    for text in (
        "",
        "[]",
        "{}",
        '{"variants": 3}',
        '{"grid": [], "seeds": 3, "points": {}, "runs": {}}',
        "\0\1",
        "[" * 99_999,
    ):
        (out / "sweep.json").write_text(text)
        for use in (work, lambda: run_folders([out])):
            with pytest.raises(ConfigError, match=r"sweep\.json is damaged"):
                use()
    assert read_sweep_file(tmp_path / "none") is None


def test_a_folder_that_goes_while_a_run_writes_to_it_is_not_made_anew(tmp_path: Path) -> None:
    out = tmp_path / "run"

    class Remove(Stop):
        def advanced(self, done: int) -> None:
            if done == 4:
                shutil.rmtree(out)

    with pytest.raises(RunError, match=rf"{out} was removed while it was being written to"):
        run(load(LONG), out=out, observer=Remove())
    assert not out.exists()


def test_two_do_not_work_in_one_folder(tmp_path: Path) -> None:
    out, told = tmp_path / "run", []

    class Another(Stop):
        def advanced(self, done: int) -> None:
            for work in (lambda: resume(out), lambda: run(load(LONG), out=out, force=True)):
                with pytest.raises(JaxGossipError, match=r"is in use: process \d+ on .* is writing to it"):
                    work()
                told.append(done)

    assert run(load(LONG), out=out, observer=Another()).status == "completed"
    assert told
    assert not (out / ".lock").exists()


@pytest.mark.by_default("left2", "left4", "left1")
@pytest.mark.parametrize("left", [["config.toml"], ["manifest.json"], ["config.toml.17.tmp"], [".lock"], []])
def test_what_a_kill_left_of_a_folder_that_was_made_is_nothing(left: list[str], copy, tmp_path: Path) -> None:
    complete = copy("complete")
    out = tmp_path / "run"
    out.mkdir()
    for name in left:
        source = complete / name
        (out / name).write_bytes(source.read_bytes() if source.is_file() else b"half")
    config = load(complete / "config.toml")
    if left == [
        "manifest.json"
    ]:  # as the first release left it: nobody can tell it from a run that has lost its configuration
        with pytest.raises(ConfigError):
            run(config, out=out)
    run(config, out=out, force=left == ["manifest.json"])
    assert lines_of(out) == lines_of(complete)
    (out / "config.toml").write_text("mine")
    (out / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        run(config, out=out)
