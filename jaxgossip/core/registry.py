"""One registry a kind: names to builders, the same door for ours and for the user's own.

A builder is a plain function. Its keyword parameters, their annotations, defaults and the ``Args:`` section of its
docstring are the configuration schema of that name; nothing is written twice.
"""

import ast
import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.files import absolute

Builder = Callable[..., Any]
GROUP = "jaxgossip."
"""Entry points of other packages are in groups of this name and a kind, blanks as underscores: ``jaxgossip.topology``."""

_MARKUP = re.compile(r":(?:\w+:)+`~?([^`<]*?)(?:\s*<[^`]*>)?`|``(.+?)``")


class Registry(Mapping[str, Builder]):
    """An immutable mapping from names to builders that knows how to say what it does not hold.

    Another package adds builders of its own by entry points, such as ``[project.entry-points."jaxgossip.topology"]`` with
    ``petersen = "its_package.graphs:petersen"``. A name of ours stays ours.

    Args:
        kind: what the entries are, as messages call it ("topology", "model").
        builders: the builders, registered by their ``__name__``, or by the names of a mapping.
    """

    def __init__(self, kind: str, builders: Sequence[Builder] | Mapping[str, Builder]) -> None:
        named = builders if isinstance(builders, Mapping) else {builder.__name__: builder for builder in builders}
        self.kind = kind
        self._ours = MappingProxyType(dict(named))

    @property
    def _builders(self) -> Mapping[str, Builder]:
        """Ours, and those that other packages offer."""
        offered = offers(self.kind)
        return {**{name: offer.load() for name, offer in offered.items()}, **self._ours} if offered else self._ours

    def __getitem__(self, name: str) -> Builder:
        """Return the builder called ``name``.

        Raises:
            ConfigError: unknown name; the hint gives the nearest one.
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
        """Return a builder by registered name, or the user's own as ``file.py:function`` or ``package.module:function``.

        Args:
            name: the registered name, or the user's own builder.
            folder: where a relative ``file.py`` starts from; the working directory if None.

        Raises:
            ConfigError: no such name, file, module or function.
        """
        return load_object(name, folder) if ":" in name else self[name]

    def summary(self, name: str) -> str:
        """Return the first paragraph of the docstring of ``name``, as a listing shows it."""
        return summary_of(self[name])


@functools.cache
def offers(kind: str) -> Mapping[str, importlib.metadata.EntryPoint]:
    """Return the entry points of a kind that installed packages have, by name."""
    group = f"{GROUP}{kind.replace(' ', '_')}"
    return {point.name: point for point in importlib.metadata.entry_points(group=group)}


def summary_of(builder: Builder) -> str:
    """Return the first paragraph of a builder's docstring, as a listing shows it; empty where it has none."""
    paragraph = (builder.__doc__ or "").strip().split("\n\n", maxsplit=1)[0]
    plain = unmarked(" ".join(paragraph.split())).removeprefix("Return ")
    return plain[:1].upper() + plain[1:]


def unmarked(text: str) -> str:
    """Return a docstring's text without Sphinx' markup: what remains is read in a terminal and in an editor."""
    return _MARKUP.sub(lambda match: match[1] or match[2], text)


def nearest(name: str, allowed: Mapping[str, Any] | list[str]) -> str:
    """Return a hint that gives the nearest allowed name, and all of them."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    guess = f"did you mean '{close[0]}'? " if close else ""
    return f"{guess}allowed: {', '.join(sorted(allowed))}"


def _check_neighbours(path: Path) -> None:
    """Raise ConfigError where ``path`` would be given another folder's module for one beside it.

    A process has one module of a name: the first ``helper.py`` that was imported answers for all of them.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # told as it is imported
        return
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    for node in imports:
        for dotted in [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]:
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
        ConfigError: no such file, module or function, it is not callable, or it imports a neighbour in whose place another
            file of that name is loaded.
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
        sys.path.insert(0, str(path.parent))  # the file may import its neighbours, as a script may
        try:
            module_spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(path.parent))
    else:
        try:
            module = importlib.import_module(where)
        except ImportError as error:
            raise ConfigError(f"cannot import '{where}': {error}", hint="is it installed, or on PYTHONPATH?") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        raise ConfigError(f"'{where}' has no function '{attribute}'", hint="write file.py:function")
    return found
