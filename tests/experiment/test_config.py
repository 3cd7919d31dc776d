"""Configurations: defaults, paths, overrides, what is resolved, and the schema."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from jaxgossip.experiment.config import catalogue as catalogues
from jaxgossip.experiment.config.load import Config, json_schema, resolved_toml
from jaxgossip.experiment.config.sections import SECTIONS
from tests.experiment.config_cases import CATALOGUE, GOOD, QUADRATIC, read, wrong


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
    (tmp_path / "net.py").write_text("import equinox.nn\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "equinox", None)  # as if it were not installed
        message, hint = wrong(text.replace("own.py", "net.py"), folder=tmp_path)
    assert "net.py cannot be imported: ModuleNotFoundError" in message
    assert hint == 'pip install "jaxgossip[nets]"'
    assert f"no such file: {tmp_path}/absent.py" in wrong(text.replace("own", "absent"), folder=tmp_path)[0]
    message, hint = wrong(text.replace("pairs", "pears"), folder=tmp_path)
    assert "has no function 'pears'" in message
    assert hint == "did you mean 'pairs'? it defines: odd, pairs"


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
            undescribed = section not in ("optimizer", "outer") and [
                key for key, value in kind["properties"].items() if not value.get("description")
            ]
            assert not undescribed, (section, kind)
