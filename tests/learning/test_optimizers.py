"""Optimizers: nodes are independent, Pegasos matches its steps, and dtypes are kept."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgossip.algorithms.base import TrainState, apply
from jaxgossip.core.errors import InputError
from jaxgossip.learning import OPTIMIZERS, classification, models
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.optimizers import pegasos
from jaxgossip.learning.partitions.rules import one_sample

KEY = jax.random.key(0)
N, P = 3, 4
EACH = pytest.mark.parametrize("name", sorted(OPTIMIZERS))


def make(name: str) -> optax.GradientTransformation:
    return OPTIMIZERS[name](**({} if name == "pegasos" else {"learning_rate": 0.1}))


def rows(seed: int, dtype: type = np.float32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(N, P)), dtype)


def steps(optimizer: optax.GradientTransformation, x: jax.Array, number: int) -> TrainState:
    state = TrainState(x, jax.vmap(optimizer.init)(x))
    advance = jax.jit(lambda gradient, state: apply(optimizer, gradient, state))
    for step in range(number):
        state = advance(rows(10 + step, x.dtype)[: len(x)], state)
    return state


def test_clip_by_global_norm_clips_each_node_alone() -> None:
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))
    gradient = np.array([[3.0, 4.0], [0.3, 0.4], [-30.0, 40.0], [0.0, 0.0]])  # norms 5, .5, 50, 0
    start = jnp.zeros((4, 2))
    found = apply(optimizer, jnp.asarray(gradient), TrainState(start, jax.vmap(optimizer.init)(start))).x
    norm = np.linalg.norm(gradient, axis=1, keepdims=True)
    np.testing.assert_allclose(found, -0.1 * gradient / np.maximum(1, norm), rtol=1e-6)


def test_clipping_takes_four_nodes_for_four_and_not_for_one() -> None:
    # applied to the stacked array, clip_by_global_norm would give -0.1/sqrt(12) = -0.0289
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))
    start = jnp.zeros((4, 3))
    found = apply(optimizer, jnp.ones((4, 3)), TrainState(start, jax.vmap(optimizer.init)(start))).x
    np.testing.assert_allclose(found, np.full((4, 3), -0.057735), rtol=1e-5)


@pytest.mark.by_default("sgd", "rmsprop")
@EACH
def test_every_optimizer_sees_one_node_at_a_time(name: str) -> None:
    optimizer, x = make(name), rows(0)
    together = steps(optimizer, x, 3).x
    update = jax.jit(optimizer.update)
    for node in range(N):
        alone, state = x[node], optimizer.init(x[node])
        for step in range(3):
            updates, state = update(rows(10 + step)[node], state, alone)
            alone = alone + updates
        np.testing.assert_allclose(together[node], alone, rtol=1e-5, atol=1e-6)
    assert np.isfinite(np.asarray(together)).all()
    assert not np.allclose(together, x)


@EACH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_no_step_changes_a_type(name: str, dtype: type) -> None:
    with jax.enable_x64(True):
        optimizer, x = make(name), rows(0, dtype)
        before = TrainState(x, jax.vmap(optimizer.init)(x))
        after = jax.eval_shape(lambda state: apply(optimizer, x, state), before)
        types = [[leaf.dtype for leaf in jax.tree.leaves(state)] for state in (before, after)]
    assert types[0] == types[1]
    assert after.x.dtype == dtype


@pytest.mark.by_default("0.5")
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_pegasos_is_its_formula_step_by_step(scale: float) -> None:
    # w <- (1 - 1/t) w + 1[y<w,x> < 1] y x/(λ t), t = 1, 2, …; the bias is the weight of a constant feature.
    # With entries 1 and λ = 2 the first step lands on margin 1 exactly, where Pegasos does not learn.
    regularization = 2.0 if scale == 1.0 else 0.1
    x = np.ones((6, 1)) if scale == 1.0 else scale * np.random.default_rng(0).normal(size=(6, 3))
    y = np.arange(6) % 2
    data = Dataset("made", x.astype(np.float32), y.astype(np.int32), x.astype(np.float32), y.astype(np.int32), 2)
    partition = one_sample(data.y_train, 6)
    with jax.enable_x64(True):
        model = models.pegasos(x.shape[1:], 2, regularization=regularization)
        task = classification(data, partition, model, dtype=np.float64)
        optimizer = pegasos(regularization=regularization)
        state = TrainState(task.init(KEY), jax.vmap(optimizer.init)(task.init(KEY)))
        advance = jax.jit(lambda state: apply(optimizer, task.gradient(state.x, KEY), state))
        mine = partition.order
        features = np.concatenate([data.x_train.astype(np.float64), np.ones((6, 1))], 1)[mine]  # rows are (w, b)
        sign = (2.0 * y - 1)[mine]
        w = np.zeros_like(features)
        for t in range(1, 9):
            learns = sign * (w * features).sum(1) < 1
            w = (1 - 1 / t) * w + (learns * sign / (regularization * t))[:, None] * features
            state = advance(state)
            np.testing.assert_allclose(state.x, w, rtol=1e-12, atol=1e-12, err_msg=f"step {t}")
            # from here both start at the same place: what follows is the next step alone
            state = state._replace(x=jnp.asarray(w))


def test_pegasos_forgets_its_start() -> None:
    optimizer, x = pegasos(regularization=0.5), rows(0)
    state = TrainState(x, jax.vmap(optimizer.init)(x))
    gradient = 0.5 * x - 1  # λ w minus a constant
    np.testing.assert_allclose(apply(optimizer, gradient, state).x, np.full((N, P), 2.0), rtol=1e-6)


def test_optimizers_of_optax_keep_their_names_there() -> None:
    for name in OPTIMIZERS:
        there = getattr(optax, name, None) or getattr(optax.contrib, name, None)
        assert name == "pegasos" or inspect.unwrap(OPTIMIZERS[name]) is there


@pytest.mark.parametrize("regularization", [0.0, -1.0])
def test_pegasos_without_regularization_is_told(regularization: float) -> None:
    with pytest.raises(InputError) as told:
        pegasos(regularization=regularization)
    assert str(told.value) == f"optimizer 'pegasos' needs a positive regularization, not {regularization:g}"


def test_an_optimizer_by_its_name_is_that_of_optax() -> None:
    x, gradient = rows(0), rows(1)
    for named, own in (
        (OPTIMIZERS["sgd"](0.2, momentum=0.9), optax.sgd(0.2, momentum=0.9)),
        (OPTIMIZERS["adam"](learning_rate=0.01, b1=0.5), optax.adam(0.01, b1=0.5)),
        (OPTIMIZERS["pegasos"](regularization=0.3), pegasos(regularization=0.3)),
    ):
        steps = [apply(o, gradient, TrainState(x, jax.vmap(o.init)(x))).x for o in (named, own)]
        np.testing.assert_array_equal(*steps)


def test_an_unknown_optimizer_is_told() -> None:
    with pytest.raises(InputError, match="unknown optimizer 'sdg'"):
        OPTIMIZERS["sdg"]


@pytest.mark.parametrize("ages", [[0, 1, 7], [4, 4, 4]])
def test_the_age_of_a_model_decides_its_pegasos_step(ages: list[int]) -> None:
    optimizer, x = pegasos(regularization=0.5), rows(0)
    state = optax.tree.set(jax.vmap(optimizer.init)(x), count=jnp.asarray(ages, jnp.int32))
    found, after = jax.vmap(optimizer.update)(jnp.ones((N, P)), state, x)
    np.testing.assert_allclose(found, np.tile(-1 / (0.5 * (np.array(ages)[:, None] + 1)), (1, P)), rtol=1e-6)
    np.testing.assert_array_equal(optax.tree.get(after, "count"), np.array(ages) + 1)
