"""Reading of the user's npz files; all failures are one kind of error."""

import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from jaxgossip.core.errors import InputError
from jaxgossip.core.files import GZIP, existing_file

MAGIC = b"PK"
"""The magic number of zip archives, which is what ``numpy.savez`` writes."""


def read_npz(
    path: str | Path, error: type[InputError], required: Sequence[str], optional: Collection[str] = (), hint: str = ""
) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name.

    Args:
        path: the file.
        error: class of the error to raise.
        required: names of the arrays that the file must hold.
        optional: names of further arrays that it may hold.
        hint: what to do about any failure.

    Raises:
        InputError: the file does not exist, is not an npz file, is truncated or damaged, holds Python objects, lacks a
            required array or holds an unknown one.
    """
    archive = existing_file(path, error, hint)
    try:
        with archive.open("rb") as file:
            start = file.read(6)
            if not start.startswith(MAGIC):
                raise error(f"{path} is {_kind_of(start)}, not an npz file", hint=hint)
            file.seek(0)
            with np.load(file, allow_pickle=False) as held:
                names = list(held.files)
                for name in required:
                    if name not in names:
                        listed = ", ".join(f"'{held_name}'" for held_name in names) or "nothing"
                        raise error(f"{path} has no array '{name}': it holds {listed}", hint=hint)
                for name in names:
                    if name not in required and name not in optional:
                        raise error(f"{path} has an unknown array '{name}'", hint=hint)
                return {name: _read(path, held, name, error, hint) for name in names}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, NotImplementedError) as failed:
        if isinstance(failed, InputError):
            raise
        raise error(f"{path} is damaged npz: {failed}", hint=hint) from failed


def finite(path: str | Path, name: str, values: np.ndarray, error: type[InputError], hint: str = "") -> np.ndarray:
    """Return an array of a file as float64.

    Raises:
        InputError: the array is not numeric, or holds a number that is not finite; the message gives its position.
    """
    if values.dtype.kind not in "iuf":
        raise error(f"{path}: '{name}' holds {values.dtype}, not numbers", hint=hint)
    wrong = ~np.isfinite(values)
    if wrong.any():
        place = ", ".join(map(str, np.argwhere(wrong)[0].tolist()))
        raise error(f"{path}: {name}[{place}] is {values[wrong].flat[0]}, not a finite number", hint=hint)
    return values.astype(np.float64)


def _read(path: str | Path, held: np.lib.npyio.NpzFile, name: str, error: type[InputError], hint: str) -> np.ndarray:
    try:
        value = held[name]
    except Exception as failed:  # a damaged archive can raise almost any exception
        text = str(failed)
        why = "it holds Python objects, which are not read" if "allow_pickle" in text else text
        raise error(f"{path}: the array '{name}' cannot be read: {why}", hint=hint) from failed
    if not isinstance(value, np.ndarray):  # members of the archive that are not arrays are returned as bytes
        raise error(f"{path}: '{name}' is no array", hint=hint)
    return value


def _kind_of(start: bytes) -> str:
    """Guess the kind of a file from its first bytes."""
    if not start:
        return "empty"
    kinds = {GZIP: "packed by gzip", b"\x93NUMPY": "one array (npy)", b"\x80": "a pickle"}
    return next((kind for magic, kind in kinds.items() if start.startswith(magic)), "something else")
