"""Local epochs: every node goes through its own samples as often as is asked for, and waits for those that have more."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS
from jaxgossip.algorithms.local_steps import Epochs
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import purpose_key, run_key
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.epochs import Draw
from jaxgossip.topology import Order

SIZES = np.array([1, 5, 3, 4])
N, M = SIZES.size, int(SIZES.sum())
OWNER = np.repeat(np.arange(N), SIZES)
OWN = np.arange(N)[:, None] == OWNER
"""(n, m) whether a sample is the node's own."""
EPOCHS = 2


def counting(sizes: np.ndarray = SIZES, batch_size: int = 1, sampling: str = "epochs", **options: Any) -> Any:
    """Return a problem whose gradients count samples: sample j is the unit vector e_j, and the loss is the score."""
    unit, labels = np.eye(sizes.sum(), dtype=np.float32), (np.arange(sizes.sum()) % 2).astype(np.int32)
    model = jg.learning.from_functions(lambda _: jnp.zeros(len(unit)), lambda w, x: x @ w, lambda scores, _: scores)
    data = Dataset("unit", unit, labels, unit, labels, 2)
    partition = jg.learning.Partition(
        np.arange(sizes.sum(), dtype=np.int32), np.cumsum([0, *sizes]), sizes.astype(np.int32)
    )
    return jg.learning.supervised(data, partition, model, batch_size=batch_size, sampling=sampling, **options)


def targets(batch_size: int = 1) -> tuple[Any, np.ndarray]:
    """Return a problem in which the samples of a node are one number, whose loss is (w − number)²/2; and the numbers."""
    numbers = np.array([1.0, -2.0, 0.5, 3.0], np.float32)
    x = np.ones((M, 1), np.float32)
    data = Dataset("numbers", x, numbers[OWNER], x, numbers[OWNER], 0, target="value")
    model = jg.learning.from_functions(
        lambda _: jnp.zeros(1), lambda w, x: x @ w, lambda outputs, y: (outputs - y) ** 2 / 2
    )
    partition = jg.learning.Partition(np.arange(M, dtype=np.int32), np.cumsum([0, *SIZES]), SIZES.astype(np.int32))
    return jg.learning.supervised(data, partition, model, batch_size=batch_size, sampling="epochs"), numbers


def isolated(problem: Any, rounds: int, optimizer: Any = None, **options: Any) -> Any:
    algorithm = jg.algorithms.isolated(problem, optimizer or optax.sgd(1.0), **({"local_epochs": EPOCHS} | options))
    return jg.simulate(algorithm, rounds=rounds, seed=3, evaluate_every=rounds or 1)


@pytest.mark.by_default("2")
@pytest.mark.parametrize("start_steps", [0, 2])
def test_a_round_takes_each_own_sample_as_often_as_there_are_epochs(start_steps: int) -> None:
    problem = jg.learning.started(counting(), start_steps)
    before = np.asarray(isolated(problem, 0).x)
    assert -before.sum() == N * start_steps
    one = isolated(problem, 1)
    np.testing.assert_array_equal(before - np.asarray(one.x), EPOCHS * OWN)
    algorithm = jg.algorithms.isolated(problem, optax.sgd(1.0), local_epochs=EPOCHS)
    two = jg.simulate(algorithm, rounds=2, seed=3, evaluate_every=1, start=one.run)
    np.testing.assert_array_equal(before - np.asarray(two.x), 2 * EPOCHS * OWN)


