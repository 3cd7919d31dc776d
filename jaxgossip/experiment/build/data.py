"""The data set of a configuration, and its division over nodes."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from jaxgossip.core.arguments import fits
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.random import host_rng
from jaxgossip.experiment.build.builders import Builder, Shared, errors_of
from jaxgossip.experiment.config.catalogue import find_dataset, standard
from jaxgossip.experiment.config.learning import Classification
from jaxgossip.experiment.config.sections import Config
from jaxgossip.learning import PARTITIONS, Dataset, Partition, partitions
from jaxgossip.learning.partitions.arguments import labels_of


def divided(config: Config, learning: Classification, n_nodes: int, part: Builder) -> tuple[Dataset, Partition]:
    """Return the data set, and which samples each node has; read once where the mixing, too, is learnt from it.

    Raises:
        InputError: one of them cannot be built.
    """
    if config.mixing is None or "class_shares" not in config.mixing.builder_takes:
        return _divided(config, learning, n_nodes, part)
    key = ("data", *data_key(config), n_nodes)
    return part.shared.get(key, lambda: _divided(config, learning, n_nodes, part))


def _divided(config: Config, learning: Classification, n_nodes: int, part: Builder) -> tuple[Dataset, Partition]:
    assert config.partition is not None
    reader = find_dataset(standard(), learning.dataset, Path.cwd(), learning.format).builder
    path: dict[str, Any] = {} if ":" in learning.dataset else {"path": learning.dataset}
    dataset = part.call(
        "learning", learning.dataset, reader, learning.dataset_options, Dataset,
        test_fraction=learning.test_fraction, standardize=learning.standardize, rng=host_rng(config.seed, "data"), **path,
        table="learning.dataset_options",
    )  # fmt: skip
    with errors_of("partition", config.partition.kind):
        labels = labels_of(dataset, part.resolve(PARTITIONS, config.partition.kind))
    partition = part.section(
        "partition", config.partition, PARTITIONS, Partition,
        labels=labels, owners=dataset.owners, n_nodes=n_nodes, rng=host_rng(config.seed, "partition"),
    )  # fmt: skip
    with errors_of("partition", config.partition.kind):
        fits("a partition", partition.n_nodes, "a network", n_nodes)
    return dataset, partition


def class_shares(config: Config, n_nodes: int, shared: Shared) -> Float64[np.ndarray, "n C"] | None:
    """Return (n, C), the share of each class on each node, if the mixing of a configuration is learnt from them; else None.

    They are those of the samples that nodes have: liars that flip labels tell the truth here.

    Raises:
        InputError: the data cannot be built, or their targets are no classes.
    """
    mixing, learning = config.mixing, config.learning
    if mixing is None or "class_shares" not in mixing.builder_takes or not isinstance(learning, Classification):
        return None

    def shares() -> Float64[np.ndarray, "n C"]:
        dataset, partition = divided(config, learning, n_nodes, Builder(config.seed, shared))
        if dataset.target != "class":
            raise ConfigError(
                f"mixing: '{mixing.kind}' is learnt from the classes on nodes, and {dataset.name} has none",
                hint="choose another kind, or a data set of classes",
            )
        return partitions.class_shares(partition, np.asarray(dataset.y_train))

    return shared.get(("class shares", *data_key(config), n_nodes), shares)


def data_key(config: Config) -> tuple[Any, ...]:
    """Return what determines the data and their division, besides the number of nodes."""
    return config.learning, config.partition, config.seed
