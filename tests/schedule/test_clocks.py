"""Clocks: every tick once, in its cycle, at the stated rate."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from jaxgossip.core.errors import InputError
from jaxgossip.schedule import CLOCKS, Clock
from jaxgossip.schedule.clocks import by_speed, fixed, normal, poisson, synchronous

N = 500
PERIOD_S = 0.7

MAKERS: dict[str, Callable[[], Clock]] = {
    "fixed": lambda: fixed(N, np.random.default_rng(0), period_s=PERIOD_S),
    "synchronous": lambda: synchronous(N, period_s=PERIOD_S),
    "normal": lambda: normal(N, np.random.default_rng(0), period_s=PERIOD_S, spread=0.3),
    "poisson": lambda: poisson(N, period_s=PERIOD_S),
    "by_speed": lambda: by_speed(N, np.random.default_rng(0), period_s=PERIOD_S, sigma=1.0),
}


def ticks(clock: Clock, cycles: int) -> tuple[np.ndarray, np.ndarray]:
    node, time_s = zip(*(clock.ticks(k, np.random.default_rng(k)) for k in range(cycles)), strict=True)
    return np.concatenate(node), np.concatenate(time_s)


def test_the_registry_holds_what_is_tested() -> None:
    assert set(CLOCKS) == set(MAKERS)


@pytest.mark.parametrize("name", list(MAKERS))
def test_ticks_lie_in_their_cycle_and_replay(name: str) -> None:
    clock = MAKERS[name]()
    for cycle in (0, 1, 7, 1000):
        node, time_s = clock.ticks(cycle, np.random.default_rng(cycle))
        assert (time_s >= cycle * PERIOD_S).all()
        assert (time_s < (cycle + 1) * PERIOD_S).all()
        assert node.dtype == np.int32
        assert time_s.dtype == np.float64
        again = MAKERS[name]().ticks(cycle, np.random.default_rng(cycle))
        np.testing.assert_array_equal(again[0], node)
        np.testing.assert_array_equal(again[1], time_s)


@pytest.mark.parametrize("name", ["fixed", "synchronous"])
def test_every_node_ticks_once_a_cycle(name: str) -> None:
    clock = MAKERS[name]()
    first, second = (clock.ticks(k, np.random.default_rng(k)) for k in (3, 4))
    order = np.argsort(first[0]), np.argsort(second[0])
    np.testing.assert_array_equal(first[0][order[0]], np.arange(N))
    np.testing.assert_allclose(second[1][order[1]] - first[1][order[0]], PERIOD_S, rtol=1e-12)


def test_a_synchronous_clock_is_one_instant_in_changing_order() -> None:
    clock = MAKERS["synchronous"]()
    node, time_s = clock.ticks(3, np.random.default_rng(3))
    assert clock.together
    assert set(time_s) == {3 * PERIOD_S}
    assert not np.array_equal(node, clock.ticks(4, np.random.default_rng(4))[0])


def test_fixed_phases_are_uniform() -> None:
    _, time_s = MAKERS["fixed"]().ticks(0, np.random.default_rng(0))
    assert stats.kstest(time_s / PERIOD_S, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", ["normal", "by_speed"])
def test_each_node_keeps_its_own_period_and_misses_no_tick(name: str) -> None:
    node, time_s = ticks(MAKERS[name](), 60)
    periods = []
    for one in range(N):
        gaps = np.diff(np.sort(time_s[node == one]))
        if gaps.size:
            np.testing.assert_allclose(gaps, gaps[0], rtol=1e-9)
            periods.append(gaps[0] / PERIOD_S)
    assert abs(np.mean(periods) - 1) < (0.06 if name == "normal" else 0.25)
    if name == "normal":
        assert min(periods) >= 0.1 - 1e-9
        assert abs(np.std(periods) - 0.3) < 0.04
    else:
        assert stats.kstest(np.log(periods) + 0.5, "norm").pvalue > 1e-3


def test_poisson_ticks_have_exponential_gaps_and_poisson_counts() -> None:
    node, time_s = ticks(MAKERS["poisson"](), 40)
    counts = np.bincount(node, minlength=N)
    assert abs(counts.mean() - 40) < 4 * np.sqrt(40 / N)
    assert abs(counts.var() / 40 - 1) < 0.3
    gaps = np.concatenate([np.diff(np.sort(time_s[node == one])) for one in range(N)])
    assert abs(gaps.mean() / PERIOD_S - 1) < 0.04
    assert abs(gaps.std() / gaps.mean() - 1) < 0.05


def test_by_speed_takes_the_seconds_of_others() -> None:
    node, _ = ticks(by_speed(2, np.random.default_rng(0), compute_s=np.array([0.5, 2.0])), 20)
    np.testing.assert_array_equal(np.bincount(node), [40, 10])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: synchronous(3, period_s=0.0), "synchronous clock: period_s must be above 0, not 0.0"),
        (
            lambda: fixed(3, np.random.default_rng(0), period_s=float("nan")),
            "fixed: period_s must be a finite number, not nan",
        ),
        (lambda: normal(3, np.random.default_rng(0), spread=-1.0), "normal clock: spread must be at least 0, not -1.0"),
        (
            lambda: by_speed(2, np.random.default_rng(0), compute_s=np.array([1.0, 0.0])),
            "by_speed clock: node 1 computes for 0.0 s (give seconds above 0)",
        ),
        (
            lambda: by_speed(2, np.random.default_rng(0), compute_s=np.ones(3)),
            "by_speed clock: compute_s has shape (3,), not (2,)",
        ),
    ],
)
def test_impossible_clocks(make: Callable[[], Clock], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == message
