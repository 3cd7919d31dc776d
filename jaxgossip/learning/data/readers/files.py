"""Data sets from the user's files and folders: choice of the reader, and NumPy's npz. Messages name the file and the line."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.files import GZIP, existing_file, read_text
from jaxgossip.core.registry import Builder, nearest
from jaxgossip.learning.data.arrays import ArrayOptions, Dataset, SampleKind, from_arrays
from jaxgossip.learning.data.readers.cifar import absent, layout_of, read_cifar
from jaxgossip.learning.data.readers.columnar import STREAM, is_columnar, read_columnar
from jaxgossip.learning.data.readers.idx import is_idx, read_idx
from jaxgossip.learning.data.readers.leaf import is_leaf, read_leaf
from jaxgossip.learning.data.readers.sparse import is_svmlight, read_svmlight
from jaxgossip.learning.data.readers.tables import read_csv
from jaxgossip.learning.data.readers.text import read_text_file
from jaxgossip.learning.data.targets import Target

NPY = b"\x93NUMPY"
"""The magic number of a single NumPy array."""

__all__ = ["DATAFILES", "file_format", "load_file", "read_csv", "read_npz", "read_svmlight"]


@guarded
def read_npz(
    path: str | Path,
    *,
    x: str = "x",
    y: str = "y",
    x_test: str | None = None,
    y_test: str | None = None,
    owners: str | None = None,
    target: Target = "class",
    samples: SampleKind | None = None,
    test_fraction: float | None = None,
    standardize: bool | None = None,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read arrays from a file written by ``numpy.savez``.

    Args:
        path: the file.
        x: name of the array of samples (m, …).
        y: name of the array of targets (m, …).
        x_test: name of the array of test samples, if the file has a test set.
        y_test: name of the array of test targets.
        owners: name of the array (m,) that says whose each sample is; None for no owners.
        target: what a target is: a "class", a "value" (or several), or a "sequence" of tokens.
        samples: what a sample is: "features", "images" or "tokens"; by default as :func:`.from_arrays` takes arrays.
        test_fraction: fraction of samples kept as the common test set, 0.1 if None; only where ``x_test`` names none.
        standardize: scale each feature, or each colour of images, to mean 0 and standard deviation 1; if None, all but tokens.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: a missing file or array, one that NumPy cannot read, or arrays that :func:`.from_arrays` refuses.
    """
    arrays = _npz_arrays(path)
    names = {"x": x, "y": y, "x_test": x_test, "y_test": y_test, "owners": owners}
    for role, wanted in names.items():
        if wanted is not None and wanted not in arrays:
            hint = f"{role} is one of: {', '.join(arrays)}" if arrays else "it holds no arrays"
            raise DataError(f"{path}: no array '{wanted}'", hint=hint)
    values: dict[str, Any] = {role: arrays[wanted]() for role, wanted in names.items() if wanted is not None}
    unread = [name for name in arrays if name not in names.values()]
    notes = [f"labels: array '{y}'"] + ([f"left out: arrays {', '.join(unread)}"] if unread else [])
    options = ArrayOptions(
        target=target, samples=samples, test_fraction=test_fraction, standardize=standardize, rng=rng
    )
    return from_arrays(**values, name=str(path), notes=notes, **options)


@dataclass(frozen=True)
class FileFormat:
    """A format of files, and how it is recognised.

    Attributes:
        read: the reader.
        names: suffixes of its files, without the dot, the first of which is what ``learning.format`` calls it.
        begins: first bytes, by which a file is known whose suffix says nothing.
        fits: whether a folder is a data set of this format, by the names in it; None for formats of single files.
        folders: what these folders are called in messages.
    """

    read: Builder
    names: tuple[str, ...]
    begins: tuple[bytes, ...] = ()
    fits: Callable[[Path], object] | None = None
    folders: str = ""


