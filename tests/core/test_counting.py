"""Counts are exact 64-bit integers without 64-bit mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.core import counting

big = st.integers(0, 2**64 - 1)


@settings(max_examples=50, deadline=None)
@given(big, big)
def test_add_is_addition_modulo_2_to_the_64(a: int, b: int) -> None:
    assert counting.to_int(counting.add(counting.count(a), counting.count(b))) == (a + b) % 2**64


@settings(max_examples=50, deadline=None)
@given(big, st.integers(0, 2**31 - 1))
def test_times_is_multiplication_modulo_2_to_the_64(a: int, factor: int) -> None:
    assert counting.to_int(counting.times(counting.count(a), factor)) == a * factor % 2**64


def test_total_carries_past_32_bits() -> None:
    counts = np.full(1001, 2**32 - 1, np.uint32)
    assert counting.to_int(jax.jit(counting.total)(jnp.asarray(counts))) == 1001 * (2**32 - 1)


@pytest.mark.parametrize("value", [0, 1, 2**32 - 1, 2**32, 10**15])
def test_a_known_count_reads_back(value: int) -> None:
    assert counting.to_int(counting.count(value)) == value
