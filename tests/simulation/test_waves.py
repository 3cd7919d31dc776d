"""Waves: executed together they are what one delivery after the other is, stretch by stretch."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.simulation.events.waves import Segment, waves


class Timed(NamedTuple):
    """Messages with the order of their 2m operations, sends k and deliveries m + k."""

    sender: np.ndarray
    receiver: np.ndarray
    order: np.ndarray


def random_schedule(n: int, count: int, seed: int, *, delay: float) -> Timed:
    rng = np.random.default_rng(seed)
    sent = rng.random(count)
    arrives = sent + delay * rng.random(count)
    number = np.tile(np.arange(count), 2)
    order = np.lexsort((np.repeat([0, 1], count), number, np.concatenate([sent, arrives])))
    sender = rng.integers(n, size=count)
    receiver = np.where(rng.random(count) < 0.1, sender, rng.integers(n, size=count))  # some act alone
    return Timed(sender, receiver, order)


def merged(own: np.ndarray, heard: np.ndarray, number: int) -> np.ndarray:
    """A rule that does not commute with itself."""
    return 0.5 * own + 0.4 * heard + np.cos(number + own * heard)


def one_by_one(n: int, timed: Timed) -> np.ndarray:
    x, copies, m = np.random.default_rng(1).normal(size=n), {}, timed.sender.size
    for operation in timed.order.tolist():
        if operation < m:
            copies[operation] = x[timed.sender[operation]]
        else:
            number = operation - m
            x[timed.receiver[number]] = merged(x[timed.receiver[number]], copies[number], number)
    return x


def stretches(timed: Timed, cuts: list[int]) -> list[tuple[np.ndarray, Segment]]:
    """Return (the numbers of the messages, the stretch) for each part of the order of operations."""
    m, found, waiting = timed.sender.size, [], np.empty(0, int)
    for part in np.split(timed.order, cuts):
        sent, arrived = part[part < m], part[part >= m] - m
        numbers = np.concatenate([waiting, sent])
        place = np.zeros(m, int)
        place[numbers] = np.arange(numbers.size)
        order = np.where(part < m, place[part % m], numbers.size + place[part % m])
        stretch = Segment(timed.sender[numbers], timed.receiver[numbers], order, waiting.size)
        found.append((numbers, stretch))
        waiting = numbers[~np.isin(numbers, arrived)]
    return found


def in_waves(n: int, timed: Timed, cuts: list[int]) -> np.ndarray:
    x, held = np.random.default_rng(1).normal(size=n), np.empty(0)
    for numbers, stretch in stretches(timed, cuts):
        found, m = waves(n, stretch), numbers.size
        delivered = np.isin(np.arange(m), stretch.order[stretch.order >= m] - m)
        slots = np.full(max(found.n_slots, held.size), np.nan)
        slots[: held.size] = held
        for wave in range(1, found.n_waves + 1):
            copied = np.flatnonzero((found.copied == wave) & (found.slot >= 0))
            slots[found.slot[copied]] = x[stretch.sender[copied]]
            now = np.flatnonzero((found.level == wave) & delivered)
            assert np.unique(stretch.receiver[now]).size == now.size
            # Last first: what commutes may come in any order.
            for this in now[::-1]:
                slot, own = found.slot[this], stretch.receiver[this]
                heard = x[stretch.sender[this]] if slot < 0 else slots[slot]
                x[own] = merged(x[own], heard, numbers[this])
        held = slots[found.slot[~delivered]]
    return x


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(
    st.integers(1, 12), st.integers(1, 60), st.integers(0, 10**6), st.sampled_from([0.0, 0.05, 1.0]),
    st.lists(st.integers(0, 120), max_size=3),
)  # fmt: skip
def test_waves_are_one_delivery_after_the_other(n: int, count: int, seed: int, delay: float, cuts: list[int]) -> None:
    timed = random_schedule(n, count, seed, delay=delay)
    np.testing.assert_array_equal(in_waves(n, timed, sorted(cuts)), one_by_one(n, timed))


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_levels_are_the_longest_chains(delay: float) -> None:
    timed = random_schedule(50, 600, 3, delay=delay)
    level, last, before = np.zeros(600, int), np.zeros(50, int), np.zeros(600, int)
    for operation in timed.order.tolist():
        number = operation % 600
        if operation < 600:
            before[number] = last[timed.sender[number]]
        else:
            level[number] = 1 + max(before[number], last[timed.receiver[number]])
            last[timed.receiver[number]] = level[number]
    assert waves(50, Segment(*timed)).level.tolist() == level.tolist()


def test_slots_are_no_more_than_copies_that_wait_at_once() -> None:
    found = waves(40, Segment(*random_schedule(40, 500, 5, delay=0.2)))
    waits = found.slot >= 0
    at_once = [(waits & (found.copied <= wave) & (wave <= found.level)).sum() for wave in range(1, found.n_waves + 1)]
    assert found.n_slots == max(at_once)


def test_what_is_read_in_place_is_not_copied() -> None:
    # Nodes that act alone, at once: each reads what it rewrites.
    node = np.array([0, 1, 0, 2, 1, 0])
    at_once = np.stack([np.arange(6), 6 + np.arange(6)], axis=1).ravel()
    found = waves(3, Segment(node, node, at_once))
    assert found.slot.tolist() == [-1] * 6
    assert found.n_slots == 0
    # Two that cross read each other in one wave, and of two in a row the second reads what the first has written.
    crossing = waves(3, Segment(np.array([0, 1, 1]), np.array([1, 0, 2]), np.array([0, 1, 3, 4, 2, 5])))
    assert crossing.level.tolist() == [1, 1, 2]
    assert (crossing.slot >= 0).tolist() == [True, True, False]
