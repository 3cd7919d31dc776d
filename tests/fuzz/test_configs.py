"""Configurations with keys dropped, renamed, doubled, swapped, of other types and sizes; and spoiled as text."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed

from jaxgossip.experiment.config import toml
from tests.fuzz.calling import call, thorough
from tests.fuzz.mutations import spoiled, trees

QUADRATIC: dict[str, Any] = {
    "name": "small",
    "rounds": 2,
    "topology": {"kind": "ring", "nodes": 4},
    "mixing": {"kind": "static", "weights": "uniform", "lazy": True},
    "learning": {"dataset": "isotropic_quadratic", "dataset_options": {"dimension": 2, "noise": 0.1}},
    "algorithm": {"kind": "dsgd", "form": "atc"},
    "optimizer": {"kind": "sgd", "learning_rate": 0.1},
    "network": {"drop": 0.1, "online": 0.9},
    "evaluation": {"every": 1, "baselines": ["isolated"], "target": 0.5},
}
SAMPLES: dict[str, Any] = {
    "rounds": 2,
    "topology": {"kind": "random_regular", "nodes": 6, "degree": 3},
    "learning": {
        "dataset": "synthetic",
        "dataset_options": {"samples": 60, "features": 3, "classes": 2},
        "model": "mlp",
        "model_options": {"hidden": [3]},
        "batch_size": 2,
    },
    "partition": {"kind": "dirichlet", "alpha": 1.0, "local_test": 0.1},
    "algorithm": {"kind": "choco"},
    "compression": {"kind": "top_k", "fraction": 0.5},
    "optimizer": {"kind": "adam", "learning_rate": 0.1, "b1": 0.8},
    "adversary": {"kind": "alie", "fraction": 0.2, "z": 1.0},
    "aggregation": {"kind": "median"},
    "privacy": {"clip": 1.0, "noise_multiplier": 1.0},
    "speeds": {"kind": "lognormal", "compute_s": 1.0},
}
EVENTS: dict[str, Any] = {
    "rounds": 2,
    "topology": {"kind": "complete", "nodes": 5},
    "learning": {"dataset": "averaging", "dataset_options": {"dimension": 2}},
    "algorithm": {"kind": "pairwise_averaging"},
    "optimizer": {"learning_rate": 0.1},
    "clock": {"kind": "normal", "spread": 0.1},
    "peers": {"kind": "uniform"},
    "delay": {"kind": "uniform", "low_s": 0.1, "high_s": 0.5},
    "churn": {"kind": "exponential", "mean_online_s": 9.0, "mean_offline_s": 1.0},
    "device": {"dtype": "float32"},
}
SEEDS = [QUADRATIC, SAMPLES, EVENTS]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


@pytest.mark.parametrize("number", range(4))
def test_configurations_with_other_keys_and_values(folder: Path, number: int) -> None:
    @seed(number)
    @thorough(140)
    @given(trees(SEEDS))
    def fuzz(tree: dict[str, Any]) -> None:
        (folder / "x.toml").write_text(toml.dumps(tree), encoding="utf-8")
        ended = call(folder, "validate", "x.toml")
        assert ended.code in (0, 2), ended
        assert (ended.code == 0) == ("is valid" in ended.out), ended

    fuzz()


@pytest.mark.parametrize("tree", SEEDS, ids=["quadratic", "samples", "events"])
def test_configurations_spoiled_as_text(folder: Path, tree: dict[str, Any]) -> None:
    @thorough(60)
    @given(spoiled(toml.dumps(tree).encode()))
    def fuzz(content: bytes) -> None:
        (folder / "x.toml").write_bytes(content)
        assert call(folder, "validate", "x.toml").code in (0, 2)

    fuzz()


def test_what_is_not_spoiled_is_valid(folder: Path) -> None:
    for tree in SEEDS:
        (folder / "x.toml").write_text(toml.dumps(tree))
        assert call(folder, "validate", "x.toml").code == 0
