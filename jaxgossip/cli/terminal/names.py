"""Output of ``list``: all names that a configuration can use, those of one kind, or one name with its keys."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from pydantic import BaseModel
from rich.table import Table

from jaxgossip.cli.terminal.output import wrapped
from jaxgossip.cli.terminal.tables import render
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Builder, Registry, nearest, summary_of
from jaxgossip.experiment.config import catalogue, toml
from jaxgossip.experiment.config.examples import examples
from jaxgossip.experiment.config.key_help import Key, keys_of, keys_of_all
from jaxgossip.experiment.config.learning import Format, supplied, supplied_to_sample
from jaxgossip.experiment.config.schema import takes_function
from jaxgossip.experiment.config.sections import NESTED, SECTIONS, RateSection
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
"""Other accepted spellings of kinds, where it is not enough to append an s."""


KEY_WIDTH = 32
"""Width of the column with keys and their defaults."""


@dataclass(frozen=True)
class Kind:
    """A kind of names.

    Attributes:
        registries: the registries with the names.
        table: table of the configuration with their keys; empty if they have none.
        key: key of the configuration that takes one of the names.
        section: model of the keys that the table has for every name.
        takes_own: whether the key takes the user's own functions, too.
        listed: whether the key takes a list, whose entries may be tables of a kind and its keys.
    """

    registries: tuple[Registry, ...]
    table: str
    key: str
    section: type[BaseModel] | None = None
    takes_own: bool = True
    listed: bool = False


def kinds() -> dict[str, Kind]:
    """Return the kinds of names that ``list`` shows, by name, all but "examples"."""
    standard = catalogue.standard()
    learning = {
        "dataset": Kind((standard.dataset, standard.task), "learning.dataset_options", "learning.dataset"),
        "format": Kind((_formats(standard),), "learning.dataset_options", "learning.format", takes_own=False),
        "model": Kind((standard.model,), "learning.model_options", "learning.model"),
        "augmentation": Kind((standard.augmentation,), "learning.augment", "learning.augment", listed=True),
    }
    names = (
        "topology mixing weights dataset format partition model augmentation algorithm protocol optimizer rate compression "
        "adversary aggregation"
    )
    events = "clock peers delay churn tokens contacts speeds energy"
    by_name: dict[str, Kind] = {}
    for name in (*names.split(), *events.split()):
        table = "algorithm" if name == "protocol" else name
        if name in learning:
            by_name[name] = learning[name]
        elif name == "weights":
            by_name[name] = Kind((WEIGHT_RULES,), "", "mixing.weights", takes_own=False)
        elif name == "rate":
            by_name[name] = Kind(
                (standard.rate,), "optimizer.learning_rate", "optimizer.learning_rate.kind", RateSection
            )
        else:
            by_name[name] = Kind((getattr(standard, name),), table, f"{table}.kind", SECTIONS[table])
    return by_name


def _formats(standard: catalogue.Catalogue) -> Registry:
    """Return the readers of data files by the names that ``learning.format`` takes, most of which are also suffixes."""
    return Registry("format", {name: standard.datafile[name] for name in get_args(Format)})


def listing(kind: str | None, name: str | None = None) -> str:
    """Return the names of one kind or of all kinds, each with a summary, or one name with its keys.

    Args:
        kind: the kind, in the singular or the plural; None for all.
        name: one of its names, or the user's own as 'file.py:function'; None for all.

    Raises:
        ConfigError: the kind or the name is unknown, or the user's own file or function cannot be used.
    """
    known = kinds()
    summaries = {"examples": examples()} | {
        title: {entry: registry.summary(entry) for registry in known_kind.registries for entry in registry}
        for title, known_kind in known.items()
    }
    title = None if kind is None else _singular(kind, list(summaries))
    if title is not None and name is not None:
        if ":" in name and title in known and known[title].takes_own:
            builder = catalogue.find(known[title].registries[0], name, Path.cwd()).builder
            return _details(name, summary_of(builder), known[title], builder)
        if name not in summaries[title]:
            raise ConfigError(f"unknown {title.removesuffix('s')} '{name}'", hint=nearest(name, summaries[title]))
        kind_of = known.get(title)
        held = kind_of and next(registry[name] for registry in kind_of.registries if name in registry)
        return _details(name, summaries[title][name], kind_of, held)
    width = max(len(entry) for names in summaries.values() for entry in names)
    chosen = {heading: names for heading, names in summaries.items() if title in (None, heading)}
    return "\n\n".join(f"{heading}\n{_grid(names, width)}" for heading, names in chosen.items())


def summaries(registry: Registry) -> str:
    """Return the names of a registry, each with a summary."""
    return _grid({name: registry.summary(name) for name in registry}, max(map(len, registry)))


def key_table(keys: Sequence[Key], indent: int = 2) -> str:
    """Return keys with their defaults in brackets, their meanings and the values that they take."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(max_width=indent + KEY_WIDTH, overflow="fold")
    grid.add_column()
    for key in keys:
        default = "" if key.required or key.default is None else f" [{toml.inline(key.default).replace('"', '')}]"
        takes = f"{key.takes}; has to be given" if key.required else key.takes
        grid.add_row(f"{' ' * indent}{key.name}{default}", f"{key.about} ({takes})" if key.about else takes)
    return render(grid)


