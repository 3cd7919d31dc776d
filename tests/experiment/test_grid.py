"""Grids of runs: replicas under one program are the runs they would be alone; tables, resuming, errors."""

import csv
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.cli.main import main
from jaxgossip.cli.progress import TerminalReporter
from jaxgossip.errors import ConfigError, InputError
from jaxgossip.experiment import labels, replicate
from jaxgossip.experiment.bands import bands, interval, summary_rows, summary_table
from jaxgossip.experiment.build import build
from jaxgossip.experiment.config import load
from jaxgossip.experiment.grid import expand, lifted_numbers, parse_axis
from jaxgossip.experiment.plots import summary
from jaxgossip.experiment.replicate import run_grid
from jaxgossip.experiment.report import RunData
from jaxgossip.experiment.run import Reporter, precision
from jaxgossip.experiment.sweep import runs_in, sweep, variants
from jaxgossip.experiment.toml import split
from jaxgossip.simulation import Program, simulate
from jaxgossip.simulation.alike import families
from jaxgossip.simulation.program import Steps
from jaxgossip.simulation.rounds import make_record
from jaxgossip.simulation.twins import counterparts

TEXT = """
name = "small"
seed = 3
rounds = 7
[topology]
kind = "ring"
nodes = 8
[learning]
dataset = "synthetic"
dataset_options = { samples = 200, features = 4 }
model = "logistic"
batch_size = 2
[algorithm]
kind = "dsgd"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[evaluation]
every = 3
baselines = []
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


class Listener(Reporter):
    """Keeps notes, and stops when it has been told of so many groups."""

    def __init__(self, most_groups: int = 1000) -> None:
        self.notes: list[str] = []
        self._most = most_groups

    def note(self, text: str) -> None:
        self.notes.append(text)

    def should_stop(self) -> bool:
        return sum(note.startswith("[group") for note in self.notes) >= self._most

    @property
    def compilations(self) -> int:
        return sum(note.startswith("compiling") for note in self.notes)


def alone(run) -> list[dict]:
    with precision(run.config):
        return found_alone(run)


def found_alone(run) -> list[dict]:
    parts, config = build(load(run_text(run))), run.config
    program = Program(
        parts.algorithm, seed=config.seed, conditions=parts.conditions, byte_budget=config.byte_budget,
        sampled_nodes=config.evaluation.sampled_nodes,
    )  # fmt: skip
    state = program.start()
    found = [make_record(program, state, 0.0)]
    for until in [*range(config.evaluation.every, config.rounds, config.evaluation.every), config.rounds]:
        state = program.advance(state, until)
        if not state.diverged and int(state.round) > found[-1]["round"]:
            found.append(make_record(program, state, 0.0))
    return found


def run_text(run) -> str:
    from jaxgossip.experiment.describe import resolved_toml

    return resolved_toml(run.config)


def assert_same(records, expected) -> None:
    assert [record["round"] for record in records] == [record["round"] for record in expected]
    for record, other in zip(records, expected, strict=True):
        assert record.keys() == other.keys()
        for name in record.keys() - {"wall_s"}:
            if name in ("messages", "bytes_sent", "metadata_bytes"):
                assert record[name] == other[name]
            elif not np.isfinite(other[name]):
                assert record[name] is None
            else:
                np.testing.assert_allclose(record[name], other[name], rtol=1e-5, atol=1e-6, err_msg=name)


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("options", "overrides", "programs"),
    [
        (["topology.kind=ring,complete", "optimizer.learning_rate=0.05,0.2"], [], 2),
        pytest.param(
            ["network.drop=0,0.4"],
            ["network.online=0.7", "network.straggle=0.3", "optimizer.kind=adam"],
            2,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["optimizer.momentum=0.5,0.9"],
            ["partition.kind=dirichlet", "mixing.kind=matching", "network.drop=0.2"],
            1,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["network.noise=0.1,0.2"],
            ["topology.kind=erdos_renyi", "topology.mean_degree=5", "byte_budget=3000"],
            None,
            marks=pytest.mark.slow,
        ),
        pytest.param(["optimizer.learning_rate=0.05,0.2"], ["device.dtype=float64"], 1, marks=pytest.mark.slow),
        pytest.param(["optimizer.learning_rate=0.05,0.2"], ["device.dtype=bfloat16"], 1, marks=pytest.mark.slow),
        pytest.param(
            ["optimizer.learning_rate=0.05,0.2"],
            ["privacy.clip=1.0", "privacy.noise_multiplier=0.5"],
            1,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["adversary.kind=bit_flip,alie"],
            ["adversary.fraction=0.25", "topology.kind=complete", "aggregation.kind=median"],
            2,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_run_of_a_grid_is_what_it_is_alone(config, tmp_path, options, overrides, programs) -> None:
    grid, listener = expand(config, options, 2, overrides), Listener()
    outcome = run_grid(grid, tmp_path / "out", reporter=listener)
    assert outcome.done == len(grid.runs)
    for run in grid.runs if overrides == [] else grid.runs[1:3]:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))
    if programs is not None:
        assert listener.compilations == programs


def test_samples_of_unequal_nodes_are_taken_whole_in_programs_of_their_own(config, tmp_path) -> None:
    grid, listener = expand(config, [], 2, ["partition.kind=dirichlet", "learning.batch_size=0"]), Listener()
    run_grid(grid, tmp_path / "out", reporter=listener)
    assert listener.compilations == 2  # padded to the largest node, another number of samples for each seed
    for run in grid.runs:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))


def test_a_replica_stays_what_it_is_when_replicas_are_added(config, tmp_path) -> None:
    few = expand(config, ["optimizer.learning_rate=0.1,0.2"], 2)
    many = expand(config, ["optimizer.learning_rate=0.1,0.2,0.3"], 5)
    for name, grid in (("few", few), ("many", many)):
        run_grid(grid, tmp_path / name)
    for run in few.runs:
        mine, its = (records(tmp_path / name / run.config.name) for name in ("few", "many"))
        assert_same(mine, its)


def test_one_that_diverges_stops_no_other(config, tmp_path) -> None:
    overrides = ["learning.batch_size=1", "rounds=40"]
    tree = (
        config.read_text()
        .replace('model = "logistic"\nbatch_size = 2\n', "")
        .replace("synthetic", "isotropic_quadratic")
    )
    config.write_text(tree.replace("{ samples = 200, features = 4 }", "{ dimension = 3 }"))
    grid, listener = expand(config, ["optimizer.learning_rate=0.1,1e3"], 2, overrides[1:]), Listener()
    outcome = run_grid(grid, tmp_path / "out", reporter=listener)
    good, bad = grid.runs[:2], grid.runs[2:]
    assert set(outcome.diverged) == {run.config.name for run in bad}
    assert listener.compilations == 1
    assert_same(records(tmp_path / "out" / good[1].config.name), alone(good[1]))
    for run in bad[:1]:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))
        told = RunData.load(tmp_path / "out" / run.config.name)
        assert told.diverged_round == simulate(build(load(run_text(run))).algorithm, 40, seed=run.config.seed).rounds
    loaded = [RunData.load(tmp_path / "out" / run.config.name) for run in (good[0], bad[0])]
    points = [(run.values, [it]) for run, it in zip((good[0], bad[0]), loaded, strict=True)]
    rows = summary_rows(points, loaded[0].measures[0])
    assert [row["diverged"] for row in rows] == [0, 1]
    assert rows[1]["mean"] is None
    figure = bands(points, "page")
    assert [text.get_text().partition(" ")[2] for text in figure.legends[0].get_texts()] == ["", "(diverged)"]
    assert "1 of 2 runs diverged" in figure.get_suptitle()
    dotted = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    before = loaded[1].column("distance_to_optimum_mean")
    np.testing.assert_allclose(dotted[0].get_ydata(), before[np.isfinite(before)], rtol=1e-9)
    assert len(bands(points[1:], "page").axes[0].lines) == 1  # alone, it is drawn as well


def test_a_stopped_grid_goes_on_where_it_was(config, tmp_path) -> None:
    grid, out = expand(config, ["topology.kind=ring,complete,star"], 2), tmp_path / "out"
    first = run_grid(grid, out, reporter=Listener(most_groups=2))
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


class Impatient(Listener):
    """Stops once a round has been reached."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._rounds, self._most_rounds = 0, most

    def advanced(self, rounds_done: int) -> None:
        self._rounds = rounds_done

    def should_stop(self) -> bool:
        return self._rounds >= self._most_rounds


