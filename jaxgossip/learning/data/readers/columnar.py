"""Tables in Parquet and Arrow files, and folders that Hugging Face ``datasets`` saves; read by pyarrow.

A column may hold numbers, lists of numbers of one length, words, or images, packed as PNG or JPEG in the way of ``datasets``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.files import existing_file, read_text
from jaxgossip.learning.data.arrays import ArrayOptions, Dataset, SampleKind, from_arrays
from jaxgossip.learning.data.labels import LABEL_NAMES
from jaxgossip.learning.data.readers.columns import column_array, pyarrow
from jaxgossip.learning.data.targets import Target

SUFFIXES = (".parquet", ".arrow", ".feather")
TEST = ("test", "validation", "valid")
"""Names of the split that is the test set, the first of them that is there."""
STREAM = b"\xff\xff\xff\xff"
"""First bytes of a stream of Arrow, and of each of its messages."""
END = STREAM + bytes(4)
"""Last bytes of a whole stream."""
INDEX = "__index_level_"
"""How the names of columns begin that pandas writes for the index of a frame."""
SAVE_ANEW = "save the data set anew by save_to_disk"
EXPECTED = "Parquet, Arrow or Feather; learning.format names another format"


@dataclass(frozen=True)
class _Columns:
    """What is taken from which column.

    Attributes:
        features: columns of features; empty for all but those of labels and owners.
        label: the column of targets; None for the one that is called so.
        owner: the column that says whose each sample is; None for no owners.
    """

    features: tuple[str, ...]
    label: str | None
    owner: str | None


@dataclass(frozen=True)
class _Part:
    """A table, and the file that it is read from.

    Attributes:
        name: name of the file in messages.
        table: a ``pyarrow.Table``.
        folder: folder of the file; None if there is none.
        class_names: the names of classes by column.
    """

    name: str
    table: Any
    folder: Path | None
    class_names: Mapping[str, Sequence[str]]


@guarded
def read_columnar(
    path: str | Path,
    *,
    features: tuple[str, ...] = (),
    label_column: str | None = None,
    owner_column: str | None = None,
    target: Target = "class",
    samples: SampleKind | None = None,
    test_fraction: float | None = None,
    standardize: bool | None = None,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read a Parquet or Arrow file, a folder of such files, or a folder that ``datasets`` saved.

    Files whose names begin with "test" or "validation", and splits of these names, are the test set.

    Args:
        path: the file or folder.
        features: columns of features; by default all but those of labels and owners.
        label_column: the column of targets; by default the one called label, class or target.
        owner_column: the column that says whose each sample is; None for no owners.
        target: what a target is: a "class", a "value" (or several), or a "sequence" of tokens.
        samples: what a sample is: "features", "images" or "tokens"; by default as arrays are taken.
        test_fraction: fraction of samples kept as the common test set, 0.1 if None; only where there is none.
        standardize: scale each feature, or each colour of images, to mean 0 and standard deviation 1; if None, all but tokens.
        rng: generator, or its seed, that shuffles the samples.

    Raises:
        DataError: pyarrow is not installed; a missing or damaged file or column; columns of other things than numbers, lists
            and images; or what :func:`.from_arrays` refuses.
    """
    options = ArrayOptions(
        target=target, samples=samples, test_fraction=test_fraction, standardize=standardize, rng=rng
    )
    return _dataset(
        str(path), _splits(Path(path).expanduser()), _Columns(features, label_column, owner_column), options
    )


