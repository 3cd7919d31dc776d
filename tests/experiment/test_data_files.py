"""Files of samples and ratings as a configuration names them: found, read, told."""

import gzip
from pathlib import Path

import pytest

from jaxgossip.core.errors import ConfigError, DataError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load, resolved_toml

TABLE = """
topology = {kind = "ring", nodes = 4}
learning = {dataset = "DATA", model = "logistic"}
optimizer.learning_rate = 0.1
"""
LINES = "".join(f"{i % 3}.5,{i % 7}.25,{'ham' if i % 2 else 'spam'}\n" for i in range(20))


def configured(folder: Path, name: str, *overrides: str):
    return load(TABLE.replace("DATA", name), overrides, folder=folder)


@pytest.mark.by_default("sub/a")
@pytest.mark.parametrize("name", ["a.data", "a", "a.csv", "a.txt.gz", "sub/a"])
def test_a_file_is_a_data_set_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(LINES.encode()) if name.endswith("gz") else LINES.encode())
    for overrides in ([], ["learning.format=csv"], ["learning.dataset_options={label_column=2, drop=[0]}"]):
        config = configured(tmp_path, name, *overrides)
        assert config.learning.dataset == str(path)
        again = load(resolved_toml(config))
        assert again == config
        assert build(again).problem.sample_counts.sum() == 18


def test_a_name_of_ours_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "spambase").write_text(LINES)
    assert configured(tmp_path, "spambase").learning.dataset == "spambase"
    assert configured(tmp_path, "./spambase").learning.dataset == str(tmp_path / "spambase")


@pytest.mark.parametrize(
    ("name", "overrides", "message", "hint"),
    [
        ("none.data", [], "no such file: {path}", "a relative path starts at the configuration's folder"),
        ("spambas", [], "unknown dataset 'spambas'", "or the path of a file"),
        ("spambase", ["learning.format=csv"], "'spambase' is no file, and has no format", "remove learning.format"),
        ("a.py:f", ["learning.format=csv"], "'a.py:f' is no file, and has no format", "remove learning.format"),
        ("a.arff", [], "{path} is ARFF, which is not read", "save what follows its line @data as CSV"),
        (".", [], "is a folder, not a file", "name the file in it"),
        ("a.csv", ["learning.format=cvs"], "expected 'csv', 'npz' or 'svmlight', got 'cvs'", "did you mean 'csv'?"),
    ],
)
def test_what_is_no_data_set_is_told_once(name, overrides, message: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "a.arff").write_text("@relation a\n@data\n" + LINES)
    (tmp_path / "a.csv").write_text(LINES)
    with pytest.raises(ConfigError) as told:
        configured(tmp_path, name, *overrides)
    assert message.replace("{path}", str(tmp_path / name)) in told.value.message
    assert "\n" not in told.value.message
    assert hint in told.value.hint


def test_a_line_without_label_is_told_when_the_run_is_built(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(LINES + "1,2,?\n")
    with pytest.raises(DataError) as told:
        build(configured(tmp_path, "a.csv"))
    assert told.value.message == f"learning: {tmp_path / 'a.csv'}, line 21: the label is missing ('?')"
