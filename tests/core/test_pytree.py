"""Pytrees of a program: what is an argument of it, what is a part of it, and which programs are the same."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.core.pytree import HostOnly, Pytree, Record, partition


class Point(Pytree):
    def __init__(self, x: Any, tag: Any = None) -> None:
        self.x, self.tag = x, tag


class Scaled(Record):
    factor: Any
    shift: float = 0.0


def test_attributes_and_fields_are_children_in_their_order() -> None:
    tree = Point(jnp.ones(3), {"a": Scaled(2.0, 1.0)})
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)] == [
        ".x", ".tag['a'].factor", ".tag['a'].shift",
    ]  # fmt: skip
    doubled = jax.tree.map(lambda leaf: 2 * leaf, tree)
    assert type(doubled) is Point
    assert doubled.tag["a"].factor == 4.0
    with pytest.raises(AttributeError):
        Scaled(1.0).factor = 2.0  # pyright: ignore[reportAttributeAccessIssue]


def test_a_tree_is_its_arrays_and_all_the_rest() -> None:
    tree = Point((jnp.arange(3), "word", np.arange(2)), {"key": jax.random.key(0), "number": 3})
    arrays, static = partition(tree)
    assert [array.shape for array in arrays] == [(3,), ()]
    back = static.combined([array + 1 if array.ndim else array for array in arrays])
    np.testing.assert_array_equal(back.x[0], [1, 2, 3])
    assert back.x[1:2] == ("word",)
    assert back.tag["number"] == 3
    assert jax.jit(lambda arrays: static.combined(arrays).x[0].sum())(arrays) == 3


ONE = partial(max, 1)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (0.0, 0.0, True),
        ("a", "a", True),
        (np.arange(3), np.arange(3), True),
        (np.arange(3), np.arange(3.0), False),
        (np.arange(3), np.arange(3)[::-1], False),
        (max, max, True),
        (ONE, ONE, True),
        (ONE, partial(max, 1), False),
        ({"k": 1}, {"k": 1}, True),
        ({"k": 1}, {"l": 1}, False),
        (Scaled(1.0), Scaled(1.0), True),
        (Scaled(1.0), Scaled(2.0), False),
        (Scaled(jnp.ones(2)), Scaled(jnp.zeros(2)), True),
        (Scaled(jnp.ones(2)), Scaled(1.0), False),
        (HostOnly("a"), HostOnly("b"), True),
        (bytearray(b"a"), bytearray(b"a"), False),
    ],
)
def test_static_parts_are_equal_where_one_program_serves_both(a: Any, b: Any, same: bool) -> None:
    first, second = partition(Point(a))[1], partition(Point(b))[1]
    assert (first == second) is same
    assert not same or hash(first) == hash(second)


class Plain:
    def __init__(self, rate: float) -> None:
        self.rate, self.table = rate, np.arange(3)


def test_an_object_that_was_changed_is_another_part_of_the_program() -> None:
    """A problem of the user's own need not be a pytree: what it holds is then in the program, and may be changed."""
    own = Plain(0.1)
    before = partition(Point(own))[1]
    assert partition(Point(own))[1] == before
    own.rate = 0.2
    assert partition(Point(own))[1] != before
    own.rate = 0.1
    assert partition(Point(own))[1] == before
    own.table[0] = 7
    assert partition(Point(own))[1] != before
    assert partition(Point(Plain(0.1)))[1] != before
