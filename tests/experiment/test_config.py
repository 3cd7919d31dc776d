"""Configurations: defaults, paths, overrides, and every mistake told in the user's words."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Literal

import optax
import pytest
from pydantic import ValidationError

from jaxgossip.algorithms import PROTOCOLS
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config import catalogue as catalogues
from jaxgossip.experiment.config.catalogue import Catalogue
from jaxgossip.experiment.config.load import Config, json_schema, load, resolved_toml
from jaxgossip.experiment.config.sections import SECTIONS
from jaxgossip.schedule import CHURNS, CLOCKS, DELAYS, PEERS, TOKEN_ACCOUNTS


def ring(nodes: int):
    """Join each node to the next.

    Args:
        nodes: number of nodes.
    """


def random_regular(nodes: int, degree: int = 4, *, rng=0):
    """Draw a graph in which all nodes have the same degree.

    Args:
        nodes: number of nodes.
        degree: neighbours of each node.
    """


def edge_list(path: str | Path, *, directed: bool = False): ...


def static(graph, *, weights: Literal["metropolis_hastings", "uniform"] = "metropolis_hastings"): ...


def push(graph, *, fanout: int = 1): ...


def digits(*, classes: int = 10, test_fraction: float = 0.5): ...


def csv(path: Path, *, label: str = "last", standardize: bool = False): ...


def isotropic_quadratic(n_nodes, *, parameters: int = 4): ...


def least_squares(n_nodes, *, dimension: int = 4, batch_size: int = 3): ...


def logistic(input_shape, n_classes, *, regularization: float = 0.0): ...


def mlp(input_shape, n_classes, *, hidden: tuple[int, ...] = (32,)): ...


def iid(labels, n_nodes, *, local_test: float = 0.0, rng=0): ...


def one_sample(labels, n_nodes, *, rng=0): ...


def gossip(problem, optimizer, W, *, payload: Literal["model", "update"] = "model", local_steps: int | None = None): ...


def top_k(*, fraction: float = 0.1): ...


def alie(*, n_nodes, rng, fraction: float = 0.1, nodes: list[int] | None = None): ...


def median(): ...


def constant(n_nodes, rng=0, *, compute_s: float = 0.1): ...


CATALOGUE = Catalogue(
    topology=Registry("topology", [ring, random_regular, edge_list]),
    mixing=Registry("mixing", [static, push]),
    dataset=Registry("dataset", [digits]),
    task=Registry("task", [isotropic_quadratic, least_squares]),
    datafile=Registry("datafile", [csv]),
    model=Registry("model", [logistic, mlp]),
    partition=Registry("partition", [iid, one_sample]),
    algorithm=Registry("algorithm", [gossip]),
    optimizer=Registry("optimizer", [optax.sgd, optax.adam]),
    compression=Registry("compressor", [top_k]),
    adversary=Registry("adversary", [alie]),
    aggregation=Registry("aggregation", [median]),
    speeds=Registry("speeds", [constant]),
    protocol=PROTOCOLS,
    clock=CLOCKS,
    peers=PEERS,
    delay=DELAYS,
    churn=CHURNS,
    tokens=TOKEN_ACCOUNTS,
)

GOOD = """
[topology]
kind = "random_regular"
nodes = 16

[learning]
dataset = "digits"
model = "logistic"

