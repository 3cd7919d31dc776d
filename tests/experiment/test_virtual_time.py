"""Virtual time and targets from a configuration to tables and pictures."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.plots.bands import summary_rows, summary_table
from jaxgossip.experiment.plots.labels import points
from jaxgossip.experiment.plots.runs import compare, summary
from jaxgossip.experiment.results.run_data import RunData, compare_table, final_numbers
from jaxgossip.experiment.results.target import reached, sentence
from jaxgossip.experiment.runs.run import run
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.network import speeds
from jaxgossip.plotting.measures import MEASURES, measures_of
from tests.experiment.grid_cases import TEXT, Listener, alone, assert_same

TIMED = f"""{TEXT}
[speeds]
kind = "lognormal"
up_mbit_s = 0.001
"""
RECORDS = [
    {"round": r, "test_accuracy_mean": a, "bytes_sent": 100 * r, "virtual_s": 1.5 * r, "virtual_s_mean": 1.0 * r}
    for r, a in ((0, 0.1), (10, 0.79), (20, 0.86), (30, 0.84), (40, float("nan")))
]


def test_the_first_evaluation_as_good_as_the_target_counts() -> None:
    accuracy, loss = (next(one for one in MEASURES if one.key == key) for key in ("test_accuracy", "test_loss"))
    found = reached(RECORDS, 0.85)
    assert found == {
        "measure": "test_accuracy", "target": 0.85, "round": 20, "bytes_sent": 2000, "virtual_s": 30.0, "joules": None
    }  # fmt: skip
    assert sentence(found, accuracy) == "test accuracy 85.0% after 20 rounds, 2 kB sent, 30.0 s of virtual time"
    assert reached(RECORDS, 0.79)["round"] == 10
    missed = reached(RECORDS, 0.9)
    assert (missed["round"], missed["bytes_sent"], missed["virtual_s"]) == (None, None, None)
    assert sentence(missed, accuracy) == "test accuracy 90.0% not reached"
    falling = [{"round": r, "test_loss_mean": 1 / (1 + r), "bytes_sent": r} for r in range(5)]
    found = reached(falling, 0.25, loss)
    assert (found["round"], found["virtual_s"]) == (3, None)
    assert sentence(found, loss) == "test loss 0.25 after 3 rounds, 3 B sent"
    assert [measure.key for measure in measures_of(RECORDS[0])] == ["test_accuracy"]


def test_a_section_gives_speeds_of_as_many_local_steps_as_a_round_has() -> None:
    timed = build(load(TIMED, ["algorithm.local_steps=3", "speeds={kind='constant', compute_s=0.5}"])).speeds
    assert timed is not None
    np.testing.assert_array_equal(timed.compute_s, 1.5)
    assert build(load(TEXT)).speeds is None
    drawn = [build(load(TIMED, [f"seed={seed}"])).speeds for seed in (3, 3, 4)]
    assert all(one is not None for one in drawn)
    assert (drawn[0].up_bytes_s == drawn[1].up_bytes_s).all()
    assert (drawn[0].up_bytes_s != drawn[2].up_bytes_s).all()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("speeds.kind='norml'", "speeds.kind: unknown speeds 'norml'"),
        ("speeds.up_mbit=1.0", "speeds.up_mbit: unknown key"),
        ("evaluation.target=85.0", "evaluation.target: an accuracy is a fraction of at most 1, got 85.0"),
        ("evaluation.target=0.0", "evaluation.target: "),
        ("speeds={kind='from_file', path='none.csv'}", "speeds.path: no such file"),
    ],
)
def test_mistakes_are_told(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(TIMED, [override])
    assert message in caught.value.message


def test_a_file_of_speeds_is_found_beside_the_configuration_and_its_mistakes_name_the_section(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(TEXT + '[speeds]\nkind = "from_file"\npath = "speeds.csv"\n')
    lines = [f"{node},0.1,8,8,0" for node in range(8)]
    (tmp_path / "speeds.csv").write_text("\n".join([",".join(speeds.COLUMNS), *lines]))
    assert build(load(tmp_path / "own.toml")).speeds.up_bytes_s[3] == 1e6
    (tmp_path / "speeds.csv").write_text("\n".join([",".join(speeds.COLUMNS), *lines[:-1]]))
    with pytest.raises(InputError, match=r"^speeds: .*speeds\.csv: 1 of 8 nodes are missing"):
        build(load(tmp_path / "own.toml"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run one configuration timed with a target, and one without either."""
    base = tmp_path_factory.mktemp("runs")
    settings = ["evaluation.target=0.5", "evaluation.baselines=['isolated', 'centralised', 'federated_averaging']"]
    return {
        "timed": run(load(TIMED, settings), out=base / "timed").folder,
        "other": run(load(TIMED, ["topology.kind=complete", "evaluation.target=0.999"]), out=base / "other").folder,
        "plain": run(load(TEXT, ["name=plain"]), out=base / "plain").folder,
    }


