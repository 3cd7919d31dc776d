"""GT-SAGA, GT-SARAH and GT-VR: exact where stochastic gradients have a floor, and gradient tracking where curvatures agree."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.core.random import run_key
from jaxgossip.network import Conditions, Round
from tests.algorithms.q16 import B, N, ring
from tests.algorithms.test_model_state import problem_of

pytestmark = pytest.mark.slow

A = jg.algorithms


@pytest.fixture(autouse=True)
def in_double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


OF_SAMPLES = ("gt_saga", "gt_sarah", "gt_vr")
SAMPLES = B[:, None] + np.sin(3 * np.arange(N)[:, None] + np.arange(5))
"""Targets b_ij = b_i + sin(3i + j) of quadratics of curvature 1, five a node."""


def quadratics(samples: np.ndarray = SAMPLES, batch_size: int = 1) -> Any:
    """Return the problem ½(x − b_ij)², of which a gradient is over ``batch_size`` samples of a node, from 0."""
    n, m = samples.shape
    problem = jg.learning.least_squares(n, dimension=1, samples=m, batch_size=batch_size, dtype=jnp.float64)
    problem.a, problem.y = jnp.ones((n, m, 1)), jnp.asarray(samples)
    problem.init = lambda _: jnp.zeros((n, 1))
    return problem


def after(algorithm: Algorithm, rounds: int, **options: Any) -> Any:
    return jg.simulate(algorithm, rounds, evaluate_every=10**6, **options)


def gradient_tracking(problem: Any, form: str) -> Algorithm:
    return A.gradient_tracking(problem, optax.sgd(0.1), ring(), form=form)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_saga_ends_at_the_optimum(batch_size: int) -> None:
    def error(rounds: int) -> float:
        x = after(A.gt_saga(quadratics(batch_size=batch_size), optax.sgd(0.1), ring()), rounds).x
        return float(np.linalg.norm(x - SAMPLES.mean()))

    assert error(1000) < 1e-5
    assert error(3000) < 1e-12
    floor = after(gradient_tracking(quadratics(), "atc"), 3000).x
    assert np.linalg.norm(floor - SAMPLES.mean()) > 0.1


@pytest.mark.parametrize(
    ("form", "make"),
    [
        ("atc", lambda problem: A.gt_vr(problem, optax.sgd(0.1), ring())),
        ("diging", lambda problem: A.gt_sarah(problem, optax.sgd(0.1), ring(), period=7)),
        ("diging", lambda problem: A.gt_vr(problem, optax.sgd(0.1), ring(), probability=0.5, form="diging")),
    ],
)
def test_where_curvatures_agree_whatever_is_drawn_gradients_are_exact(
    form: str, make: Callable[[Any], Algorithm]
) -> None:
    exact = after(gradient_tracking(quadratics(batch_size=0), form), 60).x
    np.testing.assert_allclose(after(make(quadratics()), 60).x, exact, atol=1e-13)


@pytest.mark.parametrize("form", ["atc", "diging"])
@pytest.mark.parametrize("name", OF_SAMPLES)
def test_of_one_sample_it_is_gradient_tracking(name: str, form: str) -> None:
    exact = after(gradient_tracking(quadratics(SAMPLES[:, :1], 0), form), 40).x
    found = after(ALGORITHMS[name](quadratics(SAMPLES[:, :1]), optax.sgd(0.1), ring(), form=form), 40).x
    np.testing.assert_allclose(found, exact, atol=1e-13)


def digits_of(counts: list[int], **options: Any) -> Any:
    """Return a convex problem of classes whose nodes have so many samples."""
    m = sum(counts)
    data = jg.learning.datasets.synthetic(samples=m + 40, features=3, classes=2, rng=1)
    first = np.cumsum([0, *counts])
    owned = jg.learning.Partition(
        np.arange(m, dtype=np.int32), first, np.asarray(counts, np.int32), len(data.y_train)
    )  # fmt: skip
    model = jg.learning.models.softmax((3,), 2, regularization=0.1)
    return jg.learning.supervised(data, owned, model, dtype=jnp.float64, **options)


COUNTS = [3, 1, 7, 4]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gt_saga", {"batch_size": 1}),
        ("gt_saga", {"batch_size": 3}),  # which draws some samples twice
        ("gt_saga", {"batch_size": 2, "sampling": "epochs"}),
        ("gt_saga", {"batch_size": 0}),
        ("gt_sarah", {"batch_size": 2}),
        ("gt_vr", {"batch_size": 2}),
        ("gt_vr", {"batch_size": 2, "sampling": "epochs"}),
    ],
)
def test_nodes_with_other_numbers_of_samples_end_at_the_optimum_of_all(name: str, options: dict[str, Any]) -> None:
    W = jg.mixing.metropolis_hastings(jg.topology.ring(4))
    problem = digits_of(COUNTS, **options)
    found = after(ALGORITHMS[name](problem, optax.sgd(0.3), W), 3000).x
    exact = after(A.gradient_tracking(digits_of(COUNTS, batch_size=0), optax.sgd(0.3), W), 3000).x
    np.testing.assert_allclose(found, exact, atol=1e-9)
    np.testing.assert_allclose(exact, np.broadcast_to(exact[:1], exact.shape), atol=1e-9)


def test_the_mean_of_the_table_is_that_of_its_rows() -> None:
    """Whoever is offline or slow, and keeps both."""
    W = jg.mixing.metropolis_hastings(jg.topology.ring(4))
    problem = digits_of(COUNTS, batch_size=3)
    algorithm = A.gt_saga(problem, optax.sgd(0.3), W)
    state, conditions = algorithm.init(run_key(0)), Conditions(online=0.7, straggle=0.3)
    step = jax.jit(lambda state, number: algorithm.step(state, Round(number, run_key(1), 4, conditions))[0])
    stayed = 0
    for number in range(30):
        before, state = state, step(state, jnp.int32(number))
        round_ = Round(jnp.int32(number), run_key(1), 4, conditions)
        idle = ~np.asarray(round_.online & round_.works)
        stayed += int(idle.sum())
        for old, new in zip(before.of_samples, state.of_samples, strict=True):
            np.testing.assert_array_equal(new[idle], old[idle])
    each, mean = state.of_samples
    for table, total, count in zip(each, mean, COUNTS, strict=True):
        np.testing.assert_allclose(total, table[:count].mean(0), atol=1e-14)
    assert stayed > 20


def test_sample_gradients_average_to_the_whole_one() -> None:
    problem = digits_of(COUNTS, batch_size=1)
    x, key = jax.random.normal(run_key(0), (4, problem.n_params)), jax.random.key(1)
    total = np.zeros(x.shape)
    for j in range(max(COUNTS)):
        g = problem.sample_gradient(x, jnp.minimum(j, jnp.asarray(COUNTS) - 1), key)
        total += np.where(j < np.asarray(COUNTS)[:, None], g, 0) / np.asarray(COUNTS)[:, None]
    np.testing.assert_allclose(problem.full_gradient(x, key), total, atol=1e-14)
    np.testing.assert_allclose(digits_of(COUNTS, batch_size=0).gradient(x, key), total, atol=1e-14)


@pytest.mark.parametrize("name", OF_SAMPLES)
def test_private_gradients_are_refused(name: str) -> None:
    problem = digits_of(COUNTS, batch_size=1, privacy=jg.learning.DifferentialPrivacy(1.0, 1.0))
    W = jg.mixing.metropolis_hastings(jg.topology.ring(4))
    with pytest.raises(jg.errors.InputError, match=f"^{name}: differences of private gradients, with the same noise"):
        ALGORITHMS[name](problem, optax.sgd(0.1), W)


@pytest.mark.parametrize("name", OF_SAMPLES)
def test_problems_without_samples_are_refused(name: str) -> None:
    class Noisy(jg.learning.quadratics.SyntheticProblem):
        n_nodes, n_params, n_shared, dtype = 4, 1, 1, np.dtype(np.float32)

        sample_counts = np.ones(4, np.float32)

        def init(self, key):
            del key
            return jnp.zeros((4, 1), jnp.float32)

        def gradient(self, x, key):
            return x + jax.random.normal(key, x.shape)

        def gradient_at(self, x, nodes, key, numbers):
            raise NotImplementedError

        def loss_at(self, x, nodes):
            raise NotImplementedError

        def evaluate(self, x):
            return {"size": (x**2).sum(1)}

    W = jg.mixing.metropolis_hastings(jg.topology.ring(4))
    with pytest.raises(jg.errors.InputError, match=f"^{name}: Noisy is no mean over samples"):
        ALGORITHMS[name](Noisy(), optax.sgd(0.1), W)


def test_single_samples_have_no_batch_statistics() -> None:
    W = jg.mixing.metropolis_hastings(jg.topology.ring(8))
    with pytest.raises(
        jg.errors.InputError, match=r"^gt_saga takes gradients of single samples, and these have no batch"
    ):
        A.gt_saga(problem_of(8), optax.sgd(0.1), W)
