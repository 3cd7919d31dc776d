"""Checks of the arguments of builders, with the messages for arguments that cannot be used.

Numbers must be finite: NaN and infinity fail every check. Whole numbers must fit 32 bits, like all counters on the device.
"""

import contextlib
import dataclasses
import functools
import inspect
import math
import os
import re
import types
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.registry import nearest

MOST = 2**31 - 1
"""Largest int32, in which rounds, nodes, samples and steps are counted."""
MOST_SEED = 2**64 - 1
"""Largest seed: a JAX key is two words of 32 bits."""
COUNTS = ("n_nodes", "n_classes", "input_shape")
"""Parameters that count something of which there is at least one, whatever the builder."""
CONSTRUCTOR_HINTS: Mapping[str, str] = types.MappingProxyType(
    {
        "Graph": "jg.topology.ring(nodes), from_networkx(graph), from_scipy(matrix) or edge_list(path) make one",
        "Weights": "jg.topology.weights.metropolis_hastings(graph) or from_matrix(matrix) make some",
        "Clock": "jg.schedule.clocks.fixed(n_nodes, rng) makes one",
        "Churn": "jg.schedule.churn.coin(n_nodes, rng, online=0.9) makes one",
        "Delay": "jg.schedule.delays.constant(seconds=0.1) makes one",
        "ContactSource": "jg.schedule.contacts.random_waypoint(n_nodes, rng, side_m=1e3, range_m=10.0) makes one",
        "Peers": "jg.schedule.peers.uniform(graph) makes one",
        "TokenAccount": "jg.schedule.tokens.simple() makes one",
        "Energy": "jg.network.energy.constant(n_nodes) makes some",
        "Speeds": "jg.network.speeds.constant(n_nodes) makes some",
        "Order": "graph.order is one, or None",
        "Dataset": "jg.learning.from_arrays(x, y) makes one",
        "Partition": "jg.learning.partitions.iid(labels, n_nodes) makes one",
        "DifferentialPrivacy": "jg.learning.DifferentialPrivacy(clip, noise_multiplier) makes one",
    }
)
"""How to construct a value of a class that messages ask for, by the name of the class."""


