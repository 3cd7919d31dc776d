"""Delays: the stated laws, and one error for what no message can take."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from jaxgossip.core.errors import InputError
from jaxgossip.schedule import DELAYS, Delay

ENDS = np.arange(4000, dtype=np.int32), np.arange(4000, dtype=np.int32)[::-1]


def drawn(delay: Delay) -> np.ndarray:
    return delay.draw(*ENDS, np.random.default_rng(0))


def test_delays_that_do_not_vary() -> None:
    assert set(drawn(DELAYS["none"]())) == {0.0}
    assert set(drawn(DELAYS["constant"](seconds=2.5))) == {2.5}
    assert set(drawn(DELAYS["linear"](100, seconds_a_byte=0.01, latency_s=0.5))) == {1.5}


def test_uniform_delays_fill_their_bounds() -> None:
    delay = DELAYS["uniform"](low_s=0.7, high_s=0.9)
    seconds = drawn(delay)
    assert seconds.dtype == np.float64
    assert delay.least_s == 0.7
    assert stats.kstest(seconds, "uniform", (0.7, 0.2)).pvalue > 1e-3


def test_lognormal_delays_have_their_median_and_spread() -> None:
    seconds = drawn(DELAYS["lognormal"](median_s=3.0, sigma=0.5))
    assert stats.kstest(np.log(seconds / 3.0) / 0.5, "norm").pvalue > 1e-3


def test_a_transfer_takes_the_slower_connection_and_both_latencies() -> None:
    speeds = SimpleNamespace(
        up_bytes_s=np.array([10.0, 100.0]), down_bytes_s=np.array([50.0, 20.0]), latency_s=np.array([0.25, 0.5])
    )
    delay = DELAYS["transfer"](speeds, 100.0)
    ends = np.array([0, 1], np.int32), np.array([1, 0], np.int32)
    np.testing.assert_allclose(delay.draw(*ends, np.random.default_rng(0)), [10.75, 2.75])
    with pytest.raises(InputError, match=r"transfer delay: up_bytes_s of node 1 is 0\.0"):
        DELAYS["transfer"](SimpleNamespace(**{**vars(speeds), "up_bytes_s": np.array([1.0, 0.0])}), 100.0)


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_an_impossible_delay_names_both_ends(value: float) -> None:
    def own(sender: np.ndarray, receiver: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.where(sender == 7, value, 1.0)

    with pytest.raises(InputError) as caught:
        drawn(Delay(own))
    assert str(caught.value) == (
        f"delay: a message of node 7 to node 3992 takes {value} s (a delay is a finite number of at least 0 seconds)"
    )


def test_a_delay_is_one_number_a_message() -> None:
    with pytest.raises(InputError, match=r"4000 messages got delays of shape \(3,\)"):
        drawn(Delay(lambda *_: np.ones(3)))


def test_impossible_parameters() -> None:
    with pytest.raises(InputError, match="constant delay: seconds must be at least 0, not -1"):
        DELAYS["constant"](seconds=-1.0)
    with pytest.raises(InputError, match="uniform delay: high_s must be at least 2, not 1"):
        DELAYS["uniform"](low_s=2.0, high_s=1.0)
    with pytest.raises(InputError, match="delay: least_s must be at least 0, not -1"):
        Delay(lambda *_: np.ones(3), -1.0)