def test_a_group_that_was_stopped_goes_on_from_its_checkpoint_with_the_same_bits(config, tmp_path) -> None:
    grid = expand(config, ["optimizer.learning_rate=0.1,1e38"], 2, ["rounds=20", "checkpoint.every_s=0"])
    run_grid(grid, tmp_path / "whole")
    first = run_grid(grid, tmp_path / "out", reporter=Impatient(9))
    assert first.interrupted
    assert first.done == 0
    (newest,) = sorted((tmp_path / "out" / "checkpoint").glob("round-*.npz"))[-1:]
    newest.write_bytes(b"torn")  # the one before it is as good
    listener = Listener()
    with pytest.warns(UserWarning, match="is damaged"):
        second = run_grid(grid, tmp_path / "out", reporter=listener)
    assert second.done == 4
    assert any(note.startswith("going on from round") for note in listener.notes)
    assert not (tmp_path / "out" / "checkpoint").exists()
    for run in grid.runs:
        one, other = (records(tmp_path / name / run.config.name) for name in ("whole", "out"))
        for record in (*one, *other):
            del record["wall_s"]
        assert one == other


def test_a_grid_that_grows_goes_on_with_the_group_that_was_stopped(config, tmp_path) -> None:
    overrides = ["rounds=20"]
    few = expand(config, ["optimizer.learning_rate=0.1,0.2"], 1, overrides)
    run_grid(few, tmp_path / "whole")
    run_grid(few, tmp_path / "out", reporter=Impatient(9))
    many, listener = expand(config, ["optimizer.learning_rate=0.3,0.1,0.2"], 2, overrides), Listener()
    outcome = run_grid(many, tmp_path / "out", reporter=listener)
    assert (outcome.done, outcome.kept) == (6, 0)
    groups = [note for note in listener.notes if note.startswith(("[group", "going on"))]
    assert [note.partition("]")[0] for note in groups] == ["[group 1 of 2", "going on from round 9", "[group 2 of 2"]
    for run in few.runs:
        one, other = (records(tmp_path / name / run.config.name) for name in ("whole", "out"))
        for record in (*one, *other):
            del record["wall_s"]
        assert one == other
    assert_same(records(tmp_path / "out" / many.runs[1].config.name), alone(many.runs[1]))


