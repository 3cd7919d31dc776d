"""CIFAR-10 and CIFAR-100, as they are published: in binary, or as Python's batches.

A binary record is one label, of CIFAR-100 a coarse and a fine one, and 3,072 bytes: 32×32 pixels of red, then of green, then of
blue. A Python batch is a pickled dict of the same. Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

import io
import pickle
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, override

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.files import read_bytes, read_text
from jaxgossip.learning.data.arrays import Dataset, from_arrays

PIXELS = 3 * 32 * 32
HINT = (
    "the folder that the published archive unpacks to: cifar-10-batches-bin, cifar-10-batches-py, cifar-100-binary, …"
)
PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
"""Where the files are published."""
ARCHIVES: Mapping[str, str] = MappingProxyType(
    {
        "cifar-10-batches-bin": "cifar-10-binary.tar.gz", "cifar-10-batches-py": "cifar-10-python.tar.gz",
        "cifar-100-binary": "cifar-100-binary.tar.gz", "cifar-100-python": "cifar-100-python.tar.gz",
    }
)  # fmt: skip
"""The published archives, by the folders that they unpack to."""


@dataclass(frozen=True)
class Layout:
    """How the files of one data set are called.

    Attributes:
        train: names of the files for training.
        test: name of the file for testing.
        classes: number of classes of each label of a record.
        binary: whether files are records, and not pickled.
    """

    train: tuple[str, ...]
    test: str
    classes: tuple[int, ...]
    binary: bool

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files of samples."""
        return (*self.train, self.test)

    @property
    def labels(self) -> int:
        """Number of labels of a record."""
        return len(self.classes)


