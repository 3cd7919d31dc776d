"""Learners that measure no accuracy, from a configuration to its picture and its tables."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.cli.terminal.outcome import report
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config.load import load, resolved_toml
from jaxgossip.experiment.results.run_data import RunData, final_numbers
from jaxgossip.experiment.runs.run import run
from tests.experiment.grid_cases import Listener

NETWORK = 'rounds = 6\nevaluation.every = 3\ntopology = {kind = "ring", nodes = 8}\noptimizer.learning_rate = 0.1\n'
LEARNERS = {
    "nmi": 'dataset = "synthetic"\ndataset_options = {samples = 200}\nmodel = "kmeans"\n',
    "rmse": 'dataset = "ratings"\ndataset_options = {items = 12, ratings_a_user = 6, held_out = 0.5}\n',
}


def learner(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "learner.toml"
    path.write_text(f"{NETWORK}[learning]\n{text}")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("measure", LEARNERS)
def test_what_is_measured_reaches_records_scores_tables_and_the_picture(
    measure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load(learner(tmp_path, LEARNERS[measure]))
    assert load(resolved_toml(config)) == config
    listener = Listener()
    outcome = run(config, out=tmp_path / "run", observer=listener)
    assert outcome.status == "completed"
    records = [json.loads(line) for line in (outcome.folder / "metrics.jsonl").read_text().splitlines()]
    assert [np.isfinite(record[f"{measure}_mean"]) for record in records] == [True] * 3
    assert "test_accuracy_mean" not in records[0]
    with np.load(outcome.folder / "node_scores.npz") as scores:
        assert scores[measure].shape == (8,)
    assert (outcome.folder / "summary.png").stat().st_size > 10_000
    numbers = final_numbers(RunData.load(outcome.folder))
    assert numbers["measure"] == measure
    assert numbers["worst"] == records[-1][f"{measure}_{'min' if measure == 'nmi' else 'max'}"]
    assert (outcome.folder / "baselines" / "centralised.jsonl").is_file() == (measure == "nmi")
    told = (
        "baseline 'centralised' is left out: 'ratings' is measured on the nodes' own data, and it has one model for all"
    )
    assert (told in listener.notes) == (measure == "rmse")
    assert (numbers["mean_model"] is None) == (numbers["centralised"] is None) == (measure == "rmse")
    report(outcome)
    table = capsys.readouterr().out
    assert ("mean model" in table) == ("centralised learner" in table) == (measure == "nmi")
    assert "isolated nodes, mean" in table


def test_a_file_of_ratings_stands_beside_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("".join(f"{user},{item},3\n" for user in range(8) for item in range(4)))
    options = 'dataset = "ratings"\ndataset_options = {{path = "{}"}}\n'
    config = load(learner(tmp_path, options.format("mine.csv")))
    assert config.learning.dataset_options.keywords()["path"] == tmp_path / "mine.csv"
    with pytest.raises(ConfigError, match="no such file"):
        load(learner(tmp_path, options.format("other.csv")))
