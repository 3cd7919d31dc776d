"""``learning.augment``: names, tables and one's own functions, from a configuration to the samples of a step."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.cli.terminal.names import listing
from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.experiment.build.builders import Shared
from jaxgossip.experiment.build.experiment import build, build_problem
from jaxgossip.experiment.config.load import json_schema, load, resolved_toml
from jaxgossip.experiment.results.inputs import digests
from jaxgossip.learning import augmentation

TEXT = """
name = "augmented"
rounds = 2
topology = {kind = "ring", nodes = 4}
optimizer.learning_rate = 0.1
evaluation = {every = 2, baselines = ["centralised"]}
[learning]
dataset = "digits"
model = "softmax"
batch_size = 2
"""
OWN = """
def darker(key, x, *, factor: float = 2.0, amount: int = 0):
    return factor * x + amount


def plain(key, x):
    return x + 1


def empty(key, x):
    return x[:0]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def augment_of(*settings: str, shared: Shared | None = None) -> tuple:
    return build_problem(load(TEXT, settings), 4, shared=shared)._augment


def test_names_and_tables_are_augmentations_in_their_order() -> None:
    found = augment_of('learning.augment=["flip", {kind="crop", padding=2}, {kind="noise"}]')
    assert found == (augmentation.flip(), augmentation.crop(padding=2), augmentation.noise())
    assert augment_of() == ()


def test_a_resolved_configuration_has_every_key_and_is_the_same() -> None:
    config = load(TEXT, ['learning.augment=["flip", {kind="crop", padding=2}]'])
    text = resolved_toml(config)
    assert 'augment = [{kind = "flip", probability = 0.5}, {kind = "crop", padding = 2}]' in text
    assert load(text) == config
    assert load(text) != load(TEXT, ['learning.augment=["flip", {kind="crop", padding=3}]'])


def test_ones_own_function_takes_its_keys(mine: Path) -> None:
    kind, shared = f"{mine}:darker", Shared()
    setting = f'learning.augment=["{mine}:plain", {{kind="{kind}", factor=3.0}}]'
    plain, darker = augment_of(setting, shared=shared)
    assert isinstance(darker, functools.partial)
    key, x = jax.random.key(0), jnp.ones((8, 8))
    assert float(plain(key, x)[0, 0]) == 2
    assert float(darker(key, x)[0, 0]) == 3
    again = augment_of(setting, "seed=1", shared=shared)
    assert [one is other for one, other in zip(again, (plain, darker), strict=True)] == [True, True]
    config = load(TEXT, [setting])
    assert str(mine) in digests(config)
    assert build(config).own == [f"{mine}:plain", kind]
    assert "factor" in listing("augmentation", kind)
    assert 'learning.augment = [{kind = "crop"}]' in listing("augmentation", "crop")


@pytest.mark.slow
def test_a_run_trains_on_augmented_samples_and_is_measured_on_the_others(mine: Path) -> None:
    settings = ([], [f'learning.augment=["{mine}:plain"]'])
    algorithms = [build(load(TEXT, setting)).algorithm for setting in settings]
    plain, changed = (jg.simulate(algorithm, rounds=2, seed=0, evaluate_every=2).metrics for algorithm in algorithms)
    assert plain[0]["test_loss_mean"] == pytest.approx(changed[0]["test_loss_mean"], rel=1e-5)
    assert not np.isclose(plain[-1]["test_loss_mean"], changed[-1]["test_loss_mean"], rtol=1e-3)


REFUSED = {
    'learning.augment="crop"': "learning.augment: expected a list, got 'crop'",
    'learning.augment=["corp"]': "learning.augment[0].kind: unknown augmentation 'corp'",
    'learning.augment=["crop", 3]': "learning.augment[1]: expected a name or a table, got 3",
    'learning.augment=[{kind="crop", pading=3}]': "learning.augment[0].pading: unknown key",
    'learning.augment=[{kind="crop", padding="x"}]': "learning.augment[0].padding: expected an integer, got 'x'",
    "learning.augment=[{padding=3}]": "learning.augment[0].kind: missing",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_mistakes_are_told_with_their_place(setting: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(TEXT, [setting])
    assert raised.value.message == f"<text>: {REFUSED[setting]}"


def test_tasks_without_samples_take_none() -> None:
    text = TEXT.replace('"digits"\nmodel = "softmax"', '"isotropic_quadratic"').replace("batch_size = 2\n", "")
    with pytest.raises(ConfigError, match=r"^<text>: learning\.augment: 'isotropic_quadratic' takes no augment"):
        load(text, ['learning.augment=["crop"]'])


def test_what_does_not_suit_the_samples_is_told_when_it_is_built(mine: Path) -> None:
    with pytest.raises(InputError, match=r"^learning\.augment: crop: a sample of shape \(20,\) is no image"):
        augment_of('learning.dataset="synthetic"', 'learning.augment=["crop"]')
    with pytest.raises(InputError, match=r"^learning\.augment: crop: padding must be a whole number of at least 1"):
        augment_of('learning.augment=[{kind="crop", padding=0}]')
    with pytest.raises(InputError, match="the augmentation empty makes float32 of shape"):
        augment_of(f'learning.augment=["{mine}:empty"]')


def test_editors_know_the_names_and_their_keys() -> None:
    items = json_schema()["properties"]["learning"]["properties"]["augment"]["items"]["anyOf"]
    assert items[0]["enum"] == ["crop", "flip", "shift", "cutout", "noise"]
    assert "padding" in items[2]["oneOf"][0]["properties"]
