"""Error feedback: nothing is lost, only delayed, and it converges where biased compression alone stalls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.compression import COMPRESSORS, empty_memory, feedback, sign

ROUNDS = 30


@pytest.mark.by_default("none-bfloat16", "sign-float32")
@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, jnp.float32) for name in COMPRESSORS), ("qsgd", jnp.bfloat16), ("none", jnp.bfloat16)]
)
def test_what_was_sent_and_what_is_remembered_is_what_came_in(name: str, dtype) -> None:
    compressor = COMPRESSORS[name]()
    inputs = jax.random.normal(jax.random.key(0), (ROUNDS, 5, 12)).astype(dtype)

    def step(memory: jax.Array, entry: tuple) -> tuple:
        x, key = entry
        sent, memory = feedback(compressor, x, memory, key)
        return memory, sent

    keys = jax.random.split(jax.random.key(1), ROUNDS)
    memory, sent = jax.jit(lambda: jax.lax.scan(step, empty_memory(inputs[0]), (inputs, keys)))()
    assert sent.dtype == dtype
    assert memory.dtype == jnp.float32
    total = np.asarray(sent, np.float64).sum(0) + np.asarray(memory, np.float64)
    np.testing.assert_allclose(total, np.asarray(inputs, np.float64).sum(0), atol=1e-4)


def test_one_round_by_hand() -> None:
    x, memory = jnp.array([[3.0, -1.0]]), jnp.array([[1.0, -1.0]])
    sent, left = feedback(sign(), x, memory, jax.random.key(0))
    np.testing.assert_allclose(sent, [[3.0, -3.0]])  # v = (4, -2), its mean magnitude 3
    np.testing.assert_allclose(left, [[1.0, 1.0]])


@pytest.mark.slow
def test_nodes_pass_through() -> None:
    order = jnp.array([2, 0, 1], jnp.int32)
    x = jax.random.normal(jax.random.key(0), (3, 20))
    compressor, key = COMPRESSORS["random_k"](), jax.random.key(1)
    sent, memory = feedback(compressor, x, empty_memory(x), key)
    assert np.array_equal(feedback(compressor, x[order], empty_memory(x), key, order)[0], sent[order])
    assert np.array_equal(sent + memory, x)


def test_signs_stall_on_a_quadratic_that_error_feedback_solves() -> None:
    """Karimireddy et al. 2019, section 3: gradients of single samples whose signs all lie on one line.

    f(x) = mean over a of ⟨a, x⟩²/2 with its only minimum at 0. Both gradients have the signs ±(1, 1), so x₁ − x₂
    can never change.
    """
    samples = jnp.array([[1.0, 0.5], [0.5, 1.0]])

    def solve(*, remember: bool) -> np.ndarray:
        def step(t: int, carry: tuple) -> tuple:
            x, memory = carry
            a = samples[t % 2]
            sent, left = feedback(sign(), 0.05 * (x @ a)[:, None] * a, memory, jax.random.key(0))
            return x - sent, left if remember else memory

        x = jnp.array([[1.0, -4.0]])
        return np.asarray(jax.lax.fori_loop(0, 4000, step, (x, empty_memory(x)))[0])

    assert np.abs(solve(remember=True)).max() < 1e-3
    stalled = solve(remember=False)
    assert stalled[0, 0] - stalled[0, 1] == pytest.approx(5, abs=1e-2)