def test_a_checkpoint_of_other_runs_is_of_no_use(config, tmp_path) -> None:
    grid, out = expand(config, ["optimizer.learning_rate=0.1,0.2"], 1), tmp_path / "out"
    run_grid(grid, out, reporter=Impatient(3))
    shutil.copytree(out / "checkpoint", tmp_path / "copy")
    run_grid(grid, out)
    shutil.copytree(tmp_path / "copy", out / "checkpoint")
    shutil.rmtree(out / grid.runs[1].config.name)  # of the two in the checkpoint, one is there
    listener = Listener()
    outcome = run_grid(grid, out, reporter=listener)
    assert (outcome.done, outcome.kept) == (1, 1)
    assert not any(note.startswith("going on") for note in listener.notes)
    assert_same(records(out / grid.runs[1].config.name), alone(grid.runs[1]))


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


def test_another_order_of_the_keys_is_refused_with_the_right_one(config, tmp_path) -> None:
    options = ["topology.kind=ring", "optimizer.learning_rate=0.1"]
    run_grid(expand(config, options), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"another order \(.*in its order \(topology.kind, optimizer.learning_rate\)"):
        run_grid(expand(config, options[::-1]), tmp_path / "out")


def test_what_cannot_be_built_is_told_before_anything_runs(config, tmp_path) -> None:
    listener = Listener()
    with pytest.raises(InputError, match=r"small.toml \(topology.kind=torus\): topology: torus: 8 nodes"):
        run_grid(expand(config, ["topology.kind=ring,torus"]), tmp_path / "out", reporter=listener)
    assert listener.notes == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("overrides", [[], ["topology.degree=3"]])
def test_kinds_with_keys_of_their_own_are_shown_as_tables(config, overrides) -> None:
    with pytest.raises(ConfigError, match=r"topology.degree: (missing|unknown key)") as raised:
        expand(config, ["topology.kind=ring,random_regular"], 1, overrides)
    option = shlex.split(raised.value.hint.splitlines()[-1].partition("--grid ")[2])[0]
    degree = 3 if overrides else 4
    tables = ({"kind": "ring", "nodes": 8}, {"kind": "random_regular", "nodes": 8, "degree": degree})
    assert parse_axis(option).values == tables
    assert len(expand(config, [option]).runs) == 2


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


