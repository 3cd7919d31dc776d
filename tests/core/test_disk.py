"""The door to the disk: files whole or not at all, errors that name them, one process in a folder."""

import ast
import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jaxgossip
from jaxgossip.core import disk
from jaxgossip.core.errors import ConfigError, RunError

PACKAGE = Path(jaxgossip.__file__).parent
WRITES = {"write_text", "write_bytes", "mkdir", "makedirs", "unlink", "rmdir", "rmtree", "copyfile", "rename", "touch"}
ELSEWHERE = {
    "bench/grids.py": "scratch of a benchmark",
    "cli/terminal/output.py": "the null device, and stdout itself",
    "simulation/mesh/stored.py": "entries of an archive within the door",
}


@pytest.mark.slow
def test_nothing_else_in_the_package_writes_to_the_disk() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        if name == "core/disk.py" or name in ELSEWHERE:
            continue
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            called = getattr(call.func, "attr", getattr(call.func, "id", ""))
            words = [word.value for word in ast.walk(call) if isinstance(word, ast.Constant)]
            modes = {word for word in words if isinstance(word, str) and set(word) <= set("rwax+bt")}
            opens = called == "open" and any(set(mode) & set("wax+") for mode in modes)
            where = f"{name}:{call.lineno}: {ast.unparse(call)[:80]}"
            assert called not in WRITES, where
            assert not opens, where


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    disk.write(path, "old")

    def fails(file) -> None:
        file.write(b"ne")
        file.flush()
        assert path.read_text() == "old"
        raise ValueError

    with pytest.raises(ValueError):
        disk.write(path, fails)
    assert path.read_text() == "old"
    disk.write(path, lambda file: file.write(b"new"))
    assert path.read_text() == "new"
    assert [one.name for one in tmp_path.iterdir()] == ["note.json"]


def test_folders_that_cannot_be_seen_to_the_disk_hold_files_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, code = os.fsync, errno.EINVAL

    def of_files_only(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_only)
    disk.write(tmp_path / "note.json", "text")
    disk.append(tmp_path / "log", "line")
    assert (tmp_path / "note.json").read_text() + (tmp_path / "log").read_text() == "textline"
    code = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        disk.write(tmp_path / "note.json", "text")


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    target, link = tmp_path / "far" / "target", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(target)
    disk.write(link, "text")
    assert (target.read_text(), link.is_symlink()) == ("text", True)
    disk.write(Path(os.devnull), "text")
    assert Path(os.devnull).is_char_device()


def test_a_disk_without_room_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "metrics.jsonl"
    for work in (disk.write, disk.append):
        with pytest.raises(OSError) as caught:
            work(path, "{}\n")
        assert str(caught.value) == f"[Errno 28] No space left on device: '{path}'"
    assert [one.name for one in tmp_path.iterdir()] == ["metrics.jsonl"], (
        "what could be appended is there, and no temporary file"
    )


def test_the_wrong_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        disk.write(tmp_path / "none" / "file", "")
    assert caught.value.filename == str(tmp_path / "none" / "file")


def test_removing_takes_links_and_not_what_they_lead_to(tmp_path: Path) -> None:
    kept, folder = tmp_path / "kept", tmp_path / "folder"
    for one in (kept, folder, folder / "inner"):
        one.mkdir()
        (one / "file").write_text("")
    (folder / "link").symlink_to(kept)
    disk.remove(folder)
    disk.remove(folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "kept"]


HOLD = """
import sys
from pathlib import Path
from jaxgossip.core import disk
with disk.locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_worked_in_by_one_process_and_is_free_when_that_dies(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    for work in (disk.check_unlocked, lambda folder: disk.locked(folder).__enter__()):
        with pytest.raises(ConfigError) as caught:
            work(tmp_path)
        host = os.uname().nodename
        assert caught.value.message == f"{tmp_path} is in use: process {holder.pid} on {host} is writing to it"
        assert f"'kill {holder.pid}' on {host}" in caught.value.hint
    holder.kill()
    holder.communicate()
    assert (tmp_path / ".lock").is_file(), "a kill lets nobody tidy up"
    with disk.locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_removed_is_not_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    def work() -> None:
        with disk.locked(folder):
            disk.remove(folder)
            disk.append(folder / "metrics.jsonl", "{}\n")

    with pytest.raises(RunError, match=rf"{folder} was removed while it was being written to"):
        work()
    assert not folder.exists()
    folder.mkdir()
    with disk.locked(folder) as lock:
        disk.remove(folder)
        folder.mkdir()
        with disk.locked(folder), pytest.raises(RunError, match="was removed"):
            lock.check()  # another one stands in its place, and another process works in it


def test_a_file_system_without_locks_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unknown)
    notes: list[str] = []
    with disk.locked(tmp_path, notes.append) as lock:
        lock.check()
    (note,) = notes
    assert note == (
        f"warning: no locks on the file system of {tmp_path} (No locks available): see that nothing else runs in it"
    )
    assert list(tmp_path.iterdir()) == []
