"""Atomic file writes and folder locks: a file on disk is complete, even if the process is killed or the disk full.

Everything that jaxgossip writes to disk goes through these functions. A process killed while writing leaves at most a
temporary file ending in ``.tmp``. One process at a time works in a folder and holds its lock, which ends with the process.
"""

import contextlib
import errno
import fcntl
import json
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, BinaryIO

from jaxgossip.core.errors import ConfigError, RunError

TEMPORARY = ".tmp"
"""Suffix of files that are not completely written yet."""
LOCK = ".lock"
"""Name of the lock file in a folder."""
METRICS, SCORES, MODELS, MANIFEST = "metrics.jsonl", "node_scores.npz", "models.npz", "manifest.json"
"""The files of a run or of a saved result."""
SWEEP = "sweep.json"
"""The file in a sweep's folder that describes its runs."""

type Content = str | bytes | Callable[[BinaryIO], object]
"""Content to write: text (encoded as UTF-8), bytes, or a function that writes to an open binary file."""


def write(path: Path, content: Content) -> None:
    """Write a file atomically and durably: a reader sees either the old or the new content.

    Args:
        path: path of the file, in an existing folder. Symbolic links are followed; devices and pipes are written to directly.
        content: the content of the file.

    Raises:
        OSError: the file cannot be written; ``filename`` is always ``path``, also when the disk is full.
    """
    with _named(path):
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                _put(file, content)
            return
        path = path.resolve()
        temporary = path.with_name(f"{path.name[:40]}.{os.getpid()}{TEMPORARY}")
        try:
            with temporary.open("wb") as file:
                _put(file, content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def append(path: Path, text: str) -> None:
    """Append text, encoded as UTF-8, durably to a file, which is created if missing.

    If the process is killed, only part of the text may be there.

    Raises:
        OSError: see :func:`write`.
    """
    with _named(path):
        is_new = not path.exists()
        with path.open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync(path.parent)


def make_folder(path: Path, *, parents: bool = False) -> None:
    """Create a folder unless it exists, and with ``parents`` also the missing folders above it."""
    if not path.is_dir():
        path.mkdir(parents=parents, exist_ok=True)
        _sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its content; do nothing if the path does not exist."""
    if path.is_dir() and not path.is_symlink():
        for inner in sorted(path.iterdir()):
            remove(inner)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Return whether a file is a lock or an incompletely written file, and can be ignored."""
    return path.name == LOCK or (path.name.endswith(TEMPORARY) and not path.is_dir())


def remove_leftovers(folder: Path) -> None:
    """Remove incompletely written files from a folder, whose lock must be held, and from its subfolders."""
    for path in [*folder.glob(f"*{TEMPORARY}"), *folder.glob(f"*/*{TEMPORARY}")]:
        if not path.is_dir():
            path.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def parsed_json(text: str | bytes, *, strict: bool = False) -> Any:
    """Parse JSON.

    Args:
        text: the JSON; bytes are decoded as UTF-8.
        strict: whether NaN and infinities, which are not valid JSON, are errors.

    Raises:
        ValueError: the text is not JSON, is nested too deeply, or is not valid UTF-8.
    """
    try:
        return json.loads(text, parse_constant=_no_number if strict else None)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def strict_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with None in place of NaN and infinities, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in record.items()
    }


@dataclass(frozen=True)
class Seal:
    """Fingerprint of a log, by which any change shows.

    Attributes:
        records: number of records.
        sha256: SHA-256 of their lines, in hexadecimal.
    """

    records: int
    sha256: str

    def facts(self) -> dict[str, Any]:
        """Return the seal as JSON values."""
        return {"records": self.records, "sha256": self.sha256}

    @classmethod
    def of(cls, facts: Any) -> "Seal | None":
        """Return the seal stored in JSON values, or None if they hold none."""
        if not isinstance(facts, Mapping):
            return None
        records, digest = facts.get("records"), facts.get("sha256")
        return cls(records, digest) if type(records) is int and isinstance(digest, str) else None


