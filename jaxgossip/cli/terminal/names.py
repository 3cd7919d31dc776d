"""``jaxgossip list``: all that a configuration can name, of one kind, or one name with its keys."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

from pydantic import BaseModel
from rich.table import Table

from jaxgossip.cli.terminal.output import wrapped
from jaxgossip.cli.terminal.tables import render
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Registry, nearest
from jaxgossip.experiment.config import catalogue, toml
from jaxgossip.experiment.config.examples import examples
from jaxgossip.experiment.config.key_help import Key, keys_of, keys_of_all
from jaxgossip.experiment.config.sections import SECTIONS, Format, supplied
from jaxgossip.topology import WEIGHT_RULES

PLURALS: Mapping[str, str] = MappingProxyType(
    {
        "topology": "topologies",
        "aggregation": "aggregations",
        "adversary": "adversaries",
        "delay": "delays",
        "churn": "churns",
        "compression": "compressions",
        "examples": "example",
    }
)
"""What else a kind is called, where it is not the kind with an s."""


KEY_WIDTH = 32
"""Columns for a key and its default."""


@dataclass(frozen=True)
class Kind:
    """A kind of names.

    Attributes:
        registries: where they are.
        table: of the configuration that holds their keys; empty where they have none.
        key: that names one of them.
        section: the keys that the table has whichever is named.
    """

    registries: tuple[Registry, ...]
    table: str
    key: str
    section: type[BaseModel] | None = None


def kinds() -> dict[str, Kind]:
    """Return the kinds of names, the examples apart."""
    found = catalogue.standard()
    learning = {
        "dataset": Kind((found.dataset, found.task), "learning.dataset_options", "learning.dataset"),
        "format": Kind((_formats(found),), "learning.dataset_options", "learning.format"),
        "model": Kind((found.model,), "learning.model_options", "learning.model"),
    }
    names = (
        "topology mixing weights dataset format partition model algorithm protocol optimizer compression adversary "
        "aggregation"
    )
    events = "clock peers delay churn tokens speeds"
    made: dict[str, Kind] = {}
    for name in (*names.split(), *events.split()):
        table = "algorithm" if name == "protocol" else name
        if name in learning:
            made[name] = learning[name]
        elif name == "weights":
            made[name] = Kind((WEIGHT_RULES,), "", "mixing.weights")
        else:
            made[name] = Kind((getattr(found, name),), table, f"{table}.kind", SECTIONS[table])
    return made


def _formats(found: catalogue.Catalogue) -> Registry:
    """Return the readers of one's own data files by the names that ``learning.format`` takes, most of them suffixes too."""
    return Registry("format", {name: found.datafile[name] for name in get_args(Format)})


def listing(kind: str | None, name: str | None = None) -> str:
    """Return all names of one kind, or of all, with a line about each; or one name with its keys.

    Args:
        kind: which kind, in the singular or the plural; None: all.
        name: one of its names; None: all.

    Raises:
        ConfigError: no such kind or name.
    """
    known = kinds()
    summaries = {"examples": examples()} | {
        title: {entry: registry.summary(entry) for registry in one.registries for entry in registry}
        for title, one in known.items()
    }
    title = None if kind is None else _singular(kind, list(summaries))
    if title is not None and name is not None:
        if name not in summaries[title]:
            raise ConfigError(f"unknown {title.removesuffix('s')} '{name}'", hint=nearest(name, summaries[title]))
        return _one(name, summaries[title][name], known.get(title))
    width = max(len(entry) for names in summaries.values() for entry in names)
    told = {one: names for one, names in summaries.items() if title in (None, one)}
    return "\n\n".join(f"{one}\n{_named(names, width)}" for one, names in told.items())


def summaries(registry: Registry) -> str:
    """Return the names of a registry with a line about each."""
    return _named({name: registry.summary(name) for name in registry}, max(map(len, registry)))


def key_table(keys: Sequence[Key], indent: int = 2) -> str:
    """Return keys with their defaults in brackets, what they mean and what they take."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(max_width=indent + KEY_WIDTH, overflow="fold")
    grid.add_column()
    for one in keys:
        default = "" if one.required or one.default is None else f" [{toml.inline(one.default).replace('"', '')}]"
        takes = f"{one.takes}; has to be given" if one.required else one.takes
        grid.add_row(f"{' ' * indent}{one.name}{default}", f"{one.about} ({takes})" if one.about else takes)
    return render(grid)


def _singular(word: str, known: Collection[str]) -> str:
    """Return the kind that a word means, be it its plural.

    Raises:
        ConfigError: it means none.
    """
    for one in known:
        if word in (one, f"{one}s", PLURALS.get(one)):
            return one
    raise ConfigError(f"unknown kind '{word}'", hint=nearest(word, list(known)))


def _one(name: str, about: str, kind: Kind | None) -> str:
    if kind is None:
        return f"{name}\n{wrapped(about, 2)}\n\nwrite it by: jaxgossip new {name}"
    registry = next(registry for registry in kind.registries if name in registry)
    lines = [name, wrapped(about, 2), "", f'in a configuration: {kind.key} = "{name}"']
    if kind.key == "learning.format":
        lines.append("where learning.dataset is the path of a file whose suffix does not tell")
    own: tuple[Key, ...] = ()
    if kind.table:
        without = supplied(kind.key.removeprefix("learning."), name) if kind.section is None else ()
        without += ("path",) if kind.key == "learning.format" else ()  # the file is learning.dataset itself
        own = keys_of(registry[name], without)
        lines += ["", f"keys in [{kind.table}], with their [defaults]" if own else "it has no keys of its own"]
        lines += [key_table(own)] if own else []
    of_all = keys_of_all(kind.section) if kind.section else ()
    of_all = tuple(key for key in of_all if key.name not in {one.name for one in own})
    if of_all:
        lines += ["", f"keys in [{kind.table}] whatever its kind", key_table(of_all)]
    return "\n".join(lines)


def _named(names: Mapping[str, str], width: int) -> str:
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(width=width + 2, no_wrap=True)
    grid.add_column()
    for name, summary in names.items():
        grid.add_row(f"  {name}", summary)
    return render(grid)