FORMATS = (
    FileFormat(read_csv, ("csv", "tsv")),
    FileFormat(read_npz, ("npz",), begins=(b"PK\x03\x04", NPY)),
    FileFormat(read_svmlight, ("svmlight", "svm", "libsvm")),
    FileFormat(read_idx, ("idx",), fits=is_idx, folders="IDX"),
    FileFormat(read_cifar, ("cifar",), fits=layout_of, folders="CIFAR"),
    FileFormat(read_columnar, ("parquet",), (b"PAR1",), is_columnar, "Parquet, datasets"),
    FileFormat(read_columnar, ("arrow", "feather"), begins=(b"ARROW1", STREAM)),
    # after the folders of datasets, which also hold JSON
    FileFormat(read_leaf, ("leaf", "json"), fits=is_leaf, folders="LEAF"),
    FileFormat(read_text_file, ("text",)),
)
"""What can be read, in the order in which folders are tried."""
UNREAD = MappingProxyType({b"\x89HDF": "HDF5", b"%PDF": "PDF"})
"""First bytes of files that users take for data, and what these are."""
DATAFILES: Mapping[str, Builder] = MappingProxyType({name: kind.read for kind in FORMATS for name in kind.names})
"""Readers by file suffix, without the dot, or by what ``learning.format`` calls the format."""
NOT_TAKEN = MappingProxyType(
    {
        "test_fraction": "leave it out: they have a test set of their own",
        "standardize": "leave it out: tokens are not scaled",
    }
)
"""Why a reader may not take what others do."""


@guarded
def load_file(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - as the configuration's key is called
    test_fraction: float | None = None,
    standardize: bool | None = None,
    rng: np.random.Generator | int = 0,
    **options: Any,
) -> Dataset:
    """Read a file by its suffix, or by its content if the suffix is unknown; ``.gz`` means compressed with gzip.

    Args:
        path: the file, or the folder of a data set of several files.
        format: a key of ``DATAFILES``, regardless of the suffix; detected by default.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples; 0.1 if None. Refused
            where the files have a test set of their own.
        standardize: scale each feature to mean 0 and standard deviation 1; if None, all but tokens, which cannot be scaled.
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
    common = {"test_fraction": test_fraction, "standardize": standardize}
    options |= {name: value for name, value in common.items() if value is not None}
    for name in options:
        if name not in taken:
            raise DataError(f"{path}: files of {kind} take no {name}", hint=NOT_TAKEN.get(name) or nearest(name, taken))
    return reader(path, rng=rng, **options)


def file_format(path: str | Path) -> str:
    """Return the format of a file or folder, a key of ``DATAFILES``, from its names or its content.

    Raises:
        DataError: a missing file, or a format that is not supported.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        found = next((kind.names[0] for kind in FORMATS if kind.fits is not None and kind.fits(place)), None)
        if found is None:
            *first, last = (kind.folders for kind in FORMATS if kind.fits is not None)
            hint = f"folders of {', '.join(first)} and {last} are read; or name a file in it"
            raise DataError(f"{path} is a folder of no known data set", hint=hint)
        return found
    if (error := absent(place)) is not None:
        raise error
    file_path = existing_file(path, DataError, "a relative path starts at the configuration's folder, or here")
    if is_idx(file_path):
        return "idx"
    suffixes = [suffix.removeprefix(".").lower() for suffix in file_path.suffixes]
    last = suffixes[-2:-1] if suffixes[-1:] == ["gz"] else suffixes[-1:]
    if last and last[0] in DATAFILES:
        return last[0]
    with file_path.open("rb") as file:
        magic = file.read(8)
    for kind in FORMATS:
        if magic.startswith(kind.begins):
            return kind.names[0]
    for begin, named in UNREAD.items():
        if magic.startswith(begin):
            raise DataError(f"{path} is {named}, which is not read", hint="write it as CSV, or as npz with numpy.savez")
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
    if magic == NPY:
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
