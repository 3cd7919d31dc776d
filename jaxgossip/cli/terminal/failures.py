"""Messages and exit codes of commands that fail: a sentence and a hint, never a traceback."""

from datetime import UTC, datetime
from pathlib import Path

from jaxgossip.cli.terminal.output import fail
from jaxgossip.core.errors import InputError, JaxGossipError

REPORT = "please report it, with that file and what 'jaxgossip info' says"
MEMORY_HINT = (
    "'jaxgossip plan CONFIG' tells what a run takes; "
    'fewer nodes, a smaller model or device.dtype="bfloat16" take less'
)


def failed(error: BaseException) -> int:
    """Report the error that ended a command, and return its exit code.

    The codes are 0 if the output pipe was closed, 1 for failures, 2 for invalid input and 130 for interruptions.

    Args:
        error: the exception that was raised.
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
    if hasattr(error, "format_message"):  # a usage error of the parser; typer's copy of click is private
        return _misused(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        fail(f"out of memory: {_first_line(error)}\n{_trace_location(error)}", MEMORY_HINT)
        return 1
    fail(f"{type(error).__name__}: {_first_line(error)}\nnobody foresaw this; {_trace_location(error)}", REPORT)
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


def _trace_location(error: BaseException) -> str:
    """Return a sentence on where the full trace is: where a note of the error says, or in a new file."""
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
