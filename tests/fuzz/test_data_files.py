"""Files of samples and of ratings, damaged in every format: refused, or read as what was meant."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgossip.core.errors import InputError
from jaxgossip.learning import load_file
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.data.readers.rating_files import read_ratings
from tests.fuzz.calling import call, thorough
from tests.fuzz.mutations import spoiled

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 3)).round(3) + 10.0, np.arange(24) % 2
TABLE = "\n".join([f"{a:.3f},{b:.3f},{c:.3f},{label}" for (a, b, c), label in zip(X, Y, strict=True)]).encode() + b"\n"
NAMED = b"height,width,depth,label\n" + TABLE
SVMLIGHT = (
    "\n".join(f"{label} 1:{a:.3f} 2:{b:.3f} 3:{c:.3f}" for (a, b, c), label in zip(X, Y, strict=True)).encode() + b"\n"
)
RATINGS = "\n".join(f"{user},{item},{1 + (user + item) % 5}" for user in range(4) for item in range(8)).encode() + b"\n"
CONFIG = """
rounds = 2
topology = { kind = "ring", nodes = 3 }
optimizer.learning_rate = 0.1
[learning]
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    for suffix in ("csv", "svm", "npz", "tsv", "data"):
        (made / f"{suffix}.toml").write_text(f'{CONFIG}dataset = "x.{suffix}"\nmodel = "logistic"\n')
    ratings = 'dataset = "ratings"\ndataset_options = { path = "r.csv" }\n'
    (made / "r.toml").write_text(CONFIG.replace('"ring", nodes = 3', '"ring", nodes = 4') + ratings)
    np.savez(made / "seed.npz", x=X, y=Y)
    return made


def read(path: Path) -> Dataset | None:
    try:
        return load_file(path, test_fraction=0.25, standardize=False)
    except InputError:
        return None


def samples(data: Dataset) -> np.ndarray:
    """Return all samples with their labels, sorted: whatever the split."""
    x = np.concatenate([data.x_train, data.x_test])
    y = np.concatenate([data.y_train, data.y_test])
    return np.array(sorted(map(tuple, np.column_stack([x, y]).astype(np.float32))))


@pytest.mark.parametrize(("suffix", "seed"), [("csv", TABLE), ("csv", NAMED), ("svm", SVMLIGHT), ("data", TABLE)])
def test_text_spoiled_at_random_ends_as_it_may(folder: Path, suffix: str, seed: bytes) -> None:
    @thorough(40)
    @given(spoiled(seed))
    def fuzz(content: bytes) -> None:
        (folder / f"x.{suffix}").write_bytes(content)
        assert call(folder, "validate", f"{suffix}.toml").code in (0, 2)

    fuzz()


@thorough(120)
@given(st.sampled_from((TABLE, NAMED)), st.integers(1, 23), st.data())
def test_a_table_that_is_damaged_is_refused(folder: Path, table: bytes, number: int, data: st.DataObject) -> None:
    lines = table.splitlines()
    fields = lines[number].split(b",")
    at = data.draw(st.integers(0, len(fields) - 1))
    way = data.draw(st.sampled_from(("lost field", "one more", "letter", "bytes", "nul", "empty", "cut", "infinite")))
    match way:
        case "lost field":
            del fields[at]
        case "one more":
            fields.insert(at, b"7")
        case "letter":
            fields[min(at, 2)] += b"x"
        case "bytes":
            fields[at] = b"\xff" + fields[at]
        case "nul":
            fields[at] += b"\0"
        case "empty":
            fields[at] = data.draw(st.sampled_from((b"", b"?", b"NA", b"nan")))
        case "infinite":
            fields[min(at, 2)] = data.draw(st.sampled_from((b"inf", b"1e999", b"-inf")))
        case _:
            del lines[number + 1 :]
            fields = fields[: data.draw(st.integers(1, 3))]
    lines[number] = b",".join(fields)
    (folder / "damaged.csv").write_bytes(b"\n".join(lines) + b"\n")
    assert read(folder / "damaged.csv") is None, way


@thorough(60)
@given(st.sampled_from(("csv", "svm")), st.booleans(), st.data())
def test_a_file_in_other_clothes_is_the_same(folder: Path, suffix: str, named: bool, data: st.DataObject) -> None:
    content = SVMLIGHT if suffix == "svm" else NAMED if named else TABLE
    for way in data.draw(
        st.lists(st.sampled_from(("bom", "crlf", "blank lines", "no last end", "gzip", "blanks")), unique=True)
    ):
        match way:
            case "bom":
                content = b"\xef\xbb\xbf" + content
            case "crlf":
                content = re.sub(rb"\r?\n", b"\r\n", content)
            case "blank lines":
                content = content + b"\n\n"
            case "no last end":
                content = content.rstrip()
            case "blanks":
                content = re.sub(rb"(\r?\n)", rb"  \1", content)
            case _:
                content = gzip.compress(content)
                break
    (folder / f"clothes.{suffix}").write_bytes(content)
    found = read(folder / f"clothes.{suffix}")
    assert found is not None
    (folder / f"plain.{suffix}").write_bytes(SVMLIGHT if suffix == "svm" else TABLE)
    expected = read(folder / f"plain.{suffix}")
    assert expected is not None
    assert np.array_equal(samples(found), samples(expected))


@thorough(120)
@given(st.data())
def test_arrays_that_are_damaged_are_refused_or_the_same(folder: Path, data: st.DataObject) -> None:
    seed = (folder / "seed.npz").read_bytes()
    (folder / "x.npz").write_bytes(data.draw(spoiled(seed)))
    found, expected = read(folder / "x.npz"), read(folder / "seed.npz")
    assert expected is not None
    assert found is None or np.array_equal(samples(found), samples(expected))


@thorough(40)
@given(spoiled(RATINGS))
def test_ratings_spoiled_at_random_end_as_they_may(folder: Path, content: bytes) -> None:
    (folder / "r.csv").write_bytes(content)
    assert call(folder, "validate", "r.toml").code in (0, 2)


@thorough(80)
@given(st.integers(0, 31), st.sampled_from(("lost field", "letter", "nan", "bytes", "again", "empty", "cut")))
def test_ratings_that_are_damaged_are_refused(folder: Path, number: int, way: str) -> None:
    lines = RATINGS.splitlines()
    user, item, rating = lines[number].split(b",")
    spoilt = {
        "lost field": user + b"," + item,
        "letter": user + b"," + item + b"," + rating + b"x",
        "nan": user + b"," + item + b",nan",
        "bytes": user + b"," + item + b"\xff," + rating,
        "empty": user + b",," + rating,
        "again": lines[number] + b"\n" + lines[number],
        "cut": user,
    }
    lines[number] = spoilt[way]
    (folder / "damaged.csv").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(InputError):
        read_ratings(folder / "damaged.csv")


def test_what_is_not_damaged_is_taken(folder: Path) -> None:
    for name, content in {"x.csv": TABLE, "x.svm": SVMLIGHT, "x.data": TABLE, "r.csv": RATINGS}.items():
        (folder / name).write_bytes(content)
    (folder / "x.npz").write_bytes((folder / "seed.npz").read_bytes())
    for config in ("csv", "svm", "data", "npz", "r"):
        assert call(folder, "validate", f"{config}.toml").code == 0
