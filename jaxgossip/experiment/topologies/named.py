"""Topologies named on the command line: a registered name, a user's function or an edge list, with their keys."""

import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Builder, nearest
from jaxgossip.experiment.config.catalogue import find
from jaxgossip.experiment.config.diagnostics import shown, translate
from jaxgossip.experiment.config.schema import configurable, options_model, supply
from jaxgossip.experiment.config.toml import brief, parse_value, split
from jaxgossip.topology import TOPOLOGIES, WEIGHT_RULES, Graph, Weights

NODES = 64
"""Default number of nodes: a square, and a power of two."""
FILE_SUFFIXES = (".txt", ".csv", ".tsv", ".data", ".edges", ".edgelist", ".el", ".adjlist", ".mtx", ".graph", ".metis")
FILE_SUFFIXES += (".net", ".gml", ".graphml", ".gz")
"""Suffixes by which words are taken as names of files, even if the file does not exist."""


@dataclass(frozen=True)
class Named:
    """A topology as requested by the user.

    Attributes:
        word: the word that the user gave.
        name: the registered name, or the user's own builder as 'file.py:function'.
        builder: the builder.
        options: the values of its keys.
        assumed: the options with assumed values.
        explicit: the keys that the user gave with the name.
    """

    word: str
    name: str
    builder: Builder
    options: Mapping[str, Any]
    assumed: Mapping[str, Any] = field(default_factory=dict)
    explicit: Collection[str] = ()

    @property
    def short(self) -> str:
        """A name without folders, suffix or colons."""
        if self.name == "edge_list":
            return Path(str(self.options.get("path", self.word))).stem
        return self.name.rpartition(":")[2]

    @property
    def is_random(self) -> bool:
        """Whether the seed makes a difference."""
        return bool({"rng", "seed"} & set(inspect.signature(self.builder).parameters))

    def described(self, hidden: Collection[str] = ("nodes", "path")) -> str:
        """Return the name and its options on one line: ``watts_strogatz, degree 4, beta 0.1``."""
        return ", ".join(
            [self.short, *(f"{key} {shown(value)}" for key, value in self.options.items() if key not in hidden)]
        )

    def graph(self, seed: int) -> Graph:
        """Build the graph of a run with this seed.

        Raises:
            ConfigError: a key is unknown or missing, or a value has the wrong type.
            GraphError: the graph is impossible.
        """
        model = options_model(self.builder)
        try:
            keywords = model.model_validate(dict(self.options)).keywords()
        except ValidationError as error:
            diagnostic = next(iter(translate(error, dict(self.options), model, ())))
            key = ".".join(map(str, diagnostic.path))
            hint = diagnostic.hint
            if diagnostic.message == "missing":
                value = suggested(self.name, self.options.get("nodes", NODES)).get(key)
                hint = f"e.g. --set {key}={'VALUE' if value is None else value}; {hint}".removesuffix("; ")
            raise ConfigError(f"{self.word}: {key}: {diagnostic.message}", hint=hint) from error
        from jaxgossip.core.random import host_rng

        machinery = {"rng": host_rng(seed, "topology"), "seed": seed}
        if ":" not in self.name:
            return supply(self.builder, keywords, **machinery)
        from jaxgossip.experiment.build.builders import errors_of
        from jaxgossip.experiment.build.experiment import as_graph

        with errors_of("topology", self.name):
            built = supply(self.builder, keywords, **machinery)
            return built if isinstance(built, Graph) else as_graph(built, self.name)


