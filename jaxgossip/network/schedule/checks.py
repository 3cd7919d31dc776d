"""What every part of a schedule asks of its parameters, and what it says when they are impossible."""

import math
from numbers import Integral
from typing import Any

from jaxgossip.errors import InputError


def number(
    what: str, name: str, value: float, *, least: float = 0.0, above: bool = False, most: float = math.inf
) -> float:
    """Return a finite number of at least ``least`` (or above it) and at most ``most``.

    Args:
        what: the part of the schedule, as messages call it.
        name: of the parameter.
        value: what the caller gave.
        least: the smallest that makes sense.
        above: whether ``least`` itself does not.
        most: the largest that makes sense.

    Raises:
        InputError: it is another.
    """
    if math.isfinite(value) and (value > least if above else value >= least) and value <= most:
        return float(value)
    if math.isfinite(most):
        raise InputError(f"{what}: {name} must be from {least:g} to {most:g}, not {value}")
    raise InputError(f"{what}: {name} must be {'above' if above else 'at least'} {least:g}, not {value}")


def whole(what: str, name: str, value: Any, least: int) -> int:
    """Return a whole number of at least ``least``.

    Args:
        what: the part of the schedule, as messages call it.
        name: of the parameter.
        value: what the caller gave.
        least: the smallest that makes sense.

    Raises:
        InputError: it is another.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise InputError(f"{what}: {name} must be a whole number of at least {least}, not {value}")
    return int(value)