@pytest.mark.slow
def test_a_run_keeps_its_virtual_time_and_when_it_reached_its_target(folders: dict[str, Path]) -> None:
    timed, other, plain = (RunData.load(folder) for folder in folders.values())
    assert (np.diff(timed.column("virtual_s")) > 0).all()
    assert (timed.column("virtual_s") >= timed.column("virtual_s_mean")).all()
    for name in ("isolated", "centralised", "federated_averaging"):
        assert timed.column("virtual_s", name)[-1] > 0
    assert timed.manifest["target"] == reached(timed.records, 0.5)
    assert timed.manifest["target"]["round"] is not None
    assert other.manifest["target"]["round"] is None
    assert "target" not in plain.manifest
    assert "virtual_s" not in plain.final
    numbers = final_numbers(timed)
    assert numbers["virtual_s"] == timed.final["virtual_s"]
    assert numbers["rounds_to_target"] == timed.manifest["target"]["round"]
    assert final_numbers(plain)["virtual_s_to_target"] is None


@pytest.mark.slow
def test_tables_have_columns_of_time_and_target_where_there_are_any(folders: dict[str, Path]) -> None:
    timed, other, plain = (RunData.load(folder) for folder in folders.values())
    (row,) = compare_table([timed])
    assert {"virtual time", "rounds to 50.0%", "sent to 50.0%", "virtual time to 50.0%"} <= set(row)
    rows = compare_table([timed, other, plain])
    assert all(list(one) == list(rows[0]) for one in rows)
    assert [one["target"] for one in rows] == ["50.0%", "99.9%", "–"]
    assert [one["virtual time to target"] == "–" for one in rows] == [False, True, True]
    assert not {"virtual time", "target"} & set(compare_table([plain])[0])


@pytest.mark.slow
def test_pictures_have_a_column_by_virtual_time(folders: dict[str, Path]) -> None:
    timed, other, plain = (RunData.load(folder) for folder in folders.values())

    def titles(figure):
        return [axes.get_title(loc="left") for axes in figure.axes]

    assert titles(summary(timed)).count("… and by virtual time") == 2
    assert not any("virtual" in title for title in titles(summary(plain)))
    assert "Test accuracy by virtual time" in titles(compare([timed, other], by=["seconds"]))
    assert len(summary(timed, ["bytes", "seconds"]).axes) == len(summary(plain).axes)
    assert not any("virtual" in title for title in titles(compare([timed, plain])))
    with pytest.raises(ConfigError, match="kept no virtual time"):
        compare([timed, plain], by=["seconds"])
    with pytest.raises(ConfigError, match="--by hours: no such axis"):
        summary(timed, ["hours"])


@pytest.mark.slow
def test_a_grid_of_speeds_is_one_program_and_gives_what_each_gives_alone(tmp_path: Path) -> None:
    path = tmp_path / "timed.toml"
    path.write_text(TIMED)
    listener, settings = Listener(), ["evaluation.target=0.5"]
    grid = expand(path, ["speeds.up_mbit_s=0.001,0.01"], 2, settings)
    run_grid(grid, tmp_path / "grid", observer=listener)
    for one in grid.runs:
        records = RunData.load(tmp_path / "grid" / one.config.name).records
        assert_same(records, alone(one))
        assert records[-1]["virtual_s"] > 0
        manifest = json.loads((tmp_path / "grid" / one.config.name / "manifest.json").read_text())
        assert manifest["target"]["target"] == 0.5
    loaded = [RunData.load(tmp_path / "grid" / one.config.name) for one in grid.runs]
    rows = summary_rows(points(loaded), loaded[0].measures[0])
    assert [row["reached"] for row in rows] == [2, 2]
    assert rows[0]["virtual_s"] > rows[1]["virtual_s"]
    assert rows[0]["virtual_s"] == pytest.approx(np.mean([one.final["virtual_s"] for one in loaded[:2]]))
    table = summary_table(rows, loaded[0].measures[0])
    assert table[0]["reached by"] == "2 of 2"
    assert "virtual time to 50.0%" in table[0]
