"""Where words go: results to stdout, everything else to stderr."""

import codecs
import contextlib
import io
import os
import shlex
import shutil
import sys
import textwrap
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

WAIT_S = 2.0
"""What takes longer than this is told."""
AGAIN_S = 10.0
"""And is told again after each so many seconds."""
PLAIN = MappingProxyType(
    {
        "≤": "<=", "≥": ">=", "≠": "!=", "±": "+-", "×": "x", "·": "*", "–": "-", "—": "-", "−": "-", "…": "...",
        "‖": "||", "√": "sqrt", "∞": "infinity", "→": "->", "λ": "lambda", "ρ": "rho", "γ": "gamma", "η": "eta",
        "ε": "epsilon", "δ": "delta", "σ": "sigma", "μ": "mu", "π": "pi", "Π": "Pi",
    }
)  # fmt: skip
"""What a terminal sees that has no such character."""
ERRORS = "jaxgossip.plain"
"""Name of the codecs' way with what a terminal's encoding does not have."""


class Unheard:
    """A stream that drops what nobody can hear any more.

    Args:
        stream: what it writes to; None where the process was started without.
        ignored: errors of writing after which all that follows is dropped; others are raised.
    """

    def __init__(self, stream: Any, ignored: type[OSError]) -> None:
        self._stream = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: SIM115, PTH123 - as stderr
        self._ignored = ignored

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """See what was written on its way, or drop it."""
        with self._dropping():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except self._ignored:
            # What is left in its buffer would fail again when the process ends.
            nothing = os.open(os.devnull, os.O_WRONLY)
            with contextlib.suppress(OSError):
                os.dup2(nothing, self._stream.fileno())
            os.close(nothing)


def printable() -> None:
    """Let no word end a command: neither characters that a stream cannot show, nor listeners that have gone.

    Characters are replaced by others like them. Progress goes on unheard whatever becomes of stderr, and so do results
    where the pipe that took them was closed.
    """
    codecs.register_error(ERRORS, plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)
    if not isinstance(sys.stdout, Unheard):
        sys.stdout = Unheard(sys.stdout, BrokenPipeError)
    if not isinstance(sys.stderr, Unheard):
        sys.stderr = Unheard(sys.stderr, OSError)


def plain(error: UnicodeError) -> tuple[bytes, int]:
    """Return ASCII in the place of what cannot be encoded; bytes of a file's name that were no text go as they came."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return b"".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(char: str) -> bytes:
    if "\udc80" <= char <= "\udcff":
        return bytes([ord(char) - 0xDC00])
    alike = "".join(PLAIN.get(one, one) for one in unicodedata.normalize("NFKD", PLAIN.get(char, char)))
    return alike.encode("ascii", "ignore") or b"?"


def say(text: str) -> None:
    """Print a result."""
    print(text)  # noqa: T201 - this is the place that prints


def tell(text: str) -> None:
    """Print what happens meanwhile."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def wrapped(text: str, indent: int = 0) -> str:
    """Return a text in lines as wide as the terminal, each after ``indent`` blanks."""
    return _filled(text, " " * indent, indent)


def entry(name: str, text: str, width: int = 24) -> str:
    """Return a name and, from column ``width`` on, what is said of it, in lines as wide as the terminal."""
    return _filled(text, f"  {name:<{width - 3}} ", width)


def _filled(text: str, first: str, indent: int) -> str:
    columns = shutil.get_terminal_size().columns
    wrapper = textwrap.TextWrapper(columns, first, " " * indent, break_long_words=False, break_on_hyphens=False)
    return wrapper.fill(text)


def loading() -> None:
    """Say at once why nothing happens yet: JAX takes seconds to load."""
    if "jax" not in sys.modules:
        tell("loading JAX")


def hint(*words: object, note: str = "") -> None:
    """Print the next command that makes sense, its words quoted where a shell needs it, and a note below it."""
    say(f"\nnext: {shlex.join(map(str, words))}" + (f"\n      ({note})" if note else ""))


def set_options(overrides: list[str] | None) -> list[str]:
    """Return the ``--set`` words that were typed, for the command that comes next."""
    return [word for override in overrides or [] for word in ("--set", override)]


def typed(*more: str, without: str = "") -> list[str]:
    """Return the words of the command line as they were typed, without one of them and with ``more``."""
    return ["jaxgossip", *(word for word in sys.argv[1:] if word != without), *more]


def fail(message: str, way_out: str = "") -> None:
    """Print an error and the way out."""
    tell(_readable(f"error: {message}" + (f"\n\nhint: {way_out}" if way_out else "")))


def _readable(text: str) -> str:
    """Return a text with its lines broken between words, for a terminal; one with a command stays whole, to be copied."""
    if not sys.stderr.isatty():
        return text
    return "\n".join(line if "jaxgossip " in line else wrapped(line) for line in text.split("\n"))


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
