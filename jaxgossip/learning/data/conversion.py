"""Arrays of what callers hold: lists, arrays, and frames and series of pandas or polars."""

from numbers import Real
from typing import Any

import numpy as np

from jaxgossip.core.errors import DataError

NO_NUMBERS = "every value has to be a number; fill or leave out what is missing, and encode text as numbers first"


def to_array(name: str, what: str, values: Any, hint: str) -> np.ndarray:
    """Return values as an array of whatever dtype they have.

    Args:
        name: name of the data in messages.
        what: what the values are: "samples", "targets" or "labels".
        values: lists, an array, or anything with ``to_numpy``, as frames and series have.
        hint: what to do about rows that differ in shape.

    Raises:
        DataError: rows that differ in shape.
    """
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name}: {what} differ in shape", hint=hint) from error


def to_numbers(name: str, what: str, values: Any, *, shape_hint: str, kind_hint: str) -> np.ndarray:
    """Return values as an array of booleans, integers or floats.

    Frames whose columns are of several types give arrays of Python objects; these become float64.

    Args:
        name: name of the data in messages.
        what: what the values are: "samples" or "targets".
        values: as :func:`to_array` takes them.
        shape_hint: what to do about rows that differ in shape.
        kind_hint: what to do about values of another type.

    Raises:
        DataError: rows that differ in shape, or a value that is no number; the message names the first one.
    """
    array = to_array(name, what, values, shape_hint)
    if array.dtype.kind == "O" and array.ndim:
        columns = list(getattr(values, "columns", ()))
        array = _numbers_of_objects(name, array, columns if array.ndim == 2 else [])
    if array.dtype.kind not in "biuf":
        noun = "features" if what == "samples" else what
        raise DataError(f"{name}: {noun} are of type {array.dtype}, not numbers", hint=kind_hint)
    return array


def _numbers_of_objects(name: str, array: np.ndarray, columns: list[Any]) -> np.ndarray:
    for place, value in np.ndenumerate(array):
        if not isinstance(value, Real | np.bool_):
            row, *rest = place
            column = rest[0] if len(rest) == 1 else tuple(rest)
            where = f", column {f"'{columns[rest[0]]}'" if columns else column}" if rest else ""
            raise DataError(
                f"{name}: row {row}{where} (counted from 0) is {str(value)[:40]!r}, not a number", hint=NO_NUMBERS
            )
    try:
        return array.astype(np.float64)
    except OverflowError as error:
        raise DataError(f"{name}: a whole number beyond the range of floats", hint="smaller numbers") from error
