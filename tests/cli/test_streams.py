"""Where words go that nobody hears any more: they are dropped, and what was asked for is done all the same."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxgossip.cli.terminal.output import RobustStream
from tests.experiment.tiny import TEXT


class Gone:
    """A stream that nobody hears."""

    def __init__(self, code: int) -> None:
        self._code = code

    def write(self, *_: str) -> int:
        raise OSError(self._code, os.strerror(self._code))

    flush = write

    def fileno(self) -> int:
        raise OSError


def test_what_nobody_hears_is_dropped() -> None:
    stream = RobustStream(Gone(errno.EPIPE), BrokenPipeError)
    assert stream.write("words") == 5
    with pytest.raises(OSError, match="No space left on device"):
        RobustStream(Gone(errno.ENOSPC), BrokenPipeError).write("results")
    assert RobustStream(Gone(errno.ENOSPC), OSError).write("progress") == 8
    without = RobustStream(None, OSError)
    assert without.write("progress") == 8
    without.close()


def shell(line: str, folder: Path) -> tuple[str, str]:
    command = f"{sys.executable} -m jaxgossip {line}; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "stdout", "stderr"),
    [
        ("list examples 2>&1 >/dev/null | head -0", "0\n", ""),
        pytest.param("list examples 2>/dev/null | head -0", "0\n", "", marks=pytest.mark.slow),
        pytest.param("list examples 2>/dev/full >/dev/null", "0\n", "", marks=pytest.mark.slow),
        pytest.param("list examples 2>&- >/dev/null", "0\n", "", marks=pytest.mark.slow),
        pytest.param("list examples >&- 2>/dev/null", "0\n", "", marks=pytest.mark.slow),
        pytest.param("run tiny.toml --out run 2>&1 >/dev/null | head -0", "0\n", "", marks=pytest.mark.slow),
        pytest.param("run tiny.toml --out run 2>/dev/null | head -0", "0\n", "", marks=pytest.mark.slow),
    ],
)
def test_a_closed_pipe_fails_no_command(line: str, stdout: str, stderr: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TEXT)
    assert shell(line, tmp_path) == (stdout, stderr)
    assert "run" not in line or (tmp_path / "run" / "summary.png").is_file()


@pytest.mark.slow
def test_results_that_find_no_room_are_told(tmp_path: Path) -> None:
    stdout, stderr = shell("list examples >/dev/full", tmp_path)
    assert stdout == "1\n"
    assert "error: stdout: No space left on device\n\nhint: " in stderr
