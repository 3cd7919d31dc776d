"""Data sets that a configuration can name: packaged, scikit-learn's, synthetic, and the user's files."""

import math
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from types import ModuleType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real
from scipy.linalg import helmert

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.registry import Registry
from jaxgossip.core.typing import PRNGKey
from jaxgossip.learning.data.arrays import Dataset, from_arrays
from jaxgossip.learning.data.readers.cifar import read_cifar
from jaxgossip.learning.data.readers.columnar import from_hugging_face, read_columnar
from jaxgossip.learning.data.readers.files import DATAFILES, load_file, read_csv, read_npz, read_svmlight
from jaxgossip.learning.data.readers.idx import read_idx
from jaxgossip.learning.data.readers.leaf import read_leaf
from jaxgossip.learning.data.readers.text import from_text, read_text_file
from jaxgossip.topology.memory_check import check_bytes

__all__ = [
    "DATAFILES",
    "DATASETS",
    "Dataset",
    "breast_cancer",
    "digits",
    "from_arrays",
    "from_hugging_face",
    "from_text",
    "load_file",
    "mnist_10k",
    "read_cifar",
    "read_columnar",
    "read_csv",
    "read_idx",
    "read_leaf",
    "read_npz",
    "read_svmlight",
    "read_text_file",
    "shakespeare",
    "spambase",
    "synthetic",
]

BYTES_PER_FEATURE = 28
"""Bytes per feature of a synthetic sample while samples are drawn, standardised and split."""


@guarded
def spambase(*, test_fraction: float = 0.1, standardize: bool = True, rng: np.random.Generator | int = 0) -> Dataset:
    """Spambase: 4,601 e-mails with 57 frequencies of words and characters, spam (class 1) or not.

    Hopkins, Reeber, Forman and Suermondt 1999, UCI Machine Learning Repository (CC BY 4.0).

    Args:
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale each feature to mean 0 and standard deviation 1.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: ``test_fraction`` is outside (0, 1), or leaves nothing to train on.
    """
    with _packaged("spambase.npz").open("rb") as stream, np.load(stream) as arrays:
        x, y = arrays["x"], arrays["y"]
    return from_arrays(x, y, name="spambase", test_fraction=test_fraction, standardize=standardize, rng=rng)


@guarded
def digits(*, test_fraction: float = 0.1, standardize: bool = True, rng: np.random.Generator | int = 0) -> Dataset:
    """Handwritten digits: 1,797 greyscale images of 8×8 pixels in ten classes; needs scikit-learn.

    Alpaydin and Kaynak 1998, UCI Machine Learning Repository.

    Args:
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale each pixel to mean 0 and standard deviation 1.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: scikit-learn is not installed, or ``test_fraction`` is outside (0, 1) or leaves nothing to train on.
    """
    data: Any = _sklearn_datasets("digits").load_digits()
    return from_arrays(
        data.images, data.target, name="digits", test_fraction=test_fraction, standardize=standardize, rng=rng
    )


@guarded
def breast_cancer(
    *, test_fraction: float = 0.1, standardize: bool = True, rng: np.random.Generator | int = 0
) -> Dataset:
    """Breast cancer Wisconsin: 569 tumours with 30 features, malignant (0) or benign (1); needs scikit-learn.

    Wolberg, Mangasarian, Street and Street 1995, UCI Machine Learning Repository.

    Args:
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale each feature to mean 0 and standard deviation 1.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: scikit-learn is not installed, or ``test_fraction`` is outside (0, 1) or leaves nothing to train on.
    """
    data: Any = _sklearn_datasets("breast_cancer").load_breast_cancer()
    return from_arrays(
        data.data, data.target, name="breast_cancer", test_fraction=test_fraction, standardize=standardize, rng=rng
    )


