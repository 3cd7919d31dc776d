"""Energy from a configuration to records, tables and pictures, in rounds and by clocks."""

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
from jaxgossip.network.energy import DEVICES
from jaxgossip.plotting.measures import MEASURES, measures_of, network_measures_of
from tests.experiment.grid_cases import TEXT, Listener, alone, assert_same

METERED = f"""{TEXT}
[energy]
kind = "devices"
sent_j_byte = 1e-4
"""
CLOCKED = METERED.replace('kind = "dsgd"', 'kind = "gossip_learning"\nlocal_steps = 3')
PHONES = np.array([device.sample_j for device in DEVICES.values()] * 2)
RECORDS = [
    {"round": r, "test_accuracy_mean": a, "consensus_distance": 0.1, "bytes_sent": 100 * r, "joules": 14.4 * r}
    | {"training_joules": 3.0 * r, "live_nodes": 8}
    for r, a in ((0, 0.1), (10, 0.79), (20, 0.86))
]


@pytest.mark.by_default("steps")
@pytest.mark.parametrize(
    ("settings", "samples"),
    [
        ([], 2),
        (["algorithm.local_steps=3"], 6),
        (["algorithm={kind='skiptrain', local_steps=2}", "learning.batch_size=5"], 10),
        (["algorithm={kind='averaging'}"], 0),
        (["learning.batch_size=0", "learning.dataset_options.samples=100", "learning.test_fraction=0.2"], 10),
        (["learning.sampling=epochs", "algorithm.local_epochs=2", "learning.test_fraction=0.2"], 2 * 20),
    ],
    ids=["plain", "steps", "skiptrain", "no gradients", "all samples", "epochs"],
)
def test_a_section_gives_the_joules_of_a_round_s_samples(settings: list[str], samples: int) -> None:
    metered = build(load(METERED, settings)).energy
    assert metered is not None
    np.testing.assert_allclose(metered.work_j, samples * PHONES, rtol=1e-15)
    assert not metered.has_batteries
    assert build(load(TEXT)).energy is None


def test_by_clocks_it_gives_those_of_an_update() -> None:
    metered = build(load(CLOCKED)).energy
    assert metered is not None
    np.testing.assert_allclose(metered.work_j, 3 * 2 * PHONES, rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "setting", "message"),
    [
        (METERED, "energy.battery_share=0.0", "^energy: energy: battery_share must be above 0"),
        (METERED, "energy.idle_w=1.0", "^energy: energy: idle_w is of virtual time, and this run keeps none"),
        (
            METERED,
            "energy={kind='constant', battery_j=0.0}",
            "^energy: energy: battery_j must be above 0, not 0.0",
        ),
        (CLOCKED, "energy.battery_share=0.1", "^energy: energy: a battery puts nodes offline in runs in rounds"),
    ],
)
def test_what_cannot_be_names_the_section(text: str, setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build(load(text, [setting]))
    assert caught.value.hint


def test_energy_to_a_target_stands_beside_the_time() -> None:
    accuracy = next(one for one in MEASURES if one.key == "test_accuracy")
    found = reached(RECORDS, 0.85)
    assert found["joules"] == 288.0
    assert sentence(found, accuracy) == "test accuracy 85.0% after 20 rounds, 2 kB sent, 288 J spent"
    assert [measure.key for measure in measures_of(RECORDS[0])] == ["test_accuracy"]
    assert [measure.key for measure in network_measures_of(RECORDS[0])] == ["consensus_distance"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run a configuration in rounds, with batteries, one by clocks, and one without energy."""
    base, settings = tmp_path_factory.mktemp("runs"), ["evaluation.target=0.5"]
    rounds = ["energy.battery_share=5e-6", "evaluation.baselines=['isolated', 'centralised']", *settings]
    return {
        "rounds": run(load(METERED, rounds), out=base / "rounds").folder,
        "clocks": run(load(CLOCKED, settings), out=base / "clocks").folder,
        "plain": run(load(TEXT, ["name=plain"]), out=base / "plain").folder,
    }


@pytest.mark.slow
def test_a_run_keeps_its_joules_and_tables_and_pictures_have_them(folders: dict[str, Path]) -> None:
    rounds, clocks, plain = (RunData.load(folder) for folder in folders.values())
    assert (np.diff(rounds.column("joules")) >= 0).all()
    assert rounds.final["live_nodes"] < 8
    assert rounds.column("joules", "isolated")[-1] == rounds.column("training_joules", "isolated")[-1] > 0
    assert "live_nodes" not in clocks.final
    assert clocks.final["joules"] > clocks.final["training_joules"] > 0
    assert "joules" not in plain.final
    numbers = final_numbers(rounds)
    assert (numbers["joules"], numbers["joules_to_target"]) == (
        rounds.final["joules"], rounds.manifest["target"]["joules"]
    )  # fmt: skip
    assert {"energy", "energy to 50.0%"} <= set(compare_table([rounds])[0])
    assert not {"energy", "energy to target"} & set(compare_table([plain])[0])
    assert [row["energy"] == "–" for row in compare_table([rounds, clocks, plain])] == [False, False, True]

    def titles(figure):
        return [axes.get_title(loc="left") for axes in figure.axes]

    assert titles(summary(rounds)).count("… and by energy") == 2
    assert not any("energy" in title for title in titles(compare([rounds, plain])))
    assert "Test accuracy by energy" in titles(compare([rounds, clocks], by=["joules"]))
    with pytest.raises(ConfigError, match=r"kept no account of energy") as caught:
        compare([rounds, plain], by=["joules"])
    assert "[energy]" in caught.value.hint


@pytest.mark.slow
def test_a_grid_of_energies_is_one_program_and_gives_what_each_gives_alone(tmp_path: Path) -> None:
    path = tmp_path / "metered.toml"
    path.write_text(METERED)
    grid = expand(path, ["energy.sent_j_byte=0.0,0.001"], 2, ["evaluation.target=0.5"])
    run_grid(grid, tmp_path / "grid", observer=Listener())
    loaded = [RunData.load(tmp_path / "grid" / one.config.name) for one in grid.runs]
    for one, found in zip(grid.runs, loaded, strict=True):
        assert_same(found.records, alone(one))
    rows = summary_rows(points(loaded), loaded[0].measures[0])
    assert rows[1]["joules"] - rows[0]["joules"] == pytest.approx(1e-3 * loaded[0].final["bytes_sent"], rel=1e-12)
    table = summary_table(rows, loaded[0].measures[0])
    assert {"energy", "energy to 50.0%"} <= set(table[0])
