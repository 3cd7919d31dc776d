"""A grid of runs: every combination of some keys' values, each with several seeds.

--grid topology.kind=ring,torus --grid optimizer.learning_rate=0.01,0.1 --seeds 8
"""

import itertools
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.config.catalogue import find, standard
from jaxgossip.experiment.config.load import folder_name, validate
from jaxgossip.experiment.config.schema import configurable
from jaxgossip.experiment.config.sections import SECTIONS, Config
from jaxgossip.experiment.config.toml import value_text
from jaxgossip.experiment.topologies.named import suggested

EXAMPLE = "write --grid optimizer.learning_rate=0.01,0.1"
MAX_RUNS = 100_000
"""Of a grid: more folders beside each other are of use to nobody."""
LIFTED_NETWORK = ("drop", "online", "link_drop", "straggle", "noise")
"""Keys of [network] that may be numbers of a run, not of its program."""


@dataclass(frozen=True)
class Axis:
    """One ``--grid`` option.

    Attributes:
        path: the key's path.
        values: its values.
    """

    path: toml.KeyPath
    values: tuple[Any, ...]

    @property
    def key(self) -> str:
        """The key as the user writes it."""
        return ".".join(self.path)

    @property
    def section(self) -> str:
        """How errors begin the keys of its table."""
        return f"{self.path[0]}."


@dataclass(frozen=True)
class GridRun:
    """One run of a grid.

    Attributes:
        values: key to value, of the grid's keys.
        config: its own configuration, checked; its name is that of its folder.
    """

    values: Mapping[str, Any]
    config: Config

    @property
    def point(self) -> str:
        """What it shares with the runs that differ in their seeds alone."""
        return ", ".join(f"{key}={value_text(value)}" for key, value in self.values.items())

    @property
    def cells(self) -> dict[str, Any]:
        """Its values as rows of tables hold them: numbers, words and truths as they are, anything else as text."""
        return {
            key: value if isinstance(value, str | int | float) else value_text(value)
            for key, value in self.values.items()
        }


@dataclass(frozen=True)
class Grid:
    """A grid of runs.

    Attributes:
        source: what errors call the configuration.
        axes: its keys and their values.
        seeds: of each point.
        runs: all of them, point by point.
        base: the checked configuration of its first run, for what all have in common.
        lists_baselines: whether the configuration names baselines, which a grid leaves out.
    """

    source: str
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    runs: tuple[GridRun, ...]
    base: Config
    lists_baselines: bool

    @property
    def points(self) -> list[str]:
        """All points, in order."""
        return list(dict.fromkeys(run.point for run in self.runs))


def parse_axis(option: str) -> Axis:
    """Return the axis that ``key.path=v1,v2`` means; values are read as ``--set`` reads its own.

    Raises:
        ConfigError: no ``=``, no key, no value, an empty one, or one twice.
    """
    key, equals, text = option.partition("=")
    context = f"--grid {toml.brief(option)}"
    if not equals:
        raise ConfigError(f"{context}: no '='", hint=EXAMPLE)
    path = toml.key_path(key, context)
    name = ".".join(path)
    if not text.strip():
        raise ConfigError(f"--grid {name}: no values", hint=EXAMPLE)
    parts = toml.split(text)
    if not all(part.strip() for part in parts):
        raise ConfigError(f"--grid {name}: an empty value in '{text}'", hint="values are separated by single commas")
    values = tuple(toml.parse_value(part, context) for part in parts)
    for number, value in enumerate(values):
        if any(type(value) is type(other) and value == other for other in values[:number]):
            raise ConfigError(f"--grid {name}: the value {value_text(value)} stands there twice")
    if path == ("seed",):
        raise ConfigError("--grid seed: seeds are no axis of a grid", hint="--seeds K runs every point with K seeds")
    if path[0] in ("name", "variants"):
        raise ConfigError(f"--grid {name}: '{path[0]}' cannot be varied", hint="every run gets a name of its own")
    return Axis(path, values)


