"""Where words go: results to stdout, everything else to stderr."""

import contextlib
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator

WAIT_S = 2.0
"""What takes longer than this is told."""
AGAIN_S = 10.0
"""And is told again after each so many seconds."""


def say(text: str) -> None:
    """Print a result."""
    print(text)  # noqa: T201 - this is the place that prints


def tell(text: str) -> None:
    """Print what happens meanwhile."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def hint(command: str) -> None:
    """Print the next command that makes sense."""
    say(f"\nnext: {command}")


def typed(*more: str, without: str = "") -> str:
    """Return the command line as it was typed, quoted where a shell needs it, without one word and with ``more`` words."""
    return shlex.join(["jaxgossip", *(word for word in sys.argv[1:] if word != without), *more])


def fail(message: str, way_out: str = "") -> None:
    """Print an error and the way out."""
    tell(f"error: {message}" + (f"\n\nhint: {way_out}" if way_out else ""))


@contextlib.contextmanager
def repeated(line: Callable[[float], str], every_s: float) -> Iterator[None]:
    """Tell ``line(seconds so far)`` after ``WAIT_S``, and every ``every_s`` from then on, while the body computes."""
    began, done = time.perf_counter(), threading.Event()

    def go_on() -> None:
        wait = WAIT_S
        while not done.wait(wait):
            tell(line(time.perf_counter() - began))
            wait = every_s

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def slow(what: str) -> Iterator[None]:
    """Say what is computed, if it takes longer than ``WAIT_S``, and for how long now every ``AGAIN_S``."""

    def line(seconds: float) -> str:
        return f"  {what} …" + (f" {seconds:.0f} s so far" if seconds > AGAIN_S else "")

    with repeated(line, AGAIN_S):
        yield
