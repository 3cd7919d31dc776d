"""The files of a checkpoint of a run on a mesh: every process stores the rows of its own devices, piece by piece.

A file is a ``.npz``, whose arrays are named by leaf and first row. Together the files of all processes hold every row once.
"""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core import disk
from jaxgossip.simulation.mesh.placement import Place
from jaxgossip.simulation.mesh.spread_run import Piece, SpreadRun


def storable(array: np.ndarray) -> np.ndarray:
    """Return the array in a dtype that ``.npz`` files support: bfloat16 is viewed as uint16."""
    return array.view(np.uint16) if array.dtype == jnp.bfloat16 else array


def file_name(round_number: int, process: int, processes: int, devices: int) -> str:
    """Return the name of a process's file.

    What is in it depends on all the numbers in its name, so a file never replaces one with other content: a checkpoint of
    the same round that another number of processes or devices wrote stays whole until it is removed.
    """
    return f"round-{round_number:09d}.p{process:04d}of{processes:04d}on{devices}.npz"


def write(path: Path, pieces: Iterable[Piece]) -> None:
    """Write a process's file, one piece after the other; no more than one of them is in memory."""

    def put(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
            for leaf, start, values in pieces:
                # A fixed date, so that the same state gives the same bytes.
                entry = zipfile.ZipInfo(f"leaf{leaf:04d}.{start:012d}.npy")
                with archive.open(entry, "w", force_zip64=True) as stored:
                    np.lib.format.write_array(stored, storable(np.ascontiguousarray(values)), allow_pickle=False)

    disk.write(path, put)


def shapes(run: SpreadRun) -> list[tuple[list[int], str]]:
    """Return (shape, name of the dtype) of each leaf of a state, with a row for each node."""
    leaves = zip(jax.tree.leaves(run.state), jax.tree.leaves(run.places), strict=True)
    return [
        ([run.n_nodes, *leaf.shape[1:]] if place is Place.ROWS else list(leaf.shape), str(leaf.dtype))
        for leaf, place in leaves
    ]


def read(paths: Sequence[Path], leaves: Sequence[tuple[Sequence[int], str]]) -> list[np.ndarray] | None:
    """Return the leaves that files hold together, on the host; None if a row is missing, or there twice.

    Args:
        paths: the files, in any order.
        leaves: (shape, name of the dtype) of each leaf, as :func:`shapes` returns them.
    """
    arrays = [np.empty(tuple(shape), np.dtype(dtype)) for shape, dtype in leaves]
    rows: list[list[tuple[int, int]]] = [[] for _ in arrays]
    for path in paths:
        with np.load(path) as stored:
            for name in stored.files:
                leaf, start = (int(number) for number in name.removeprefix("leaf").split("."))
                if leaf >= len(arrays) or not _put_rows(arrays[leaf], start, stored[name], rows[leaf]):
                    return None
    whole = all(_covers(parts, array) for parts, array in zip(rows, arrays, strict=True))
    return arrays if whole else None


def is_description(metadata: Mapping[str, Any]) -> bool:
    """Return whether the metadata of a checkpoint name files of processes, with their digests, and leaves."""
    pieces, leaves = metadata.get("pieces"), metadata.get("leaves")
    if not isinstance(pieces, Mapping) or not isinstance(leaves, list):
        return False
    return all(isinstance(known, str) and Path(name).name == name for name, known in pieces.items()) and all(
        isinstance(leaf, list) and len(leaf) == 2 and isinstance(leaf[0], list) and isinstance(leaf[1], str)
        for leaf in leaves
    )


def _put_rows(array: np.ndarray, start: int, values: np.ndarray, rows: list[tuple[int, int]]) -> bool:
    """Copy rows into an array and note which they are; return whether they fit."""
    target, values = np.atleast_1d(storable(array)), np.atleast_1d(values)
    stop = start + len(values)
    if values.dtype != target.dtype or values.shape[1:] != target.shape[1:] or stop > len(target):
        return False
    target[start:stop] = values
    rows.append((start, stop))
    return True


def _covers(rows: list[tuple[int, int]], array: np.ndarray) -> bool:
    at = 0
    for start, stop in sorted(rows):
        if start != at:
            return False
        at = stop
    return at == len(np.atleast_1d(array))