LAYOUTS = (
    Layout(tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin", (10,), binary=True),
    Layout(tuple(f"data_batch_{number}" for number in range(1, 6)), "test_batch", (10,), binary=False),
    Layout(("train.bin",), "test.bin", (20, 100), binary=True),
    Layout(("train",), "test", (20, 100), binary=False),
)


@guarded
def read_cifar(
    path: str | Path,
    *,
    classes: Literal["fine", "coarse"] = "fine",
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read CIFAR-10 or CIFAR-100 from the folder of its files.

    Args:
        path: the folder.
        classes: of CIFAR-100, the 100 fine or the 20 coarse classes.
        standardize: scale each colour to mean 0 and standard deviation 1, where it is used.
        rng: generator, or its seed, that shuffles the training samples.

    Raises:
        DataError: no folder, files of several data sets, a missing, truncated or damaged file, or a label that the data set
            does not have.
    """
    folder = Path(path).expanduser()
    layout = layout_of(folder)
    if layout is None:
        raise absent(folder) or DataError(f"{path}: no files of CIFAR-10 or CIFAR-100", hint=HINT)
    missing = [name for name in layout.files if not (folder / name).exists()]
    if missing:
        raise DataError(f"{path}: {missing[0]} is missing, beside others of the data set", hint=HINT)
    foreign = [name for other in LAYOUTS if other is not layout for name in other.files]
    if also := next((name for name in foreign if (folder / name).is_file()), None):
        raise DataError(f"{path}: {layout.train[0]} and {also} are of two data sets", hint=f"a folder for each; {HINT}")
    which = 0 if layout.labels == 1 or classes == "coarse" else 1
    parts = [_read(folder / name, layout, which) for name in layout.train]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    x_test, y_test = _read(folder / layout.test, layout, which)
    if names := _names(folder, layout, classes):
        if len(names) != layout.classes[which]:
            message = f"{path}: {len(names)} names of classes, of which there are {layout.classes[which]}"
            raise DataError(message, hint="copy the file of names anew, or remove it")
        y, y_test = (np.array(names)[labels] for labels in (y, y_test))
    return from_arrays(
        x,
        y,
        x_test=x_test,
        y_test=y_test,
        name=str(path),
        notes=[f"test set: {layout.test}"],
        standardize=standardize,
        rng=rng,
    )


def layout_of(folder: Path) -> Layout | None:
    """Return how the files of a folder are called, by those that are there; None if it is no folder of CIFAR."""
    for layout in LAYOUTS:
        # "train" and "test" are also what other folders are called, and one file of such a name does not tell.
        needed = any if len(layout.train) > 1 else all
        if needed((folder / name).is_file() for name in layout.files):
            return layout
    return None


def absent(folder: Path) -> DataError | None:
    """Return the error of a published folder that is not there, which says where to get it; None for any other path."""
    archive = ARCHIVES.get(folder.name)
    if archive is None or folder.exists():
        return None
    unpack = f"tar -xzf {archive} -C {shlex.quote(str(folder.parent))}"
    hint = f"download {archive} from {PAGE}, and unpack it there: {unpack}; or name the folder where you have it"
    return DataError(f"no such folder: {folder}", hint=hint)


def _read(path: Path, layout: Layout, which: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (m, 32, 32, 3) uint8 and labels (m,) of one file."""
    pixels, labels = _records(path, layout.labels, which) if layout.binary else _batch(path, which, layout.labels)
    wrong = np.flatnonzero((labels < 0) | (labels >= layout.classes[which]))
    if wrong.size:
        place = f"{path}: the label of image {wrong[0]:,} (counted from 0)"
        raise DataError(f"{place} is {labels[wrong[0]]}, and there are {layout.classes[which]} classes", hint=HINT)
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels.astype(np.int64)


def _records(path: Path, labels: int, which: int) -> tuple[np.ndarray, np.ndarray]:
    content, size = read_bytes(path, DataError), labels + PIXELS
    if not content or len(content) % size:
        raise DataError(
            f"{path} has {len(content):,} bytes, which are not whole records of {size:,}",
            hint=_other_records(len(content), labels) or "copy it anew: it is truncated",
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return records[:, labels:], records[:, which]


def _other_records(size: int, labels: int) -> str:
    """Return a hint if a file has whole records of the other data set."""
    other = 3 - labels
    names = {1: "CIFAR-10", 2: "CIFAR-100"}
    if not size or size % (other + PIXELS):
        return ""
    return f"it has whole records of {names[other]} ({other + PIXELS:,} bytes), beside files of {names[labels]}"


def _batch(path: Path, which: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    batch = _unpickled(path)
    key = b"labels" if labels == 1 else (b"coarse_labels", b"fine_labels")[which]
    if not isinstance(batch, Mapping) or b"data" not in batch or key not in batch:
        held = ", ".join(str(name, "utf-8", "replace") for name in batch) if isinstance(batch, Mapping) else "no table"
        message = f"{path} is no batch of CIFAR-{10 if labels == 1 else 100}: it has no 'data' and '{key.decode()}'"
        raise DataError(message, hint=f"it holds {held[:100]}; {HINT}")
    pixels, numbers = np.asarray(batch[b"data"]), np.asarray(batch[key])
    fits = pixels.dtype == np.uint8 and pixels.shape == (*numbers.shape, PIXELS)
    if not fits or numbers.dtype.kind not in "iu":
        raise DataError(
            f"{path} holds pixels {pixels.shape} and labels {numbers.shape}", hint=f"(m, {PIXELS}) bytes, (m,) labels"
        )
    return pixels, numbers


def _names(folder: Path, layout: Layout, classes: str) -> list[str]:
    """Return the names of the classes; empty if their file is not there."""
    if layout.binary:
        file = folder / ("batches.meta.txt" if layout.labels == 1 else f"{classes}_label_names.txt")
        return read_text(file, DataError).split() if file.exists() else []
    file = folder / ("batches.meta" if layout.labels == 1 else "meta")
    if not file.exists():
        return []
    named = _unpickled(file)
    key = b"label_names" if layout.labels == 1 else f"{classes}_label_names".encode()
    return [name.decode() for name in named.get(key, [])] if isinstance(named, Mapping) else []


class _Unpickler(pickle.Unpickler):
    """Reads arrays, numbers and words, and nothing that would run code."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"),
            ("numpy", "dtype"), ("_codecs", "encode"),
        }
    )  # fmt: skip

    @override
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of images needs")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _unpickled(path: Path) -> Any:
    try:
        return _Unpickler(io.BytesIO(read_bytes(path, DataError)), encoding="bytes").load()
    except DataError:
        raise
    except Exception as error:  # damaged pickles raise various exceptions
        raise DataError(f"{path} cannot be read as a Python batch: {error}", hint="copy it anew; " + HINT) from error
