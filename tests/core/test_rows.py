"""How many rows are computed at a time: by what passes through a cache, or by what memory holds at once."""

import jax
import jax.numpy as jnp
import pytest

from jaxgossip.core import rows
from jaxgossip.learning import models as m


def test_what_is_over_is_no_longer_counted() -> None:
    def program(x: jax.Array) -> jax.Array:
        y = jnp.sin(x)  # 400 bytes
        z = jnp.concatenate([y, y])  # 800 more, and y is over
        return z.sum() + z[0]

    x = jnp.zeros(100)
    jaxpr = jax.make_jaxpr(program)(x).jaxpr
    assert rows.live_bytes(jaxpr) == 1200
    inner = jax.make_jaxpr(lambda x: jnp.cos(jax.jit(program)(x)))(x).jaxpr
    assert rows.live_bytes(inner) == 1200 + 4


@pytest.mark.slow
def test_blocks_that_are_computed_anew_leave_room_for_more_nodes() -> None:
    def needed(remat: bool) -> int:
        model = m.gpt((16,), 5, layers=6, width=16, heads=2, remat=remat)
        x = jnp.zeros((4, 16), jnp.int32)
        gradient = jax.grad(lambda params: jnp.square(model.apply(params, x)).sum())
        return rows.live_bytes(jax.make_jaxpr(gradient)(jax.eval_shape(model.init, jax.random.key(0))).jaxpr)

    assert needed(True) < needed(False) / 3


def test_other_devices_than_a_cpu_have_room_for_an_eighth_of_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        def memory_stats(self) -> dict[str, int]:
            return {"bytes_limit": 2**30}

    def many(row: jax.Array) -> jax.Array:
        for _ in range(8):
            row = jnp.sin(row)
        return row

    row_bytes = 2**20
    x = jax.ShapeDtypeStruct((4096, row_bytes // 4), jnp.float32)
    on_cpu = rows.rows_at_a_time(many, x)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert on_cpu == rows.BLOCK_BYTES // (8 * row_bytes)
    assert rows.rows_at_a_time(many, x) == 2**30 // rows.SHARE_OF_MEMORY // (2 * row_bytes)
