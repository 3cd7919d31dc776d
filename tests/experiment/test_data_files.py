"""Files of samples and ratings as a configuration names them: found, read, told."""

import gzip
from pathlib import Path

import numpy as np
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
        (
            "cifar-10-batches-bin",
            ["learning.format=cifar"],
            "no such folder: {path}",
            "download cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html, and unpack it there: tar -xzf",
        ),
        ("spambas", [], "unknown dataset 'spambas'", "or the path of a file"),
        ("spambase", ["learning.format=csv"], "'spambase' is no file, and has no format", "remove learning.format"),
        ("a.py:f", ["learning.format=csv"], "'a.py:f' is no file, and has no format", "remove learning.format"),
        ("a.arff", [], "{path} is ARFF, which is not read", "save what follows its line @data as CSV"),
        (".", [], "is a folder of no known data set", "folders of IDX, CIFAR, Parquet, datasets and LEAF are read"),
        (
            "a.csv",
            ["learning.format=cvs"],
            "expected 'csv', 'npz', 'svmlight', 'idx', 'cifar', 'leaf', 'parquet', 'arrow' or 'text', got 'cvs'",
            "did you mean 'csv'?",
        ),
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


def saved_arrays(folder: Path, *, with_test: bool, tokens: bool = False) -> Path:
    rows = np.arange(40).reshape(20, 2)
    arrays = {"x": rows if tokens else rows / 7, "y": rows if tokens else np.arange(20) % 2}
    np.savez(
        folder / "a.npz", **arrays, **({"x_test": arrays["x"][:4], "y_test": arrays["y"][:4]} if with_test else {})
    )
    return folder / "a.npz"


OWN_TEST = "learning.dataset_options={x_test='x_test', y_test='y_test'}"


def test_a_test_fraction_that_is_given_is_refused_beside_a_test_set(tmp_path: Path) -> None:
    path = saved_arrays(tmp_path, with_test=True)
    config = configured(tmp_path, "a.npz", OWN_TEST)
    assert config.learning.test_fraction is None
    assert "test_fraction" not in config.tree()["learning"]
    again = load(resolved_toml(config))
    assert again == config
    assert build(again).problem.sample_counts.sum() == 20
    with pytest.raises(DataError) as told:
        build(configured(tmp_path, "a.npz", OWN_TEST, "learning.test_fraction=0.1"))
    assert told.value.message == f"learning: {path}: test_fraction = 0.1, and the data have a test set of their own"
    split = configured(tmp_path, "a.npz", "learning.test_fraction=0.25")
    assert load(resolved_toml(split)).learning.test_fraction == 0.25
    assert build(split).problem.sample_counts.sum() == 15


def test_common_keys_of_data_keep_their_defaults_where_they_act(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(LINES)
    learning = configured(tmp_path, "a.csv").tree()["learning"]
    assert (learning["test_fraction"], learning["standardize"]) == (0.1, True)
    (tmp_path / "own.py").write_text("def data(*, standardize: bool, rng): ...\n")
    own = configured(tmp_path, "own.py:data")
    assert (own.learning.test_fraction, own.learning.standardize) == (None, True)


@pytest.mark.parametrize(
    ("name", "overrides", "message", "hint"),
    [
        ("cifar", ["learning.test_fraction=0.2"], "learning.test_fraction: '{path}' takes no test_fraction", "a test set of their own"),
        ("shakespeare", ["learning.standardize=true"], "learning.standardize: 'shakespeare' takes no standardize", "tokens are not scaled"),
        ("own.py:data", ["learning.standardize=true"], "learning.standardize: '{path}' takes no standardize", "or take standardize in the function"),
    ],
)  # fmt: skip
def test_a_common_key_that_would_have_no_effect_is_refused(
    name, overrides, message: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "cifar").mkdir()
    for part in ("train.bin", "test.bin"):
        (tmp_path / "cifar" / part).write_bytes(b"")
    (tmp_path / "own.py").write_text("def data(*, test_fraction: float, rng): ...\n")
    with pytest.raises(ConfigError) as told:
        configured(tmp_path, name, *overrides)
    assert message.replace("{path}", str(tmp_path / name)) in told.value.message
    assert hint in told.value.hint


def test_tokens_of_a_file_refuse_to_be_standardised(tmp_path: Path) -> None:
    saved_arrays(tmp_path, with_test=False, tokens=True)
    sequence = ["learning.dataset_options={target='sequence'}", "learning.standardize=true"]
    with pytest.raises(
        DataError, match=r"learning: .*a\.npz: standardize, and samples are tokens, which are not scaled"
    ):
        build(configured(tmp_path, "a.npz", *sequence))


FRACTION = "evaluation.target: an accuracy is a fraction of at most 1, got 85.0"
PERPLEXITY = "evaluation.target: a perplexity, which is measured of sequences, is at least 1, got 0.6"


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("a.csv", ["evaluation.target=85.0"], FRACTION),
        ("spambase", ["evaluation.target=85.0"], FRACTION),
        ("a.csv", ["evaluation.target=85.0", "learning.dataset_options.target='value'"], ""),
        ("a.csv", ["evaluation.target=1.0"], ""),
        ("shakespeare", ["evaluation.target=0.6"], PERPLEXITY),
        ("shakespeare", ["evaluation.target=85.0"], ""),
        ("a.npz", ["evaluation.target=0.6", "learning.dataset_options.target='sequence'"], PERPLEXITY),
        ("own.py:data", ["evaluation.target=85.0"], ""),  # whose targets are not known yet
    ],
)
def test_the_target_is_one_of_the_measure_of_the_data(name, overrides, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(LINES)
    saved_arrays(tmp_path, with_test=False)
    (tmp_path / "own.py").write_text("def data(*, test_fraction: float, standardize: bool, rng): ...\n")
    if not message:
        assert configured(tmp_path, name, *overrides).evaluation.target > 0
        return
    with pytest.raises(ConfigError) as told:
        configured(tmp_path, name, *overrides)
    assert told.value.message.endswith(message)


OWN_DATA = """
import numpy as np
from jaxgossip.learning import from_arrays

def data(*, classes: bool = True, rng):
    y = np.arange(20) % 2
    return from_arrays(np.eye(20), y if classes else y[:, None], target="class" if classes else "value", rng=rng)
"""


def test_the_target_of_data_of_ones_own_is_checked_when_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_DATA)
    with pytest.raises(ConfigError) as told:
        build(configured(tmp_path, "own.py:data", "evaluation.target=85.0"))
    assert told.value.message == FRACTION
    values = ["learning.dataset_options.classes=false", "learning.model='mlp'", "evaluation.target=85.0"]
    assert build(configured(tmp_path, "own.py:data", *values)).problem.sample_counts.sum() == 18


def test_a_line_without_label_is_told_when_the_run_is_built(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(LINES + "1,2,?\n")
    with pytest.raises(DataError) as told:
        build(configured(tmp_path, "a.csv"))
    assert told.value.message == f"learning: {tmp_path / 'a.csv'}, line 21: the label is missing ('?')"
