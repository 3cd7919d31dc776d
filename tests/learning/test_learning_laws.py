"""Partitions and draws of a handful of samples: all outcomes, with their exact probabilities."""

import collections
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgossip.core.random import NodeDraws
from jaxgossip.learning import partitions
from jaxgossip.learning.device import integers_at, integers_below
from jaxgossip.learning.partitions.rules import Partition
from jaxgossip.learning.privacy import DifferentialPrivacy
from tests.laws import DRAWS, assert_distributed, assert_follows, assert_uniform, drawn, law_of, rows


def owned(partition: Partition) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(sorted(partition.train(node).tolist())) for node in range(partition.n_nodes))


def seen(make: Callable[[int], Partition], draws: int = DRAWS) -> list:
    return [owned(make(seed)) for seed in range(draws)]


def dealt(n_samples: int, sizes: tuple[int, ...]) -> list:
    """Return all ways to give each node that many distinct samples."""
    ways = {
        tuple(
            tuple(sorted(order[end - size : end])) for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)
        )
        for order in itertools.permutations(range(n_samples))
    }
    return sorted(ways)


def after_giving(owners: tuple[int, ...], n_nodes: int, chance: float):
    """Yield the owners after random samples of nodes that own most go to empty nodes, one by one, until none is empty."""
    sizes = [owners.count(node) for node in range(n_nodes)]
    if 0 not in sizes:
        yield tuple(tuple(j for j, one in enumerate(owners) if one == node) for node in range(n_nodes)), chance
        return
    rich, empty = ([node for node in range(n_nodes) if sizes[node] == size] for size in (max(sizes), 0))
    for giver, taker in itertools.product(rich, empty):
        for j in (j for j, one in enumerate(owners) if one == giver):
            share = chance / (len(rich) * len(empty) * max(sizes))
            yield from after_giving((*owners[:j], taker, *owners[j + 1 :]), n_nodes, share)


@pytest.mark.slow
def test_classes_of_one_sample_go_to_any_node_alike_whatever_its_number() -> None:
    # One sample of a class follows the shares themselves: each node's is 1/n on average.
    found = seen(lambda seed: partitions.dirichlet(np.arange(4), 3, alpha=2.0, rng=seed), 5000)
    ways = (after_giving(owners, 3, 1 / 81) for owners in itertools.product(range(3), repeat=4))
    assert_follows(found, law_of(itertools.chain.from_iterable(ways)))


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1.0, 20.0])
def test_dirichlet_counts_have_the_moments_of_shares_that_are_rounded_up_as_often_as_they_should_be(
    alpha: float,
) -> None:
    n, m = 3, 8
    labels = np.repeat(np.arange(7), [m, *[6] * 6])  # of so many other classes nobody goes without a sample
    made = (partitions.dirichlet(labels, n, alpha=alpha, rng=seed) for seed in range(10_000))
    counts = np.array([[np.count_nonzero(one.train(node) < m) for node in range(n)] for one in made])
    share = stats.beta.ppf((np.arange(200_000) + 0.5) / 200_000, alpha, (n - 1) * alpha)
    part = m * share - np.floor(m * share)
    variance = m**2 * (1 / n) * (1 - 1 / n) / (n * alpha + 1) + np.mean(part * (1 - part))
    for column in counts.T:
        assert abs(column.mean() - m / n) < 5 * math.sqrt(variance / 10_000)
        assert column.var() == pytest.approx(variance, rel=0.07)


@pytest.mark.slow
def test_samples_are_spread_over_nodes_in_any_way_alike() -> None:
    labels = np.zeros(5, int)
    assert_uniform(seen(lambda seed: partitions.iid(labels, 2, rng=seed)), dealt(5, (2, 3)))
    assert_uniform(seen(lambda seed: partitions.iid(labels[:4], 2, rng=seed)), dealt(4, (2, 2)))


