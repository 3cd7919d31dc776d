"""Human-readable numbers: bytes, seconds, counts and powers of ten."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from jaxgossip.core.devices.memory import bytes_text, bytes_unit  # noqa: F401 - re-exported: this module formats every kind of number

ROUND_TIMES: Mapping[float, str] = MappingProxyType(
    {
        1e-3: "1 ms",
        1e-2: "10 ms",
        0.1: "0.1 s",
        1.0: "1 s",
        10.0: "10 s",
        60.0: "1 min",
        600.0: "10 min",
        3600.0: "1 h",
        36000.0: "10 h",
        4 * 86400.0: "4 days",
        40 * 86400.0: "40 days",
        400 * 86400.0: "400 days",
    }
)
"""Round durations, in seconds and about a factor of ten apart, with their labels."""
NOISE = 1e-12
"""Eigenvalues and gaps below this are attributed to rounding."""
_SECONDS = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
_JOULES = ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"))
_COUNTS = ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"))


def count_text(value: float | None) -> str:
    """Format a count: ``8,280`` or ``1.24 million``; a dash if it is None or not finite."""
    if value is None or not math.isfinite(value):
        return "–"
    size, name = next((unit for unit in _COUNTS if value >= 0.9995 * unit[0]), (1.0, ""))
    return f"{value / size:.3g}{name}" if name else f"{value:,.0f}"


def counted(count: int, what: str) -> str:
    """Format a count with its noun: ``1 run``, ``8,280 runs``."""
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def range_text(extremes: tuple[float, float, float], one: str, several: str) -> str:
    """Format the smallest, median and largest count: ``1 to 7 classes a node, median 4``, or ``2 classes on each``."""
    least, median, most = extremes
    if least == most:
        return f"{least:,.0f} {one if most == 1 else several} on each"
    return f"{least:,.0f} to {most:,.0f} {several} a node, median {median:,.5g}"


def rows_text(n_nodes: int, n_params: int) -> str:
    """Return the size of a network's models: ``1,024 nodes × 57 parameters``."""
    return f"{counted(n_nodes, 'node')} × {counted(n_params, 'parameter')}"


def duration(seconds: float | None) -> str:
    """Format a duration: ``3.1 ms``, ``0.42 s``, ``12.3 s``, ``3 min 05 s`` or ``2 h 07 min``.

    It is a dash if the duration is None or not finite.
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms" if seconds < 9.95e-3 else f"{1000 * seconds:.1f} ms"
    if seconds < 59.95:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.1f} s"
    whole = round(seconds)
    minutes = whole // 60
    return f"{minutes} min {whole % 60:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def seconds_unit(largest: float) -> tuple[float, str]:
    """Return the unit (its size in seconds, its name) in which values up to ``largest`` seconds read best."""
    return next((unit for unit in _SECONDS if largest >= 3 * unit[0]), _SECONDS[-1])


def joules_text(joules: float | None) -> str:
    """Format an energy: ``14.4 J``, ``1.24 kJ`` or ``36.7 mJ``; a dash if it is None or not finite."""
    if joules is None or not math.isfinite(joules):
        return "–"
    size, name = next((unit for unit in _JOULES if joules >= 0.9995 * unit[0]), _JOULES[-1])
    return f"{joules / size:.3g} {name}" if joules else "0 J"


def joules_unit(largest: float) -> tuple[float, str]:
    """Return the unit (its size in joules, its name) in which values up to ``largest`` joules read best."""
    return next((unit for unit in _JOULES if largest >= 3 * unit[0]), _JOULES[-1])


def scientific(value: float | None) -> str:
    """Format a number of any magnitude: ``3.2e-07``, ``0.014`` or ``12.5``; a dash if it is None or not finite."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def settled(value: float, noise: float = NOISE) -> float:
    """Return ``value``, or 0 if its magnitude is below ``noise``."""
    return 0.0 if abs(value) < noise else value


def eigenvalue_text(value: float, digits: int = 6) -> str:
    """Format an eigenvalue: ``0.75``, or ``1 - 1.3e-09`` where rounding would hide its distance from 1 or -1."""
    text, apart = f"{settled(value):.{digits}g}", settled(1 - abs(value))
    if apart <= 0 or abs(float(text)) < 1:
        return text
    return f"1 - {apart:.1e}" if value > 0 else f"-1 + {apart:.1e}"