@pytest.mark.slow
def test_a_last_minibatch_has_what_is_left() -> None:
    taken = -np.asarray(isolated(counting(batch_size=2), 1).x)
    assert (taken[~OWN] == 0).all()
    np.testing.assert_allclose(taken.sum(1), EPOCHS * -(-SIZES // 2), rtol=1e-6)
    own = np.sort(taken[1][OWN[1]])  # five samples: four halves and a whole one, in each epoch
    assert own.sum() == EPOCHS * 3
    assert set(np.unique(own)) <= {1.0, 1.5, 2.0}


@pytest.mark.slow
def test_rows_in_another_order_take_the_steps_of_their_nodes() -> None:
    problem = counting(order=Order(np.array([2, 0, 3, 1])))
    np.testing.assert_array_equal(-np.asarray(isolated(problem, 1).run.state.x)[[1, 3, 0, 2]], EPOCHS * OWN)


@pytest.mark.slow
def test_a_waiting_node_keeps_its_optimizer_state_and_is_optax_alone() -> None:
    problem, _ = targets(batch_size=2)
    optimizer = optax.adam(0.1)
    run = isolated(problem, 2, optimizer).run
    taken = EPOCHS * -(-SIZES // 2)
    orders = purpose_key(purpose_key(run_key(3), "init"), "epochs")
    gradient = jax.jit(problem.gradient)
    x = np.zeros((N, 1), np.float32)
    for node in range(N):
        row = jnp.zeros(1)
        state = optimizer.init(row)
        for step in range(2 * taken[node]):
            draw = Draw(run_key(0), orders, jnp.int32(step))
            update, state = optimizer.update(gradient(jnp.broadcast_to(row, (N, 1)), draw)[node], state, row)
            row = row + update
        x[node] = row
    counts = next(leaf for leaf in jax.tree.leaves(run.state.opt_state) if leaf.dtype == jnp.int32)
    np.testing.assert_array_equal(counts, 2 * taken)
    np.testing.assert_allclose(run.state.x, x, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [2, 0])
def test_epochs_of_as_many_samples_are_so_many_steps(batch_size: int) -> None:
    problem = counting(np.array([6, 6]), batch_size)
    steps = EPOCHS * (3 if batch_size else 1)
    by_epochs, by_steps = isolated(problem, 2), isolated(problem, 2, local_epochs=None, local_steps=steps)
    np.testing.assert_array_equal(by_epochs.x, by_steps.x)


@pytest.mark.slow
def test_the_centralised_learner_takes_every_sample_of_every_node() -> None:
    algorithm = jg.algorithms.centralised(counting(), optax.sgd(1.0), local_epochs=EPOCHS)
    x = jg.simulate(algorithm, rounds=3, seed=0, evaluate_every=3).x
    np.testing.assert_allclose(x, np.full((1, M), -3 * EPOCHS / N), rtol=1e-5)


@pytest.mark.slow
def test_a_node_without_a_step_adds_nothing_to_the_mean_gradient_nor_its_regularisation() -> None:
    problem = counting()
    takes = jnp.asarray([True, False, True, True])
    object.__setattr__(problem, "model", jg.learning.Model(**(vars(problem.model) | {"regularization": 0.5})))
    x = jnp.ones((1, M))
    draw = Draw(run_key(0), run_key(1), jnp.int32(0), takes)
    each = jax.jit(problem.gradient)(jnp.broadcast_to(x, (N, M)), draw)
    expected = np.where(takes[:, None], each, 0).mean(0)
    np.testing.assert_allclose(jax.jit(problem.mean_gradient)(x, draw)[0], expected, rtol=1e-6)


@pytest.mark.slow
def test_a_server_averages_what_nodes_learn_in_their_epochs() -> None:
    algorithm = jg.algorithms.federated_averaging(counting(), optax.sgd(1.0), local_epochs=EPOCHS)
    x = jg.simulate(algorithm, rounds=1, seed=0).x
    np.testing.assert_allclose(x[0], -EPOCHS * SIZES[OWNER] / M, rtol=1e-5)


@pytest.mark.slow
def test_a_model_ages_by_the_steps_of_its_node() -> None:
    W = jg.mixing.metropolis_hastings(jg.topology.complete(N))
    algorithm = jg.algorithms.gossip(counting(), optax.sgd(1.0), W, local_epochs=EPOCHS)
    np.testing.assert_array_equal(jg.simulate(algorithm, rounds=1, seed=0).state.age, EPOCHS * SIZES)


@pytest.mark.slow
def test_gradient_tracking_is_unbiased_whatever_the_numbers_of_steps() -> None:
    problem, numbers = targets()
    W = jg.mixing.metropolis_hastings(jg.topology.complete(N))
    found = {
        name: jg.simulate(
            ALGORITHMS[name](problem, optax.sgd(0.02), W, local_epochs=1), rounds=400, seed=0, evaluate_every=400
        ).x
        for name in ("k_gt", "dsgd")
    }
    np.testing.assert_allclose(found["k_gt"], np.full((N, 1), numbers.mean()), atol=1e-3)
    assert np.abs(np.asarray(found["dsgd"]) - numbers.mean()).min() > 0.05  # nodes with more steps weigh more


@pytest.mark.parametrize(
    "name", ["dsgd", "epidemic", "gossip", "k_gt", "admm", "sgp", "isolated", "centralised", "fedrep", "dispfl"]
)
def test_who_takes_local_steps_takes_local_epochs(name: str) -> None:
    graph = jg.topology.complete(N)
    W = {
        "epidemic": lambda: jg.mixing.push(graph),
        "sgp": lambda: jg.mixing.push_sum(graph),
    }.get(name, lambda: jg.mixing.metropolis_hastings(graph))()
    mixing = () if name in ("isolated", "centralised") else (W,)
    build, problem = ALGORITHMS[name], counting()
    assert build(problem, optax.sgd(0.1), *mixing, local_epochs=3).method.local_steps == Epochs(3)
    usual = {"k_gt": 4, "admm": 5}.get(name, 1)
    assert build(problem, optax.sgd(0.1), *mixing).method.local_steps == usual
    for options, message in (
        ({"local_epochs": 1, "local_steps": usual}, f"^{name}: local_steps and local_epochs exclude each other"),
        ({"local_epochs": 0}, f"^{name}: local_epochs must be at least 1, not 0"),
    ):
        with pytest.raises(InputError, match=message):
            build(problem, optax.sgd(0.1), *mixing, **options)
    with pytest.raises(InputError, match=f"^{name}: local_epochs are of nodes that go through epochs"):
        build(counting(sampling="replacement"), optax.sgd(0.1), *mixing, local_epochs=1)


def test_one_gradient_travels_a_round() -> None:
    W = jg.mixing.metropolis_hastings(jg.topology.complete(N))
    with pytest.raises(InputError, match="local_epochs = 2 with payload = 'gradient'"):
        jg.algorithms.gossip(counting(), optax.sgd(0.1), W, payload="gradient", local_epochs=2)
