"""SkipTrain: rounds that only mix are powers of W, and cost no work; budgets are kept to the round."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.runs.manifest import privacy_entry
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.network import Conditions
from jaxgossip.topology.weights import from_matrix
from tests.algorithms.q16 import RING, B, N, linear_map, of_targets, ring

A = jg.algorithms
ETA = 0.1
PRIVATE = """
rounds = 12
topology = { kind = "ring", nodes = 6 }
mixing = { kind = "static" }
learning = { dataset = "digits", model = "softmax", batch_size = 4 }
partition = { kind = "iid" }
optimizer = { kind = "sgd", learning_rate = 0.1 }
evaluation = { every = 12 }
privacy = { clip = 1.0, noise_multiplier = 1.0, delta = 1e-5 }
algorithm = { kind = "skiptrain", training_rounds = 2, mixing_rounds = 3, local_steps = 2 }
"""


def run(problem: Any, rounds: int, *, conditions: Conditions | None = None, W: Any = None, **options: Any) -> Any:
    algorithm = A.skiptrain(problem, optax.sgd(ETA), ring() if W is None else W, **options)
    return jg.simulate(algorithm, rounds, seed=1, evaluate_every=rounds, conditions=conditions)


@pytest.mark.slow
def test_without_rounds_that_only_mix_it_is_dsgd_to_the_bit() -> None:
    problem, conditions = of_targets(B, noise=1.0), Conditions(drop=0.1, online=0.8, straggle=0.2)
    plain = jg.simulate(A.dsgd(problem, optax.sgd(ETA), ring()), 9, seed=1, evaluate_every=9, conditions=conditions)
    np.testing.assert_array_equal(run(problem, 9, mixing_rounds=0, conditions=conditions).x, plain.x)


@pytest.mark.parametrize(("training", "mixing"), [(1, 4), (3, 2)])
def test_a_period_is_its_products_of_matrices(training: int, mixing: int) -> None:
    with jax.enable_x64(True):
        x = np.asarray(
            run(of_targets(B), 3 * (training + mixing) + 1, training_rounds=training, mixing_rounds=mixing).x
        )
    expected = np.zeros((N, 1))
    for number in range(3 * (training + mixing) + 1):
        trains = number % (training + mixing) < training
        expected = RING @ (expected - trains * ETA * (expected - B[:, None]))
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("mixing", "network"), [(0, 0.136831), (1, 0.079134), (4, 0.031887)])
def test_noise_leaves_the_error_of_the_mean_and_less_disagreement(mixing: int, network: float) -> None:
    dimension, period = 20, 1 + mixing
    with jax.enable_x64(True):
        algorithm = A.skiptrain(of_targets(np.zeros(N)), optax.sgd(ETA), ring(), mixing_rounds=mixing)
        rounds = [linear_map(algorithm, ["x"], number) for number in range(period)]
    whole = np.linalg.multi_dot([np.eye(N), *rounds[::-1]])
    # Noise of a gradient comes in by η where x, at which it is taken, comes in by 1 − η.
    noise = whole * ETA / (1 - ETA)
    covariance = np.linalg.solve(np.eye(N**2) - np.kron(whole, whole), (noise @ noise.T).ravel()).reshape(N, N)
    mean = dimension * covariance.sum() / N**2
    assert mean == pytest.approx(0.065789, abs=1e-6)
    assert dimension * np.trace(covariance) / N - mean == pytest.approx(network, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "rounds", "expected"),
    [
        ({"training_rounds": 2, "mixing_rounds": 3}, 13, 6),
        ({"mixing_rounds": 9}, 21, 3),
        ({"mixing_rounds": 1, "budget": 4}, 30, 4),
        ({"mixing_rounds": 0, "budget": 4}, 3, 3),
        ({"mixing_rounds": 1, "budget": 10, "over": 20}, 20, 10),
        ({"mixing_rounds": 1, "budget": 20, "over": 20}, 20, 10),
        ({"mixing_rounds": 0, "budget": 0}, 5, 0),
    ],
)
def test_rounds_of_training_are_counted(options: Mapping[str, Any], rounds: int, expected: int) -> None:
    result = run(of_targets(B), rounds, **options)
    np.testing.assert_array_equal(result.state.trained, np.full(N, expected))
    assert A.skiptrain(of_targets(B), optax.sgd(ETA), ring(), **options).method.trainings(rounds) >= expected


def test_every_node_keeps_to_its_own_budget() -> None:
    budget = [i % 5 for i in range(N)]
    np.testing.assert_array_equal(run(of_targets(B), 20, mixing_rounds=1, budget=budget).state.trained, budget)
    halfway = run(of_targets(B), 400, training_rounds=2, mixing_rounds=2, budget=[50] * N, over=800).state.trained
    # 200 draws of probability 1/8: means of 16 nodes are 25, of deviation 1.2.
    assert abs(np.mean(halfway) - 25) < 4


def test_a_node_without_budget_goes_on_mixing() -> None:
    with jax.enable_x64(True):
        result = run(of_targets(B), 60, mixing_rounds=0, budget=[0] * 8 + [3] * 8)
        means = np.asarray(result.x).mean(0)
    after_three = np.zeros((N, 1))
    for _ in range(3):
        after_three = RING @ (after_three - ETA * (np.arange(N) >= 8)[:, None] * (after_three - B[:, None]))
    np.testing.assert_allclose(means, after_three.mean(0), atol=1e-14)


@pytest.mark.slow
def test_what_a_node_misses_is_not_taken_from_its_budget() -> None:
    apart = jg.mixing.operator(from_matrix(np.eye(N)))
    conditions = Conditions(online=0.5, straggle=0.5)
    for rounds in (12, 200):
        result = run(of_targets(B), rounds, W=apart, mixing_rounds=0, budget=8, conditions=conditions)
        trained = np.asarray(result.state.trained)
        np.testing.assert_allclose(result.x[:, 0], (1 - (1 - ETA) ** trained) * B, rtol=1e-5)
        assert (trained == 8).all() if rounds == 200 else (trained < 8).all()


def test_rounds_that_only_mix_take_no_time_to_train() -> None:
    speeds = jg.network.speeds.constant(N, compute_s=2.0, latency_s=0.5)
    algorithm = A.skiptrain(of_targets(B), optax.sgd(ETA), ring(), training_rounds=2, mixing_rounds=3, budget=3)
    clocks = jg.simulate(algorithm, 20, evaluate_every=5, speeds=speeds).metrics["virtual_s_mean"]
    np.testing.assert_allclose(np.diff(clocks), (clocks[4] - clocks[3]) + 2.0 * np.array([2, 1, 0, 0]), rtol=1e-6)


@pytest.mark.slow
def test_epochs_go_on_where_the_last_training_ended() -> None:
    numbers = np.arange(7, dtype=np.float32)
    data = Dataset(
        "numbers", np.eye(7, dtype=np.float32), numbers, np.eye(7, dtype=np.float32), numbers, 0, target="value"
    )
    model = jg.learning.from_functions(
        lambda _: np.zeros(7, np.float32), lambda w, x: x @ w, lambda outputs, _: outputs
    )
    partition = jg.learning.Partition(np.arange(7, dtype=np.int32), np.array([0, 7]), np.array([7], np.int32))
    problem = jg.learning.supervised(data, partition, model, batch_size=1, sampling="epochs")
    W = jg.mixing.operator(from_matrix(np.ones((1, 1))))
    for rounds in (7 * 3, 2 * 7 * 3):
        x = run(problem, rounds, W=W, mixing_rounds=2).x
        np.testing.assert_allclose(x, -ETA * rounds / 21 * np.ones((1, 7)), rtol=1e-6)


def test_privacy_is_that_of_the_rounds_of_training() -> None:
    entry = privacy_entry(build(load(PRIVATE)), lambda _: None)["privacy"]
    assert entry["steps"] == 2 * 6
    whole = privacy_entry(build(load(PRIVATE, ["algorithm={kind='dsgd', local_steps=2}"])), lambda _: None)["privacy"]
    assert whole["steps"] == 2 * 12
    assert entry["epsilon_max"] < whole["epsilon_max"]
