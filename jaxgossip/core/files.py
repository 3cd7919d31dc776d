"""Reading of the user's files: regular files, decompressed if gzip, decoded as UTF-8; all failures are one kind of error."""

import contextlib
import gzip
import os
import re
import stat
import zlib
from pathlib import Path

from jaxgossip.core.errors import InputError

GZIP = b"\x1f\x8b"
"""The magic number of gzip: files are recognised by their content, not by their name."""


def existing_file(path: str | Path, error: type[InputError], hint: str = "") -> Path:
    """Return the path of a regular file; pipes and devices are refused, for reading them could block forever.

    Args:
        path: the file; ``~`` is the user's home.
        error: class of the error to raise.
        hint: what to do if there is no such file.

    Raises:
        InputError: the path does not exist, or is a folder, a pipe or a device.
    """
    try:
        file = Path(path).expanduser()
    except RuntimeError as unknown:  # ~nobody
        raise error(f"no such file: {path}", hint=str(unknown)) from unknown
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as missing:
        raise error(f"no such file: {path}", hint=hint) from missing
    except (OSError, ValueError) as failed:  # ValueError: the path contains a NUL byte
        raise error(f"{path} cannot be read: {getattr(failed, 'strerror', failed)}", hint=hint) from failed
    if stat.S_ISDIR(mode):
        raise error(f"{path} is a folder, not a file", hint="name the file in it")
    if not stat.S_ISREG(mode):
        raise error(f"{path} is a pipe or a device, not a file", hint="write what it gives to a file first")
    return file


def read_bytes(path: str | Path, error: type[InputError], hint: str = "") -> bytes:
    """Return the content of a file, decompressed if it is gzip.

    Args:
        path: the file.
        error: class of the error to raise.
        hint: what to do if there is no such file.

    Raises:
        InputError: the file does not exist, is not a regular file, or cannot be read or decompressed.
    """
    file = existing_file(path, error, hint)
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as damaged:
        raise error(
            f"{path} is damaged gzip: {damaged}", hint="was it copied to its end? unpack it with gunzip"
        ) from damaged
    except OSError as failed:
        raise error(f"{path} cannot be read: {failed.strerror}", hint="is it yours to read?") from failed


def read_text(path: str | Path, error: type[InputError], hint: str = "") -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark, decompressed if it is gzip.

    Args:
        path: the file.
        error: class of the error to raise.
        hint: what to do if there is no such file.

    Raises:
        InputError: the file does not exist, is not a regular file, cannot be read or decompressed, or is not UTF-8.
    """
    return text_of(path, read_bytes(path, error, hint), error)


def text_of(path: str | Path, content: bytes, error: type[InputError]) -> str:
    """Decode the content of a file as UTF-8, with or without a byte order mark.

    Args:
        path: the file, as named in messages.
        content: the content of the file.
        error: class of the error to raise.

    Raises:
        InputError: the content is not UTF-8 text.
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
    """Return ``path`` made absolute, relative to ``folder``; ``~`` is the user's home.

    A file has the same path however it was named: ``..`` is resolved, unless a symbolic link makes it lead elsewhere.
    """
    expanded = Path(path)
    with contextlib.suppress(RuntimeError):  # no such user: reported later, as a file that does not exist
        expanded = expanded.expanduser()
    joined = (expanded if expanded.is_absolute() else folder / expanded).absolute()
    normal = Path(os.path.normpath(joined))
    return normal if normal == joined or _is_same(normal, joined) else joined


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def folder_name(name: str) -> str:
    """Return a name reduced to characters allowed in folder names: letters, digits, '_', '-', '.' and '+'."""
    plain = name.replace("²", "2").replace("%", "")
    return re.sub(r"[^\w.+-]+", "_", plain).strip("_.").lstrip("-+._") or "run"
