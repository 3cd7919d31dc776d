"""What builders ask of their arguments, and what they say of one that cannot be used.

A number is a finite one: NaN and infinity pass no check here. Whole numbers fit 32 bits, as all that counts on the device.
"""

import functools
import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.registry import nearest

MOST = 2**31 - 1
"""Rounds, nodes, samples and steps are counted in int32."""
MOST_SEED = 2**64 - 1
"""A key of the device is two words of 32 bits."""
MADE_BY: Mapping[str, str] = types.MappingProxyType(
    {
        "Graph": "jg.topology.ring(nodes), from_networkx(graph), from_scipy(matrix) or edge_list(path) make one",
        "Weights": "jg.topology.weights.metropolis_hastings(graph) or from_matrix(matrix) make some",
        "Clock": "jg.schedule.clocks.fixed(n_nodes, rng) makes one",
        "Churn": "jg.schedule.churn.coin(n_nodes, rng, online=0.9) makes one",
        "Delay": "jg.schedule.delays.constant(seconds=0.1) makes one",
        "Peers": "jg.schedule.peers.uniform(graph) makes one",
        "TokenAccount": "jg.schedule.tokens.simple() makes one",
    }
)
"""How to make what the messages of several rooms ask for, by the name of its class."""


def guarded[**P, R](
    builder: Callable[P, R], also: Callable[[str, Mapping[str, Any]], None] | None = None
) -> Callable[P, R]:
    """Return ``builder`` with its arguments checked first, by the annotations of its signature.

    What is an ``int`` there is a whole number that fits 32 bits, a ``float`` a finite number, a ``Literal`` one of its
    words. Bounds of its own are the builder's to check, for then every number can be compared.

    Args:
        builder: a function with annotated parameters.
        also: (its name, arguments by name) -> None: checks what only the builder's room knows.
    """
    signature = inspect.signature(builder)
    name = getattr(builder, "__name__", "builder")

    @functools.wraps(builder)
    def check(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ArgumentTypeError(f"{name}: {error}", hint=usage(builder)) from error
        if also is not None:
            also(name, given)
        for parameter, value in given.items():
            if parameter == "rng":
                generator(name, value)
            else:
                plain(name, parameter, value, signature.parameters[parameter].annotation)
        return builder(*args, **kwargs)

    return check


def usage(builder: Callable[..., Any]) -> str:
    """Return how a function is called: its name, and those of its parameters."""
    words, keyword_only = [], False
    for parameter in inspect.signature(builder).parameters.values():
        if parameter.kind == parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            words.append("*")
        words.append(f"**{parameter.name}" if parameter.kind == parameter.VAR_KEYWORD else parameter.name)
    return f"{getattr(builder, '__name__', 'builder')}({', '.join(words)})"


def plain(what: str, name: str, value: Any, annotation: Any) -> None:
    """Check a value by an annotation; one that is no plain type lets anything through.

    Args:
        what: whose parameter it is, as messages call it.
        name: of the parameter.
        value: what the caller gave.
        annotation: ``int``, ``float``, ``bool``, ``str``, a ``Literal``, one of these or None, or anything else.

    Raises:
        InputError: it does not fit.
    """
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        plain(what, name, value, members[0])
    elif origin in (Union, types.UnionType):
        others = [member for member in members if member is not types.NoneType]
        if len(others) == 1 and value is not None:
            plain(what, name, value, others[0])
        elif set(others) == {int, str} and value is not None and not _is_name_or_whole(value):
            raise ArgumentTypeError(f"{what}: {name} must be a name or a whole number, not {shown(value)}")
    elif origin is Literal:
        if not (isinstance(value, str | int) and value in members):
            hint = nearest(value, [*map(str, members)]) if isinstance(value, str) else ", ".join(map(repr, members))
            raise InputError(f"{what}: {name} cannot be {shown(value)}", hint=hint)
    elif name == "seed" and annotation is int:
        whole(what, name, value, 0, MOST_SEED)
    elif (origin is tuple and len(members) == 2 and members[1] is ...) or origin is list:
        _several(what, name, value, members[0])
    elif annotation is int:
        whole(what, name, value, -MOST - 1)
    elif annotation is float and not _is_scalar_array(value):
        number(what, name, value, least=-math.inf)
    elif annotation in (bool, str) and not isinstance(value, annotation) and not _is_scalar_array(value):
        wanted = "True or False" if annotation is bool else "a string"
        raise ArgumentTypeError(f"{what}: {name} must be {wanted}, not {shown(value)}")
    elif isinstance(annotation, type) and annotation.__name__ in MADE_BY and not isinstance(value, annotation):
        wanted = described_as(annotation.__name__)
        hint, given, kind = MADE_BY[annotation.__name__], shown(value), type(value)
        if given == wanted:  # another library's class of the same name
            given = f"{described_as(kind.__name__)} of {kind.__module__.partition('.')[0]}"
        raise ArgumentTypeError(f"{what}: {name} must be {wanted}, not {given}", hint=hint)


def _several(what: str, name: str, values: Any, annotation: Any) -> None:
    """Check each of a list's values by an annotation."""
    if isinstance(values, str) or not (isinstance(values, Sequence) or hasattr(values, "tolist")):
        raise ArgumentTypeError(f"{what}: {name} must be a list, not {shown(values)}")
    for place, value in enumerate(values):
        plain(what, f"{name}[{place}]", value, annotation)


def generator(what: str, rng: Any) -> None:
    """Raise InputError unless ``rng`` is something that NumPy makes a generator of: one itself, or a seed.

    Args:
        what: whose parameter it is, as messages call it.
        rng: what the caller gave.
    """
    told = f"{what}: rng must be a generator or a seed of at least 0, not {shown(rng)}"
    if isinstance(rng, str | float | bool) or (isinstance(rng, Integral) and rng < 0):
        raise InputError(told)
    seed: Any = rng
    try:
        np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(told, hint="rng=0, or numpy.random.default_rng(0)") from error


def number(
    what: str, name: str, value: Any, *, least: float = 0.0, above: bool = False, most: float = math.inf
) -> float:
    """Return a finite number of at least ``least`` (or above it) and at most ``most``.

    Args:
        what: whose parameter it is, as messages call it.
        name: of the parameter.
        value: what the caller gave.
        least: the smallest that makes sense; -infinity: any.
        above: whether ``least`` itself does not.
        most: the largest that makes sense.

    Raises:
        InputError: it is another.
        ArgumentTypeError: it is no number at all.
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
    """Check several parameters alike, by their names; see :func:`number`."""
    for name, value in values.items():
        number(what, name, value, least=least, above=above)


def whole(what: str, name: str, value: Any, least: int, most: int = MOST) -> int:
    """Return a whole number of at least ``least`` and at most ``most``.

    Args:
        what: whose parameter it is, as messages call it.
        name: of the parameter.
        value: what the caller gave.
        least: the smallest that makes sense.
        most: the largest that makes sense.

    Raises:
        InputError: it is another.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        floor = f" of at least {least}" if least > -MOST else ""
        hint = "give its n_nodes" if hasattr(value, "n_nodes") else ""
        raise InputError(f"{what}: {name} must be a whole number{floor}, not {shown(value)}", hint=hint)
    if int(value) > most:
        raise InputError(f"{what}: {name} must be at most {most:,}, not {int(value):,}")
    return int(value)


def fits(what: str, n_nodes: int | None, whole: str, wanted: int) -> None:
    """Raise InputError unless something made for ``n_nodes`` nodes belongs to something of ``wanted`` nodes.

    Args:
        what: that was made for some nodes, with its article.
        n_nodes: how many; None: it goes with any number.
        whole: what it is to be a part of, likewise.
        wanted: how many nodes that has.
    """
    if n_nodes is not None and n_nodes != wanted:
        raise InputError(
            f"{what} of {n_nodes:,} nodes does not fit {whole} of {wanted:,} nodes", hint="make both for the same nodes"
        )


def is_number(value: Any) -> bool:
    """Say whether ``value`` is a real number, Python's or NumPy's; truth values are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_name_or_whole(value: Any) -> bool:
    return isinstance(value, str | Integral) and not isinstance(value, bool)


def _is_scalar_array(value: Any) -> bool:
    """Say whether it is an array of one number: what is traced has no value to check."""
    return getattr(value, "shape", None) == () and hasattr(value, "dtype")


def shown(value: Any) -> str:
    """Return a value as a message shows it: itself if it is short, else what it is."""
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:37]}…"
    return described(value)


def described(value: Any) -> str:
    """Return what a value is, in words: an array, a Graph, the function sgd."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    if hasattr(value, "tocsr"):
        return "a sparse matrix"
    return described_as("array" if hasattr(value, "shape") and hasattr(value, "dtype") else type(value).__name__)


def described_as(noun: str) -> str:
    """Return a noun with its article."""
    spelt = noun[:2].isupper()  # by letters: an MLP
    return f"{'an' if noun[:1] in ('AEFHILMNORSX' if spelt else 'AEIOUaeiou') else 'a'} {noun}"
