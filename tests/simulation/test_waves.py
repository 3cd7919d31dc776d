"""Waves: executed together they are what one delivery after the other is, stretch by stretch."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.simulation.events.waves import Segment, Slots, Waves, by_wave, waves


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


def given_slots(found: Waves, held: int, slots: Slots, slot: np.ndarray) -> np.ndarray:
    """Return the slots of a segment's messages, of which the first ``held`` have theirs, and −1 for those without."""
    new = found.waits & (np.arange(slot.size) >= held)
    slots.give(slot, by_wave(new, found.copied, found.n_waves), by_wave(found.level > 0, found.level, found.n_waves))
    return slot


def in_waves(n: int, timed: Timed, cuts: list[int]) -> np.ndarray:
    x, slots = np.random.default_rng(1).normal(size=n), Slots()
    copies, slot_of = np.full(timed.sender.size, np.nan), np.full(timed.sender.size, -1, np.int32)
    for numbers, stretch in stretches(timed, cuts):
        found, m = waves(n, stretch), numbers.size
        delivered = np.isin(np.arange(m), stretch.order[stretch.order >= m] - m)
        assert ((found.level > 0) == delivered).all()
        slot_of[numbers] = slot = given_slots(found, stretch.n_waiting, slots, slot_of[numbers])
        assert ((slot >= 0) == found.waits).all()
        for wave in range(1, found.n_waves + 1):
            copied = np.flatnonzero((found.copied == wave) & found.waits)
            copies[slot[copied]] = x[stretch.sender[copied]]
            now = np.flatnonzero((found.level == wave) & delivered)
            assert np.unique(stretch.receiver[now]).size == now.size
            # Last first: what commutes may come in any order.
            for this in now[::-1]:
                own = stretch.receiver[this]
                heard = copies[slot[this]] if found.waits[this] else x[stretch.sender[this]]
                x[own] = merged(x[own], heard, numbers[this])
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
    slots = Slots()
    given_slots(found, 0, slots, np.full(500, -1, np.int32))
    at_once = [
        (found.waits & (found.copied <= wave) & (wave <= found.level)).sum() for wave in range(1, found.n_waves + 1)
    ]
    assert slots.count == max(at_once)


def test_what_is_read_in_place_is_not_copied() -> None:
    # Nodes that act alone, at once: each reads what it rewrites.
    node = np.array([0, 1, 0, 2, 1, 0])
    at_once = np.stack([np.arange(6), 6 + np.arange(6)], axis=1).ravel()
    found = waves(3, Segment(node, node, at_once))
    assert found.waits.tolist() == [False] * 6
    # Two that cross read each other in one wave, and of two in a row the second reads what the first has written.
    crossing = waves(3, Segment(np.array([0, 1, 1]), np.array([1, 0, 2]), np.array([0, 1, 3, 4, 2, 5])))
    assert crossing.level.tolist() == [1, 1, 2]
    assert crossing.waits.tolist() == [True, True, False]
