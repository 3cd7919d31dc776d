"""Grids of runs: every combination of the values of some keys, each with several seeds.

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
from jaxgossip.core.files import folder_name
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.config.catalogue import find, standard
from jaxgossip.experiment.config.load import validate
from jaxgossip.experiment.config.schema import configurable
from jaxgossip.experiment.config.sections import SECTIONS, Config, OptimizerSection, RateSection
from jaxgossip.experiment.config.toml import value_text
from jaxgossip.experiment.topologies.named import suggested

EXAMPLE = "write --grid optimizer.learning_rate=0.01,0.1"
MAX_RUNS = 100_000
"""Maximum number of runs of a grid, each of which has a folder in the same folder."""
DEVICES = ("device", "count")
"""Path of the key with the number of devices, which a grid spreads its runs over; each run is on one."""
LIFTED_NETWORK = ("drop", "online", "link_drop", "straggle", "noise")
"""Keys of [network] whose values can be arguments of a program rather than constants in it."""


@dataclass(frozen=True)
class Axis:
    """One ``--grid`` option.

    Attributes:
        path: path of the key.
        values: values of the key.
    """

    path: toml.KeyPath
    values: tuple[Any, ...]

    @property
    def key(self) -> str:
        """The key as the user writes it."""
        return ".".join(self.path)

    @property
    def section(self) -> str:
        """Prefix of the keys of its table in error messages."""
        return f"{self.path[0]}."


@dataclass(frozen=True)
class GridRun:
    """One run of a grid.

    Attributes:
        values: the run's value of each key of the grid.
        config: the run's validated configuration, whose name is that of the run folder.
    """

    values: Mapping[str, Any]
    config: Config

    @property
    def point(self) -> str:
        """The run's values as text, the same for all seeds."""
        return ", ".join(f"{key}={value_text(value)}" for key, value in self.values.items())

    @property
    def cells(self) -> dict[str, Any]:
        """The run's values as table cells: numbers, strings and booleans as they are, everything else as text."""
        return {
            key: value if isinstance(value, str | int | float) else value_text(value)
            for key, value in self.values.items()
        }


@dataclass(frozen=True)
class Grid:
    """A grid of runs.

    Attributes:
        source: name of the configuration in error messages.
        axes: keys and their values.
        seeds: seeds of each point.
        runs: all runs, point by point.
        base: validated configuration of the first run, for settings that all runs share.
        lists_baselines: whether the configuration lists baselines, which grids do not run.
        devices: number of devices over which the runs are spread, each wholly on one of them; 0 for all that there are.
    """

    source: str
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    runs: tuple[GridRun, ...]
    base: Config
    lists_baselines: bool
    devices: int = 1

    @property
    def points(self) -> list[str]:
        """All points, in order."""
        return list(dict.fromkeys(run.point for run in self.runs))


def parse_axis(option: str) -> Axis:
    """Return the axis of an option ``key.path=v1,v2``, whose values are parsed like those of ``--set``.

    Raises:
        ConfigError: ``=``, the key or a value is missing, a value is repeated, or the key cannot be varied.
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
    if path == DEVICES:
        raise _one_number_of_devices()
    return Axis(path, values)


def _one_number_of_devices() -> ConfigError:
    return ConfigError("--grid device.count: all runs share the devices", hint="--devices N spreads the runs over N")


def expand(path: Path, options: Sequence[str], n_seeds: int = 1, overrides: Sequence[str] = ()) -> Grid:
    """Return the grid of runs of a configuration, each of them validated.

    Args:
        path: the TOML file.
        options: ``--grid`` options, each ``key.path=v1,v2``.
        n_seeds: number of seeds per point, counted up from the configuration's seed.
        overrides: ``--set`` options, each ``key.path=value``, applied before the grid's values.

    Raises:
        ConfigError: an option or the configuration of a run is invalid.
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
    runs, folders, lists_baselines, devices = [], set(), False, set()
    for values in itertools.product(*(axis.values for axis in axes)):
        point_tree = {"name": folder_name(path.stem), **tree}
        for axis, value in zip(axes, values, strict=True):
            point_tree = toml.with_value(point_tree, axis.path, value, f"--grid {axis.key}")
        point = {axis.key: value for axis, value in zip(axes, values, strict=True)}
        label = " ".join(f"{key}={value_text(value)}" for key, value in point.items())
        source, folder = f"{path} ({label})" if label else str(path), path.absolute().parent
        try:
            checked = validate(point_tree, source=source, folder=folder)
        except ConfigError as error:
            tables = (_as_tables(point_tree, axis, folder) for axis in axes if axis.section in error.message)
            raise ConfigError(error.message, hint="\n".join(hint for hint in (error.hint, *tables) if hint)) from error
        lists_baselines = lists_baselines or bool(point_tree.get("evaluation", {}).get("baselines"))
        evaluation = checked.evaluation.model_copy(update={"baselines": ()})
        devices.add(checked.device.count)
        device = checked.device.model_copy(update={"count": 1})
        if checked.seed + n_seeds > 2**63:
            raise ConfigError(f"--seeds {n_seeds}: seeds from {checked.seed} on reach beyond 2⁶³")
        for seed in range(checked.seed, checked.seed + n_seeds):
            name = _name(axes, values, seed)
            name = name if name not in folders else f"{name}-{len(runs)}"
            folders.add(name)
            updates = {"seed": seed, "name": name, "evaluation": evaluation, "device": device}
            runs.append(GridRun(point, checked.model_copy(update=updates)))
    if len(devices) > 1:
        raise _one_number_of_devices()
    first = runs[0].config
    seeds = tuple(range(first.seed, first.seed + n_seeds))
    return Grid(
        str(path), axes, seeds, tuple(runs), first.model_copy(update={"name": folder_name(path.stem)}), lists_baselines,
        devices.pop(),
    )  # fmt: skip