def guarded[**P, R](
    builder: Callable[P, R], also: Callable[[str, Mapping[str, Any]], None] | None = None, name: str = ""
) -> Callable[P, R]:
    """Return ``builder`` with its arguments checked against the annotations of its signature.

    An ``int`` must be a whole number that fits 32 bits, one of ``COUNTS`` at least 1, a ``float`` a finite number, and a
    ``Literal`` one of its values. The builder checks other bounds itself, and may rely on every number being comparable; it
    gets its ``rng`` as a generator, whether the caller gave that or a seed.

    Args:
        builder: a function with annotated parameters.
        also: (name of the builder, arguments by name) -> None, a further check that only the builder's room can make.
        name: name of the builder in messages; its own if empty.
    """
    signature = inspect.signature(builder)
    name = name or getattr(builder, "__name__", "builder")

    @functools.wraps(builder)
    def check(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentTypeError(f"{name}: {error}", hint=usage(builder, name)) from error
        given = bound.arguments
        if also is not None:
            also(name, given)
        for parameter, value in given.items():
            if parameter == "rng":
                given[parameter] = generator(name, value)
            else:
                plain(name, parameter, value, signature.parameters[parameter].annotation)
        return builder(*bound.args, **bound.kwargs)

    check.__name__ = name
    return check


def usage(builder: Callable[..., Any], name: str) -> str:
    """Return the signature of a function called ``name``, without annotations and defaults, for hints."""
    names, keyword_only = [], False
    for parameter in inspect.signature(builder).parameters.values():
        if parameter.kind == parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            names.append("*")
        names.append(f"**{parameter.name}" if parameter.kind == parameter.VAR_KEYWORD else parameter.name)
    return f"{name}({', '.join(names)})"


def may_be_none(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function can be called without its parameter ``name``, or with None for it."""
    parameter = inspect.signature(function).parameters.get(name)
    if parameter is None or parameter.default is not parameter.empty:
        return True
    annotation = parameter.annotation
    if isinstance(annotation, str):  # not evaluated: it may name what is there for type checkers only
        return annotation.startswith("Optional[") or "None" in re.split(r"\s*\|\s*", annotation)
    return types.NoneType in get_args(annotation)


def plain(what: str, name: str, value: Any, annotation: Any) -> None:
    """Check a value against an annotation; annotations of other types accept any value.

    Args:
        what: owner of the parameter, as named in messages.
        name: name of the parameter.
        value: the caller's value.
        annotation: ``int``, ``float``, ``bool``, ``str``, ``Path``, a function, a ``Literal``, one of these or None, a list
            or tuple of these, or a class with an entry in ``CONSTRUCTOR_HINTS``.

    Raises:
        InputError: the value does not match.
    """
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        plain(what, name, value, members[0])
    elif origin in (Union, types.UnionType):
        others = [member for member in members if member is not types.NoneType]
        if value is None and len(others) < len(members):
            return
        if len(others) == 1 or Path in others:
            plain(what, name, value, Path if Path in others else others[0])
        elif set(others) == {int, str} and not _is_name_or_whole(value):
            raise ArgumentTypeError(f"{what}: {name} must be a name or a whole number, not {shown(value)}")
    elif origin is Literal:
        if not (isinstance(value, str | int) and value in members):
            hint = nearest(value, [*map(str, members)]) if isinstance(value, str) else ", ".join(map(repr, members))
            raise InputError(f"{what}: {name} cannot be {shown(value)}", hint=hint)
    elif name == "seed" and annotation is int:
        whole(what, name, value, 0, MOST_SEED)
    elif (origin is tuple and len(members) == 2 and members[1] is ...) or origin in (list, Sequence):
        _check_elements(what, name, value, members[0])
    elif annotation is int:
        whole(what, name, value, 1 if name.partition("[")[0] in COUNTS else -MOST - 1)
    elif annotation is float and not _is_scalar_array(value):
        number(what, name, value, least=-math.inf)
    elif annotation is Path and not isinstance(value, str | os.PathLike):
        raise ArgumentTypeError(f"{what}: {name} must be a path, not {shown(value)}")
    elif origin is Callable and not callable(value):
        raise ArgumentTypeError(f"{what}: {name} must be a function, not {shown(value)}")
    elif annotation in (bool, str) and not isinstance(value, annotation) and not _is_scalar_array(value):
        wanted = "True or False" if annotation is bool else "a string"
        raise ArgumentTypeError(f"{what}: {name} must be {wanted}, not {shown(value)}")
    elif (
        isinstance(annotation, type) and annotation.__name__ in CONSTRUCTOR_HINTS and not isinstance(value, annotation)
    ):
        wanted = described_as(annotation.__name__)
        hint, given, kind = CONSTRUCTOR_HINTS[annotation.__name__], shown(value), type(value)
        if given == wanted:  # another library's class of the same name
            given = f"{described_as(kind.__name__)} of {kind.__module__.partition('.')[0]}"
        raise ArgumentTypeError(f"{what}: {name} must be {wanted}, not {given}", hint=hint)


def check_fields(what: str, instance: Any) -> None:
    """Check the fields of a dataclass against their annotations, as :func:`plain` does."""
    for field in dataclasses.fields(instance):
        plain(what, field.name, getattr(instance, field.name), field.type)


def reals(what: str, name: str, values: Any) -> np.ndarray:
    """Return ``values`` as a float64 array; raise ArgumentTypeError unless they are numbers."""
    if values is not None:
        with contextlib.suppress(TypeError, ValueError):
            return np.asarray(values, np.float64)
    raise ArgumentTypeError(f"{what}: {name} must be numbers, not {shown(values)}")


def listed(what: str, name: str, values: Any) -> None:
    """Raise ArgumentTypeError unless ``values`` is a list, a tuple or an array."""
    if isinstance(values, str) or not (isinstance(values, Sequence) or hasattr(values, "tolist")):
        raise ArgumentTypeError(f"{what}: {name} must be a list, not {shown(values)}")


def _check_elements(what: str, name: str, values: Any, annotation: Any) -> None:
    """Check each element of a list against an annotation."""
    listed(what, name, values)
    for place, value in enumerate(values):
        plain(what, f"{name}[{place}]", value, annotation)


def generator(what: str, rng: Any) -> np.random.Generator:
    """Return ``rng`` as a NumPy generator: itself, or one of the seed that it is.

    Args:
        what: owner of the parameter, as named in messages.
        rng: the caller's value.

    Raises:
        InputError: it is neither a generator nor a seed.
    """
    message = f"{what}: rng must be a generator or a seed of at least 0, not {shown(rng)}"
    if isinstance(rng, str | float | bool) or (isinstance(rng, Integral) and rng < 0):
        raise InputError(message)
    seed: Any = rng
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(message, hint="rng=0, or numpy.random.default_rng(0)") from error


def number(
    what: str, name: str, value: Any, *, least: float = 0.0, above: bool = False, most: float = math.inf
) -> float:
    """Return ``value`` as a finite float in [``least``, ``most``], or in (``least``, ``most``] if ``above``.

    Args:
        what: owner of the parameter, as named in messages.
        name: name of the parameter.
        value: the caller's value.
        least: lower bound; -infinity for none.
        above: whether ``least`` itself is excluded.
        most: upper bound; infinity for none.

    Raises:
        InputError: the number is out of bounds or not finite.
        ArgumentTypeError: the value is not a number.
    """
    if not is_number(value):
        raise ArgumentTypeError(f"{what}: {name} must be a number, not {shown(value)}")
    if math.isfinite(value) and (value > least if above else value >= least) and value <= most:
        return float(value)
    if not math.isfinite(value) and math.isinf(most) and math.isinf(least):
        raise InputError(f"{what}: {name} must be a finite number, not {value}")
    if math.isfinite(most) and not above:
        raise InputError(f"{what}: {name} must be from {least:g} to {most:g}, not {value}")
    upper = f" and at most {most:g}" if math.isfinite(most) else ""
    raise InputError(f"{what}: {name} must be {'above' if above else 'at least'} {least:g}{upper}, not {value}")


def numbers(what: str, values: dict[str, Any], *, least: float = 0.0, above: bool = False) -> None:
    """Check several parameters, given by name, against the same bounds; see :func:`number`."""
    for name, value in values.items():
        number(what, name, value, least=least, above=above)


def whole(what: str, name: str, value: Any, least: int, most: int = MOST) -> int:
    """Return ``value`` as an int in [``least``, ``most``].

    Args:
        what: owner of the parameter, as named in messages.
        name: name of the parameter.
        value: the caller's value.
        least: lower bound.
        most: upper bound.

    Raises:
        InputError: the value is not a whole number, or out of bounds.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        floor = f" of at least {least}" if least > -MOST else ""
        hint = "give its n_nodes" if hasattr(value, "n_nodes") else ""
        raise InputError(f"{what}: {name} must be a whole number{floor}, not {shown(value)}", hint=hint)
    if int(value) > most:
        raise InputError(f"{what}: {name} must be at most {most:,}, not {int(value):,}")
    return int(value)


def fits(what: str, n_nodes: int | None, owner: str, wanted: int) -> None:
    """Raise InputError unless a component made for ``n_nodes`` nodes fits into a whole of ``wanted`` nodes.

    Args:
        what: name of the component, with its article.
        n_nodes: number of nodes that it was made for; None if it fits any number.
        owner: name of what it is to be part of, with its article.
        wanted: number of nodes of the owner.
    """
    if n_nodes is not None and whole(what, "n_nodes", n_nodes, 1) != wanted:
        raise InputError(
            f"{what} of {n_nodes:,} nodes does not fit {owner} of {wanted:,} nodes", hint="make both for the same nodes"
        )


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a real number of Python or NumPy; booleans are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_name_or_whole(value: Any) -> bool:
    return isinstance(value, str | Integral) and not isinstance(value, bool)


def _is_scalar_array(value: Any) -> bool:
    """Return whether ``value`` is a scalar array, which may be traced and so have no value to check."""
    return getattr(value, "shape", None) == () and hasattr(value, "dtype")


def shown(value: Any) -> str:
    """Return a value as shown in messages: its repr, shortened, if it is a scalar or text, else a description."""
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:37]}…"
    return described(value)


def described(value: Any) -> str:
    """Describe a value in words: an array, a Graph, the function sgd."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    if hasattr(value, "tocsr"):
        return "a sparse matrix"
    return described_as("array" if hasattr(value, "shape") and hasattr(value, "dtype") else type(value).__name__)


def described_as(noun: str) -> str:
    """Return a noun with its indefinite article."""
    is_spelt_out = noun[:2].isupper()  # an MLP
    return f"{'an' if noun[:1] in ('AEFHILMNORSX' if is_spelt_out else 'AEIOUaeiou') else 'a'} {noun}"
