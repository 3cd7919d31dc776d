"""The README is true: its Python runs, its tests exist, its commands are those of the continuous integration."""

import inspect
import re
from pathlib import Path

import pytest

from jaxgossip.experiment.build.experiment import build_graph
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.config.schema import MACHINERY
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.runs.run import run
from jaxgossip.learning import DATAFILES
from jaxgossip.learning.data.readers.files import FORMATS
from tests.experiment.cifar_files import write_cifar10

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_python_runs_as_it_stands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where it writes runs, and finds the files that it has its reader download
    write_cifar10(tmp_path / "cifar-10-batches-bin", images=40)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - the point of this test
    printed = capsys.readouterr().out
    assert "(414, 58)" in printed
    assert names["result"].status == "completed"
    assert names["problem"].n_shared == 57 * 3
    assert names["result"].metrics.final["test_accuracy_mean"] > 0.6
    assert names["read"].metrics.final["test_accuracy_mean"] > 0.6
    assert names["photos"].x_train.shape == (200, 32, 32, 3)
    assert names["trained"].method.local_steps.number == 1


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


def test_its_table_of_readers_has_them_all_with_keys_of_theirs() -> None:
    (table,) = re.findall(r"^\| format \| files .*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, flags=re.MULTILINE)
    listed = []
    for row in table.splitlines():
        formats, _, keys = row.strip("|").split("|")
        for name in re.findall(r"`(\w+)`", formats):
            listed.append(name)
            assert set(re.findall(r"`(\w+)`", keys)) < set(inspect.signature(DATAFILES[name]).parameters), name
    assert sorted(listed) == sorted(kind.names[0] for kind in FORMATS)


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
