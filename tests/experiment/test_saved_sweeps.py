"""Sweeps that Python saves: each run is read back, commands show them by points, other folders are left alone."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from typer.testing import CliRunner

import jaxgossip as jg
from jaxgossip.cli.main import app
from jaxgossip.errors import ConfigError, InputError
from jaxgossip.experiment.plots import labels
from jaxgossip.experiment.sweeps.variants import run_folders
from jaxgossip.simulation import Observer, SweepResult

N = 6
W = jg.mixing.metropolis_hastings(jg.topology.ring(N))


def make(rate, noise: float = 0.5) -> jg.algorithms.Algorithm:
    problem = jg.learning.isotropic_quadratic(N, dimension=2, noise=noise, rng=0)
    return jg.algorithms.dsgd(problem, jg.optimizers.Optimizer(optax.sgd, {"learning_rate": rate}), W)


@pytest.fixture(scope="module")
def swept() -> SweepResult:
    return jg.sweep(make, 8, grid={"rate": jnp.array([0.1, 0.05])}, seeds=2, evaluate_every=4)


def test_every_run_is_read_back(swept: SweepResult, tmp_path: Path) -> None:
    folder = swept.save(tmp_path / "mine" / "rates")
    assert folder == tmp_path / "mine" / "rates"
    names = [f"rate_{rate}-seed_{seed}" for rate in (0.1, 0.05) for seed in (0, 1)]
    assert {path.name for path in folder.iterdir()} == {"sweep.json", *names}
    for name, run in zip(names, swept, strict=True):
        assert {path.name for path in (folder / name).iterdir()} == {"metrics.jsonl", "manifest.json"}
        found = jg.results.load(folder / name)
        assert found.metrics.records == run.metrics.records
        assert (found.name, found.status, found.n_nodes) == (name, "completed", N)
        assert found.config == {
            "name": name, "seed": run.seed, "rounds": 8, "sweep": str(folder), "point": {"rate": float(name[5:].split("-")[0])},
            "evaluation": {"every": 4, "sampled_nodes": 1000},
        }  # fmt: skip
    index = json.loads((folder / "sweep.json").read_text())
    assert (index["grid"], index["seeds"], index["asked"]) == ({"rate": [0.1, 0.05]}, [0, 1], 4)
    assert index["runs"]["rate_0.05-seed_1"] == "rate=0.05, seed=1"
    with pytest.raises(ConfigError) as raised:
        jg.results.load(folder)
    assert raised.value.hint.startswith("it is a sweep: 'jaxgossip compare ")


@pytest.mark.slow
def test_compare_shows_them_by_points(swept: SweepResult, tmp_path: Path) -> None:
    folder, runner = swept.save(tmp_path / "rates"), CliRunner()
    shown = runner.invoke(app, ["compare", str(folder), "--out", str(tmp_path / "all.png")])
    assert shown.exit_code == 0
    first_words = [line.split()[0] for line in shown.stdout.splitlines() if line.strip()]
    heading = first_words.index("rate")
    assert first_words[heading + 1 : heading + 3] == ["0.1", "0.05"]
    assert (tmp_path / "all.png").is_file()
    loaded = [jg.results.load(run) for run in run_folders([folder])]
    assert [(point, len(runs)) for point, runs in labels.points(loaded)] == [
        ({"point.rate": "0.1"}, 2),
        ({"point.rate": "0.05"}, 2),
    ]
    again = [jg.results.load(run) for run in run_folders([swept.save(tmp_path / "again")])]
    assert [point for point, _ in labels.points(loaded + again)] == [
        {"sweep": sweep, "point.rate": rate} for sweep in ("rates", "again") for rate in ("0.1", "0.05")
    ]
    runs = [str(path) for path in folder.iterdir() if path.is_dir()]
    each = runner.invoke(app, ["compare", *runs, "--each", "--by", "bytes", "--out", str(tmp_path / "each.png")])
    assert each.exit_code == 0
    assert "rate_0.05-seed_1" in each.stdout
    assert runner.invoke(app, ["plot", runs[0], "--out", str(tmp_path / "one.png")]).exit_code == 0


@pytest.mark.slow
def test_points_of_one_name_stay_apart(tmp_path: Path) -> None:
    grid = {"factor": [lambda rate: rate, lambda rate: rate / 2]}
    swept = jg.sweep(lambda factor: make(factor(0.1)), 2, grid=grid, seeds=2)
    folder = swept.save(tmp_path / "factors")
    folders = run_folders([folder])
    assert [path.name for path in folders] == [
        "factor__lambda-seed_0", "factor__lambda-seed_1", "factor__lambda_2-seed_0", "factor__lambda_2-seed_1",
    ]  # fmt: skip
    loaded = [jg.results.load(path) for path in folders]
    assert [len(runs) for _, runs in labels.points(loaded)] == [2, 2]
    for run, found in zip(swept, loaded, strict=True):
        assert found.metrics.records == run.metrics.records


@pytest.mark.slow
def test_algorithms_and_endings_are_told(tmp_path: Path) -> None:
    lost = {"D-SGD": make(0.1), "D²": make(1e20)}
    swept = jg.sweep(lost, 4, seeds=1, evaluate_every=1)
    folder = swept.save(tmp_path / "two")
    loaded = {path.name: jg.results.load(path) for path in run_folders([folder])}
    assert {name: run.status for name, run in loaded.items()} == {"D-SGD-seed_0": "completed", "D2-seed_0": "diverged"}
    assert loaded["D2-seed_0"].config["point"] == {"algorithm": "D²"}
    assert labels.differences(list(loaded.values())) == ["algorithm=D-SGD", "algorithm=D²"]


def test_a_folder_is_replaced_only_where_that_was_asked_for(swept: SweepResult, tmp_path: Path) -> None:
    folder = swept.save(tmp_path / "rates")
    with pytest.raises(InputError, match=r"rates holds a saved sweep \(overwrite=True replaces it"):
        swept.save(folder)
    part = swept.where(rate=0.1)
    part.save(folder, overwrite=True)
    assert len(run_folders([folder])) == 2
    np.testing.assert_array_equal(
        jg.results.load(folder / "rate_0.1-seed_1").metrics["consensus_distance"], part[1].metrics["consensus_distance"]
    )
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"rates is not empty \(choose another folder\)"):
        swept.save(folder, overwrite=True)
    with pytest.raises(InputError, match="is a file, not a folder"):
        swept.save(folder / "thesis.tex")


def test_a_sweep_that_measured_nothing_is_not_saved(tmp_path: Path) -> None:
    class Stop(Observer):
        def should_stop(self) -> bool:
            return True

    with pytest.raises(InputError, match="nothing was measured"):
        jg.sweep(make(0.1), 4, seeds=2, observer=Stop()).save(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_others_put_into_a_run_is_not_removed(swept: SweepResult, tmp_path: Path) -> None:
    folder = swept.save(tmp_path / "rates")
    notes = folder / "rate_0.1-seed_0" / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt is not the sweep's \(move it, or choose another folder\)"):
        swept.save(folder, overwrite=True)
    assert notes.read_text() == "mine"