class Sealing:
    """Keeps the seal of a log up to date while lines are added.

    Args:
        lines: the lines that the log has already, without line breaks.
    """

    def __init__(self, lines: Sequence[bytes] = ()) -> None:
        self._digest, self._records = sha256(), 0
        for line in lines:
            self.add(line)

    def add(self, line: bytes) -> None:
        """Add a line, given without its line break."""
        self._digest.update(line + b"\n")
        self._records += 1

    @property
    def seal(self) -> Seal:
        """The seal of all lines."""
        return Seal(self._records, self._digest.hexdigest())


class Lock:
    """This process's lock on a folder.

    Args:
        folder: the folder.
        descriptor: open file descriptor of the lock file; None if the file system does not support locks.
    """

    def __init__(self, folder: Path, descriptor: int | None) -> None:
        self._folder, self._descriptor = folder, descriptor

    def check(self) -> None:
        """Raise RunError if the folder has been removed or, where the file system supports locks, replaced."""
        if self.is_lost():
            raise RunError(
                f"{self._folder} was removed while it was being written to",
                hint="nothing was put in its place; type the command that made it again",
            )

    def is_lost(self) -> bool:
        """Return whether the folder, or its lock file, has been removed or replaced.

        Without locks, only a missing folder is noticed.
        """
        if self._descriptor is None:
            return not self._folder.is_dir()
        return not _is_at(self._descriptor, self._folder / LOCK)

    def release(self) -> None:
        """Release the lock and remove its file."""
        if self._descriptor is not None:
            if not self.is_lost():
                with contextlib.suppress(OSError):
                    (self._folder / LOCK).unlink()
            os.close(self._descriptor)


@contextlib.contextmanager
def locked(folder: Path, note: Callable[[str], None] = lambda _: None) -> Iterator[Lock]:
    """Hold the lock of a folder for the duration of the context.

    Args:
        folder: an existing folder.
        note: receives a warning if the file system does not support locks.

    Raises:
        ConfigError: another process holds the lock.
        RunError: the body failed because the folder was removed in the meantime.
    """
    lock = _lock(folder, note)
    try:
        yield lock
    except OSError:
        lock.check()
        raise
    finally:
        lock.release()


def check_unlocked(folder: Path) -> None:
    """Raise ConfigError if another process holds the lock of a folder."""
    if (folder / LOCK).is_file():
        with locked(folder):
            pass


def _lock(folder: Path, note: Callable[[str], None]) -> Lock:
    path = folder / LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").split()
            os.close(descriptor)
            raise _in_use(folder, holder) from error
        except OSError as error:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            note(
                f"warning: no locks on the file system of {folder} ({error.strerror}): see that nothing else runs in it"
            )
            return Lock(folder, None)
        if _is_at(descriptor, path):
            break
        os.close(descriptor)  # removed by its previous holder after it was opened here
    with contextlib.suppress(OSError):  # on a full disk the lock holds without naming its process
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
    return Lock(folder, descriptor)


def _in_use(folder: Path, holder: list[str]) -> ConfigError:
    if len(holder) != 2 or not holder[0].isdigit():
        return ConfigError(f"{folder} is in use by another process", hint="wait until that has ended, or end it")
    pid, host = holder
    return ConfigError(
        f"{folder} is in use: process {pid} on {host} is writing to it",
        hint=f"wait until that has ended, or end it with 'kill {pid}' on {host}: what it has saved stays",
    )


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the file at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _put(file: BinaryIO, content: Content) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content.encode() if isinstance(content, str) else content)


def _sync(folder: Path) -> None:
    """Flush the entries of a folder to disk, if its file system supports that."""
    with _named(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # folders of CIFS, FUSE and the like
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Set the file name of errors to ``path``: errors of a full disk have none, and temporary names are meaningless."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
