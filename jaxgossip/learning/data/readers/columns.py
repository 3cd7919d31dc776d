"""Columns of Arrow tables as arrays: numbers, words, lists of numbers of one length, and packed images."""

import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from jaxgossip.core.errors import DataError
from jaxgossip.core.registry import nearest

PYARROW = 'pip install "jaxgossip[data]"'
PLAIN_MODES = ("L", "RGB", "RGBA", "I;16", "I", "F")
"""Modes of Pillow whose pixels are what is seen; a palette or packed bits are unfolded first."""


def pyarrow() -> ModuleType:
    """Return pyarrow, which is optional and slow to import.

    Raises:
        DataError: it is not installed.
    """
    try:
        for part in ("ipc", "parquet", "compute"):
            import_module(f"pyarrow.{part}")
        return import_module("pyarrow")
    except ImportError as error:
        raise DataError("Parquet and Arrow files are read by pyarrow", hint=PYARROW) from error


def column_array(name: str, table: Any, column: str, folder: Path | None = None) -> np.ndarray:
    """Return a column as an array: numbers (m,), words (m,), lists (m, …) or images (m, h, w) or (m, h, w, c).

    Args:
        name: name of the table's file in messages.
        table: a ``pyarrow.Table``.
        column: the column's name.
        folder: what relative paths of images are relative to; None for the working directory.

    Raises:
        DataError: no such column, a value that is missing or of another type, lists or images that differ in shape, or an image
            that cannot be read; the message names the row.
    """
    if column not in table.column_names:
        raise DataError(f"{name}: no column '{column}'", hint=nearest(column, table.column_names))
    arrow, data = pyarrow(), table.column(column)
    place = _Place(name, column)
    _refuse_missing(place, data)
    kind = data.type
    if isinstance(kind, arrow.FixedShapeTensorType):
        return np.concatenate([chunk.to_numpy_ndarray() for chunk in data.chunks])
    if isinstance(kind, arrow.BaseExtensionType):
        data = data.cast(kind.storage_type)
    elif arrow.types.is_dictionary(kind):
        data = data.cast(kind.value_type)
    elif arrow.types.is_decimal(kind):
        data = data.cast(arrow.float64())
    kind = data.type
    if arrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return _images(place, data.to_pylist(), folder or Path.cwd())
    if _is_list(kind):
        return _lists(place, data)
    if arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or arrow.types.is_string_view(kind):
        return np.array(data.to_pylist(), str)
    if arrow.types.is_boolean(kind) or arrow.types.is_integer(kind) or arrow.types.is_floating(kind):
        return data.to_numpy()
    raise place.error(f"holds {kind}", "numbers, words, lists of numbers and images are read; leave it out of features")


class _Place:
    """A column of a file, as messages name it."""

    def __init__(self, name: str, column: str) -> None:
        self.name = name
        self.column = column

    def error(self, what: str, hint: str, row: int | None = None) -> DataError:
        where = f"column '{self.column}'" if row is None else f"row {row} (counted from 0) of column '{self.column}'"
        return DataError(f"{self.name}: {where} {what}", hint=hint)


def _refuse_missing(place: _Place, data: Any, row_size: int = 1, first_row: int = 0) -> None:
    """Refuse missing values among ``row_size`` values a row."""
    if data.null_count:
        rows = np.unique(np.flatnonzero(data.is_null().to_numpy(zero_copy_only=False)) // row_size) + first_row
        more = f", as are {len(rows) - 1:,} more" if len(rows) > 1 else ""
        what = "is missing" if row_size == 1 else "misses a number"
        raise place.error(what + more, "leave such rows out, or fill them", int(rows[0]))


def _is_list(kind: Any) -> bool:
    types = pyarrow().types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _lists(place: _Place, data: Any) -> np.ndarray:
    """Return lists of numbers (m, …), from the values as they lie in memory."""
    arrays: list[np.ndarray] = []
    first_row = 0
    for chunk in data.chunks:
        if not len(chunk):
            continue
        array = _unfolded(place, chunk, first_row)
        if arrays and array.shape[1:] != arrays[0].shape[1:]:
            raise _ragged(place, first_row, array.shape[1:], arrays[0].shape[1:])
        arrays.append(array)
        first_row += len(chunk)
    if not arrays:
        raise place.error("has no rows", "at least one sample")
    return np.concatenate(arrays)


def _unfolded(place: _Place, chunk: Any, first_row: int) -> np.ndarray:
    arrow, values, shape = pyarrow(), chunk, [len(chunk)]
    while _is_list(values.type):
        lengths = arrow.compute.list_value_length(values).to_numpy(zero_copy_only=False)
        other = np.flatnonzero(lengths != lengths[0]) if len(lengths) else lengths
        if len(other):
            row = first_row + int(other[0]) // int(np.prod(shape[1:]))
            raise _ragged(place, row, (int(lengths[other[0]]),), (int(lengths[0]),))
        shape.append(int(lengths[0]) if len(lengths) else 0)
        values = values.flatten()
        _refuse_missing(place, values, max(1, int(np.prod(shape[1:]))), first_row)
    numbers = arrow.types
    if not (numbers.is_boolean(values.type) or numbers.is_integer(values.type) or numbers.is_floating(values.type)):
        raise place.error(f"holds lists of {values.type}", "lists of numbers are read")
    return values.to_numpy(zero_copy_only=False).reshape(shape)


def _ragged(place: _Place, row: int, found: Sequence[int], first: Sequence[int]) -> DataError:
    one, other = (" × ".join(map(str, shape)) for shape in (found, first))
    return place.error(f"is a list of {one}, and an earlier one is of {other}", "as many numbers in each", row)


def _images(place: _Place, packed: Sequence[Mapping[str, Any]], folder: Path) -> np.ndarray:
    """Return images (m, h, w) or (m, h, w, c), of which each is bytes of a file or the path of one."""
    from PIL import Image  # noqa: PLC0415 - slow to import; matplotlib brings it

    images: list[np.ndarray] = []
    for row, image in enumerate(packed):
        content, path = image["bytes"], image.get("path")
        if content is None and not path:
            raise place.error("has neither bytes nor a path", "leave such rows out", row)
        try:
            with Image.open(folder / str(path) if content is None else io.BytesIO(content)) as opened:
                plain = {"1": "L"}.get(opened.mode, "RGB") if opened.mode not in PLAIN_MODES else opened.mode
                images.append(np.asarray(opened.convert(plain) if plain != opened.mode else opened))
        except Exception as error:  # Pillow raises various exceptions
            hint = "PNG, JPEG and what else Pillow opens; are the paths those of this machine?"
            raise place.error(f"cannot be read as an image: {error}", hint, row) from error
        if images[-1].shape != images[0].shape:
            shapes = f"{images[-1].shape}, and row 0 has {images[0].shape}"
            raise place.error(f"is an image of shape {shapes}", "resize them to one, all in colour or all grey", row)
    return np.stack(images)
