"""Mistakes in configurations: each told in the user's words, by its key path, with what was meant."""

from typing import Literal

import pytest

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config.catalogue import Catalogue
from jaxgossip.experiment.config.load import load
from tests.experiment.config_cases import CATALOGUE, GOOD, QUADRATIC, wrong


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        (
            ["topology.degre=3"],
            "topology.degre: unknown key",
            "did you mean 'degree'? allowed: allow_disconnected, degree",
        ),
        (["learning.batch_size=many"], "learning.batch_size: expected an integer, got 'many'", ""),
        (["learning.batch_size=-1"], "learning.batch_size: must be at least 0, got -1", "0 takes all"),
        (["topology.kind=rng"], "topology.kind: unknown topology 'rng'", "did you mean 'ring'? allowed: edge_list, "),
        (["topology.kind=3"], "topology.kind: expected a string, got 3", ""),
        (["topology=3"], "topology: expected a table, got 3", "write [topology]"),
        (["network=[1]"], "network: expected a table, got [1]", ""),
        (["network.drop=1.5"], "network.drop: must be at most 1, got 1.5", "probability"),
        (["network.online=-0.5"], "network.online: must be at least 0, got -0.5", "probability"),
        (["network.drop=nan"], "network.drop: expected a finite number, got nan", ""),
        (["evaluation.every=0"], "evaluation.every: must be at least 1, got 0", ""),
        (["rounds=0"], "rounds: must be at least 1, got 0", "number of rounds"),
        (["rounds=1.0"], "rounds: expected an integer, got 1.0", ""),
        (["rounds=true"], "rounds: expected an integer, got true", ""),
        (["seed=-1"], "seed: must be at least 0, got -1", ""),
        (["name='a/b'"], "name: 'a/b' does not fit", "letters, digits"),
        (
            ["device.dtype=float8"],
            "device.dtype: expected 'bfloat16', 'float16', 'float32' or 'float64', got 'float8'",
            "did you mean 'float",
        ),
        (
            ["evaluation.baselines=['isolated', 'centralized']"],
            "evaluation.baselines[1]: expected 'isolated', 'centralised' or 'federated_averaging', got 'centralized'",
            "did you mean 'centralised'?",
        ),
        (["evaluation.baselines=isolated"], "evaluation.baselines: expected a list, got 'isolated'", ""),
        (["mixing.fanout=2"], "mixing.fanout: unknown key", "'fanout' is a key of push"),
        (["algorithm.local_steps=x"], "algorithm.local_steps: expected an integer, got 'x'", ""),
        (["algorithm.payload=models"], "algorithm.payload: expected 'model' or 'update', got 'models'", "'model'?"),
        (
            ["learning.model_options.hidden=[3]"],
            "learning.model_options.hidden: unknown key",
            "allowed: regularization",
        ),
        (["learning.dataset_options.test_fraction=0.3"], "learning.dataset_options.test_fraction: unknown key", ""),
        (["learning.private=[3]"], "learning.private[0]: expected a string, got 3", ""),
        (["learning.dataset=digts"], "learning.dataset: unknown dataset 'digts'", "did you mean 'digits'?"),
        (["learning.dataset=a.xls/"], "learning.dataset: no such file: ", "folder"),
        (["learning.model=mpl"], "learning.model: unknown model 'mpl'", "did you mean 'mlp'?"),
        (
            ["privacy={clip=1.0, noise_multiplier=1.0, detla=0.1}"],
            "privacy.detla: unknown key",
            "did you mean 'delta'?",
        ),
        (["lerning.model=mlp"], "lerning: unknown key", "did you mean 'learning'?"),
        (["partition.local_test=1"], "partition.local_test: must be less than 1, got 1", "own test"),
        (
            ["partition.kind=one_sample", "partition.local_test=0.5"],
            "partition.local_test: a node with one sample has none to keep for its own test, got 0.5",
            "set it to 0",
        ),
    ],
)
def test_a_mistake_is_told_by_its_key_path(overrides, message, hint):
    found, advice = wrong(GOOD, overrides)
    assert found.startswith(f"<text>: {message}"), found
    assert "\n" not in found
    assert hint in advice


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (GOOD.replace("nodes = 16", ""), "topology.nodes: missing", "number of nodes"),
        (GOOD.replace("learning_rate = 0.1", ""), "optimizer.learning_rate: missing", "scaling factor"),
        (GOOD.replace('model = "logistic"', ""), "learning.model: missing", "allowed: logistic, mlp"),
        (GOOD.replace('dataset = "digits"', ""), "learning.dataset: missing", "allowed: digits, isotropic_quadratic"),
        (GOOD.replace('kind = "random_regular"', ""), "topology.kind: missing", "allowed: edge_list"),
        (QUADRATIC + "[partition]\n", "partition: 'isotropic_quadratic' has no samples to divide", "remove"),
    ],
)
def test_what_is_missing_or_too_much_is_told(text, message, hint):
    found, advice = wrong(text)
    assert found.startswith(f"<text>: {message}"), found
    assert "\n" not in found
    assert hint in advice


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("""
zed = 1
[learning]
batch_size = "many"
model = "logistc"
dataset = "digits"
[network]
drop = 2.0
[topology]
kind = "ring"
degree = 3
[partition]
kind = "one_sample"
local_test = 0.1
""")
    message, hint = wrong(path)
    assert message.splitlines() == [
        f"{path}: zed: unknown key",
        f"{path}: learning.batch_size: expected an integer, got 'many'",
        f"{path}: learning.model: unknown model 'logistc'",
        f"{path}: network.drop: must be at most 1, got 2.0",
        f"{path}: topology.nodes: missing",
        f"{path}: topology.degree: unknown key",
        f"{path}: partition.local_test: a node with one sample has none to keep for its own test, got 0.1",
        f"{path}: optimizer.learning_rate: missing",
    ]
    assert (
        "topology.degree: allowed: allow_disconnected, kind, localise, nodes; 'degree' is a key of random_regular"
        in hint
    )


def test_a_union_is_one_complaint_without_tags():
    def either(nodes: int | str, form: Literal["a", "b"] | int = 1): ...

    catalogue = Catalogue(**{**vars(CATALOGUE), "topology": Registry("topology", [either])})
    text = GOOD.replace("random_regular", "either")
    with pytest.raises(ConfigError) as caught:
        load(text, ["topology.nodes=[1]", "topology.form=c"], catalogue=catalogue)
    assert caught.value.message.splitlines() == [
        "<text>: topology.nodes: expected an integer or a string, got [1]",
        "<text>: topology.form: expected 'a' or 'b' or an integer, got 'c'",
    ]
