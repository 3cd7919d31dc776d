"""Halving windows: exact in ⌈log₂ n⌉ rounds, of any number of nodes; a mean of what arrived where some is lost."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms.consensus.halving_windows import windows
from jaxgossip.core import counting
from jaxgossip.network import Conditions, Round, Traffic


def after(values: np.ndarray, rounds: int, conditions: Conditions | None = None) -> tuple[np.ndarray, Traffic]:
    """Return (models, traffic) after so many rounds."""
    n = len(values)
    problem = jg.learning.averaging(n, values=values, dtype=jnp.float64)
    algorithm = jg.algorithms.halving_windows(problem, optax.identity())

    def step(number, carried):
        round_ = Round(number, jax.random.key(5), n, conditions or Conditions())
        state, traffic = algorithm.step(carried[0], round_)
        return state, carried[1] + traffic

    start = (algorithm.init(jax.random.key(0)), Traffic.none())
    state, traffic = jax.jit(lambda start: jax.lax.fori_loop(0, rounds, step, start))(start)
    return np.asarray(state.x), traffic


def test_sizes_of_the_windows() -> None:
    assert windows(1) == (1,)
    assert windows(12) == (1, 2, 3, 6, 12)
    assert windows(25) == (1, 2, 4, 7, 13, 25)
    for n in range(2, 200):
        sizes = windows(n)
        assert len(sizes) == 1 + (n - 1).bit_length()
        assert all(big in (2 * small, 2 * small - 1) for small, big in itertools.pairwise(sizes))


@pytest.mark.by_default("1")
@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 12, 24, 25, 100, 1000, 1023, 1025])
def test_the_mean_is_exact_after_log2_n_rounds(n: int) -> None:
    values = np.random.default_rng(0).normal(size=(n, 2))
    rounds = (n - 1).bit_length()
    with jax.enable_x64(True):
        x, traffic = after(values, rounds)
        later, _ = after(values, 2 * rounds + 1)
        if n > 2:
            early, _ = after(values, rounds - 1)
            assert np.abs(early - values.mean(0)).max() > 1e-3
    assert np.abs(x - values.mean(0)).max() < 1e-15
    assert np.abs(later - values.mean(0)).max() < 1e-15  # begun again, it stays
    assert counting.to_int(traffic.messages) == n * rounds
    assert counting.to_int(traffic.bytes_sent) == n * rounds * 2 * 8  # one row of two, not two


@pytest.mark.slow
def test_each_round_has_the_mean_of_a_window() -> None:
    n, sizes = 25, windows(25)
    values = np.random.default_rng(1).normal(size=(n, 1))
    with jax.enable_x64(True):
        for rounds, size in enumerate(sizes):
            expected = np.mean([np.roll(values, shift, axis=0) for shift in range(size)], axis=0)
            np.testing.assert_allclose(after(values, rounds)[0], expected, atol=1e-15)


@pytest.mark.slow
def test_losses_leave_a_weighted_mean_and_go_away() -> None:
    n = 25
    with jax.enable_x64(True):
        shares, _ = after(np.eye(n), 5, Conditions(drop=0.3, online=0.9))
        later, _ = after(np.eye(n), 60, Conditions(drop=0.3, online=0.9))
        alone, _ = after(np.eye(n), 7, Conditions(drop=1.0))
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-14)
    assert shares.min() > -1e-15
    assert np.ptp(shares, axis=0).max() > 1e-2
    assert np.ptp(later, axis=0).max() < 1e-3
    np.testing.assert_allclose(alone, np.eye(n), atol=1e-15)
