"""The README is true: its Python runs, its tests exist, its commands are those of the continuous integration."""

import re
from pathlib import Path

import pytest

from jaxgossip.experiment.build.experiment import build_graph
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.config.schema import MACHINERY
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.runs.run import run

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_python_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - the point of this test
    printed = capsys.readouterr().out
    assert "(414, 58)" in printed
    assert names["result"].status == "completed"
    assert names["problem"].n_shared == 57 * 3
    assert names["result"].metrics.final["test_accuracy_mean"] > 0.6


@pytest.mark.slow
def test_its_functions_of_ones_own_run_by_its_configuration(tmp_path: Path) -> None:
    for name, text in re.findall(r"```\w+\n# (mine\.\w+)\n(.*?)```", TEXT, flags=re.DOTALL):
        (tmp_path / name).write_text(text)
    config = load(tmp_path / "mine.toml", ["rounds=20", "evaluation.baselines=[]"])
    assert config.rounds == 20
    assert config.topology.keywords() == {"nodes": 100, "every": 2}
    graph = build_graph(config)
    assert graph.degrees.tolist() == [50, *[3, 2] * 49, 3]
    folder = run(config, out=tmp_path / "run").folder
    recall = RunData.load(folder).metrics["recall_mean"]
    assert len(recall) == 3
    assert recall[-1] > 0.6 > recall[0]


def test_what_it_says_a_run_supplies_is_supplied() -> None:
    (sentence,) = re.findall(r"those by the names (.*?) are supplied by the run", TEXT, flags=re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) < MACHINERY


def test_every_test_it_names_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", TEXT))
    assert len(named) > 8
    for path in named:
        assert (README.parent / path).is_file(), path


def test_every_picture_and_config_it_names_exists() -> None:
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT):
        assert (README.parent / picture).is_file() or not (README.parent / ".git").exists(), picture
    for config in re.findall(r"configs/\w+\.toml", TEXT):
        assert (README.parent / config).is_file(), config


def test_its_commands_are_those_of_the_integration_script() -> None:
    script = README.parent / ".ci" / "run"
    if not script.is_file():
        pytest.skip("outside of a checkout")
    (command,) = (line for line in TEXT.splitlines() if ".venv/bin/pytest" in line)
    assert command in script.read_text(encoding="utf-8").splitlines()
