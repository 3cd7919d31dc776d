"""Whatever a file of arrays is instead of one, its readers say in one sentence that names it."""

import os
import pickle
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError
from jaxgossip.core.npz import read_npz
from jaxgossip.schedule import files

NAMES = ("sender", "receiver", "sent_s", "arrives_s", "edges", "fastest", "schedule")


def whole(path: Path) -> bytes:
    arrays: Any = {name: np.arange(300) for name in NAMES}
    np.savez_compressed(path, **arrays)
    return path.read_bytes()


def a_cut_file(path: Path) -> None:
    path.write_bytes(whole(path)[:700])


def a_file_without_its_end(path: Path) -> None:
    path.write_bytes(whole(path)[:-5])


def a_changed_byte(path: Path) -> None:
    content = bytearray(whole(path))
    content[100] ^= 255
    path.write_bytes(content)


def an_unknown_packing(path: Path) -> None:
    content = bytearray(whole(path))
    central = content.index(b"PK\x01\x02")
    content[8:10] = content[central + 10 : central + 12] = b"\x63\x00"  # the method, twice in a zip archive
    path.write_bytes(content)


def members_that_are_no_arrays(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in NAMES:
            archive.writestr(name, "text")


def a_header_that_is_none(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in NAMES:
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8'}")


def an_array_beyond_all_memory(path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name in NAMES:
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


def python_objects(path: Path) -> None:
    arrays: Any = {name: np.array([None, {}], object) for name in NAMES}
    np.savez(path, **arrays)


def a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(dict.fromkeys(NAMES)))


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.eye(3))


def an_empty_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w"):
        pass


DAMAGED: dict[str, Callable[[Path], object]] = {
    "cut": a_cut_file,
    "without its end": a_file_without_its_end,
    "changed": a_changed_byte,
    "packed otherwise": an_unknown_packing,
    "no arrays": members_that_are_no_arrays,
    "no header": a_header_that_is_none,
    "too large": an_array_beyond_all_memory,
    "objects": python_objects,
    "pickle": a_pickle,
    "npy": one_array,
    "empty archive": an_empty_archive,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("0,1\n"),
    "gzip": lambda path: path.write_bytes(b"\x1f\x8b\x08"),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "nothing": lambda path: path,
}
READERS: dict[str, Callable[[Path], object]] = {
    "arrays": partial(read_npz, error=InputError, required=NAMES, hint="a way out"),
    "messages": partial(files.read, n_nodes=3),
    "weights": lambda path: jg.mixing.from_file(jg.topology.path(4), path=path),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_file_of_arrays_is_one_error_with_a_way_out(
    tmp_path: Path, damage: Callable[[Path], object], read: Callable[[Path], object]
) -> None:
    path = tmp_path / "own.npz"
    damage(path)
    with pytest.raises(InputError) as told:
        read(path)
    assert "own.npz" in told.value.message
    assert "\n" not in told.value.message
    assert told.value.hint


def test_arrays_come_by_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.eye(2))
    found = read_npz(tmp_path / "a.npz", InputError, ("x",), ("y",))
    assert found["x"].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"has no array 'z': it holds 'x', 'y'"):
        read_npz(tmp_path / "a.npz", InputError, ("z",))
    with pytest.raises(InputError, match=r"has an unknown array 'y'"):
        read_npz(tmp_path / "a.npz", InputError, ("x",))
