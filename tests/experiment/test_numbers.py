"""Numbers of a configuration: finite, within 32 bits where they count something, and within their bounds, in every section."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config import sections
from jaxgossip.experiment.config.catalogue import standard
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.config.schema import options_model

TEXT = """
name = "small"
[topology]
kind = "ring"
nodes = 6
[learning]
dataset = "synthetic"
model = "logistic"
[algorithm]
kind = "dsgd"
[optimizer]
kind = "sgd"
learning_rate = 0.1
"""
NAME = "(the run's name: letters, digits, '_', '-', '.' and '+'; the file's own name if left out)"

REFUSED = {
    "network.noise=inf": "network.noise: expected a finite number, got inf",
    "network.drop=nan": "network.drop: expected a finite number, got nan",
    "checkpoint.every_s=inf": "checkpoint.every_s: expected a finite number, got inf",
    "privacy={clip=inf, noise_multiplier=1.0}": "privacy.clip: expected a finite number, got inf",
    "optimizer.learning_rate=nan": "optimizer.learning_rate: expected a finite number, got nan",
    "optimizer.learning_rate=-inf": "optimizer.learning_rate: expected a finite number, got -inf",
    "partition={kind='dirichlet', alpha=nan}": "partition.alpha: expected a finite number, got nan",
    "speeds={kind='constant', up_mbit_s=inf}": "speeds.up_mbit_s: expected a finite number, got inf",
    "learning.model_options.regularization=nan": "learning.model_options.regularization: expected a finite number, got nan",
    "rounds=2147483648": "rounds: must be at most 2147483647, got 2147483648 (number of rounds)",
    "algorithm.local_steps=5000000000": "algorithm.local_steps: must be at most 2147483647, got 5000000000 (optimizer steps per node and round; 1 if neither this nor local_epochs is given)",
    "learning.batch_size=5000000000": "learning.batch_size: must be at most 2147483647, got 5000000000 (samples of a node in a step; 0 takes all it has)",
    "network.split_at=5000000000": "network.split_at: must be at most 2147483647, got 5000000000 (first round in which it is split)",
    "evaluation.every=5000000000": "evaluation.every: must be at most 2147483647, got 5000000000 (rounds from one evaluation to the next)",
    "topology.nodes=-5000000000": "topology.nodes: must be at least -2147483648, got -5000000000 (number of nodes, at least 3)",
    "seed=-1": "seed: must be at least 0, got -1 (all randomness follows from it)",
    "name='a/b'": f"name: 'a/b' does not fit {NAME}",
    "name='..'": f"name: '..' does not fit {NAME}",
    "name=''": f"name: '' does not fit {NAME}",
    "name='-rf'": f"name: '-rf' does not fit {NAME}",
    f"name='{'ä' * 101}'": f"name: longer than 200 bytes {NAME}",
}  # fmt: skip


@pytest.mark.parametrize("change", REFUSED)
def test_a_number_or_name_that_no_run_could_use_is_refused_as_it_is_read(change: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(TEXT, [change])
    assert str(caught.value) == f"<text>: {REFUSED[change]}"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("optimizer.learning_rate=-0.1", "optimizer: sgd: learning_rate must be at least 0, not -0.1"),
        ("optimizer.momentum=-0.5", "optimizer: sgd: momentum must be at least 0, not -0.5"),
        ("optimizer={kind='adam', learning_rate=0.1, b1=1.0}", "optimizer: adam: b1 must be below 1, not 1.0"),
        ("speeds={kind='constant', up_mbit_s=-1.0}", "speeds: speeds: up_mbit_s must be above 0, not -1.0"),
        ("algorithm.form='ATC'", "algorithm.form: expected 'atc', 'cta' or 'dgd', got 'ATC'"),
    ],
)
def test_a_number_out_of_its_builders_bounds_is_refused_before_anything_runs(change: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        build(load(TEXT, [change]))
    assert text in str(caught.value)


def test_the_largest_numbers_that_fit_are_taken(tmp_path: Path) -> None:
    name = "ä" * 100
    found = load(TEXT, [f"name='{name}'", "rounds=2147483647", f"seed={2**63 - 1}", f"byte_budget={2**63 - 1}"])
    assert (found.rounds, found.seed, found.byte_budget) == (2**31 - 1, 2**63 - 1, 2**63 - 1)
    (tmp_path / f"20261129T155900Z-{found.name}-12345678").mkdir()


def numeric_fields(properties: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, schema) of every number; of lists and optional ones, that of what they hold."""
    for key, schema in properties.items():
        for one in (
            schema,
            *schema.get("anyOf", ()),
            *([schema["items"]] if isinstance(schema.get("items"), dict) else []),
        ):
            if one.get("type") in ("integer", "number"):
                yield key, one


def models() -> Iterator[tuple[str, type[BaseModel]]]:
    for name in ("Privacy", "Network", "Evaluation", "Checkpoint", "Device", "Config", "Schedule", "Learning"):
        yield name, getattr(sections, name)
    catalogue = standard()
    for name in vars(catalogue):
        registry = getattr(catalogue, name)
        for kind, builder in registry.items() if isinstance(registry, Registry) else ():
            yield f"{name} {kind}", options_model(builder)


@pytest.mark.parametrize(("name", "model"), list(models()))
def test_every_integer_is_bounded_and_every_number_finite(name: str, model: type[BaseModel]) -> None:
    assert model.model_config["allow_inf_nan"] is False
    for key, schema in numeric_fields(model.model_json_schema().get("properties", {})):
        if schema["type"] == "integer":
            bounds = [schema[word] for word in ("maximum", "exclusiveMaximum") if word in schema]
            assert bounds, f"{name}.{key}"
            assert max(bounds) <= (2**63 if key in ("seed", "byte_budget") else 2**31 - 1), f"{name}.{key}"
