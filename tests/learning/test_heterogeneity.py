"""How samples fall on nodes: counted by definition, of targets of every kind, and for a million nodes."""

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.learning.partitions import Partition, heterogeneity
from jaxgossip.learning.partitions.summary import class_counts, target_means

parts = jg.learning.partitions
RNG = np.random.default_rng(0)
LABELS = RNG.choice(6, 400, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04]).astype(np.int32)


def of_rows(*rows: Sequence[int], n_train: list[int] | None = None) -> Partition:
    """Return the partition in which node i has ``rows[i]``."""
    sizes = [len(own) for own in rows]
    order = np.array([row for own in rows for row in own], np.int32)
    return Partition(order, np.cumsum([0, *sizes]), np.array(n_train or sizes, np.int32))


def test_sizes_are_told_by_their_deciles() -> None:
    found = heterogeneity(of_rows(*([0] * size for size in range(1, 102))), batch_size=11)
    assert (found.nodes, found.mean, found.below_batch) == (101, 51.0, 10)
    assert found.deciles == tuple(range(1, 102, 10))
    assert found.classes is found.distance is found.owners is found.targets is found.between is None
    assert set(found.record()) == {"nodes", "mean", "deciles", "below_batch"}


@pytest.mark.parametrize("block", [1, 37, 2**22])
@pytest.mark.parametrize("kind", ["iid", "dirichlet", "label_shards"])
def test_class_shares_are_as_far_from_those_of_all_as_by_definition(
    kind: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxgossip.learning.partitions.summary.BLOCK_SAMPLES", block)
    made = jg.learning.PARTITIONS[kind](LABELS, 20, local_test=0.2, rng=1)
    owners = RNG.integers(0, 30, 400).astype(np.int32)
    counts = np.array([[np.sum(LABELS[made.train(node)] == label) for label in range(6)] for node in range(20)])
    shares = counts / counts.sum(1, keepdims=True)
    apart = np.abs(shares - counts.sum(0) / counts.sum()).sum(1) / 2
    found = heterogeneity(made, LABELS, owners)
    np.testing.assert_array_equal(class_counts(made, LABELS, np.arange(20)), counts)
    assert found.distance == pytest.approx(apart.mean(), abs=1e-12)
    present = (counts > 0).sum(1)
    assert found.classes == (present.min(), np.median(present), present.max())
    held = [len(set(owners[made.train(node)])) for node in range(20)]
    assert found.owners == (min(held), np.median(held), max(held))


def test_the_distance_tells_iid_from_skewed_and_disjoint() -> None:
    labels = np.repeat(np.arange(10), 100)
    same = heterogeneity(parts.stratified(labels, 10), labels)
    assert same.distance == pytest.approx(0, abs=1e-12)
    assert same.classes == (10, 10, 10)
    disjoint = heterogeneity(of_rows(*(range(100 * node, 100 * node + 100) for node in range(10))), labels)
    assert disjoint.distance == pytest.approx(0.9)  # 1 − 1/n, as each holds a tenth of all itself
    distances = [
        heterogeneity(parts.dirichlet(labels, 10, alpha=alpha, rng=0), labels).distance for alpha in (100, 1, 0.1)
    ]
    assert all(less < more for less, more in pairwise(distances))


@pytest.mark.parametrize("shape", [(300,), (300, 2)])
def test_values_are_told_by_the_variance_between_nodes(shape: tuple[int, ...]) -> None:
    owners = RNG.integers(0, 8, 300).astype(np.int32)
    y = RNG.normal(size=shape) + 3 * np.reshape(owners, (300, *[1] * (len(shape) - 1)))
    made = parts.by_owner(np.zeros(300, np.int32), 8, owners=owners)
    means = np.array([y[made.train(node)].mean(0) for node in range(8)])
    within = sum(np.square(y[made.train(node)] - means[node]).sum() for node in range(8))
    total = np.square(y - y.mean(0)).sum()
    found = heterogeneity(made, y, owners)
    np.testing.assert_allclose(target_means(made, y)[0], means)
    assert found.between == pytest.approx(1 - within / total)
    assert found.owners == (1, 1, 1)
    assert found.classes is None
    if len(shape) == 1:
        assert found.targets == pytest.approx((means.min(), np.median(means), means.max()))
    else:
        assert found.targets is None


def test_equal_values_have_no_variance_to_share() -> None:
    assert heterogeneity(of_rows([0, 1], [2]), np.full(3, 0.1)).between is None
    apart = heterogeneity(of_rows([0, 1], [2]), np.array([0.1, 0.1, 7.0]))
    assert apart.between == pytest.approx(1)


def test_tokens_are_not_classes() -> None:
    found = heterogeneity(of_rows([0, 1], [2]), np.zeros((3, 5), np.int32))
    assert found.classes is found.targets is found.between is None


def problem(**options: Any) -> Any:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(240, 3))
    data = jg.learning.from_arrays(x, (x[:, 0] > 0).astype(int), owners=np.arange(240) // 8, labels=(), name="table")
    model = jg.learning.models.logistic((3,), 2)
    made = parts.dirichlet(data.y_train, 16, alpha=0.5, local_test=0.25, rng=3)
    return data, made, jg.learning.supervised(data, made, model, batch_size=4, **options)


@pytest.mark.parametrize("ordered", [False, True])
def test_a_problem_gives_back_the_partition_that_it_was_made_of(ordered: bool) -> None:
    order = jg.topology.Order(np.random.default_rng(2).permutation(16).astype(np.int32)) if ordered else None
    data, made, task = problem(order=order)
    again = task.partition
    for field in ("order", "offsets", "n_train"):
        np.testing.assert_array_equal(getattr(again, field), getattr(made, field))
    assert task.class_names == ("0", "1")
    np.testing.assert_array_equal(task.targets, data.y_train)
    assert task.heterogeneity() == heterogeneity(made, data.y_train, data.owners, 4)
    assert task.heterogeneity().owners is not None


def test_a_million_nodes_are_summarised_quickly() -> None:
    labels = RNG.integers(0, 100, 50_000).astype(np.int32)
    made = parts.fixed_size(labels, 1_000_000, samples=2)
    began = time.perf_counter()
    found = heterogeneity(made, labels)
    assert time.perf_counter() - began < 5
    assert found.classes is not None
    assert found.distance is not None
    assert 0.97 < found.distance < 0.99  # two samples of 100 classes
