"""Checks of the arguments of algorithms: the problem, the optimizer, the mixing and the compressor must fit together."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from jaxgossip.compression import COMPRESSORS, Compressor
from jaxgossip.core.arguments import described, fits, guarded, may_be_none, shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import Record
from jaxgossip.core.registry import nearest
from jaxgossip.core.typing import accumulator
from jaxgossip.learning import Dataset, Partition
from jaxgossip.learning.nodewise import check_optimizer
from jaxgossip.learning.optimizers import Transformation, layerwise
from jaxgossip.learning.optimizers.counts import check_counts
from jaxgossip.learning.problem import Problem, start_steps_of
from jaxgossip.mixing import Mixing, Operator, TimeVarying
from jaxgossip.mixing.time_varying.fragmented import Fragmented, VirtualNodes
from jaxgossip.topology import Graph

PROBLEM_ATTRIBUTES = ("n_nodes", "n_params", "n_shared", "dtype", "init", "gradient")
"""Attributes that every problem must have."""


def algorithm[**P, R](builder: Callable[P, R]) -> Callable[P, R]:
    """Decorate the builder of an algorithm with checks of the types, values and compatibility of its arguments.

    Raises:
        InputError: raised by the decorated builder if arguments are of a wrong type, out of range, or do not fit together.
    """
    return guarded(builder, functools.partial(_check_parts, may_be_none(builder, "optimizer")))


def _check_parts(without_optimizer: bool, name: str, given: Mapping[str, Any]) -> None:
    optimizer, W, problem = given.get("optimizer"), given.get("W"), given["problem"]
    check_problem(name, problem)
    if isinstance(optimizer, Operator | TimeVarying | Graph) or isinstance(W, optax.GradientTransformation):
        raise ArgumentTypeError(
            f"{name}: optimizer and W are the other way round", hint=f"the order is {name}(problem, optimizer, W)"
        )
    if "optimizer" in given and optimizer is None and without_optimizer:
        if steps := start_steps_of(problem):
            raise InputError(
                f"{name}: the problem has {steps} start steps, which are taken with an optimizer",
                hint="an optimizer, such as optax.sgd(0.1), or learning.start_steps = 0 (in Python: started(problem, 0))",
            )
    elif "optimizer" in given:
        check_optimizer(layerwise(problem, optimizer), problem.n_params, accumulator(problem.dtype))
    if given.get("outer") is not None:
        check_optimizer(layerwise(problem, given["outer"]), problem.n_params, accumulator(problem.dtype))
    if "W" in given:
        fits("mixing", checked_mixing(name, W).n_nodes, "a problem", problem.n_nodes)
    if "compressor" in given:
        check_compressor(name, given["compressor"])
        check_whole_rows(name, W)


def with_layerwise[M: Record](method: M, problem: Problem, name: str) -> M:
    """Return the method, called ``name``, with its optimizers applied to the pytrees of the models, if rows hold such.

    Raises:
        InputError: learning rates count what the method does not have.
    """
    fields = {field: layerwise(problem, value) for field, value in vars(method).items()}
    for value in fields.values():
        if isinstance(value, Transformation):
            row = jax.ShapeDtypeStruct((problem.n_params,), accumulator(problem.dtype))
            check_counts(name, value, row, getattr(method, "counts", ()))
    changed = {field: value for field, value in fields.items() if value is not getattr(method, field)}
    return dataclasses.replace(method, **changed) if changed else method  # pyright: ignore[reportArgumentType] - a dataclass


def check_problem(name: str, problem: Any) -> None:
    """Check that ``problem`` has the attributes of a problem.

    Raises:
        ArgumentTypeError: it does not.
    """
    if all(hasattr(problem, attribute) for attribute in PROBLEM_ATTRIBUTES):
        return
    hint = "jg.learning.classification(data, partition, model), or another problem of jg.learning"
    if isinstance(problem, Dataset | Partition):
        hint = "jg.learning.classification(data, partition, model)"
    raise ArgumentTypeError(f"{name}: {shown(problem)} is no problem", hint=hint)


def checked_mixing(name: str, W: Any) -> Mixing:
    """Return W if it is an operator or time-varying mixing.

    Raises:
        ArgumentTypeError: it is neither.
    """
    if isinstance(W, Operator | TimeVarying):
        return W
    if isinstance(W, Graph):
        hint = "jg.mixing.metropolis_hastings(graph), or other weights of jg.mixing"
    elif hasattr(W, "edge") and hasattr(W, "self_weight"):
        hint = "jg.mixing.operator(weights)"
    elif hasattr(W, "shape"):
        hint = "jg.mixing.operator(jg.topology.weights.from_matrix(matrix))"
    elif hasattr(W, "nodes") and hasattr(W, "edges"):
        hint = "jg.mixing.metropolis_hastings(jg.topology.from_networkx(graph))"
    elif isinstance(W, str):
        hint = f"jg.mixing.{W}(graph)" if W.isidentifier() else "jg.mixing.metropolis_hastings(graph)"
    else:
        hint = "jg.mixing.metropolis_hastings(graph), or other mixing of jg.mixing"
    raise ArgumentTypeError(f"{name}: {shown(W)} is no mixing", hint=hint)


def check_whole_rows(name: str, W: Any) -> None:
    """Check that W mixes whole rows, for methods whose messages have other parts of a row, or other forms of it.

    Raises:
        InputError: it mixes fragments, each by itself.
    """
    if isinstance(W, Fragmented | VirtualNodes):
        raise InputError(
            f"{name} needs mixing of whole rows: its messages are parts of rows or compressed, not fragments",
            hint="mixing.kind = 'static' or another without fragments, or algorithm.kind = 'dsgd'",
        )


def check_at_least_one(what: str, **values: int) -> None:
    """Check that ``values``, given by name, are at least 1.

    Args:
        what: the function whose arguments they are, as named in messages.
        values: the arguments.

    Raises:
        InputError: one of them is not.
    """
    for name, value in values.items():
        if value < 1:
            raise InputError(f"{what}: {name} must be at least 1, not {value}")


def check_positive(what: str, **values: float) -> None:
    """Check that ``values``, given by name, are positive; as in :func:`check_at_least_one`.

    Raises:
        InputError: one of them is not.
    """
    for name, value in values.items():
        if value <= 0:
            raise InputError(f"{what}: {name} must be positive, not {value}")


def check_below_one(what: str, **values: float) -> None:
    """Check that ``values``, given by name, are at least 0 and below 1; as in :func:`check_at_least_one`.

    Raises:
        InputError: one of them is not.
    """
    for name, value in values.items():
        if not 0 <= value < 1:
            raise InputError(f"{what}: {name} must be at least 0 and below 1, not {value}")


def check_compressor(name: str, compressor: Any) -> None:
    """Check that ``compressor`` is a Compressor.

    Raises:
        ArgumentTypeError: it is not.
    """
    if isinstance(compressor, Compressor):
        return
    if isinstance(compressor, str):
        hint = f"{nearest(compressor, COMPRESSORS)}; call one: jg.compression.top_k(fraction=0.1)"
    elif callable(compressor):
        hint = f"call it: jg.compression.{getattr(compressor, '__name__', 'top_k')}(…)"
    else:
        hint = "jg.compression.top_k(fraction=0.1), or another of jg.compression"
    shown_as = shown(compressor) if isinstance(compressor, str) else described(compressor)
    raise ArgumentTypeError(f"{name}: {shown_as} is no compressor", hint=hint)
