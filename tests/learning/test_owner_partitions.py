"""Partitions by owner, stratified, by numbers of classes, and with a floor."""

import numpy as np
import pytest

from jaxgossip.core.errors import DataError, InputError
from jaxgossip.learning import PARTITIONS, from_arrays, supervised
from jaxgossip.learning.models import softmax

RNG = np.random.default_rng(0)
OWNERS = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])[RNG.permutation(78)]
LABELS = RNG.integers(0, 4, 78)


def owned(n_nodes: int, **options: object) -> list[np.ndarray]:
    partition = PARTITIONS["by_owner"](LABELS, n_nodes, owners=OWNERS, **options)
    return [partition.train(node) for node in range(n_nodes)]


def test_each_owner_has_a_node() -> None:
    nodes = owned(12)
    assert sorted(int(OWNERS[rows[0]]) for rows in nodes) == list(range(12))
    for rows in nodes:
        assert sorted(rows) == np.flatnonzero(OWNERS[rows[0]] == OWNERS).tolist()


def test_more_owners_than_nodes_are_grouped_evenly_or_the_largest_are_taken() -> None:
    nodes = owned(4)
    assert sorted(np.concatenate(nodes)) == list(range(78))
    holders = [{int(OWNERS[row]) for row in rows} for rows in nodes]
    assert sum(map(len, holders)) == 12  # no owner is on two nodes
    assert max(map(len, nodes)) - min(map(len, nodes)) <= 3
    largest = owned(4, assign="largest")
    assert {int(OWNERS[rows[0]]) for rows in largest} == {8, 9, 10, 11}
    assert all(len({int(OWNERS[row]) for row in rows}) == 1 for rows in largest)


def test_small_owners_are_left_out() -> None:
    assert {int(OWNERS[row]) for rows in owned(6, least=5) for row in rows} == set(range(4, 12))
    with pytest.raises(DataError) as told:
        owned(9, least=5)
    assert told.value.message == "partition 'by_owner': 8 owners of at least 5 samples are too few for 9 nodes"
    assert told.value.hint == "topology.nodes of at most 8"


def test_unknown_owners_are_told() -> None:
    with pytest.raises(DataError, match="nothing says whose the samples are"):
        PARTITIONS["by_owner"](LABELS, 3)


def counts(partition: object, labels: np.ndarray) -> np.ndarray:
    nodes = range(partition.n_nodes)
    return np.stack([np.bincount(labels[partition.train(node)], minlength=labels.max() + 1) for node in nodes])


def test_stratified_samples_are_even_in_sizes_and_classes() -> None:
    labels = RNG.choice(5, 203, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    found = counts(PARTITIONS["stratified"](labels, 8), labels)
    assert found.sum() == 203
    assert np.ptp(found.sum(1)) <= 1
    assert (np.ptp(found, axis=0) <= 1).all()


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_every_node_has_so_many_classes(classes: int) -> None:
    labels = np.arange(600) % 6
    found = counts(PARTITIONS["label_quantity"](labels, 12, classes=classes, rng=1), labels)
    assert ((found > 0).sum(1) == classes).all()
    assert ((found > 0).sum(0) == 2 * classes).all()
    assert found.sum() == 600


def test_numbers_of_classes_that_cannot_be_are_told() -> None:
    labels = np.arange(60) % 6
    for n_nodes, classes, said in (
        (12, 7, "cannot give 7 classes to each node"),
        (2, 2, "2 nodes of 2 classes each leave some of 6 classes out"),
        (60, 6, "60 nodes are to share the 10 samples of class 0"),
    ):
        with pytest.raises(DataError, match=said):
            PARTITIONS["label_quantity"](labels, n_nodes, classes=classes)


@pytest.mark.parametrize("least", [1, 5, 10])
def test_dirichlet_has_a_floor(least: int) -> None:
    labels = np.arange(400) % 4
    partition = PARTITIONS["dirichlet"](labels, 30, alpha=0.05, least=least, rng=2)
    assert partition.n_train.min() >= least
    assert sorted(partition.order) == list(range(400))
    with pytest.raises(DataError, match="400 for training are too few for 30 nodes of 14 samples"):
        PARTITIONS["dirichlet"](labels, 30, least=14)


@pytest.mark.parametrize("least", [1, 4, 9])
def test_a_power_law_has_a_floor_and_keeps_its_order(least: int) -> None:
    labels, law = np.zeros(300, np.int32), np.arange(1.0, 31) ** -1.5
    partition = PARTITIONS["quantity_skew"](labels, 30, exponent=1.5, least=least, rng=2)
    sizes = np.sort(partition.n_train)[::-1]
    assert sorted(partition.order) == list(range(300))
    # what the law gives above the floor, and the floor below it; the largest alone give
    np.testing.assert_array_less(least - 1, sizes)
    expected = 300 * law / law.sum()
    giving = sizes < np.floor(expected)
    assert np.ptp(sizes[giving]) <= 1 if giving.any() else least == 1
    kept = ~giving & (expected > least + 1)
    assert np.abs(sizes - expected)[kept].max(initial=0) <= 1
    with pytest.raises(DataError, match="300 for training are too few for 30 nodes of 11 samples"):
        PARTITIONS["quantity_skew"](labels, 30, least=11)


def test_values_have_no_classes_to_be_divided_by() -> None:
    x = RNG.normal(size=(40, 2))
    data = from_arrays(x, x[:, 0], target="value")
    with pytest.raises(InputError, match="partition 'dirichlet' divides classes, and arrays has none"):
        supervised(data, "dirichlet", softmax((2,), 1), nodes=4)
