"""Losses on minibatches: their gradients are those that algorithms take, with the same draws."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.learning.problem import BatchLosses

N = 6


def on_samples(**options: Any) -> Any:
    data = jg.learning.datasets.synthetic(samples=200, features=5, classes=3, rng=0)
    model = jg.learning.MODELS["softmax"]((5,), 3)
    return jg.learning.classification(data, "dirichlet", model, nodes=N, alpha=1.0, rng=0, **options)


PROBLEMS = {
    "a sample": lambda: on_samples(batch_size=1),
    "samples": lambda: on_samples(batch_size=4),
    "all samples": lambda: on_samples(batch_size=0),
    "quadratics": lambda: jg.learning.isotropic_quadratic(N, dimension=4, noise=0.0, curvature=2.0, rng=0),
    "rows": lambda: jg.learning.least_squares(N, dimension=4, batch_size=3, rng=0),
    "all rows": lambda: jg.learning.least_squares(N, dimension=4, batch_size=0, rng=0),
    "ratings": lambda: jg.learning.ratings(N, items=8, ratings_a_user=4, held_out=0.25, batch_size=2, rng=0),
}


@pytest.mark.by_default("samples")
@pytest.mark.parametrize("name", PROBLEMS)
def test_its_gradient_is_the_gradient_of_the_same_draws(name: str) -> None:
    problem, key = PROBLEMS[name](), jax.random.key(3)
    assert isinstance(problem, BatchLosses)
    x = jax.random.normal(jax.random.key(0), (N, problem.n_params))
    losses = problem.batch_loss(x, key)
    assert losses.shape == (N,)
    slopes = jax.grad(lambda x: problem.batch_loss(x, key).sum())(x)
    np.testing.assert_allclose(slopes, problem.gradient(x, key), rtol=1e-4, atol=1e-5)
    if name in ("all samples", "quadratics", "all rows"):
        np.testing.assert_allclose(losses, problem.loss_at(x, jnp.arange(N)), rtol=1e-5)


@pytest.mark.slow
def test_nodes_that_go_through_epochs_draw_as_the_others_do() -> None:
    independent, epochs = on_samples(batch_size=4), on_samples(batch_size=4, sampling="epochs")
    x, key = jax.random.normal(jax.random.key(0), (N, independent.n_params)), jax.random.key(3)
    np.testing.assert_array_equal(epochs.batch_loss(x, key), independent.batch_loss(x, key))
    assert np.abs(independent.batch_loss(x, jax.random.key(4)) - independent.batch_loss(x, key)).max() > 0.01
