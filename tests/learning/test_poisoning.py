"""Label flipping: only the chosen nodes learn from flipped labels."""

import numpy as np
import pytest

from jaxgossip.core.errors import DataError
from jaxgossip.learning import flip_labels, partitions
from jaxgossip.learning.data import datasets


def test_the_chosen_nodes_train_on_flipped_labels_and_nobody_else_does() -> None:
    data = datasets.synthetic(samples=60, features=3, classes=4, rng=0)
    parts = partitions.iid(data.y_train, 6, local_test=0.25, rng=0)
    poisoned, new = flip_labels(data, parts, [4, 1])
    for node in range(6):
        rows, before = new.train(node), parts.train(node)
        np.testing.assert_array_equal(poisoned.x_train[rows], data.x_train[before])
        flipped = 3 - data.y_train[before] if node in (1, 4) else data.y_train[before]
        np.testing.assert_array_equal(poisoned.y_train[rows], flipped)
        np.testing.assert_array_equal(new.test(node), parts.test(node))
    np.testing.assert_array_equal(poisoned.y_test, data.y_test)


def test_a_node_that_does_not_exist_is_named() -> None:
    data = datasets.synthetic(samples=60, features=3, rng=0)
    with pytest.raises(DataError, match="node 9 does not exist"):
        flip_labels(data, partitions.iid(data.y_train, 6, rng=0), [9])


def test_nodes_that_are_flipped_one_after_the_other_are_all_known_and_twice_is_not_at_all() -> None:
    data = datasets.synthetic(samples=60, features=3, classes=4, rng=0)
    first, one = flip_labels(data, partitions.iid(data.y_train, 6, rng=0), [1, 4])
    second, two = flip_labels(first, one, np.array([2, 4]))
    assert (one.flipped, two.flipped) == ((1, 4), (1, 2))
    before = partitions.iid(data.y_train, 6, rng=0)
    for node in range(6):
        true = data.y_train[before.train(node)]
        np.testing.assert_array_equal(second.y_train[two.train(node)], 3 - true if node in (1, 2) else true)
