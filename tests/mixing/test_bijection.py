"""The keyed bijection is a permutation of 0..n-1 for every n, and close to a uniform one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.mixing.bijection import random_bijection

SIZES = [1, 2, 3, 5, 7, 16, 17, 100, 1000, 1023, 10_007, 32_769, 40_001, 999_983]


@pytest.mark.by_default("100")
@pytest.mark.parametrize("n", SIZES)
def test_it_is_a_bijection_and_its_inverse_undoes_it(n: int) -> None:
    bijection = random_bijection(jax.random.key(n), n)
    numbers = jnp.arange(n, dtype=jnp.uint32)
    images = np.asarray(bijection(numbers))
    assert np.array_equal(np.sort(images), np.arange(n))
    assert np.array_equal(np.asarray(bijection.inverse(jnp.asarray(images))), np.arange(n))


def test_every_image_is_equally_likely() -> None:
    n, draws = 12, 6000
    keys = jax.random.split(jax.random.key(1), draws)
    images = np.asarray(jax.jit(jax.vmap(lambda key: random_bijection(key, n)(jnp.arange(n, dtype=jnp.uint32))))(keys))
    counts = np.stack([np.bincount(images[:, i], minlength=n) for i in range(n)])
    chi_square = ((counts - draws / n) ** 2 / (draws / n)).sum()
    degrees_of_freedom = (n - 1) ** 2
    assert chi_square < degrees_of_freedom + 5 * np.sqrt(2 * degrees_of_freedom)


@pytest.mark.slow
@pytest.mark.parametrize("n", [10_007, 12_288])
def test_large_sizes_mix_every_pair_of_places(n: int) -> None:
    """Neighbours are sent anywhere: displacement and distance of images are those of a uniform permutation."""
    keys = jax.random.split(jax.random.key(2), 40)
    images = np.asarray(jax.jit(jax.vmap(lambda key: random_bijection(key, n)(jnp.arange(n, dtype=jnp.uint32))))(keys))
    for moved in (images, np.diff(images.astype(np.int64), axis=1) % n):
        counts = np.bincount(moved.ravel() * 64 // n, minlength=64)
        expected = np.bincount(np.arange(n) * 64 // n, minlength=64) * (moved.size / n)
        assert ((counts - expected) ** 2 / expected).sum() < 64 + 6 * np.sqrt(2 * 64)
    fixed = (images == np.arange(n)).sum(1)  # one fixed point a permutation, on average
    assert 0.4 < fixed.mean() < 1.7
