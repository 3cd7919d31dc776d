"""A backdoor spreads where nodes average, not where they take the median, and liars may replace models by their own."""

import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.network import Adversary, Aggregation, Conditions
from jaxgossip.network.adversaries import backdoor
from jaxgossip.network.adversaries.replacement import ModelReplacement

N, LIARS = 16, [3, 11]
DATA = jg.learning.datasets.digits(rng=0)
SPLIT = jg.learning.partitions.iid(DATA.y_train, N, rng=0)
W = jg.mixing.metropolis_hastings(jg.topology.ring(N))


def finally_measured(adversary: Adversary, aggregation: Aggregation | None) -> dict[str, float]:
    assert adversary.backdoor is not None
    data, owned = jg.learning.plant_backdoor(DATA, SPLIT, adversary.liars, adversary.backdoor)
    problem = jg.learning.classification(data, owned, jg.learning.MODELS["softmax"]((8, 8), 10), batch_size=8)
    conditions = Conditions(adversary=adversary, aggregation=aggregation)
    algorithm = jg.algorithms.dsgd(problem, optax.sgd(0.1), W)
    return jg.simulate(algorithm, 150, evaluate_every=150, conditions=conditions).metrics.final


def test_liars_that_teach_a_backdoor_send_honestly_unless_they_replace_models() -> None:
    one, other = (
        backdoor(n_nodes=N, nodes=LIARS, label=7, share=0.3, size=2, replace=replace) for replace in (False, True)
    )
    assert one.backdoor == other.backdoor == jg.learning.Backdoor(label=7, share=0.3, size=2)
    assert (one.broadcast, one.targeted, other.broadcast) == (None, None, None)
    assert isinstance(other.targeted, ModelReplacement)
    assert not one.flips_labels
    assert Conditions(adversary=one).on_mixing == []
    assert Conditions(adversary=other).on_mixing == ["adversary"]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_an_impossible_share_is_named(share: float) -> None:
    with pytest.raises(jg.errors.InputError, match="backdoor: share must be above 0 and at most 1"):
        backdoor(n_nodes=N, share=share)


@pytest.mark.slow
def test_a_backdoor_spreads_by_the_mean_and_not_by_the_median_while_all_learn_the_digits() -> None:
    plain = finally_measured(backdoor(n_nodes=N, nodes=LIARS, label=7, share=1.0), None)
    assert plain["attack_success_mean"] > 0.9  # seen: 0.922
    robust = finally_measured(backdoor(n_nodes=N, nodes=LIARS, label=7, share=1.0), jg.network.aggregation.median())
    assert robust["attack_success_max"] < 0.05  # of honest nodes, the worst; seen: 0.006
    assert min(plain["test_accuracy_mean"], robust["test_accuracy_mean"]) > 0.9


@pytest.mark.slow
def test_success_is_the_same_on_any_number_of_devices() -> None:
    liars = backdoor(n_nodes=N, nodes=LIARS, replace=True)
    data, owned = jg.learning.plant_backdoor(DATA, SPLIT, liars.liars, liars.backdoor)
    problem = jg.learning.classification(data, owned, jg.learning.MODELS["softmax"]((8, 8), 10), batch_size=8)
    algorithm, conditions = jg.algorithms.dsgd(problem, optax.sgd(0.1), W), Conditions(adversary=liars)
    one, eight = (
        jg.simulate(algorithm, 10, evaluate_every=10, conditions=conditions, mesh=jg.mesh(number)) for number in (1, 8)
    )
    np.testing.assert_array_equal(one.x, eight.x)
    assert one.metrics.final["attack_success_mean"] > 0
    for name in ("attack_success_mean", "attack_success_max", "mean_model_attack_success"):
        assert one.metrics.final[name] == eight.metrics.final[name]


@pytest.mark.slow
def test_replacing_models_makes_a_backdoor_worse() -> None:
    plain, replaced = (
        finally_measured(backdoor(n_nodes=N, nodes=LIARS, label=7, size=2, replace=replace), None)
        for replace in (False, True)
    )
    assert replaced["attack_success_mean"] > plain["attack_success_mean"] + 0.1  # seen: 0.857 and 0.701
    assert replaced["attack_success_max"] > 0.9
    robust = finally_measured(
        backdoor(n_nodes=N, nodes=LIARS, label=7, size=2, replace=True), jg.network.aggregation.median()
    )
    assert robust["attack_success_max"] < 0.05
    np.testing.assert_allclose(robust["test_accuracy_mean"], 0.949, atol=0.02)