def _as_tables(tree: toml.Tree, axis: Axis, folder: Path) -> str:
    """Return a hint to give each kind on an axis as a table with its own keys; empty if all kinds have the same keys."""
    section, _, last = axis.key.partition(".")
    registry = standard().registry(section) if section in SECTIONS else None
    if last != "kind" or registry is None or not all(isinstance(kind, str) for kind in axis.values):
        return ""
    try:
        keys = {kind: configurable(find(registry, kind, folder).builder) for kind in axis.values}
    except ConfigError:  # the error is an unknown kind, for which this hint does not help
        return ""
    known = {key for parameters in keys.values() for key in parameters}
    if all(parameters.keys() == known for parameters in keys.values()):
        return ""
    tables = []
    for kind, parameters in keys.items():
        others = {"kind", *(known - parameters.keys())}
        given = {key: value for key, value in tree[section].items() if key not in others}
        missing = [key for key, one in parameters.items() if one.default is one.empty and key not in given]
        examples = suggested(kind, given.get("nodes"))
        table = {"kind": kind, **given, **{key: examples.get(key, "…") for key in missing}}
        tables.append(f"{{{','.join(f'{key}={toml.inline(value)}' for key, value in table.items())}}}")
    return f"kinds with keys of their own: --grid {shlex.quote(f'{section}={",".join(tables)}')}"


def lifted_numbers(run: GridRun) -> dict[tuple[str, str], float]:
    """Return the grid's numbers that become arguments of a program, not constants in it: (section, key) -> value.

    These are the numbers of the optimizer, and the probabilities and noise of the network. A value that switches a fault off
    stays constant, since a program without that fault is shorter.
    """
    lifted: dict[tuple[str, str], float] = {}
    optimizer = run.config.optimizer
    if run.config.in_events:  # runs by events have their own schedules and run one by one
        return lifted
    for key in run.values:
        section, _, name = key.partition(".")
        if section == "optimizer" and optimizer is not None and ":" not in optimizer.kind:
            value = _number_of(optimizer, name)
        elif section == "network" and name in LIFTED_NETWORK:
            value = getattr(run.config.network, name)
            value = None if value == (1 if name == "online" else 0) else value
        else:
            continue
        if isinstance(value, float):
            lifted[section, name] = value
    return lifted


def _number_of(optimizer: OptimizerSection, name: str) -> Any:
    """Return the value of a key of the optimizer that can be an array: of a learning rate's table, a rate alone."""
    from jaxgossip.learning.optimizers.rates import VALUES  # which loads JAX

    key, _, inner = name.partition(".")
    if inner:
        rate = optimizer.keywords().get(key)
        if not isinstance(rate, RateSection) or ":" in rate.kind or inner not in VALUES:
            return None
        return rate.keywords().get(inner)
    return getattr(optimizer, name) if name in OptimizerSection.model_fields else optimizer.keywords().get(name)


def _name(axes: Sequence[Axis], values: Sequence[Any], seed: int) -> str:
    parts = []
    for axis, value in zip(axes, values, strict=True):
        if isinstance(value, Mapping):
            parts.append(folder_name(value_text(value).replace("(", "").replace(")", "")))
        else:
            parts.append(value_text(value) if isinstance(value, str) else f"{axis.path[-1]}_{value_text(value)}")
    names = [part.rsplit("/", maxsplit=1)[-1] for part in parts]
    return folder_name("-".join([*names, f"seed_{seed}"]))
