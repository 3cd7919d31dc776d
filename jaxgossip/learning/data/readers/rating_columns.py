"""Roles of the columns in a file of ratings: given by the user, named in the first line, or in the usual order."""

import re
from collections.abc import Sequence

from jaxgossip.core.errors import DataError
from jaxgossip.core.registry import nearest
from jaxgossip.learning.data.labels import number_of
from jaxgossip.learning.data.readers.fields import Fields

ROLES = ("user", "item", "rating")
"""Roles of the columns, in the usual order."""

_COLUMNS_HINT = (
    'columns = ["user", "item", "rating", "_"] names the columns in the order of the file, "_" one that is not needed'
)
_USERS = frozenset({"uid", "reviewer", "reviewerid", "customer", "customerid", "member", "memberid", "person"})
_ITEMS = re.compile(
    r"(item|movie|film|book|product|song|track|artist|anime|place|restaurant|business|joke).*|isbn|asin|iid"
)
_RATINGS = re.compile(r".*ratings?|score|stars|overall|value")


def resolve_columns(fields: Fields, columns: Sequence[str] | None) -> tuple[dict[str, int], int]:
    """Return the column of each role, and the number of header lines: 1 if the first line names the columns, else 0.

    Args:
        fields: fields of the file.
        columns: role of each column; None infers them from the first line or takes the usual order.

    Raises:
        DataError: lines of different lengths, too few columns, or ambiguous column names.
    """
    path, first = fields.path, fields.rows[0]
    for line, row in zip(fields.lines, fields.rows, strict=True):
        if len(row) != len(first):
            widths = f"{len(row)} fields, not {len(first)} as in line {fields.lines[0]}"
            hint = f"fields are separated by {fields.separator_name}; quote a field that holds one"
            raise DataError(f"{path}, line {line}: {widths}", hint=hint)
    if columns is not None:
        places = _columns_given(path, columns)
        if max(places.values()) >= len(first):
            hint = f"fields are separated by {fields.separator_name}"
            raise DataError(f"{path}: {len(columns)} columns are named, and there are {len(first)}", hint=hint)
        return places, int(all(number_of(word) is None for word in first))
    if len(first) < len(ROLES):
        hint = "fields are separated by tabs, commas, semicolons, blanks or '::'"
        raise DataError(f"{path}, line {fields.lines[0]}: no user, item and rating", hint=hint)
    if number_of(first[2]) is not None:
        return {role: place for place, role in enumerate(ROLES)}, 0
    return _columns_by_name(path, fields.lines[0], first), 1


def _columns_given(path: str, columns: Sequence[str]) -> dict[str, int]:
    for name in columns:
        if name not in (*ROLES, "_"):
            raise DataError(f"{path}: a column of ratings cannot be '{name}'", hint=nearest(name, [*ROLES, "_"]))
    for role in ROLES:
        if columns.count(role) != 1:
            count = "no column is" if role not in columns else f"{columns.count(role)} columns are"
            raise DataError(f"{path}: {count} the {role}'s", hint=_COLUMNS_HINT)
    return {role: columns.index(role) for role in ROLES}


def _columns_by_name(path: str, line: int, names: Sequence[str]) -> dict[str, int]:
    plain = [re.sub(r"[^a-z]", "", name.casefold()) for name in names]

    rated = [place for place, name in enumerate(plain) if _RATINGS.fullmatch(name)]
    candidates = {
        "user": [place for place, name in enumerate(plain) if name.startswith("user") or name in _USERS],
        "item": [place for place, name in enumerate(plain) if _ITEMS.fullmatch(name)],
    }
    candidates = {role: [place for place in places if place not in rated] for role, places in candidates.items()} | {
        "rating": rated
    }
    listed = ", ".join(names[:6]) + ", …" * (len(names) > 6)
    for role, places in candidates.items():
        if len(places) != 1:
            count = "no column" if not places else "several columns"
            raise DataError(f"{path}, line {line}: {count} for the {role} by the names {listed}", hint=_COLUMNS_HINT)
    return {role: places[0] for role, places in candidates.items()}
