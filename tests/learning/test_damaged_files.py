"""Damaged files: each either raises one error that names the file and a remedy, or is read completely."""

import gzip
import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.readers.files import load_file, read_csv, read_npz, read_svmlight
from jaxgossip.learning.data.readers.rating_files import read_ratings

NAMES = ("a.csv", "a.tsv", "a.data", "a", "a.svm", "a.npz", "a.csv.gz")
WORDS = (
    b"", b"?", b"NA", b"nan", b"inf", b"-inf", b"1e999", b"9" * 5000, b"\0", b"\xff\xfe", b'"', b'""', b",", b",,", b"::",
    b"\n", b"\r", b"\r\n", b"\xe2\x80\xa8", b"\x0b", b"#", b"%", b"@relation", b":", b"1:", b":1", b"0:0", b"-1:3",
    b"qid:", b"1_000", b" ", b"\t", b";", b"|", b"\xc3\xa9", b"\xef\xbb\xbf", b"PK\x03\x04", b"\x93NUMPY", b"\x1f\x8b",
    b"+", b"0x1f", b"\xd9\xa3", b"\xc2\xb2", b"Unnamed: 0", b"label", b"user", b"1e-400", b"None", b"2147483648",
    b"9223372036854775808", b"99999999999999999999:1",
)  # fmt: skip


def archive(**arrays) -> bytes:
    held = io.BytesIO()
    np.savez_compressed(held, allow_pickle=True, **arrays)
    return held.getvalue()


def whole_files() -> list[bytes]:
    rng = random.Random(0)  # noqa: S311 - files to be spoilt, no secrets
    table = "".join(
        f"{rng.gauss(5, 1):.1f},{rng.gauss(3, 1):.1f},{'setosa' if i % 2 else 'other'}\n" for i in range(20)
    )
    sparse = "".join(f"{i % 2} qid:{i // 3} 1:{rng.random():.3f} 3:{rng.random():.2e} # c\n" for i in range(20))
    rated = "userId,movieId,rating,timestamp\n" + "".join(f"{i % 4},{i},{rng.randint(1, 5)},97{i}\n" for i in range(20))
    arrays = archive(x=np.arange(60).reshape(20, 3), y=np.arange(20) % 3, o=np.array([{}], object))
    texts = [table, "a,b,kind\n" + table, table.replace(",", "\t"), sparse, rated, rated.replace(",", "::")]
    return [
        *(text.encode() for text in texts),
        arrays,
        gzip.compress(table.encode(), mtime=0),
        gzip.compress(rated.encode(), mtime=0),
    ]


def spoilt(content: bytes, rng: random.Random) -> bytes:
    """Return the content after up to three changes: truncations, overwrites, deletions and duplications."""
    made = bytearray(content)
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        at = rng.randrange(len(made) + 1)
        end = min(len(made), at + rng.randrange(1, 30))
        match rng.randrange(6):
            case 0:
                made = made[:at]
            case 1:
                made[at:at] = rng.choice(WORDS)
            case 2:
                made[at:end] = rng.choice(WORDS)
            case 3:
                del made[at:end]
            case 4:
                made[at:at] = made[at:end] * rng.choice([1, 50])
            case _:
                lines = bytes(made).split(b"\n")
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                made = bytearray(b"\n".join(lines))
    return bytes(made)


def readers(rng: random.Random) -> list[Callable[[Path], object]]:
    options = rng.choice(
        [{}, {"header": True}, {"header": False}, {"label_column": 0}, {"drop": (0,)}, {"delimiter": " "}]
    )
    columns = rng.choice([None, ("user", "item", "rating"), ("_", "user", "rating", "item")])
    again = rng.choice(["refuse", "last", "mean"])
    return [
        lambda path: load_file(path, format=rng.choice([None, None, "csv", "npz", "svmlight"])),
        lambda path: read_csv(path, **options),
        lambda path: read_svmlight(path, features=rng.choice([None, 3, 0]), zero_based=rng.choice([None, True, False])),
        read_npz,
        lambda path: read_ratings(path, columns=columns, duplicates=again),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seed", "times"), [(0, 300), *(pytest.param(seed, 2000, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_a_spoilt_file_is_read_or_refused_in_a_sentence(seed: int, times: int, tmp_path: Path) -> None:
    rng, whole = random.Random(seed), whole_files()  # noqa: S311 - files to be spoilt, no secrets
    told: list[tuple[Path, DataError]] = []
    for _ in range(times):
        path = tmp_path / rng.choice(NAMES)
        path.write_bytes(spoilt(rng.choice(whole), rng))
        try:
            rng.choice(readers(rng))(path)
        except DataError as error:
            told.append((path, error))
    assert times / 5 < len(told) < times
    assert [str(error) for path, error in told if str(path) not in error.message or not error.hint] == []
    assert max(len(error.message) - len(str(path)) for path, error in told) < 400


@pytest.mark.parametrize("reader", [load_file, read_csv, read_svmlight, read_npz, read_ratings])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(reader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path, message in [
        (tmp_path / "pipe.csv", "is a pipe or a device, not a file"),
        (Path("/dev/zero"), "is a pipe or a device, not a file"),
        (tmp_path, "is a folder of no known data set" if reader is load_file else "is a folder, not a file"),
        (tmp_path / "none.csv", "no such file"),
    ]:
        with pytest.raises(DataError, match=message):
            reader(path)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"#", b",", b'"', b"a", b"1", b"1,2", b"a,b", b"\0", b"\xff", b"\r\n\r\n"]
)
@pytest.mark.parametrize("reader", [load_file, read_csv, read_svmlight, read_npz, read_ratings])
def test_a_file_of_next_to_nothing_is_refused(reader, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.data"
    path.write_bytes(content)
    with pytest.raises(DataError) as told:
        reader(path)
    assert str(path) in told.value.message
    assert told.value.hint


def test_an_archive_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "a.npz", archive(x=np.arange(60).reshape(20, 3), y=np.arange(20) % 3)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"a\.npz cannot be read"):
            read_npz(path)
