"""Checks of the arguments of a problem: data set, model and partition."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgossip.core.arguments import described, shown, whole
from jaxgossip.core.errors import ArgumentTypeError, DataError, InputError
from jaxgossip.core.registry import nearest
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.models.model import Model
from jaxgossip.learning.partitions import BY_CLASS, PARTITIONS
from jaxgossip.learning.partitions.partition import Partition

SUPPLIED = ("labels", "n_nodes", "owners", "rng")
"""Arguments of a partition function that the caller supplies, and so not options."""


def resolve_partition(
    dataset: Dataset,
    partition: Partition | str | Callable[..., Partition],
    nodes: int | None,
    rng: np.random.Generator | int,
    options: Mapping[str, Any],
    parameters: Sequence[str] = (),
) -> Partition:
    """Return the partition of ``dataset``'s training samples: a finished one, checked, or one built from a name or function.

    Args:
        dataset: the data set whose training samples are divided.
        partition: a partition of these samples; or a name or function (labels, n_nodes, rng=…, **options) -> partition.
        nodes: number of nodes; None takes that of a finished partition.
        rng: generator, or its seed, that divides the samples.
        options: keywords of the partition function.
        parameters: the caller's own parameters, of which an unknown option may be a misspelling.

    Raises:
        DataError: a partition of other samples or nodes.
        InputError: no number of nodes, an unknown name or option, or an object that is no partition function.
    """
    if not isinstance(partition, Partition):
        partition = _build_partition(dataset, partition, nodes, rng, options, parameters)
    elif options:
        _check_spelling(next(iter(options)), parameters)
        raise ArgumentTypeError(
            f"classification has no parameter '{next(iter(options))}'",
            hint="options divide samples: give them with partition='dirichlet' or another name, in place of a partition",
        )
    partition.check_table(dataset.name, dataset.y_train)
    if nodes is not None and partition.n_nodes != nodes:
        raise DataError(f"a partition over {partition.n_nodes:,} nodes does not fit {nodes:,} nodes")
    return partition


def _build_partition(
    dataset: Dataset,
    partition: Any,
    nodes: int | None,
    rng: np.random.Generator | int,
    options: Mapping[str, Any],
    parameters: Sequence[str],
) -> Partition:
    names = f"partition is a name ({', '.join(PARTITIONS)}), a Partition, or what divides labels"
    if not (isinstance(partition, str) or callable(partition)):
        raise ArgumentTypeError(f"{described(partition)} is no partition of {dataset.name}", hint=names)
    if nodes is None:
        raise InputError(f"{dataset.name} is to be divided over how many nodes?", hint="nodes=graph.n_nodes")
    n_nodes = whole("classification", "nodes", nodes, 1)
    builder = PARTITIONS.resolve(partition) if isinstance(partition, str) else partition
    taken = inspect.signature(builder).parameters
    allowed = [name for name in taken if name not in SUPPLIED]
    takes_any = any(parameter.kind == parameter.VAR_KEYWORD for parameter in taken.values())
    unknown = [name for name in options if name not in allowed]
    if unknown and not takes_any:
        _check_spelling(unknown[0], [name for name in parameters if name not in allowed])
        name = partition if isinstance(partition, str) else getattr(builder, "__name__", "partition")
        raise ArgumentTypeError(f"partition '{name}' has no option '{unknown[0]}'", hint=nearest(unknown[0], allowed))
    if "rng" not in taken and not takes_any:
        raise ArgumentTypeError(
            f"{described(builder)} takes no rng", hint="it divides as (labels, n_nodes, rng) -> Partition"
        )
    owners = {"owners": dataset.owners} if "owners" in taken else {}
    built = builder(labels_of(dataset, builder), n_nodes, rng=rng, **owners, **options)
    if not isinstance(built, Partition):
        given = f"{partition} returned {described(built)}, which" if isinstance(partition, str) else described(built)
        raise ArgumentTypeError(f"{given} is no partition of {dataset.name}", hint=names)
    return built


def labels_of(dataset: Dataset, builder: Callable[..., object]) -> np.ndarray:
    """Return what a partition function divides: the classes of the training samples, or zeros where they have none.

    Raises:
        InputError: the function divides by classes, and the targets are none.
    """
    if dataset.target == "class":
        return np.asarray(dataset.y_train)
    if builder in BY_CLASS:
        raise InputError(
            f"partition '{getattr(builder, '__name__', 'of yours')}' divides classes, and {dataset.name} has none",
            hint="iid, quantity_skew and by_owner take targets of any kind",
        )
    return np.zeros(len(dataset.y_train), np.int32)


def _check_spelling(option: str, parameters: Sequence[str]) -> None:
    """Raise ArgumentTypeError if an option looks like a misspelt parameter of the caller."""
    close = difflib.get_close_matches(option, parameters, n=1, cutoff=0.75)
    if close:
        raise ArgumentTypeError(f"classification has no parameter '{option}'", hint=f"did you mean '{close[0]}'?")


def check_dataset(dataset: Any) -> None:
    """Raise ArgumentTypeError unless ``dataset`` is a Dataset, with a hint at how to make one."""
    if isinstance(dataset, Dataset):
        return
    hint = "Dataset, from_arrays(x, y), load_file(path), or one of jg.learning.datasets"
    if isinstance(dataset, str):
        hint = f"jg.learning.datasets.{dataset}()" if dataset.isidentifier() else f"jg.learning.load_file({dataset!r})"
    elif isinstance(dataset, Partition):
        hint = "the order is classification(dataset, partition, model)"
    elif callable(dataset):
        hint = "call it: jg.learning.datasets.spambase()"
    elif hasattr(dataset, "shape"):
        hint = "jg.learning.from_arrays(x, y)"
    raise ArgumentTypeError(f"{shown(dataset)} is no data set", hint=hint)


def check_model(model: Any) -> None:
    """Raise ArgumentTypeError unless ``model`` is a Model, with a hint at how to make one."""
    if isinstance(model, Model):
        return
    modules = [base.__module__ for base in (model if isinstance(model, type) else type(model)).__mro__]
    packages = {module.partition(".")[0] for module in modules}
    if any(module.startswith("flax.nnx") for module in modules):
        hint = (
            "graph, params, rest = nnx.split(module, nnx.Param, ...), then from_functions(lambda key: params, "
            "lambda p, x: nnx.merge(graph, p, rest)(x))"
        )
    elif "flax" in packages:
        hint = (
            "from_functions(lambda key: module.init(key, x)['params'], lambda p, x: module.apply({'params': p}, x)), "
            "x being some samples"
        )
    elif "equinox" in packages:
        hint = (
            "params, static = eqx.partition(module, eqx.is_inexact_array), then from_functions(lambda key: params, "
            "lambda p, x: jax.vmap(eqx.combine(p, static))(x))"
        )
    elif hasattr(model, "init") and hasattr(model, "apply"):
        hint = "from_functions(lambda key: model.init(key, x), lambda p, x: model.apply(p, …, x))"
    elif isinstance(model, str):
        hint = f"jg.learning.models.{model}(input_shape, n_classes)" if model.isidentifier() else "jg.learning.models"
    elif isinstance(model, tuple) and len(model) == 2:
        hint = "jg.learning.from_functions(init, apply)"
    else:
        hint = "one of jg.learning.models, called with input_shape and n_classes; or from_functions(init, apply)"
    raise ArgumentTypeError(f"{shown(model)} is no model", hint=hint)
