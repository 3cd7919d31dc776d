"""TOML in and out: reading with file and line in the error, writing our tables, and ``--set key.path=value``."""

import copy
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.files import existing_file, read_text

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_ESCAPES = MappingProxyType({'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"})

MAX_DEPTH = 32
"""Tables and lists within each other: more is no configuration, and some deeper Python's own recursion ends."""
MAX_BYTES = 2**24
"""A larger file is no configuration."""

type Tree = dict[str, Any]
type KeyPath = tuple[str, ...]

_INT_HINT = f"the largest is {2**63 - 1}"


def read(path: Path) -> Tree:
    """Return the tables of a TOML file.

    Raises:
        ConfigError: no such file, not text, or a syntax error; the message names file and line.
    """
    advice = "give the path of a configuration, a .toml file"
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for names that are too long
        inside = path / "config.toml"
        raise ConfigError(f"{path} is a folder", hint=f"did you mean {inside}?" if inside.is_file() else advice)
    size = existing_file(path, ConfigError, advice).stat().st_size
    if size > MAX_BYTES:
        raise ConfigError(f"{path} has {size:,} bytes: it is no configuration", hint=advice)
    return parse(read_text(path, ConfigError, advice), str(path))


def parse(text: str, source: str) -> Tree:
    """Return the tables of a TOML text.

    Args:
        text: the TOML.
        source: what an error calls it, a file's path.

    Raises:
        ConfigError: a syntax error, or what is too deep or too large for a configuration.
    """
    try:
        return _loads(text, source)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        reason = str(error)[: found.start()] if found else str(error)
        line = int(found[1]) if found and found[1] else max(1, len(text.splitlines()))
        lines = text.splitlines()
        quoted = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        hint = f"line {line} reads: {quoted}" if quoted else ""
        raise ConfigError(f"{source}:{line}: not TOML: {reason[:1].lower()}{reason[1:]}", hint=hint) from error


def _loads(text: str, source: str) -> Tree:
    """Return the tables of a TOML text, none too deep to be worked with and no number longer than 64 bits.

    Raises:
        TOMLDecodeError: a syntax error.
        ConfigError: too deep, or too long a number; the message opens with ``source``.
    """
    try:
        found = tomllib.loads(text)
    except RecursionError as error:
        raise _too_deep(source) from error
    except ValueError as error:
        if isinstance(error, tomllib.TOMLDecodeError) or "digits" not in str(error):
            raise
        raise ConfigError(f"{source}: an integer of thousands of digits", hint=_INT_HINT) from error
    _check_values(found, source)
    return found


def _check_values(tree: Tree, source: str) -> None:
    """Raise ConfigError, which opens with ``source``, for what no configuration holds: without recursion itself."""
    waiting: list[tuple[KeyPath, Any]] = [((), tree)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > MAX_DEPTH:
            raise _too_deep(source)
        if isinstance(value, dict):
            waiting += [((*path, key), member) for key, member in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, str(number)), member) for number, member in enumerate(value)]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ConfigError(f"{source}: {'.'.join(path)}: an integer of more than 64 bits", hint=_INT_HINT)


def _too_deep(source: str) -> ConfigError:
    return ConfigError(f"{source}: tables or lists nested more than {MAX_DEPTH} deep", hint="write them flatter")


def apply_override(tree: Tree, override: str) -> Tree:
    """Return a copy of ``tree`` with ``key.path=value`` set.

    Args:
        tree: the tables; not changed.
        override: the value is read as TOML, and else taken as a bare string: ``topology.kind=ring``.

    Raises:
        ConfigError: no ``=``, no key, a key that is not TOML's, a path through something that is not a table, or a value
            that no configuration holds.
    """
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: no '='", hint="write key.path=value, e.g. optimizer.learning_rate=0.1")
    context = f"--set {brief(override)}"
    return with_value(tree, key_path(key, context), parse_value(value, context), context)


def brief(text: str, most: int = 60) -> str:
    """Return a text, its middle left out where it is too long for a message."""
    return text if len(text) <= most else f"{text[: most - 13]}…{text[-12:]}"


def with_value(tree: Tree, path: KeyPath, value: Any, context: str) -> Tree:
    """Return a copy of ``tree`` with ``value`` at ``path``; tables on the way are made.

    Raises:
        ConfigError: a path through something that is not a table; the message opens with ``context``.
    """
    changed = copy.deepcopy(tree)
    here = changed
    for depth, part in enumerate(path[:-1], start=1):
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            through = ".".join(path[:depth])
            raise ConfigError(f"{context}: '{through}' is a value, not a table", hint=f"set {through} itself")
    here[path[-1]] = value
    return changed


def key_path(key: str, context: str) -> KeyPath:
    """Return the parts of a dotted key as TOML reads it, quoted parts and all.

    Raises:
        ConfigError: not a TOML key; the message opens with ``context``.
    """
    key = key.strip()
    try:
        here: Any = _loads(f"{key} = 0", context) if key and "\n" not in key and "=" not in key else None
    except tomllib.TOMLDecodeError:
        here = None
    if not here:
        said = f"'{key}' is not a key" if key else "no key before the '='"
        raise ConfigError(f"{context}: {said}", hint="write key.path=value, e.g. optimizer.learning_rate=0.1")
    path: list[str] = []
    while isinstance(here, dict):
        name, here = next(iter(here.items()))
        path.append(name)
    return tuple(path)


def parse_value(text: str, context: str) -> Any:
    """Return a value read as TOML, or the text itself if it is none: ``3``, ``[1, 2]``, ``true``, ``ring``.

    Raises:
        ConfigError: a value that no configuration holds; the message opens with ``context``.
    """
    if not is_unicode(text):
        raise ConfigError(f"{context}: not text in UTF-8", hint="rename the file or folder that it names")
    try:
        found = _loads(f"value = {text}", context)
    except tomllib.TOMLDecodeError:
        return text.strip()
    return found["value"] if list(found) == ["value"] else text.strip()


def is_unicode(text: str) -> bool:
    """Return whether a text can be written to a file: names of files may hold bytes that are no UTF-8."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def dumps(tree: Mapping[str, Any], comments: Mapping[KeyPath, str] | None = None) -> str:
    """Return a TOML text of ``tree``: scalars, lists and nested tables; a value None is left out.

    Args:
        tree: str keys; values bool, int, float, str, Path, list, tuple, mapping or None.
        comments: key path to what is said above that key or table, or below a table's last key for a path that ends
            in the empty string.

    Raises:
        TypeError: a value that TOML cannot hold.
        ConfigError: a text that is none in Unicode, such as the path of a folder with bytes that are no UTF-8.
    """
    return "\n".join(_table(tree, (), comments or {})).strip("\n") + "\n"


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested tables by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def inline(value: Any) -> str:
    """Return a value as TOML has it on one line."""
    return _value(value, "value")


def _table(tree: Mapping[str, Any], path: KeyPath, comments: Mapping[KeyPath, str]) -> Iterator[str]:
    tables = {name: value for name, value in tree.items() if isinstance(value, Mapping)}
    values = {name: value for name, value in tree.items() if value is not None and name not in tables}
    closing = comments.get((*path, ""))
    if path and (values or not tables or closing or path in comments):
        yield ""
        yield from _comment(comments.get(path))
        yield f"[{'.'.join(map(_key, path))}]"
    for name, value in values.items():
        yield from _comment(comments.get((*path, name)))
        yield f"{_key(name)} = {_value(value, '.'.join((*path, name)))}"
    yield from _comment(closing)
    for name, value in tables.items():
        yield from _table(value, (*path, name), comments)


def _comment(text: str | None) -> Iterator[str]:
    for line in text.splitlines() if text else ():
        yield f"# {line}".rstrip()


def _key(name: str) -> str:
    return name if _BARE_KEY.match(name) else _string(name)


def _value(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str | Path):
        if not is_unicode(str(value)):
            raise ConfigError(f"{where}: {str(value)!r} is no text in UTF-8", hint="rename that file or folder")
        return _string(str(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(member, where) for member in value)}]"
    if isinstance(value, Mapping):
        members = (f"{_key(name)} = {_value(member, where)}" for name, member in value.items() if member is not None)
        return f"{{{', '.join(members)}}}"
    raise TypeError(f"{where}: TOML has no {type(value).__name__}")


def _string(text: str) -> str:
    return f'"{"".join(_ESCAPES.get(char) or _printable(char) for char in text)}"'


def _printable(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char


def split(text: str) -> list[str]:
    """Return the parts of a text between commas that stand in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        depth += (char in "[{(") - (char in "]})") if not quote else 0
        if char == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def value_text(value: Any) -> str:
    """Return a value as the command line has it; a table as its kind and its other keys: ``ring (nodes 16)``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(value_text, value))}]"
    if isinstance(value, Mapping):
        others = ", ".join(f"{key} {value_text(one)}" for key, one in value.items() if key != "kind")
        kind = value_text(value["kind"]) if "kind" in value else ""
        return f"{kind} ({others})" if kind and others else kind or others
    return str(value)
