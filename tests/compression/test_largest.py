"""Masks of the largest entries of rows against sorting, whatever is tied, excluded, zero or not a number."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.compression import blocks
from jaxgossip.compression.largest import largest_among

MASK = jax.jit(largest_among)


def by_sorting(among: np.ndarray, sizes: np.ndarray, k: int) -> np.ndarray:
    """Return the mask of k entries of each row, the largest where ``among`` is true, lower columns first."""
    order = np.nan_to_num(sizes.astype(np.float64), nan=np.inf, posinf=1e300)
    first = np.argsort(np.where(among, -order, np.inf), axis=1, kind="stable")[:, :k]
    mask = np.zeros(sizes.shape, bool)
    np.put_along_axis(mask, first, True, 1)
    return mask


def of_kind(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    sizes = np.abs(rng.normal(size=shape)) * 10.0 ** rng.integers(-30, 30)
    if kind == "tied":
        sizes = rng.integers(0, 3, shape).astype(float)
    if kind == "zero":
        sizes = np.zeros(shape)
    if kind == "wild":
        sizes = rng.choice([0.0, 1e-40, 1.0, np.inf, np.nan], shape)
    return sizes.astype(np.float32)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31), st.sampled_from([1, 2, 41]), st.sampled_from(["plain", "tied", "zero", "wild"]),
    st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip
def test_exactly_k_are_kept_the_largest_of_those_that_count(
    seed: int, p: int, kind: str, dense: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    sizes, among = of_kind(kind, rng, (6, p)), rng.random((6, p)) < dense
    k = round(share * among.sum(1).min())
    found = np.asarray(MASK(jnp.asarray(among), jnp.asarray(sizes), jnp.int32(k)))
    np.testing.assert_array_equal(found, by_sorting(among, sizes, k))


@pytest.mark.parametrize("k", [0, 3, 20])
def test_blocks_and_double_precision_change_nothing(monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    with jax.enable_x64(True):
        sizes = 1 + 1e-12 * np.random.default_rng(0).random((50, 20))  # one number in single precision
        expected = by_sorting(np.ones(sizes.shape, bool), sizes, k)
        monkeypatch.setattr(blocks, "BLOCK_BYTES", 7 * 20 * 8)
        found = jax.jit(functools.partial(largest_among, True, k=k))(jnp.asarray(sizes))
    np.testing.assert_array_equal(found, expected)
