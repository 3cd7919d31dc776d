"""Processing rows block by block gives the same result as all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.compression import by_blocks
from jaxgossip.compression.blocks import BLOCK_BYTES


@pytest.mark.by_default("7")
@pytest.mark.parametrize("rows", [1, 7, 8])
def test_blocks_are_the_whole_also_where_the_last_one_overlaps(rows: int) -> None:
    x, y = jnp.arange(24.0).reshape(8, 3), jnp.arange(8)
    blocks: list[int] = []

    def function(x: jax.Array, y: jax.Array) -> dict[str, jax.Array]:
        blocks.append(x.shape[0])
        return {"sums": x.sum(1) + y, "double": 2 * x}

    found = by_blocks(function, x, y, row_bytes=BLOCK_BYTES // rows)
    assert min(blocks) == rows
    np.testing.assert_array_equal(found["sums"], np.asarray(x).sum(1) + np.arange(8))
    np.testing.assert_array_equal(found["double"], 2 * np.asarray(x))


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [0.05, 0.5])
def test_top_k_of_many_blocks_is_exact_with_ties_in_some_of_them(fraction: float) -> None:
    n, p = 2 * BLOCK_BYTES // 256 + 5, 64
    x = np.random.default_rng(0).normal(size=(n, p)).astype(np.float32)
    x[:50], x[-3:] = np.round(x[:50]), np.round(x[-3:])  # many equal magnitudes
    x[60:70, 3:] = 0
    kept = np.asarray(jg.compression.top_k(fraction=fraction)(jnp.asarray(x), jax.random.key(0)))
    k = round(fraction * p)
    columns = np.argsort(-np.abs(x), axis=1, kind="stable")[:, :k]
    expected = np.zeros_like(x)
    np.put_along_axis(expected, columns, np.take_along_axis(x, columns, 1), 1)
    np.testing.assert_array_equal(kept, expected)
