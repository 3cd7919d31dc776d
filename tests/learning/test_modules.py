"""Modules of flax and equinox as models: what they compute, their batch statistics and their dropout."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.learning.models import from_equinox, from_linen, from_nnx

linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")
eqx = pytest.importorskip("equinox")

N, FEATURES, CLASSES = 4, 5, 3


class Normalised(linen.Module):
    @linen.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        x = linen.Dense(4, use_bias=False)(x)  # a bias would have no gradient but rounding, which Adam scales up
        x = linen.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        return linen.Dense(CLASSES)(linen.relu(x))


class Dropped(linen.Module):
    @linen.compact
    def __call__(self, x: Any, *, deterministic: bool) -> Any:
        return linen.Dense(CLASSES)(linen.Dropout(0.5, deterministic=deterministic)(x))


class Plain(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.Dense(CLASSES)(x)


class Failing(linen.Module):
    def __call__(self, x: Any) -> Any:
        return x @ jnp.ones((FEATURES + 1, 2))


class Module(nnx.Module):
    def __init__(self, rngs: Any) -> None:
        self.dense = nnx.Linear(FEATURES, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.5, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.out = nnx.Linear(4, CLASSES, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.out(self.drop(nnx.relu(self.norm(self.dense(x)))))


def problem_of(model: jg.learning.Model, **options: Any) -> jg.learning.Problem:
    data = jg.learning.datasets.synthetic(samples=80, features=FEATURES, classes=CLASSES, rng=0)
    return jg.learning.supervised(data, "iid", model, nodes=N, **({"batch_size": 0} | options))


def test_a_plain_module_is_its_functions() -> None:
    module = Plain()
    model = from_linen(module, (FEATURES,))
    params = model.init(jax.random.key(1))
    x = jax.random.normal(jax.random.key(2), (7, FEATURES))
    np.testing.assert_allclose(model.apply(params, x), module.apply({"params": params}, x), rtol=1e-6)
    assert model.forward is None


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["mixed", "private"])
def test_batch_statistics_follow_their_rule(rule: str) -> None:
    model = from_linen(Normalised(), (FEATURES,), state=rule)
    problem = problem_of(model)
    W = jg.mixing.metropolis_hastings(jg.topology.ring(N))
    step = jg.algorithms.dsgd(problem, optax.adam(0.01), W)
    before = jg.simulate(step, rounds=1, seed=0)
    earlier = jnp.array(before.x)
    after = jg.simulate(step, rounds=2, seed=0, start=before.run)
    own = []
    for node in range(N):
        rows = problem._batches.samples[problem._batches.start[node] :][: problem._batches.n_train[node]]
        _, state = model.forward(problem.params(earlier[node]), problem._table.x[rows], jax.random.key(0))
        own.append(np.asarray(state["batch_stats"]["BatchNorm_0"]["mean"]))
    found = np.stack([problem.params(row)["batch_stats"]["BatchNorm_0"]["mean"] for row in after.x])
    expected = np.stack(own) if rule == "private" else W.as_matrix() @ np.stack(own)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    shared = problem.n_params - problem.n_shared
    assert shared == (8 if rule == "private" else 0)


@pytest.mark.slow
def test_one_node_with_batch_statistics_is_flax_and_optax_alone() -> None:
    module, optimizer = Normalised(), optax.adamw(0.05, weight_decay=0.1)
    model = from_linen(module, (FEATURES,))
    data = jg.learning.datasets.synthetic(samples=40, features=FEATURES, classes=CLASSES, rng=0)
    problem = jg.learning.supervised(data, "iid", model, nodes=1, batch_size=0)
    algorithm = jg.algorithms.isolated(problem, optimizer)
    found = problem.params(jg.simulate(algorithm, rounds=3, seed=0).x[0])
    variables = problem.params(jg.simulate(algorithm, rounds=0, seed=0).x[0])
    rows = problem._batches.samples[: problem._batches.n_train[0]]
    x, y = problem._table.x[rows], problem._table.y[rows]
    state = optimizer.init(variables["params"])
    for _ in range(3):

        def loss(params: Any, variables: Any = variables) -> tuple[Any, Any]:
            whole = {"params": params, "batch_stats": variables["batch_stats"]}
            scores, new = module.apply(whole, x, train=True, mutable=["batch_stats"])
            return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean(), new

        gradient, new = jax.grad(loss, has_aux=True)(variables["params"])
        step, state = optimizer.update(gradient, state, variables["params"])
        variables = {"params": optax.apply_updates(variables["params"], step), **new}
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.slow
def test_dropout_differs_by_node_sample_and_round_and_repeats_with_the_seed() -> None:
    model = from_linen(Dropped(), (FEATURES,))
    problem = problem_of(model, init="same")
    x = jnp.broadcast_to(problem.init(jax.random.key(0))[:1], (N, problem.n_params))
    key = jax.random.key(7)
    one = problem.gradient(x, key)
    np.testing.assert_array_equal(one, problem.gradient(x, key))
    assert not np.allclose(one, problem.gradient(x, jax.random.key(8)))
    again = jnp.zeros(2, jnp.int32)  # one node with one model and all of its samples: only masks can differ
    first, second = problem.gradient_at(x[:2], again, key, jnp.arange(2, dtype=jnp.uint32))
    assert not np.allclose(first, second)
    same = jnp.ones((6, FEATURES))
    outputs, _ = model.forward(problem.params(x[0]), same, key)
    assert len(np.unique(np.asarray(outputs).round(5), axis=0)) > 1  # of each sample its own mask
    np.testing.assert_array_equal(problem.evaluate(x)["test_loss"], problem.evaluate(x)["test_loss"])


@pytest.mark.slow
def test_modules_of_nnx_train_and_are_evaluated() -> None:
    model = from_nnx(Module)
    problem = problem_of(model)
    W = jg.mixing.metropolis_hastings(jg.topology.ring(N))
    result = jg.simulate(jg.algorithms.dsgd(problem, optax.adam(0.05), W), rounds=60, seed=0, evaluate_every=60)
    assert result.metrics[-1]["test_accuracy_mean"] > 0.4
    params = problem.params(result.x[0])
    assert set(params) == {"params", "state"}
    assert not np.allclose(params["state"]["norm"]["mean"], 0)


@pytest.mark.slow
def test_a_module_of_nnx_is_made_once_a_call() -> None:
    made = []
    model = from_nnx(lambda rngs: made.append(0) or Module(rngs))
    params, x = model.init(jax.random.key(0)), jax.random.normal(jax.random.key(3), (6, FEATURES))
    made.clear()
    first, _ = model.forward(params, x, jax.random.key(1))
    assert len(made) == 1
    assert not np.allclose(first, model.forward(params, x, jax.random.key(2))[0])


@pytest.mark.slow
def test_modules_of_equinox_are_models() -> None:
    model = from_equinox(lambda key: eqx.nn.MLP(FEATURES, CLASSES, 8, 1, key=key))
    problem = problem_of(model)
    W = jg.mixing.metropolis_hastings(jg.topology.ring(N))
    result = jg.simulate(jg.algorithms.dsgd(problem, optax.adam(0.05), W), rounds=60, seed=0, evaluate_every=60)
    assert result.metrics[-1]["test_accuracy_mean"] > 0.5


def test_what_is_no_module_is_told() -> None:
    with pytest.raises(ArgumentTypeError, match="is no linen module"):
        from_linen(Plain, (FEATURES,))
    with pytest.raises(InputError, match="the module raised"):
        from_linen(Failing(), (FEATURES,))


@pytest.mark.slow
def test_batch_statistics_need_whole_batches() -> None:
    data = jg.learning.datasets.synthetic(samples=60, features=FEATURES, classes=CLASSES, rng=0)
    for options in ({"batch_size": 0}, {"batch_size": 4, "sampling": "epochs"}):
        with pytest.raises(InputError, match="batch statistics need whole batches"):
            jg.learning.supervised(data, "iid", from_linen(Normalised(), (FEATURES,)), nodes=N, **options)


@pytest.mark.slow
@pytest.mark.wrong_types
def test_privacy_does_not_go_with_batch_statistics() -> None:
    with pytest.raises(InputError, match="privacy clips the gradient of each sample"):
        problem_of(
            from_linen(Normalised(), (FEATURES,)), privacy=jg.learning.DifferentialPrivacy(1.0, 1.0), batch_size=4
        )
