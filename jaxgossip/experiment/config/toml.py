"""Reading and writing of TOML, with file and line in errors, and overrides by ``--set key.path=value``."""

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
"""Largest nesting depth of tables and lists; somewhat deeper, Python's recursion limit would be exceeded."""
MAX_BYTES = 2**24
"""Largest size of a configuration file."""

type Tree = dict[str, Any]
type KeyPath = tuple[str, ...]

_INT_HINT = f"the largest is {2**63 - 1}"


def read(path: Path) -> Tree:
    """Return the tables of a TOML file.

    Raises:
        ConfigError: the file does not exist, is not text, or has a syntax error; the message names file and line.
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
        source: name of the text in errors, such as the path of a file.

    Raises:
        ConfigError: the text has a syntax error, is nested too deeply, or holds too large an integer.
    """
    try:
        return _loads(text, source)
    except tomllib.TOMLDecodeError as error:
        location = re.search(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        reason = str(error)[: location.start()] if location else str(error)
        line = int(location[1]) if location and location[1] else max(1, len(text.splitlines()))
        lines = text.splitlines()
        quoted = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        hint = f"line {line} reads: {quoted}" if quoted else ""
        raise ConfigError(f"{source}:{line}: not TOML: {reason[:1].lower()}{reason[1:]}", hint=hint) from error


def _loads(text: str, source: str) -> Tree:
    """Return the tables of a TOML text, with bounded nesting and integers of at most 64 bits.

    Raises:
        TOMLDecodeError: the text has a syntax error.
        ConfigError: it is nested too deeply, or holds too large an integer; the message begins with ``source``.
    """
    try:
        tree = tomllib.loads(text)
    except RecursionError as error:
        raise _too_deep(source) from error
    except ValueError as error:
        if isinstance(error, tomllib.TOMLDecodeError) or "digits" not in str(error):
            raise
        raise ConfigError(f"{source}: an integer of thousands of digits", hint=_INT_HINT) from error
    _check_values(tree, source)
    return tree


def _check_values(tree: Tree, source: str) -> None:
    """Raise ConfigError, beginning with ``source``, for too deep nesting or too large integers; without recursion."""
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
        override: ``key.path=value``; a value that is not TOML is taken as a bare string: ``topology.kind=ring``.

    Raises:
        ConfigError: there is no ``=`` or no key, the key is not valid TOML, its path leads through a value that is not a
            table, or the value is not allowed in a configuration.
    """
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: no '='", hint="write key.path=value, e.g. optimizer.learning_rate=0.1")
    context = f"--set {brief(override)}"
    return with_value(tree, key_path(key, context), parse_value(value, context), context)


def brief(text: str, most: int = 60) -> str:
    """Return a text with its middle left out if it is too long for a message."""
    return text if len(text) <= most else f"{text[: most - 13]}…{text[-12:]}"


def with_value(tree: Tree, path: KeyPath, value: Any, context: str) -> Tree:
    """Return a copy of ``tree`` with ``value`` at ``path``, creating missing tables.

    Raises:
        ConfigError: the path leads through a value that is not a table; the message begins with ``context``.
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
    """Split a dotted key by the rules of TOML, including quoted parts.

    Raises:
        ConfigError: it is not a TOML key; the message begins with ``context``.
    """
    key = key.strip()
    try:
        here: Any = _loads(f"{key} = 0", context) if key and "\n" not in key and "=" not in key else None
    except tomllib.TOMLDecodeError:
        here = None
    if not here:
        message = f"'{key}' is not a key" if key else "no key before the '='"
        raise ConfigError(f"{context}: {message}", hint="write key.path=value, e.g. optimizer.learning_rate=0.1")
    path: list[str] = []
    while isinstance(here, dict):
        name, here = next(iter(here.items()))
        path.append(name)
    return tuple(path)


def parse_value(text: str, context: str) -> Any:
    """Parse a value as TOML, or return the text itself if it is not TOML: ``3``, ``[1, 2]``, ``true``, ``ring``.

    Raises:
        ConfigError: the value is not allowed in a configuration; the message begins with ``context``.
    """
    if not is_unicode(text):
        raise ConfigError(f"{context}: not text in UTF-8", hint="rename the file or folder that it names")
    try:
        tree = _loads(f"value = {text}", context)
    except tomllib.TOMLDecodeError:
        return text.strip()
    return tree["value"] if list(tree) == ["value"] else text.strip()


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8; names of files may contain bytes that cannot."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def dumps(tree: Mapping[str, Any], comments: Mapping[KeyPath, str] | None = None) -> str:
    """Return ``tree`` as TOML: scalars, lists and nested tables; values that are None are left out.

    Args:
        tree: keys are str; values are bool, int, float, str, Path, list, tuple, mapping or None.
        comments: key paths to comments, placed above the key or table, or below the last key of a table if the path ends
            in an empty string.

    Raises:
        TypeError: TOML cannot represent a value.
        ConfigError: a text cannot be encoded as UTF-8, such as the path of a folder with undecodable bytes.
    """
    return "\n".join(_table(tree, (), comments or {})).strip("\n") + "\n"


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested tables by dotted key."""
    values: dict[str, Any] = {}
    for key, value in tree.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return values


def inline(value: Any) -> str:
    """Return a value as TOML on one line."""
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
    """Split a text at commas outside of brackets and quotes."""
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
    """Return a value as on the command line; a table as its kind and its other keys: ``ring (nodes 16)``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(value_text, value))}]"
    if isinstance(value, Mapping):
        others = ", ".join(f"{key} {value_text(member)}" for key, member in value.items() if key != "kind")
        kind = value_text(value["kind"]) if "kind" in value else ""
        return f"{kind} ({others})" if kind and others else kind or others
    return str(value)