@pytest.mark.slow
def test_one_sample_each_is_one_of_the_most_even_ways() -> None:
    few = seen(lambda seed: partitions.one_sample(np.zeros(3, int), 2, rng=seed))
    assert_uniform(few, [((a,), (b,)) for a, b in itertools.permutations(range(3), 2)])
    many = seen(lambda seed: partitions.one_sample(np.zeros(2, int), 3, rng=seed))
    every = [tuple((j,) for j in way) for way in itertools.product(range(2), repeat=3) if len(set(way)) == 2]
    assert_uniform(many, every)


@pytest.mark.slow
@pytest.mark.parametrize(("m", "n", "size"), [(4, 3, 2), (4, 2, 3)])
def test_nodes_of_a_fixed_size_own_any_few_samples_alike_and_are_exchangeable(m: int, n: int, size: int) -> None:
    found = seen(lambda seed: partitions.fixed_size(np.zeros(m, int), n, samples=size, rng=seed))
    each = list(itertools.combinations(range(m), size))
    for node in range(n):
        assert_uniform((way[node] for way in found), each)
    uses = collections.Counter(j for way in found[:1] for few in way for j in few)
    assert max(uses.values()) - min(uses[j] for j in range(m)) <= 1
    ways = collections.Counter(found)
    for way in itertools.islice(ways, 5):  # however the nodes are numbered, and the samples
        same = {tuple(order) for order in itertools.permutations(way)}
        if len(same) > 1:
            assert stats.chisquare([ways[one] for one in same]).pvalue > 1e-6


@pytest.mark.slow
def test_shards_are_cut_of_shuffled_classes_and_dealt_at_random() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    ways = []
    for zeros, ones in itertools.product(itertools.permutations(range(3)), itertools.permutations(range(3, 6))):
        line = (*zeros, *ones)
        shards = [tuple(sorted(line[start : start + 2])) for start in (0, 2, 4)]
        ways += [(tuple(deal), 1 / 216) for deal in itertools.permutations(shards)]
    assert_follows(seen(lambda seed: partitions.label_shards(labels, 3, shards=1, rng=seed)), law_of(ways))


@pytest.mark.slow
def test_skewed_quantities_are_dealt_to_ranks_at_random() -> None:
    found = seen(lambda seed: partitions.quantity_skew(np.zeros(4, int), 2, exponent=1.0, rng=seed))
    # Shares 2/3 and 1/3 of four samples: three and one.
    assert_uniform(found, dealt(4, (3, 1)) + dealt(4, (1, 3)))


@pytest.mark.slow
def test_local_tests_are_a_fair_draw() -> None:
    def held_out(seed: int) -> tuple:
        partition = partitions.iid(np.zeros(4, int), 2, local_test=0.5, rng=seed)
        return tuple(part for node in range(2) for part in (*partition.train(node), *partition.test(node)))

    assert_uniform([held_out(seed) for seed in range(DRAWS)], itertools.permutations(range(4)))


def test_minibatches_draw_each_sample_alike_every_time() -> None:
    bounds = jnp.array([1, 3])
    below = drawn(lambda key: integers_below(key, bounds[:, None], NodeDraws(2), 2))
    at = drawn(lambda key: integers_at(key, bounds, jnp.array([7, 9], jnp.uint32), 2))
    for found in (below, at):
        assert_uniform(rows(found), [(0, 0, a, b) for a, b in itertools.product(range(3), repeat=2)])


def test_private_noise_is_normal_and_each_nodes_own() -> None:
    mechanism = DifferentialPrivacy(2.0, 1.5)

    def noise(key: jax.Array) -> jax.Array:
        zero = jnp.zeros((4, 2))
        return jnp.stack([mechanism.mean(zero, None, jax.random.fold_in(key, node)) for node in range(2)])

    found = drawn(noise).reshape(DRAWS, 4)
    assert_distributed(found, stats.norm(scale=1.5 * 2.0 / 4).cdf)
    off = np.corrcoef(found.T)[np.triu_indices(4, 1)]
    assert (np.abs(off) < 5 / math.sqrt(DRAWS)).all()
