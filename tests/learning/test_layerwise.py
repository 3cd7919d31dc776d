"""One node with any optimizer on its pytree is optax on that model alone: masks, layers, matrices, norms, schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.learning.nodewise import fresh_states, updates
from jaxgossip.learning.optimizers import layerwise

ROUNDS = 5


@pytest.fixture(scope="module")
def problem() -> jg.learning.Problem:
    data = jg.learning.datasets.synthetic(samples=60, features=6, classes=3, rng=0)
    model = jg.learning.models.mlp((6,), 3, hidden=(4,))
    return jg.learning.supervised(data, "iid", model, nodes=1, batch_size=0, dtype=jnp.float32)


def is_matrix(params: object) -> object:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


OPTIMIZERS = {
    "adamw with a mask": lambda: optax.adamw(0.05, weight_decay=0.5, mask=is_matrix),
    "rates by layer": lambda: optax.multi_transform(
        {"slow": optax.sgd(0.01), "fast": optax.adam(0.1)},
        lambda params: {name: "slow" if name.endswith("0") else "fast" for name in params},
    ),
    "muon": lambda: optax.contrib.muon(0.05),
    "clipped": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.5, momentum=0.9)),
    "lamb": lambda: optax.lamb(0.05),
    "warm-up and cosine": lambda: optax.adam(optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, 5)),
    "adafactor": lambda: optax.adafactor(0.1, min_dim_size_to_factor=2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_node_is_optax_on_that_model_alone(name: str, problem: jg.learning.Problem) -> None:
    optimizer = OPTIMIZERS[name]()
    result = jg.simulate(jg.algorithms.isolated(problem, optimizer), rounds=ROUNDS, seed=0, evaluate_every=ROUNDS)
    x = problem.init(jax.random.key(0))
    start = jg.simulate(jg.algorithms.isolated(problem, optimizer), rounds=0, seed=0).x
    params = problem.params(start[0])
    state = optimizer.init(params)

    @jax.jit
    def stepped(params, state):
        gradient = problem.params(problem.gradient(problem.row(params)[None], jax.random.key(0))[0])
        step, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, step), state

    for _ in range(ROUNDS):
        params, state = stepped(params, state)
    assert x.shape == result.x.shape
    np.testing.assert_allclose(np.asarray(result.x[0]), np.asarray(problem.row(params)), rtol=2e-5, atol=2e-6)


@pytest.mark.slow
def test_muon_on_matrices_is_not_muon_on_the_row(problem: jg.learning.Problem) -> None:
    row = problem.init(jax.random.key(1))
    gradient = problem.gradient(row, jax.random.key(0))
    both = layerwise(problem, optax.contrib.muon(0.05)), optax.contrib.muon(0.05)
    by_matrix, by_row = jax.jit(lambda: [updates(one, gradient, fresh_states(one, row), row)[0] for one in both])()
    assert jnp.abs(by_matrix - by_row).max() > 1e-3


def test_nodes_are_clipped_each_by_itself(problem: jg.learning.Problem) -> None:
    optimizer = layerwise(problem, optax.clip_by_global_norm(1.0))
    gradient = jnp.stack([jnp.ones(problem.n_params), 1e-3 * jnp.ones(problem.n_params)])
    models = jnp.zeros_like(gradient)
    step, _ = jax.jit(lambda: updates(optimizer, gradient, fresh_states(optimizer, models), models))()
    np.testing.assert_allclose(jnp.linalg.norm(step, axis=1), [1.0, 1e-3 * problem.n_params**0.5], rtol=1e-5)
