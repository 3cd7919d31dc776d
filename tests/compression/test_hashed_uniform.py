"""The counter-based hash gives uniform, independent draws, and depends only on key, node and column."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.core.random import hashed_bits, hashed_uniform

N, P = 2000, 64
NODES = jnp.arange(N, dtype=jnp.int32)
KEYS = [jax.random.fold_in(jax.random.key(0), round_) for round_ in range(3)]
DRAWS = jax.jit(hashed_uniform, static_argnums=2)


def chi_square_is_fair(counts: np.ndarray) -> bool:
    expected, freedom = counts.sum() / counts.size, counts.size - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    return abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


def test_draws_are_uniform_on_the_unit_interval() -> None:
    u = np.asarray(DRAWS(KEYS[0], NODES, P), np.float64)
    assert u.dtype == np.float64
    assert 0 <= u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1
    assert chi_square_is_fair(np.bincount((u * 1024).astype(int).ravel(), minlength=1024))
    assert np.array_equal(u * 2**24, np.floor(u * 2**24))  # 24 bits, and the low ones are fair too
    assert chi_square_is_fair(np.bincount((u * 2**24).astype(int).ravel() % 256, minlength=256))


def test_every_column_and_every_row_is_uniform_by_itself() -> None:
    u = np.asarray(DRAWS(KEYS[0], NODES, P), np.float64)
    assert np.abs(u.mean(0) - 0.5).max() < 5 / np.sqrt(12 * N)
    assert np.abs(u.mean(1) - 0.5).max() < 5 / np.sqrt(12 * P)
    assert np.abs((u**2).mean(0) - 1 / 3).max() < 5 * np.sqrt(4 / 45 / N)


@pytest.mark.parametrize("bits", [3, 5])
def test_neighbours_in_rows_columns_and_keys_are_independent(bits: int) -> None:
    """Joint counts of pairs are flat, which is more than no correlation."""
    u, v = (np.asarray(DRAWS(key, NODES, P), np.float64) for key in KEYS[:2])
    pairs = {
        "rows": (u[1:], u[:-1]),
        "far rows": (u[1024:], u[:-1024]),
        "columns": (u[:, 1:], u[:, :-1]),
        "far columns": (u[:, 32:], u[:, :-32]),
        "diagonal": (u[1:, 1:], u[:-1, :-1]),
        "keys": (u, v),
    }
    side = 2**bits
    for name, (a, b) in pairs.items():
        cells = (a * side).astype(int) * side + (b * side).astype(int)
        assert chi_square_is_fair(np.bincount(cells.ravel(), minlength=side * side)), name


def test_no_pair_of_rows_or_of_columns_is_correlated() -> None:
    u = np.asarray(DRAWS(KEYS[2], NODES, P), np.float64)
    columns = np.corrcoef(u.T) - np.eye(P)
    assert np.abs(columns).max() < 5.5 / np.sqrt(N)
    rows = np.corrcoef(u[:500]) - np.eye(500)
    assert np.abs(rows).max() < 6 / np.sqrt(P)
    assert (rows**2).sum() / (500 * 499) == pytest.approx(1 / (P - 1), rel=0.05)


@pytest.mark.slow
def test_every_bit_of_key_node_and_column_turns_half_of_the_bits() -> None:
    key = jax.random.key(3)
    base = np.asarray(hashed_bits(key, NODES, P))
    for bit in range(0, 31, 3):
        changed = np.asarray(hashed_bits(key, NODES ^ np.int32(1 << bit), P))
        assert np.unpackbits((base ^ changed).view(np.uint8)).mean() == pytest.approx(0.5, abs=0.002)
    changed = np.asarray(hashed_bits(jax.random.key(2), NODES, P))
    assert np.unpackbits((base ^ changed).view(np.uint8)).mean() == pytest.approx(0.5, abs=0.002)
    assert np.unpackbits((base[:, ::2] ^ base[:, 1::2]).view(np.uint8)).mean() == pytest.approx(0.5, abs=0.002)


@pytest.mark.slow
def test_a_draw_is_a_function_of_key_node_and_column() -> None:
    order = np.random.default_rng(0).permutation(N).astype(np.int32)
    u = np.asarray(DRAWS(KEYS[0], NODES, P))
    assert np.array_equal(DRAWS(KEYS[0], jnp.asarray(order), P), u[order])
    assert np.array_equal(DRAWS(KEYS[0], NODES[:7], 5), u[:7, :5])
    assert np.array_equal(hashed_uniform(KEYS[0], NODES[:7], 5), u[:7, :5])
