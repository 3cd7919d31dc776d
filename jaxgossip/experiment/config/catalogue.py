"""All that a configuration can name, room by room, in one value that tests and users can replace."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.core.files import absolute
from jaxgossip.core.registry import Builder, Registry, load_object, nearest


@dataclass(frozen=True)
class Catalogue:
    """The registries behind the keys of a configuration.

    Attributes:
        topology: ``topology.kind``.
        mixing: ``mixing.kind``.
        dataset: ``learning.dataset``, data sets by name.
        task: ``learning.dataset``, tasks that need neither model nor partition.
        datafile: ``learning.dataset``, readers of files; each is registered by the suffix it reads, without the dot.
        model: ``learning.model``.
        partition: ``partition.kind``.
        algorithm: ``algorithm.kind``.
        optimizer: ``optimizer.kind``.
        compression: ``compression.kind``.
        adversary: ``adversary.kind``.
        aggregation: ``aggregation.kind``.
        speeds: ``speeds.kind``.
        protocol: ``algorithm.kind`` as well: what runs on a schedule of events.
        clock: ``clock.kind``.
        peers: ``peers.kind``.
        delay: ``delay.kind``.
        churn: ``churn.kind``.
        tokens: ``tokens.kind``.
    """

    topology: Registry
    mixing: Registry
    dataset: Registry
    task: Registry
    datafile: Mapping[str, Builder]
    model: Registry
    partition: Registry
    algorithm: Registry
    optimizer: Registry
    compression: Registry
    adversary: Registry
    aggregation: Registry
    speeds: Registry
    protocol: Registry
    clock: Registry
    peers: Registry
    delay: Registry
    churn: Registry
    tokens: Registry

    def registry(self, section: str) -> Registry:
        """Return what ``kind`` can name in a section."""
        if section == "algorithm":
            return Registry("algorithm", {**self.algorithm, **self.protocol})
        return getattr(self, section)


@dataclass(frozen=True)
class Found:
    """A builder that a configuration names.

    Attributes:
        name: the name as a resolved configuration has it: the user's own files with absolute paths.
        builder: what the name stands for.
    """

    name: str
    builder: Builder


def find(registry: Registry, name: str, folder: Path) -> Found:
    """Return the builder called ``name``: registered, or the user's own as 'file.py:function'.

    Args:
        registry: where registered names are.
        name: the name.
        folder: where a relative path starts.

    Raises:
        ConfigError: unknown name, no such file or function, or a file that fails when it is imported.
    """
    where, colon, function = name.rpartition(":")
    if not colon:
        return Found(name, registry[name])
    if where.endswith(".py"):
        where = str(absolute(where, folder))
    try:
        return Found(f"{where}:{function}", load_object(f"{where}:{function}", folder))
    except ConfigError:
        raise
    except Exception as error:  # the user's own file may raise whatever it likes
        raise ConfigError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error


def find_dataset(catalogue: Catalogue, name: str, folder: Path, written: str | None = None) -> Found:
    """Return the data set called ``name``: registered, a file, or the user's own as 'file.py:function'.

    Args:
        catalogue: where registered names and readers are.
        name: the name.
        folder: where a relative path starts.
        written: the format of a file; None tells it by the file's suffix or content.

    Raises:
        ConfigError: unknown name, no such file, or a file of a kind that cannot be read.
    """
    from jaxgossip.learning.data.files import file_format

    known = [*catalogue.dataset, *catalogue.task]
    if written is not None and (":" in name or name in known):
        raise ConfigError(f"'{name}' is no file, and has no format", hint="remove learning.format")
    if ":" in name:
        return find(catalogue.dataset, name, folder)
    if name in list(catalogue.task):
        return Found(name, catalogue.task[name])
    if name in list(catalogue.dataset):
        return Found(name, catalogue.dataset[name])
    path, readers = absolute(name, folder), list(catalogue.datafile)
    if not path.exists():
        if "/" not in name and Path(name).suffix.removeprefix(".").lower() not in [*readers, "gz", "data", "txt"]:
            hint = f"{nearest(name, known)}; or the path of a file; or your own as 'file.py:function'"
            raise ConfigError(f"unknown dataset '{name}'", hint=hint)
        raise ConfigError(f"no such file: {path}", hint="a relative path starts at the configuration's folder")
    try:
        suffix = written or file_format(path)
    except InputError as error:
        raise ConfigError(error.message, hint=error.hint) from error
    if suffix not in readers:
        raise ConfigError(f"{path}: no reader for files '.{suffix}'", hint=nearest(suffix, readers))
    return Found(str(path), catalogue.datafile[suffix])


def takes(builder: Builder, key: str) -> bool:
    """Return whether a builder has a parameter called ``key``."""
    return key in inspect.signature(builder).parameters


def owners(registry: Mapping[str, Builder], key: str) -> list[str]:
    """Return the names of the builders that have a parameter called ``key``."""
    return [name for name, builder in registry.items() if takes(builder, key)]


def standard() -> Catalogue:
    """Return the catalogue of jaxgossip's own registries."""
    from jaxgossip import algorithms, compression, learning, mixing, network, schedule, topology

    learn: Any = learning
    return Catalogue(
        topology=topology.TOPOLOGIES,
        mixing=mixing.MIXINGS,
        dataset=learn.DATASETS,
        task=learn.TASKS,
        datafile=learn.DATAFILES,
        model=learn.MODELS,
        partition=learn.PARTITIONS,
        algorithm=algorithms.ALGORITHMS,
        optimizer=learn.OPTIMIZERS,
        compression=compression.COMPRESSORS,
        adversary=network.ADVERSARIES,
        aggregation=network.AGGREGATIONS,
        speeds=network.SPEEDS,
        protocol=algorithms.PROTOCOLS,
        clock=schedule.CLOCKS,
        peers=schedule.PEERS,
        delay=schedule.DELAYS,
        churn=schedule.CHURNS,
        tokens=schedule.TOKEN_ACCOUNTS,
    )