@guarded
def from_hugging_face(
    data: Any,
    *,
    features: tuple[str, ...] = (),
    label_column: str | None = None,
    owner_column: str | None = None,
    target: Target = "class",
    samples: SampleKind | None = None,
    name: str = "datasets",
    test_fraction: float | None = None,
    standardize: bool | None = None,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Make a data set of a ``datasets.Dataset``, or of a ``datasets.DatasetDict`` with a split "train".

    Args:
        data: the dataset, or the dataset of each split.
        features: columns of features; by default all but those of labels and owners.
        label_column: the column of targets; by default the one called label, class or target.
        owner_column: the column that says whose each sample is; None for no owners.
        target: what a target is: a "class", a "value" (or several), or a "sequence" of tokens.
        samples: what a sample is: "features", "images" or "tokens"; by default as arrays are taken.
        name: name in messages.
        test_fraction: fraction of samples kept as the common test set, 0.1 if None; only where there is no split of one.
        standardize: scale each feature, or each colour of images, to mean 0 and standard deviation 1; if None, all but tokens.
        rng: generator, or its seed, that shuffles the samples.

    Raises:
        DataError: as :func:`read_columnar` does; or ``data`` is neither.
    """
    splits = data if isinstance(data, Mapping) else {"train": data}
    if "train" not in splits or not all(hasattr(split, "with_format") for split in splits.values()):
        raise DataError(
            f"{name} is no datasets.Dataset, and has no split 'train'", hint="datasets.load_dataset(…)['train']"
        )
    tables: dict[str, list[_Part]] = {}
    for split, dataset in splits.items():
        names = {column: tuple(kind.names) for column, kind in dataset.features.items() if hasattr(kind, "names")}
        place = name if split == "train" else f"{name} ({split})"
        tables[split] = [_Part(place, dataset.with_format("arrow")[:], None, names)]
    options = ArrayOptions(
        target=target, samples=samples, test_fraction=test_fraction, standardize=standardize, rng=rng
    )
    return _dataset(name, tables, _Columns(features, label_column, owner_column), options)


def is_columnar(path: Path) -> bool:
    """Return whether a folder holds Parquet or Arrow files, or is one that ``datasets`` saved, by names."""
    return (path / "dataset_dict.json").exists() or any(one.suffix in SUFFIXES for one in path.iterdir())


def _dataset(name: str, splits: Mapping[str, list[_Part]], wanted: _Columns, options: ArrayOptions) -> Dataset:
    train = splits.get("train")
    if train is None:
        raise DataError(f"{name}: no split 'train', but {', '.join(splits) or 'nothing'}", hint="name one file of it")
    test_name = next((split for split in TEST if split in splits), None)
    names = list(train[0].table.column_names)
    label = _label(train[0].name, names, wanted.label)
    index = [] if wanted.features else [column for column in names if column.startswith(INDEX)]
    features = wanted.features or tuple(column for column in names if column not in (label, wanted.owner, *index))
    if not features:
        hint = "label_column and owner_column take all there are"
        raise DataError(f"{name}: no column of features remains", hint=hint)
    is_class = options.get("target") == "class"
    x, y = _samples(train, features), _targets(train, label, is_class=is_class)
    tested: dict[str, Any] = {}
    notes = [f"labels: column '{label}'", f"samples: {', '.join(features[:10])}{', …' * (len(features) > 10)}"]
    notes += [f"left out: {', '.join(index)}, which numbers or names the rows"] if index else []
    if test_name is not None:
        test = splits[test_name]
        tested = {"x_test": _samples(test, features), "y_test": _targets(test, label, is_class=is_class)}
        notes.append(f"test set: split '{test_name}'")
    unread = [split for split in splits if split not in ("train", test_name)]
    notes += [f"left out: splits {', '.join(unread)}"] if unread else []
    owners = None if wanted.owner is None else _stacked(train, wanted.owner)
    return from_arrays(x, y, **tested, owners=owners, name=name, notes=notes, **options)


def _label(name: str, columns: Sequence[str], wanted: str | None) -> str:
    called = [wanted] if wanted else [column for column in columns if column.casefold() in LABEL_NAMES]
    if len(called) != 1 or called[0] not in columns:
        missing = f"no column '{wanted}'" if wanted else f"{len(called)} columns are called like labels"
        raise DataError(f"{name}: {missing}", hint=f"label_column is one of: {', '.join(columns)}")
    return called[0]


def _stacked(parts: Sequence[_Part], column: str) -> np.ndarray:
    """Return a column of the files of a split, one after the other."""
    arrays = [column_array(part.name, part.table, column, part.folder) for part in parts]
    for part, array in zip(parts, arrays, strict=True):
        if array.shape[1:] != arrays[0].shape[1:]:
            shapes = f"{array.shape[1:]}, and of {arrays[0].shape[1:]} in {parts[0].name}"
            raise DataError(f"{part.name}: column '{column}' holds arrays of {shapes}", hint="one shape in all files")
    return np.concatenate(arrays)


def _samples(parts: Sequence[_Part], columns: Sequence[str]) -> np.ndarray:
    """Return samples (m, …): one column of lists or images as it is, several columns of numbers side by side."""
    arrays = [_stacked(parts, column) for column in columns]
    if len(arrays) == 1 and arrays[0].ndim > 1:
        return arrays[0]
    for column, array in zip(columns, arrays, strict=True):
        if array.ndim != 1:
            message = f"{parts[0].name}: column '{column}' holds arrays, beside {len(arrays) - 1} other columns"
            raise DataError(message, hint=f'features = ["{column}"], or leave it out')
        if array.dtype.kind not in "biuf":
            message = f"{parts[0].name}: column '{column}' holds no numbers"
            raise DataError(message, hint="features = [the columns of numbers]")
    return np.stack(arrays, 1)


def _targets(parts: Sequence[_Part], label: str, *, is_class: bool) -> np.ndarray:
    """Return targets; classes by the names that ``datasets`` keeps of them."""
    y, names = _stacked(parts, label), parts[0].class_names.get(label, ())
    if not is_class or not names or y.dtype.kind not in "iu":
        return y
    wrong = np.flatnonzero((y < 0) | (y >= len(names)))
    if wrong.size:
        place = f"{parts[0].name}: row {wrong[0]} (counted from 0) of column '{label}'"
        hint = "-1 marks a sample without a label, as in test sets that are not published: name the file for training"
        raise DataError(f"{place} is {y[wrong[0]]}, and there are {len(names)} classes", hint=hint)
    return np.array(names)[y]


def _splits(path: Path) -> dict[str, list[_Part]]:
    """Return the tables of each split."""
    if not path.is_dir():
        return {"train": _read([existing_file(path, DataError)])}
    if (listed := path / "dataset_dict.json").exists():
        return {name: _read(_saved_files(path / name)) for name in _strings(listed, _json(listed).get("splits"))}
    if (path / "state.json").exists():
        return {"train": _read(_saved_files(path))}
    by_split: dict[str, list[Path]] = {}
    for file in sorted(one for one in path.iterdir() if one.suffix in SUFFIXES):
        split = next((name for name in ("train", *TEST) if file.name.startswith(name)), "train")
        by_split.setdefault(split, []).append(file)
    return {split: _read(of_split) for split, of_split in by_split.items()}


def _saved_files(folder: Path) -> list[Path]:
    """Return the files of a split that ``datasets`` saved: those of its state, beside which older ones may lie."""
    state = folder / "state.json"
    files = _json(state).get("_data_files")
    named = [file.get("filename") if isinstance(file, Mapping) else None for file in files or ()]
    return [existing_file(folder / name, DataError, SAVE_ANEW) for name in _strings(state, named)]


def _strings(file: Path, values: Any) -> list[str]:
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise DataError(f"{file} names no splits or files", hint=SAVE_ANEW)
    return values


def _json(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(read_text(file, DataError, SAVE_ANEW))
    except json.JSONDecodeError as error:
        message = f"{file}, line {error.lineno}: no JSON: {error.msg}"
        raise DataError(message, hint=SAVE_ANEW) from error
    if not isinstance(content, Mapping):
        raise DataError(f"{file} is no table of names", hint=SAVE_ANEW)
    return content


def _read(files: Sequence[Path]) -> list[_Part]:
    """Return the tables of files, which must have the same columns."""
    parts = [_Part(str(file), table := _table(file), file.parent, _class_names(file, table)) for file in files]
    for part in parts[1:]:
        if not part.table.schema.equals(parts[0].table.schema):
            own, first = (", ".join(f"{one.name} {one.type}" for one in each.table.schema) for each in (part, parts[0]))
            message = f"{part.name} has the columns {own}, and {parts[0].name} has {first}"
            raise DataError(message, hint="a folder for each data set")
    return parts


def _table(file: Path) -> Any:
    arrow = pyarrow()
    with existing_file(file, DataError).open("rb") as opened:
        begin = opened.read(8)
        opened.seek(max(0, file.stat().st_size - len(END)))
        end = opened.read()
    try:
        if begin.startswith(b"PAR1"):
            return arrow.parquet.ParquetFile(file).read()
        if begin.startswith(b"ARROW1"):
            with arrow.memory_map(str(file)) as source:
                return arrow.ipc.open_file(source).read_all()
        if begin.startswith(STREAM):
            if end != END:  # a stream that ends between two messages is read without an error
                raise DataError(f"{file} ends before its end is marked", hint="was it copied to its end?")
            with arrow.memory_map(str(file)) as source:
                return arrow.ipc.open_stream(source).read_all()
    except (arrow.ArrowException, OSError) as error:
        raise DataError(
            f"{file} cannot be read: {str(error).splitlines()[0]}", hint="was it copied to its end?"
        ) from error
    raise DataError(
        f"{file} is no Parquet or Arrow file: it begins with {begin[:4].hex(' ') or 'nothing'}", hint=EXPECTED
    )


def _class_names(file: Path, table: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of classes by column, as ``datasets`` keeps them in a table's metadata and beside it."""
    held, beside = (table.schema.metadata or {}).get(b"huggingface"), file.with_name("dataset_info.json")
    info = _json(beside) if beside.exists() else {}
    try:
        features = (json.loads(held)["info"] if held else info).get("features") or {}
        return {column: tuple(kind["names"]) for column, kind in features.items() if "names" in kind}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: its names of classes cannot be read: {error}", hint=SAVE_ANEW) from error
