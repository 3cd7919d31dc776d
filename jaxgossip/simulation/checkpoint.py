"""Checkpoints that survive a kill at any moment.

A checkpoint is one ``.npz`` of arrays and one ``.json`` that names it, its SHA-256 and what else is needed to go on. Both
are written under a temporary name, flushed to the disk and renamed; the ``.json`` comes last, so that whoever finds one
finds its arrays. The one before is kept until the new one stands.
"""

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.errors import JaxGossipWarning, RunError
from jaxgossip.typing import PyTree

KEEP = 2


def save(folder: Path, tree: PyTree, *, round_number: int, facts: Mapping[str, Any]) -> Path:
    """Write a checkpoint of ``tree`` after ``round_number`` and return its ``.json``.

    Args:
        folder: where checkpoints stand; made if missing.
        tree: any pytree of arrays.
        round_number: names the checkpoint.
        facts: JSON values to hand back on loading.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays, note = folder / f"round-{round_number:09d}.npz", folder / f"round-{round_number:09d}.json"
    leaves = {f"leaf{i:04d}": _storable(np.asarray(leaf)) for i, leaf in enumerate(jax.tree.leaves(tree))}
    temporary = arrays.with_suffix(".npz.tmp")
    with temporary.open("wb") as file:
        np.savez(file, **leaves)  # pyright: ignore[reportArgumentType] - a mapping of arrays
        file.flush()
        os.fsync(file.fileno())
    digest = _sha256(temporary)
    temporary.replace(arrays)
    facts = {"round": round_number, "arrays": arrays.name, "sha256": digest, **facts}
    write_atomically(note, json.dumps(facts, indent=1) + "\n")
    for old in sorted(folder.glob("round-*.json"))[:-KEEP]:
        old.unlink()
        old.with_suffix(".npz").unlink(missing_ok=True)
    return note


def load(folder: Path, like: PyTree | Callable[[dict[str, Any]], PyTree]) -> tuple[PyTree, dict[str, Any]]:
    """Return (tree, facts) of the newest checkpoint whose checksum holds.

    Args:
        folder: where checkpoints stand.
        like: a pytree of arrays or shapes with the structure, shapes and dtypes expected; or what makes one of the facts.

    Raises:
        RunError: no checkpoint, none intact, or one of another shape.
    """
    notes = sorted(folder.glob("round-*.json"), reverse=True)
    if not notes:
        raise RunError(f"no checkpoint in {folder}", hint="run it again from the start with 'jaxgossip run'")
    for note in notes:
        arrays = note.with_suffix(".npz")
        with contextlib.suppress(ValueError, KeyError):  # a damaged note is a damaged checkpoint
            facts = json.loads(note.read_text(encoding="utf-8"))
            if arrays.is_file() and _sha256(arrays) == facts["sha256"]:
                return _restore(arrays, like(facts) if callable(like) else like), facts
        warnings.warn(f"{arrays} is damaged; the checkpoint before it is used", JaxGossipWarning, stacklevel=2)
    raise RunError(f"no checkpoint in {folder} is intact", hint="run it again from the start with 'jaxgossip run'")


def _storable(array: np.ndarray) -> np.ndarray:
    """Return the array as NumPy's own files know it: bfloat16 as the 16 bits that it is."""
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
    found = [(array.shape, array.dtype) for array in arrays]
    if expected != found:
        raise RunError(f"{path} holds a state of another shape than the configuration makes: {found}, not {expected}")
    return jax.tree.unflatten(structure, [jnp.asarray(array) for array in arrays])


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader finds the old or the new content, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
