"""Data sets from the user's files: choice of the reader, and NumPy's npz. Messages name the file and the line."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.files import GZIP, existing_file, read_text
from jaxgossip.core.registry import Builder, nearest
from jaxgossip.learning.data.arrays import Dataset, from_arrays
from jaxgossip.learning.data.sparse import is_svmlight, read_svmlight
from jaxgossip.learning.data.tables import read_csv

__all__ = ["DATAFILES", "file_format", "load_file", "read_csv", "read_npz", "read_svmlight"]


@guarded
def read_npz(
    path: str | Path,
    *,
    x: str = "x",
    y: str = "y",
    x_test: str | None = None,
    y_test: str | None = None,
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read arrays from a file written by ``numpy.savez``.

    Args:
        path: the file.
        x: name of the array of samples (m, …).
        y: name of the array of labels (m,).
        x_test: name of the array of test samples, if the file has a test set; ``test_fraction`` is then ignored.
        y_test: name of the array of test labels.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale each feature to mean 0 and standard deviation 1.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: a missing file or array, one that NumPy cannot read, or arrays that :func:`.from_arrays` refuses.
    """
    arrays = _npz_arrays(path)
    names = {"x": x, "y": y, "x_test": x_test, "y_test": y_test}
    for role, wanted in names.items():
        if wanted is not None and wanted not in arrays:
            hint = f"{role} is one of: {', '.join(arrays)}" if arrays else "it holds no arrays"
            raise DataError(f"{path}: no array '{wanted}'", hint=hint)
    values = {role: arrays[wanted]() for role, wanted in names.items() if wanted is not None}
    unread = [name for name in arrays if name not in names.values()]
    notes = [f"labels: array '{y}'"] + ([f"left out: arrays {', '.join(unread)}"] if unread else [])
    return from_arrays(
        **values, name=str(path), notes=notes, test_fraction=test_fraction, standardize=standardize, rng=rng
    )  # fmt: skip


DATAFILES: Mapping[str, Builder] = MappingProxyType(
    {"csv": read_csv, "tsv": read_csv, "npz": read_npz}
    | {"svm": read_svmlight, "svmlight": read_svmlight, "libsvm": read_svmlight}
)
"""Readers by file suffix, without the dot."""


@guarded
def load_file(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - as the configuration's key is called
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
    **options: Any,
) -> Dataset:
    """Read a file by its suffix, or by its content if the suffix is unknown; ``.gz`` means compressed with gzip.

    Args:
        path: the file.
        format: "csv", "npz" or "svmlight", regardless of the suffix; detected by default.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale each feature to mean 0 and standard deviation 1.
        rng: generator, or its seed, that shuffles the samples before the split.
        **options: further keywords of the reader.

    Raises:
        DataError: a file that is missing or cannot be read, an unknown format, or a keyword that its reader does not
            have.
    """
    if format is not None and format not in DATAFILES:
        raise DataError(f"{path}: no reader for the format '{format}'", hint=nearest(format, list(DATAFILES)))
    kind = format or file_format(path)
    reader = DATAFILES[kind]
    taken = [name for name in inspect.signature(reader).parameters if name != "path"]
    for name in options:
        if name not in taken:
            raise DataError(f"{path}: files of {kind} take no {name}", hint=nearest(name, taken))
    return reader(path, test_fraction=test_fraction, standardize=standardize, rng=rng, **options)


def file_format(path: str | Path) -> str:
    """Return the format of a file, a key of ``DATAFILES``, from its suffix or its content.

    Raises:
        DataError: a missing file, or a format that is not supported.
    """
    file_path = existing_file(path, DataError, "a relative path starts at the configuration's folder, or here")
    suffixes = [suffix.removeprefix(".").lower() for suffix in file_path.suffixes]
    last = suffixes[-2:-1] if suffixes[-1:] == ["gz"] else suffixes[-1:]
    if last and last[0] in DATAFILES:
        return last[0]
    with file_path.open("rb") as file:
        magic = file.read(8)
    kinds = {b"PK\x03\x04": "npz", b"\x93NUMPY": "npz", b"PAR1": "Parquet", b"\x89HDF": "HDF5", b"%PDF": "PDF"}
    kind = next((kind for begin, kind in kinds.items() if magic.startswith(begin)), "")
    if kind in DATAFILES:
        return kind
    if kind:
        raise DataError(f"{path} is {kind}, which is not read", hint="write it as CSV, or as npz with numpy.savez")
    lines = (line.strip() for line in read_text(path, DataError).splitlines())
    first = next((line for line in lines if line and not line.startswith(("#", "%"))), "")
    if first.casefold().startswith("@relation"):
        raise DataError(f"{path} is ARFF, which is not read", hint="save what follows its line @data as CSV")
    if first.startswith(("<", "{", "[")):
        raise DataError(f"{path} is no table: it begins with '{first[:20]}'", hint="write one sample a line, as CSV")
    return "svmlight" if is_svmlight(first) else "csv"


def _npz_arrays(path: str | Path) -> dict[str, Callable[[], np.ndarray]]:
    """Return a function for each array of a file that reads it: archives may hold more arrays than are needed."""

    def read(name: str) -> np.ndarray:
        with _npz_errors(path), file_path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays[name]

    file_path = existing_file(path, DataError)
    with file_path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(GZIP):
        raise DataError(f"{path} is packed by gzip", hint="unpack it with gunzip: npz is packed as it is")
    if magic == b"\x93NUMPY":
        raise DataError(
            f"{path} is one array, without labels", hint="numpy.savez(path, x=samples, y=labels) writes both"
        )
    with _npz_errors(path), file_path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: partial(read, name) for name in arrays.files}


@contextmanager
def _npz_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # damaged archives raise various exceptions
        raise DataError(f"{path} cannot be read: {error}", hint="write it with numpy.savez, without objects") from error
