"""Files of links, of messages and of weights, damaged: refused, or read as what was meant."""

import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgossip.core.errors import InputError
from jaxgossip.experiment.config import toml
from jaxgossip.mixing.optimized.weights import from_file
from jaxgossip.topology import edge_list, path
from jaxgossip.topology.graph import Graph
from tests.fuzz.calling import call, thorough
from tests.fuzz.mutations import spoiled
from tests.fuzz.test_configs import EVENTS

LINKS = b"0 1\n1 2\n2 3\n3 4\n4 0\n0 2\n5 1\n"
MESSAGES = b"sender,receiver,sent_s,arrives_s\n" + b"".join(
    b"%d,%d,%.3f,%.3f\n" % (n % 5, (2 * n + 1) % 5, 0.1 * n + 0.01, 0.1 * n + 0.3)
    for n in range(20)
    if n % 5 != (2 * n + 1) % 5
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("graphs")
    events = {key: EVENTS[key] for key in ("rounds", "topology", "learning", "algorithm", "optimizer")}
    for suffix in ("csv", "npz"):
        (made / f"{suffix}.toml").write_text(toml.dumps(events | {"schedule": {"path": f"m.{suffix}"}}))
    (made / "seed.toml").write_text(toml.dumps(EVENTS))
    assert call(made, "schedule", "seed.toml", "--cycles", "2", "--out", "seed.npz").code == 0
    learn = ("topology", "optimize", "path", "--nodes", "4", "--rounds", "2", "--steps", "3", "--out", "w.npz")
    assert call(made, *learn).code == 0
    return made


def links_of(file: Path) -> Graph | None:
    try:
        return edge_list(file)
    except InputError:
        return None


@thorough(150)
@given(spoiled(LINKS))
def test_links_spoiled_at_random_end_as_they_may(folder: Path, content: bytes) -> None:
    (folder / "x.txt").write_bytes(content)
    assert call(folder, "topology", "show", "x.txt", "--json").code in (0, 2)


@thorough(40)
@given(st.integers(0, 6), st.sampled_from(("one", "bytes", "nul", "cut")))
def test_links_that_are_damaged_are_refused(folder: Path, number: int, way: str) -> None:
    lines = LINKS.splitlines()
    spoilt = {"one": b"3", "bytes": b"\xff 3", "nul": b"1\0 3", "cut": lines[number][:1]}
    lines[number] = spoilt[way]
    (folder / "damaged.txt").write_bytes(b"\n".join(lines) + b"\n")
    assert links_of(folder / "damaged.txt") is None


@thorough(40)
@given(st.lists(st.sampled_from(("bom", "crlf", "blank lines", "comments", "tabs", "no last end")), unique=True))
def test_links_in_other_clothes_are_the_same(folder: Path, ways: list[str]) -> None:
    content = LINKS
    for way in ways:
        match way:
            case "bom":
                content = b"\xef\xbb\xbf" + content.removeprefix(b"\xef\xbb\xbf")
            case "crlf":
                content = re.sub(rb"\r?\n", b"\r\n", content)
            case "blank lines":
                content = content + b"\n\n"
            case "comments":
                content = content.rstrip() + b"\n# the end\n"
            case "tabs":
                content = re.sub(rb"(\d) (\d)", rb"\1\t\2", content)
            case _:
                content = content.rstrip()
    (folder / "clothes.txt").write_bytes(content)
    (folder / "plain.txt").write_bytes(LINKS)
    found, expected = links_of(folder / "clothes.txt"), links_of(folder / "plain.txt")
    assert found is not None
    assert expected is not None
    assert np.array_equal(found.to_scipy().toarray(), expected.to_scipy().toarray())


@thorough(60)
@given(spoiled(MESSAGES))
def test_messages_spoiled_at_random_end_as_they_may(folder: Path, content: bytes) -> None:
    (folder / "m.csv").write_bytes(content)
    assert call(folder, "schedule", "csv.toml", "--json").code in (0, 2)


@thorough(40)
@given(
    st.integers(1, 12), st.integers(0, 3), st.sampled_from(("lost", "letter", "nan", "far", "bytes", "cut", "early"))
)
def test_messages_that_are_damaged_are_refused(folder: Path, number: int, column: int, way: str) -> None:
    lines = MESSAGES.splitlines()
    fields = lines[number].split(b",")
    match way:
        case "lost":
            del fields[column]
        case "letter":
            fields[column] += b"x"
        case "nan":
            fields[column] = b"nan"
        case "far":
            fields[column % 2] = b"5"
        case "bytes":
            fields[column] += b"\xff"
        case "early":
            fields[3] = b"0.0"
        case _:
            fields = fields[: max(1, column)]
    lines[number] = b",".join(fields)
    (folder / "m.csv").write_bytes(b"\n".join(lines) + b"\n")
    assert call(folder, "schedule", "csv.toml", "--json").code == 2


@thorough(60)
@given(st.data())
def test_arrays_of_messages_that_are_damaged_are_refused_or_the_same(folder: Path, data: st.DataObject) -> None:
    shutil.copy(folder / "seed.npz", folder / "m.npz")
    expected = call(folder, "schedule", "npz.toml", "--json")
    assert expected.code == 0
    (folder / "m.npz").write_bytes(data.draw(spoiled((folder / "seed.npz").read_bytes())))
    found = call(folder, "schedule", "npz.toml", "--json")
    assert found.code in (0, 2)
    assert found.code == 2 or json.loads(found.out) == json.loads(expected.out)


@pytest.mark.parametrize("which", ["fastest", "schedule"])
def test_weights_that_are_damaged_are_refused_or_the_same(folder: Path, which: str) -> None:
    graph = path(4)

    def matrix(file: Path) -> np.ndarray | None:
        try:
            W = from_file(graph, path=file, which=which)  # pyright: ignore[reportArgumentType] - one of the two
        except InputError:
            return None
        return np.asarray(W.at(jnp.int32(1), jax.random.key(0)).as_matrix())

    expected = matrix(folder / "w.npz")
    assert expected is not None

    @thorough(50)
    @given(spoiled((folder / "w.npz").read_bytes()))
    def fuzz(content: bytes) -> None:
        (folder / "damaged.npz").write_bytes(content)
        found = matrix(folder / "damaged.npz")
        assert found is None or np.array_equal(found, expected)

    fuzz()


def test_what_is_not_damaged_is_taken(folder: Path) -> None:
    (folder / "x.txt").write_bytes(LINKS)
    (folder / "m.csv").write_bytes(MESSAGES)
    assert call(folder, "topology", "show", "x.txt", "--json").code == 0
    assert call(folder, "schedule", "csv.toml", "--json").code == 0
