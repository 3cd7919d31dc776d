"""What one device asks another for arrives, however many ask for the same rows: in one pass, or in as many as it takes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jaxgossip as jg
from jaxgossip.core.devices.blocks import Layout
from jaxgossip.core.devices.exchanges import fetch, sum_of_sent
from jaxgossip.core.devices.local import capacity, chosen
from jaxgossip.core.devices.mesh import NODES
from jaxgossip.core.devices.program import on_blocks

N, P = 700, 20
RNG = np.random.default_rng(0)
WANTED = {
    "one row by all": np.zeros(N, int),
    "the last row by all": np.full(N, N - 1),
    "rows of one device": RNG.integers(0, 80, N),
    "own rows": np.arange(N),
    "others": np.arange(N)[::-1].copy(),
    "any": RNG.integers(0, N, N),
    "three of any": RNG.integers(0, N, (N, 3)),
}
DEVICES = (2, 3, 8)


def spread(program: Callable[..., jax.Array], devices: int, *arrays: np.ndarray) -> np.ndarray:
    """Return a program for one block, of arrays of rows, for all rows on a mesh."""
    layout, mesh = Layout(N, devices), jg.mesh(devices)

    def run(*rows: jax.Array) -> jax.Array:
        return on_blocks(program, layout, [True] * len(arrays))(*rows)[0]

    rows = PartitionSpec(NODES)
    filled = [np.concatenate([one, np.zeros((layout.n_rows - N, *one.shape[1:]), one.dtype)]) for one in arrays]
    placed = [jax.device_put(one, NamedSharding(mesh, rows)) for one in filled]
    mapped = jax.shard_map(run, mesh=mesh, in_specs=(rows,) * len(arrays), out_specs=rows, check_vma=False)
    return np.asarray(jax.jit(mapped)(*placed))[:N]


@pytest.mark.by_default("3-three of any")
@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("devices", DEVICES)
def test_rows_are_fetched_whoever_has_them(devices: int, wanted: str) -> None:
    table, index = RNG.normal(size=(N, P)).astype(np.float32), WANTED[wanted].astype(np.int32)
    np.testing.assert_array_equal(spread(fetch, devices, table, index), table[index])
    narrow = (table[:, 0] > 0, table[:, :2].astype(np.float16))  # not in parts, of one byte and of two
    for rows in narrow:
        np.testing.assert_array_equal(spread(fetch, devices, rows, index), rows[index])


@pytest.mark.slow
@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("devices", DEVICES)
def test_what_is_sent_is_added_in_the_order_of_senders(devices: int, wanted: str) -> None:
    table, targets = RNG.normal(size=(N, P)).astype(np.float32), WANTED[wanted].reshape(N, -1).astype(np.int32)
    sends = RNG.random(targets.shape) < 0.8

    def sums(rows: jax.Array, targets: jax.Array, sends: jax.Array) -> jax.Array:
        added, counts = sum_of_sent(rows, targets, sends)
        return jnp.concatenate([added, counts[:, None].astype(rows.dtype)], 1)

    expected = np.zeros((N, P + 1), np.float32)
    for slot in range(targets.shape[1]):
        for sender in np.flatnonzero(sends[:, slot]):
            expected[targets[sender, slot]] += np.append(table[sender], np.float32(1))
    np.testing.assert_array_equal(spread(sums, devices, table, targets, sends), expected)


def test_more_is_asked_for_than_a_pass_has_room_for() -> None:
    assert capacity(N // 2, 2) < N // 2  # else the tests above show less than they say


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32, np.uint8, np.int8, bool])
def test_a_choice_keeps_every_bit(dtype: type) -> None:
    one, other = (RNG.integers(0, 2, (5, 3)).astype(dtype) for _ in range(2))
    if np.issubdtype(dtype, np.floating):
        one[0], other[1] = [np.nan, -0.0, np.inf], [-np.nan, -np.inf, -0.0]
    mask = np.array([True, False, True, False, True])
    found = np.asarray(chosen(jnp.asarray(mask), jnp.asarray(one), jnp.asarray(other)))
    assert found.tobytes() == np.where(mask[:, None], one, other).tobytes()