def expand(path: Path, options: Sequence[str], n_seeds: int = 1, overrides: Sequence[str] = ()) -> Grid:
    """Return the grid of runs of a configuration, every one checked.

    Args:
        path: the TOML file.
        options: ``key.path=v1,v2`` each.
        n_seeds: how many seeds each point is run with: the configuration's and those that follow it.
        overrides: ``key.path=value`` each, applied before the grid's values.

    Raises:
        ConfigError: whatever is wrong with an option or with one of the runs.
    """
    if n_seeds < 1:
        raise ConfigError(f"--seeds {n_seeds}: at least one is needed", hint="--seeds 8 runs every point eight times")
    axes = tuple(parse_axis(option) for option in options)
    for number, axis in enumerate(axes):
        if axis.key in {other.key for other in axes[:number]}:
            raise ConfigError(f"--grid {axis.key}: given twice", hint="give all its values in one --grid")
    tree = toml.read(path)
    for override in overrides:
        tree = toml.apply_override(tree, override)
    if "variants" in tree:
        raise ConfigError(
            f"{path}: variants: a configuration with [[variants]] has no grid",
            hint=f"leave out --grid and --seeds to run its variants, or the variants from {path}",
        )
    points = math.prod(len(axis.values) for axis in axes)
    if points * n_seeds > MAX_RUNS:
        raise ConfigError(f"a grid of {points * n_seeds:,} runs", hint=f"split it: a grid has at most {MAX_RUNS:,}")
    runs, folders, lists_baselines = [], set(), False
    for values in itertools.product(*(axis.values for axis in axes)):
        here = {"name": folder_name(path.stem), **tree}
        for axis, value in zip(axes, values, strict=True):
            here = toml.with_value(here, axis.path, value, f"--grid {axis.key}")
        point = {axis.key: value for axis, value in zip(axes, values, strict=True)}
        told = " ".join(f"{key}={value_text(value)}" for key, value in point.items())
        source, folder = f"{path} ({told})" if told else str(path), path.absolute().parent
        try:
            checked = validate(here, source=source, folder=folder)
        except ConfigError as error:
            hints = [error.hint, *(_as_tables(here, axis, folder) for axis in axes if axis.section in error.message)]
            raise ConfigError(error.message, hint="\n".join(hint for hint in hints if hint)) from error
        lists_baselines = lists_baselines or bool(here.get("evaluation", {}).get("baselines"))
        alone = checked.evaluation.model_copy(update={"baselines": ()})
        if checked.seed + n_seeds > 2**63:
            raise ConfigError(f"--seeds {n_seeds}: seeds from {checked.seed} on reach beyond 2⁶³")
        for seed in range(checked.seed, checked.seed + n_seeds):
            name = _name(axes, values, seed)
            name = name if name not in folders else f"{name}-{len(runs)}"
            folders.add(name)
            runs.append(GridRun(point, checked.model_copy(update={"seed": seed, "name": name, "evaluation": alone})))
    first = runs[0].config
    seeds = tuple(range(first.seed, first.seed + n_seeds))
    return Grid(
        str(path), axes, seeds, tuple(runs), first.model_copy(update={"name": folder_name(path.stem)}), lists_baselines
    )


def _as_tables(tree: toml.Tree, axis: Axis, folder: Path) -> str:
    """Return the option that gives each kind of an axis the keys that it has; empty where all have the same."""
    section, _, last = axis.key.partition(".")
    registry = standard().registry(section) if section in SECTIONS else None
    if last != "kind" or registry is None or not all(isinstance(kind, str) for kind in axis.values):
        return ""
    try:
        keys = {kind: configurable(find(registry, kind, folder).builder) for kind in axis.values}
    except ConfigError:  # a kind that is not known is what is wrong
        return ""
    known = {key for some in keys.values() for key in some}
    if all(some.keys() == known for some in keys.values()):
        return ""
    tables = []
    for kind, its in keys.items():
        given = {key: value for key, value in tree[section].items() if key != "kind" and key not in known - its.keys()}
        lacking = [key for key, one in its.items() if one.default is one.empty and key not in given]
        examples = suggested(kind, given.get("nodes"))
        table = {"kind": kind, **given, **{key: examples.get(key, "…") for key in lacking}}
        tables.append(f"{{{','.join(f'{key}={toml.inline(value)}' for key, value in table.items())}}}")
    return f"kinds with keys of their own: --grid {shlex.quote(f'{section}={",".join(tables)}')}"


def lifted_numbers(run: GridRun) -> dict[tuple[str, str], float]:
    """Return the grid's numbers that need not be part of a program: (section, key) -> value.

    Those of the optimizer, and probabilities and noise of the network unless they rule out what they speak of: a program
    without faults is a shorter one.
    """
    found: dict[tuple[str, str], float] = {}
    if run.config.in_events:  # its runs have schedules of their own, and go one by one
        return found
    for key in run.values:
        section, _, name = key.partition(".")
        if section == "optimizer" and ":" not in run.config.optimizer.kind:
            value = run.config.optimizer.keywords().get(name)
        elif section == "network" and name in LIFTED_NETWORK:
            value = getattr(run.config.network, name)
            value = None if value == (1 if name == "online" else 0) else value
        else:
            continue
        if isinstance(value, float):
            found[section, name] = value
    return found


def _name(axes: Sequence[Axis], values: Sequence[Any], seed: int) -> str:
    parts = []
    for axis, value in zip(axes, values, strict=True):
        if isinstance(value, Mapping):
            parts.append(folder_name(value_text(value).replace("(", "").replace(")", "")))
        else:
            parts.append(value_text(value) if isinstance(value, str) else f"{axis.path[-1]}_{value_text(value)}")
    names = [part.rsplit("/", maxsplit=1)[-1] for part in parts]
    return folder_name("-".join([*names, f"seed_{seed}"]))
