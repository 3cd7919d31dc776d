"""Recalibrated batch statistics: one pass over a node's own samples, computed here by flax or NumPy alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError
from jaxgossip.learning.models import Model, from_linen, from_nnx
from jaxgossip.simulation.metrics import measure

linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")

N, FEATURES, CLASSES, KEY = 4, 5, 3, jax.random.key(0)
EVERYONE = jnp.arange(N)


class Normalised(linen.Module):
    momentum: float = 0.99

    @linen.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        x = linen.Dense(4)(x + 3.0)
        x = linen.BatchNorm(use_running_average=not train, momentum=self.momentum)(x)
        return linen.Dense(CLASSES)(linen.relu(x))


class Counting(linen.Module):
    @linen.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        steps = self.variable("batch_stats", "steps", jnp.zeros, ())
        if train:
            steps.value = steps.value + 1
        return linen.Dense(CLASSES)(x)


class Spectral(linen.Module):
    @linen.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        return linen.SpectralNorm(linen.Dense(CLASSES))(x, update_stats=train)


def problem_of(model: Model, partition: str = "iid", **options: Any) -> Any:
    data = jg.learning.datasets.synthetic(samples=80, features=FEATURES, classes=CLASSES, rng=0)
    given = {"batch_size": 0, "init": "independent"} | options
    return jg.learning.supervised(data, partition, model, nodes=N, rng=0, **given)


def samples_of(problem: Any, node: int) -> np.ndarray:
    start, count = int(problem._batches.start[node]), int(problem._batches.n_train[node])
    return np.asarray(problem._table.x)[np.asarray(problem._batches.samples)[start : start + count]]


@jax.jit
def kept_by_flax(params: Any, batch: Any) -> Any:
    return Normalised(0.0).apply(params, batch, train=True, mutable=["batch_stats"])[1]


def by_flax(params: Any, x: np.ndarray, batch_size: int) -> Any:
    """Return the mean over batches of what flax keeps of each without memory; the last one goes on with the first samples."""
    size = batch_size or len(x)
    batches = [x.take(range(first, first + size), 0, mode="wrap") for first in range(0, len(x), size)]
    variables = [kept_by_flax(params, batch) for batch in batches]
    return jax.tree.map(lambda *each: np.mean(each, 0), *variables)["batch_stats"]


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [0, 4])
def test_statistics_are_those_of_one_pass_by_flax_alone(batch_size: int) -> None:
    problem = problem_of(from_linen(Normalised(), (FEATURES,), state="recalibrated"), batch_size=batch_size)
    x = problem.init(KEY)
    found = jax.jit(problem.recalibrated)(x, EVERYONE)
    again = jax.jit(problem.recalibrated)(found[::-1], EVERYONE[::-1])
    for node in range(N):
        own = samples_of(problem, node)
        expected = by_flax(problem.params(x[node]), own, batch_size)
        close(problem.params(found[node])["batch_stats"], expected)
        close(problem.params(again[N - 1 - node])["batch_stats"], expected)  # whatever they were before
    trained = ~problem.layout.is_state
    np.testing.assert_array_equal(found[:, trained], x[:, trained])
    assert not problem.layout.is_state[: problem.n_shared].any()


def close(found: Any, expected: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4), found, expected)


@pytest.mark.slow
def test_nodes_of_different_sizes_fill_up_their_last_batch() -> None:
    problem = problem_of(
        from_linen(Normalised(), (FEATURES,), state="recalibrated"), "dirichlet", alpha=0.5, batch_size=5
    )
    sizes = np.asarray(problem._batches.n_train)
    assert (sizes % 5).any()
    assert np.ptp(sizes) > 5
    x = problem.init(KEY)
    found = problem.recalibrated(x, EVERYONE)
    for node in range(N):
        expected = by_flax(problem.params(x[node]), samples_of(problem, node), 5)
        close(problem.params(found[node])["batch_stats"], expected)


@pytest.mark.slow
def test_evaluation_sees_recalibrated_rows_and_a_mean_model_of_all_nodes() -> None:
    problem = problem_of(from_linen(Normalised(), (FEATURES,), state="recalibrated"))
    x = problem.init(KEY)
    record = jax.jit(lambda x: measure(problem, x, KEY, N))(x)
    rows = jnp.stack([row_of(problem, row, by_flax_alone(problem, row, [node])) for node, row in enumerate(x)])
    np.testing.assert_allclose(record["test_loss_mean"], problem.evaluate(rows)["test_loss"].mean(), rtol=1e-3)
    mean = x.mean(0)
    mean_row = row_of(problem, mean, by_flax_alone(problem, mean, range(N)))
    np.testing.assert_allclose(
        record["mean_model_test_loss"], problem.evaluate(mean_row[None])["test_loss"][0], rtol=1e-3
    )
    # A model that all share, as a server's, is that of all nodes too.
    shared = jax.jit(lambda x: measure(problem, x, KEY, N))(mean[None])
    np.testing.assert_allclose(shared["test_loss_mean"], record["mean_model_test_loss"], rtol=1e-5)


def by_flax_alone(problem: Any, row: Any, nodes: Any) -> Any:
    each = [by_flax(problem.params(row), samples_of(problem, node), 0) for node in nodes]
    return jax.tree.map(lambda *each: np.mean(each, 0), *each)


def row_of(problem: Any, row: Any, statistics: Any) -> Any:
    return problem.row({**problem.params(row), "batch_stats": statistics})


@pytest.mark.slow
def test_models_that_vote_are_recalibrated_where_they_vote() -> None:
    problem = problem_of(from_linen(Normalised(), (FEATURES,), state="recalibrated"))
    protocol = jg.algorithms.gossip_learning(problem, optax.sgd(0.1), votes=2)
    state = protocol.init(KEY)
    voters = jax.random.normal(KEY, state.kept.x.shape)
    state = state._replace(kept=state.kept._replace(x=voters))
    nodes = jnp.asarray([2, 1])
    some = jax.tree.map(lambda leaf: leaf[nodes], state)
    seen = protocol.method.as_scored(problem, some, nodes).kept.x
    for place, node in enumerate([2, 1]):
        for vote in range(2):
            expected = by_flax(problem.params(voters[node, vote]), samples_of(problem, node), 0)
            close(problem.params(seen[place, vote])["batch_stats"], expected)
    assert protocol.scores(some, nodes)["voted_accuracy"].shape == (2,)


@pytest.mark.slow
def test_modules_of_nnx_are_recalibrated() -> None:
    class Module(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.norm = nnx.BatchNorm(FEATURES, momentum=0.9, rngs=rngs)
            self.out = nnx.Linear(FEATURES, CLASSES, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.out(self.norm(x))

    problem = problem_of(from_nnx(Module, state="recalibrated"))
    found = problem.recalibrated(problem.init(KEY), EVERYONE)
    for node in range(N):
        statistics, own = problem.params(found[node])["state"]["norm"], samples_of(problem, node)
        np.testing.assert_allclose(statistics["mean"], own.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(statistics["var"], own.var(0), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("module", [Counting(), Spectral()])
def test_what_is_no_running_mean_is_refused(module: Any) -> None:
    with pytest.raises(
        InputError, match=r"the model's state \['batch_stats'\].* cannot be recalibrated: it is no running mean"
    ):
        problem_of(from_linen(module, (FEATURES,), state="recalibrated"))


def counting(**options: Any) -> Model:
    """Return a model whose state is the largest sample, which is no running mean."""

    def forward(params: Any, x: Any, key: Any) -> Any:
        del key
        return x @ params["w"], {"most": jnp.maximum(params["most"], x.max())}

    def init(key: Any) -> Any:
        return {"w": jax.random.normal(key, (FEATURES, CLASSES)), "most": jnp.zeros(())}

    return Model(init, lambda params, x: x @ params["w"], **({"forward": forward, "state": ("most",)} | options))


@pytest.mark.slow
def test_a_model_may_recalibrate_itself() -> None:
    def recalibrate(params: Any, batches: Any, key: Any) -> Any:
        del params, key
        return {"most": batches.max() + 0.0 * batches.shape[0]}

    problem = problem_of(counting(state_rule="recalibrated", recalibrate=recalibrate), batch_size=5)
    found = problem.recalibrated(problem.init(KEY), EVERYONE)
    largest = [samples_of(problem, node).max() for node in range(N)]
    np.testing.assert_allclose([problem.params(row)["most"] for row in found], largest)


def test_a_state_that_nothing_computes_or_recalibrates_is_told() -> None:
    with pytest.raises(InputError, match="nothing computes the model's state most in training"):
        problem_of(counting(forward=None))
    with pytest.raises(InputError, match="recalibrate, which a state that is private does not use"):
        problem_of(counting(state_rule="private", recalibrate=lambda *_: {}))
