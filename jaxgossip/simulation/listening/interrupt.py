"""Ctrl-C as a request: the run ends in good order between two chunks, and only a second one ends it at once."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator

RETURNED = "stopping after this chunk; what was measured is returned (again: stop at once)"


@contextlib.contextmanager
def stoppable(note: Callable[[], None], *signals: int) -> Iterator[Callable[[], bool]]:
    """Turn the first of some signals into a request to stop; a second one raises KeyboardInterrupt at once.

    Args:
        note: called with the first.
        signals: SIGINT, which is Ctrl-C, and others. Their handlers are restored when the body ends.

    Yields:
        What says whether it came.
    """
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        del frame
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        note()

    before = {number: signal.signal(number, ask) for number in signals}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to stop, where Ctrl-C would otherwise raise KeyboardInterrupt.

    That is in the main thread, and unless a handler other than Python's own is there: the caller's, or that of a run
    around this one. Elsewhere nothing is changed.

    Yields:
        What says whether it was asked for.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    with stoppable(_note, signal.SIGINT) as asked:
        yield asked


def _note() -> None:
    with contextlib.suppress(RuntimeError):  # the signal came while something else was being printed
        print(f"\n{RETURNED}", file=sys.stderr, flush=True)  # noqa: T201 - the run goes on for a while
