"""Learners beyond linear classifiers: Adaline's rule, k-means and its matching, mutual information, naive Bayes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp
from scipy.stats import norm

from jaxgossip.core.errors import InputError
from jaxgossip.learning import classification, isotropic_quadratic, models
from jaxgossip.learning.models.clusters import match_centroids, normalised_mutual_information
from jaxgossip.learning.models.model import Model
from tests.learning.cases import KEY, UNEVEN, D, N, dataset, gradient_of, rows

DATA = dataset(3)


def kmeans_task(clusters: int = 3, **options):
    return classification(DATA, UNEVEN, models.kmeans((D,), 3, clusters=clusters), batch_size=0, **options)


@pytest.mark.slow
def test_models_whose_scores_are_no_numbers_are_right_about_nothing() -> None:
    task = classification(dataset(2), UNEVEN, models.logistic((D,), 2))
    lost = jnp.full((N, task.n_params), jnp.nan)
    assert np.array_equal(task.evaluate(lost)["test_accuracy"], np.zeros(N))
    assert np.array_equal(task.evaluate_votes(lost[:, None])["voted_accuracy"], np.zeros(N))
    assert np.isnan(kmeans_task().evaluate(jnp.full((N, kmeans_task().n_params), jnp.nan))["nmi"]).all()


def test_a_step_of_adaline_is_the_delta_rule() -> None:
    data = dataset()
    task = classification(data, UNEVEN, models.adaline((D,), 2, regularization=0.1), batch_size=0)
    w, rate = rows(N, D + 1, np.float32), 0.2
    found = w - rate * gradient_of(task, w)
    for node in (0, 3):  # those that train on one sample
        (mine,) = UNEVEN.train(node)
        x, y = np.append(data.x_train[mine], 1), 2.0 * data.y_train[mine] - 1
        expected = (1 - rate * 0.1) * w[node] + rate * (y - w[node] @ x) * x
        np.testing.assert_allclose(found[node], expected, rtol=1e-5, atol=1e-6)


def test_a_step_of_kmeans_moves_the_nearest_centroid_towards_the_sample() -> None:
    task, rate = kmeans_task(), 0.3
    x = rows(N, task.n_params, np.float32)
    found = x - rate * gradient_of(task, x)
    for node in (0, 3):
        (mine,) = UNEVEN.train(node)
        sample, expected = np.asarray(DATA.x_train)[mine], x[node].reshape(3, D).copy()
        nearest = ((expected - sample) ** 2).sum(1).argmin()
        expected[nearest] += rate * (sample - expected[nearest])
        np.testing.assert_allclose(found[node], expected.ravel(), rtol=1e-5, atol=1e-6)


def test_centroids_at_the_means_of_their_samples_stay() -> None:
    own = np.asarray(DATA.x_train, np.float64)[UNEVEN.train(2)]
    centroids = own[:3].copy()
    for _ in range(20):
        nearest = ((own[:, None] - centroids) ** 2).sum(-1).argmin(1)
        centroids = np.array([own[nearest == k].mean(0) if (nearest == k).any() else centroids[k] for k in range(3)])
    found = gradient_of(kmeans_task(), np.tile(centroids.ravel().astype(np.float32), (N, 1)))
    np.testing.assert_allclose(found[2], np.zeros(3 * D), atol=1e-6)


@pytest.mark.slow
def test_kmeans_measures_its_loss_and_mutual_information_and_nothing_of_classes() -> None:
    task = kmeans_task(clusters=2)  # fewer clusters than classes
    x = rows(5, task.n_params, np.float32)
    found = jax.jit(task.evaluate)(jnp.asarray(x))
    assert set(found) == {"nmi", "test_loss"}
    assert task.evaluate_local(jnp.asarray(x), jnp.arange(5)) == {}
    for j, row in enumerate(x):
        apart = ((np.asarray(DATA.x_test)[:, None] - row.reshape(2, D)) ** 2).sum(-1)
        assert float(found["test_loss"][j]) == pytest.approx(apart.min(1).mean() / 2, rel=1e-4)
        assert float(found["nmi"][j]) == pytest.approx(mutual(apart.argmin(1), np.asarray(DATA.y_test)), abs=1e-5)
    losses = task.loss_at(jnp.asarray(x[:N]), jnp.arange(N))
    apart = [((np.asarray(DATA.x_train)[UNEVEN.train(i), None] - x[i].reshape(2, D)) ** 2).sum(-1) for i in range(N)]
    np.testing.assert_allclose(losses, [one.min(1).mean() / 2 for one in apart], rtol=1e-4)


def mutual(a: np.ndarray, b: np.ndarray) -> float:
    """Return 2 I/(H + H) from its definition, pair by pair."""

    def entropy(labels: np.ndarray) -> float:
        p = np.unique(labels, return_counts=True)[1] / labels.size
        return float(-(p * np.log(p)).sum())

    information = 0.0
    for i, j in itertools.product(np.unique(a), np.unique(b)):
        joint = ((a == i) & (b == j)).mean()
        information += joint * np.log(joint / ((a == i).mean() * (b == j).mean())) if joint else 0.0
    total = entropy(a) + entropy(b)
    return 2 * information / total if total else 1.0


def nmi(a: np.ndarray, b: np.ndarray) -> float:
    return float(normalised_mutual_information(jnp.asarray(a), jnp.asarray(b), 4, 5, jnp.dtype(np.float32)))


@pytest.mark.slow
def test_mutual_information_is_its_definition_one_for_names_and_nothing_for_the_unrelated() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 4, 60), rng.integers(0, 5, 60)
        b = np.where(rng.random(60) < 0.5, a, b)
        assert nmi(a, b) == pytest.approx(mutual(a, b), abs=1e-5)
    labels = np.arange(40) % 4
    assert nmi(labels, (labels + 1) % 4) == pytest.approx(1, abs=1e-6)
    assert nmi(np.repeat([0, 1], 20), np.tile([0, 1], 20)) == pytest.approx(0, abs=1e-6)
    assert nmi(np.zeros(9, int), np.arange(9) % 2) == pytest.approx(0, abs=1e-6)
    assert nmi(np.zeros(9, int), np.full(9, 3)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centroids_are_matched_as_scipy_assigns_them(k: int, dtype: type) -> None:
    rng = np.random.default_rng(k)
    own, heard = (rng.normal(size=(200, k, 3)).astype(dtype) for _ in range(2))
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(jax.vmap(match_centroids))(jnp.asarray(own), jnp.asarray(heard)))
        assert found.dtype == dtype
    for mine, theirs, ordered in zip(own, heard, found, strict=True):
        _, columns = linear_sum_assignment(((mine[:, None] - theirs) ** 2).sum(-1))
        np.testing.assert_array_equal(ordered, theirs[columns])


@pytest.mark.slow
def test_a_heard_model_is_put_into_ones_own_order_row_by_row() -> None:
    task = kmeans_task(clusters=4)
    own = jnp.asarray(rows(6, task.n_params, np.float32))
    orders = [np.random.default_rng(j).permutation(4) for j in range(6)]
    turned = jnp.stack([row.reshape(4, D)[order].ravel() for row, order in zip(own, orders, strict=True)])
    assert task.align is not None
    np.testing.assert_array_equal(jax.jit(task.align)(own, turned), own)
    # the mean of a model and the same one in another order is itself
    np.testing.assert_array_equal((own + task.align(own, turned)) / 2, own)


def test_most_problems_have_nothing_to_align() -> None:
    for task in (classification(DATA, UNEVEN, models.softmax((D,), 3)), isotropic_quadratic(3)):
        assert task.align is None


def naive_bayes_by_hand(x: np.ndarray, y: np.ndarray, at: np.ndarray, smoothing: float) -> np.ndarray:
    scores = []
    for c in range(3):
        own = x[y == c]
        likelihood = norm.logpdf(at, own.mean(0), np.sqrt(own.var(0) + smoothing)).sum(1)
        scores.append(np.log(len(own) / len(x)) + likelihood)
    stacked = np.stack(scores, 1)
    return stacked - logsumexp(stacked, axis=1, keepdims=True)


@pytest.mark.slow
def test_steps_of_rate_one_over_age_keep_the_averages_of_naive_bayes() -> None:
    model, x, y = models.naive_bayes((D,), 3, smoothing=0.2), np.asarray(DATA.x_train), np.asarray(DATA.y_train)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), model.init(KEY))
        slope = jax.jit(jax.grad(lambda params, x, y: model.losses(params, x, y)[0]))
        for age, (one, label) in enumerate(zip(x.astype(np.float64), y, strict=True), start=1):
            step = slope(params, jnp.asarray(one)[None], jnp.asarray([label]))
            params = jax.tree.map(lambda p, g, age=age: p - g / age, params, step)
        scores = model.apply(params, jnp.asarray(DATA.x_test, jnp.float64))
    np.testing.assert_allclose(params["weight"], np.bincount(y) / y.size, rtol=1e-12)
    expected = naive_bayes_by_hand(x.astype(np.float64), y, np.asarray(DATA.x_test, np.float64), 0.2)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_the_mean_of_two_naive_bayes_is_that_of_their_samples() -> None:
    task = classification(DATA, UNEVEN, models.naive_bayes((D,), 3), batch_size=0)
    x = np.zeros((N, task.n_params), np.float32)
    shown = x - gradient_of(task, x)  # a step of rate 1: the averages of each node's samples
    mine = np.concatenate([UNEVEN.train(0), UNEVEN.train(3)])
    weights = np.bincount(np.asarray(DATA.y_train)[mine], minlength=3) / 2
    np.testing.assert_allclose((shown[0] + shown[3])[:3] / 2, weights, rtol=1e-6)


def own_model(**extra) -> Model:
    return Model(lambda _: jnp.zeros(D), lambda w, x: x @ w, lambda s, _: s, **extra)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {"objective": lambda w, x, _: (x @ w).mean()},
            "the objective of two samples has shape () (objective returns one number a sample)",
        ),
        (
            {"measures": lambda s, _: {"error": s}},
            "the measure 'error' has shape (2,) (measures gives numbers by name)",
        ),
    ],
)
def test_parts_of_a_model_of_the_wrong_shape_are_told(extra: dict, message: str) -> None:
    with pytest.raises(InputError) as told:
        classification(dataset(), UNEVEN, own_model(**extra))
    assert str(told.value) == message
