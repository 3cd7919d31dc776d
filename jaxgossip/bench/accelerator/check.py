"""Checks: what they are, what they find, and the sizes that they are run at."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Num

from jaxgossip.core.units import scientific

Status = Literal["ok", "measured", "skipped", "failed"]
TOLERANCE = 1e-5
"""Largest difference in float32, relative to the largest number that is compared, unless a check has reasons for another."""
BEYOND = 2**31
"""Numbers of an array that an int32 cannot count."""


@dataclass(frozen=True)
class Sizes:
    """The sizes at which everything is checked.

    Attributes:
        rows: numbers of nodes of the canary: beyond 32,768 and odd.
        small: nodes of small networks, a power of two from 16.
        large: nodes of large networks, odd; beyond 32,768.
        method_nodes: nodes of every algorithm, at least 100.
        method_params: parameters of a model of every algorithm.
        compressors: whether algorithms that compress are tried with every compressor, or with one.
        memory: nodes of the runs whose memory is compared with its plan, ascending.
        memory_cnn: nodes of convolutional networks whose memory is compared; 0 for none.
        cnn: nodes of the convolutional networks that are timed.
        cnn_compared: nodes of those that are compared with the CPU.
        events: nodes with clocks of their own, ascending.
        event_messages: messages of a stretch that is timed.
        numbers: numbers of the largest array that is mixed.
        rounds: nodes of whole rounds, ascending, at least 100.
        sample_s: approximate least duration of a timed sample, in seconds.
    """

    rows: tuple[int, ...] = (32_769, 40_001)
    small: int = 64
    large: int = 40_001
    method_nodes: int = 128
    method_params: int = 16
    compressors: bool = True
    memory: tuple[int, ...] = (1_000_000, 10_000_000)
    memory_cnn: int = 400
    cnn: int = 1_000
    cnn_compared: int = 4
    events: tuple[int, ...] = (100_000, 1_000_000)
    event_messages: int = 2**20
    numbers: int = BEYOND + 2**12
    rounds: tuple[int, ...] = (1_000_000, 10_000_000, 100_000_000)
    sample_s: float = 0.2


FULL = Sizes()
SMALL = Sizes(
    small=16,
    large=301,
    compressors=False,
    memory=(1_000,),
    memory_cnn=0,
    cnn=4,
    cnn_compared=2,
    events=(64, 128),
    event_messages=512,
    numbers=2**16,
    rounds=(100, 1_000, 10_000),
    sample_s=1e-3,
)
"""Sizes at which a CPU does little but compile, some minutes on two cores."""


class SkipError(Exception):
    """A check cannot be made here, such as for want of memory; the message says why."""


@dataclass(frozen=True)
class Found:
    """What a check has found.

    Attributes:
        text: the figures in words, for the table.
        figures: the figures as JSON values; names end in their unit.
        status: "ok" if what was compared agrees, "measured" if nothing was compared, "failed".
    """

    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "measured"


@dataclass(frozen=True)
class Check:
    """One check of a section.

    Attributes:
        name: its name, unique in the section.
        run: makes the check; raises SkipError where it cannot be made.
        like: name of an earlier check of the section that takes about as long for each node; empty if there is none.
        times: how many times as long as that one it takes.
    """

    name: str
    run: Callable[[], Found]
    like: str = ""
    times: float = 1.0


def compared(
    found: Num[np.ndarray, "..."],
    expected: Num[np.ndarray, "..."],
    tolerance: float = TOLERANCE,
    *,
    scale: float | None = None,
) -> Found:
    """Compare numbers with their reference.

    Args:
        found: what was computed, with the rows first.
        expected: the reference, of the same shape.
        tolerance: largest difference in multiples of ``scale``.
        scale: what differences are relative to; the largest number of the reference if None.
    """
    if found.shape != expected.shape:
        return Found(f"shape {found.shape} in the place of {expected.shape}", {}, "failed")
    whole = expected.astype(np.float64)
    scale = float(np.abs(whole).max(initial=0.0)) if scale is None else scale
    apart = np.abs(found.astype(np.float64) - whole) / (scale or 1.0)
    apart = np.where(np.isfinite(apart), apart, np.inf).reshape(len(found), -1).max(axis=1, initial=0.0)
    error, wrong = float(apart.max(initial=0.0)), int((apart > tolerance).sum())
    figures = {
        "error": error if np.isfinite(error) else None,
        "tolerance": tolerance,
        "rows": len(found),
        "wrong_rows": wrong,
    }
    if not wrong:
        return Found(f"apart {scientific(error)}, at most {scientific(tolerance)}", figures, "ok")
    much = f"up to {scientific(error)}" if np.isfinite(error) else "some not finite"
    return Found(f"{wrong:,} of {len(found):,} rows differ, {much}; at most {scientific(tolerance)}", figures, "failed")


def together(parts: Mapping[str, Found]) -> Found:
    """Return several comparisons as one, which fails with the first that fails, and otherwise tells the largest error."""
    figures = {name: dict(part.figures) for name, part in parts.items()}
    for name, part in parts.items():
        if part.status == "failed":
            return Found(f"{name}: {part.text}", figures, "failed")
    worst = max(parts.values(), key=lambda part: part.figures["error"] / (part.figures["tolerance"] or math.inf))
    return Found(worst.text, figures, "ok")
