"""Partitions: ownership, balance, skew, and that a million nodes cost only indices."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.core.errors import DataError
from jaxgossip.learning import PARTITIONS
from jaxgossip.learning.partitions import (
    Partition,
    dirichlet,
    fixed_size,
    iid,
    label_shards,
    one_sample,
    quantity_skew,
    stratified,
)

ONCE: dict[str, Callable[..., Partition]] = {
    "iid": iid,
    "dirichlet": dirichlet,
    "dirichlet_extreme": lambda *a, **k: dirichlet(*a, alpha=1e-3, **k),
    "label_shards": lambda *a, **k: label_shards(*a, shards=1, **k),
    "quantity_skew": quantity_skew,
    "stratified": stratified,
    "quantity_skew_extreme": lambda *a, **k: quantity_skew(*a, exponent=5.0, **k),
}
"""Kinds that use every sample exactly once."""


def labels_of(m: int, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(m).integers(0, classes, m).astype(np.int32)


def valid(partition: Partition, m: int, n: int) -> None:
    assert partition.order.dtype == partition.n_train.dtype == np.int32
    assert partition.offsets.dtype == np.int64
    assert partition.n_nodes == n
    assert len(partition.offsets) == n + 1
    assert partition.offsets[0] == 0
    assert partition.offsets[-1] == len(partition.order)
    assert partition.order.min() >= 0
    assert partition.order.max() < m
    sizes = np.diff(partition.offsets)
    assert (partition.n_train >= 1).all()
    assert (partition.n_train <= sizes).all()
    for node in range(n):
        own = np.concatenate([partition.train(node), partition.test(node)])
        assert len(partition.train(node)) == partition.n_train[node]
        assert len(set(own)) == len(own) == sizes[node]


def test_the_cases_cover_the_registry() -> None:
    kinds = {name.removesuffix("_extreme") for name in ONCE} | {
        "fixed_size",
        "one_sample",
        "by_owner",
        "label_quantity",
    }
    assert kinds == set(PARTITIONS)


@pytest.mark.parametrize("kind", ONCE)
@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 30), more=st.integers(0, 60), seed=st.integers(0, 9), local_test=st.sampled_from([0.0, 0.4]))
def test_each_sample_is_owned_exactly_once(kind: str, n: int, more: int, seed: int, local_test: float) -> None:
    m = n + more
    if local_test and m < 2 * n:
        m += n  # so that some node can spare a sample
    partition = ONCE[kind](labels_of(m), n, rng=seed, local_test=local_test)
    valid(partition, m, n)
    np.testing.assert_array_equal(np.sort(partition.order), np.arange(m))


@settings(deadline=None, max_examples=150)
@given(m=st.integers(1, 30), size=st.integers(1, 30), n=st.integers(1, 90), seed=st.integers(0, 9))
def test_fixed_size_gives_different_samples_and_uses_all_evenly(m: int, size: int, n: int, seed: int) -> None:
    size = min(size, m)
    partition = fixed_size(labels_of(m), n, samples=size, rng=seed)
    valid(partition, m, n)
    assert (partition.n_train == size).all()
    uses = np.bincount(partition.order, minlength=m)
    assert uses.max() - uses.min() <= 1


@pytest.mark.parametrize(("m", "size"), [(5, 1), (6, 3), (7, 3)])
def test_fixed_size_gives_every_node_every_sample_with_equal_chance(m: int, size: int) -> None:
    counts = np.zeros((4, m))
    for seed in range(600):
        partition = fixed_size(labels_of(m), 4, samples=size, rng=seed)
        np.add.at(counts, (np.repeat(np.arange(4), size), partition.order), 1)
    p = size / m
    assert np.abs(counts - 600 * p).max() < 4.5 * math.sqrt(600 * p * (1 - p))


@pytest.mark.parametrize("n", [1, 40, 41, 100, 1000])
def test_one_sample_is_held_equally_often_in_random_order(n: int) -> None:
    partition = one_sample(labels_of(40), n)
    valid(partition, 40, n)
    np.testing.assert_array_equal(partition.offsets, np.arange(n + 1))
    uses = np.bincount(partition.order, minlength=40)
    assert set(uses) <= {n // 40, -(-n // 40)}
    if n >= 40:
        assert not np.array_equal(partition.order, np.arange(n) % 40)
        assert not np.array_equal(np.sort(partition.order[:40]), np.arange(40)) or n == 40


@pytest.mark.parametrize(("m", "n"), [(100, 10), (103, 10), (7, 7), (50, 1)])
def test_iid_sizes_differ_by_one_at_most(m: int, n: int) -> None:
    sizes = iid(labels_of(m), n).n_train
    assert set(sizes) <= {m // n, -(-m // n)}


def test_iid_mixes_classes_on_every_node() -> None:
    labels = np.sort(labels_of(20_000, classes=2))
    partition = iid(labels, 20)
    share = [labels[partition.train(node)].mean() for node in range(20)]
    assert np.abs(np.array(share) - labels.mean()).max() < 4.5 * math.sqrt(0.25 / 1000)


def classes_per_node(partition: Partition, labels: np.ndarray) -> np.ndarray:
    return np.array([len(set(labels[partition.train(node)])) for node in range(partition.n_nodes)])


def test_dirichlet_is_skewed_for_small_and_even_for_large_alpha() -> None:
    labels = labels_of(20_000, classes=10)
    few, some, all_ = (dirichlet(labels, 20, alpha=alpha, rng=0) for alpha in (0.01, 0.1, 1000.0))
    assert classes_per_node(few, labels).mean() < classes_per_node(some, labels).mean() < 10
    assert classes_per_node(few, labels).mean() < 3
    assert (classes_per_node(all_, labels) == 10).all()
    assert np.diff(all_.offsets).std() < 0.02 * 1000
    assert np.diff(some.offsets).std() > 0.3 * 1000


def test_dirichlet_shares_have_the_moments_of_the_distribution() -> None:
    labels, n, alpha = np.zeros(50_000, np.int32), 400, 0.5
    share = np.diff(dirichlet(labels, n, alpha=alpha, rng=0).offsets) / 50_000
    variance = (n - 1) / (n**2 * (n * alpha + 1))
    # Var of one share of Dirichlet(alpha, ..., alpha); its estimate over 400 nodes spreads by some 15 %
    np.testing.assert_allclose(share.var(), variance, rtol=0.5)


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_label_shards_give_few_classes_and_equal_numbers(shards: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 60))
    partition = label_shards(labels, 12, shards=shards)
    np.testing.assert_array_equal(partition.n_train, 50)
    # a shard of 600 / (12 shards) samples touches two classes at most, as a class has 60
    assert classes_per_node(partition, labels).max() <= 2 * shards
    assert classes_per_node(partition, labels).mean() < 10


def test_which_shards_and_which_samples_of_a_class_a_node_gets_is_random() -> None:
    labels = np.repeat(np.arange(10), 60)
    first, second = (label_shards(labels, 10, rng=seed) for seed in (0, 1))
    sets = [[frozenset(labels[partition.train(node)]) for node in range(10)] for partition in (first, second)]
    assert sets[0] != sets[1]
    partition = dirichlet(np.zeros(1000, np.int32), 4, alpha=10.0)
    for node in range(4):
        # a mean of k of the numbers 0..999 without replacement, k above 100
        assert abs(partition.train(node).mean() - 499.5) < 4.5 * 289 / math.sqrt(len(partition.train(node)))


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0])
def test_quantity_skew_follows_its_power_law(exponent: float) -> None:
    m, n = 50_000, 50
    sizes = np.sort(quantity_skew(labels_of(m), n, exponent=exponent).n_train)[::-1]
    law = np.arange(1, n + 1.0) ** -exponent
    assert np.abs(sizes - m * law / law.sum()).max() <= 1


def test_quantity_skew_deals_ranks_and_classes_at_random() -> None:
    labels = np.sort(labels_of(20_000, classes=2))
    first, second = (quantity_skew(labels, 10, rng=seed) for seed in (0, 1))
    assert first.n_train.argmax() != second.n_train.argmax() or first.n_train.argmin() != second.n_train.argmin()
    for node in range(10):
        own = labels[first.train(node)]
        assert abs(own.mean() - labels.mean()) < 4.5 * math.sqrt(0.25 / len(own))


def test_the_richest_give_to_the_empty() -> None:
    partition = quantity_skew(labels_of(30), 20, exponent=20.0)  # one node would own nearly all
    np.testing.assert_array_equal(np.sort(partition.n_train), [1] * 19 + [11])
    partition = dirichlet(np.zeros(40, np.int32), 38, alpha=1e-3, rng=1)
    assert np.sort(partition.n_train)[-3:].sum() in (4, 5)


@pytest.mark.parametrize("kind", [*ONCE, "fixed_size"])
def test_a_local_test_is_a_random_part_of_the_nodes_own_samples(kind: str) -> None:
    labels = labels_of(400)
    builder = ONCE.get(kind, lambda *a, **k: fixed_size(*a, samples=40, **k))
    whole, split = builder(labels, 10, rng=4), builder(labels, 10, rng=4, local_test=0.25)
    np.testing.assert_array_equal(whole.offsets, split.offsets)
    sizes = np.diff(split.offsets)
    np.testing.assert_array_equal(split.n_train, sizes - np.minimum(np.floor(sizes / 4 + 0.5), sizes - 1))
    for node in range(10):
        assert set(whole.train(node)) == set(split.train(node)) | set(split.test(node))
        assert not set(split.train(node)) & set(split.test(node))


@pytest.mark.parametrize("kind", ["dirichlet", "label_shards", "quantity_skew"])
def test_the_local_test_has_the_classes_of_the_training_part(kind: str) -> None:
    labels = np.repeat(np.arange(2), 5000)
    partition = PARTITIONS[kind](labels, 1, local_test=0.5, **({"shards": 1} if kind == "label_shards" else {}))
    assert abs(labels[partition.test(0)].mean() - 0.5) < 4.5 * math.sqrt(0.25 / 10_000)


@pytest.mark.parametrize("kind", PARTITIONS)
def test_the_seed_decides(kind: str) -> None:
    options = {"fixed_size": {"samples": 3}, "by_owner": {"owners": np.arange(90) // 3}}.get(kind, {})
    builder = PARTITIONS[kind]
    first, again, other = (builder(labels_of(90), 20, rng=rng, **options) for rng in (1, np.random.default_rng(1), 2))
    np.testing.assert_array_equal(first.order, again.order)
    assert not np.array_equal(first.order, other.order)
    on_device = builder(jnp.asarray(labels_of(90)), 20, rng=1, **options)
    np.testing.assert_array_equal(first.order, on_device.order)


@pytest.mark.by_default("iid-options2", "one_sample-options0")
@pytest.mark.parametrize(("kind", "options"), [("one_sample", {}), ("fixed_size", {"samples": 3}), ("iid", {})])
def test_a_million_nodes_cost_indices_alone(kind: str, options: dict) -> None:
    n = 1_000_000
    m = n if kind == "iid" else 4140
    partition = PARTITIONS[kind](np.zeros(m, np.int32), n, **options)
    size = options.get("samples", 1)
    assert partition.order.nbytes + partition.offsets.nbytes + partition.n_train.nbytes == 4 * n * size + 12 * n + 8
    uses = np.bincount(partition.order, minlength=m)
    assert uses.max() - uses.min() <= 1


MORE = " (local_test = 0, or a partition with more samples a node)"
RANGE = " (samples lies between 1 and the 30 training samples)"
REUSE = " (one_sample or fixed_size reuse samples)"


@pytest.mark.parametrize(
    ("kind", "n", "options", "message"),
    [
        ("iid", 31, {}, "partition 'iid' uses each sample once: 30 for training are too few for 31 nodes" + REUSE),
        (
            "dirichlet",
            1000,
            {},
            "partition 'dirichlet' uses each sample once: 30 for training are too few for 1,000 nodes" + REUSE,
        ),
        (
            "label_shards",
            31,
            {},
            "partition 'label_shards' uses each sample once: 30 for training are too few for 31 nodes" + REUSE,
        ),
        (
            "quantity_skew",
            31,
            {},
            "partition 'quantity_skew' uses each sample once: 30 for training are too few for 31 nodes" + REUSE,
        ),
        (
            "label_shards",
            10,
            {"shards": 4},
            "partition 'label_shards' cannot cut 30 samples into 10 × 4 shards (shards lies between 1 and 3)",
        ),
        (
            "label_shards",
            10,
            {"shards": 0},
            "partition 'label_shards' cannot cut 30 samples into 10 × 0 shards (shards lies between 1 and 3)",
        ),
        (
            "fixed_size",
            3,
            {"samples": 31},
            "partition 'fixed_size' cannot give 31 samples to each node" + RANGE,
        ),
        (
            "fixed_size",
            3,
            {"samples": 0},
            "partition 'fixed_size' cannot give 0 samples to each node" + RANGE,
        ),
        ("dirichlet", 3, {"alpha": 0.0}, "partition 'dirichlet' needs a positive alpha, not 0.0"),
        ("dirichlet", 3, {"alpha": -1.0}, "partition 'dirichlet' needs a positive alpha, not -1.0"),
        (
            "quantity_skew",
            3,
            {"exponent": -1.0},
            "partition 'quantity_skew' needs an exponent that is not negative, not -1.0",
        ),
        (
            "one_sample",
            5,
            {"local_test": 0.2},
            "local_test = 0.2 leaves no node a sample to test on: the largest owns 1" + MORE,
        ),
        ("iid", 3, {"local_test": 1.0}, "iid: local_test = 1.0 is not a fraction (0 or more, and less than 1)"),
        ("iid", 3, {"local_test": -0.1}, "iid: local_test = -0.1 is not a fraction (0 or more, and less than 1)"),
    ],
)
def test_impossible_partitions_are_told(kind: str, n: int, options: dict, message: str) -> None:
    with pytest.raises(DataError) as told:
        PARTITIONS[kind](labels_of(30), n, **options)
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("offsets", "n_train", "message"),
    [
        ([0, 2, 3], [1, 1], "a partition of 4 rows over 2 nodes needs 3 offsets from 0 to 4"),
        ([0, 4], [1, 1], "a partition of 4 rows over 2 nodes needs 3 offsets from 0 to 4"),
        ([0, 1, 4], [2, 1], "node 0 trains on 2 of its 1 samples"),
        ([0, 1, 4], [1, 0], "node 1 trains on 0 of its 3 samples"),
    ],
)
def test_a_partition_made_by_hand_is_checked(offsets: list[int], n_train: list[int], message: str) -> None:
    with pytest.raises(DataError) as told:
        Partition(np.arange(4, dtype=np.int32), np.array(offsets), np.array(n_train, np.int32))
    assert str(told.value) == message
