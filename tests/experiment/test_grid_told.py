"""What is told of grids: tables, bands and pictures over seeds, the command line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.cli.main import main
from jaxgossip.experiment.plots import labels
from jaxgossip.experiment.plots.bands import bands, interval, summary_rows, summary_table
from jaxgossip.experiment.plots.runs import summary
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.experiment.sweeps.variants import run_folders
from jaxgossip.simulation.listening.display import Display
from tests.experiment.grid_cases import records


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
    several = bands([({"a.b": ""}, many[:1]), ({"a.b": "long " * 20}, few)], "page").legends[0].get_texts()
    assert several[0].get_text() == "all runs"
    assert several[1].get_text().count("\n") == 2  # a legend leaves room for the panels


def test_the_table_has_bands_from_three_seeds_on() -> None:
    runs = seeds_of([[0.5, 0.9], [0.6, 1.0], [0.4, 0.8]])
    measure = runs[0].measures[0]
    two, three = summary_table(summary_rows([({"a.kind": n}, runs[:n]) for n in (2, 3)], measure), measure)
    header = "test accuracy, mean ± 95 %"
    assert (two[header], two["std over seeds"]) == ("95.0% ± –", "7.1%")
    assert three[header] == f"90.0% ± {100 * 4.302653 * 0.1 / np.sqrt(3):.1f}%"
    (one,) = summary_table(summary_rows([({"a.kind": 1}, runs[:1])], measure), measure)
    assert list(one) == ["a", "seeds", "test accuracy, mean", "worst node", "consensus distance"]


@pytest.mark.slow
def test_a_grid_tells_all_on_the_command_line(config, tmp_path, capsys, monkeypatch) -> None:
    from jaxgossip.cli import main

    out = tmp_path / "out"
    words = ["sweep", str(config), "--grid", "topology.kind=ring,star", "--seeds", "2", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["jaxgossip", *words])
    main.app(words, standalone_mode=False)
    told = capsys.readouterr()
    assert "[group 2 of 2] topology.kind=star: 2 runs" in told.err
    assert told.out.splitlines()[1].split()[:2] == ["topology", "seeds"]  # headings take as many lines as they need
    assert "\nnext: jaxgossip compare" in told.out
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


@pytest.mark.slow
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
        patched.setattr(Display, "should_stop", lambda _: True)
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


@pytest.mark.slow
def test_compare_takes_a_sweep_and_draws_bands_over_its_seeds(config, tmp_path, monkeypatch, capsys) -> None:
    grid = expand(config, ["topology.kind=ring,star", "optimizer.learning_rate=0.1"], 2)
    run_grid(grid, tmp_path / "out")
    loaded = [RunData.load(folder) for folder in run_folders([tmp_path / "out"])]
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
        refused = "error: " in printed.err  # beside what it may say of its progress
        assert left.value.code == (2 if refused else 0)
        assert (tmp_path / "it.png").is_file() or refused
        return printed.out + printed.err

    _, header, *rows = compare(str(tmp_path / "out")).splitlines()
    assert header.split()[:2] == ["topology", "seeds"]
    assert [row.split()[:2] for row in rows[:2]] == [["ring", "2"], ["star", "2"]]
    assert all("±" in row for row in rows[:2])
    assert "seed_4" in compare(str(tmp_path / "out"), "--each")
    first = tmp_path / "out" / grid.runs[0].config.name
    twice = [tmp_path / "out", first, tmp_path / "out" / ".." / "out", tmp_path / "out"]
    assert run_folders(twice) == [run.folder for run in loaded]
    other = tmp_path / "out" / grid.runs[1].config.name
    assert run_folders([first / ".." / first.name, other, first]) == [first / ".." / first.name, other]
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "sweep.json").write_text('{"variants": {"a": ""}}')
    assert "none is a sweep of which no run has measured anything" in compare(str(tmp_path / "none"))
