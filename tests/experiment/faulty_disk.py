"""A double of the disk: it counts file operations in a folder, keeps what a kill before each would leave, or is full."""

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

type Tree = dict[str, bytes | None]
"""What a folder holds: relative paths to contents, None for folders."""


def tree_of(root: Path) -> Tree:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }


def put_tree(root: Path, tree: Tree) -> None:
    root.mkdir(parents=True)
    for name, content in tree.items():
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)


class Disk:
    """File operations on what lies in a folder: opening to write, writing, syncing, renaming, making, removing.

    Args:
        root: the folder.
        before: called before each operation with its number, and once more when half of what is written is there.
    """

    REMOVING = ("unlink", "rmdir")

    def __init__(self, root: Path, before: Callable[[int, str, str], None]) -> None:
        self.root, self.count, self._before = str(root), 0, before

    def about_to(self, what: str, path: Any) -> None:
        self._before(self.count, what, str(path))
        self.count += 1

    def half_written(self, path: str) -> None:
        self._before(self.count, "write", path)

    def holds(self, path: Any) -> bool:
        return isinstance(path, str | Path) and str(Path(path).absolute()).startswith(self.root)

    @contextmanager
    def mounted(self) -> Iterator["Disk"]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("replace", "mkdir", "unlink", "rmdir"):
                patch.setattr(os, name, self._counted(name, getattr(os, name)))
            patch.setattr(os, "fsync", self._fsync(os.fsync))
            patch.setattr(os, "open", self._os_open(os.open))
            opened = self._open(io.open)
            patch.setattr(io, "open", opened)
            patch.setattr(builtins, "open", opened)
            yield self

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def double(path: Any, *more: Any, **options: Any) -> Any:
            if self.holds(path):
                self.about_to(name, path)
            return real(path, *more, **options)

        return double

    def _fsync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def double(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if self.holds(path):
                self.about_to("fsync", path)
            real(descriptor)

        return double

    def _os_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def double(path: Any, flags: int, *more: Any, **options: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and self.holds(path):
                self.about_to("open", path)
            return real(path, flags, *more, **options)

        return double

    def _open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def double(path: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
            if "r" in mode or not self.holds(path):
                return real(path, mode, *more, **options)
            self.about_to("open", path)
            return Torn(real(path, mode, *more, **options), str(path), self)

        return double


class Torn:
    """A file whose first writing happens in two halves."""

    def __init__(self, file: Any, path: str, disk: Disk) -> None:
        self._file, self._path, self._disk, self._first = file, path, disk, True

    def write(self, data: Any) -> int:
        if self._first:
            self._first = False
            self._disk.about_to("write", self._path)
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            self._disk.half_written(self._path)
            return len(data[: len(data) // 2]) + self._file.write(data[len(data) // 2 :])
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)


def kill_points(root: Path, work: Callable[[], object]) -> list[Tree]:
    """Do some work and return what the folder would hold if it were killed before each of its operations, or in it.

    A kill lets nothing run, so what it leaves is what is there at that moment; points that leave the same are one.
    """
    found: list[Tree] = []

    def keep(*_: object) -> None:
        tree = tree_of(root)
        if not found or found[-1] != tree:
            found.append(tree)

    with Disk(root, keep).mounted():
        work()
    return found


def full_from(root: Path, first: int) -> Disk:
    """Return a disk that is full from one operation on: nothing can be made or written, and all can be removed."""

    def before(number: int, what: str, path: str) -> None:
        if number >= first and what not in Disk.REMOVING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), None if what in ("write", "fsync") else path)

    return Disk(root, before)
