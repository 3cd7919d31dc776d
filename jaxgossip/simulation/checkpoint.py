"""Checkpoints that survive a kill at any moment.

A checkpoint is one ``.npz`` of arrays and one ``.json`` that names it, its SHA-256 and what else is needed to go on. Both
are written under a temporary name, flushed to the disk and renamed; the ``.json`` comes last, so that whoever finds one
finds its arrays. The one before is kept until the new one stands.
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

KEEP = 2
ANEW = "run it again from the start with 'jaxgossip run'"

type Kinds = Mapping[str, type | tuple[type, ...]]


def save(folder: Path, tree: PyTree, *, round_number: int, facts: Mapping[str, Any]) -> Path:
    """Write a checkpoint of ``tree`` after ``round_number`` and return its ``.json``.

    Args:
        folder: where checkpoints stand; made if missing, in a folder that is there.
        tree: any pytree of arrays.
        round_number: names the checkpoint.
        facts: JSON values to hand back on loading.
    """
    disk.make_folder(folder)
    arrays, note = folder / f"round-{round_number:09d}.npz", folder / f"round-{round_number:09d}.json"
    leaves = {f"leaf{i:04d}": _storable(np.asarray(leaf)) for i, leaf in enumerate(jax.tree.leaves(tree))}
    disk.write(arrays, lambda file: np.savez(file, **leaves))  # pyright: ignore[reportArgumentType] - a mapping of arrays
    facts = {"round": round_number, "arrays": arrays.name, "sha256": _sha256(arrays), **facts}
    disk.write(note, json.dumps(facts | {"note_sha256": _note_sha256(facts)}, indent=1) + "\n")
    for old in notes(folder)[KEEP:]:
        disk.remove(old)
    for old in folder.glob("round-*.npz"):
        if not old.with_suffix(".json").is_file():
            disk.remove(old)
    return note


def load(
    folder: Path, like: PyTree | Callable[[dict[str, Any]], PyTree], *, needed: Kinds | None = None
) -> tuple[PyTree, dict[str, Any]]:
    """Return (tree, facts) of the newest checkpoint whose checksums hold.

    Args:
        folder: where checkpoints stand.
        like: a pytree of arrays or shapes with the structure, shapes and dtypes expected; or what makes one of the facts.
        needed: facts without which, or with one of another type, a checkpoint counts as damaged.

    Raises:
        RunError: no checkpoint, none intact, or one of another shape.
    """
    found = notes(folder)
    if not found:
        raise RunError(f"no checkpoint in {folder}", hint=ANEW)
    damaged = folder
    for number, note in enumerate(found):
        arrays, facts = note.with_suffix(".npz"), facts_of(note, needed or {})
        if facts is not None and arrays.is_file() and _sha256(arrays) == facts["sha256"]:
            return _restore(arrays, like(facts) if callable(like) else like), facts
        damaged = note if facts is None else arrays
        if number < len(found) - 1:
            warnings.warn(f"{damaged} is damaged; the checkpoint before it is used", JaxGossipWarning, stacklevel=2)
    raise RunError(f"no checkpoint in {folder} is intact: {damaged} is damaged", hint=ANEW)


def notes(folder: Path) -> list[Path]:
    """Return the ``.json`` of all checkpoints in a folder, the newest first."""
    found = [note for note in folder.glob("round-*.json") if _round_of(note).isdecimal()]
    return sorted(found, key=lambda note: int(_round_of(note)), reverse=True)


def facts_of(note: Path, needed: Kinds) -> dict[str, Any] | None:
    """Return what a checkpoint's ``.json`` says; None if it is damaged, or lacks a fact that is needed."""
    try:
        facts = disk.parsed_json(note.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(facts, dict):
        return None
    known = facts.pop("note_sha256", None)  # the first release did not write it
    if known is not None and known != _note_sha256(facts):
        return None
    sound = all(isinstance(facts.get(key), kind) for key, kind in {"round": int, "sha256": str, **needed}.items())
    return facts if sound and facts["round"] == int(_round_of(note)) else None


def _round_of(note: Path) -> str:
    return note.stem.removeprefix("round-")


def _note_sha256(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


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
        raise RunError(
            f"{path} holds a state of another shape than the configuration makes: {found}, not {expected}", hint=ANEW
        )
    return jax.tree.unflatten(structure, [jnp.asarray(array) for array in arrays])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
