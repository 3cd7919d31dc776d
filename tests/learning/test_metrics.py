"""Metrics of outputs against scikit-learn and by hand; in blocks of samples they are the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import metrics as sk

import jaxgossip as jg
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.learning.metrics import METRICS

RNG = np.random.default_rng(0)
SCORES = jnp.asarray(RNG.normal(size=(80, 7)), jnp.float32)
TRUE = jnp.asarray(RNG.choice([0, 1, 1, 1, 2, 5], 80), jnp.int32)  # classes 3, 4 and 6 do not occur
PREDICTED = np.asarray(SCORES).argmax(1)
VALUES, WANTED = (jnp.asarray(RNG.normal(size=(80, 2)), jnp.float32) for _ in range(2))


def measured(name: str, outputs: jax.Array, targets: jax.Array, n_classes: int = 7) -> float:
    metric = METRICS[name](n_classes)
    return float(metric.total(metric.terms(outputs, targets)))


@pytest.mark.slow
def test_metrics_of_classes_are_those_of_scikit_learn() -> None:
    true = np.asarray(TRUE)
    assert measured("accuracy", SCORES, TRUE) == pytest.approx(sk.accuracy_score(true, PREDICTED))
    assert measured("macro_f1", SCORES, TRUE) == pytest.approx(sk.f1_score(true, PREDICTED, average="macro"))
    recalls = sk.recall_score(true, PREDICTED, average=None, labels=np.unique(true))
    assert measured("balanced_accuracy", SCORES, TRUE) == pytest.approx(recalls.mean())
    top = sk.top_k_accuracy_score(true, np.asarray(SCORES), k=5, labels=range(7))
    assert measured("top_5_accuracy", SCORES, TRUE) == pytest.approx(top)


@pytest.mark.slow
def test_scores_that_are_nan_are_right_in_no_metric() -> None:
    lost = jnp.full_like(SCORES, jnp.nan)
    assert all(measured(name, lost, TRUE) == 0 for name in METRICS if "class" in METRICS[name](7).of)


def test_metrics_of_values_are_those_of_scikit_learn() -> None:
    found, wanted = np.asarray(VALUES), np.asarray(WANTED)
    assert measured("mse", VALUES, WANTED) == pytest.approx(sk.mean_squared_error(wanted, found), rel=1e-5)
    assert measured("mae", VALUES, WANTED) == pytest.approx(sk.mean_absolute_error(wanted, found), rel=1e-5)
    assert measured("r2", VALUES, WANTED) == pytest.approx(sk.r2_score(wanted, found), rel=1e-5)
    one = measured("mae", VALUES[:, 0], WANTED[:, 0])
    assert one == pytest.approx(np.abs(found[:, 0] - wanted[:, 0]).mean(), rel=1e-5)


@pytest.mark.slow
def test_perplexity_is_that_of_every_token() -> None:
    scores = jnp.asarray(RNG.normal(size=(6, 4, 5)), jnp.float32)
    tokens = jnp.asarray(RNG.integers(0, 5, (6, 4)), jnp.int32)
    log = np.asarray(jax.nn.log_softmax(scores, -1))
    each = [log[i, t, tokens[i, t]] for i in range(6) for t in range(4)]
    assert measured("perplexity", scores, tokens, 5) == pytest.approx(np.exp(-np.mean(each)), rel=1e-5)
    right = np.asarray(scores).argmax(-1) == np.asarray(tokens)
    assert measured("accuracy", scores, tokens, 5) == pytest.approx(right.mean())


def regression(**options: object) -> jg.learning.Problem:
    x = RNG.normal(size=(120, 3))
    y = x @ [1.0, -2.0, 0.5] + 3
    data = jg.learning.from_arrays(x, y, target="value", rng=0)
    linear = jg.learning.from_functions(
        lambda _: {"w": jnp.zeros(3), "b": jnp.zeros(())}, lambda params, x: x @ params["w"] + params["b"]
    )
    return jg.learning.supervised(data, "iid", linear, nodes=4, batch_size=0, local_test=0.2, **options)


def largest_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    return jnp.abs(outputs - targets).max()


@pytest.mark.slow
def test_values_are_learnt_and_measured() -> None:
    problem = regression(metrics=[largest_error])
    W = jg.mixing.metropolis_hastings(jg.topology.ring(4))
    result = jg.simulate(jg.algorithms.dsgd(problem, optax.sgd(0.1), W), rounds=200, evaluate_every=200)
    last = result.metrics[-1]
    assert last["test_mse_mean"] < 1e-6
    assert last["test_r2_mean"] > 0.999999
    assert last["local_mse_mean"] < 1e-6
    assert 0 < last["test_largest_error_mean"] < 1e-2
    assert "test_loss_mean" not in last  # it is the mean squared error


@pytest.mark.slow
def test_a_test_set_in_blocks_is_measured_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    x = jnp.asarray(RNG.normal(size=(4, 4)), jnp.float32)
    data = jg.learning.datasets.synthetic(samples=600, features=4, classes=3, test_fraction=0.5, rng=0)
    problem = jg.learning.supervised(
        data, "iid", jg.learning.models.softmax((4,), 3), nodes=4, metrics=["macro_f1", "balanced_accuracy"]
    )
    x = jnp.asarray(RNG.normal(size=(4, problem.n_params)), jnp.float32)
    whole = problem.evaluate(x)
    monkeypatch.setattr("jaxgossip.core.rows.BLOCK_BYTES", 3000)
    parts = problem.evaluate(x)
    assert whole.keys() == {f"test_{name}" for name in ("accuracy", "loss", "macro_f1", "balanced_accuracy")}
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-5, err_msg=name)


def test_a_metric_of_other_targets_is_refused() -> None:
    with pytest.raises(InputError) as told:
        regression(metrics=["macro_f1"])
    assert told.value.message == "metric 'macro_f1' is of targets that are class, and arrays has value"
    with pytest.raises(InputError, match="did you mean 'macro_f1'"):
        regression(metrics=["macro_f"])


def test_a_model_that_measures_itself_takes_no_further_metrics_and_no_tokens() -> None:
    x = RNG.integers(0, 5, (40, 6))
    classes = jg.learning.from_arrays(x.astype(float), x[:, 0], rng=0)
    with pytest.raises(InputError, match="'macro_f1' is not taken of a model that has measures of its own"):
        jg.learning.supervised(classes, "iid", jg.learning.models.kmeans((6,), 5), nodes=4, metrics=["macro_f1"])
    tokens = jg.learning.from_arrays(x[:, :-1], x[:, 1:], target="sequence", rng=0)
    with pytest.raises(InputError, match="the model is for targets that are class, and arrays has sequence"):
        jg.learning.supervised(tokens, "iid", jg.learning.models.kmeans((5,), 5), nodes=4)


@pytest.mark.wrong_types
def test_a_number_is_no_metric() -> None:
    with pytest.raises(ArgumentTypeError, match="3 is no metric"):
        regression(metrics=[3])


@pytest.mark.parametrize("name", sorted(METRICS))
def test_two_metrics_of_one_kind_are_equal(name: str) -> None:
    assert METRICS[name](3) == METRICS[name](3)  # so that problems made apart share their programs


@pytest.mark.slow
def test_models_with_one_output_predict_one_value() -> None:
    values = jg.learning.from_arrays(np.ones((20, 3)), np.arange(20.0), target="value", rng=0)
    problem = jg.learning.supervised(
        values, "iid", jg.learning.models.mlp((3,), values.n_outputs, hidden=()), nodes=2, batch_size=0
    )
    measured = problem.evaluate(jnp.zeros((2, problem.n_params)))
    np.testing.assert_allclose(measured["test_mse"], np.square(values.y_test).mean(), rtol=1e-6)
    gradient = problem.gradient(jnp.zeros((2, problem.n_params)), jax.random.key(0))
    assert gradient.shape == (2, 4)
