"""The input files of a run, besides its configuration, and their digests: data, graphs, messages, traces, weights, user code.

A run that was resumed with other inputs than it began with could not be reproduced.
"""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jaxgossip.core.disk import digest
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.results.log import rerun_hint

CONFIG = "config.toml"
"""The resolved configuration in a run folder, whose digest is also stored under this name."""


def digests(config: Config, known: dict[str, str] | None = None) -> dict[str, str]:
    """Return the SHA-256 of every file that a configuration names, by absolute path in sorted order.

    User code includes the file that is named and the modules beside it that it has imported.

    Args:
        config: the configuration.
        known: digests of files that were read before, to which new ones are added.
    """
    known = {} if known is None else known
    names = sorted({str(path) for path in _named(config.tree()) if path.is_file()})
    for name in names:
        if name not in known:
            known[name] = digest(Path(name))
    return {name: known[name] for name in names}


def changed(known: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the inputs that differ from their digests: path -> 'has changed' or 'is gone'.

    Args:
        known: the earlier digests.
        folder: what relative paths are relative to.
    """
    changes = {}
    for name, before in known.items():
        path = folder / name
        if not path.is_file():
            changes[name] = "is gone"
        elif digest(path) != before:
            changes[name] = "has changed"
    return changes


def accepted(
    manifest: dict[str, Any],
    folder: Path,
    note: Callable[[str], None],
    *,
    force: bool = False,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Check that the inputs of a run are unchanged; with ``force``, update its manifest to the present ones.

    Args:
        manifest: manifest of the run.
        folder: folder of the run.
        note: receives a warning if changes cannot be detected, or are accepted.
        force: whether to accept inputs that have changed.
        only: names of the inputs to check; None for all.

    Returns:
        The entry of the manifest on this session: ``{"changed": [paths]}``, or an empty dict.

    Raises:
        ConfigError: an input has changed or is gone, and ``force`` is not set.
    """
    known: dict[str, str] | None = manifest.get("inputs")
    if known is None:
        note(
            "this run was begun by a version that kept no digests: nobody can tell whether its files have changed since"
        )
        return {}
    changes = changed(known if only is None else {name: known[name] for name in only if name in known}, folder)
    if not changes:
        return {}
    if not force:
        raise ConfigError(
            f"{sentence(changes, folder)} since the run in {folder} began",
            hint=f"put back what was there; or 'jaxgossip resume {shlex.quote(str(folder))} --force' goes on with what is "
            f"there now, and manifest.json will say so; or {rerun_hint(folder)}",
        )
    note(f"warning: {sentence(changes, folder)} since the run began; manifest.json says so")
    manifest["inputs"] = {CONFIG: digest(folder / CONFIG), **digests(load(folder / CONFIG))}
    return {"changed": list(changes)}


def sentence(changes: Mapping[str, str], folder: Path) -> str:
    """Return a sentence on the changes, naming at most three files."""
    phrases = [f"{folder / name} {what}" for name, what in changes.items()]
    more = f" and {len(phrases) - 3} more" if len(phrases) > 3 else ""
    return ", ".join(phrases[:3]) + more


def _named(value: Any) -> Iterator[Path]:
    """Yield the paths among the values of a resolved configuration, which are absolute, and those of user code."""
    if isinstance(value, Mapping):
        for member in value.values():
            yield from _named(member)
    elif isinstance(value, list):
        for member in value:
            yield from _named(member)
    elif isinstance(value, str):
        where, colon, _ = value.rpartition(":")
        if value.startswith("/"):
            yield from _files(Path(value))
        if colon and where.endswith(".py"):
            yield from _code(Path(where))
        elif colon and where.replace(".", "").isidentifier():
            yield from _module(where)


def _files(path: Path) -> Iterator[Path]:
    """Yield a file, or the files of a folder that is a data set."""
    if path.is_dir():
        yield from (one for one in path.rglob("*") if one.is_file())
    else:
        yield path


def _code(path: Path) -> Iterator[Path]:
    yield path
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__" and Path(file).parent == path.parent:
            yield Path(file)


def _module(name: str) -> Iterator[Path]:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a word with a colon that does not name a module
        return
    if spec is not None and spec.origin and spec.has_location:
        yield Path(spec.origin)
