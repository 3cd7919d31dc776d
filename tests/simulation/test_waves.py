"""Waves: executed together they are what one delivery after the other is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.simulation.waves import Deliveries, waves


def random_schedule(n: int, count: int, seed: int, *, delay: float) -> Deliveries:
    rng = np.random.default_rng(seed)
    sent_at = np.sort(rng.random(count))
    arrives = sent_at + delay * rng.random(count) + 1e-12
    order = np.argsort(arrives, kind="stable")
    return Deliveries(
        rng.integers(n, size=count)[order], rng.integers(n, size=count)[order],
        np.searchsorted(arrives[order], sent_at[order]),
    )  # fmt: skip


def merged(own: np.ndarray, heard: np.ndarray, number: int) -> np.ndarray:
    """A rule that does not commute with itself."""
    return 0.5 * own + 0.4 * heard + np.cos(number + own * heard)


def one_by_one(n: int, deliveries: Deliveries) -> np.ndarray:
    x, history = np.random.default_rng(1).normal(size=n), []
    for number, (sender, receiver, sent) in enumerate(zip(*deliveries, strict=True)):
        history.append(x.copy())
        heard = history[sent][sender] if sent < number else x[sender]
        x[receiver] = merged(x[receiver], heard, number)
    return x


def in_waves(n: int, deliveries: Deliveries) -> np.ndarray:
    found = waves(n, deliveries)
    x, slots = np.random.default_rng(1).normal(size=n), np.full(found.n_slots, np.nan)
    for wave in range(1, found.n_waves + 1):
        copied = np.flatnonzero((found.copied == wave) & (found.slot >= 0))
        slots[found.slot[copied]] = x[deliveries.sender[copied]]
        now = np.flatnonzero(found.level == wave)
        receiver = deliveries.receiver[now]
        assert np.unique(receiver).size == receiver.size
        waits = found.slot[now] >= 0
        # One at a time, last first: what commutes may come in any order.
        for number, slot, own, direct in zip(
            now[::-1], found.slot[now][::-1], receiver[::-1], ~waits[::-1], strict=True
        ):
            heard = x[deliveries.sender[number]] if direct else slots[slot]
            x[own] = merged(x[own], heard, number)
    return x


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(0, 60), st.integers(0, 10**6), st.sampled_from([0.0, 0.05, 1.0]))
def test_waves_are_one_delivery_after_the_other(n: int, count: int, seed: int, delay: float) -> None:
    deliveries = random_schedule(n, count, seed, delay=delay)
    np.testing.assert_array_equal(in_waves(n, deliveries), one_by_one(n, deliveries))


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_levels_are_the_longest_chains(delay: float) -> None:
    deliveries = random_schedule(50, 600, 3, delay=delay)
    level = np.zeros(600, int)
    last: dict[int, list[int]] = {}
    for number, (sender, receiver, sent) in enumerate(zip(*deliveries, strict=True)):
        q = [k for k in last.get(sender, []) if k < sent]
        p = last.get(receiver, [])
        level[number] = 1 + max(level[q[-1]] if q else 0, level[p[-1]] if p else 0)
        last.setdefault(receiver, []).append(number)
    assert waves(50, deliveries).level.tolist() == level.tolist()


def test_slots_are_no_more_than_copies_that_wait_at_once() -> None:
    deliveries = random_schedule(40, 500, 5, delay=0.2)
    found = waves(40, deliveries)
    waits = found.slot >= 0
    at_once = [(waits & (found.copied <= wave) & (wave <= found.level)).sum() for wave in range(1, found.n_waves + 1)]
    assert found.n_slots == max(at_once)
