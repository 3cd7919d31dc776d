"""JSON files of LEAF: samples with their users, as its scripts write them for FEMNIST, Shakespeare and Synthetic.

A file is ``{"users": […], "num_samples": […], "user_data": {user: {"x": […], "y": […]}}}``; a data set is the files of a
folder, or those of its folders ``train`` and ``test``. Caldas et al. 2018, "LEAF: a benchmark for federated settings".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.files import read_text
from jaxgossip.learning.data.arrays import Dataset, from_arrays
from jaxgossip.learning.data.labels import is_missing

HINT = 'LEAF writes {"users": […], "num_samples": […], "user_data": {user: {"x": […], "y": […]}}}'


@guarded
def read_leaf(
    path: str | Path,
    *,
    test_fraction: float | None = None,
    standardize: bool | None = None,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read the JSON files of LEAF; every user is the owner of the user's samples.

    Samples are lists of numbers, or strings, whose characters become tokens. Flat images of 784 numbers in [0, 1], as
    FEMNIST's, become 28×28.

    Args:
        path: a file, the folder of some, or the folder that holds ``train`` and ``test``.
        test_fraction: fraction of samples kept as the common test set, 0.1 if None; only where there is no ``test``.
        standardize: scale each feature to mean 0 and standard deviation 1; if None, wherever samples are not text.
        rng: generator, or its seed, that shuffles the samples.

    Raises:
        DataError: no such file, one that is no JSON of LEAF or has no samples, a user whose samples and targets differ in
            number, samples of different kinds, or names of images; or what :func:`.from_arrays` refuses.
    """
    folder = Path(path).expanduser()
    parts = {name: folder / name for name in ("train", "test")} if (folder / "train").is_dir() else {"train": folder}
    read = {name: list(_samples(part)) for name, part in parts.items() if name == "train" or part.is_dir()}
    if not read["train"]:
        raise DataError(f"{path}: no samples to train on", hint=HINT)
    xs, ys, users = (list(column) for column in zip(*read["train"], strict=True))
    xs_test, ys_test = [x for x, _, _ in read.get("test", [])], [y for _, y, _ in read.get("test", [])]
    alphabet = _alphabet(path, [*xs, *xs_test])
    text = bool(alphabet)
    if text:
        ys, ys_test = _quoted(ys), _quoted(ys_test)
    return from_arrays(
        _encoded(path, xs, alphabet), ys, owners=users, name=str(path),
        x_test=_encoded(path, xs_test, alphabet) if xs_test else None, y_test=ys_test if xs_test else None,
        samples="tokens" if text else "features",
        notes=[f"{len(set(users)):,} users"] + [f"characters are tokens, {len(alphabet)} different ones"] * text,
        test_fraction=test_fraction, standardize=standardize, rng=rng,
    )  # fmt: skip


def is_leaf(path: Path) -> bool:
    """Return whether a path is a folder of JSON, as LEAF writes it."""
    return any((path / "train" if (path / "train").is_dir() else path).glob("*.json"))


def _samples(path: Path) -> Iterator[tuple[Any, Any, str]]:
    """Yield (x, y, user) of every sample in a file, or in the files of a folder."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no JSON file", hint=HINT)
    for file in files:
        content = _json(file)
        listed = content.get("num_samples")
        counts = dict(zip(content["users"], listed, strict=False)) if isinstance(listed, list) else {}
        for user in content["users"]:
            data = content["user_data"].get(user)
            if not isinstance(data, Mapping) or not all(isinstance(data.get(key), list) for key in ("x", "y")):
                raise DataError(f"{file}: user '{user}' has no lists x and y", hint=HINT)
            if len(data["x"]) != len(data["y"]):
                raise DataError(
                    f"{file}: user '{user}' has {len(data['x']):,} samples and {len(data['y']):,} targets", hint=HINT
                )
            if counts.get(user, len(data["y"])) != len(data["y"]):
                told = f"num_samples says {counts[user]}"
                raise DataError(f"{file}: user '{user}' has {len(data['y']):,} samples, and {told}", hint=HINT)
            for x, y in zip(data["x"], data["y"], strict=True):
                yield x, y, str(user)


def _json(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(read_text(file, DataError))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}, line {error.lineno}: no JSON: {error.msg}", hint="was it copied to its end?"
        ) from error
    users = content.get("users") if isinstance(content, Mapping) else None
    if not isinstance(users, list) or not all(isinstance(user, str) for user in users):
        raise DataError(f"{file} has no list of users", hint=HINT)
    if not isinstance(content.get("user_data"), Mapping):
        raise DataError(f"{file} has no user_data", hint=HINT)
    return content


def _alphabet(path: str | Path, xs: Sequence[Any]) -> list[str]:
    """Return the characters of samples that are text, sorted; none if they are numbers."""
    texts = [x for x in xs if isinstance(x, str)]
    if len(texts) not in (0, len(xs)):
        raise DataError(f"{path}: {len(texts):,} samples are text, and {len(xs) - len(texts):,} are not", hint=HINT)
    if texts and texts[0].lower().endswith((".jpg", ".jpeg", ".png")):
        raise DataError(
            f"{path}: samples are names of images, such as '{texts[0]}'",
            hint="write their pixels, with the owners, to an npz file by numpy.savez",
        )
    return sorted({character for text in texts for character in text})


def _quoted(targets: Sequence[Any]) -> list[Any]:
    """Return targets with blanks and "?" quoted: they are characters of the text here, and elsewhere mean a missing label."""
    return [repr(y) if isinstance(y, str) and len(y) == 1 and is_missing(y) else y for y in targets]


def _encoded(path: str | Path, xs: Sequence[Any], alphabet: Sequence[str]) -> np.ndarray:
    """Return samples as an array: tokens of characters, images, or as they are."""
    if alphabet:
        number = {character: token for token, character in enumerate(alphabet)}
        lengths = {len(x) for x in xs}
        if len(lengths) != 1:
            raise DataError(
                f"{path}: texts of {min(lengths)} to {max(lengths)} characters", hint="samples of one length"
            )
        return np.array([[number[character] for character in x] for x in xs], np.int32)
    try:
        x = np.asarray(xs, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: samples that are not lists of as many numbers", hint="samples of one shape"
        ) from error
    is_image = x.shape[1:] == (784,) and x.min() >= 0 and x.max() <= 1
    return x.reshape(-1, 28, 28) if is_image else x