[optimizer]
learning_rate = 0.1
"""
QUADRATIC = GOOD.replace('"digits"', '"isotropic_quadratic"').replace('model = "logistic"', "")


def read(text, overrides=(), **more):
    return load(text, overrides, catalogue=CATALOGUE, **more)


def wrong(text, overrides=(), **more):
    """Return (message, hint) of the error."""
    with pytest.raises(ConfigError) as caught:
        read(text, overrides, **more)
    return caught.value.message, caught.value.hint


def test_defaults_are_filled_in():
    config = read(GOOD)
    assert (config.name, config.seed, config.rounds) == ("run", 0, 100)
    assert config.topology.keywords() == {"nodes": 16, "degree": 4}
    assert config.mixing.kind == "static"
    assert config.mixing.weights == "metropolis_hastings"
    assert config.learning.dataset_options.keywords() == {"classes": 10}
    assert config.learning.model_options.keywords() == {"regularization": 0.0}
    assert config.partition.keywords() == {"local_test": 0.0}
    assert config.optimizer.keywords() == {"learning_rate": 0.1, "momentum": None, "nesterov": False}
    assert config.evaluation.baselines == ("isolated", "centralised")
    assert config.is_classification


def test_the_file_gives_its_name_and_an_override_wins(tmp_path):
    path = tmp_path / "ring-of-16.toml"
    path.write_text(GOOD)
    assert read(path).name == "ring-of-16"
    found = read(str(path), ["name=other", "topology.degree=6", "topology.nodes=8", "topology.degree=3"])
    assert (found.name, found.topology.nodes, found.topology.degree) == ("other", 8, 3)


@pytest.mark.parametrize(
    "text", [GOOD, QUADRATIC, GOOD.replace('"digits"', '"digits"\ndataset_options = {classes = 2}')]
)
def test_the_resolved_text_runs_as_it_is(text):
    config = read(text, ["algorithm.local_steps=3", "network.drop=1", "rounds=7"])
    resolved = resolved_toml(config)
    again = read(resolved)
    assert again == config
    assert resolved_toml(again) == resolved
    assert tomllib.loads(resolved) == config.tree()


def test_the_resolved_text_names_sections_kinds_and_what_is_left_out():
    text = resolved_toml(read(GOOD))
    assert "# The graph: who hears whom.\n# random_regular: Draw a graph in which" in text
    assert "# left out: momentum" in text
    assert "[learning.model_options]\nregularization = 0.0" in text
    assert text.index("nodes = 16") < text.index("allow_disconnected")


def test_a_configuration_is_frozen():
    config = read(GOOD)
    with pytest.raises(ValidationError, match="frozen"):
        config.rounds = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.topology.nodes = 3


def test_relative_paths_start_at_the_configuration_and_become_absolute(tmp_path):
    (tmp_path / "edges.txt").write_text("0 1")
    (tmp_path / "data.csv").write_text("1,2")
    (tmp_path / "own.py").write_text("def build(input_shape, n_classes, *, width: int = 5): ...\n")
    (tmp_path / "x.toml").write_text("""
