"""Every random draw is a function of (seed, round, purpose, node).

Nothing random is carried from round to round, so the size of a chunk, a resume, a sharding or the number of replicas
cannot change a bit. Device draws are counter-based threefry: element i of a draw depends on its key and on i alone.
"""

import zlib

import jax
import numpy as np

from jaxgossip.typing import PRNGKey


def run_key(seed: int) -> PRNGKey:
    """Return the key of a run, 0 ≤ seed < 2⁶⁴: alike with and without 64-bit mode, and distinct for distinct seeds."""
    key = jax.random.key(np.uint32(seed & 0xFFFFFFFF))
    return jax.random.fold_in(key, np.uint32(seed >> 32)) if seed >> 32 else key


def purpose_key(key: PRNGKey, purpose: str) -> PRNGKey:
    """Return the key for one ``purpose``, named in words; distinct words give independent draws."""
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))


def host_rng(seed: int, purpose: str) -> np.random.Generator:
    """Return NumPy's generator for one ``purpose`` of a run: graphs and partitions are drawn on the host."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])
