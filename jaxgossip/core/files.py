"""Files of the user's: a regular file, unpacked where it is gzip, as text in UTF-8; whatever fails is one error."""

import contextlib
import gzip
import os
import stat
import zlib
from pathlib import Path

from jaxgossip.core.errors import InputError

GZIP = b"\x1f\x8b"
"""What a file of gzip begins with, whatever its name."""


def existing_file(path: str | Path, error: type[InputError], hint: str = "") -> Path:
    """Return the path of a regular file; pipes and devices, which could be waited for without end, are none.

    Args:
        path: the file; ``~`` is the user's home.
        error: what is raised.
        hint: the way out where there is no such file.

    Raises:
        InputError: nothing there, or a folder, a pipe or a device.
    """
    try:
        found = Path(path).expanduser()
    except RuntimeError as unknown:  # ~nobody
        raise error(f"no such file: {path}", hint=str(unknown)) from unknown
    try:
        mode = found.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as missing:
        raise error(f"no such file: {path}", hint=hint) from missing
    except (OSError, ValueError) as failed:  # ValueError: a NUL byte, which no name has
        raise error(f"{path} cannot be read: {getattr(failed, 'strerror', failed)}", hint=hint) from failed
    if stat.S_ISDIR(mode):
        raise error(f"{path} is a folder, not a file", hint="name the file in it")
    if not stat.S_ISREG(mode):
        raise error(f"{path} is a pipe or a device, not a file", hint="write what it gives to a file first")
    return found


def read_bytes(path: str | Path, error: type[InputError], hint: str = "") -> bytes:
    """Return what a file holds, unpacked if it is gzip.

    Args:
        path: the file.
        error: what is raised.
        hint: the way out where there is no such file.

    Raises:
        InputError: no such file, no regular one, or one that cannot be read or unpacked.
    """
    found = existing_file(path, error, hint)
    try:
        content = found.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as damaged:
        raise error(
            f"{path} is damaged gzip: {damaged}", hint="was it copied to its end? unpack it with gunzip"
        ) from damaged
    except OSError as failed:
        raise error(f"{path} cannot be read: {failed.strerror}", hint="is it yours to read?") from failed


def read_text(path: str | Path, error: type[InputError], hint: str = "") -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark, unpacked if it is gzip.

    Args:
        path: the file.
        error: what is raised.
        hint: the way out where there is no such file.

    Raises:
        InputError: no such file, no regular one, one that cannot be read or unpacked, or one that is no text in UTF-8.
    """
    return text_of(path, read_bytes(path, error, hint), error)


def text_of(path: str | Path, content: bytes, error: type[InputError]) -> str:
    """Return what a file holds as text in UTF-8, with or without a byte order mark.

    Args:
        path: the file, as messages call it.
        content: what it holds.
        error: what is raised.

    Raises:
        InputError: it is no text in UTF-8.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise error(f"{path} is text in UTF-16", hint="save it as UTF-8")
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise error(f"{path}, line {line}: a NUL byte, which no text has", hint="save it as text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as undecodable:
        line = content[: undecodable.start].count(b"\n") + 1
        raise error(
            f"{path} is not text in UTF-8: {undecodable.reason} at byte {undecodable.start}, line {line}",
            hint="save it as UTF-8, for instance by: iconv -f latin1 -t utf-8",
        ) from undecodable


def absolute(path: str | Path, folder: Path) -> Path:
    """Return ``path`` made absolute, starting from ``folder`` if it is relative; ``~`` is the user's home.

    However a file was named, its path is one: ``..`` is taken out, unless it leads elsewhere, out of a folder that is a link.
    """
    expanded = Path(path)
    with contextlib.suppress(RuntimeError):  # no such user: no such file
        expanded = expanded.expanduser()
    found = (expanded if expanded.is_absolute() else folder / expanded).absolute()
    plain = Path(os.path.normpath(found))
    return plain if plain == found or _is_same(plain, found) else found


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False
