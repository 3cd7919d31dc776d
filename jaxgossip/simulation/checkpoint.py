"""Crash-safe checkpoints.

A checkpoint is an ``.npz`` file of arrays and a ``.json`` file of metadata, which includes the name and the SHA-256 of the
``.npz``. Both are written under a temporary name, flushed to disk and renamed. The ``.json`` is written last, so its arrays
exist whenever it does. The previous checkpoint is kept.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core import disk
from jaxgossip.core.errors import JaxGossipWarning, RunError
from jaxgossip.core.typing import PyTree

CHECKPOINTS_KEPT = 2
RESTART_HINT = "run it again from the start with 'jaxgossip run'"

type FieldTypes = Mapping[str, type | tuple[type, ...]]


def save(folder: Path, tree: PyTree, *, round_number: int, metadata: Mapping[str, Any]) -> Path:
    """Write a checkpoint and return the path of its ``.json``.

    Args:
        folder: folder of the checkpoints, created if missing; its parent must exist.
        tree: any pytree of arrays.
        round_number: number of completed rounds, which names the files.
        metadata: JSON values that :func:`load` returns.
    """
    disk.make_folder(folder)
    arrays, json_file = folder / f"round-{round_number:09d}.npz", folder / f"round-{round_number:09d}.json"
    leaves = {f"leaf{i:04d}": storable(np.asarray(leaf)) for i, leaf in enumerate(jax.tree.leaves(tree))}
    disk.write(arrays, lambda file: np.savez(file, **leaves))  # pyright: ignore[reportArgumentType] - a mapping of arrays
    metadata = {"round": round_number, "arrays": arrays.name, "sha256": disk.digest(arrays), **metadata}
    disk.write(json_file, json.dumps(metadata | {"note_sha256": _note_sha256(metadata)}, indent=1) + "\n")
    for old in metadata_files(folder)[CHECKPOINTS_KEPT:]:
        disk.remove(old)
    for old in folder.glob("round-*.npz"):
        if not old.with_suffix(".json").is_file():
            disk.remove(old)
    return json_file


def load(
    folder: Path, like: PyTree | Callable[[dict[str, Any]], PyTree], *, needed: FieldTypes | None = None
) -> tuple[PyTree, dict[str, Any]]:
    """Return (tree, metadata) of the newest checkpoint whose checksums match.

    Each damaged checkpoint passed over is reported by a JaxGossipWarning.

    Args:
        folder: folder of the checkpoints.
        like: pytree of arrays or ``jax.ShapeDtypeStruct`` with the expected structure, shapes and dtypes; or a function
            from the metadata to one.
        needed: required keys and the types of their values; a checkpoint that lacks one counts as damaged.

    Raises:
        RunError: there is no checkpoint, all are damaged, or the newest intact one has other shapes or dtypes.
    """
    candidates = metadata_files(folder)
    if not candidates:
        raise RunError(f"no checkpoint in {folder}", hint=RESTART_HINT)
    damaged = folder
    for number, json_file in enumerate(candidates):
        arrays, metadata = json_file.with_suffix(".npz"), read_metadata(json_file, needed or {})
        if metadata is not None and arrays.is_file() and disk.digest(arrays) == metadata["sha256"]:
            return _restore(arrays, like(metadata) if callable(like) else like), metadata
        damaged = json_file if metadata is None else arrays
        if number < len(candidates) - 1:
            warnings.warn(f"{damaged} is damaged; the checkpoint before it is used", JaxGossipWarning, stacklevel=2)
    raise RunError(f"no checkpoint in {folder} is intact: {damaged} is damaged", hint=RESTART_HINT)


def metadata_files(folder: Path) -> list[Path]:
    """Return the ``.json`` files of all checkpoints in a folder, newest first."""
    files = [json_file for json_file in folder.glob("round-*.json") if _round_of(json_file).isdecimal()]
    return sorted(files, key=lambda json_file: int(_round_of(json_file)), reverse=True)


def read_metadata(json_file: Path, needed: FieldTypes) -> dict[str, Any] | None:
    """Return the contents of a checkpoint's ``.json``; None if it is damaged or lacks a key of ``needed``."""
    try:
        metadata = disk.parsed_json(json_file.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(metadata, dict):
        return None
    expected = metadata.pop("note_sha256", None)  # the first release did not write it
    if expected is not None and expected != _note_sha256(metadata):
        return None
    valid = all(isinstance(metadata.get(key), kind) for key, kind in {"round": int, "sha256": str, **needed}.items())
    return metadata if valid and metadata["round"] == int(_round_of(json_file)) else None


def _round_of(json_file: Path) -> str:
    return json_file.stem.removeprefix("round-")


def _note_sha256(metadata: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(metadata).encode()).hexdigest()


def storable(array: np.ndarray) -> np.ndarray:
    """Return the array in a dtype that ``.npz`` files support: bfloat16 is viewed as uint16."""
    return array.view(np.uint16) if array.dtype == jnp.bfloat16 else array


def _restore(path: Path, like: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(like)
    with np.load(path) as stored:
        arrays = [stored[name] for name in sorted(stored.files)]
    if len(arrays) == len(leaves):
        arrays = [
            array.view(leaf.dtype) if (array.dtype, leaf.dtype) == (np.uint16, jnp.bfloat16) else array
            for array, leaf in zip(arrays, leaves, strict=True)
        ]
    expected = [(leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves]
    stored_shapes = [(array.shape, array.dtype) for array in arrays]
    if expected != stored_shapes:
        raise RunError(
            f"{path} holds a state of another shape than the configuration makes: {stored_shapes}, not {expected}",
            hint=RESTART_HINT,
        )
    return jax.tree.unflatten(structure, [jnp.asarray(array) for array in arrays])
