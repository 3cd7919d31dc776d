"""What a command says that ends before its time, and its exit code: a sentence and the way out, never a traceback."""

from datetime import UTC, datetime
from pathlib import Path

from jaxgossip.cli.terminal.output import fail
from jaxgossip.core.errors import InputError, JaxGossipError

REPORT = "please report it, with that file and what 'jaxgossip info' says"
ROOM = "'jaxgossip plan CONFIG' tells what a run takes; fewer nodes, a smaller model or device.dtype=\"bfloat16\" take less"


def failed(error: BaseException) -> int:
    """Say what ended a command, and return its exit code: 0 nobody listens any more, 1 it failed, 2 usage, 130 stopped.

    Args:
        error: what was raised.
    """
    match error:
        case JaxGossipError():
            fail(error.message, error.hint)
            return 2 if isinstance(error, InputError) else 1
        case KeyboardInterrupt():
            fail("interrupted", "what was written stays; 'jaxgossip resume RUN' goes on with a run")
            return 130
        case BrokenPipeError():
            return 0
        case OSError():
            reason = f"{error.filename or 'stdout'}: {error.strerror or error}"
            fail(reason, "is the folder there, writable, and the disk not full?")
            return 1
    if hasattr(error, "format_message"):  # the parser's own complaints: typer's copy of click is not ours to import
        return _misused(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        fail(f"out of memory: {_first_line(error)}\n{_kept(error)}", ROOM)
        return 1
    fail(f"{type(error).__name__}: {_first_line(error)}\nnobody foresaw this; {_kept(error)}", REPORT)
    return 1


def _misused(error: object) -> int:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "jaxgossip COMMAND")
    what = "commands" if hasattr(getattr(context, "command", None), "commands") else "options"
    fail(error.format_message(), f"'{path} --help' lists its {what}")  # pyright: ignore[reportAttributeAccessIssue]
    return 2


def _first_line(error: BaseException, most: int = 300) -> str:
    line = str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _kept(error: BaseException) -> str:
    """Return where the whole trace is: where whoever raised it has put it, or a new file."""
    import tempfile
    import traceback

    noted = [note for note in getattr(error, "__notes__", []) if "trace" in note]
    if noted:
        return noted[0]
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    text = "".join(traceback.format_exception(error))
    for folder in (Path(tempfile.gettempdir()), Path.cwd()):
        try:
            with tempfile.NamedTemporaryFile(
                "w", prefix=f"jaxgossip-{stamp}-", suffix=".txt", dir=folder, delete=False, encoding="utf-8"
            ) as file:
                file.write(text)
        except OSError:
            continue
        return f"the whole trace is in {file.name}"
    return f"no trace could be written; it ends with\n{text.splitlines()[-2] if text.count(chr(10)) > 1 else text}"
