"""Gossip learning against its own formulas, written out in NumPy."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.learning.optimizers.counts import at_age

N, P, ETA = 6, 3, 0.1
TARGETS = np.random.default_rng(0).normal(size=(N, P)).astype(np.float32)


def problem() -> jg.learning.Problem:
    return jg.learning.isotropic_quadratic(N, dimension=P, noise=0.0, targets=TARGETS)


def run(W, rounds: int = 3, **options) -> jg.simulation.Result:
    return jg.simulate(jg.algorithms.gossip(problem(), optax.sgd(ETA), W, **options), rounds)


def gradient(x: np.ndarray) -> np.ndarray:
    return x - TARGETS


W = jg.mixing.metropolis_hastings(jg.topology.path(N))
M = W.as_matrix()


@cache
def start() -> np.ndarray:
    return np.asarray(run(W, 0).x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, lambda x: M @ x - ETA * gradient(M @ x)),
        ({"order": "update_merge"}, lambda x: M @ (x - ETA * gradient(x))),
        ({"payload": "update"}, lambda x: x - ETA * M @ gradient(x)),
        ({"payload": "gradient"}, lambda x: x - ETA * M @ gradient(x)),
    ],
)
def test_each_form_is_its_formula(options: dict, rule) -> None:
    x = start()
    for _ in range(3):
        x = rule(x)
    np.testing.assert_allclose(run(W, **options).x, x, atol=1e-6)


@pytest.mark.slow
def test_scores_weigh_the_senders() -> None:
    scores = np.arange(1.0, N + 1)
    weighted = M * scores
    weighted /= weighted.sum(1, keepdims=True)
    x = start()
    for _ in range(3):
        x = weighted @ x - ETA * gradient(weighted @ x)
    np.testing.assert_allclose(run(W, scores=scores).x, x, atol=1e-6)


@pytest.mark.slow
def test_weighing_by_samples_uses_their_number() -> None:
    rng = np.random.default_rng(0)
    data = jg.learning.datasets.synthetic(samples=300, features=4, rng=0)
    part = jg.learning.partitions.quantity_skew(data.y_train, N, rng=rng)
    model = jg.learning.models.logistic((4,), 2)
    task = jg.learning.classification(data, part, model, batch_size=0)
    assert np.ptp(task.sample_counts) > 0
    once = [
        jg.simulate(jg.algorithms.gossip(task, optax.sgd(ETA), W, order="update_merge", **options), 2).x
        for options in ({"weighting": "samples"}, {"scores": np.asarray(task.sample_counts)})
    ]
    np.testing.assert_array_equal(*once)


def test_ages_count_updates_and_merge_by_maximum() -> None:
    result = jg.simulate(
        jg.algorithms.gossip(problem(), optax.sgd(ETA), W), 5, conditions=jg.network.Conditions(online=0.5), seed=1
    )
    age = np.asarray(result.state.age)
    assert age.max() <= 5
    assert len(set(age)) > 1
    np.testing.assert_array_equal(run(W, 4, local_steps=2).state.age, 8)


@pytest.mark.slow
def test_weighing_by_age_prefers_the_older_model() -> None:
    older = jg.algorithms.gossip(problem(), optax.sgd(0.0), W, weighting="age", order="update_merge")
    state = older.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(N, P)).astype(np.float32)
    ages = np.array([0, 9, 3, 0, 0, 7])
    state = state._replace(x=jnp.asarray(x), age=jnp.asarray(ages, jnp.int32))
    new, _ = older.step(state, jg.network.Round(jnp.int32(0), jax.random.key(0), N))
    weighted = M * (ages + 1)  # update first: every age grows by one before the merge
    np.testing.assert_allclose(new.x, weighted / weighted.sum(1, keepdims=True) @ x, atol=1e-5)
    np.testing.assert_array_equal(new.age, [10, 10, 10, 4, 8, 8])


def test_the_learning_rate_follows_the_age_of_the_model() -> None:
    optimizer = optax.sgd(lambda count: 1.0 / (1 + count))
    state = jax.vmap(optimizer.init)(jnp.zeros((3, 2)))
    aged = at_age(state, jnp.asarray([0, 4, 9], jnp.int32))
    updates, _ = jax.vmap(optimizer.update)(jnp.ones((3, 2)), aged)
    np.testing.assert_allclose(updates[:, 0], [-1, -1 / 5, -1 / 10], rtol=1e-6)


def test_adams_own_counter_stays_with_its_moments() -> None:
    state = jax.vmap(optax.adam(0.1).init)(jnp.zeros((3, 2)))
    aged = at_age(state, jnp.asarray([0, 4, 9], jnp.int32))
    np.testing.assert_array_equal(aged[0].count, 0)


@pytest.mark.slow
def test_pegasos_on_one_sample_nodes_learns_spam_from_gossip() -> None:
    data = jg.learning.datasets.spambase()
    n = 414
    part = jg.learning.partitions.one_sample(data.y_train, n, rng=0)
    task = jg.learning.classification(data, part, jg.learning.models.pegasos((57,), 2), batch_size=1)
    peers = jg.mixing.matching(jg.topology.complete(n))
    pegasos = jg.learning.OPTIMIZERS["pegasos"]()
    network = jg.simulate(jg.algorithms.gossip(task, pegasos, peers), 100, evaluate_every=100).metrics.final
    alone = jg.simulate(jg.algorithms.isolated(task, pegasos), 100, evaluate_every=100).metrics.final
    assert network["test_accuracy_mean"] > 0.85
    assert alone["test_accuracy_mean"] < 0.75
