"""Output to the terminal: results go to stdout, everything else to stderr."""

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
"""Seconds after which a computation is reported."""
AGAIN_S = 10.0
"""Seconds between further reports."""
PLAIN = MappingProxyType(
    {
        "≤": "<=", "≥": ">=", "≠": "!=", "±": "+-", "×": "x", "·": "*", "–": "-", "—": "-", "−": "-", "…": "...",
        "‖": "||", "√": "sqrt", "∞": "infinity", "→": "->", "λ": "lambda", "ρ": "rho", "γ": "gamma", "η": "eta",
        "ε": "epsilon", "δ": "delta", "σ": "sigma", "μ": "mu", "π": "pi", "Π": "Pi",
    }
)  # fmt: skip
"""Replacements for characters that the terminal's encoding lacks."""
ERRORS = "jaxgossip.plain"
"""Name of the codec error handler that makes these replacements."""


class RobustStream:
    """A stream whose output is silently dropped once it can no longer be written.

    Args:
        stream: the stream to write to; None if the process was started without it.
        ignored: the write errors after which all further output is dropped; others are raised.
    """

    def __init__(self, stream: Any, ignored: type[OSError]) -> None:
        self._stream = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: SIM115, PTH123 - as stderr
        self._ignored = ignored

    def write(self, text: str) -> int:
        """Write text, or drop it if the stream has failed."""
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, or drop what it has buffered if it has failed."""
        with self._dropping():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except self._ignored:
            # The rest of the buffer would fail again when the process ends.
            nothing = os.open(os.devnull, os.O_WRONLY)
            with contextlib.suppress(OSError):
                os.dup2(nothing, self._stream.fileno())
            os.close(nothing)


def make_streams_robust() -> None:
    """Keep output from ending a command, be it by characters that a stream cannot encode or by a closed pipe.

    Such characters are replaced by similar ones. Progress is dropped on any error of stderr, and results are dropped if
    their pipe has been closed.
    """
    codecs.register_error(ERRORS, plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)
    if not isinstance(sys.stdout, RobustStream):
        sys.stdout = RobustStream(sys.stdout, BrokenPipeError)
    if not isinstance(sys.stderr, RobustStream):
        sys.stderr = RobustStream(sys.stderr, OSError)


def keep_stdout() -> None:
    """Keep stdout for results; whatever libraries write to the descriptor from now on is dropped."""
    try:
        own, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # started without it
        return
    sys.stdout.flush()
    os.dup2(nothing, 1)
    os.close(nothing)
    stream = open(own, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)  # noqa: SIM115, PTH123 - as long as the process
    sys.stdout = RobustStream(stream, BrokenPipeError)


def silence_stdout() -> None:
    """Drop results from now on."""
    sys.stdout = RobustStream(None, BrokenPipeError)


def plain(error: UnicodeError) -> tuple[bytes, int]:
    """Return ASCII in place of characters that cannot be encoded; undecodable bytes of file names are passed through."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return b"".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(char: str) -> bytes:
    if "\udc80" <= char <= "\udcff":
        return bytes([ord(char) - 0xDC00])
    decomposed = unicodedata.normalize("NFKD", PLAIN.get(char, char))
    similar = "".join(PLAIN.get(member, member) for member in decomposed)
    return similar.encode("ascii", "ignore") or b"?"


def say(text: str) -> None:
    """Print a result to stdout."""
    print(text)  # noqa: T201 - all output goes through here


def tell(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - all output goes through here


def wrapped(text: str, indent: int = 0) -> str:
    """Return text wrapped to the width of the terminal, indented by ``indent`` blanks."""
    return _filled(text, " " * indent, indent)


def entry(name: str, text: str, width: int = 24) -> str:
    """Return a name and, from column ``width`` on, its description, wrapped to the width of the terminal."""
    return _filled(text, f"  {name:<{width - 3}} ", width)


def _filled(text: str, first: str, indent: int) -> str:
    columns = shutil.get_terminal_size().columns
    wrapper = textwrap.TextWrapper(columns, first, " " * indent, break_long_words=False, break_on_hyphens=False)
    return wrapper.fill(text)


def loading() -> None:
    """Report that JAX is being loaded, which takes seconds, unless it is loaded already."""
    if "jax" not in sys.modules:
        tell("loading JAX")


def hint(*words: object, note: str = "") -> None:
    """Suggest the next command, quoted for a shell, with an optional note below it."""
    say(f"\nnext: {shlex.join(map(str, words))}" + (f"\n      ({note})" if note else ""))


def set_options(overrides: list[str] | None) -> list[str]:
    """Return the ``--set`` options that were given, for the next command."""
    return [word for override in overrides or [] for word in ("--set", override)]


def typed(*more: str, without: str = "") -> list[str]:
    """Return the words of the command line, without the word ``without`` and followed by ``more``."""
    return ["jaxgossip", *(word for word in sys.argv[1:] if word != without), *more]


def fail(message: str, advice: str = "") -> None:
    """Print an error and a hint on how to fix it."""
    tell(_readable(f"error: {message}" + (f"\n\nhint: {advice}" if advice else "")))


def _readable(text: str) -> str:
    """Return text wrapped for a terminal, except for lines with commands, which stay whole for copying."""
    if not sys.stderr.isatty():
        return text
    return "\n".join(line if "jaxgossip " in line else wrapped(line) for line in text.split("\n"))


@contextlib.contextmanager
def repeated(line: Callable[[float], str], every_s: float) -> Iterator[None]:
    """Print ``line(seconds so far)`` after ``WAIT_S`` and then every ``every_s`` seconds, within the context."""
    began, done = time.perf_counter(), threading.Event()

    def report() -> None:
        wait = WAIT_S
        while not done.wait(wait):
            tell(line(time.perf_counter() - began))
            wait = every_s

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def slow(what: str) -> Iterator[None]:
    """Report a computation that takes longer than ``WAIT_S``, and the time so far every ``AGAIN_S`` seconds."""

    def line(seconds: float) -> str:
        return f"  {what} …" + (f" {seconds:.0f} s so far" if seconds > AGAIN_S else "")

    with repeated(line, AGAIN_S):
        yield
