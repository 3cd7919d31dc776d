"""Which column of a file of ratings holds what: as its user says, as its first line names them, or in the usual order."""

import re
from collections.abc import Sequence

from jaxgossip.core.errors import DataError
from jaxgossip.core.registry import nearest
from jaxgossip.learning.data.fields import Fields
from jaxgossip.learning.data.labels import number_of

ROLES = ("user", "item", "rating")
"""What a line holds, in the usual order."""

_WAY_OUT = (
    'columns = ["user", "item", "rating", "_"] names the columns in the order of the file, "_" one that is not needed'
)
_USERS = frozenset({"uid", "reviewer", "reviewerid", "customer", "customerid", "member", "memberid", "person"})
_ITEMS = re.compile(
    r"(item|movie|film|book|product|song|track|artist|anime|place|restaurant|business|joke).*|isbn|asin|iid"
)
_RATINGS = re.compile(r".*ratings?|score|stars|overall|value")


def columns_of(fields: Fields, columns: Sequence[str] | None) -> tuple[dict[str, int], int]:
    """Return the column of each role, and whether the first line names the columns: 1, or 0.

    Args:
        fields: of the file.
        columns: what each column holds; None goes by the first line, or takes the usual order.

    Raises:
        DataError: lines of different lengths, fewer columns than needed, or names that do not tell.
    """
    path, first = fields.path, fields.rows[0]
    for line, row in zip(fields.lines, fields.rows, strict=True):
        if len(row) != len(first):
            told = f"{len(row)} fields, not {len(first)} as in line {fields.lines[0]}"
            hint = f"fields are separated by {fields.separator_name}; quote a field that holds one"
            raise DataError(f"{path}, line {line}: {told}", hint=hint)
    if columns is not None:
        places = _given(path, columns)
        if max(places.values()) >= len(first):
            hint = f"fields are separated by {fields.separator_name}"
            raise DataError(f"{path}: {len(columns)} columns are named, and there are {len(first)}", hint=hint)
        return places, int(all(number_of(word) is None for word in first))
    if len(first) < len(ROLES):
        hint = "fields are separated by tabs, commas, semicolons, blanks or '::'"
        raise DataError(f"{path}, line {fields.lines[0]}: no user, item and rating", hint=hint)
    if number_of(first[2]) is not None:
        return {role: place for place, role in enumerate(ROLES)}, 0
    return _named(path, fields.lines[0], first), 1


def _given(path: str, columns: Sequence[str]) -> dict[str, int]:
    for name in columns:
        if name not in (*ROLES, "_"):
            raise DataError(f"{path}: a column of ratings cannot be '{name}'", hint=nearest(name, [*ROLES, "_"]))
    for role in ROLES:
        if columns.count(role) != 1:
            often = "no column is" if role not in columns else f"{columns.count(role)} columns are"
            raise DataError(f"{path}: {often} the {role}'s", hint=_WAY_OUT)
    return {role: columns.index(role) for role in ROLES}


def _named(path: str, line: int, names: Sequence[str]) -> dict[str, int]:
    plain = [re.sub(r"[^a-z]", "", name.casefold()) for name in names]

    rated = [place for place, name in enumerate(plain) if _RATINGS.fullmatch(name)]
    found = {
        "user": [place for place, name in enumerate(plain) if name.startswith("user") or name in _USERS],
        "item": [place for place, name in enumerate(plain) if _ITEMS.fullmatch(name)],
    }
    found = {role: [place for place in those if place not in rated] for role, those in found.items()} | {
        "rating": rated
    }
    told = ", ".join(names[:6]) + ", …" * (len(names) > 6)
    for role, those in found.items():
        if len(those) != 1:
            often = "no column" if not those else "several columns"
            raise DataError(f"{path}, line {line}: {often} for the {role} by the names {told}", hint=_WAY_OUT)
    return {role: those[0] for role, those in found.items()}