def _singular(word: str, known: Collection[str]) -> str:
    """Return the kind that a word names in the singular or the plural.

    Raises:
        ConfigError: the kind is unknown.
    """
    for kind in known:
        if word in (kind, f"{kind}s", PLURALS.get(kind)):
            return kind
    raise ConfigError(f"unknown kind '{word}'", hint=nearest(word, list(known)))


def _details(name: str, about: str, kind: Kind | None, builder: Builder | None) -> str:
    if kind is None or builder is None:
        return f"{name}\n{wrapped(about, 2)}\n\nwrite it by: jaxgossip new {name}"
    value = f'[{{kind = "{name}"}}]' if kind.listed else f'"{name}"'
    lines = [name, *([wrapped(about, 2)] if about else []), "", f"in a configuration: {kind.key} = {value}"]
    if kind.key == "learning.format":
        lines.append("where learning.dataset is the path of a file whose suffix does not tell")
    own: tuple[Key, ...] = ()
    if kind.table:
        without = supplied(kind.key.removeprefix("learning."), name) if kind.section is None else ()
        without += ("path",) if kind.key == "learning.format" else ()  # the path is learning.dataset itself
        without += supplied_to_sample(builder, name) if kind.listed else ()
        own = tuple(_with_table(key, kind, builder) for key in keys_of(builder, without))
        place = "beside its kind" if kind.listed else f"in [{kind.table}]"
        lines += ["", f"keys {place}, with their [defaults]" if own else "it has no keys of its own"]
        lines += [key_table(own)] if own else []
    common = keys_of_all(kind.section) if kind.section else ()
    common = tuple(key for key in common if key.name not in {own_key.name for own_key in own})
    if common:
        lines += ["", f"keys in [{kind.table}] whatever its kind", key_table(common)]
    return "\n".join(lines)


def _with_table(key: Key, kind: Kind, builder: Builder) -> Key:
    """Return a key with the tables that it takes in place of a number, if it takes any."""
    listed, _ = NESTED.get(kind.table, {}).get(key.name, ("", None))
    if not listed or not takes_function(builder, key.name):
        return key
    return replace(key, takes=f"{key.takes}, or a table with one of 'jaxgossip list {listed}'")


def _grid(names: Mapping[str, str], width: int) -> str:
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(width=width + 2, no_wrap=True)
    grid.add_column()
    for name, summary in names.items():
        grid.add_row(f"  {name}", summary)
    return render(grid)
