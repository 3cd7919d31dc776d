"""Reading the user's files: text, packed or not, and one error that names the file whatever else it is."""

import gzip
import os
from pathlib import Path

import pytest

from jaxgossip.core.errors import DataError, GraphError
from jaxgossip.core.files import read_bytes, read_text


def told(path: Path) -> tuple[str, str]:
    with pytest.raises(DataError) as error:
        read_text(path, DataError, "is it elsewhere?")
    return error.value.message, error.value.hint


@pytest.mark.parametrize("packed", [False, True])
def test_text_is_read_whatever_its_name_and_its_packing(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    for content in (b"\xef\xbb\xbfa\r\n\xc3\xa4", b"a\r\n\xc3\xa4"):
        path.write_bytes(gzip.compress(content) if packed else content)
        assert read_text(path, DataError) == "a\r\nä"
        assert read_bytes(path, DataError) == content


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert told(tmp_path / "none") == (f"no such file: {tmp_path / 'none'}", "is it elsewhere?")
    assert told(tmp_path) == (f"{tmp_path} is a folder, not a file", "name the file in it")
    assert told(Path("~nobody of this name/x"))[0] == "no such file: ~nobody of this name/x"
    os.mkfifo(tmp_path / "pipe")  # nobody will ever write to it
    assert told(tmp_path / "pipe")[0] == f"{tmp_path / 'pipe'} is a pipe or a device, not a file"
    assert told(Path("/dev/zero"))[0] == "/dev/zero is a pipe or a device, not a file"
    with pytest.raises(GraphError, match="no such file"):
        read_text(tmp_path / "none", GraphError)


@pytest.mark.parametrize("length", [2, 10, 20, 26])
def test_a_cut_archive_is_told(length: int, tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"1,2\n" * 100)[:length])
    message, hint = told(path)
    assert message.startswith(f"{path} is damaged gzip: ")
    assert hint == "was it copied to its end? unpack it with gunzip"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\xff,1\n", "{path} is not text in UTF-8: invalid start byte at byte 2, line 2"),
        (b"a\nb\n\0\n", "{path}, line 3: a NUL byte, which no text has"),
        ("a,b\n".encode("utf-16"), "{path} is text in UTF-16"),
        (b"a\nb\xc3", "{path} is not text in UTF-8: unexpected end of data at byte 3, line 2"),
    ],
)
def test_what_is_no_text_is_told_with_its_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert told(path)[0] == message.replace("{path}", str(path))
    assert told(path)[1].startswith("save it as ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all files")
def test_a_file_of_somebody_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a")
    path.chmod(0)
    assert told(path)[0] == f"{path} cannot be read: Permission denied"
