"""What a user sees while a command computes: a bar in a terminal, plain lines elsewhere; and how it is stopped."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TimeRemainingColumn

from jaxgossip.cli.terminal.output import repeated, tell
from jaxgossip.simulation.listening.display import Display, truncated_column
from jaxgossip.simulation.listening.interrupt import stoppable

SHARE_S = 5.0
"""Without a terminal, a line in so many seconds of what has phases and no rounds."""


@contextlib.contextmanager
def watched() -> Iterator[Display]:
    """Yield a progress display that asks the run to stop at the first Ctrl-C or SIGTERM; a second ends it at once."""

    def note() -> None:
        tell("\nstopping after this chunk, to save where it stands (again: stop at once)")

    with stoppable(note, signal.SIGINT, signal.SIGTERM) as asked:
        yield Display(asked)


class ShareProgress:
    """Progress of a computation on stderr: one bar per phase on a terminal, else one line every ``SHARE_S`` seconds.

    Args:
        name: name of the computation.
    """

    def __init__(self, name: str) -> None:
        self._name, self._phase = name, ""
        self._share = self._first = self._began = self._heard = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[Callable[[str, float], None]]:
        """Show progress within the context.

        Its body calls the function that this yields with the phase and the share that is done, in [0, 1].
        """
        if not sys.stderr.isatty():
            with repeated(self._line, SHARE_S):
                yield self._heard_of
            return
        columns = (truncated_column("{task.description}", 40), BarColumn(bar_width=14), TaskProgressColumn())
        console = Console(stderr=True)
        with Progress(*columns, TimeRemainingColumn(compact=True), console=console, transient=True) as self._bar:
            yield self._heard_of

    def _heard_of(self, phase: str, share: float) -> None:
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
