"""Epoch sampling: every sample exactly once an epoch, at every node, whatever its size; the order is new each time."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError
from jaxgossip.learning.epochs import epoch_ranks, shuffled_ranks
from jaxgossip.learning.partitions import Partition

N, BATCH = 1000, 7
SIZES = np.random.default_rng(0).integers(1, 60, N).astype(np.int32)


def test_every_sample_comes_once_an_epoch_at_each_of_a_thousand_nodes() -> None:
    step = jax.jit(
        lambda number: epoch_ranks(
            jax.random.key(3), jnp.arange(N, dtype=jnp.uint32), jnp.asarray(SIZES), number, BATCH
        )
    )
    taken: list[list[int]] = [[] for _ in range(N)]
    for number in range(3 * -(-60 // BATCH)):
        ranks, counts = map(np.asarray, step(jnp.int32(number)))
        for node in range(N):
            taken[node] += ranks[node][counts[node]].tolist()
    orders = set()
    for node, size in enumerate(SIZES.tolist()):
        epochs = [taken[node][start : start + size] for start in range(0, len(taken[node]) - size + 1, size)]
        assert len(epochs) >= 3
        assert all(sorted(epoch) == list(range(size)) for epoch in epochs), node
        if size == 30:
            orders |= {tuple(epoch) for epoch in epochs}
    assert len(orders) > 10  # of each node and epoch its own


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 5, 24])
def test_every_place_is_equally_likely(size: int) -> None:
    nodes = jnp.arange(20_000, dtype=jnp.uint32)[:, None]
    ranks = jnp.broadcast_to(jnp.arange(size, dtype=jnp.uint32), (len(nodes), size))
    found = shuffled_ranks(
        jax.random.key(0), nodes, jnp.zeros_like(nodes), ranks, jnp.full_like(nodes, size, jnp.int32)
    )
    counts = np.stack([np.bincount(column, minlength=size) for column in np.asarray(found).T])
    expected = len(nodes) / size
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def problem_of(sizes: list[int], batch_size: int, sampling: str = "epochs") -> jg.learning.Problem:
    """Return the problem of means: the gradient at 0 is minus the mean of the batch, whose samples are powers of two."""
    total = sum(sizes)
    x = np.concatenate([2.0 ** np.arange(size) for size in sizes])[:, None].astype(np.float32)
    data = jg.learning.from_arrays(x, x[:, 0], x_test=x[:1], y_test=x[:1, 0], target="value", standardize=False, rng=0)
    order = np.argsort(np.concatenate([np.full(size, node) for node, size in enumerate(sizes)]), kind="stable")
    rows = (
        np.array([np.flatnonzero(data.x_train[:, 0] == value)[0] for value in x[order, 0]])
        if len(sizes) == 1
        else order
    )
    partition = Partition(
        rows.astype(np.int32), np.cumsum([0, *sizes]).astype(np.int64), np.array(sizes, np.int32), total
    )
    model = jg.learning.from_functions(lambda _: {"m": jnp.zeros(1)}, lambda params, x: params["m"][0] + 0 * x[:, 0])
    return jg.learning.supervised(data, partition, model, batch_size=batch_size, sampling=sampling)


@pytest.mark.slow
def test_a_run_takes_each_sample_once_an_epoch_and_goes_on_within_one() -> None:
    problem = problem_of([11], 4)
    algorithm = jg.algorithms.isolated(problem, optax.sgd(0.5))
    whole = jg.simulate(algorithm, rounds=6, seed=1)
    half = jg.simulate(algorithm, rounds=4, seed=1)
    rest = jg.simulate(algorithm, rounds=6, seed=1, start=half.run)
    np.testing.assert_array_equal(np.asarray(whole.x), np.asarray(rest.x))


def test_without_the_number_of_the_step_there_are_no_epochs() -> None:
    problem = problem_of([5], 2)
    with pytest.raises(InputError, match="need the number of the step"):
        problem.gradient(jnp.zeros((1, 1)), jax.random.key(0))
