"""Ratings from the user's own files, MovieLens' among them: a user, an item and a rating a line."""

from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int32

from jaxgossip.errors import DataError

SEPARATORS = ("::", "\t", ",", ";")
"""What may stand between fields: the first of these that the first line holds."""


def read_ratings(
    path: str | Path,
) -> tuple[Int32[np.ndarray, " m"], Int32[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """Read user, item and rating a line; what follows them on a line is left out, and so is a line of names at the top.

    Users and items are numbered in the order of their names, of their numbers if all are whole.

    Args:
        path: the file, in UTF-8.

    Returns:
        (m,) user, item and rating, users ascending.

    Raises:
        DataError: no such file, no line in it, a line of fewer fields, or a rating that is not a finite number.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        raise DataError(f"no such file: {path}")
    try:
        text = found.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {error.reason} at byte {error.start}") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    separator = next((one for one in SEPARATORS if lines and one in lines[0][1]), None)
    fields: list[list[str]] = []
    for place, (number, line) in enumerate(lines):
        parts = [part.strip() for part in line.split(separator)][:3]
        if len(parts) < 3 or not all(parts):
            raise DataError(
                f"{path}, line {number}: no user, item and rating", hint="separated by commas, tabs or '::'"
            )
        if not _is_finite(parts[2]):
            if place == 0:
                continue  # names of the columns
            raise DataError(f"{path}, line {number}: the rating '{parts[2]}' is not a finite number")
        fields.append(parts)
    if not fields:
        raise DataError(f"{path} holds no ratings", hint="write user, item and rating a line")
    users, items, ratings = zip(*fields, strict=True)
    user, item = _numbered(users), _numbered(items)
    by_user = np.argsort(user, kind="stable")
    return user[by_user], item[by_user], np.array(ratings, np.float64)[by_user]


def _numbered(names: tuple[str, ...]) -> Int32[np.ndarray, " m"]:
    text = np.array(names)
    whole = all(name.isascii() and name.isdecimal() and len(name) < 19 for name in names)
    return np.unique(text.astype(np.int64) if whole else text, return_inverse=True)[1].astype(np.int32)


def _is_finite(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