def test_a_run_folder_is_that_of_a_run(config, tmp_path) -> None:
    grid = expand(config, ["optimizer.learning_rate=0.1"], 1)
    run_grid(grid, tmp_path / "out", command="typed")
    folder = tmp_path / "out" / "learning_rate_0.1-seed_3"
    found = RunData.load(folder)
    assert (found.status, found.n_nodes, found.manifest["command"]) == ("completed", 8, "typed")
    assert load(folder / "config.toml") == grid.runs[0].config


@pytest.mark.parametrize(
    ("options", "seeds", "message"),
    [
        (["topology.kind"], 1, "no '='"),
        (["topology.kind="], 1, "--grid topology.kind: no values"),
        (["topology.kind=ring,,star"], 1, "--grid topology.kind: an empty value"),
        (["topology.kind=ring,ring"], 1, "stands there twice"),
        (["topology.kind=ring", "topology.kind=star"], 1, "--grid topology.kind: given twice"),
        (["seed=1,2"], 1, "seeds are no axis"),
        (["name=a,b"], 1, "'name' cannot be varied"),
        (["optimizer.learing_rate=0.1"], 1, "optimizer.learing_rate: unknown key"),
        (["topology.kind=ring,rong"], 1, r"topology.kind=rong.*'rong'"),
        (["rounds.x=1"], 1, "'rounds' is a value, not a table"),
        ([], 0, "--seeds 0"),
    ],
)
def test_errors_name_the_key(config, options, seeds, message) -> None:
    with pytest.raises(ConfigError, match=message):
        expand(config, options, seeds)


def test_variants_have_no_grid(config) -> None:
    config.write_text(config.read_text() + '[[variants]]\nname = "a"\n')
    with pytest.raises(ConfigError, match=r"variants: a configuration with \[\[variants\]\] has no grid"):
        expand(config, ["rounds=1,2"])


def test_values_are_read_as_toml() -> None:
    assert parse_axis("a.b=1,0.5,true,ring").values == (1, 0.5, True, "ring")
    assert parse_axis("a.b=[1,2],[3]").values == ([1, 2], [3])
    assert split("'a,b',{x=1,y=2},(3,4)") == ["'a,b'", "{x=1,y=2}", "(3,4)"]


def test_numbers_that_rule_faults_out_stay_in_the_program(config) -> None:
    grid = expand(config, ["network.drop=0,0.2", "network.online=1,0.5", "optimizer.learning_rate=0.1"])
    assert [len(lifted_numbers(run)) for run in grid.runs] == [1, 2, 2, 3]


def test_the_band_is_student_t() -> None:
    mean, deviation, half = interval(np.array([1.0, 2.0, 3.0]))
    assert (float(mean), float(deviation)) == (2.0, 1.0)
    assert float(half) == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert np.isnan(interval(np.array([1.0]))[2])


def seeds_of(accuracies: list[list[float]]) -> list[RunData]:
    """Return runs of such test accuracies by round, with equal consensus distances."""
    return [
        RunData(
            Path(f"seed_{seed}"), {"seed": seed}, {"status": "completed"},
            tuple(
                {"round": round_, "test_accuracy_mean": one, "test_accuracy_min": one, "consensus_distance": 0.1}
                for round_, one in enumerate(values)
            ),
            {}, {}, {},
        )
        for seed, values in enumerate(accuracies)
    ]  # fmt: skip


def test_few_seeds_are_drawn_one_by_one_and_bands_of_fractions_end_at_one() -> None:
    few, many = seeds_of([[0.5, 0.9], [0.6, 1.0]]), seeds_of([[0.5, 0.9], [0.5, 1.0], [0.5, 1.0], [0.5, 1.0]])
    figure = bands([({"a.kind": "few"}, few), ({"a.kind": "many"}, many)], "page")
    above = figure.axes[0]
    assert len(above.lines) == 1 + 2 + 1  # mean and seeds of the few, mean of the many
    np.testing.assert_allclose(above.lines[0].get_ydata(), [0.55, 0.95])
    np.testing.assert_allclose(above.lines[2].get_ydata(), [0.6, 1.0])
    (band,) = above.collections
    _, _, half = interval(np.array([0.9, 1.0, 1.0, 1.0]))
    ends = band.get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == pytest.approx((0.5, 1.0))
    assert min(abs(ends - (0.975 - half))) < 1e-12
    assert figure.get_suptitle() == "page: mean of 2 to 4 seeds"
    caption = figure.get_supxlabel()
    assert caption.startswith("shaded: 95 % band of the mean, thin: each seed; on logarithmic axes")
    assert bands([({}, many[:1])], "page").get_suptitle() == "page: one seed"


