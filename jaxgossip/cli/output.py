"""Where words go: results to stdout, everything else to stderr."""

import contextlib
import shlex
import sys
import threading
from collections.abc import Iterator

WAIT_S = 2.0
"""What takes longer than this is told."""


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
def slow(what: str) -> Iterator[None]:
    """Say what is computed, if it takes longer than ``WAIT_S``."""
    timer = threading.Timer(WAIT_S, tell, [f"  {what} …"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
