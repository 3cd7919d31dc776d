"""Runs the sections within a time budget: whatever happens in a check, the others are made."""

import gc
import math
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxgossip.bench.accelerator import algorithms, canary, cnn, events, memory, operators, rounds
from jaxgossip.bench.accelerator.check import Check, Found, Sizes, SkipError, Status
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import nearest
from jaxgossip.core.units import duration

MOST_THREADS = 8
MOST_WORDS = 300
"""Most characters of an error's message in a row; the whole of it is in the record."""


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        checks: yields its checks.
        share: its part of the time, relative to those of the other sections; time that it leaves is theirs.
        timed: whether checks measure time or memory, and have to be alone; others are made several at a time.
    """

    checks: Callable[[Sizes], Iterable[Check]]
    share: float
    timed: bool = False


SECTIONS: Mapping[str, Section] = MappingProxyType(
    {
        "canary": Section(canary.checks, 1),
        "operators": Section(operators.checks, 4),
        "algorithms": Section(algorithms.checks, 6),
        "memory": Section(memory.checks, 2, timed=True),
        "cnn": Section(cnn.checks, 2, timed=True),
        "events": Section(events.checks, 2, timed=True),
        "rounds": Section(rounds.checks, 4, timed=True),
    }
)
"""The sections in their order: memory before what would hide its peaks, and the largest arrays last."""


@dataclass(frozen=True)
class Row:
    """One check that was made, failed or was skipped.

    Attributes:
        section: name of its section.
        name: name of the check.
        status: "ok", "measured", "skipped" or "failed".
        text: its figures, or why it failed or was skipped.
        seconds: seconds that it took, with all that was built and compiled.
        figures: its figures as JSON values.
        trace: the Python trace of a check that crashed; empty otherwise.
    """

    section: str
    name: str
    status: Status
    text: str
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""

    def record(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self) | {"figures": _json(self.figures)}


@dataclass(frozen=True)
class Choice:
    """The sections and checks that are asked for.

    Attributes:
        words: for every section, words of which one has to be in the name of a check; none for all checks.
    """

    words: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, text: str) -> "Choice":
        """Return the choice of ``section`` and ``section:word``, separated by commas; all sections for an empty text.

        Raises:
            InputError: there is no such section.
        """
        words: dict[str, tuple[str, ...]] = {}
        for part in filter(None, map(str.strip, text.split(","))):
            section, _, word = part.partition(":")
            if section not in SECTIONS:
                raise InputError(f"unknown section '{section}'", hint=nearest(section, list(SECTIONS)))
            before = words.get(section)
            words[section] = () if not word or before == () else (*(before or ()), word)
        return cls(words or dict.fromkeys(SECTIONS, ()))

    def takes(self, section: str, name: str) -> bool:
        """Return whether a check is asked for."""
        words = self.words.get(section)
        return words is not None and (not words or any(word in name for word in words))


def run(
    sizes: Sizes,
    choice: Choice,
    minutes: float,
    *,
    begun: Callable[[str], None] = lambda _: None,
    sections: Mapping[str, Section] = SECTIONS,
) -> Iterator[Row]:
    """Make the checks, and yield a row for each.

    Args:
        sizes: the sizes.
        choice: the sections and checks that are asked for.
        minutes: when this time is over, what is left is skipped. A check that has begun is ended, however long it takes.
        begun: called with the name of each check before it is made.
        sections: the sections in their order.
    """
    end = time.monotonic() + 60 * minutes
    left = [name for name in sections if name in choice.words]
    while left:
        now, shares = time.monotonic(), sum(sections[name].share for name in left)
        name = left.pop(0)
        until = now + (end - now) * sections[name].share / shares
        yield from _run_section(name, sections[name], sizes, choice, until, begun)


def _run_section(
    section: str, entry: Section, sizes: Sizes, choice: Choice, until: float, begun: Callable[[str], None]
) -> Iterator[Row]:
    seconds: dict[str, float] = {}

    def row_of(check: Check) -> Row:
        expected = check.times * seconds.get(check.like, 0.0)
        seconds[check.name] = expected  # also of a check that is skipped: a larger one takes longer still
        reason = _no_time(expected, until - time.monotonic())
        if reason:
            return Row(section, check.name, "skipped", reason)
        begun(f"{section}: {check.name}")
        row = _made(section, check)
        if entry.timed:
            gc.collect()  # free the arrays of a check before the next one is built
        if row.status != "skipped":
            seconds[check.name] = row.seconds
        return row

    try:
        checks = [check for check in entry.checks(sizes) if choice.takes(section, check.name)]
    except Exception as error:  # noqa: BLE001 - what a section lists, it may have to build
        yield Row(section, "the list of its checks", "failed", _words(error), trace=traceback.format_exc())
        return
    if entry.timed:
        yield from map(row_of, checks)
        return
    # Nearly all of the time is compilation, which leaves other threads free to run.
    pool = ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1))
    try:
        yield from pool.map(row_of, checks)
    finally:
        pool.shutdown(cancel_futures=True)


def _no_time(expected: float, left: float) -> str:
    """Return why there is no time for a check that may take ``expected`` seconds; empty if there is."""
    if left <= 0:
        return "no time left"
    return f"{duration(left)} left, and it may take {duration(expected)}" if expected > left else ""


def _made(section: str, check: Check) -> Row:
    began = time.monotonic()
    trace = ""
    try:
        found = check.run()
    except SkipError as reason:
        found = Found(str(reason), status="skipped")
    except Exception as error:  # noqa: BLE001 - whatever a check raises, the others are made
        found, trace = Found(_words(error), status="failed"), traceback.format_exc()
    return Row(section, check.name, found.status, found.text, time.monotonic() - began, found.figures, trace)


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:MOST_WORDS]


def _json(value: Any) -> Any:
    """Return figures as JSON values: None in place of what is not finite, and Python's numbers in place of NumPy's."""
    if isinstance(value, Mapping):
        return {str(name): _json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    if isinstance(value, np.generic):
        return _json(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def failed(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that failed."""
    return [row for row in rows if row.status == "failed"]
