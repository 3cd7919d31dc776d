"""Calling the builders that a configuration names; what goes wrong in one begins with its section's name."""

import contextlib
import inspect
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxgossip.core.errors import ConfigError, JaxGossipError
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config.schema import Options, configurable, describe_parameters, supply


class Shared:
    """Parts that several runs have in common, built once: what a part follows from is its key."""

    def __init__(self) -> None:
        self._found: dict[Any, Any] = {}

    def get[T](self, key: Any, make: Callable[[], T]) -> T:
        """Return the part of this key, made if it is the first of it."""
        if key not in self._found:
            self._found[key] = make()
        return self._found[key]


@dataclass(frozen=True)
class Builder:
    """Calls builders with what a configuration and a run give them.

    A part that follows from its keys alone is built once for all runs that share it: runs whose parts are the same objects
    are served by the same programs, whatever functions these parts hold.

    Attributes:
        seed: the run's, for builders that ask for it.
        shared: parts of earlier runs, to be used again.
    """

    seed: int
    shared: Shared = field(default_factory=Shared)

    def section(self, name: str, section: Any, registry: Registry, expected: Any, **machinery: Any) -> Any:
        """Return what the builder that a section names makes of its keys and of what a run supplies.

        Args:
            name: of the section.
            section: its keys.
            registry: where registered kinds are.
            expected: type, or types, of what is to come of it.
            machinery: all that a run could supply, by parameter name.

        Raises:
            JaxGossipError: whatever went wrong.
        """
        with errors_of(name, section.kind):
            builder = self.resolve(registry, section.kind)
        return self.call(name, section.kind, builder, section, expected, **machinery)

    def optional(self, name: str, section: Any, registry: Registry, expected: Any, **machinery: Any) -> Any:
        """Return the same, or None without a section."""
        return None if section is None else self.section(name, section, registry, expected, **machinery)

    def resolve(self, registry: Registry, name: str) -> Any:
        """Return the builder of this name; the user's own file is run once."""
        return self.shared.get(("builder", registry.kind, name), lambda: registry.resolve(name))

    def call(
        self, name: str, kind: str, builder: Any, options: Options, expected: Any, *, table: str = "", **machinery: Any
    ) -> Any:
        """Return what ``builder`` makes of ``options`` and of what a run supplies; see :meth:`section`.

        ``table`` is the path of the builder's keys, if it is not ``name``.
        """
        keywords = options.keywords()
        given = {key: value for key, value in {"seed": self.seed, **machinery}.items() if key not in keywords}
        asked = {key: value for key, value in given.items() if key in inspect.signature(builder).parameters}
        with errors_of(name, kind), _keys_told(table or name, builder):
            if all(isinstance(value, _PLAIN) for value in asked.values()):
                key = ("part", builder, repr(sorted(keywords.items())), repr(sorted(asked.items())))
                found = self.shared.get(key, lambda: supply(builder, keywords, **asked))
            else:
                found = supply(builder, keywords, **asked)
            if not isinstance(found, expected):
                wanted = expected if isinstance(expected, tuple) else (expected,)
                names = " or ".join(one.__name__ for one in wanted)
                raise ConfigError(f"{kind} returned {type(found).__name__}", hint=f"return a jaxgossip {names}")
            return found


_PLAIN = (bool, int, float, str, tuple, np.dtype, type(None))
"""What a run supplies that has no state: a part that is built of nothing else is the same for all."""


@contextlib.contextmanager
def errors_of(name: str, kind: str) -> Iterator[None]:
    """Begin every error with the section's name; what a user's own code raises becomes an error like the others."""
    try:
        yield
    except JaxGossipError as error:
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from error
    except Exception as error:
        if ":" not in kind:
            raise
        raise ConfigError(f"{name}: {in_own_code(error, [kind])}", hint=place_of(error, [kind])) from error


@contextlib.contextmanager
def _keys_told(table: str, builder: Any) -> Iterator[None]:
    """Give every error without a hint one: what the keys mean that its message names, or which keys there are."""
    try:
        yield
    except JaxGossipError as error:
        if error.hint:
            raise
        keys, meant = configurable(builder), describe_parameters(builder)
        named = [key for key in keys if re.search(rf"\b{re.escape(key)}\b", error.message)]
        told = [f"{table}.{key}: {meant[key]}" for key in named if key in meant]
        rest = f"keys of {table}: {', '.join(keys)}" if keys else f"another kind: 'jaxgossip list {table}' names them"
        raise type(error)(error.message, hint="\n".join(told) or rest) from error


def in_own_code(error: Exception, kinds: Sequence[str]) -> str:
    """Return a sentence about an error that the user's own code (``kinds``) raised."""
    return f"{' or '.join(kinds)} raised {type(error).__name__}: {error}".split("\n", maxsplit=1)[0]


def place_of(error: Exception, kinds: Sequence[str]) -> str:
    """Return the last line of the user's own files that led to ``error``."""
    files = {kind.rpartition(":")[0] for kind in kinds}
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if frame.filename in files), frames[-1])
    return f"{place.filename}, line {place.lineno}: {place.line}"
