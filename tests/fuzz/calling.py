"""The command line in this process, under a watch: how it ended, or that it did not."""

import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, settings

from jaxgossip.cli.main import main

CODES = (0, 1, 2, 130)
LIMIT_S = 60
"""For one call: a small one takes well under a second, and a busy machine many times as long."""
UNFORESEEN = "nobody foresaw this"
"""What the command line says in the place of a traceback."""


class HungError(BaseException):
    """A command did not end; no handler of a command's own catches it."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        words: what was typed.
        code: its exit code.
        out: what it printed to stdout.
        err: what it printed to stderr.
    """

    words: tuple[str, ...]
    code: int
    out: str
    err: str


def call(folder: Path, *words: str) -> Ended:
    """Return how ``jaxgossip`` with words behind it ends in a folder; check that it ends as it may.

    Raises:
        AssertionError: a traceback, another exit code, an error without a word, or no end.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, _watched(words), warnings.catch_warnings():
        warnings.simplefilter("always")  # told on stderr, as to a user; pytest makes errors of them
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["jaxgossip", *words])
        patch.setenv("COLUMNS", "80")
        patch.setattr("tempfile.tempdir", str(folder))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
            main()
    assert isinstance(left.value.code, int)
    ended = Ended(words, left.value.code, out.getvalue(), err.getvalue())
    assert ended.code in CODES, ended
    assert UNFORESEEN not in ended.err, ended
    assert "Traceback" not in ended.err, ended
    assert (ended.code == 0) == ("error: " not in ended.err), ended
    return ended


@contextlib.contextmanager
def _watched(words: tuple[str, ...]) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise HungError(f"{words} still runs after {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def thorough(examples: int) -> settings:
    """Return hypothesis' settings of a fuzz: the same examples each time, none of them kept, no time limit of its own."""
    return settings(
        max_examples=max(1, int(examples * float(os.environ.get("FUZZ_SHARE", "1")))),
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
