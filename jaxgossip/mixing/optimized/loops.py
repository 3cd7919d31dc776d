"""Compiled loops run in chunks, between which progress is reported and Ctrl-C takes effect."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array

CHUNK_S = 0.5
"""Target duration of a chunk, in seconds."""

Progress = Callable[[str, float], None]
"""Called with the phase of a computation and the fraction of it that is done."""


@runtime_checkable
class Numbered(Protocol):
    """The carry of a loop, whose ``number`` () int32 counts its steps."""

    @property
    def number(self) -> Array:
        """Number of steps taken."""
        ...


def quiet(phase: str, share: float) -> None:
    """Report nothing."""


def in_chunks[Carry: Numbered](run: Callable[[Carry, Array], Carry], carry: Carry, steps: int) -> Iterator[Carry]:
    """Run a loop of at most ``steps`` steps, and yield its carry about every ``CHUNK_S`` seconds.

    Args:
        run: (carry, until) -> carry, compiled: continues to step ``until``, or stops before it once converged.
        carry: initial carry, of step 0.
        steps: maximum number of steps.
    """
    done, size = 0, 1
    while done < steps:
        began, until = time.perf_counter(), min(steps, done + size)
        carry = jax.block_until_ready(run(carry, jnp.int32(until)))
        yield carry
        done = int(carry.number)
        if done < until:
            return
        spent = time.perf_counter() - began
        size = 2 * size if spent < CHUNK_S / 2 else max(1, size // 2) if spent > CHUNK_S else size