def test_the_table_has_bands_from_three_seeds_on() -> None:
    runs = seeds_of([[0.5, 0.9], [0.6, 1.0], [0.4, 0.8]])
    measure = runs[0].measures[0]
    two, three = summary_table(summary_rows([({"a.kind": n}, runs[:n]) for n in (2, 3)], measure), measure)
    header = "test accuracy, mean ± 95 %"
    assert (two[header], two["std over seeds"]) == ("95.0% ± –", "7.1%")
    assert three[header] == f"90.0% ± {100 * 4.302653 * 0.1 / np.sqrt(3):.1f}%"
    (one,) = summary_table(summary_rows([({"a.kind": 1}, runs[:1])], measure), measure)
    assert list(one) == ["a", "seeds", "test accuracy, mean", "worst node", "consensus distance"]


def test_values_that_are_tables_are_told_by_their_kinds(config, tmp_path) -> None:
    option = "topology={kind='ring',nodes=16},{nodes=16,kind='random_regular',degree=4}"
    grid = expand(config, [option])
    assert grid.points == ["topology=ring (nodes 16)", "topology=random_regular (nodes 16, degree 4)"]
    assert [run.config.name for run in grid.runs] == ["ring_nodes_16-seed_3", "random_regular_nodes_16_degree_4-seed_3"]
    assert grid.runs[0].cells == {"topology": "ring (nodes 16)"}
    options = expand(config, ["learning.dataset_options={samples=100,features=4},{samples=200,features=4}"])
    assert options.points[0] == "learning.dataset_options=samples 100, features 4"


def test_a_grid_tells_all_on_the_command_line(config, tmp_path, capsys, monkeypatch) -> None:
    from jaxgossip.cli import main

    out = tmp_path / "out"
    words = ["sweep", str(config), "--grid", "topology.kind=ring,star", "--seeds", "2", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["jaxgossip", *words])
    main.app(words, standalone_mode=False)
    told = capsys.readouterr()
    assert "[group 2 of 2] topology.kind=star: 2 runs" in told.err
    assert told.out.splitlines()[0].split()[:2] == ["topology", "seeds"]
    assert told.out.splitlines()[-1].startswith("next: jaxgossip compare")
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["topology.kind"], row["seed"]) for row in rows] == [
        ("ring", "3"),
        ("ring", "4"),
        ("star", "3"),
        ("star", "4"),
    ]
    first = records(out / rows[0]["run"])[-1]
    assert float(rows[0]["mean"]) == first["test_accuracy_mean"]
    summary = [json.loads(line) for line in (out / "summary.jsonl").read_text().splitlines()]
    assert summary[0]["mean"] == pytest.approx(np.mean([float(row["mean"]) for row in rows[:2]]))
    assert (out / "compare.png").stat().st_size > 10_000


def test_what_is_told_of_a_single_run_and_of_none(config, tmp_path, capsys, monkeypatch) -> None:
    def typed(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["jaxgossip", *words])
        with pytest.raises(SystemExit):
            main()
        printed = capsys.readouterr()
        return printed.out + printed.err

    out = tmp_path / "out"
    words = ["sweep", str(config), "--seeds", "1", "--out", str(out), "--set", "evaluation.baselines=['isolated']"]
    with monkeypatch.context() as patched:
        patched.setattr(TerminalReporter, "should_stop", lambda _: True)
        nothing = typed(*words)
    assert "0 runs in" in nothing
    assert "drawing" not in nothing
    told = typed(*words)
    assert "1 run: 1 point, seed 3\n" in told
    assert "] dsgd: 1 run\n" in told
    assert "\n1 run in" in told
    assert "a grid runs no baselines; algorithm.kind=isolated as a value runs one of them" in told
    again = typed(*words)
    assert "1 of 1 run is there already" in again
    assert "runs no baselines" not in again
    assert "hint: it is a sweep: type its command again" in typed("resume", str(out))
    figure = summary(RunData.load(out / "seed_3"))
    assert any("a run of a grid keeps" in text.get_text() for axes in figure.axes for text in axes.texts)


