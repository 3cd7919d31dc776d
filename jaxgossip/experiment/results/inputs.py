"""What a run reads besides its configuration: data, graphs, messages, traces, weights, one's own code; and their digests.

A run that goes on with other inputs than it began with would be a mixture that nobody can repeat.
"""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.results.log import anew

CONFIG = "config.toml"
"""The resolved configuration in a run folder, by which its digest goes, too."""


def digests(config: Config, known: dict[str, str] | None = None) -> dict[str, str]:
    """Return the SHA-256 of every file that a configuration names, by absolute path, in order.

    Own code counts as its file and those beside it that it has imported.

    Args:
        config: the configuration.
        known: digests of files that were read before, to which those of new ones are added.
    """
    known = {} if known is None else known
    found = sorted({str(path) for path in _named(config.tree()) if path.is_file()})
    for name in found:
        if name not in known:
            known[name] = digest(Path(name))
    return {name: known[name] for name in found}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def changed(known: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return which inputs are not what they were, and what became of them: path -> 'has changed' or 'is gone'.

    Args:
        known: digests of before.
        folder: where relative paths start.
    """
    found = {}
    for name, before in known.items():
        path = folder / name
        if not path.is_file():
            found[name] = "is gone"
        elif digest(path) != before:
            found[name] = "has changed"
    return found


def accepted(
    manifest: dict[str, Any],
    folder: Path,
    note: Callable[[str], None],
    *,
    force: bool = False,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Check that a run's inputs are what they were; with ``force``, take them as they are into its manifest.

    Args:
        manifest: of the run.
        folder: of the run.
        note: is told where nobody can know, and what is taken as it is.
        force: go on with inputs that have changed.
        only: names of inputs; all if None.

    Returns:
        What the manifest is to say of this session: ``{"changed": [paths]}``, or nothing.

    Raises:
        ConfigError: an input has changed or is gone.
    """
    known: dict[str, str] | None = manifest.get("inputs")
    if known is None:
        note(
            "this run was begun by a version that kept no digests: nobody can tell whether its files have changed since"
        )
        return {}
    found = changed(known if only is None else {name: known[name] for name in only if name in known}, folder)
    if not found:
        return {}
    if not force:
        raise ConfigError(
            f"{sentence(found, folder)} since the run in {folder} began",
            hint=f"put back what was there; or 'jaxgossip resume {shlex.quote(str(folder))} --force' goes on with what is "
            f"there now, and manifest.json will say so; or {anew(folder)}",
        )
    note(f"warning: {sentence(found, folder)} since the run began; manifest.json says so")
    manifest["inputs"] = {CONFIG: digest(folder / CONFIG), **digests(load(folder / CONFIG))}
    return {"changed": list(found)}


def sentence(found: Mapping[str, str], folder: Path) -> str:
    """Return what changed, for an error: at most three files by name."""
    told = [f"{folder / name} {what}" for name, what in found.items()]
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return ", ".join(told[:3]) + more


def _named(value: Any) -> Iterator[Path]:
    """Find the paths among a configuration's values: absolute ones, as a resolved configuration has them, and own code."""
    if isinstance(value, Mapping):
        for member in value.values():
            yield from _named(member)
    elif isinstance(value, list):
        for member in value:
            yield from _named(member)
    elif isinstance(value, str):
        where, colon, _ = value.rpartition(":")
        if value.startswith("/"):
            yield Path(value)
        if colon and where.endswith(".py"):
            yield from _code(Path(where))
        elif colon and where.replace(".", "").isidentifier():
            yield from _module(where)


def _code(path: Path) -> Iterator[Path]:
    yield path
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__" and Path(file).parent == path.parent:
            yield Path(file)


def _module(name: str) -> Iterator[Path]:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a word with a colon that names no module
        return
    if spec is not None and spec.origin and spec.has_location:
        yield Path(spec.origin)
