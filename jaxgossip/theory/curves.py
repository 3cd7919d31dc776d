"""Export of what a plot predicts and measures, as named arrays for users who draw their own figures."""

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
"""NumPy's letters for numbers, booleans and strings, which npz files store without pickling."""


def arrays(predicted: Any, measured: Any) -> dict[str, np.ndarray]:
    """Return all arrays of both, named by their paths: ``predicted.rate['ring']``, ``measured[0]``.

    Leaves that are not arrays of numbers or strings, such as functions, are skipped.

    Args:
        predicted: any pytree, which may also contain mappings and dataclasses.
        measured: any pytree, likewise.
    """
    return {**dict(_named_arrays(predicted, "predicted")), **dict(_named_arrays(measured, "measured"))}


def write(path: Path, predicted: Any, measured: Any) -> None:
    """Write :func:`arrays` to an npz file."""
    named_arrays: dict[str, Any] = arrays(predicted, measured)
    disk.write(path, lambda file: np.savez(file, **named_arrays))


def _named_arrays(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    for path, leaf in jax.tree.leaves_with_path(value, is_leaf=lambda node: isinstance(node, Mapping)):
        leaf_name = f"{name}{jax.tree_util.keystr(path)}"
        if isinstance(leaf, Mapping):
            for key, inner in leaf.items():
                yield from _named_arrays(inner, f"{leaf_name}[{key!r}]")
        elif dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            for field in dataclasses.fields(leaf):
                yield from _named_arrays(getattr(leaf, field.name), f"{leaf_name}.{field.name}")
        elif (array := _array(leaf)) is not None:
            yield leaf_name, array


def _array(leaf: Any) -> np.ndarray | None:
    try:
        array = np.asarray(leaf)
    except (TypeError, ValueError):  # random keys, ragged lists
        return None
    if jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.kind not in KINDS:  # bfloat16
        array = array.astype(np.float32)
    return array if array.dtype.kind in KINDS else None
