"""Whatever ends a command: a sentence, the way out and an exit code, where a traceback was to be expected."""

import errno
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxgossip.cli import start as beginning
from jaxgossip.cli.terminal.failures import failed
from jaxgossip.cli.terminal.output import fail, make_streams_robust, plain, say
from jaxgossip.experiment.runs import run as runs

Call = Callable[..., tuple[int, str, str]]

SMALL = """
name = "small"
rounds = 2
topology = { kind = "ring", nodes = 4 }
learning = { dataset = "isotropic_quadratic", dataset_options = { dimension = 2 } }
optimizer.learning_rate = 0.1
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "small.toml").write_text(SMALL)
    return "small.toml"


def test_the_unforeseen_is_one_sentence_and_its_trace_is_kept(
    called: Call, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AssertionError("a thing\nof several lines")

    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("jaxgossip.cli.terminal.variants.build", broken)
    code, out, err = called("validate", config)
    (trace,) = tmp_path.glob("jaxgossip-*.txt")
    assert (code, out) == (1, "")
    assert err == (
        f"error: AssertionError: a thing\nnobody foresaw this; the whole trace is in {trace}\n\n"
        "hint: please report it, with that file and what 'jaxgossip info' says\n"
    )
    assert trace.read_text().startswith("Traceback")
    assert "of several lines" in trace.read_text()


def test_a_run_that_breaks_keeps_its_trace_in_its_folder(
    called: Call, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 3. TiB for an array")

    monkeypatch.setattr(runs, "simulate_experiment", broken)
    code, _, err = called("run", config, "--out", "here")
    assert code == 1
    assert (
        "error: out of memory: Unable to allocate 3. TiB for an array\nthe whole trace is in here/error.txt\n\n"
        "hint: 'jaxgossip plan CONFIG' tells what a run takes; "
    ) in err
    assert "Traceback" not in err
    assert "MemoryError" in (tmp_path / "here" / "error.txt").read_text()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 1, "error: out of memory: MemoryError\nthe whole trace is in "),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes."), 1, "error: out of memory: RESOURCE"),
        (RecursionError("too deep"), 1, "error: RecursionError: too deep\nnobody foresaw this; the whole trace is in "),
        (ValueError("x" * 1000), 1, f"error: ValueError: {'x' * 299}…\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n\nhint: what was written stays; "),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), 1, "error: a/b: No space left on device\n\nhint: is"),
        (BrokenPipeError(), 0, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_kind_has_its_words_and_its_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert failed(error) == code
    assert capsys.readouterr().err.startswith(said)


def test_a_trace_goes_to_the_working_directory_where_there_is_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    assert failed(ValueError("no")) == 1
    assert list(tmp_path.glob("jaxgossip-*.txt"))
    monkeypatch.chdir("/proc")
    assert failed(ValueError("no")) == 1
    assert "no trace could be written" in capsys.readouterr().err


def test_ctrl_c_is_told_wherever_it_hits(
    called: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxgossip.experiment.topologies.optimized.optimized", stopped)
    code, _, err = called("topology", "optimize", "ring", "--nodes", "4")
    assert code == 130
    assert err.startswith("error: interrupted\n\nhint: ")

    class Loading:
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "jaxgossip.cli.main", Loading())
    monkeypatch.setattr(sys, "argv", ["jaxgossip", "list"])
    with pytest.raises(SystemExit) as left:
        beginning.start()
    assert left.value.code == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_what_a_terminal_cannot_show_is_replaced_by_what_is_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    make_streams_robust()
    say("‖W‖₂ ≤ 1 – 10⁻³, é × λ₂ … 漢 " + os.fsdecode(b"a\xffb"))
    sys.stdout.flush()
    assert buffer.getvalue() == b"||W||2 <= 1 - 10-3, e x lambda2 ... ? a\xffb\n"
    with pytest.raises(UnicodeDecodeError):
        plain(UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"))


ASCII = {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "every"), [(ASCII[0], False), (ASCII[1], True)])
def test_ascii_terminals_show_every_table(setting: dict[str, str], every: bool, config: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONUTF8": "0", **setting}
    odd = os.fsdecode(b"runs-\xff")
    further = (
        ["compare", odd, odd],
        ["plot", odd],
        ["topology", "optimize", "path", "--nodes", "4", "--rounds", "2", "--steps", "3"],
        ["figure", "list"],
    )
    runs = ["run", config, "--out", odd], ["topology", "compare", "ring", "star", "--nodes", "8"]
    for words in (["list"], *((*runs, *further) if every else ())):
        done = subprocess.run(
            [sys.executable, "-m", "jaxgossip", *words], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lsit"], "No such command 'lsit'. Did you mean 'list'?\n\nhint: 'jaxgossip --help' lists its commands"),
        (
            ["run", "--set"],
            "Option '--set' requires an argument.\n\nhint: 'jaxgossip COMMAND --help' lists its options",
        ),
        (["run", "--sset"], "No such option: --sset (Possible options: --seed, --set)"),
        (["topology", "shwo"], "No such command 'shwo'. Did you mean 'show'?"),
    ],
)
def test_a_mistyped_word_gets_the_nearest_one(called: Call, words: list[str], said: str) -> None:
    code, out, err = called(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}\n")


def test_the_command_alone_prints_its_help_and_its_version_is_known(called: Call) -> None:
    for words in ([], ["topology"], ["figure"]):
        code, out, err = called(*words)
        assert (code, err) == (0, "")
        assert out.startswith(" ".join(["Usage: jaxgossip", *words, "[OPTIONS] COMMAND"]))
        assert re.sub(r"\s+$", "", out) == re.sub(r"\s+$", "", called(*words, "--help")[1])
    assert re.fullmatch(r"jaxgossip \d+\.\d+\.\d+\S*\n", called("--version")[1])
    assert 'can name code, as "file.py:function"' in called("--help")[1]


def test_a_long_error_is_broken_between_words_in_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    names = ", ".join(f"name_{n}" for n in range(12))
    fail("no such thing", f"allowed: {names}\n'jaxgossip {'x' * 60}' lists them")
    assert capsys.readouterr().err.count("\n") == 4
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fail("no such thing", f"allowed: {names}\n'jaxgossip {'x' * 60}' lists them")
    *lines, command = capsys.readouterr().err.splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert " ".join(lines) == f"error: no such thing  hint: allowed: {names}"
    assert command == f"'jaxgossip {'x' * 60}' lists them"