@guarded
def synthetic(
    *,
    samples: int = 10_000,
    features: int = 20,
    classes: int = 2,
    separation: float = 3.0,
    flip: float = 0.0,
    test_fraction: float = 0.1,
    standardize: bool = True,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Gaussian classes of equal size: x = centre of its class + standard normal noise.

        centres: a regular simplex with sides of length ``separation``, randomly rotated

    For two classes the best possible accuracy is (1 - flip) Φ(separation/2) + flip Φ(-separation/2).

    Args:
        samples: number of samples, including the test set.
        features: number of features per sample.
        classes: number of classes.
        separation: distance between any two centres, in standard deviations of the noise.
        flip: probability that a label is replaced by another, chosen uniformly.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale each feature to mean 0 and standard deviation 1.
        rng: generator, or its seed, that draws everything.

    Raises:
        DataError: fewer than two classes, fewer samples than classes, fewer features than the simplex needs, a
            number out of range, or more samples than the free memory holds.
    """
    if classes < 2 or samples < classes:
        raise DataError(f"synthetic: {samples} samples cannot form {classes} classes", hint="at least two classes")
    if features < classes - 1:
        raise DataError(
            f"synthetic: {classes} classes do not fit into {features} features", hint=f"give at least {classes - 1}"
        )
    if not 0 <= flip <= 1 or not 0 <= separation < math.inf:
        raise DataError(
            f"synthetic: separation = {separation}, flip = {flip}", hint="separation is not negative, flip within 0..1"
        )
    check_bytes(
        f"synthetic: {samples:,} samples of {features:,} features", BYTES_PER_FEATURE * samples * features,
        "fewer samples or features", error=DataError,
    )  # fmt: skip
    rng = np.random.default_rng(rng)
    key = jax.random.key(int(rng.integers(2**31)))
    x, y = _gaussian_classes(key, samples, features, classes, float(separation), flip)
    return from_arrays(x, y, name="synthetic", test_fraction=test_fraction, standardize=standardize, rng=rng)


@guarded
def mnist_10k(*, test_fraction: float = 0.1, standardize: bool = True, rng: np.random.Generator | int = 0) -> Dataset:
    """Handwritten digits: 10,000 of MNIST's greyscale images of 28×28 pixels in ten classes, the published test set.

    LeCun, Cortes and Burges, "The MNIST database of handwritten digits" (CC BY-SA 3.0).

    Args:
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        standardize: scale pixels to mean 0 and standard deviation 1, where they are used.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: ``test_fraction`` is outside (0, 1), or leaves nothing to train on.
    """
    with _packaged("mnist10k.npz").open("rb") as stream, np.load(stream) as arrays:
        x, y = arrays["x"], arrays["y"]
    return from_arrays(x, y, name="mnist_10k", test_fraction=test_fraction, standardize=standardize, rng=rng)


@guarded
def shakespeare(
    *,
    length: int = 64,
    tokens: Literal["characters", "bytes"] = "characters",
    test_fraction: float = 0.1,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Shakespeare's plays, 1,115,394 characters: the text one character on is predicted; the owners are the speaking roles.

    Karpathy's selection ("tinyshakespeare", 2015) of the plays, which are in the public domain. McMahan, Moore, Ramage, Hampson
    and Agüera y Arcas 2017 divide a like text by roles.

    Args:
        length: number of characters of a sample.
        tokens: "characters", numbered in sorted order, or the 256 "bytes" of UTF-8.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: no role that speaks more than ``length`` characters, or a ``test_fraction`` outside (0, 1).
    """
    text = _packaged("tinyshakespeare.txt").read_text("utf-8")
    return from_text(
        text, tokens=tokens, length=length, by="speaker", name="shakespeare", test_fraction=test_fraction, rng=rng
    )


def _packaged(name: str) -> Traversable:
    return resources.files("jaxgossip.learning") / "data" / name


DATASETS = Registry("dataset", [spambase, digits, breast_cancer, synthetic, mnist_10k, shakespeare])
"""Data sets that ``learning.dataset`` can name, besides tasks and files."""


@partial(jax.jit, static_argnums=(1, 2, 3))
def _gaussian_classes(
    key: PRNGKey, samples: int, features: int, classes: int, separation: Float[Array, ""], flip: Real[Array, ""]
) -> tuple[Array, Array]:
    turn, noise, flips, others = jax.random.split(key, 4)
    rotation = jnp.linalg.qr(jax.random.normal(turn, (features, classes - 1), jnp.float32))[0]
    simplex = jnp.asarray(helmert(classes).T, jnp.float32)  # rows at mutual distance sqrt(2)
    centres = separation / math.sqrt(2) * simplex @ rotation.T
    y = jnp.arange(samples, dtype=jnp.int32) % classes
    x = centres[y] + jax.random.normal(noise, (samples, features), jnp.float32)
    other = y + jax.random.randint(others, (samples,), 1, classes, jnp.int32)
    return x, jnp.where(jax.random.uniform(flips, (samples,), jnp.float32) < flip, other % classes, y)


def _sklearn_datasets(name: str) -> ModuleType:
    try:
        from sklearn import datasets  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise DataError(f"dataset '{name}' needs scikit-learn", hint='pip install "jaxgossip[data]"') from error
    return datasets
