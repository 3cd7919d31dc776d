"""Arrays in IDX files, the format of MNIST and its family: Fashion-MNIST, EMNIST, KMNIST, QMNIST.

A file begins with two zero bytes, the type of its numbers, the number of axes, and the length of each; all big-endian. LeCun,
Cortes and Burges, "The MNIST database of handwritten digits".
"""

import math
import re
import struct
from pathlib import Path
from types import MappingProxyType

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.files import read_bytes
from jaxgossip.learning.data.arrays import Dataset, from_arrays

TYPES = MappingProxyType({0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"})
"""NumPy's name of each type of numbers."""
IMAGES = re.compile(r"^(?P<set>.*?)(?P<part>train|t10k|test)-images[-.]idx(?P<axes>\d)-ubyte(?P<gz>\.gz)?$")
"""Name of a file of images; that of their labels differs in one word and in the number of axes."""
HINT = "IDX: train-images-idx3-ubyte, train-labels-idx1-ubyte, and the same of t10k"


@guarded
def read_idx(
    path: str | Path,
    *,
    test_fraction: float | None = None,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read images and labels of the MNIST family, as they are published, with or without gzip.

    Args:
        path: the folder of the files, or the file of the training images; labels and test set are found beside it.
        test_fraction: fraction of samples kept as the common test set, 0.1 if None; only where there are no files of one.
        standardize: scale pixels to mean 0 and standard deviation 1, where they are used.
        rng: generator, or its seed, that shuffles the samples.

    Raises:
        DataError: a missing, truncated or mixed file, a folder of none or of several data sets, or a ``test_fraction``
            beside a test set.
    """
    train = _training_images(Path(path).expanduser())
    named = IMAGES.match(train.name)
    assert named is not None
    x, y = _pair(train)
    tests = [train.with_name(train.name.replace("train-images", f"{part}-images")) for part in ("t10k", "test")]
    test = next((found for name in tests if (found := _plain_or_packed(name)) is not None), None)
    notes = [f"images: {train.name}"]
    x_test = y_test = None
    if test is not None:
        x_test, y_test = _pair(test)
        notes.append(f"test set: {test.name}")
    return from_arrays(
        x, y, x_test=x_test, y_test=y_test, name=str(path), notes=notes, test_fraction=test_fraction,
        standardize=standardize, rng=rng,
    )  # fmt: skip


def read_idx_array(path: str | Path) -> np.ndarray:
    """Return the array of an IDX file, in the machine's byte order.

    Args:
        path: the file, with or without gzip.

    Raises:
        DataError: a missing file, one of another format, or one that is shorter or longer than its header says.
    """
    content = read_bytes(path, DataError)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or not content[3]:
        raise DataError(f"{path} is no IDX file: it begins with {content[:4].hex(' ') or 'nothing'}", hint=HINT)
    axes = content[3]
    begin = 4 + 4 * axes
    if len(content) < begin:
        raise DataError(f"{path} ends at byte {len(content)}, within its header of {begin}", hint="copy it anew")
    shape = struct.unpack_from(f">{axes}I", content, 4)
    kind = np.dtype(TYPES[content[2]])
    wanted = begin + math.prod(shape) * kind.itemsize
    if len(content) != wanted:
        size = " × ".join(f"{length:,}" for length in shape)
        raise DataError(
            f"{path} has {len(content):,} bytes, and its header, {size} numbers of {kind.itemsize} bytes, says {wanted:,}",
            hint="copy it anew: it is truncated, or not one file",
        )
    return np.frombuffer(content, kind, offset=begin).reshape(shape).astype(kind.newbyteorder("="))


def is_idx(path: Path) -> bool:
    """Return whether a path is a folder of IDX files, or one of them, by name."""
    names = [one.name for one in path.iterdir()] if path.is_dir() else [path.name]
    return any(IMAGES.match(name) for name in names)


def _training_images(path: Path) -> Path:
    if not path.is_dir():
        named = IMAGES.match(path.name)
        if named is None or named["part"] != "train":
            raise DataError(f"{path} is not named like a file of training images", hint=HINT)
        return path
    found = sorted(one for one in path.iterdir() if (named := IMAGES.match(one.name)) and named["part"] == "train")
    kinds = {one.name.removesuffix(".gz") for one in found}
    if len(kinds) != 1:
        several = ", ".join(one.name for one in found) or "none"
        raise DataError(f"{path}: files of training images: {several}", hint=f"name one of them; {HINT}")
    return found[0]


def _labels_of(images: Path) -> Path:
    name = re.sub(r"-images([-.])idx\d", r"-labels\1idx1", images.name)
    return _plain_or_packed(images.with_name(name)) or images.with_name(name)


def _plain_or_packed(path: Path) -> Path | None:
    """Return the file, or the one that differs by .gz; None if there is neither."""
    other = path.with_name(path.name.removesuffix(".gz") if path.suffix == ".gz" else f"{path.name}.gz")
    return next((one for one in (path, other) if one.exists()), None)


def _pair(images: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (m, h, w) and the labels (m,) beside them."""
    labels = _labels_of(images)
    x, y = read_idx_array(images), read_idx_array(labels)
    for path, shape, axes in ((images, x.shape, "images have 3 axes"), (labels, y.shape, "labels have 1")):
        if len(shape) not in ((3, 4) if path is images else (1,)):
            raise DataError(
                f"{path} holds an array of shape {shape}, and {axes}", hint=f"has it another file's name? {HINT}"
            )
    if len(x) != len(y):
        raise DataError(
            f"{images}: {len(x):,} images, and {len(y):,} labels in {labels.name}", hint="are they of one set?"
        )
    return x, y
