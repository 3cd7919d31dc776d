"""Where words go: results to stdout, everything else to stderr."""

import sys


def say(text: str) -> None:
    """Print a result."""
    print(text)  # noqa: T201 - this is the place that prints


def tell(text: str) -> None:
    """Print what happens meanwhile."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def hint(command: str) -> None:
    """Print the next command that makes sense."""
    say(f"\nnext: {command}")


def fail(message: str, way_out: str = "") -> None:
    """Print an error and the way out."""
    tell(f"error: {message}" + (f"\n\nhint: {way_out}" if way_out else ""))
