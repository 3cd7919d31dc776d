"""Topologies by a few words: a registered name, one's own function or an edge list, with keys as a configuration has them."""

import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Builder, nearest
from jaxgossip.experiment.config.mistakes import shown, translate
from jaxgossip.experiment.config.schema import configurable, options_model, supply
from jaxgossip.experiment.config.toml import brief, parse_value, split
from jaxgossip.topology import TOPOLOGIES, WEIGHT_RULES, Graph, Weights

NODES = 64
"""Nodes of a network whose size nobody gave: a square, a power of two."""
FILE_SUFFIXES = (".txt", ".csv", ".tsv", ".data", ".edges", ".edgelist", ".el", ".adjlist", ".mtx", ".graph", ".metis")
FILE_SUFFIXES += (".net", ".gml", ".graphml", ".gz")
"""Words that end so are names of files, also where there is none."""


@dataclass(frozen=True)
class Named:
    """A topology as it was asked for.

    Attributes:
        word: how the user called it.
        name: the registered name, or one's own as 'file.py:function'.
        builder: what the name stands for.
        options: its keys.
        assumed: which of these nobody gave.
        said: which of these the user gave beside the name.
    """

    word: str
    name: str
    builder: Builder
    options: Mapping[str, Any]
    assumed: Mapping[str, Any] = field(default_factory=dict)
    said: Collection[str] = ()

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
        """Return the name and its options in a line: ``watts_strogatz, degree 4, beta 0.1``."""
        return ", ".join(
            [self.short, *(f"{key} {shown(value)}" for key, value in self.options.items() if key not in hidden)]
        )

    def graph(self, seed: int) -> Graph:
        """Build the graph that a run with this seed has.

        Raises:
            ConfigError: an unknown or missing key, or a value of another type.
            GraphError: an impossible graph.
        """
        model = options_model(self.builder)
        try:
            keywords = model.model_validate(dict(self.options)).keywords()
        except ValidationError as error:
            problem = next(iter(translate(error, dict(self.options), model, ())))
            key = ".".join(map(str, problem.path))
            hint = problem.hint
            if problem.message == "missing":
                value = suggested(self.name, self.options.get("nodes", NODES)).get(key)
                hint = f"e.g. --set {key}={'VALUE' if value is None else value}; {hint}".removesuffix("; ")
            raise ConfigError(f"{self.word}: {key}: {problem.message}", hint=hint) from error
        from jaxgossip.core.random import host_rng

        made = supply(self.builder, keywords, rng=host_rng(seed, "topology"), seed=seed)
        if isinstance(made, Graph):
            return made
        from jaxgossip.experiment.build.experiment import as_graph

        return as_graph(made)


def named(word: str, nodes: int | None, settings: Sequence[str] = (), *, assume: bool = False) -> Named:
    """Return the topology that a user calls ``word``.

    Args:
        word: a registered name, 'file.py:function' or the path of an edge list; with ``assume``, ``:key=value,…`` may
            follow.
        nodes: how many, where the topology takes it and no setting says; ``NODES`` if None.
        settings: ``key=value``, values as in TOML.
        assume: give the keys that the topology needs and nobody gave; say ``assumed`` which.

    Raises:
        ConfigError: no such name or file, or a setting that is none.
    """
    own, said = _split(word) if assume else (word, [])
    options = {
        key: parse_value(value, f"{word}: {brief(key)}") for key, value in map(_key_and_value, [*settings, *said])
    }
    name, builder = own, None
    if own not in TOPOLOGIES and _is_file(own):
        name, options = "edge_list", {"path": own, **options}
    builder = TOPOLOGIES.resolve(name) if ":" in name else _registered(name)
    parameters = inspect.signature(builder).parameters
    if assume:  # settings for all topologies reach those that have such a key
        shared = {_key_and_value(setting)[0] for setting in settings} - {_key_and_value(one)[0] for one in said}
        options = {key: value for key, value in options.items() if key not in shared or key in parameters}
    assumed: dict[str, Any] = {}
    if "nodes" in parameters and "nodes" not in options:
        fixed = parameters["nodes"].default  # of a network that was observed, and has the nodes it has
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
    return Named(own, name, builder, options | assumed, assumed, tuple(_key_and_value(one)[0] for one in said))


def check_shared(asked: Sequence[Named], settings: Sequence[str]) -> None:
    """Check that every setting for all of them is a key of one of them at least.

    Raises:
        ConfigError: it is a key of none.
    """
    keys = {key for one in asked for key in configurable(one.builder)}
    for setting in settings:
        key, _ = _key_and_value(setting)
        if key not in keys:
            raise ConfigError(f"--set {setting}: no topology here has a key '{key}'", hint=nearest(key, list(keys)))


def labelled(asked: Sequence[Named]) -> list[str]:
    """Return what a table and a chart call each: its name, what the user gave beside it, and what tells equal names apart."""
    found: list[str] = []
    for one in asked:
        same = [other for other in asked if other.short == one.short]
        telling = {key for key in one.options if len({repr(other.options.get(key)) for other in same}) > 1}
        found.append(one.described(set(one.options) - telling - set(one.said)))
    return found


def suggested(name: str, nodes: Any) -> dict[str, Any]:
    """Return values for the keys without default of a registered topology, under which it is most likely connected."""
    n = nodes if isinstance(nodes, int) and nodes > 1 else NODES
    enough = max(4, math.ceil(2 * math.log(n)))  # twice the threshold of connectedness
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
        ConfigError: unknown rule.
        GraphError: the rule has no weights for this graph.
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
    """Return the name and the settings of ``NAME:key=value,key=value``; commas within brackets or quotes do not divide."""
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
