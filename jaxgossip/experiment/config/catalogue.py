"""The catalogue of everything that a configuration can name, as one value that tests and users can replace."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.core.files import absolute
from jaxgossip.core.registry import Builder, Registry, load_object, nearest

NETS = ("flax", "equinox")
"""Libraries of the extra 'nets', which a user's own file may import."""


@dataclass(frozen=True)
class Catalogue:
    """The registries behind the keys of a configuration.

    Attributes:
        topology: ``topology.kind``.
        mixing: ``mixing.kind``.
        dataset: ``learning.dataset``, data sets by name.
        task: ``learning.dataset``, tasks that need neither model nor partition.
        datafile: ``learning.dataset``, readers of files, each registered under the suffix that it reads, without the dot.
        model: ``learning.model``.
        augmentation: ``learning.augment``.
        partition: ``partition.kind``.
        algorithm: ``algorithm.kind``.
        optimizer: ``optimizer.kind``.
        rate: ``optimizer.learning_rate.kind``, ``outer.learning_rate.kind``.
        compression: ``compression.kind``.
        adversary: ``adversary.kind``.
        aggregation: ``aggregation.kind``.
        speeds: ``speeds.kind``.
        energy: ``energy.kind``.
        protocol: ``algorithm.kind`` as well, algorithms that run on a schedule of events.
        clock: ``clock.kind``.
        peers: ``peers.kind``.
        delay: ``delay.kind``.
        churn: ``churn.kind``.
        tokens: ``tokens.kind``.
        contacts: ``contacts.kind``.
    """

    topology: Registry
    mixing: Registry
    dataset: Registry
    task: Registry
    datafile: Mapping[str, Builder]
    model: Registry
    augmentation: Registry
    partition: Registry
    algorithm: Registry
    optimizer: Registry
    rate: Registry
    compression: Registry
    adversary: Registry
    aggregation: Registry
    speeds: Registry
    energy: Registry
    protocol: Registry
    clock: Registry
    peers: Registry
    delay: Registry
    churn: Registry
    tokens: Registry
    contacts: Registry

    def registry(self, section: str) -> Registry:
        """Return the registry of the kinds of a section."""
        if section == "algorithm":
            return Registry("algorithm", {**self.algorithm, **self.protocol})
        if section == "outer":
            return self.optimizer
        return getattr(self, section)


@dataclass(frozen=True)
class NamedBuilder:
    """A builder that a configuration names.

    Attributes:
        name: the name as in a resolved configuration, with absolute paths of the user's own files.
        builder: the builder.
    """

    name: str
    builder: Builder


def find(registry: Registry, name: str, folder: Path) -> NamedBuilder:
    """Return the builder called ``name``: registered, or the user's own as 'file.py:function'.

    Args:
        registry: the registered builders.
        name: the name.
        folder: what a relative path is relative to.

    Raises:
        ConfigError: the name is unknown, the file or function does not exist, or the file cannot be imported.
    """
    where, colon, function = name.rpartition(":")
    if not colon:
        return NamedBuilder(name, registry[name])
    if where.endswith(".py"):
        where = str(absolute(where, folder))
    try:
        return NamedBuilder(f"{where}:{function}", load_object(f"{where}:{function}", folder))
    except ConfigError:
        raise
    except Exception as error:  # the user's own file can raise any exception
        net = isinstance(error, ImportError) and (error.name or "").partition(".")[0] in NETS
        hint = 'pip install "jaxgossip[nets]"' if net else ""
        raise ConfigError(f"{where} cannot be imported: {type(error).__name__}: {error}", hint=hint) from error


def find_dataset(catalogue: Catalogue, name: str, folder: Path, written: str | None = None) -> NamedBuilder:
    """Return the data set called ``name``: registered, a file, or the user's own as 'file.py:function'.

    Args:
        catalogue: the registered data sets, tasks and readers.
        name: the name.
        folder: what a relative path is relative to.
        written: the format of a file; if None, it is recognised by suffix or content.

    Raises:
        ConfigError: the name is unknown, the file does not exist, its format is not supported, or a format is given for
            what is not a file.
    """
    from jaxgossip.learning.data.readers.cifar import absent
    from jaxgossip.learning.data.readers.files import file_format

    known = [*catalogue.dataset, *catalogue.task]
    if written is not None and (":" in name or name in known):
        raise ConfigError(f"'{name}' is no file, and has no format", hint="remove learning.format")
    if ":" in name:
        return find(catalogue.dataset, name, folder)
    if name in list(catalogue.task):
        return NamedBuilder(name, catalogue.task[name])
    if name in list(catalogue.dataset):
        return NamedBuilder(name, catalogue.dataset[name])
    path, readers = absolute(name, folder), list(catalogue.datafile)
    if not path.exists():
        if (error := absent(path)) is not None:
            raise ConfigError(error.message, hint=error.hint)
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
    return NamedBuilder(str(path), catalogue.datafile[suffix])


def takes(builder: Builder, key: str) -> bool:
    """Return whether a builder has a parameter called ``key``."""
    return key in inspect.signature(builder).parameters


def decides(builder: Builder, key: str) -> bool:
    """Return whether a builder itself decides on its parameter ``key``, whose default is then None."""
    parameter = inspect.signature(builder).parameters.get(key)
    return parameter is not None and parameter.default is None


def not_taken(name: str, key: str) -> str:
    """Return a hint for a common key that the data set called ``name`` does not take."""
    from jaxgossip.learning.data.readers.files import NOT_TAKEN

    return f"remove it, or take {key} in the function" if ":" in name else NOT_TAKEN.get(key, "remove it")


def owners(registry: Mapping[str, Builder], key: str) -> list[str]:
    """Return the names of the builders that have a parameter called ``key``."""
    return [name for name, builder in registry.items() if takes(builder, key)]


def standard() -> Catalogue:
    """Return the catalogue of the built-in registries."""
    from jaxgossip import algorithms, compression, learning, mixing, network, schedule, topology

    learn: Any = learning
    return Catalogue(
        topology=topology.TOPOLOGIES,
        mixing=mixing.MIXINGS,
        dataset=learn.DATASETS,
        task=learn.TASKS,
        datafile=learn.DATAFILES,
        model=learn.MODELS,
        augmentation=learn.AUGMENTATIONS,
        partition=learn.PARTITIONS,
        algorithm=algorithms.ALGORITHMS,
        optimizer=learn.OPTIMIZERS,
        rate=learn.RATES,
        compression=compression.COMPRESSORS,
        adversary=network.ADVERSARIES,
        aggregation=network.AGGREGATIONS,
        speeds=network.SPEEDS,
        energy=network.ENERGIES,
        protocol=algorithms.PROTOCOLS,
        clock=schedule.CLOCKS,
        peers=schedule.PEERS,
        delay=schedule.DELAYS,
        churn=schedule.CHURNS,
        tokens=schedule.TOKEN_ACCOUNTS,
        contacts=schedule.CONTACTS,
    )
