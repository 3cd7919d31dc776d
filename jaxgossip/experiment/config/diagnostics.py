"""Diagnostics of invalid configurations in the user's terms: key path, expected and actual value, nearest name."""

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
class Diagnostic:
    """One mistake in a configuration.

    Attributes:
        path: the key path as the user writes it, e.g. ``("topology", "degree")``.
        message: what is wrong, without the path.
        hint: how to fix it, or empty.
    """

    path: tuple[str, ...]
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


def config_error(source: str, diagnostics: Iterable[Diagnostic]) -> ConfigError:
    """Return a single error with all ``diagnostics`` of the configuration ``source``, one per line."""
    unique = list(dict.fromkeys(diagnostics))
    message = "\n".join(f"{source}: {diagnostic}" for diagnostic in unique)
    hinted = [diagnostic for diagnostic in unique if diagnostic.hint]
    if len(unique) == 1:
        return ConfigError(message, hint=unique[0].hint)
    return ConfigError(
        message, hint="\n".join(f"{dotted(diagnostic.path)}: {diagnostic.hint}" for diagnostic in hinted)
    )


def translate(
    error: ValidationError,
    raw: Any,
    model: type[BaseModel],
    prefix: tuple[str, ...] = (),
) -> list[Diagnostic]:
    """Translate an error of pydantic into diagnostics.

    Args:
        error: the error.
        raw: the table that was validated, to distinguish the user's keys from pydantic's union tags.
        model: the model that it was validated against, for allowed keys and descriptions.
        prefix: the key path of ``raw``.
    """
    expected: dict[tuple[str, ...], list[str]] = {}
    diagnostics: dict[tuple[str, ...], Diagnostic] = {}
    for item in error.errors():
        keys = _user_path(item["loc"], raw, keep_last=item["type"] in ("missing", "extra_forbidden"))
        path = (*prefix, *map(str, keys))
        wanted = _wanted(item)
        if wanted:
            # each member of a union reports an error: they are merged into one message
            kinds = expected.setdefault(path, [])
            kinds.extend([wanted] if wanted not in kinds else [])
            message = f"expected {' or '.join(kinds)}, got {shown(item['input'])}"
            hint = _nearest_choice(item) or getattr(diagnostics.get(path), "hint", "")
            diagnostics[path] = Diagnostic(path, message, hint=hint)
        elif path not in diagnostics:
            owner = _table_at(model, keys[:-1])
            diagnostics[path] = _diagnostic(path, item, owner)
    return list(diagnostics.values())


def in_order(diagnostics: Iterable[Diagnostic], raw: Mapping[str, Any]) -> list[Diagnostic]:
    """Sort diagnostics by the order of the user's keys; missing keys come first in their table, tables last."""
    order = {path: position for position, path in enumerate(_walk(raw, ()))}

    def position(diagnostic: Diagnostic) -> int:
        path = diagnostic.path
        while path not in order:
            path = path[:-1]
        return order[path] if path or not diagnostic.path else len(order)

    return sorted(diagnostics, key=position)


def shown(value: Any) -> str:
    """Return a value as shown in messages: in the notation of TOML, and shortened."""
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


def _diagnostic(path: tuple[str, ...], item: Mapping[str, Any], owner: type[BaseModel] | None) -> Diagnostic:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "missing":
        return Diagnostic(path, "missing", hint=_description(owner, path[-1]))
    if kind == "extra_forbidden":
        return Diagnostic(path, "unknown key", hint=nearest(path[-1], allowed_keys(owner)) if owner else "")
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = context[key] if isinstance(context[key], int) else f"{context[key]:g}"
        message = f"must be {words} {bound}, got {shown(item['input'])}"
        return Diagnostic(path, message, hint=_description(owner, path[-1]))
    if kind == "string_pattern_mismatch":
        return Diagnostic(path, f"{shown(item['input'])} does not fit", hint=_description(owner, path[-1]))
    message = item["msg"]
    return Diagnostic(path, message[0].lower() + message[1:], hint=_description(owner, path[-1]) if path else "")


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
        tables = [member for member in (get_args(annotation) or (annotation,)) if _is_table(member)]
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
