"""Ratings from the user's own files, MovieLens' among them: a user, an item and a rating a line, in any order."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.fields import Fields, read_fields
from jaxgossip.learning.data.labels import is_missing, number_of, shortened
from jaxgossip.learning.data.rating_columns import ROLES, columns_of

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")


class RatingFile(NamedTuple):
    """What a file of ratings holds, user after user, each in the order of the file.

    Attributes:
        user: (m,) numbers of users, ascending.
        item: (m,) numbers of items.
        rating: (m,) ratings.
        notes: how the file was understood.
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
    """Read ratings, one a line, with or without a line of names at the top.

    Users and items are numbered in the order of their names, of their numbers if all are whole.

    Args:
        path: the file, in UTF-8, packed by gzip or not.
        columns: "user", "item", "rating" in the order of the file's columns, "_" for one that is not needed; those after
            the last are not. None goes by the names in the first line, or takes user, item and rating in this order.
        delimiter: what separates fields, one character or "::", a blank for any number of blanks; None finds it.
        duplicates: what becomes of several ratings that one user gives to one item: they are refused, the last of them
            counts, or their mean.

    Raises:
        DataError: no such file, no ratings in it, a line of another length, columns of which nobody can tell what they
            hold, a rating that is not a finite number, no user or item, or a pair that is rated again.
    """
    fields = read_fields(path, delimiter)
    places, named = columns_of(fields, columns)
    fields = Fields(fields.path, fields.separator, fields.lines[named:], fields.rows[named:], fields.comments)
    if not fields.rows:
        raise DataError(f"{path} holds no ratings", hint="write user, item and rating a line")
    users, items = (_words(fields, places, role) for role in ("user", "item"))
    rating = _ratings(fields, places)
    user, item = _numbered(users), _numbered(items)
    kept, rating, told = _once(
        fields, (users, items), user.astype(np.int64) * (int(item.max()) + 1) + item, rating, duplicates
    )
    by_user = np.argsort(user[kept], kind="stable")
    notes = [
        f"fields separated by {fields.separator_name}, "
        + ("the first line names the columns" if named else "no line of names")
    ]
    notes.append(", ".join(f"{role}: column {places[role]}" for role in ROLES) + told)
    return RatingFile(user[kept][by_user], item[kept][by_user], rating[by_user], tuple(notes))


def _words(fields: Fields, places: dict[str, int], role: str) -> list[str]:
    words = [row[places[role]] for row in fields.rows]
    for line, word in zip(fields.lines, words, strict=True):
        if is_missing(word):
            told = f"the {role} is missing" + (f" ('{word}')" if word else "")
            hint = f"leave out the line; if the {role} is called so, give it another name"
            raise DataError(f"{fields.path}, line {line}: {told}", hint=hint)
    return words


def _ratings(fields: Fields, places: dict[str, int]) -> Float64[np.ndarray, " m"]:
    found = []
    for line, row in zip(fields.lines, fields.rows, strict=True):
        word = row[places["rating"]]
        number = number_of(word)
        if number is None or not np.isfinite(number):
            hint = f"it stands in column {places['rating']}; columns says which one holds what"
            raise DataError(
                f"{fields.path}, line {line}: the rating '{shortened(word)}' is not a finite number", hint=hint
            )
        found.append(number)
    return np.array(found)


def _numbered(names: list[str]) -> Int32[np.ndarray, " m"]:
    whole = all(_WHOLE.fullmatch(name) for name in names)
    values = np.array([int(name.partition(".")[0]) for name in names]) if whole else np.array(names)
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def _once(
    fields: Fields,
    names: tuple[list[str], list[str]],
    pairs: Int64[np.ndarray, " m"],
    rating: Float64[np.ndarray, " m"],
    duplicates: str,
) -> tuple[Int64[np.ndarray, " k"], Float64[np.ndarray, " k"], str]:
    """Return which lines stay, one of each pair in the order of the file, their ratings, and what is said of it."""
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
