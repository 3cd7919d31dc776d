"""What a plot predicts and measures, as arrays by name: for those who draw it in a way of their own."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core import disk

SUFFIX = ".curves.npz"
KINDS = "biufcUS"
"""Numbers, truth values and words, by NumPy's letters: what a file of arrays holds without pickles."""


def arrays(predicted: Any, measured: Any) -> dict[str, np.ndarray]:
    """Return all arrays of both by where they stand: ``predicted.rate['ring']``, ``measured[0]``.

    What is no array of numbers or words, such as a function, is left out.

    Args:
        predicted: any pytree; mappings and dataclasses are taken apart, too.
        measured: the same.
    """
    return {**dict(_named(predicted, "predicted")), **dict(_named(measured, "measured"))}


def write(path: Path, predicted: Any, measured: Any) -> None:
    """Write :func:`arrays` to a file that ``numpy.load`` reads."""
    found: dict[str, Any] = arrays(predicted, measured)
    disk.write(path, lambda file: np.savez(file, **found))


def _named(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    for place, leaf in jax.tree.leaves_with_path(value, is_leaf=lambda one: isinstance(one, Mapping)):
        here = f"{name}{jax.tree_util.keystr(place)}"
        if isinstance(leaf, Mapping):
            for key, inner in leaf.items():
                yield from _named(inner, f"{here}[{key!r}]")
        elif dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            for field in dataclasses.fields(leaf):
                yield from _named(getattr(leaf, field.name), f"{here}.{field.name}")
        elif (array := _array(leaf)) is not None:
            yield here, array


def _array(leaf: Any) -> np.ndarray | None:
    try:
        found = np.asarray(leaf)
    except (TypeError, ValueError):  # keys of random numbers, ragged lists
        return None
    if jnp.issubdtype(found.dtype, jnp.floating) and found.dtype.kind not in KINDS:  # bfloat16
        found = found.astype(np.float32)
    return found if found.dtype.kind in KINDS else None
