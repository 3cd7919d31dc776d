"""Validation errors in the user's words: key path, what was expected, what was found, the nearest name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import nearest

_EXPECTED = MappingProxyType(
    {
        "int_type": "an integer",
        "int_from_float": "an integer",
        "float_type": "a number",
        "finite_number": "a finite number",
        "bool_type": "true or false",
        "string_type": "a string",
        "tuple_type": "a list",
        "list_type": "a list",
        "dict_type": "a table",
        "model_type": "a table",
        "model_attributes_type": "a table",
        "path_type": "a path",
    }
)
_BOUNDS = MappingProxyType(
    {
        "greater_than": ("gt", "greater than"),
        "greater_than_equal": ("ge", "at least"),
        "less_than": ("lt", "less than"),
        "less_than_equal": ("le", "at most"),
    }
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        path: the key path as the user writes it, e.g. ``("topology", "degree")``.
        message: what is wrong, without the path.
        hint: the way out, or empty.
    """

    path: tuple[str, ...]
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


def config_error(source: str, problems: Iterable[Problem]) -> ConfigError:
    """Return one error that tells all ``problems`` of the configuration ``source``, a line each."""
    unique = list(dict.fromkeys(problems))
    message = "\n".join(f"{source}: {problem}" for problem in unique)
    hinted = [problem for problem in unique if problem.hint]
    if len(unique) == 1:
        return ConfigError(message, hint=unique[0].hint)
    return ConfigError(message, hint="\n".join(f"{dotted(problem.path)}: {problem.hint}" for problem in hinted))


def translate(
    error: ValidationError,
    raw: Any,
    model: type[BaseModel],
    prefix: tuple[str, ...] = (),
) -> list[Problem]:
    """Return the problems that pydantic found.

    Args:
        error: pydantic's error.
        raw: the table that was validated; it tells the user's keys from pydantic's union tags.
        model: the model that it was validated against; it gives allowed keys and descriptions.
        prefix: the key path of ``raw``.
    """
    expected: dict[tuple[str, ...], list[str]] = {}
    found: dict[tuple[str, ...], Problem] = {}
    for item in error.errors():
        keys = _user_path(item["loc"], raw, keep_last=item["type"] in ("missing", "extra_forbidden"))
        path = (*prefix, *map(str, keys))
        wanted = _wanted(item)
        if wanted:
            # the members of a union each complain: one sentence names them all
            kinds = expected.setdefault(path, [])
            kinds.extend([wanted] if wanted not in kinds else [])
            message = f"expected {' or '.join(kinds)}, got {shown(item['input'])}"
            found[path] = Problem(path, message, hint=_nearest_choice(item) or getattr(found.get(path), "hint", ""))
        elif path not in found:
            owner = _table_at(model, keys[:-1])
            found[path] = _problem(path, item, owner)
    return list(found.values())


def in_order(problems: Iterable[Problem], raw: Mapping[str, Any]) -> list[Problem]:
    """Return the problems in the order of the user's keys; missing keys come first in their table, tables last."""
    order = {path: position for position, path in enumerate(_walk(raw, ()))}

    def position(problem: Problem) -> int:
        path = problem.path
        while path not in order:
            path = path[:-1]
        return order[path] if path or not problem.path else len(order)

    return sorted(problems, key=position)


def shown(value: Any) -> str:
    """Return a value as a message shows it: in TOML's words, and short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    text = value.isoformat() if isinstance(value, date | time) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def dotted(path: Sequence[str]) -> str:
    """Return a key path as the user writes it: ``learning.private[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if part.isdecimal() and text else f".{part}" if text else part
    return text


def allowed_keys(model: type[BaseModel]) -> list[str]:
    """Return the keys that a table of this model may have."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _problem(path: tuple[str, ...], item: Mapping[str, Any], owner: type[BaseModel] | None) -> Problem:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "missing":
        return Problem(path, "missing", hint=_description(owner, path[-1]))
    if kind == "extra_forbidden":
        return Problem(path, "unknown key", hint=nearest(path[-1], allowed_keys(owner)) if owner else "")
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = context[key] if isinstance(context[key], int) else f"{context[key]:g}"
        message = f"must be {words} {bound}, got {shown(item['input'])}"
        return Problem(path, message, hint=_description(owner, path[-1]))
    if kind == "string_pattern_mismatch":
        return Problem(path, f"{shown(item['input'])} does not fit", hint=_description(owner, path[-1]))
    message = item["msg"]
    return Problem(path, message[0].lower() + message[1:], hint=_description(owner, path[-1]) if path else "")


def _wanted(item: Mapping[str, Any]) -> str:
    return item["ctx"]["expected"] if item["type"] == "literal_error" else _EXPECTED.get(item["type"], "")


def _nearest_choice(item: Mapping[str, Any]) -> str:
    if item["type"] != "literal_error" or not isinstance(item["input"], str):
        return ""
    return nearest(item["input"], re.findall(r"'([^']*)'", item["ctx"]["expected"]))


def _description(owner: type[BaseModel] | None, key: str) -> str:
    for name, field in owner.model_fields.items() if owner else ():
        if key == (field.alias or name):
            return field.description or ""
    return ""


def _table_at(model: type[BaseModel], keys: Sequence[str | int]) -> type[BaseModel] | None:
    here: Any = model
    for key in keys:
        fields = {field.alias or name: field for name, field in here.model_fields.items()}
        annotation = fields[str(key)].annotation if str(key) in fields else None
        tables = [one for one in (get_args(annotation) or (annotation,)) if _is_table(one)]
        if len(tables) != 1:
            return None
        here = tables[0]
    return here


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _user_path(loc: tuple[str | int, ...], raw: Any, *, keep_last: bool) -> list[str | int]:
    keys: list[str | int] = []
    here = raw
    for position, part in enumerate(loc):
        inside = isinstance(here, Mapping) and part in here
        inside = inside or (isinstance(here, list | tuple) and isinstance(part, int) and part < len(here))
        if inside:
            here = here[part]  # pyright: ignore[reportArgumentType, reportCallIssue] - a list here, or a mapping
            keys.append(part)
        elif keep_last and position == len(loc) - 1:
            keys.append(part)
    return keys


def _walk(raw: Any, prefix: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    yield prefix
    items = raw.items() if isinstance(raw, Mapping) else enumerate(raw) if isinstance(raw, list | tuple) else ()
    for key, value in items:
        yield from _walk(value, (*prefix, str(key)))
