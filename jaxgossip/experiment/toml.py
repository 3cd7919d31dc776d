"""TOML in and out: reading with file and line in the error, writing our tables, and ``--set key.path=value``."""

import copy
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxgossip.errors import ConfigError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_ESCAPES = MappingProxyType({'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"})

type Tree = dict[str, Any]
type KeyPath = tuple[str, ...]


def read(path: Path) -> Tree:
    """Return the tables of a TOML file.

    Raises:
        ConfigError: no such file, not text, or a syntax error; the message names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"no such file: {path}", hint="give the path of a configuration, a .toml file") from error
    except IsADirectoryError as error:
        inside = path / "config.toml"
        hint = f"did you mean {inside}?" if inside.is_file() else "give the path of a configuration, a .toml file"
        raise ConfigError(f"{path} is a folder", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> Tree:
    """Return the tables of a TOML text.

    Args:
        text: the TOML.
        source: what an error calls it, a file's path.

    Raises:
        ConfigError: a syntax error.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        reason = str(error)[: found.start()] if found else str(error)
        line = int(found[1]) if found and found[1] else max(1, len(text.splitlines()))
        lines = text.splitlines()
        quoted = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        hint = f"line {line} reads: {quoted}" if quoted else ""
        raise ConfigError(f"{source}:{line}: not TOML: {reason[:1].lower()}{reason[1:]}", hint=hint) from error


def apply_override(tree: Tree, override: str) -> Tree:
    """Return a copy of ``tree`` with ``key.path=value`` set.

    Args:
        tree: the tables; not changed.
        override: the value is read as TOML, and else taken as a bare string: ``topology.kind=ring``.

    Raises:
        ConfigError: no ``=``, no key, a key that is not TOML's, or a path through something that is not a table.
    """
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: no '='", hint="write key.path=value, e.g. optimizer.learning_rate=0.1")
    return with_value(tree, key_path(key, f"--set {override}"), parse_value(value), f"--set {override}")


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
        here: Any = tomllib.loads(f"{key} = 0") if key and "\n" not in key and "=" not in key else None
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


def parse_value(text: str) -> Any:
    """Return a value read as TOML, or the text itself if it is none: ``3``, ``[1, 2]``, ``true``, ``ring``."""
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    return found["value"] if list(found) == ["value"] else text.strip()


def dumps(tree: Mapping[str, Any], comments: Mapping[KeyPath, str] | None = None) -> str:
    """Return a TOML text of ``tree``: scalars, lists and nested tables; a value None is left out.

    Args:
        tree: str keys; values bool, int, float, str, Path, list, tuple, mapping or None.
        comments: key path to what is said above that key or table, or below a table's last key for a path that ends
            in the empty string.

    Raises:
        TypeError: a value that TOML cannot hold.
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