[topology]
kind = "edge_list"
path = "edges.txt"
[learning]
dataset = "data.csv"
model = "own.py:build"
model_options = {width = 7}
[optimizer]
learning_rate = 0.1
""")
    config = read(tmp_path / "x.toml")
    assert config.topology.path == tmp_path / "edges.txt"
    assert config.learning.dataset == str(tmp_path / "data.csv")
    assert config.learning.dataset_options.keywords() == {"label": "last"}
    assert config.learning.model == f"{tmp_path}/own.py:build"
    assert config.learning.model_options.keywords() == {"width": 7}
    elsewhere = read(resolved_toml(config), folder=Path("/"))
    assert elsewhere == config


def test_own_builders_are_checked_like_ours(tmp_path):
    (tmp_path / "own.py").write_text("def pairs(nodes: int, step: int = 1): ...\ndef odd(f: object): ...\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    text = GOOD.replace('kind = "random_regular"', 'kind = "own.py:pairs"')
    assert read(text, folder=tmp_path).topology.kind == f"{tmp_path}/own.py:pairs"
    message, hint = wrong(text + "[topology.x]", folder=tmp_path)
    assert message == "<text>: topology.x: unknown key"
    assert hint == "allowed: allow_disconnected, kind, localise, nodes, step"
    assert "topology.step: expected an integer, got 'a'" in wrong(text, ["topology.step=a"], folder=tmp_path)[0]
    message, _ = wrong(text.replace("pairs", "odd"), folder=tmp_path)
    assert "topology.kind: odd: no configuration can give its parameter 'f'" in message
    message, _ = wrong(text.replace("own.py", "broken.py"), folder=tmp_path)
    assert "topology.kind: " in message
    assert "cannot be imported: ZeroDivisionError: division by zero" in message
    assert f"no such file: {tmp_path}/absent.py" in wrong(text.replace("own", "absent"), folder=tmp_path)[0]
    message, hint = wrong(text.replace("pairs", "pears"), folder=tmp_path)
    assert "has no function 'pears'" in message
    assert hint == "did you mean 'pairs'? it defines: odd, pairs"


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


def test_quadratics_have_neither_model_nor_data():
    config = read(QUADRATIC)
    assert not config.is_classification
    assert config.partition is None
    assert config.learning.dataset_options.keywords() == {"parameters": 4}
    message, hint = wrong(QUADRATIC, ["learning.model=logistic", "learning.standardize=true", "learning.x=1"])
    assert message.splitlines() == [
        "<text>: learning.model: 'isotropic_quadratic' takes no model",
        "<text>: learning.standardize: 'isotropic_quadratic' takes no standardize",
        "<text>: learning.x: unknown key",
    ]
    assert "learning.model: remove it" in hint


def test_a_quadratic_has_the_batch_size_that_it_takes():
    assert "batch_size" not in resolved_toml(read(QUADRATIC))
    message, _ = wrong(QUADRATIC, ["learning.batch_size=2"])
    assert message == "<text>: learning.batch_size: 'isotropic_quadratic' takes no batch_size"
    sampled = read(QUADRATIC.replace("isotropic_quadratic", "least_squares"), ["learning.batch_size=2"])
    assert sampled.learning.batch_size == 2
    assert sampled.learning.dataset_options.keywords() == {"dimension": 4}
    assert "batch_size = 2" in resolved_toml(sampled)


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


def test_the_schema_is_a_union_over_kinds_with_descriptions():
    schema = json_schema(CATALOGUE)
    json.dumps(schema)
    properties = schema["properties"]
    assert list(properties) == list(Config.model_fields)
    kinds = {kind["properties"]["kind"].get("const"): kind for kind in properties["topology"]["oneOf"]}
    assert set(kinds) == {"ring", "random_regular", "edge_list", None}
    regular = kinds["random_regular"]
    assert regular["description"] == "Draw a graph in which all nodes have the same degree."
    assert regular["required"] == ["kind", "nodes"]
    assert regular["properties"]["degree"] == {
        "type": "integer",
        "minimum": -(2**31),
        "maximum": 2**31 - 1,
        "default": 4,
        "description": "neighbours of each node",
    }
    assert regular["additionalProperties"] is False
    mixing = {kind["properties"]["kind"].get("const"): kind for kind in properties["mixing"]["oneOf"]}
    assert "kind" not in mixing["static"]["required"]
    assert "kind" in mixing["push"]["required"]
    told = {json.dumps(case["if"]["properties"]): case["then"] for case in properties["learning"]["allOf"]}
    options = told['{"model": {"const": "mlp"}}']["properties"]["model_options"]
    assert options["properties"]["hidden"]["items"] == {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
    assert properties["network"]["properties"]["drop"]["maximum"] == 1
    assert "$ref" not in json.dumps(schema)


def test_reading_a_configuration_leaves_the_drawing_library_alone():
    code = "import jaxgossip.experiment.config.load, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_that_can_be_named_has_a_section():
    catalogue = catalogues.standard()
    schema = json_schema(catalogue)
    for section in SECTIONS:
        names = {kind["properties"]["kind"].get("const") for kind in schema["properties"][section]["oneOf"]}
        assert names == {*catalogue.registry(section), None}
        for kind in schema["properties"][section]["oneOf"]:
            undescribed = section != "optimizer" and [
                key for key, value in kind["properties"].items() if not value.get("description")
            ]
            assert not undescribed, (section, kind)
