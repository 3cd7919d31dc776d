"""Compiled loops in pieces: between two of them Ctrl-C is heard, and progress can be shown."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array

CHUNK_S = 0.5
"""So long a piece takes, about."""

Progress = Callable[[str, float], None]
"""Called with what is computed, and the share of it that is done, 0 to 1."""


@runtime_checkable
class Numbered(Protocol):
    """What a loop carries: ``number`` () int32 counts its steps."""

    @property
    def number(self) -> Array:
        """Steps taken."""
        ...


def quiet(phase: str, share: float) -> None:
    """Show no progress."""


def in_chunks[At: Numbered](run: Callable[[At, Array], At], at: At, steps: int) -> Iterator[At]:
    """Go on from ``at`` for ``steps`` steps at most, and yield where it stands about every ``CHUNK_S``.

    Args:
        run: (at, until) -> at, compiled: goes on to step ``until``, or ends before it and has arrived.
        at: the start, step 0.
        steps: at most.
    """
    done, size = 0, 1
    while done < steps:
        began, until = time.perf_counter(), min(steps, done + size)
        at = jax.block_until_ready(run(at, jnp.int32(until)))
        yield at
        done = int(at.number)
        if done < until:
            return
        spent = time.perf_counter() - began
        size = 2 * size if spent < CHUNK_S / 2 else max(1, size // 2) if spent > CHUNK_S else size
