"""What builders ask of their arguments, and what they say of one that cannot be used.

A number is a finite one: NaN and infinity pass no check here. Whole numbers fit 32 bits, as all that counts on the device.
"""

import math
from numbers import Integral, Real
from typing import Any

from jaxgossip.errors import ArgumentTypeError, InputError

MOST = 2**31 - 1
"""Rounds, nodes, samples and steps are counted in int32."""


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
        hint = "give its n_nodes" if hasattr(value, "n_nodes") else ""
        raise InputError(f"{what}: {name} must be a whole number of at least {least}, not {shown(value)}", hint=hint)
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
    noun = "array" if hasattr(value, "shape") and hasattr(value, "dtype") else type(value).__name__
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
