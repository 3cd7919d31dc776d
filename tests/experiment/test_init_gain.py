"""Gains of starts by configuration: of the mixing in use, for the nodes that mix alone, and named where they make no sense."""

import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import run_key
from jaxgossip.experiment.build.description import describe_data
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.describe import resolved_toml
from jaxgossip.experiment.config.load import load

TEXT = """
[topology]
kind = "star"
nodes = 16
[mixing]
weights = "uniform"
[learning]
dataset = "synthetic"
dataset_options = { samples = 64, features = 3 }
model = "mlp"
model_options = { hidden = [4] }
init = "independent"
init_gain = "centrality"
[algorithm]
kind = "dsgd"
[optimizer]
learning_rate = 0.1
"""
PLAIN = ["learning.init_gain=1.0"]


def starts(overrides: list[str]) -> np.ndarray:
    return np.asarray(build(load(TEXT, overrides)).problem.init(run_key(0)))


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "gain"), [([], 2.587702), (["mixing.weights=metropolis_hastings"], 4.0)])
def test_starts_are_wider_by_what_the_weights_in_use_say(overrides: list[str], gain: float) -> None:
    experiment = build(load(TEXT, overrides))
    assert experiment.problem.init_gain == pytest.approx(gain, abs=5e-7)
    assert describe_data(experiment.problem)["starts"] == f"drawn {gain:.4g} times as wide as usual"
    plain = starts(PLAIN)
    np.testing.assert_allclose(starts(overrides), gain * plain, rtol=1e-6)
    assert (plain != 0).any()


def test_a_number_is_taken_as_it_is_and_baselines_start_as_usual() -> None:
    experiment = build(load(TEXT, ["learning.init_gain=3", "learning.init=same"]))
    assert experiment.problem.init_gain == 3
    for name in ("isolated", "centralised", "federated_averaging"):
        assert experiment.baseline(name).problem.init_gain == 1


def test_a_resolved_configuration_says_the_same() -> None:
    for overrides in ([], PLAIN, ["learning.init_gain=2.5"]):
        config = load(TEXT, overrides)
        assert load(resolved_toml(config)).tree()["learning"] == config.tree()["learning"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["learning.init=same"], "learning.init_gain: nodes that all start from one model agree on it as it is"),
        (["algorithm.kind=isolated"], "learning.init_gain: algorithm 'isolated' mixes with no weights"),
        (["learning.init_gain=0"], "learning.init_gain"),
        (["learning.init_gain=nan"], "learning.init_gain"),
        (["learning.init_gain=wide"], "learning.init_gain"),
    ],
)
def test_gains_without_effect_or_out_of_range_are_mistakes(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError) as told:
        load(TEXT, overrides)
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ['mixing={kind="pull"}'],
            "learning.init_gain: centrality_gain: mixing that changes and does not keep the mean",
        ),
        (['learning={dataset="averaging", init_gain=2.0}'], "learning.init_gain: IsotropicQuadratic does not draw"),
    ],
)
def test_what_cannot_be_built_says_why(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError) as told:
        build(load(TEXT, overrides))
    assert str(told.value).startswith(message)


def test_nodes_that_agree_have_the_usual_deviation() -> None:
    text = TEXT.replace('"synthetic"', '"isotropic_quadratic"').replace(
        "samples = 64, features = 3", "dimension = 20000"
    )
    text = text.replace('model = "mlp"\n', "").replace("model_options = { hidden = [4] }\n", "")
    experiment = build(load(text))
    W = experiment.W
    assert isinstance(W, jg.mixing.Operator)
    agreed = np.linalg.matrix_power(W.as_matrix(), 500) @ np.asarray(experiment.problem.init(run_key(0)))
    np.testing.assert_allclose(agreed.std(1), 1, rtol=4 / np.sqrt(40_000))
