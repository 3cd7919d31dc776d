"""Ratings from the user's files, such as MovieLens: a user, an item and a rating per line, in any order."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.labels import is_missing, number_of, shortened
from jaxgossip.learning.data.readers.fields import Fields, read_fields
from jaxgossip.learning.data.readers.rating_columns import ROLES, resolve_columns

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")


class RatingFile(NamedTuple):
    """The ratings of a file, sorted by user, and for each user in the order of the file.

    Attributes:
        user: (m,) int32, user numbers, ascending.
        item: (m,) int32, item numbers.
        rating: (m,) float64, ratings.
        notes: how the file was read.
    """

    user: Int32[np.ndarray, " m"]
    item: Int32[np.ndarray, " m"]
    rating: Float64[np.ndarray, " m"]
    notes: tuple[str, ...]


@guarded
def read_ratings(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    duplicates: Literal["refuse", "last", "mean"] = "refuse",
) -> RatingFile:
    """Read ratings, one per line, with or without a header.

    Users and items are numbered in the order of their names, or numerically if all names are integers.

    Args:
        path: the file, UTF-8 text, optionally compressed with gzip.
        columns: "user", "item" and "rating" in the order of the file's columns, with "_" for columns to skip; further columns
            are ignored. None infers them from the names in the first line, or takes user, item and rating in this order.
        delimiter: field separator, one character or "::", or a blank for any number of blanks; None detects it.
        duplicates: how to treat several ratings of one item by one user: "refuse" raises an error, "last" keeps the last,
            "mean" averages them.

    Raises:
        DataError: a missing file or one without ratings, lines of different lengths, columns whose roles cannot be inferred, a
            rating that is not a finite number, a missing user or item, or a duplicate.
    """
    fields = read_fields(path, delimiter)
    places, named = resolve_columns(fields, columns)
    fields = Fields(fields.path, fields.separator, fields.lines[named:], fields.rows[named:], fields.comments)
    if not fields.rows:
        raise DataError(f"{path} holds no ratings", hint="write user, item and rating a line")
    users, items = (_words(fields, places, role) for role in ("user", "item"))
    rating = _ratings(fields, places)
    user, item = _numbered(users), _numbered(items)
    kept, rating, remark = _merge_duplicates(
        fields, (users, items), user.astype(np.int64) * (int(item.max()) + 1) + item, rating, duplicates
    )
    by_user = np.argsort(user[kept], kind="stable")
    notes = [
        f"fields separated by {fields.separator_name}, "
        + ("the first line names the columns" if named else "no line of names")
    ]
    notes.append(", ".join(f"{role}: column {places[role]}" for role in ROLES) + remark)
    return RatingFile(user[kept][by_user], item[kept][by_user], rating[by_user], tuple(notes))


def _words(fields: Fields, places: dict[str, int], role: str) -> list[str]:
    words = [row[places[role]] for row in fields.rows]
    for line, word in zip(fields.lines, words, strict=True):
        if is_missing(word):
            problem = f"the {role} is missing" + (f" ('{word}')" if word else "")
            hint = f"leave out the line; if the {role} is called so, give it another name"
            raise DataError(f"{fields.path}, line {line}: {problem}", hint=hint)
    return words


def _ratings(fields: Fields, places: dict[str, int]) -> Float64[np.ndarray, " m"]:
    ratings = []
    for line, row in zip(fields.lines, fields.rows, strict=True):
        word = row[places["rating"]]
        number = number_of(word)
        if number is None or not np.isfinite(number):
            hint = f"it stands in column {places['rating']}; columns says which one holds what"
            raise DataError(
                f"{fields.path}, line {line}: the rating '{shortened(word)}' is not a finite number", hint=hint
            )
        ratings.append(number)
    return np.array(ratings)


def _numbered(names: list[str]) -> Int32[np.ndarray, " m"]:
    whole = all(_WHOLE.fullmatch(name) for name in names)
    values = np.array([int(name.partition(".")[0]) for name in names]) if whole else np.array(names)
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def _merge_duplicates(
    fields: Fields,
    names: tuple[list[str], list[str]],
    pairs: Int64[np.ndarray, " m"],
    rating: Float64[np.ndarray, " m"],
    duplicates: str,
) -> tuple[Int64[np.ndarray, " k"], Float64[np.ndarray, " k"], str]:
    """Return the lines that are kept, one for each pair in the order of the file, their ratings, and a remark for notes."""
    _, first, group, counts = np.unique(pairs, return_index=True, return_inverse=True, return_counts=True)
    again = pairs.size - first.size
    if not again:
        return np.arange(pairs.size), rating, ""
    if duplicates == "refuse":
        at = int(np.setdiff1d(np.arange(pairs.size), first)[0])
        users, items = names
        before = fields.lines[int(first[group[at]])]
        more = f", as are {again - 1:,} more" if again > 1 else ""
        raise DataError(
            f"{fields.path}, line {fields.lines[at]}: user '{users[at]}' has rated item '{items[at]}' before, in line "
            f"{before}{more}",
            hint='duplicates = "last" lets the last of them count, duplicates = "mean" their mean',
        )
    last = pairs.size - 1 - np.unique(pairs[::-1], return_index=True)[1]
    kept = np.sort(last)
    if duplicates == "mean":
        rating = (np.bincount(group, rating) / counts)[group]
    return kept, rating[kept], f"; {again:,} ratings of a pair that is rated again: {duplicates}"
