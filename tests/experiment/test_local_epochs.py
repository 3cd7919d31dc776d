"""``algorithm.local_epochs``: what a configuration hands on to the baselines, the virtual time and the privacy accountant."""

import numpy as np
import pytest

from jaxgossip.algorithms.local_steps import Epochs
from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.build.steps import steps_by_node
from jaxgossip.experiment.config.load import load, resolved_toml
from jaxgossip.experiment.runs.manifest import epochs_begun, privacy_entry
from jaxgossip.learning import DifferentialPrivacy
from jaxgossip.learning.privacy import epsilon

TEXT = """
name = "epochs"
rounds = 3
topology = {kind = "ring", nodes = 4}
mixing = {kind = "static"}
optimizer.learning_rate = 0.1
speeds = {kind = "constant", compute_s = 0.5}
[algorithm]
kind = "dsgd"
local_epochs = 2
[learning]
dataset = "synthetic"
dataset_options = {samples = 120}
model = "logistic"
batch_size = 8
sampling = "epochs"
[partition]
kind = "quantity_skew"
"""
PRIVATE = "privacy={clip=1.0, noise_multiplier=2.0}"


def test_baselines_take_the_same_epochs_and_virtual_time_counts_the_steps_of_each_node() -> None:
    experiment = build(load(TEXT))
    assert experiment.steps == Epochs(2)
    for name in ("isolated", "centralised", "federated_averaging"):
        assert experiment.baseline(name).method.local_steps == Epochs(2)
    batches = -(-np.asarray(experiment.problem.sample_counts) // 8)
    assert len(set(batches)) > 1
    np.testing.assert_allclose(experiment.speeds.compute_s, 0.5 * 2 * batches)


def test_a_resolved_configuration_has_one_of_the_two_keys() -> None:
    config = load(TEXT)
    text = resolved_toml(config)
    assert "local_epochs = 2" in text
    assert "local_steps =" not in text
    assert load(text) == config
    assert build(load(TEXT.replace("local_epochs = 2", ""))).steps == 1


def test_mistakes_are_told() -> None:
    with pytest.raises(InputError, match=r"^algorithm: dsgd: local_steps and local_epochs exclude each other"):
        build(load(TEXT, ["algorithm.local_steps=2"]))
    with pytest.raises(
        InputError, match=r"^algorithm: dsgd: local_epochs are of nodes that go through epochs"
    ) as raised:
        build(load(TEXT, ["learning.sampling=replacement"]))
    assert "learning.sampling = 'epochs'" in raised.value.hint
    with pytest.raises(ConfigError, match=r"algorithm\.local_epochs: unknown key"):
        load(TEXT, ["algorithm.kind=d2"])


@pytest.mark.parametrize(
    ("settings", "each"),
    [
        (["learning.start_steps=1"], lambda batches: 1 + 3 * 2 + 0 * batches),
        (["algorithm={kind='dsgd', local_steps=4}"], lambda batches: -(-3 * 4 // batches)),
        (["learning.batch_size=0", "algorithm={kind='dsgd'}"], lambda batches: 3 + 0 * batches),
    ],
)
def test_where_nodes_go_through_epochs_each_is_one_step_with_all_samples_to_the_accountant(settings, each) -> None:
    pytest.importorskip("dp_accounting")
    experiment, notes = build(load(TEXT, [PRIVATE, *settings])), []
    counts = np.asarray(experiment.problem.sample_counts)
    begun = epochs_begun(experiment)
    np.testing.assert_array_equal(begun, each(-(-counts.astype(int) // 8)))
    entry = privacy_entry(experiment, notes.append)["privacy"]
    most = epsilon(DifferentialPrivacy(1.0, 2.0), int(begun.max()), 0, counts, 1e-5).max()
    assert entry["epsilon_max"] == pytest.approx(most)
    assert entry["epochs"] == begun.max()
    assert f"after {begun.max()} epochs" in notes[0]


@pytest.mark.parametrize(("private", "steps"), [("", 4), ("learning.private=['b0']", 3 + 4)])
@pytest.mark.parametrize("epochs", [False, True])
def test_steps_of_the_head_take_time_and_privacy_as_well(private: str, steps: int, epochs: bool) -> None:
    kind = "epochs" if epochs else "steps"
    settings = [
        "learning.model=softmax",
        f"algorithm={{kind='fedrep', head_{kind}=3, local_{kind}=4}}",
        f"learning.sampling={'epochs' if epochs else 'replacement'}",
        *([private] if private else []),
    ]
    experiment = build(load(TEXT, [PRIVATE, *settings]))
    entry = privacy_entry(experiment, lambda _: None)["privacy"]
    assert entry[kind] == 3 * steps
    by_node = steps_by_node(experiment.problem, Epochs(steps)) if epochs else steps
    assert experiment.speeds is not None
    np.testing.assert_array_equal(experiment.speeds.compute_s, np.broadcast_to(0.5 * np.asarray(by_node), 4))
    assert experiment.steps == (Epochs(4) if epochs else 4), "of one optimizer, whose rates count no others"
