"""Calls of the builders that a configuration names; their errors begin with the name of the section."""

import contextlib
import functools
import inspect
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.core.arguments import CONSTRUCTOR_HINTS, described, described_as
from jaxgossip.core.errors import ConfigError, JaxGossipError
from jaxgossip.core.files import absolute
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config.schema import Options, Section, configurable, describe_parameters, supply
from jaxgossip.learning import AUGMENTATIONS


class Shared:
    """Parts shared by several runs, each built once; the key of a part contains everything that determines it."""

    def __init__(self) -> None:
        self._parts: dict[Any, Any] = {}

    def get[T](self, key: Any, make: Callable[[], T]) -> T:
        """Return the part with this key, which is built on first use."""
        if key not in self._parts:
            self._parts[key] = make()
        return self._parts[key]


@dataclass(frozen=True)
class Builder:
    """Calls builders with arguments from a configuration and from a run.

    A part that depends only on its keys is built once for all runs that share it: runs whose parts are the same objects
    share compiled programs, whatever functions these parts hold.

    Attributes:
        seed: seed of the run, for builders that take it.
        shared: parts of earlier runs, to be reused.
    """

    seed: int
    shared: Shared = field(default_factory=Shared)

    def section(self, name: str, section: Any, registry: Registry, expected: Any, **machinery: Any) -> Any:
        """Build a section: call the builder that it names with its keys and with arguments that the run supplies.

        Args:
            name: name of the section.
            section: the section.
            registry: the registered kinds.
            expected: expected type, or types, of the result.
            machinery: all arguments that the run can supply, by parameter name.

        Raises:
            JaxGossipError: the builder is unknown or fails, or its result has another type.
        """
        with errors_of(name, section.kind):
            builder = self.resolve(registry, section.kind)
        return self.call(name, section.kind, builder, section, expected, **machinery)

    def optional(self, name: str, section: Any, registry: Registry, expected: Any, **machinery: Any) -> Any:
        """Build a section as :meth:`section` does; None if there is no section."""
        return None if section is None else self.section(name, section, registry, expected, **machinery)

    def resolve(self, registry: Registry, name: str) -> Any:
        """Return the builder with this name; a user's own file is executed only once.

        Raises:
            ConfigError: no such name, file, module or function.
        """
        return self.shared.get(("builder", registry.kind, name), lambda: registry.resolve(name))

    def call(
        self,
        name: str,
        kind: str,
        builder: Any,
        options: Options,
        expected: Any,
        *,
        table: str = "",
        replaced: Mapping[str, Any] | None = None,
        **machinery: Any,
    ) -> Any:
        """Call a builder with its options and with arguments that the run supplies; see :meth:`section`.

        ``table`` is the path of the builder's keys, if it differs from ``name``; ``replaced`` holds what the builder takes
        in place of keywords that are tables themselves, which is a function of these.
        """
        keywords = options.keywords()
        given_keywords = {**keywords, **(replaced or {})}
        given = {key: value for key, value in {"seed": self.seed, **machinery}.items() if key not in keywords}
        asked = {key: value for key, value in given.items() if key in inspect.signature(builder).parameters}
        with errors_of(name, kind), _hints_on_keys(table or name, builder):
            if all(isinstance(value, _PLAIN) for value in asked.values()):
                key = ("part", builder, repr(sorted(keywords.items())), repr(sorted(asked.items())))
                part = self.shared.get(key, lambda: supply(builder, given_keywords, **asked))
            else:
                part = supply(builder, given_keywords, **asked)
            if not isinstance(part, expected):
                raise wrong_result(kind, part, *(expected if isinstance(expected, tuple) else (expected,)))
            return part

    def augmentation(self, section: Section) -> Callable[..., Any]:
        """Return the augmentation of an entry of ``learning.augment``: your own function takes its keys as keywords.

        Raises:
            JaxGossipError: the builder is unknown or fails.
        """
        name, kind, keywords = "learning.augment", section.kind, section.keywords()
        with errors_of(name, kind):
            function = self.resolve(AUGMENTATIONS, kind)
        if ":" not in kind:
            return self.call(name, kind, function, section, Callable)
        key = ("augmentation", function, repr(sorted(keywords.items())))
        return self.shared.get(key, lambda: functools.partial(function, **keywords) if keywords else function)


_PLAIN = (bool, int, float, str, tuple, np.dtype, type(None))
"""Types of stateless arguments: a part built only from these is the same for all runs."""


def wrong_result(kind: str, result: Any, *expected: type) -> ConfigError:
    """Return the error of a builder whose result has none of the expected types."""
    names = " or ".join(cls.__name__ for cls in expected)
    library = described_as("optax" if expected[0].__module__.startswith("optax") else "jaxgossip")
    made = [CONSTRUCTOR_HINTS[cls.__name__] for cls in expected if cls.__name__ in CONSTRUCTOR_HINTS]
    return ConfigError(f"{kind} returned {result_text(result)}", hint="; ".join([f"return {library} {names}", *made]))


def result_text(result: Any) -> str:
    """Describe what a builder returned: a tuple, an array of shape (8,), nothing."""
    if result is None:
        return "None"
    shape = getattr(result, "shape", None)
    return described(result) + (f" of shape {shape}" if isinstance(shape, tuple) else "")


@contextlib.contextmanager
def errors_of(name: str, kind: str, *, culprit: bool = True) -> Iterator[None]:
    """Prefix errors with the name of the section, and convert exceptions of the user's own code to ConfigError.

    Args:
        name: name of the section.
        kind: the registered name, or the user's own builder as 'file.py:function'.
        culprit: whether the user's own builder is named in all errors, not only where its own code raised one.
    """
    try:
        yield
    except JaxGossipError as error:
        named = f"{kind}: " if culprit and ":" in kind and not error.message.startswith(kind) else ""
        raise type(error)(f"{name}: {named}{error.message}", hint=error.hint) from error
    except Exception as error:
        if ":" not in kind:
            raise
        raise ConfigError(f"{name}: {in_own_code(error, [kind])}", hint=place_of(error, [kind])) from error


@contextlib.contextmanager
def _hints_on_keys(table: str, builder: Any) -> Iterator[None]:
    """Add a hint to errors without one: the meanings of the keys that the message names, or a list of all keys."""
    try:
        yield
    except JaxGossipError as error:
        if error.hint:
            raise
        keys, meanings = configurable(builder), describe_parameters(builder)
        named = [key for key in keys if re.search(rf"\b{re.escape(key)}\b", error.message)]
        lines = [f"{table}.{key}: {meanings[key]}" for key in named if key in meanings]
        rest = f"keys of {table}: {', '.join(keys)}" if keys else f"another kind: 'jaxgossip list {table}' names them"
        raise type(error)(error.message, hint="\n".join(lines) or rest) from error


def in_own_code(error: Exception, kinds: Sequence[str]) -> str:
    """Return a sentence on an error raised by the user's own code (``kinds``)."""
    return f"{' or '.join(kinds)} raised {type(error).__name__}: {error}".split("\n", maxsplit=1)[0]


def place_of(error: Exception, kinds: Sequence[str]) -> str:
    """Return the innermost line of the user's own files in the traceback of ``error``."""
    files = {str(absolute(kind.rpartition(":")[0], Path.cwd())) for kind in kinds}
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if frame.filename in files), frames[-1])
    return f"{place.filename}, line {place.lineno}: {place.line}"
