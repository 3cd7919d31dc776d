"""Progress of a run on stderr: a progress bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, override

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from jaxgossip.core.units import duration
from jaxgossip.plotting.measures import measures_of
from jaxgossip.simulation.listening.observer import Observer

LINE_S = 10.0
"""Minimum seconds between two lines if stderr is not a terminal."""


class Display(Observer):
    """An observer that shows progress on stderr.

    Args:
        stop: returns whether the run should stop; by default it never does.
    """

    def __init__(self, stop: Callable[[], bool] = lambda: False) -> None:
        self._stop = stop
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name, self._rounds = "", 0
        self._began, self._first, self._done, self._shown = 0.0, 0, 0, 0.0
        self._measured = ""

    @override
    def note(self, text: str) -> None:
        _print(text)

    @override
    def begin(self, name: str, rounds: int, done: int) -> None:
        self._name, self._rounds, self._first, self._done, self._measured = name, rounds, done, done, ""
        self._began = self._shown = 0.0
        if sys.stderr.isatty():
            self._bar = Progress(
                truncated_column("{task.description}", 20),
                BarColumn(bar_width=14),
                MofNCompleteColumn(),
                truncated_column("{task.fields[speed]}"),
                truncated_column("ETA"),
                TimeRemainingColumn(compact=True),
                truncated_column("{task.fields[measured]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(name, total=rounds, completed=done, speed="", measured="")
            self._bar.start()

    @override
    def advanced(self, rounds_done: int) -> None:
        self._done = rounds_done
        if self._began == 0.0:  # timing starts after the first chunk, since compilation precedes it
            self._began, self._first = time.perf_counter(), rounds_done
        self._show(rounds_done)

    @override
    def evaluated(self, record: Mapping[str, Any]) -> None:
        for measure in measures_of(record)[:1]:
            self._measured = f"{measure.name} {measure.text(record[measure.column])}"
        self._show(self._done)

    @override
    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif self._measured:
            _print(self._line(self._done))

    @override
    def should_stop(self) -> bool:
        return self._stop()

    def _show(self, done: int) -> None:
        seconds = time.perf_counter() - self._began if self._began else 0.0
        speed = (done - self._first) / seconds if seconds > 0 else 0.0
        if self._bar is not None and self._task is not None:
            shown = f"{speed:.3g}/s" if 0 < speed < 100 else f"{speed:,.0f}/s" if speed else ""
            self._bar.update(self._task, completed=done, speed=shown, measured=self._measured)
        elif self._began and time.perf_counter() - self._shown > LINE_S and self._shown:
            _print(self._line(done, f", {duration((self._rounds - done) / speed)} left" if speed else ""))
            self._shown = time.perf_counter()
        elif not self._shown:
            self._shown = time.perf_counter()

    def _line(self, done: int, left: str = "") -> str:
        measured = f", {self._measured}" if self._measured else ""
        return f"  {self._name}: round {done:,} of {self._rounds:,}{left}{measured}"


def truncated_column(text: str, most: int | None = None) -> TextColumn:
    """Return a text column of the bar, truncated to the terminal and to ``most`` characters."""
    return TextColumn(text, markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", max_width=most))


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - printing is its purpose
