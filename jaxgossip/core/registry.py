"""Registries map names to builders, for built-in builders and for the user's own alike.

A builder is a plain function. Its keyword parameters, with their annotations, their defaults and the ``Args:`` section of
its docstring, are the configuration schema of its name; nothing is written twice.
"""

import ast
import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.files import absolute

Builder = Callable[..., Any]
GROUP = "jaxgossip."
"""Prefix of the entry-point groups; the kind follows, with underscores for blanks: ``jaxgossip.topology``."""

_MARKUP = re.compile(r":(?:\w+:)+`~?([^`<]*?)(?:\s*<[^`]*>)?`|``(.+?)``")


class Registry(Mapping[str, Builder]):
    """An immutable mapping from names to builders, which suggests the nearest name for an unknown one.

    Other packages add builders by entry points, such as ``[project.entry-points."jaxgossip.topology"]`` with
    ``petersen = "its_package.graphs:petersen"``. Built-in names take precedence.

    Args:
        kind: the kind of the entries, as named in messages ("topology", "model").
        builders: the builders, registered under their ``__name__``, or a mapping from names to builders.
    """

    def __init__(self, kind: str, builders: Sequence[Builder] | Mapping[str, Builder]) -> None:
        named = builders if isinstance(builders, Mapping) else {builder.__name__: builder for builder in builders}
        self.kind = kind
        self._built_in = MappingProxyType(dict(named))

    @property
    def _builders(self) -> Mapping[str, Builder]:
        """The built-in builders, and those of other packages."""
        points = offers(self.kind)
        return (
            {**{name: point.load() for name, point in points.items()}, **self._built_in} if points else self._built_in
        )

    def __getitem__(self, name: str) -> Builder:
        """Return the builder called ``name``.

        Raises:
            ConfigError: the name is unknown; the hint gives the nearest one.
        """
        if name not in self._builders:
            raise ConfigError(f"unknown {self.kind} '{name}'", hint=nearest(name, self._builders))
        return self._builders[name]

    def __contains__(self, name: object) -> bool:
        return name in self._builders

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)

    def resolve(self, name: str, folder: Path | None = None) -> Builder:
        """Return a registered builder, or the user's own, given as ``file.py:function`` or ``package.module:function``.

        Args:
            name: the registered name, or the location of the user's own builder.
            folder: what a relative ``file.py`` is relative to; the working directory if None.

        Raises:
            ConfigError: no such name, file, module or function.
        """
        return load_object(name, folder) if ":" in name else self[name]

    def summary(self, name: str) -> str:
        """Return the first paragraph of the docstring of ``name``, as shown in listings."""
        return summary_of(self[name])


@functools.cache
def offers(kind: str) -> Mapping[str, importlib.metadata.EntryPoint]:
    """Return the entry points that installed packages declare for a kind, by name."""
    group = f"{GROUP}{kind.replace(' ', '_')}"
    return {point.name: point for point in importlib.metadata.entry_points(group=group)}


def summary_of(builder: Builder) -> str:
    """Return the first paragraph of a builder's docstring, as shown in listings; empty if it has none."""
    paragraph = (builder.__doc__ or "").strip().split("\n\n", maxsplit=1)[0]
    plain = unmarked(" ".join(paragraph.split())).removeprefix("Return ")
    return plain[:1].upper() + plain[1:]


def unmarked(text: str) -> str:
    """Return a docstring's text without Sphinx markup, to be read in a terminal or an editor."""
    return _MARKUP.sub(lambda match: match[1] or match[2], text)


def nearest(name: str, allowed: Mapping[str, Any] | list[str], title: str = "allowed") -> str:
    """Return a hint with the nearest allowed name, followed by all allowed names under a title."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    guess = f"did you mean '{close[0]}'? " if close else ""
    return f"{guess}{title}: {', '.join(sorted(allowed))}"


def _check_neighbours(path: Path) -> None:
    """Raise ConfigError if ``path`` would import another folder's module in place of one beside it.

    A process holds one module per name: once some ``helper.py`` is imported, it is used wherever ``helper`` is imported.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # reported when the file is imported
        return
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    for node in imports:
        for dotted in [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]:
            name = dotted.partition(".")[0]
            beside, loaded = path.parent / f"{name}.py", getattr(sys.modules.get(name), "__file__", None)
            if name in sys.stdlib_module_names or loaded is None or not beside.is_file():
                continue
            if Path(loaded).resolve() != beside.resolve():
                raise ConfigError(
                    f"{path} imports '{name}' from its folder, but {loaded} is loaded under that name",
                    hint="a process has one module of a name: call one of the two files otherwise",
                )


def load_object(spec: str, folder: Path | None = None) -> Builder:
    """Import ``file.py:function`` or ``package.module:function``.

    Raises:
        ConfigError: the file, module or function does not exist, the attribute is not callable, or the file imports a
            module beside it whose name is taken by another file that is already loaded.
    """
    where, _, attribute = spec.rpartition(":")
    if where.endswith(".py"):
        path = absolute(where, folder or Path.cwd())
        if not path.is_file():
            raise ConfigError(f"no such file: {path}", hint=f"'{spec}' names a function in a Python file")
        _check_neighbours(path)
        module_spec = importlib.util.spec_from_file_location(path.stem, path)
        assert module_spec is not None
        assert module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        sys.modules.setdefault(path.stem, module)
        sys.path.insert(0, str(path.parent))  # as for a script, modules beside the file can be imported
        try:
            module_spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(path.parent))
    else:
        try:
            module = importlib.import_module(where)
        except ImportError as error:
            raise ConfigError(f"cannot import '{where}': {error}", hint="is it installed, or on PYTHONPATH?") from error
    builder = getattr(module, attribute, None)
    if callable(builder):
        return builder
    is_there = hasattr(module, attribute)
    message = f"'{attribute}' of '{where}' is no function" if is_there else f"'{where}' has no function '{attribute}'"
    raise ConfigError(message, hint=_nearest_function(attribute, module))


def _nearest_function(name: str, module: types.ModuleType) -> str:
    """Return a hint with the function of a module whose name is nearest, followed by all functions defined there."""
    functions = [
        other
        for other, value in vars(module).items()
        if callable(value) and not isinstance(value, type) and not other.startswith("_")
        if getattr(value, "__module__", None) == module.__name__
    ]
    return nearest(name, functions, "it defines") if functions else "write file.py:function"
