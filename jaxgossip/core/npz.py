"""Files of named arrays (npz) of the user's: whatever fails is one error."""

import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from jaxgossip.core.errors import InputError
from jaxgossip.core.files import GZIP, existing_file

MAGIC = b"PK"
"""What a file of ``numpy.savez`` begins with, as every zip archive."""


def read_npz(
    path: str | Path, error: type[InputError], required: Sequence[str], optional: Collection[str] = (), hint: str = ""
) -> dict[str, np.ndarray]:
    """Return the arrays of a file by their names.

    Args:
        path: the file.
        error: what is raised.
        required: names of arrays that it must hold.
        optional: names of others that it may hold.
        hint: the way out.

    Raises:
        InputError: no such file, one that is no npz, is cut or damaged or holds Python objects, or an array that is
            missing or unknown.
    """
    found = existing_file(path, error, hint)
    try:
        with found.open("rb") as file:
            start = file.read(6)
            if not start.startswith(MAGIC):
                raise error(f"{path} is {_kind_of(start)}, not an npz file", hint=hint)
            file.seek(0)
            with np.load(file, allow_pickle=False) as held:
                names = list(held.files)
                for name in required:
                    if name not in names:
                        listed = ", ".join(f"'{one}'" for one in names) or "nothing"
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
        InputError: it holds something else than finite numbers; the first that is not finite is named.
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
    except Exception as failed:  # a damaged archive raises whatever its part of the library likes
        text = str(failed)
        why = "it holds Python objects, which are not read" if "allow_pickle" in text else text
        raise error(f"{path}: the array '{name}' cannot be read: {why}", hint=hint) from failed
    if not isinstance(value, np.ndarray):  # a member of the archive that is no array comes as bytes
        raise error(f"{path}: '{name}' is no array", hint=hint)
    return value


def _kind_of(start: bytes) -> str:
    """Return what a file seems to be, by its first bytes."""
    if not start:
        return "empty"
    kinds = {GZIP: "packed by gzip", b"\x93NUMPY": "one array (npy)", b"\x80": "a pickle"}
    return next((kind for magic, kind in kinds.items() if start.startswith(magic)), "something else")
