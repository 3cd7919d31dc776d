"""A grid's folder: stopping and going on, growing, what is refused in it."""

import shutil

import pytest

from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.experiment.sweeps.variants import sweep, variants
from tests.experiment.grid_cases import TEXT, Impatient, Listener, alone, assert_same, records


@pytest.mark.slow
def test_a_stopped_grid_goes_on_where_it_was(config, tmp_path) -> None:
    grid, out = expand(config, ["topology.kind=ring,complete,star"], 2), tmp_path / "out"
    first = run_grid(grid, out, observer=Listener(most_groups=2))
    assert first.interrupted
    assert (first.done, first.kept) == (2, 0)
    before = {path: path.stat().st_mtime_ns for path in out.glob("ring-*/manifest.json")}
    half = out / grid.runs[2].config.name
    half.mkdir()
    (half / "metrics.jsonl").write_text('{"round": 0')  # what a kill leaves
    second = run_grid(grid, out)
    assert not second.interrupted
    assert (second.done, second.kept) == (4, 2)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for run in grid.runs[2:4]:
        assert_same(records(out / run.config.name), alone(run))
    assert run_grid(grid, out).kept == 6


@pytest.mark.slow
def test_a_grid_grows_in_its_folder_by_values_and_seeds(config, tmp_path) -> None:
    few, out = expand(config, ["optimizer.learning_rate=0.1,0.2"], 1), tmp_path / "out"
    run_grid(few, out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/manifest.json")}
    many = expand(config, ["optimizer.learning_rate=0.1,0.3,0.2"], 2)
    outcome = run_grid(many, out)
    assert (outcome.done, outcome.kept) == (4, 2)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert_same(records(out / many.runs[3].config.name), alone(many.runs[3]))
    note = (out / "sweep.json").read_text()
    assert run_grid(few, out).kept == 2  # a smaller one is there already, and the larger one stays known
    assert (out / "sweep.json").read_text() == note
    assert run_grid(many, out).kept == 6
    with pytest.raises(ConfigError, match=r"its grid is optimizer\.learning_rate=0.1,0.3,0.2 with seeds"):
        run_grid(expand(config, ["optimizer.learning_rate=0.1,0.3,0.2,0.4"], 1), out)  # neither holds the other


@pytest.mark.slow
def test_a_group_that_was_stopped_goes_on_from_its_checkpoint_with_the_same_bits(config, tmp_path) -> None:
    grid = expand(config, ["optimizer.learning_rate=0.1,1e38"], 2, ["rounds=20", "checkpoint.every_s=0"])
    run_grid(grid, tmp_path / "whole")
    first = run_grid(grid, tmp_path / "out", observer=Impatient(9))
    assert first.interrupted
    assert first.done == 0
    (newest,) = sorted((tmp_path / "out" / "checkpoint").glob("round-*.npz"))[-1:]
    newest.write_bytes(b"torn")  # the one before it is as good
    listener = Listener()
    with pytest.warns(UserWarning, match="is damaged"):
        second = run_grid(grid, tmp_path / "out", observer=listener)
    assert second.done == 4
    assert any(note.startswith("going on from round") for note in listener.notes)
    assert not (tmp_path / "out" / "checkpoint").exists()
    for run in grid.runs:
        one, other = (records(tmp_path / name / run.config.name) for name in ("whole", "out"))
        for record in (*one, *other):
            del record["wall_s"]
        assert one == other


@pytest.mark.slow
def test_a_grid_that_grows_goes_on_with_the_group_that_was_stopped(config, tmp_path) -> None:
    overrides = ["rounds=20"]
    few = expand(config, ["optimizer.learning_rate=0.1,0.2"], 1, overrides)
    run_grid(few, tmp_path / "whole")
    run_grid(few, tmp_path / "out", observer=Impatient(9))
    many, listener = expand(config, ["optimizer.learning_rate=0.3,0.1,0.2"], 2, overrides), Listener()
    outcome = run_grid(many, tmp_path / "out", observer=listener)
    assert (outcome.done, outcome.kept) == (6, 0)
    groups = [note for note in listener.notes if note.startswith(("[group", "going on"))]
    assert [note.partition("]")[0] for note in groups] == ["[group 1 of 2", "going on from round 9", "[group 2 of 2"]
    for run in few.runs:
        one, other = (records(tmp_path / name / run.config.name) for name in ("whole", "out"))
        for record in (*one, *other):
            del record["wall_s"]
        assert one == other
    assert_same(records(tmp_path / "out" / many.runs[1].config.name), alone(many.runs[1]))


@pytest.mark.slow
def test_a_checkpoint_of_other_runs_is_of_no_use(config, tmp_path) -> None:
    grid, out = expand(config, ["optimizer.learning_rate=0.1,0.2"], 1), tmp_path / "out"
    run_grid(grid, out, observer=Impatient(3))
    shutil.copytree(out / "checkpoint", tmp_path / "copy")
    run_grid(grid, out)
    shutil.copytree(tmp_path / "copy", out / "checkpoint")
    shutil.rmtree(out / grid.runs[1].config.name)  # of the two in the checkpoint, one is there
    listener = Listener()
    outcome = run_grid(grid, out, observer=listener)
    assert (outcome.done, outcome.kept) == (1, 1)
    assert not any(note.startswith("going on") for note in listener.notes)
    assert_same(records(out / grid.runs[1].config.name), alone(grid.runs[1]))


@pytest.mark.slow
def test_another_grid_in_the_folder_is_refused_unless_forced(config, tmp_path) -> None:
    out = tmp_path / "out"
    run_grid(expand(config, ["optimizer.learning_rate=0.1,0.2"]), out)
    for options, seeds, overrides, message in (
        (["optimizer.learning_rate=0.1,0.3"], 1, [], "its grid is"),
        (["topology.kind=ring,star"], 1, [], "its grid is"),
        (["optimizer.learning_rate=0.1,0.2"], 1, ["seed=4"], "its seeds are"),
        (["optimizer.learning_rate=0.1,0.2"], 2, ["rounds=8"], "its configuration differs: rounds is 7 there, here 8"),
        (["optimizer.learning_rate=0.1"], 1, ["rounds=8", "topology.nodes=9"], "its .* and 1 more key"),
    ):
        with pytest.raises(ConfigError, match=f"holds another sweep: {message}"):
            run_grid(expand(config, options, seeds, overrides), out)
    other = expand(config, ["optimizer.learning_rate=0.3"])
    assert run_grid(other, out, force=True).done == 1
    assert [path.parent.name for path in out.glob("*/manifest.json")] == [other.runs[0].config.name]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    with pytest.raises(ConfigError, match="holds no sweep"):
        run_grid(other, tmp_path / "full")


@pytest.mark.slow
def test_another_order_of_the_keys_is_refused_with_the_right_one(config, tmp_path) -> None:
    options = ["topology.kind=ring", "optimizer.learning_rate=0.1"]
    run_grid(expand(config, options), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"another order \(.*in its order \(topology.kind, optimizer.learning_rate\)"):
        run_grid(expand(config, options[::-1]), tmp_path / "out")


def test_what_cannot_be_built_is_told_before_anything_runs(config, tmp_path) -> None:
    listener = Listener()
    with pytest.raises(InputError, match=r"small.toml \(topology.kind=torus\): topology: torus: 8 nodes"):
        run_grid(expand(config, ["topology.kind=ring,torus"]), tmp_path / "out", observer=listener)
    assert listener.notes == []
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_folder_of_a_grid_takes_no_variants_and_stale_runs_are_run_again(config, tmp_path) -> None:
    grid, out = expand(config, ["optimizer.learning_rate=0.1,0.2"]), tmp_path / "out"
    run_grid(grid, out)
    several = tmp_path / "several.toml"
    several.write_text(TEXT + '[[variants]]\nname = "a"\n[[variants]]\nname = "b"\nseed = 5\n')
    for force in (False, True):
        with pytest.raises(ConfigError, match="holds a grid of runs"):
            sweep(variants(several), out, force=force)
    shutil.rmtree(out / grid.runs[0].config.name)
    stale = out / grid.runs[1].config.name / "config.toml"
    stale.write_text(stale.read_text().replace("rounds = 7", "rounds = 8"))
    assert run_grid(grid, out).done == 2
    (out / "sweep.json").write_text("{")
    with pytest.raises(ConfigError, match=r"sweep.json is damaged"):
        run_grid(grid, out)


@pytest.mark.slow
def test_a_run_folder_is_that_of_a_run(config, tmp_path) -> None:
    grid = expand(config, ["optimizer.learning_rate=0.1"], 1)
    run_grid(grid, tmp_path / "out", command="typed")
    folder = tmp_path / "out" / "learning_rate_0.1-seed_3"
    found = RunData.load(folder)
    assert (found.status, found.n_nodes, found.manifest["command"]) == ("completed", 8, "typed")
    assert load(folder / "config.toml") == grid.runs[0].config
