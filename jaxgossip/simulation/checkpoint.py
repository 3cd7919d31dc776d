"""Crash-safe checkpoints.

A checkpoint is an ``.npz`` file of arrays and a ``.json`` file of metadata, which includes the name and the SHA-256 of the
``.npz``. Both are written under a temporary name, flushed to disk and renamed. The ``.json`` is written last, so its arrays
exist whenever it does. The previous checkpoint is kept.

Of a run on a mesh, every process writes the rows of its own devices into its own ``.npz``; the ``.json`` names all of them and
the shape and dtype of each leaf, and is written once all are there. Such a checkpoint is valid only as a whole. It depends on
no device: whatever has been stored by any number of processes is read by any other, or by a run without a mesh.
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
from jaxgossip.simulation.agreement import Agreement
from jaxgossip.simulation.mesh import stored
from jaxgossip.simulation.mesh.spread_run import SpreadRun
from jaxgossip.simulation.mesh.stored import storable

CHECKPOINTS_KEPT = 2
RESTART_HINT = "run it again from the start with 'jaxgossip run'"

type FieldTypes = Mapping[str, type | tuple[type, ...]]


def save(folder: Path, tree: PyTree | SpreadRun, *, round_number: int, metadata: Mapping[str, Any]) -> Path:
    """Write a checkpoint and return the path of its ``.json``.

    Args:
        folder: folder of the checkpoints, created if missing; its parent must exist.
        tree: any pytree of arrays; or the state of a run on a mesh, for which all processes of the mesh must call this, and
            see the same folder.
        round_number: number of completed rounds, which names the files.
        metadata: JSON values that :func:`load` returns; of several processes, those of the first are stored.

    Raises:
        OSError: a file cannot be written; what was saved before stays.
        PeerError: another process could not write its file.
    """
    if isinstance(tree, SpreadRun):
        return _save_spread(folder, tree, round_number, metadata)
    disk.make_folder(folder)
    arrays = folder / f"round-{round_number:09d}.npz"
    leaves = {f"leaf{i:04d}": storable(np.asarray(leaf)) for i, leaf in enumerate(jax.tree.leaves(tree))}
    disk.write(arrays, lambda file: np.savez(file, **leaves))  # pyright: ignore[reportArgumentType] - a mapping of arrays
    written = {"arrays": arrays.name, "sha256": disk.digest(arrays)}
    return _complete(folder, round_number, written | dict(metadata))


def _save_spread(folder: Path, run: SpreadRun, round_number: int, metadata: Mapping[str, Any]) -> Path:
    mesh = jax.tree.leaves(run.state)[0].sharding.mesh
    together = Agreement.over(mesh)

    def path(process: int) -> Path:
        return folder / stored.file_name(round_number, process, together.count, mesh.size)

    with together.step():
        disk.make_folder(folder)
        stored.write(path(together.process), run.pieces())
        own = bytes.fromhex(disk.digest(path(together.process)))
    digests = {path(process).name: digest.hex() for process, digest in enumerate(together.gathered(own))}
    with together.step():
        json_file = _json_file(folder, round_number)
        if together.first:
            written = {"pieces": digests, "leaves": stored.shapes(run)}
            _complete(folder, round_number, written | dict(metadata))
    return json_file


def _complete(folder: Path, round_number: int, metadata: Mapping[str, Any]) -> Path:
    """Write the ``.json`` of a checkpoint whose arrays are there, and remove what is no longer needed."""
    json_file, metadata = _json_file(folder, round_number), {"round": round_number, **metadata}
    disk.write(json_file, json.dumps(metadata | {"note_sha256": _note_sha256(metadata)}, indent=1) + "\n")
    for old in metadata_files(folder)[CHECKPOINTS_KEPT:]:
        disk.remove(old)
    for old in folder.glob("round-*.npz"):
        if not (folder / f"{old.name.partition('.')[0]}.json").is_file():
            disk.remove(old)
    return json_file


def _json_file(folder: Path, round_number: int) -> Path:
    return folder / f"round-{round_number:09d}.json"


def load(
    folder: Path,
    like: PyTree | Callable[[dict[str, Any]], PyTree],
    *,
    needed: FieldTypes | None = None,
    on_host: bool = False,
) -> tuple[PyTree, dict[str, Any]]:
    """Return (tree, metadata) of the newest checkpoint whose checksums match.

    Each damaged checkpoint passed over is reported by a JaxGossipWarning.

    Args:
        folder: folder of the checkpoints.
        like: pytree of arrays or ``jax.ShapeDtypeStruct`` with the expected structure, shapes and dtypes; or a function
            from the metadata to one.
        needed: required keys and the types of their values; a checkpoint that lacks one counts as damaged.
        on_host: whether to return NumPy arrays, which a run on a mesh takes, in the place of arrays on the default device.

    Raises:
        RunError: there is no checkpoint, all are damaged, or the newest intact one has other shapes or dtypes.
    """
    candidates = metadata_files(folder)
    if not candidates:
        raise RunError(f"no checkpoint in {folder}", hint=RESTART_HINT)
    damaged = folder
    for number, json_file in enumerate(candidates):
        metadata = read_metadata(json_file, needed or {})
        arrays, damaged = (None, json_file) if metadata is None else _read(json_file, metadata)
        if metadata is not None and arrays is not None:
            return _restored(json_file, arrays, like(metadata) if callable(like) else like, on_host=on_host), metadata
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
    valid = all(isinstance(metadata.get(key), kind) for key, kind in {"round": int, **needed}.items())
    valid &= isinstance(metadata.get("sha256"), str) or stored.is_description(metadata)
    return metadata if valid and metadata["round"] == int(_round_of(json_file)) else None


def _round_of(json_file: Path) -> str:
    return json_file.stem.removeprefix("round-")


def _note_sha256(metadata: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(metadata).encode()).hexdigest()


def _read(json_file: Path, metadata: Mapping[str, Any]) -> tuple[list[np.ndarray] | None, Path]:
    """Return (leaves of a checkpoint, on the host, or None if a file is damaged; the last file looked at)."""
    in_pieces = "pieces" in metadata
    known = metadata["pieces"] if in_pieces else {json_file.with_suffix(".npz").name: metadata["sha256"]}
    for name, expected in known.items():
        file = json_file.with_name(name)
        if not file.is_file() or disk.digest(file) != expected:
            return None, file
    if in_pieces:
        leaves = [(shape, dtype) for shape, dtype in metadata["leaves"]]
        return stored.read([json_file.with_name(name) for name in known], leaves), json_file
    with np.load(json_file.with_suffix(".npz")) as kept:
        return [kept[name] for name in sorted(kept.files)], json_file


def _restored(path: Path, arrays: list[np.ndarray], like: PyTree, *, on_host: bool) -> PyTree:
    leaves, structure = jax.tree.flatten(like)
    if len(arrays) == len(leaves):
        arrays = [
            array.view(leaf.dtype) if (array.dtype, leaf.dtype) == (np.uint16, jnp.bfloat16) else array
            for array, leaf in zip(arrays, leaves, strict=True)
        ]
    expected = [(leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves]
    found = [(array.shape, array.dtype) for array in arrays]
    if expected != found:
        raise RunError(
            f"{path} holds a state of another shape than the configuration makes: {found}, not {expected}",
            hint=RESTART_HINT,
        )
    return jax.tree.unflatten(structure, arrays if on_host else [jnp.asarray(array) for array in arrays])
