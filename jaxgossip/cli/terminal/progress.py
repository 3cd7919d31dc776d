"""What a user sees while a run goes: a line before each wait, a bar in a terminal, plain lines elsewhere."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, override

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from jaxgossip.cli.terminal.output import repeated, tell
from jaxgossip.core.units import duration
from jaxgossip.experiment.results.measures import measures_of
from jaxgossip.experiment.runs.observer import Reporter

LINE_S = 10.0
"""Without a terminal, at most one line in so many seconds."""
SHARE_S = 5.0
"""Without a terminal, a line in so many seconds of what has phases and no rounds."""


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop after the current chunk; a second one ends at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        del frame
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        tell("\nstopping after this chunk, to save where it stands (again: stop at once)")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class TerminalReporter(Reporter):
    """Progress on stderr.

    Args:
        stop: says whether the user asked to stop.
    """

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop = stop
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name, self._rounds = "", 0
        self._began, self._first, self._done, self._told = 0.0, 0, 0, 0.0
        self._measured = ""

    @override
    def note(self, text: str) -> None:
        tell(text)

    @override
    def begin(self, name: str, rounds: int, done: int) -> None:
        self._name, self._rounds, self._first, self._done, self._measured = name, rounds, done, done, ""
        self._began = self._told = 0.0
        if sys.stderr.isatty():
            self._bar = Progress(
                words("{task.description}", 20),
                BarColumn(bar_width=14),
                MofNCompleteColumn(),
                words("{task.fields[speed]}"),
                words("ETA"),
                TimeRemainingColumn(compact=True),
                words("{task.fields[measured]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(name, total=rounds, completed=done, speed="", measured="")
            self._bar.start()

    @override
    def advanced(self, done: int) -> None:
        self._done = done
        if self._began == 0.0:  # the first chunk sets the clock: before it, the program was compiled
            self._began, self._first = time.perf_counter(), done
        self._show(done)

    @override
    def evaluated(self, record: Mapping[str, Any]) -> None:
        for measure in measures_of(record)[:1]:
            value = record[f"{measure.key}_mean"]
            self._measured = f"{measure.name} {'–' if value is None else measure.text(value)}"
        self._show(self._done)

    @override
    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif self._measured:
            tell(self._line(self._done))

    @override
    def should_stop(self) -> bool:
        return self._stop()

    def _show(self, done: int) -> None:
        seconds = time.perf_counter() - self._began if self._began else 0.0
        speed = (done - self._first) / seconds if seconds > 0 else 0.0
        if self._bar is not None and self._task is not None:
            shown = f"{speed:.3g}/s" if 0 < speed < 100 else f"{speed:,.0f}/s" if speed else ""
            self._bar.update(self._task, completed=done, speed=shown, measured=self._measured)
        elif self._began and time.perf_counter() - self._told > LINE_S and self._told:
            tell(self._line(done, f", {duration((self._rounds - done) / speed)} left" if speed else ""))
            self._told = time.perf_counter()
        elif not self._told:
            self._told = time.perf_counter()

    def _line(self, done: int, left: str = "") -> str:
        measured = f", {self._measured}" if self._measured else ""
        return f"  {self._name}: round {done:,} of {self._rounds:,}{left}{measured}"


def words(text: str, most: int | None = None) -> TextColumn:
    """Return a column of a bar that is cut where the terminal, or ``most`` columns, have no room for it."""
    return TextColumn(text, markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", max_width=most))


class ShareProgress:
    """Progress of a computation in phases on stderr: a bar a phase in a terminal, a line every ``SHARE_S`` elsewhere.

    Args:
        name: of what is computed.
    """

    def __init__(self, name: str) -> None:
        self._name, self._phase = name, ""
        self._share = self._first = self._began = self._heard = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[Callable[[str, float], None]]:
        """Show progress while the body computes, which calls what this gives with the phase and the share that is done."""
        if not sys.stderr.isatty():
            with repeated(self._line, SHARE_S):
                yield self._told
            return
        columns = (words("{task.description}", 40), BarColumn(bar_width=14), TaskProgressColumn())
        console = Console(stderr=True)
        with Progress(*columns, TimeRemainingColumn(compact=True), console=console, transient=True) as self._bar:
            yield self._told

    def _told(self, phase: str, share: float) -> None:
        new = phase != self._phase
        if new:
            self._phase, self._began, self._first = phase, time.perf_counter(), share
        self._share, self._heard = share, time.perf_counter()
        if self._bar is not None:
            if new or self._task is None:
                self._task = self._bar.add_task(f"{self._name}: {phase}", total=1.0)
            self._bar.update(self._task, completed=share)

    def _line(self, seconds: float) -> str:
        if not self._phase:
            return f"  {self._name}: compiling … {seconds:.0f} s so far"
        if self._share >= 1:
            return f"  {self._name}: {self._phase}, done"
        done = self._share - self._first
        left = (self._heard - self._began) * (1 - self._share) / done if done > 0 else 0.0
        left -= time.perf_counter() - self._heard
        return f"  {self._name}: {self._phase}, {self._share:.0%} done" + (
            f", about {left:.0f} s left" if left > 1 else ""
        )
