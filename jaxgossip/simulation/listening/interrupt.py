"""Ctrl-C as a request to stop: the first ends the run cleanly after the current chunk, the second immediately."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator

STOPPING = "stopping after this chunk; what was measured is returned (again: stop at once)"


@contextlib.contextmanager
def stoppable(note: Callable[[], None], *signals: int) -> Iterator[Callable[[], bool]]:
    """Turn the first of some signals into a request to stop; a second one raises KeyboardInterrupt immediately.

    Args:
        note: called on the first signal.
        signals: signal numbers, such as SIGINT, that of Ctrl-C. Their handlers are restored when the body ends.

    Yields:
        A function that returns whether a signal has arrived.
    """
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        del frame
        if received:
            raise KeyboardInterrupt
        received.append(number)
        note()

    previous = {number: signal.signal(number, handle) for number in signals}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to stop, if it would otherwise raise KeyboardInterrupt.

    Outside the main thread, or if SIGINT has a handler other than Python's default, such as that of an enclosing run,
    nothing is changed.

    Yields:
        A function that returns whether Ctrl-C was pressed.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    with stoppable(_note, signal.SIGINT) as asked:
        yield asked


def _note() -> None:
    with contextlib.suppress(RuntimeError):  # reentrant write: the signal arrived during another print
        print(f"\n{STOPPING}", file=sys.stderr, flush=True)  # noqa: T201 - the chunk still takes a while