class Holder:
    def __init__(self, array, number=1, table=None) -> None:
        self.call = lambda x: x * array + number
        self.table = table


def test_twins_are_told_apart_by_all_but_the_values_of_arrays() -> None:
    a, b = jnp.arange(3.0), jnp.ones(3)
    assert counterparts(Holder(a), Holder(b)) == {id(a): b}
    assert counterparts(Holder(a), Holder(b, 2)) is None
    assert counterparts(Holder(a), Holder(jnp.ones(4))) is None
    assert counterparts(Holder(a), Holder(b, table=np.arange(2))) is None
    assert counterparts(Holder(a, table=np.arange(2)), Holder(b, table=np.arange(2))) == {id(a): b}
    assert counterparts(Holder(a, table=a), Holder(b, table=a)) is None  # one array in two roles


def test_an_array_that_was_looked_into_is_found_out(config) -> None:
    """A step that reads its array while it is traced has it in its program: the runs then share none."""
    experiment = build(load(config))

    def steps(number: float) -> Steps:
        rate = jnp.asarray(number)

        def step(state, round_):
            new, traffic = experiment.algorithm.step(state, round_)
            return new._replace(x=new.x * float(rate)), traffic

        return Steps(replace(experiment.algorithm, step=step))

    assert [family.members for family in families([steps(0.5), steps(0.25)])] == [[0], [1]]
    found = families([steps(0.5), steps(0.25), steps(0.5)], trust=False)
    assert [family.members for family in found] == [[0, 2], [1]]


def test_draws_under_vmap_are_those_alone() -> None:
    keys = jnp.stack([jax.random.key(seed) for seed in range(3)])
    both = jax.vmap(lambda key: jax.random.bits(key, (5,)))(keys)
    np.testing.assert_array_equal(both[1], jax.random.bits(jax.random.key(1), (5,)))


def test_a_group_too_large_is_run_in_parts(config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(replicate, "available_bytes", lambda: 2 * 2 * 72 * 8 * 6 * 4)
    grid, listener = expand(config, ["optimizer.learning_rate=0.1,0.2"], 3), Listener()
    run_grid(grid, tmp_path / "out", reporter=listener)
    assert 1 < listener.compilations < 6
    for run in grid.runs[1::3]:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))


def test_compare_takes_a_sweep_and_draws_bands_over_its_seeds(config, tmp_path, monkeypatch, capsys) -> None:
    grid = expand(config, ["topology.kind=ring,star", "optimizer.learning_rate=0.1"], 2)
    run_grid(grid, tmp_path / "out")
    loaded = [RunData.load(folder) for folder in runs_in([tmp_path / "out"])]
    assert [(values, len(runs)) for values, runs in labels.points(loaded)] == [
        ({"topology.kind": "ring"}, 2),
        ({"topology.kind": "star"}, 2),
    ]
    assert [len(runs) for _, runs in labels.points([*loaded[:1], *loaded[2:]])] == [1, 2]

    def compare(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["jaxgossip", "compare", *words, "--out", str(tmp_path / "it.png")])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        assert left.value.code == (2 if printed.err else 0)
        assert (tmp_path / "it.png").is_file() or printed.err
        return printed.out + printed.err

    header, *rows = compare(str(tmp_path / "out")).splitlines()
    assert header.split()[:2] == ["topology", "seeds"]
    assert [row.split()[:2] for row in rows[:2]] == [["ring", "2"], ["star", "2"]]
    assert all("±" in row for row in rows[:2])
    assert "seed_4" in compare(str(tmp_path / "out"), "--each")
    first = tmp_path / "out" / grid.runs[0].config.name
    twice = [tmp_path / "out", first, tmp_path / "out" / ".." / "out", tmp_path / "out"]
    assert runs_in(twice) == [run.folder for run in loaded]
    other = tmp_path / "out" / grid.runs[1].config.name
    assert runs_in([first / ".." / first.name, other, first]) == [first / ".." / first.name, other]
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "sweep.json").write_text('{"variants": {"a": ""}}')
    assert "none is a sweep of which no run has measured anything" in compare(str(tmp_path / "none"))