def named(word: str, nodes: int | None, settings: Sequence[str] = (), *, assume: bool = False) -> Named:
    """Return the topology that a user calls ``word``.

    Args:
        word: a registered name, 'file.py:function' or the path of an edge list; with ``assume``, ``:key=value,…`` may
            follow.
        nodes: number of nodes, if the topology takes it and no setting gives it; ``NODES`` if None.
        settings: ``key=value``, values as in TOML.
        assume: whether to assume values for required keys that are not given, and list them in ``assumed``.

    Raises:
        ConfigError: the name or file does not exist, a setting is malformed, or ``nodes`` is given for a topology that
            does not take it.
    """
    own, explicit = _split(word) if assume else (word, [])
    options = {
        key: parse_value(value, f"{word}: {brief(key)}") for key, value in map(_key_and_value, [*settings, *explicit])
    }
    name, builder = own, None
    if own not in TOPOLOGIES and _is_file(own):
        name, options = "edge_list", {"path": own, **options}
    builder = find(TOPOLOGIES, name, Path.cwd()).builder if ":" in name else _registered(name)
    parameters = inspect.signature(builder).parameters
    if assume:  # settings for all topologies apply to those that have such a key
        shared = {_key_and_value(setting)[0] for setting in settings}
        shared -= {_key_and_value(setting)[0] for setting in explicit}
        options = {key: value for key, value in options.items() if key not in shared or key in parameters}
    assumed: dict[str, Any] = {}
    if "nodes" in parameters and "nodes" not in options:
        fixed = parameters["nodes"].default  # observed networks have a fixed number of nodes
        known = fixed is not inspect.Parameter.empty
        options["nodes"] = fixed if known and (nodes is None or assume) else NODES if nodes is None else nodes
    elif nodes is not None and not assume and "nodes" not in parameters:
        raise ConfigError(f"{own} has as many nodes as it lists", hint="leave --nodes out")
    if assume:
        assumed = {
            key: value for key, value in suggested(name, options.get("nodes", NODES)).items() if key not in options
        }
        if {"p", "radius", "mean_degree"} & set(options):
            assumed.pop("mean_degree", None)
    explicit_keys = tuple(_key_and_value(setting)[0] for setting in explicit)
    return Named(own, name, builder, options | assumed, assumed, explicit_keys)


def check_shared(topologies: Sequence[Named], settings: Sequence[str]) -> None:
    """Check that every shared setting is a key of at least one of the topologies.

    Raises:
        ConfigError: a setting is a key of none.
    """
    keys = {key for topology in topologies for key in configurable(topology.builder)}
    for setting in settings:
        key, _ = _key_and_value(setting)
        if key not in keys:
            raise ConfigError(f"--set {setting}: no topology here has a key '{key}'", hint=nearest(key, list(keys)))


def labelled(topologies: Sequence[Named]) -> list[str]:
    """Return labels of topologies: the name, the explicit options, and those that distinguish equal names."""
    labels: list[str] = []
    for topology in topologies:
        same = [other for other in topologies if other.short == topology.short]
        differing = {key for key in topology.options if len({repr(other.options.get(key)) for other in same}) > 1}
        labels.append(topology.described(set(topology.options) - differing - set(topology.explicit)))
    return labels


def suggested(name: str, nodes: Any) -> dict[str, Any]:
    """Return values for the required keys of a registered topology for which it is most likely connected."""
    n = nodes if isinstance(nodes, int) and nodes > 1 else NODES
    enough = max(4, math.ceil(2 * math.log(n)))  # twice the connectivity threshold
    values: dict[str, dict[str, Any]] = {
        "k_nearest_ring": {"degree": 4},
        "random_regular": {"degree": 4},
        "watts_strogatz": {"degree": 4, "beta": 0.1},
        "barabasi_albert": {"m": 2},
        "erdos_renyi": {"mean_degree": enough},
        "random_geometric": {"mean_degree": 2 * enough},
        "stochastic_block": {
            "blocks": 2,
            "p_in": round(min(1.0, 3.5 * math.log(n) / n), 6),
            "p_out": round(min(1.0, 0.5 * math.log(n) / n), 6),
        },
    }
    return values.get(name, {})


def weights_by(rule: str, graph: Graph) -> Weights:
    """Return the graph's weights by a registered rule.

    Raises:
        ConfigError: the rule is unknown.
        GraphError: the rule gives no weights for this graph.
    """
    return WEIGHT_RULES[rule](graph)


def _registered(name: str) -> Builder:
    if name not in TOPOLOGIES:
        hint = f"{nearest(name, TOPOLOGIES)}; or the path of an edge list; or your own as 'file.py:function'"
        raise ConfigError(f"unknown topology '{name}'", hint=hint)
    return TOPOLOGIES[name]


def _is_file(word: str) -> bool:
    path = Path(word)
    return path.is_file() or ("/" in word and ":" not in word) or path.suffix in FILE_SUFFIXES


def _split(word: str) -> tuple[str, list[str]]:
    """Split ``NAME:key=value,key=value`` into the name and its settings; commas in brackets or quotes do not separate."""
    before, colon, after = word.rpartition(":")
    if not colon or "=" not in after:
        return word, []
    return before, split(after)


def _key_and_value(setting: str) -> tuple[str, str]:
    key, equals, value = setting.partition("=")
    key = key.strip().removeprefix("topology.")
    if not equals or not key:
        raise ConfigError(f"'{setting}' is no setting", hint="write key=value, e.g. degree=4")
    return key, value
