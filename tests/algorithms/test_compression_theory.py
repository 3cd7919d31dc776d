"""CHOCO gossip with random-k: its exact second moments, and the largest consensus rate."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.network import Round
from jaxgossip.theory import predictions as p
from jaxgossip.theory.measuring import moment_growth

N, D, KEPT = 25, 200, 0.1
LAMBDA = (1 + 2 * np.cos(2 * np.pi * np.arange(N) / N)) / 3


def gossip(gamma: float, dimension: int) -> jg.algorithms.Algorithm:
    problem = jg.learning.averaging(N, dimension=dimension, dtype=jnp.float64, rng=0)
    W = jg.mixing.metropolis_hastings(jg.topology.ring(N))
    compressor = jg.compression.random_k(fraction=KEPT)
    return jg.algorithms.choco(problem, optax.sgd(0.0), W, compressor, consensus_rate=gamma)


def late_rate(gamma: float, rounds: int, dimension: int = 2 * D) -> float:
    """By what a late round multiplies the second moments, from a random start."""
    algorithm = gossip(gamma, dimension)
    x = algorithm.init(jax.random.key(0)).x
    return moment_growth(algorithm, x - x.mean(0), rounds, rounds // 2)


@pytest.mark.slow
@pytest.mark.parametrize(("gamma", "quoted"), [(0.05, 0.997887), (0.1, 0.995733)])
def test_choco_gossip_contracts_at_the_rate_of_its_second_moments(gamma: float, quoted: float) -> None:
    expected = p.radius(p.choco_second_moment(LAMBDA, gamma, KEPT))
    assert abs(expected - quoted) < 1e-6
    with jax.enable_x64(True):
        assert abs(late_rate(gamma, 2000) - expected) < 1e-4


@pytest.mark.slow
def test_beyond_the_largest_consensus_rate_choco_gossip_diverges() -> None:
    largest = p.crossing(lambda gamma: p.radius(p.choco_second_moment(LAMBDA, gamma, KEPT)) > 1, 0.01, 1.0, 1e-6)
    assert abs(largest - 0.1577) < 1e-4
    with jax.enable_x64(True):
        for factor in (0.98, 1.02):
            expected = p.radius(p.choco_second_moment(LAMBDA, factor * largest, KEPT))
            measured = late_rate(factor * largest, 1600, 4 * D)
            assert abs(measured - expected) < 5e-4
            assert (measured > 1) == (factor > 1)


@pytest.mark.slow
def test_one_round_has_the_predicted_second_moments() -> None:
    gamma, rounds = 0.1, 3
    rng = np.random.default_rng(0)
    # A circulant covariance: each column is a random shift of one profile, with a random sign.
    profile = rng.normal(size=N)
    profile -= profile.mean()
    copies = 4000
    x = np.stack(
        [np.roll(profile, shift % N) * (1 if shift % 2 else -1) for shift in range(2 * N * copies // N)], axis=1
    )
    with jax.enable_x64(True):
        algorithm = gossip(gamma, x.shape[1])
        state = algorithm.init(jax.random.key(0))._replace(x=jnp.asarray(x), public=jnp.zeros_like(jnp.asarray(x)))
        for number in range(rounds):
            state, _ = algorithm.step(state, Round(jnp.int32(number), jax.random.key(3), N))
        now, public = np.asarray(state.x), np.asarray(state.public)
    power = np.abs(np.fft.fft(profile)) ** 2 / N  # of each mode: eigenvalues of the circulant covariance
    moments = np.zeros(3 * N)
    moments[:N] = power
    keep = np.delete(np.arange(3 * N), [0, N])
    after = np.zeros(3 * N)
    after[keep] = np.linalg.matrix_power(p.choco_second_moment(LAMBDA, gamma, KEPT), rounds) @ moments[keep]
    measured = [(a * b).sum() / a.shape[1] for a, b in ((now, now), (now, public), (public, public))]
    np.testing.assert_allclose(measured, after.reshape(3, N).sum(1), rtol=0.02)
